"""The viewer's tab that tells what a run is."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from stage import Show, play

import skald
from skald.record.info import Child, RunInfo, Session
from skald.viewer.info_page import Facts, page
from skald.viewer.info_pane import InfoPane

WHEN = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run that failed, with tags and notes that must not be obeyed."""
    logger = skald.Logger("run", tmp_path, tags=["[red]t"], notes="why [/] so")
    logger.log_metric("loss", 1.0, step=1)
    with pytest.raises(ZeroDivisionError), logger:
        print(1 / 0)
    return tmp_path / "run"


def watch(run: Path, scene: Callable[[Show], Awaitable[None]], size: tuple[int, int] = (80, 60)) -> None:
    """Play a scene with what is told of a run."""

    async def live(show: Show) -> None:
        pane = show.app.query_one(InfoPane)
        pane.set_interval(0.2, pane.refresh_live)
        await scene(show)

    play(lambda: InfoPane(run), live, size=size)


def test_info_tells_what_the_run_is(run: Path) -> None:
    """Identity, exception, notes, session and environment; markup is text."""

    async def scene(show: Show) -> None:
        await show.until_shown("run  failed", str(run)[:20], "#[red]t", "why [/] so", "ZeroDivisionError")
        titles = ["exception", "notes", "session", "environment"]
        lines = [line.strip(" ▁▂▃▄▅▆▇█") for line in show.lines]  # without the scroll bar
        places = [lines.index(title) for title in titles]
        assert places == sorted(places)
        assert any(line.split() == ["rows", "1"] for line in show.lines)
        await show.press("y")
        assert '"name": "run"' in show.app.clipboard

    watch(run, scene)


def test_info_of_a_run_that_ends_meanwhile_follows(tmp_path: Path) -> None:
    """Its status, its rows, and how its rows are kept."""
    with skald.Logger("run", tmp_path) as logger:

        async def scene(show: Show) -> None:
            await show.until_shown("run  running", "storage")
            logger.log_metric("loss", 1.0)
            await show.until_shown("1 of them not compacted yet")
            logger.close()
            await show.until_shown("run  finished", "ended")
            await show.until_gone("not compacted yet")

        watch(tmp_path / "run", scene)


def test_info_of_a_damaged_and_of_a_removed_run_stays(run: Path) -> None:
    """Below a line that says what is wrong."""

    async def scene(show: Show) -> None:
        await show.until_shown("run  failed")
        (run / "run.json").write_text("[]", encoding="utf-8")
        await show.until_shown("run.json must hold an object", "run  failed")
        shutil.rmtree(run)
        await show.until_shown("This run is gone", "run  failed")

    watch(run, scene)


def test_info_of_a_terminal_that_is_made_narrower_is_laid_out_anew(run: Path) -> None:
    """Nothing is cut at its right side."""

    async def scene(show: Show) -> None:
        await show.until_shown("packages")
        await show.pilot.resize_terminal(50, 60)
        await show.until(lambda: all(len(line) <= 50 for line in show.lines) and "executable" in show.text)

    watch(run, scene)


def test_info_page_of_several_sessions_tells_the_newest_first() -> None:
    """With what each of them refused, and how it ended."""
    sessions = [
        Session(
            writer="w1", host="one", pid=1, started=WHEN, ended=WHEN, status="crashed", refused={"ValueTypeError": 3}
        ),
        Session(writer="w2", host="two", pid=2, started=WHEN, joined=True, exception="Traceback\nKeyError: 'x'"),
    ]

    text = page_text(RunInfo(name="run", started=WHEN, sessions=sessions))

    assert text.index("two, process 2  joined") < text.index("one, process 1")
    assert "refused calls (ValueTypeError)  3" in text
    assert "KeyError: 'x'" in text


def test_info_page_tells_what_forked_children_lost() -> None:
    """All of them together."""
    children = [
        Child(writer="w2", refused={"ValueTypeError": 3}, rounded=1),
        Child(writer="w3", refused={"ValueTypeError": 4}),
    ]

    text = page_text(RunInfo(name="run", started=WHEN, children=children))

    assert "forked children" in text
    assert "refused calls (ValueTypeError)  7" in text
    assert re.search(r"rounded ints +1$", text, re.MULTILINE)


@pytest.mark.parametrize("odd", [None, 1, "text", ["a", {}], {"a": {"b": [1]}}])
def test_info_page_bears_what_people_make_of_run_json(odd: object) -> None:
    """Whatever stands in the environment is shown or left out."""
    names = ["command", "packages", "variables", "git", "missing", "memory_bytes", "cpu", "host"]

    text = page_text(RunInfo(name="run", started=WHEN, environment=dict.fromkeys(names, odd)))

    assert text.startswith("run  running")


def test_info_page_fits_its_width() -> None:
    """Long values stand on several lines, packages in as many columns as fit."""
    environment = {"command": ["python", "x" * 300], "packages": {f"package-{n}": "1.0" for n in range(7)}}

    lines = page(facts_of(RunInfo(name="run", started=WHEN, environment=environment)), 60)

    widths = [sum(len(text) for text, _ in line) for line in lines]
    assert max(widths) <= 60
    assert page_text(RunInfo(name="run", started=WHEN, environment=environment)).count("x") >= 300
    assert sum("package-" in "".join(text for text, _ in line) for line in lines) == 2


def page_text(info: RunInfo) -> str:
    """Return what is told of a run, in a terminal of sixty columns."""
    return "\n".join("".join(text for text, _ in line) for line in page(facts_of(info), 60))


def facts_of(info: RunInfo) -> Facts:
    """Return facts of a run without rows."""
    return Facts(Path("/runs/run"), info, "running", dt.timedelta(0), (0, 0), 0, ())
