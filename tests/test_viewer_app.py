"""The viewer's application: tabs, header, help, palette, themes, several paths, and terminals of ASCII."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from rich.segment import Segment
from stage import Show
from textual.color import Color
from textual.widgets import TabbedContent, Tabs

import skald
from skald.viewer.app import DARK, LIGHT, ViewerApp
from skald.viewer.capability import AsciiFilter, is_ascii_only, to_ascii
from skald.viewer.compare_screen import CompareScreen
from skald.viewer.header import RunHeader, header_text
from skald.viewer.plot_grid import PlotGrid
from skald.viewer.prompt import Prompt
from skald.viewer.run_screen import PANES
from skald.viewer.runs_screen import RunsScreen
from skald.viewer.watch import Vitals, Watch

NOW = dt.datetime(2026, 11, 29, tzinfo=dt.UTC)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run that ended."""
    return log(tmp_path, "run")


def log(folder: Path, name: str) -> Path:
    """Log a small run, and return its folder."""
    with skald.Logger(name, folder, capture=False) as logger:
        logger.log_params({"lr": 0.1})
        for step in range(10):
            logger.log_metrics({"loss": 1 / (step + 1), "accuracy": step / 10}, step=step)
    return folder / name


def view(*paths: Path, scene: Callable[[Show], Awaitable[None]], size: tuple[int, int] = (80, 24)) -> None:
    """Play a scene with the viewer on some paths."""

    async def play() -> None:
        app = ViewerApp(paths)
        async with app.run_test(size=size) as pilot:
            await scene(Show(app, pilot))

    asyncio.run(play())


def test_run_has_a_header_and_tabs_that_keys_reach(run: Path) -> None:
    """The header tells how the run is; a number goes to its tab, which then has the keys."""

    async def scene(show: Show) -> None:
        await show.until_shown("run", "finished", "20 rows", "points/s", "newest", "ago", "loss")
        for number, name in enumerate(PANES, 1):
            await show.press(str(number))
            tabs = show.app.screen.query_one(TabbedContent)
            await show.until(lambda name=name, tabs=tabs: tabs.active == f"tab-{name}")  # type: ignore[misc]
            await show.until(lambda tabs=tabs: bool(tabs.active_pane and tabs.active_pane.has_focus_within))  # type: ignore[misc]
        await show.press("1")
        await show.until(lambda: show.app.screen.query_one(PlotGrid).has_focus)

    view(run, scene=scene)


def test_tabs_are_reached_while_a_search_is_in_sight(run: Path) -> None:
    """What was searched for stays below a tab, and holds nobody there."""

    async def scene(show: Show) -> None:
        await show.press("3")
        await show.until_shown("at the end")
        await show.press("slash")
        await show.until_shown("search for")
        await show.type("finished")
        await show.press("enter")
        await show.until_shown("n Next match")
        await show.press("4")
        await show.until_shown("y Copy path")
        await show.press("2", "3")
        await show.until_shown("n Next match")

    view(run, scene=scene)


def test_search_takes_the_keys_when_the_tabs_have_the_focus(run: Path) -> None:
    """What is typed is no command: behind the tab key, behind a click on a tab, and where runs are compared."""

    async def typed(show: Show) -> None:
        await show.press("slash")
        await show.type("sq")
        await show.until(lambda: isinstance(show.app.focused, Prompt) and show.app.focused.value == "sq")

    async def tabbed(show: Show) -> None:
        await show.until_shown("loss")
        await show.press("2")
        await show.until_shown("0.1")
        await show.press("1")  # which gives it to the plots for the last time
        await show.until(lambda: show.app.screen.query_one(PlotGrid).has_focus)
        await show.press("shift+tab")
        await show.until(lambda: isinstance(show.app.focused, Tabs))
        await show.until_shown("/ Search")
        await typed(show)

    async def clicked(show: Show) -> None:
        await show.until_shown("loss")
        await show.pilot.click("#--content-tab-tab-console")
        await show.until_shown("at the end")
        await typed(show)

    async def compared(show: Show) -> None:
        await show.until_shown("loss")
        show.app.screen.query_one("#compare-runs").focus()
        await show.until(lambda: show.app.focused is not None and show.app.focused.id == "compare-runs")
        await typed(show)

    view(run, scene=tabbed)
    view(run, scene=clicked)
    view(run, log(run.parent / "more", "other"), scene=compared)


def test_tab_without_a_search_offers_none(run: Path) -> None:
    """The key does nothing where nothing is searched."""

    async def scene(show: Show) -> None:
        await show.press("5")
        await show.until(lambda: show.app.screen.query_one(TabbedContent).active == "tab-info")
        await show.until_gone("/ Search")
        await show.press("slash")
        assert not isinstance(show.app.focused, Prompt)

    view(run, scene=scene)


def test_run_that_is_rewound_and_resumed_while_it_is_watched_is_followed(tmp_path: Path) -> None:
    """Rows that are taken back go from the curve and the count; what is logged after that, and resumed, comes."""

    async def scene(show: Show) -> None:
        await show.until_shown("running", "40 rows", "39", "loss")
        await show.press("enter")
        await show.until_shown("step 39")
        logger.rewind(step=20)
        await show.until_shown("21 rows", "step 20", "value 20")
        logger.log_metric("loss", 7.0, step=21)
        await show.until_shown("22 rows", "step 21", "value 7")
        logger.close()
        await show.until_shown("finished")
        with skald.Logger("run", tmp_path, mode="resume", capture=False) as resumed:
            resumed.log_metric("loss", 8.0, step=22)
            await show.until_shown("running", "23 rows", "value 8")
        await show.until_shown("finished", "23 rows", "value 8")

    with skald.Logger("run", tmp_path, capture=False) as logger:
        for step in range(40):
            logger.log_metric("loss", float(step), step=step)
        view(logger.run.path, scene=scene, size=(100, 24))


def test_header_follows_a_run_to_its_end_and_beyond(tmp_path: Path) -> None:
    """Running, rows coming, finished, and gone: each is told within moments."""
    logger = skald.Logger("live", tmp_path, capture=False)
    logger.log_metric("loss", 1.0, step=0)

    async def scene(show: Show) -> None:
        await show.until_shown("running", "1 row ")
        logger.log_metric("loss", 1.0, step=1)
        await show.until_shown("2 rows")
        logger.close("stopped")
        await show.until_shown("stopped")
        shutil.rmtree(tmp_path / "live")
        await show.until_shown("gone", "the run was")
        assert "the run was" in show.app.screen.query_one(RunHeader).render_line(0).text

    view(tmp_path / "live", scene=scene)


def test_several_paths_are_drawn_over_each_other(run: Path, tmp_path: Path) -> None:
    """As runs that were marked are; a folder of runs is a table."""
    other = log(tmp_path / "more", "other")

    async def compared(show: Show) -> None:
        assert isinstance(show.app.screen, CompareScreen)
        await show.until_shown("2 runs over each other", "loss")

    async def listed(show: Show) -> None:
        assert isinstance(show.app.screen, RunsScreen)
        await show.until_shown("other", "run")

    view(run, other, scene=compared)
    view(tmp_path, scene=listed)


def test_help_palette_and_themes_are_at_hand(run: Path) -> None:
    """A question mark shows the keys and hides them, the palette finds what a key does, the theme changes."""

    async def scene(show: Show) -> None:
        await show.until_shown("loss")
        await show.press("question_mark")
        await show.until_shown("Larger plots", "Smooth less")
        await show.press("question_mark")
        await show.until_gone("Larger plots")
        await show.press("question_mark")
        await show.until_shown("Larger plots")
        await show.press("escape")
        await show.until_gone("Larger plots")
        assert show.app.theme == DARK
        await show.press("ctrl+t")
        assert show.app.theme == LIGHT
        await show.press("ctrl+t", "ctrl+p")
        await show.type("smooth less")
        await show.until_shown("Key: S")
        await show.press("enter")
        await show.until_shown("smooth 0.999")

    view(run, scene=scene, size=(120, 30))


def test_key_that_is_clicked_on_is_pressed_and_leaves_quitting_in_sight(run: Path) -> None:
    """Keys that there is no room for are left out before those of the application; the mouse reaches each."""

    async def scene(show: Show) -> None:
        await show.until_shown("Enlarge")
        place = show.lines[-1].index("Enlarge")
        await show.pilot.click(offset=(place, 23))
        await show.until(lambda: all(key in show.lines[-1] for key in ("All plots", "q Quit", "? Help")))

    view(run, scene=scene)


def test_keys_below_a_narrow_terminal_lead_to_all_others(run: Path, tmp_path: Path) -> None:
    """Of 80 columns, those for quitting and for help are in sight."""

    async def scene(show: Show) -> None:
        await show.until_shown("loss")
        await show.until(lambda: all(key in show.lines[-1] for key in ("q Quit", "? Help")))

    view(run, scene=scene)
    view(tmp_path, scene=lambda show: show.until_shown("q Quit", "? Help"))


def test_run_that_ended_without_metrics_is_not_waited_for(tmp_path: Path) -> None:
    """There are none, while a run that is written has none yet."""
    with skald.Logger("run", tmp_path, capture=False):
        view(tmp_path / "run", scene=lambda show: show.until_shown("no metrics yet"))

    async def scene(show: Show) -> None:
        await show.until_shown("no metrics")
        assert "no metrics yet" not in show.text

    view(tmp_path / "run", scene=scene)


@pytest.mark.parametrize(("name", "is_ascii"), [("C.UTF-8", False), ("en_US.utf8", False), ("de_DE.ISO-8859-1", True)])
def test_locale_says_whether_there_is_more_than_ascii(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    is_ascii: bool,  # noqa: FBT001
) -> None:
    """The first of the three variables that is set counts; the kernel's own console has few signs."""
    monkeypatch.setenv("LC_ALL", name)
    monkeypatch.setenv("TERM", "xterm")

    assert is_ascii_only() is is_ascii
    monkeypatch.setenv("TERM", "linux")
    assert is_ascii_only()


def test_ascii_takes_as_many_columns() -> None:
    """Frames, blocks and letters have signs that look alike; what has none is a question mark."""
    filtered = AsciiFilter().apply([Segment("│ä░\N{CJK UNIFIED IDEOGRAPH-65E5}⣿")], Color(0, 0, 0))

    assert filtered[0].text == "|a:? ?"
    assert to_ascii("plain") == "plain"


def test_header_tells_the_most_important_first() -> None:
    """What is wrong comes last, and what is not known is left out."""
    vitals = Vitals("running", dt.timedelta(minutes=2), 1234, 2.5, NOW - dt.timedelta(seconds=3))

    assert header_text("a", vitals, NOW).plain == "a  ● running  2 min 0 s  1,234 rows  2.5 points/s  newest 3.0 s ago"
    assert header_text("a", Vitals("gone", fault="deleted"), NOW).plain == "a  ● gone  0.0 s  0 rows  deleted"


def test_watch_tells_what_became_of_a_run(tmp_path: Path) -> None:
    """A run.json that cannot be read and a folder that is gone are no errors but states."""
    run = log(tmp_path, "run")
    watch = Watch(run)

    assert watch.look() is not None
    assert (watch.vitals.status, watch.vitals.rows) == ("finished", 20)
    (run / "run.json").write_text("{", encoding="utf-8")
    assert watch.look() is None
    assert (watch.vitals.status, watch.vitals.rows) == ("unreadable", 20)
    assert "run.json" in watch.vitals.fault
    shutil.rmtree(run)
    assert watch.look() is None
    assert watch.vitals.status == "gone"


def test_watch_counts_the_rows_that_come_in_a_second(tmp_path: Path) -> None:
    """Of a run that is written: those of the last seconds; of one that ended: all by its duration."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        watch = Watch(tmp_path / "run")
        logger.log_metric("loss", 1.0)
        watch.look()
        before = watch.vitals.per_sec
        for _ in range(500):
            logger.log_metric("loss", 1.0)
        watch.look()
        during = watch.vitals.per_sec
    watch.look()

    assert before == 0
    assert during > 0
    assert watch.vitals.per_sec == pytest.approx(501 / max(watch.vitals.duration.total_seconds(), 1e-3))


def test_error_of_the_painter_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong in the thread that draws ends the viewer with that error, and is not a plot that never comes."""

    def fail(*_: object) -> None:
        raise RuntimeError("on purpose")

    async def scene(show: Show) -> None:
        await show.until(lambda: not show.app.is_running)

    monkeypatch.setattr("skald.viewer.painter.make_plot", fail)

    with pytest.raises(RuntimeError, match="on purpose"):
        view(run, scene=scene)
