"""How the texts that a stream has got are given to transcripts: many at a time, and none twice or never."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from skald.record.decoding import Decoder
from skald.record.shown import joined, origin
from skald.record.transcript import Transcript

MOST_TEXTS: Final = 8192
BATCH_CHARACTERS: Final = 1 << 22
"""So many texts at most, and about so many characters, are given at a time."""
LARGE_CHARACTERS: Final = 1 << 24
"""A text of more is cut."""
_COPIED_CHARACTERS: Final = 1 << 19
"""A text of more is given alone, as to join it is to copy it, into memory that the system may have to find first."""
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
        start = end = begin = stop = 0
        whole: str | bytes | None = None
        cost = len(texts)
        try:
            while True:  # NOTE: no condition in the loops, as in `_drain` of tees
                start = end
                if start >= len(texts):
                    break
                batch, whole = texts[start : start + self._texts], None
                if len(batch) > 1 and len(batch[-1]) > _COPIED_CHARACTERS:
                    del batch[-1]
                count = len(batch)
                self._is_given, begin, stop = False, 0, 0
                whole = joined(batch, decoder.decoded)
                # NOTE: no call until it is known where it ends
                end = start + (1 if whole is None else count)
                if whole is None:
                    self._give_one(texts[start], transcripts, decoder)
                    continue
                cost += len(whole) // CHEAP_CHARACTERS
                while True:
                    begin = stop
                    if begin >= len(whole):
                        break
                    self._is_given = False
                    stop = _stop(whole, begin)
                    piece = whole[begin:stop]
                    self._feed(decoder.light(piece) if isinstance(piece, bytes) else piece, transcripts)
                self._texts = max(1, min(MOST_TEXTS, count * BATCH_CHARACTERS // (len(whole) + 1)))
        except BaseException:
            if whole is None:
                self.left = texts[end if self._is_given else start :]
            else:
                rest = whole[stop if self._is_given else begin :]
                self.left = [rest, *texts[end:]] if rest else texts[end:]
            raise
        self.left = []
        return cost

    def _give_one(self, text: str | bytes, transcripts: Sequence[Transcript], decoder: Decoder) -> None:
        one = decoder.decoded(text) if isinstance(text, bytes) else text
        self._feed(str(one), transcripts, besides=origin(one))

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


def _stop(text: str | bytes, start: int) -> int:
    """Return where to cut a text, at the end of a line if it is large."""
    stop = start + LARGE_CHARACTERS
    if stop >= len(text):
        return len(text)
    return text.rfind("\n" if isinstance(text, str) else b"\n", start, stop) + 1 or stop  # type: ignore[arg-type]
