"""Figures as files: matplotlib's as images, those of plotly and altair as pages that need no network, and as images.

None of these libraries is imported here before it has made the figure that is to be kept.
"""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from skald.errors import InvalidInputError, MissingLibraryError

FORMATS: Final = (".png", ".jpg", ".jpeg", ".webp", ".svg", ".pdf", ".html")
"""What the suffix of a name may choose, as far as the figure's library can write it."""

_PAGE: Final = ".html"
_IMAGE: Final = ".png"
_MOST_NESTED: Final = 8
"""Axes stand in a figure, which may stand in a figure."""


class Files(NamedTuple):
    """A figure by the suffixes of its files, and why one is missing that it should have."""

    contents: dict[str, bytes]
    problem: str | None = None


def figure_files(figure: Any, suffix: str) -> Files:
    """Return a figure as the contents of files.

    Args:
        figure: of matplotlib (or its axes, or what else has one), plotly or altair; None: the current one of pyplot.
        suffix: one of FORMATS; empty: an image of matplotlib's, else a page, and an image where the exporter of the
            figure's library is installed.

    Raises:
        InvalidInputError: it is no figure, there is none, or its library cannot write this format.
        MissingLibraryError: its library needs another one for that.
    """
    figure = _current_figure() if figure is None else figure
    library, figure = _library_of(figure)
    if suffix or not library.makes_pages:
        suffix = suffix or _IMAGE
        return Files({suffix: library.write(figure, suffix)})
    page = library.write(figure, _PAGE)
    if not library.has_exporter():
        return Files({_PAGE: page})
    try:
        return Files({_PAGE: page, _IMAGE: library.write(figure, _IMAGE)})
    except InvalidInputError as error:
        return Files({_PAGE: page}, f"{error}; figures of {library.name} are kept as {_PAGE} only")


class ScriptJson(json.JSONEncoder):
    """JSON for a script of a page: nothing in it ends the script, as `</script>` in a text would."""

    def encode(self, o: Any) -> str:
        """Return a value as JSON; `<` stands in texts only, where it may be written so."""
        return super().encode(o).replace("<", "\\u003c")


class _Library(NamedTuple):
    """A library of figures, and what it needs to write them."""

    name: str
    contents: Callable[[Any, str], bytes]
    makes_pages: bool = False
    exporter: str = ""
    """The module that it writes images with."""
    package: str = ""
    """What is to be installed for that."""
    pages_alone: bool = True
    """Whether it writes pages without that."""

    def has_exporter(self) -> bool:
        """Tell whether it can write all that it ever can."""
        return not self.exporter or importlib.util.find_spec(self.exporter) is not None

    def write(self, figure: Any, suffix: str) -> bytes:
        """Return a figure as the content of a file."""
        if not (suffix == _PAGE and self.pages_alone) and not self.has_exporter():
            raise MissingLibraryError(
                f"{self.name} needs {self.package} for a {suffix} file; install it with: pip install {self.package}"
            )
        try:
            return self.contents(figure, suffix)
        except Exception as error:  # what a library raises that draws, with a browser perhaps, is known to nobody
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InvalidInputError(f"{self.name} cannot write the figure as {suffix}: {reason}") from error


def _matplotlib_contents(figure: Any, suffix: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=suffix[1:])
    return file.getvalue()


def _plotly_contents(figure: Any, suffix: str) -> bytes:
    if suffix == _PAGE:
        return str(figure.to_html(include_plotlyjs=True)).encode()  # its script inside, of 4.8 MB
    return bytes(figure.to_image(suffix[1:]))


def _altair_contents(figure: Any, suffix: str) -> bytes:
    form = suffix[1:]
    if suffix in (_PAGE, ".svg"):
        text = io.StringIO()
        figure.save(
            text, format=form, **({"inline": True, "json_kwds": {"cls": ScriptJson}} if suffix == _PAGE else {})
        )
        return text.getvalue().encode()
    data = io.BytesIO()
    figure.save(data, format=form)
    return data.getvalue()


_MATPLOTLIB: Final = _Library("matplotlib", _matplotlib_contents)
_PLOTLY: Final = _Library("plotly", _plotly_contents, makes_pages=True, exporter="kaleido", package="kaleido")
_ALTAIR: Final = _Library(
    "altair",
    _altair_contents,
    makes_pages=True,
    exporter="vl_convert",
    package="vl-convert-python",
    pages_alone=False,
)


def _library_of(figure: Any) -> tuple[_Library, Any]:
    """Return the library of a figure, and the figure that a part of it is in."""
    plotly, altair = sys.modules.get("plotly.basedatatypes"), sys.modules.get("altair")
    if plotly is not None and isinstance(figure, plotly.BaseFigure):
        return _PLOTLY, figure
    if altair is not None and isinstance(figure, altair.TopLevelMixin):
        return _ALTAIR, figure
    found = figure
    for _ in range(_MOST_NESTED):
        if callable(getattr(found, "savefig", None)):
            return _MATPLOTLIB, found
        found = getattr(found, "figure", None)
    name = f"{type(figure).__module__}.{type(figure).__qualname__}"
    error = InvalidInputError(f"a figure must be of matplotlib, plotly or altair, got {name}")
    error.add_note("hint: log_image logs images and arrays, log_artifact any file")
    raise error


def _current_figure() -> Any:
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not pyplot.get_fignums():  # `gcf` would make one
        error = InvalidInputError("there is no current figure of matplotlib.pyplot, and none was given")
        error.add_note("hint: give it, as in log_figure(name, figure)")
        raise error
    return pyplot.gcf()
