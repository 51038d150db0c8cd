"""The log calls that keep files: artifacts, texts, figures, images and tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from skald.errors import IdTypeError, InvalidInputError
from skald.record.artifact_names import artifact_path, check_name, split_format, split_suffix
from skald.schema import Id
from skald.writing.calls import Calls
from skald.writing.scope import plain_ids
from skald.writing.session import Session

if TYPE_CHECKING:
    from skald.record.artifacts import Artifacts
    from skald.record.copying import Content


class ArtifactCalls:
    """Calls that put files into the folder `artifacts/` of the run.

    The name says where: `"plots/confusion"` is `artifacts/plots/confusion.png`. With ids, those of the logger among
    them, the name is a folder, and the ids name the file: `artifacts/plots/confusion/epoch=3.png`. The same name with
    the same ids replaces what was there. Each call may raise:

        InvalidInputError, IdTypeError: the name, the ids or the content cannot be kept; nothing was.
        MissingLibraryError: the call needs a library that is not installed; the message says which.
        StorageError: the disk takes no more; nothing was kept.
        LoggerClosedError: the logger is closed.
    """

    _calls: Calls
    _session: Session

    def log_artifact(
        self, path: str | os.PathLike[str], name: str | None = None, /, *, link: bool = False, **ids: Any
    ) -> None:
        """Keep a copy of a file, or of a folder with all that is in it; links are followed to the files they lead to.

        Args:
            path: the file or folder.
            name: what it is called in the run; default: as `path` is. A name without a suffix is kept as it is
                where there are no ids; where there are some, the file has the suffix of `path`.
            link: do not copy or read it: make a hard link, or where the system has none a symbolic one. It must not
                be changed afterwards. Best for big files, as checkpoints; those can also be written right into
                `logger.run.path / "artifacts"`.
            **ids: as in `log_metric`.
        """
        from skald.record.copying import content_of_path

        with self._calls.policy(), self._keeping(ids) as keeping:
            source = _source(path)
            given = _own_name(source) if name is None else check_name(name)
            if not isinstance(link, bool):
                raise InvalidInputError(f"link must be True or False, got {type(link).__name__}: {link!r:.80}")
            content = content_of_path(source, link=link)
            run = self._session.run
            if content.is_folder and run and run.resolve().is_relative_to(source.resolve()):
                raise InvalidInputError(f"the folder holds the run itself, so it cannot be copied into it: {source}")
            keeping.put(given, content, split_suffix(source.name)[1])
            if content.left_out:
                more = f" and {len(content.left_out) - 1:,} more" if len(content.left_out) > 1 else ""
                said = f"links to files that are not there are left out: {content.left_out[0]}{more}, in {source}"
                self._session.losses.warn_once(said)

    def log_text(self, name: str, text: str, /, **ids: Any) -> None:
        """Keep a text as a file in UTF-8, `NAME.txt` where the name has no suffix.

        Args:
            name: what it is called.
            text: the text.
            **ids: as in `log_metric`.
        """
        with self._calls.policy(), self._keeping(ids) as keeping:
            if not isinstance(text, str):
                raise InvalidInputError(f"log_text takes a str, got {type(text).__name__}: {text!r:.80}")
            try:
                data = text.encode()
            except UnicodeEncodeError as error:
                raise InvalidInputError(f"a text must be valid Unicode: {error}") from error
            stem, suffix = split_suffix(check_name(name))
            keeping.put_bytes(f"{stem}{suffix or '.txt'}", data)

    def log_figure(self, name: str, figure: Any = None, /, **ids: Any) -> None:
        """Keep a figure: of matplotlib as PNG, of plotly and altair as a page (HTML) that needs no network.

        Only maps of plotly's (geo, tiles) still fetch their coasts and tiles when the page is opened.
        A suffix in the name chooses another format, as in `"confusion.svg"`. Where none does, and the exporter of
        plotly (kaleido) or altair (vl-convert-python) is installed, there is a PNG beside the page.

        Args:
            name: what it is called.
            figure: of matplotlib (also axes), plotly or altair; default: the current one of matplotlib.pyplot.
            **ids: as in `log_metric`.
        """
        from skald.record.figures import FORMATS, figure_files

        with self._calls.policy(), self._keeping(ids) as keeping:
            stem, suffix = split_format(check_name(name), FORMATS, "")
            files = figure_files(figure, suffix)
            for suffix, data in files.contents.items():
                keeping.put_bytes(stem + suffix, data)
            if files.problem:
                self._session.losses.warn_once(files.problem)

    def log_image(self, name: str, image: Any, /, **ids: Any) -> None:
        """Keep an image, as PNG, or in the format that a suffix in the name chooses, as in `"sample.jpg"`.

        Arrays hold uint8, floats from 0 to 1, or bools. Several images, in one dimension more before the others,
        are laid out as a grid.

        Args:
            name: what it is called.
            image: of PIL; of NumPy, HxW, or HxWxC with 1, 3 or 4 channels; of Torch, HxW or CxHxW.
            **ids: as in `log_metric`.
        """
        from skald.record.images import FORMATS, image_bytes

        with self._calls.policy(), self._keeping(ids) as keeping:
            stem, suffix = split_format(check_name(name), FORMATS, FORMATS[0])
            keeping.put_bytes(stem + suffix, image_bytes(image, suffix))

    def log_table(self, name: str, table: Any, /, **ids: Any) -> None:
        """Keep a table as Parquet, or as CSV where the name ends in `.csv`.

        Args:
            name: what it is called.
            table: of Polars, pandas or Arrow; a mapping of names to columns; a list of mappings; a structured
                array; whatever else Arrow or Polars makes a table of.
            **ids: as in `log_metric`.
        """
        from skald.record.tables import FORMATS, table_bytes

        with self._calls.policy(), self._keeping(ids) as keeping:
            stem, suffix = split_format(check_name(name), FORMATS, FORMATS[0])
            keeping.put_bytes(stem + suffix, table_bytes(table, suffix))

    @contextmanager
    def _keeping(self, ids: dict[str, Any]) -> Iterator[_Keeping]:
        """Check the ids of a call, and let it put files into the run while that is open."""
        with self._session.storing() as artifacts:
            plain = {
                name: value for name, value in plain_ids(self._calls.scope.merged(ids)).items() if value is not None
            }
            writer = self._session.writer()
            writer.registry.check(plain)
            yield _Keeping(artifacts, plain)
            with suppress(IdTypeError):  # another process gave an id its kind meanwhile: it is read as a string
                writer.learn(plain)


class _Keeping(NamedTuple):
    """Where the files of one call go."""

    artifacts: Artifacts
    ids: dict[str, Id]

    def put(self, name: str, content: Content, suffix: str = "") -> None:
        """Keep content under a name that was checked; the suffix is that of a file with ids, if the name has none."""
        self.artifacts.put(artifact_path(name, self.ids, suffix), self.ids, content)

    def put_bytes(self, name: str, data: bytes) -> None:
        """Keep what a file is to hold under a name that was checked."""
        from skald.record.copying import content_of_bytes

        self.put(name, content_of_bytes(data))


def _source(path: Any) -> Path:
    if isinstance(path, (str, os.PathLike)) and isinstance(text := os.fspath(path), str) and text:
        return Path(text)
    raise InvalidInputError(f"log_artifact takes the path of a file or folder, got {type(path).__name__}: {path!r:.80}")


def _own_name(source: Path) -> str:
    """Return the name that a file has itself; NOTE: `absolute`, since `Path(".").name` is empty."""
    try:
        return check_name(source.absolute().name)
    except InvalidInputError as error:
        error.add_note("hint: give it another one, as in log_artifact(path, name)")
        raise
