"""How the texts that a stream has got are given to transcripts: many at a time, and none twice or never."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from skald.record.decoding import Decoder
from skald.record.shown import joined, origin
from skald.record.transcript import Transcript

MOST_TEXTS: Final = 8192
BATCH_CHARACTERS: Final = 120 << 10
"""So many texts at most, and about so many characters, are given at a time.

NOTE: memory of more is not at hand, but taken from the system and given back each time, which costs more than all else.
"""
LARGE_CHARACTERS: Final = BATCH_CHARACTERS
"""A text of more is cut."""
CHEAP_CHARACTERS: Final = 4000
"""How many are written as quickly as a text."""
_FIRST_TEXTS: Final = 64


class Delivery:
    """Gives the texts of one stream.

    Invariant: where a signal handler raises, those that were not given are left.
    """

    def __init__(self, stream: str) -> None:
        """Begin with a few texts at a time; those of streams of one name get to one screen."""
        self._stream = stream
        self._texts = _FIRST_TEXTS
        """How many are given at a time."""
        self._is_given = True
        """Whether those that are being given have got to the transcripts."""
        self.left: list[str | bytes] = []
        """What is to be given."""

    def give(self, transcripts: Sequence[Transcript], decoder: Decoder) -> int:
        """Give what is left to transcripts; return what that costs, in small texts."""
        texts, transcripts = self.left, tuple(transcripts)
        start = end = 0
        cost = len(texts)
        try:
            while (start := end) < len(texts):
                self._is_given = False
                batch = texts[start : start + self._texts]
                end = start + len(batch)
                whole = joined(batch, decoder.decoded)
                if whole is None:
                    for text in batch:
                        one = decoder.decoded(text) if isinstance(text, bytes) else text
                        self._feed(str(one), transcripts, besides=origin(one))
                    continue
                cost += len(whole) // CHEAP_CHARACTERS
                for piece in (whole,) if len(whole) <= LARGE_CHARACTERS else _pieces(whole, LARGE_CHARACTERS):
                    self._feed(decoder.light(piece) if isinstance(piece, bytes) else piece, transcripts)
                self._texts = max(1, min(MOST_TEXTS, len(batch) * BATCH_CHARACTERS // (len(whole) + 1)))
        except BaseException:
            self.left = texts[end if self._is_given else start :]
            raise
        self.left = []
        return cost

    def _feed(self, text: str | bytes, transcripts: Sequence[Transcript], *, besides: str | None = None) -> None:
        # NOTE: no call before it is fed, so that no signal handler raises between the two
        self._is_given = True
        for transcript in transcripts if text else ():
            if besides is None or transcript.file.name != besides:
                transcript.file.is_writing = False
                try:
                    transcript.feed(self._stream, text)
                except BaseException:
                    if not transcript.file.is_writing:
                        transcript.feed(self._stream, text)
                    raise


def _pieces(text: str | bytes, size: int) -> Iterator[str | bytes]:
    """Cut a large text at the ends of lines."""
    start, end_of_line = 0, "\n" if isinstance(text, str) else b"\n"
    while len(text) - start > size:
        end = text.rfind(end_of_line, start, start + size) + 1 or start + size  # type: ignore[arg-type]
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:] if start else text
