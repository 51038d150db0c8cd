"""The viewer's table of runs: sorted, filtered, marked, live, and how it looks."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from stage import Show, play

import skald
from skald.cli.format import local_time
from skald.errors import InvalidInputError
from skald.viewer.compare_screen import CompareScreen
from skald.viewer.run_rows import Order, RunRows, choose, columns_of
from skald.viewer.run_screen import RunScreen
from skald.viewer.runs_screen import RunsScreen
from skald.viewer.table import Table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of three runs that differ in two params, the last of which failed."""
    for number, (name, lr, depth) in enumerate([("a", 0.1, 4), ("beta", 0.01, 8), ("[red]c", 0.001, 4)]):
        log_run(tmp_path / "runs", name, status="failed" if number == 2 else "finished", lr=lr, depth=depth)
    return tmp_path / "runs"


def log_run(folder: Path, name: str, *, status: Literal["finished", "failed"] = "finished", **params: float) -> None:
    """Log a run with a metric."""
    logger = skald.Logger(name, folder, tags=["[b]t"] if name == "a" else [])
    logger.log_params({"seed": 0, **params})
    for step in range(3):
        logger.log_metric("loss", step + params.get("depth", 0), step=step)
    logger.close(status)


def watch(folder: Path, scene: Callable[[Show], Awaitable[None]], *, size: tuple[int, int] = (100, 12)) -> None:
    """Play a scene with the table of a folder."""
    play(lambda: RunsScreen(folder), scene, size=size)


def names(show: Show) -> list[str]:
    """Return the runs that are shown, in their order."""
    rows = show.app.screen.query_one(Table).rows
    return [Path(key).name for key in rows.keys]


def test_runs_show_first_the_params_that_differ(folder: Path) -> None:
    """A screen as it looks: the newest first, what is the same in all at the end."""

    async def scene(show: Show) -> None:
        await show.until_shown("3 runs", "2 finished", "1 failed")
        lines = [" ".join(line.split()) for line in show.lines]
        assert lines[1] == "run status lr depth started ▼ duration rows tags seed"
        assert [line.split()[:4] for line in lines[2:5]] == [
            ["[red]c", "failed", "0.001", "4"],
            ["beta", "finished", "0.01", "8"],
            ["a", "finished", "0.1", "4"],
        ]
        assert lines[4].endswith("3 [b]t 0")

    watch(folder, scene)


def test_runs_that_started_in_one_minute_are_told_apart(folder: Path) -> None:
    """Their start is told to the second; the minute alone where it tells them apart."""

    async def scene(show: Show) -> None:
        await show.until_shown("3 runs")
        assert all(local_time(skald.Run(folder / name).started) in show.text for name in names(show))

    watch(folder, scene)

    moments = [dt.datetime(2026, 11, 29, 8, minute, 31, tzinfo=dt.UTC) for minute in (1, 2)]
    table = table_of(["a", "b"], lr=[0.1, 0.2]).with_columns(pl.Series("started", moments))
    rows = RunRows(table, table, set(), Order())
    started = rows.names.index("started") + 1
    assert [rows.cells(row, [started])[0][0][-3:] for row in range(2)] == [":01", ":02"]


def test_params_that_are_long_leave_room_for_other_columns(tmp_path: Path) -> None:
    """A prompt of a page is cut, and when the run started is still to be seen."""
    for name in ("a", "b"):
        with skald.Logger(name, tmp_path, capture=False) as logger:
            logger.log_params(prompt=f"{name} long prompt " * 50)

    async def scene(show: Show) -> None:
        await show.until_shown("a long prompt a long pr…", "b long prompt b long pr…", "started")
        assert all(local_time(skald.Run(tmp_path / name).started) in show.text for name in "ab")

    watch(tmp_path, scene, size=(80, 12))


def test_runs_are_sorted_by_the_column_that_is_chosen(folder: Path) -> None:
    """Once up, again down; the title says which way, and the cursor is on the first run."""

    async def scene(show: Show) -> None:
        await show.until_shown("[red]c")
        await show.press("right", "right", "right", "s")
        await show.until_shown("lr ▲")
        assert names(show) == ["[red]c", "beta", "a"]
        await show.press("s")
        await show.until_shown("lr ▼")
        assert names(show) == ["a", "beta", "[red]c"]
        assert show.app.screen.query_one(Table).cursor == 0

    watch(folder, scene)


def test_runs_are_sorted_by_a_click_on_a_title(folder: Path) -> None:
    """The mouse does what the keys do."""

    async def scene(show: Show) -> None:
        await show.until_shown("[red]c")
        await show.pilot.click(Table, offset=(show.lines[1].index("depth"), 0))
        await show.until_shown("depth ▲")
        assert names(show)[-1] == "beta"

    watch(folder, scene)


def test_runs_are_filtered_by_words_and_by_conditions(folder: Path) -> None:
    """While they are typed; a condition that is wrong says so, and escape shows all again."""

    async def scene(show: Show) -> None:
        await show.until_shown("[red]c")
        await show.press("slash")
        await show.type("fin BET")
        await show.until(lambda: names(show) == ["beta"])
        await show.until_shown("1 of 3 runs")
        await show.press("escape")
        await show.until(lambda: len(names(show)) == 3)
        await show.press("slash")
        await show.type("depth = 4 and lr > 0.05")
        await show.until(lambda: names(show) == ["a"])
        await show.type(" and nothing = 1")
        await show.until_shown("nothing")
        await show.press("escape")
        await show.until(lambda: len(names(show)) == 3)

    watch(folder, scene)


def test_runs_that_no_filter_matches_are_not_there(folder: Path) -> None:
    """A word says how to see them again."""

    async def scene(show: Show) -> None:
        await show.until_shown("[red]c")
        await show.press("slash")
        await show.type("[nothing]")
        await show.until_shown("no run is like that", "0 of 3 runs")
        await show.press("enter", "enter", "space", "c")
        await show.press("escape")
        await show.until(lambda: len(names(show)) == 3)

    watch(folder, scene)


def test_runs_show_the_metrics_that_are_asked_for(folder: Path) -> None:
    """Before the params, to sort by; one that no run has is said."""

    async def scene(show: Show) -> None:
        await show.until_shown("[red]c")
        await show.press("m")
        await show.type("los*")
        await show.press("enter")
        await show.until_shown("loss.last", "loss.min")
        await show.press("m")
        await show.type("x")
        await show.press("enter")
        await show.until_shown("there is no metric 'x'")

    watch(folder, scene)


def test_runs_come_change_and_go_while_they_are_watched(folder: Path) -> None:
    """A new run, one that ends, one that is damaged and one that is removed; the cursor stays on its run."""

    async def scene(show: Show) -> None:
        await show.until_shown("[red]c")
        await show.press("down")
        with skald.Logger("new", folder):
            await show.until_shown("new", "1 running")
        await show.until_gone("1 running")
        (folder / "beta" / "run.json").write_text("{", encoding="utf-8")
        await show.until_shown("1 unreadable", "beta")
        shutil.rmtree(folder / "a")
        await show.until(lambda: "a" not in names(show))
        key = show.app.screen.query_one(Table).key
        assert key is not None
        assert Path(key).name == "beta"
        await show.until_shown("Input data was truncated")

    watch(folder, scene)


def test_runs_of_a_folder_that_is_removed_stay_on_the_screen(folder: Path) -> None:
    """Below a line that says so."""

    async def scene(show: Show) -> None:
        await show.until_shown("[red]c")
        shutil.rmtree(folder)
        await show.until_shown("there is no run or folder of runs at", "[red]c")

    watch(folder, scene)


def test_runs_are_opened_with_enter_and_left_with_escape(folder: Path) -> None:
    """The table is as it was then."""

    async def scene(show: Show) -> None:
        await show.until_shown("[red]c")
        await show.press("down", "enter")
        await show.until(lambda: isinstance(show.app.screen, RunScreen))
        await show.press("escape")
        await show.until(lambda: isinstance(show.app.screen, RunsScreen))
        assert show.app.screen.query_one(Table).cursor == 1

    watch(folder, scene)


def test_runs_that_cannot_be_read_can_be_opened(folder: Path) -> None:
    """What is wrong with them is told in each tab."""
    (folder / "beta" / "run.json").write_text("{", encoding="utf-8")

    async def scene(show: Show) -> None:
        await show.until_shown("unreadable")
        await show.press("end", "enter")
        await show.until_shown("unreadable", "Input data was truncated")
        for key in "2345":
            await show.press(key)
            await show.until_shown("Input data was truncated")
        await show.press("escape")
        await show.until_shown("3 runs")

    watch(folder, scene, size=(200, 20))


def test_runs_that_are_marked_are_compared(folder: Path) -> None:
    """Their params that differ stand above their metrics."""

    async def scene(show: Show) -> None:
        await show.until_shown("[red]c")
        await show.press("down", "space")
        await show.until_shown("1 marked", "●")
        await show.press("space", "c")
        await show.until(lambda: isinstance(show.app.screen, CompareScreen))
        await show.until_shown("2 runs over each other", "beta", "lr")
        assert names(show) == ["beta", "a"]
        await show.press("escape")
        await show.until_shown("2 marked")
        await show.press("escape")
        await show.until_gone("2 marked")

    watch(folder, scene, size=(100, 30))


def test_runs_that_are_compared_are_followed(folder: Path) -> None:
    """Their table tells it when one logs, ends or is deleted, and what was known of it stays."""
    logger = skald.Logger("live", folder, capture=False)

    def line(show: Show) -> list[str]:
        """Return what the table says of the run."""
        return next(line for line in show.lines if " live " in line).split()

    async def scene(show: Show) -> None:
        await show.until_shown("4 runs", "1 running")
        await show.press("a", "c")
        await show.until_shown("4 runs over each other")
        assert line(show)[:2] == ["live", "running"]
        logger.log_params(lr=0.5)
        logger.log_metric("loss", 1.0, step=0)
        logger.close()
        await show.until(lambda: line(show)[:3] == ["live", "finished", "0.5"])
        shutil.rmtree(folder / "live")
        await show.until(lambda: line(show)[:3] == ["live", "gone", "0.5"])
        shutil.rmtree(folder)
        await show.until(lambda: show.text.count(" gone ") == 4)

    watch(folder, scene, size=(120, 30))


def test_runs_that_are_too_many_are_not_compared(tmp_path: Path) -> None:
    """More than can be told apart: a word says so, which no older ones cover."""
    for number in range(21):
        log_run(tmp_path, f"run{number}")

    async def scene(show: Show) -> None:
        await show.until_shown("21 runs")
        await show.press("s", "s", "a")
        await show.until(lambda: len(show.app._notifications) == 1)
        await show.press("c")
        await show.until_shown("at most 20 can be compared: 21 runs are marked")
        assert not show.app._notifications

    watch(tmp_path, scene)


def test_runs_of_an_empty_folder_are_waited_for(tmp_path: Path) -> None:
    """The first run appears by itself."""

    async def scene(show: Show) -> None:
        await show.until_shown("no runs here yet")
        log_run(tmp_path, "first")
        await show.until_shown("first")

    watch(tmp_path, scene)


def test_choosing_wants_all_words() -> None:
    """In names, statuses, tags and params, whatever their case."""
    table = table_of(["alpha", "beta"], lr=[0.1, 0.2])

    assert choose(table, "AL finished", Order("run"))["run"].to_list() == ["alpha"]
    assert choose(table, "lr=0.2", Order("run"))["run"].to_list() == ["beta"]
    assert choose(table, "al lr", Order("run"))["run"].to_list() == ["alpha"]
    assert choose(table, "al be", Order("run"))["run"].to_list() == []


def test_choosing_refuses_a_wrong_condition() -> None:
    """An error of Skald, for the line below the table."""
    with pytest.raises(InvalidInputError):
        choose(table_of(["a"], lr=[0.1]), "lr <", Order("run"))


def test_choosing_puts_missing_values_last_and_unknown_columns_aside() -> None:
    """A column that is gone with its metric sorts as from the beginning."""
    table = table_of(["a", "b", "c"], lr=[0.2, None, 0.1])

    assert choose(table, "", Order("params.lr", descending=True))["run"].to_list() == ["a", "c", "b"]
    assert choose(table, "", Order("gone.last"))["run"].to_list() == ["a", "b", "c"]


def test_columns_begin_with_metrics_and_what_differs() -> None:
    """Then come the facts, and at last what is the same in all."""
    table = table_of(["a", "b"], same=[1.0, 1.0], lr=[0.1, 0.2]).with_columns(pl.Series("loss.last", [1.0, 2.0]))

    assert columns_of(table) == [
        "run", "status", "loss.last", "params.lr", "started", "duration", "rows", "params.same",
    ]  # fmt: skip


def test_rows_of_thousands_of_runs_make_no_text_before_it_is_seen() -> None:
    """Of 20,000 runs with 40 params a few hundred texts a column are made, to measure it, and no others."""
    table = table_of([f"r{n}" for n in range(20_000)], **{f"p{k}": [n / 7 for n in range(20_000)] for k in range(40)})

    rows = RunRows(table, table, set(), Order())

    assert len(rows.keys) == 20_000
    assert rows.cells(19_999, [0, 1]) == [("", "warm"), ("r19999", "strong")]
    assert {column.width for column in rows.columns if column.title.startswith("p")} == {11}


def table_of(runs: list[str], **params: list[float | None] | list[float]) -> pl.DataFrame:
    """Return a table as `skald.runs` returns it."""
    count = len(runs)
    facts = {
        "run": runs,
        "path": [f"/{run}" for run in runs],
        "status": ["finished"] * count,
        "started": [None] * count,
        "duration": [None] * count,
        "rows": [0] * count,
        "tags": [[]] * count,
    }
    types = {"started": pl.Datetime("us", "UTC"), "duration": pl.Duration("us"), "tags": pl.List(pl.String)}
    columns = {f"params.{name}": values for name, values in params.items()}
    return pl.DataFrame(facts | columns, schema_overrides=types)
