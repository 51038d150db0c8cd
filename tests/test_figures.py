"""log_figure: real figures of matplotlib, plotly and altair, as files that need no network."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import altair as alt
import matplotlib as mpl
import pandas as pd
import plotly.graph_objects as go
import polars as pl
import pytest
from logged import program
from PIL import Image

mpl.use("agg")
import matplotlib.pyplot as plt

import skald
from skald import InvalidInputError, LoggerClosedError

CHART = alt.Chart(pd.DataFrame({"a": range(6000), "b": 1})).mark_line().encode(x="a", y="b")
"""Of more rows than altair takes without being asked."""


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return an open logger; figures that a test leaves open are closed."""
    with skald.Logger("run", tmp_path) as logger:
        yield logger
    plt.close("all")


def kept(logger: skald.Logger) -> dict[str, bytes]:
    """Return the files that were kept, but for the diff of the code that the tests are run from."""
    top = logger.run.path / "artifacts"
    paths = [path for path in sorted(top.rglob("*")) if path.is_file() and not path.name.startswith("git-")]
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in paths}


def drawn(page: Path) -> str:
    """Return what a page has become in a browser that reaches no network."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no browser")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    place = [f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=10000", "--dump-dom", page.as_uri()]
    return subprocess.run([browser, *flags, *place], check=True, capture_output=True, text=True, timeout=100).stdout


def is_offline(page: bytes) -> bool:
    """Tell whether a page holds a script, and loads nothing from elsewhere."""
    element = rb"""<(?:script|link|img|iframe)[^>]*\b(?:src|href)\s*=\s*["']?(?:https?:)?//"""
    script = rb"""\bimport\s*\(?["']https?:|@import"""
    return b"<script" in page and not re.search(element, page) and not re.search(script, page)


# --- matplotlib ---


def test_figure_of_matplotlib_is_a_png(logger: skald.Logger) -> None:
    """A figure is kept as an image of its size."""
    figure, axes = plt.subplots(figsize=(3, 2), dpi=50)
    axes.plot([1, 2])

    logger.log_figure("confusion", figure, epoch=3)

    ((path, data),) = kept(logger).items()
    assert path == "confusion/epoch=3.png"
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("PNG", (150, 100))


def test_figure_that_is_not_given_is_the_current_one(logger: skald.Logger) -> None:
    """`plt.gcf()` is kept, and stays open and current."""
    plt.figure()
    figure = plt.figure(figsize=(1, 1), dpi=30)

    logger.log_figure("a")

    with Image.open(io.BytesIO(kept(logger)["a.png"])) as image:
        assert image.size == (30, 30)
    assert plt.gcf() is figure
    assert len(plt.get_fignums()) == 2


def test_figure_is_left_as_it_was(logger: skald.Logger) -> None:
    """Neither the figure nor its canvas nor the backend changes, so it can be drawn further."""
    figure, axes = plt.subplots()
    before = (mpl.get_backend(), figure.canvas, figure.dpi, figure.get_size_inches().tolist(), figure.get_facecolor())

    logger.log_figure("a", figure)
    logger.log_figure("a.svg", figure)
    axes.plot([1, 2])

    after = (mpl.get_backend(), figure.canvas, figure.dpi, figure.get_size_inches().tolist(), figure.get_facecolor())
    assert after == before
    assert plt.fignum_exists(figure.number)


def test_figure_may_be_what_is_in_one(logger: skald.Logger) -> None:
    """Axes, and axes of a figure in a figure, stand for the figure."""
    figure = plt.figure(figsize=(2, 1), dpi=50)
    inner: Any = figure.subfigures()
    parts = [figure.add_subplot(), inner, inner.add_subplot()]

    for number, part in enumerate(parts):
        logger.log_figure(f"{number}", part)

    for data in kept(logger).values():
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (100, 50)
    assert len(kept(logger)) == 3


@pytest.mark.parametrize(
    ("name", "path", "begins"),
    [
        ("a.svg", "a.svg", b"<?xml"),
        ("a.PDF", "a.pdf", b"%PDF"),
        ("a.jpg", "a.jpg", b"\xff\xd8"),
        ("a.webp", "a.webp", b"RIFF"),
        ("v1.2", "v1.2.png", b"\x89PNG"),
    ],
)
def test_figure_has_the_format_of_its_name(logger: skald.Logger, name: str, path: str, begins: bytes) -> None:
    """A suffix chooses the format."""
    logger.log_figure(name, plt.figure())

    assert kept(logger)[path].startswith(begins)


def test_figure_that_is_missing_is_an_error(logger: skald.Logger) -> None:
    """Where no figure is open none is made and kept."""
    with pytest.raises(InvalidInputError, match="no current figure"):
        logger.log_figure("a")

    assert plt.get_fignums() == []


def test_figure_that_is_missing_does_not_load_matplotlib(tmp_path: Path) -> None:
    """Who has not imported pyplot has no figure."""
    script = """
import sys, skald
with skald.Logger("run", ".", errors="warn") as logger:
    logger.log_figure("a")
    logger.log_figure("a", object())
print([name for name in ("matplotlib", "plotly", "altair", "PIL") if name in sys.modules])
"""
    ended = program(script, folder=tmp_path)

    assert ended.stdout == "[]\n", ended.stderr
    assert "2 x InvalidInputError" in ended.stderr


@pytest.mark.parametrize("given", [3, "text", object(), Image.new("L", (2, 2)), [1]])
def test_figure_that_is_none_is_refused(logger: skald.Logger, given: Any) -> None:
    """The error says what a figure is, and nothing is kept."""
    with pytest.raises(InvalidInputError, match="matplotlib, plotly or altair"):
        logger.log_figure("a", given)

    assert kept(logger) == {}


def test_figure_that_cannot_be_drawn_is_refused(logger: skald.Logger) -> None:
    """What the library raises is told with its reason, as the format that it has not."""
    figure = plt.figure()
    figure.text(0, 0, r"$\nosuch$")

    for name in ("a", "a.html"):
        with pytest.raises(InvalidInputError, match="matplotlib cannot write the figure as"):
            logger.log_figure(name, figure)

    assert kept(logger) == {}


# --- plotly and altair ---


@pytest.mark.parametrize(
    ("figure", "mark"),
    [(go.Figure(go.Scatter(y=[1, 2], mode="markers")), 'class="point"'), (CHART, 'aria-roledescription="line mark"')],
    ids=["plotly", "altair"],
)
def test_figure_is_a_page_that_a_browser_draws_without_network(logger: skald.Logger, figure: Any, mark: str) -> None:
    """Its marks are there when its script has run."""
    logger.log_figure("a.html", figure)
    page = logger.run.path / "artifacts" / "a.html"

    assert mark in drawn(page)
    assert mark not in page.read_text()


def test_figure_of_plotly_is_a_page_without_network(logger: skald.Logger) -> None:
    """The page holds plotly's script, and loads nothing."""
    logger.log_figure("a.html", go.Figure(go.Scatter(y=[1, 2])), epoch=1)

    ((path, page),) = kept(logger).items()
    assert path == "a/epoch=1.html"
    assert is_offline(page)
    assert len(page) > 1_000_000


def test_figure_of_plotly_has_an_image_where_its_exporter_works(tmp_path: Path) -> None:
    """With kaleido and its browser there is a PNG beside the page; where it fails the page is kept, with one word."""
    script = """
import plotly.graph_objects as go, skald
with skald.Logger("run", ".") as logger:
    for epoch in range(2):
        logger.log_figure("a", go.Figure(go.Scatter(y=[1, 2])), epoch=epoch)
"""
    pytest.importorskip("kaleido")
    ended = program(script, folder=tmp_path)

    assert ended.returncode == 0, ended.stderr
    files = sorted(path.name for path in (tmp_path / "run/artifacts/a").iterdir())
    if "cannot write the figure as .png" in ended.stderr:
        assert files == ["epoch=0.html", "epoch=1.html"]
        assert ended.stderr.count("figures of plotly are kept as .html only") == 1
    else:
        assert files == ["epoch=0.html", "epoch=0.png", "epoch=1.html", "epoch=1.png"]
        assert (tmp_path / "run/artifacts/a/epoch=0.png").read_bytes().startswith(b"\x89PNG")


def test_figure_of_plotly_without_exporter(tmp_path: Path) -> None:
    """Without kaleido the page alone is kept; a name that asks for an image is an error that says what to install."""
    script = """
import sys
sys.modules["kaleido"] = None
import plotly.graph_objects as go, skald
with skald.Logger("run", ".") as logger:
    logger.log_figure("a", go.Figure())
    try:
        logger.log_figure("b.png", go.Figure())
    except skald.MissingLibraryError as error:
        print(error)
"""
    ended = program(script, folder=tmp_path)

    assert ended.stdout == "plotly needs kaleido for a .png file; install it with: pip install kaleido\n", ended.stderr
    assert "WARNING" not in ended.stderr
    assert not list((tmp_path / "run/artifacts").glob("*.png"))
    assert (tmp_path / "run/artifacts/a.html").exists()


def test_figure_of_altair_is_a_page_without_network_and_an_image(logger: skald.Logger) -> None:
    """The page holds Vega's script, and loads nothing; beside it stands the image."""
    logger.log_figure("a", CHART, epoch=1)

    found = kept(logger)
    assert list(found) == ["a/epoch=1.html", "a/epoch=1.png"]
    assert is_offline(found["a/epoch=1.html"])
    assert found["a/epoch=1.png"].startswith(b"\x89PNG")


def test_figure_of_altair_is_a_page_that_its_data_cannot_break(logger: skald.Logger) -> None:
    """A text that ends a script, or begins a comment in it, stays a text."""
    bad = "</script><b>out</b><!--<script>"
    chart = alt.Chart(pd.DataFrame({"a": [bad]}), title=bad).mark_point().encode(x="a:N")

    logger.log_figure("a.html", chart)

    page = kept(logger)["a.html"].decode()
    assert page.count("<b>out") == 0
    assert page.count(json.dumps(bad).replace("<", "\\u003c")) >= 2
    assert page.rstrip().endswith("</html>")


def test_figure_of_altair_has_the_format_of_its_name(logger: skald.Logger) -> None:
    """A suffix chooses one; a format that altair cannot write is an error."""
    logger.log_figure("a.svg", CHART | CHART)
    logger.log_figure("a.pdf", CHART)
    with pytest.raises(InvalidInputError, match=r"altair cannot write the figure as \.jpg"):
        logger.log_figure("a.jpg", CHART)

    assert kept(logger)["a.svg"].startswith(b"<svg")
    assert kept(logger)["a.pdf"].startswith(b"%PDF")
    assert len(kept(logger)) == 2


def test_figure_of_altair_without_exporter(tmp_path: Path) -> None:
    """What altair writes needs vl-convert-python, pages too: the error says so."""
    script = """
import sys
sys.modules["vl_convert"] = None
import altair, skald
with skald.Logger("run", ".") as logger:
    try:
        logger.log_figure("a", altair.Chart().mark_point())
    except skald.MissingLibraryError as error:
        print(error)
"""
    ended = program(script, folder=tmp_path)

    assert "install it with: pip install vl-convert-python" in ended.stdout, ended.stderr


def test_figures_are_in_the_table(logger: skald.Logger) -> None:
    """Each file of a figure has its row, with the ids of the call."""
    logger.log_figure("a", CHART, epoch=1)

    found = logger.run.artifacts.filter(~pl.col("path").str.starts_with("git-"))
    assert found.select("path", "epoch").rows() == [("a/epoch=1.html", 1), ("a/epoch=1.png", 1)]


def test_figure_of_a_closed_logger_is_refused(tmp_path: Path) -> None:
    """After close it raises; a disabled logger checks it and keeps nothing."""
    logger = skald.Logger("run", tmp_path)
    logger.close()
    with pytest.raises(LoggerClosedError):
        logger.log_figure("a", CHART)

    with skald.Logger("off", tmp_path, mode="disabled") as off:
        off.log_figure("a.svg", CHART)
        with pytest.raises(InvalidInputError):
            off.log_figure("a", 3)
    assert not (tmp_path / "off").exists()
