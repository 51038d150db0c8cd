"""What runs and loggers look like: one line in a REPL, a panel in Rich, a page in a notebook."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from logged import program
from rich.console import Console

import skald
from skald.layout import PARQUET, RUN_JSON, SEGMENTS
from skald.reading import portrait
from skald.reading.portrait import MOST_PARAMS, MOST_SERIES, MOST_UNCOMPACTED_ROWS, _svg


class Page(HTMLParser):
    """The texts of a page, and whether each of its tags is closed in its turn."""

    def __init__(self, source: str) -> None:
        """Read a page."""
        super().__init__()
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        """Remember a tag."""
        self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Pass by what has no content."""

    def handle_endtag(self, tag: str) -> None:
        """Close the last one."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take a text."""
        self.texts.append(data)

    @property
    def text(self) -> str:
        """All that is to be read."""
        return " ".join(" ".join(self.texts).split())


def log_some(folder: Path, name: str = "run", **options: object) -> skald.Run:
    """Return a run of 30 rows in three series."""
    with skald.Logger(name, folder, **options) as logger:  # type: ignore[arg-type]
        logger.log_params({"lr": 3e-4, "model": {"depth": 12}})
        for step in range(10):
            logger.log_metric("loss", 1 / (step + 1), step=step)
            for split in ("train", "val"):
                logger.log_metric("accuracy", step / 10, step=step, split=split)
    return skald.Run(folder / name)


def test_repr_of_a_run_is_one_line(tmp_path: Path) -> None:
    """Name, status, rows and path; also while it is written, and of a run with one row."""
    run = log_some(tmp_path)
    with skald.Logger("live", tmp_path) as logger:
        logger.log_metric("loss", 1)
        live = repr(logger.run)

    assert repr(run) == f"Run('run', finished, 30 rows, {str(tmp_path / 'run')!r})"
    assert live == f"Run('live', running, 1 row, {str(tmp_path / 'live')!r})"


def test_repr_of_a_resumed_run_counts_all_rows(tmp_path: Path) -> None:
    """Those that are compacted and those that are not."""
    log_some(tmp_path)

    with skald.Logger("run", tmp_path, mode="resume") as logger:
        logger.log_metric("loss", 1)

        assert "31 rows" in repr(logger)
        assert "31 rows" in repr(logger.run)


def test_repr_of_a_logger_is_one_line(tmp_path: Path) -> None:
    """Name, status, rows, the ids that a call would get, and path; it loads nothing heavy."""
    with skald.Logger("run", tmp_path, ids={"rank": 3, "note": "a\nb"}) as logger:
        logger.log_metric("loss", 1)
        line = repr(logger)

    assert line == f"Logger('run', running, 1 row, ids {{'rank': 3, 'note': 'a\\nb'}}, {str(tmp_path / 'run')!r})"
    assert repr(logger).startswith("Logger('run', finished, 1 row")


def test_repr_of_a_logger_loads_neither_polars_nor_rich(tmp_path: Path) -> None:
    """A training that prints its logger pays nothing for it."""
    source = "import sys, skald\nrepr(skald.Logger('run', '.'))\nprint({'polars', 'rich'} & set(sys.modules))"

    assert program(source, folder=tmp_path).stdout == "set()\n"


def test_repr_of_a_disabled_logger_says_so(tmp_path: Path) -> None:
    """It has no rows and no place."""
    with skald.Logger("run", tmp_path, mode="disabled") as logger:
        assert repr(logger).startswith("Logger('run', disabled")
        assert "disabled" in shown(logger)


def test_looking_at_a_run_never_fails(tmp_path: Path) -> None:
    """A run that is gone, or damaged, says so in every form."""
    damaged, gone, odd, torn = (log_some(tmp_path, name) for name in ("damaged", "gone", "odd", "torn"))
    (damaged.path / PARQUET).write_bytes(b"nonsense")
    shutil.rmtree(gone.path)
    (odd.path / RUN_JSON).write_text("{", encoding="utf-8")
    (torn.path / SEGMENTS / "writer").mkdir(parents=True)
    (torn.path / SEGMENTS / "writer" / "000001.arrow").write_bytes(b"nonsense")

    assert repr(gone) == f"Run('gone', gone, {str(gone.path)!r})"
    for run in (damaged, odd):
        assert "unreadable (CorruptRunError)" in repr(run)
    for run in (damaged, gone, odd):
        word = "gone" if run is gone else "unreadable"
        assert word in shown(run)
        assert word in Page(run._repr_html_()).text
    assert "30 rows" in repr(torn)


@pytest.mark.parametrize("place", [slice(0, 70), slice(-20, None), slice(40, 60)])
def test_looking_at_a_run_with_damaged_metrics_shows_the_rest(tmp_path: Path, place: slice) -> None:
    """In a notebook its params, and a line that says what is wrong; whatever part of the file is damaged."""
    run = log_some(tmp_path)
    data = bytearray((run.path / PARQUET).read_bytes())
    data[place] = b"x" * len(data[place])
    (run.path / PARQUET).write_bytes(data)

    text = Page(run._repr_html_()).text

    assert "model.depth= 12" in text
    assert re.search("metrics: .*skald check", text)
    assert "run" in shown(run)
    assert repr(run).startswith("Run('run', ")


def test_looking_at_a_logger_never_fails(tmp_path: Path) -> None:
    """Whose run is gone says so in every form, as one that is disabled does."""
    logger = skald.Logger("run", tmp_path, ids={"rank": 3}, capture=False)
    shutil.rmtree(tmp_path / "run")
    disabled = skald.Logger("run", tmp_path, mode="disabled")

    for each, word in ((logger, "gone"), (disabled, "disabled")):
        assert word in repr(each)
        assert word in shown(each)
        assert word in Page(each._repr_html_()).text
    logger.close()


# --- Rich ---


def shown(thing: object) -> str:
    """Return what Rich prints."""
    console = Console(width=300)
    with console.capture() as captured:
        console.print(thing)
    return captured.get()


def test_run_is_a_panel_in_rich(tmp_path: Path) -> None:
    """Name, status, rows, tags, path and notes; what looks like markup is text."""
    run = log_some(tmp_path, tags=("[red]a", "b"), notes="why [bold]not")

    text = shown(run)

    for part in ("─ run ─", "finished", "30 rows", "#[red]a #b", str(run.path), "why [bold]not"):
        assert part in text


def test_logger_is_a_panel_in_rich(tmp_path: Path) -> None:
    """That of its run, with its ids."""
    with skald.Logger("run", tmp_path, ids={"rank": 3}) as logger:
        text = shown(logger)

    for part in ("─ run ─", "running", "0 rows", "{'rank': 3}"):
        assert part in text


# --- notebooks ---


def test_run_is_a_page_in_a_notebook(tmp_path: Path) -> None:
    """Status, params, series, and a curve of each."""
    source = log_some(tmp_path)._repr_html_()

    text = Page(source).text
    for part in ("run", "finished", "30 rows", "lr= 0.0003", "model.depth= 12", "metric split count last min max"):
        assert part in text
    assert "loss 10 0.1 0.1 1" in text
    assert "accuracy train 10 0.9 0 0.9" in text
    assert source.count("<svg") == 3
    for svg in re.findall("<svg.*?</svg>", source):
        ET.fromstring(svg)  # noqa: S314  it is ours


def test_page_escapes_what_it_shows(tmp_path: Path) -> None:
    """Names, params, ids, tags and notes are text, never tags."""
    bad = "<script>alert('x')</script>&"
    with skald.Logger("run", tmp_path, tags=bad, notes=bad, ids={"id": bad}) as logger:
        logger.log_metric(bad, 1.0)
        logger.log_params({bad: bad})
        pages = [logger._repr_html_(), logger.run._repr_html_()]

    for page in pages:
        assert "<script" not in page
        assert page.count("alert(&#x27;x&#x27;)") >= 6
        assert bad in Page(page).text


def test_page_has_the_colours_of_the_notebook(tmp_path: Path) -> None:
    """Light or dark: neither text nor background nor curves have a colour of their own, only the status."""
    page = log_some(tmp_path)._repr_html_()

    assert "stroke='currentColor'" in page
    assert re.findall(r"#[0-9a-f]{6}", page) == ["#15803d"]
    assert set(re.findall(r"background:(\w+)", page)) == {"none"}


def test_page_of_a_large_run_shows_the_first_series_and_params(tmp_path: Path) -> None:
    """What is left out is counted."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_params({f"p{k}": k for k in range(MOST_PARAMS + 3)})
        logger.log_metrics({f"m{k}": k for k in range(MOST_SERIES + 5)})

    text = Page(logger._repr_html_()).text

    assert "and 3 more" in text
    assert "and 5 more series" in text


@pytest.mark.parametrize("most", [MOST_UNCOMPACTED_ROWS, 100])
def test_page_of_a_crashed_run_with_many_rows_shows_its_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Table and curves are there before compaction, too; of more rows than are summed up at a look, the metrics."""
    monkeypatch.setattr(portrait, "MOST_UNCOMPACTED_ROWS", most)
    source = """
import os, numpy as np, skald
logger = skald.Logger("run", ".")
logger.log_batch({"loss": np.linspace(1, 0, 1_500_000)}, split="train")
logger.log_metric("accuracy", 0.5, epoch=3)
os._exit(1)
"""
    program(source, folder=tmp_path)

    page = skald.Run(tmp_path / "run")._repr_html_()

    text = Page(page).text
    assert "crashed" in text
    if most == 100:
        assert "loss, accuracy (not summed up here" in text
    else:
        assert "loss train 1,500,000 0 0 1" in text
        assert page.count("<svg") == 2


def test_page_draws_series_up_to_a_number_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look takes no longer, however many rows there are: those beyond have numbers, and no curve."""
    monkeypatch.setattr(portrait, "MOST_CURVE_ROWS", 25)

    page = log_some(tmp_path)._repr_html_()

    assert page.count("<svg") == 2
    assert "accuracy train 10 0.9 0 0.9" in Page(page).text


def test_page_of_a_run_without_rows_or_params_is_its_head(tmp_path: Path) -> None:
    """An empty run is no error."""
    with skald.Logger("run", tmp_path) as logger:
        assert "<table" not in logger._repr_html_()
        assert "0 rows" in Page(logger._repr_html_()).text


def test_curve_of_many_values_is_drawn_with_few_points(tmp_path: Path) -> None:
    """The page stays small, and the curve has the course of all."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_batch({"loss": np.linspace(1, 0, 300_000)})

    page = logger._repr_html_()

    (points,) = re.findall("points='(.*?)'", page)
    heights = [float(point.partition(",")[2]) for point in points.split()]
    assert 90 <= len(heights) <= 110
    assert heights == sorted(heights)
    assert len(page) < 5000


@pytest.mark.parametrize(
    ("points", "lines"),
    [([], 0), ([None], 0), ([1.0], 1), ([1.0, None, 2.0, 3.0], 2), ([-1.7e308, 1.7e308], 1), ([2.0, 2.0], 1)],
)
def test_curve_is_broken_where_values_are_missing(points: list[float | None], lines: int) -> None:
    """NaN and infinities leave a gap; every number finds its place inside the drawing."""
    drawn = _svg(points)

    assert drawn.count("<polyline") == lines
    numbers = re.findall(r"[-\w.]+,([-\w.]+)", " ".join(re.findall("points='(.*?)'", drawn)))
    assert all(0 <= float(number) <= 26 for number in numbers)
