"""The viewer's tab of metrics: the grid, one plot with a cursor, names, x, smoothing, and what comes meanwhile."""

from __future__ import annotations

import asyncio
import math
import shutil
import warnings
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from stage import Show, play

import skald
from skald.engine.follower import Follower, News
from skald.viewer.app import ViewerApp
from skald.viewer.metrics_pane import MetricsPane
from skald.viewer.names import found_by, grouped
from skald.viewer.outline import Outline
from skald.viewer.plot_grid import PlotGrid, tile
from skald.viewer.plot_view import PlotView


def log(folder: Path, name: str = "run", offset: float = 0.0) -> Path:
    """Log a run with a curve that falls, two series, rows without ids, a NaN and histograms; return its folder."""
    with skald.Logger(name, folder, capture=False) as logger:
        for step in range(40):
            logger.log_metric("train/loss", math.nan if step == 20 else offset + 2.0 - step / 20, epoch=step // 10,
                              step=step)  # fmt: skip
            for split in ("train", "val"):
                logger.log_metric("accuracy", offset + step / 40 - (split == "val") / 10, step=step, split=split)
        for epoch in range(4):
            logger.log_histogram("weights", np.linspace(-1, epoch, 50), bins=5, epoch=epoch)
        logger.log_metric("train/lr", 0.1, step=0)
    return folder / name


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a run."""
    return log(tmp_path)


def watch(
    runs: Path | dict[str, Path], scene: Callable[[Show], Awaitable[None]], *, size: tuple[int, int] = (80, 24)
) -> None:
    """Play a scene with the metrics of a run, or of several."""
    found = runs if isinstance(runs, dict) else {runs.name: runs}

    async def live(show: Show) -> None:
        pane = show.app.query_one(MetricsPane)
        pane.set_interval(0.2, pane.refresh_live)
        await scene(show)

    play(lambda: MetricsPane(found), live, size=size)


def golden(name: str) -> str:
    """Return a screen as it was found to look right."""
    return (Path(__file__).parent / "screens" / f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")


def grid_of(show: Show) -> PlotGrid:
    """Return the grid."""
    return show.app.query_one(PlotGrid)


def test_metrics_fill_the_terminal_with_plots(run: Path) -> None:
    """A screen as it looks: titles with the last value, legends, ticks, what x is, the curves, and the keys."""

    async def scene(show: Show) -> None:
        await show.until_shown("0.05", "train 0.975", "weights", "█")
        await show.until_gone("reading")
        assert show.text == golden("viewer_grid")

    watch(run, scene)


def test_plot_is_enlarged_and_its_cursor_reads_values(run: Path) -> None:
    """Enter enlarges it; the cursor starts at the newest value, and tells x, value and what a column holds."""

    async def scene(show: Show) -> None:
        await show.until_shown("0.05")
        await show.press("enter")
        await show.until_shown("step 39", "value 0.05")
        assert show.text == golden("viewer_plot")
        await show.press("home")
        await show.until_shown("step 0", "value 2")
        await show.press("right", "right")
        await show.until_shown("step 1", "value 1.95")
        await show.press("escape")
        await show.until_shown("accuracy")
        assert grid_of(show).has_focus

    watch(run, scene)


def test_cursor_reads_each_series_where_it_is_put(run: Path) -> None:
    """Of several curves each has its value in the legend; n and p go to the next plot; a click puts the cursor."""

    async def scene(show: Show) -> None:
        await show.until_shown("train 0.975")
        await show.press("enter", "n")
        await show.until_shown("split=train 0.975", "split=val 0.875", "step 39")
        view = show.app.query_one(PlotView)
        await show.pilot.click(PlotView, offset=(8, 5))
        await show.until(lambda: view.cursor is not None)
        await show.until_gone("split=train 0.975")
        await show.press("p")
        await show.until_shown("train/loss", "1 value NaN or infinite")

    watch(run, scene)


def test_cursor_tells_what_a_column_of_many_rows_holds(tmp_path: Path) -> None:
    """Mean, extremes and the count of NaN of the rows that share a column."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        values = np.tile([0.0, 10.0], 5_000)
        values[7] = np.nan
        logger.log_batch({"loss": values}, step=np.arange(10_000))

    async def scene(show: Show) -> None:
        await show.until_shown("loss")
        await show.press("enter")
        await show.until_shown("0 to 10,", "rows")
        await show.press("home")
        await show.until_shown("1 NaN or infinite")

    watch(tmp_path / "run", scene)


def test_cursor_tells_where_a_value_is_from_and_that_it_is_a_mean(tmp_path: Path) -> None:
    """A curve without a value in its column has the place beside it; several rows have a mean."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for step in range(1000):
            logger.log_metric("loss", 2.0, step=step, split="train")
        logger.log_metric("loss", 1.1, step=700, split="val")

    async def scene(show: Show) -> None:
        await show.until_shown("loss")
        await show.press("enter", "home")
        await show.until_shown("split=train mean 2", "split=val 1.1 at 700")
        view = show.app.query_one(PlotView)
        view.cursor = view._column_of(700.0)
        await show.until_gone(" at 700")

    watch(tmp_path / "run", scene)


def test_cursor_counts_rows_where_the_only_id_falls(tmp_path: Path) -> None:
    """It does not call the position a step."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for step in (5, 3, 9, 1):
            logger.log_metric("loss", step * 10.0, step=step)

    async def scene(show: Show) -> None:
        await show.until_shown("loss", "row (step)")
        await show.press("enter")
        await show.until_shown("row (step) 3", "value 10")

    watch(tmp_path / "run", scene)


def test_cursor_in_histograms_is_at_one_that_was_logged(tmp_path: Path) -> None:
    """It names its place, and the edges and the count of the fullest bin."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for epoch in range(10):
            logger.log_histogram("weights", [0.0, *[epoch + 0.9] * 6, epoch + 1.0], bins=[0, epoch + 0.5, epoch + 1],
                                 epoch=epoch)  # fmt: skip

    async def scene(show: Show) -> None:
        await show.until_shown("weights")
        await show.press("enter")
        await show.until_shown("epoch 9", "fullest bin 9.5 to 10: 7")
        await show.press("home")
        await show.until_shown("epoch 0", "fullest bin 0.5 to 1: 7")

    watch(tmp_path / "run", scene)


@pytest.mark.parametrize(("size", "shown"), [((80, 24), 7), ((80, 60), 19), ((120, 14), 11)])
def test_legend_of_many_curves_says_how_many_have_no_room(tmp_path: Path, size: tuple[int, int], shown: int) -> None:
    """It takes a third of the height where it is below the plot; scrolled to its end it says nothing."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for number in range(40):
            logger.log_metric("loss", 1.0, step=1, kind=f"k{number:02d}")

    async def scene(show: Show) -> None:
        await show.until_shown("loss")
        await show.press("t" if size[0] > 100 else "n", "enter")
        await show.until_shown("kind=k00")
        await show.until(lambda: show.text.count("kind=") == shown - 1)
        await show.until_shown(f"... and {41 - shown} more")
        await show.press(*["down"] * 40)
        await show.until_shown("kind=k39")
        await show.until_gone("more")

    watch(tmp_path / "run", scene, size=size)


def test_names_are_grouped_searched_and_chosen(run: Path) -> None:
    """The tree points at plots, a search leaves those that it finds, escape shows all again."""

    async def scene(show: Show) -> None:
        await show.until_shown("▼ train/", "loss", "accuracy", "4 metrics")
        await show.press("slash")
        await show.type("TRAIN /*r")
        await show.until_shown("1 of 4")
        assert list(grid_of(show).metrics) == ["train/lr"]
        await show.press("enter")
        assert grid_of(show).has_focus
        await show.press("escape")
        await show.until_shown("4 metrics")
        show.app.query_one(Outline).focus()
        await show.press("down", "down", "down")
        await show.until(lambda: grid_of(show).metric == "accuracy")
        await show.press("up")
        await show.until(lambda: grid_of(show).metric == "train/lr")
        await show.press("enter")
        await show.until(lambda: show.app.query_one(PlotView).metric == "train/lr")
        await show.press("t")
        await show.until_gone("▼ train/")
        assert show.app.query_one(PlotView).has_focus
        await show.press("t")
        await show.until_shown("▼ train/")
        assert show.app.query_one(Outline).has_focus

    watch(run, scene, size=(120, 30))


def test_search_finds_another_plot_while_one_is_enlarged(run: Path) -> None:
    """What is found takes the place of the plot that is not, and escape leaves it there among all."""

    async def scene(show: Show) -> None:
        await show.until_shown("0.05")
        await show.press("enter")
        await show.until_shown("step 39", "value 0.05")
        await show.press("slash", "w", "e")
        await show.until_shown("1 of 4", "epoch 3")
        await show.press("escape")
        await show.until_shown("4 metrics", "epoch 3")

    watch(run, scene)


def test_groups_of_metrics_that_come_meanwhile_are_open_while_names_are_few(tmp_path: Path) -> None:
    """A group is seen with its names when its first metric is logged; of many names a group is opened by hand."""

    async def scene(show: Show) -> None:
        await show.until_shown("▼ a/", "loss")
        logger.log_metric("b/accuracy", 1.0)
        await show.until_shown("▼ b/", "accuracy")
        logger.log_metrics({f"c/metric{number}": 0.0 for number in range(60)})
        await show.until_shown("▼ a/", "▼ b/", "▶ c/")

    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_metric("a/loss", 1.0)
        watch(logger.run.path, scene, size=(120, 30))


def test_x_is_chosen_for_all_plots(run: Path) -> None:
    """An id, the time, or the time since the start; and back to what suits each metric."""

    async def scene(show: Show) -> None:
        await show.until_shown("step")
        await show.press("x")
        await show.until_shown("Draw over", "epoch", "time since the start")
        await show.press("down", "enter")
        await show.until_shown("x epoch")
        await show.press("enter")
        await show.until_shown("epoch 3")
        await show.press("x", "end", "enter")
        await show.until_shown("x relative", "seconds since the start")
        await show.press("x", "home", "enter")
        await show.until_gone("x relative")

    watch(run, scene)


def test_number_id_has_a_curve_for_each_value_on_request(run: Path) -> None:
    """The legend lists the values, each with its value at the cursor."""

    async def scene(show: Show) -> None:
        await show.until_shown("0.05")
        await show.press("b")
        await show.until_shown("A curve for each value of", "epoch")
        await show.press("down", "enter", "enter")
        await show.until_shown("by epoch", "epoch=0", "epoch=1", "epoch=2")
        await show.press("down", "down")
        await show.until_shown("epoch=3 0.05")

    watch(run, scene)


def test_ids_are_offered_that_the_metrics_on_the_screen_have(run: Path) -> None:
    """Enlarged, a metric is not offered an id that it lacks; neither to split it by nor as its x."""

    async def scene(show: Show) -> None:
        await show.until_shown("train 0.975", "0.05")
        await show.press("enter", "n")  # accuracy, which has no epoch
        await show.until_shown("split=train 0.975")
        for key, title in (("b", "A curve for each value of"), ("x", "Draw over")):
            await show.press(key)
            await show.until_shown(title, "step")
            assert "epoch" not in show.text
            await show.press("escape")
            await show.until_gone(title)
        await show.press("p")
        await show.until_shown("value 0.05")
        await show.press("b")
        await show.until_shown("A curve for each value of", "epoch")

    watch(run, scene)


def test_enlarged_plot_is_seen_in_a_low_terminal(run: Path) -> None:
    """The legend yields to the curve, not the curve to the legend."""

    async def scene(show: Show) -> None:
        await show.until_shown("loss")
        await show.press("enter")
        await show.until_shown("step 39", "┤", "└")

    watch(run, scene, size=(40, 10))


def test_plot_that_is_enlarged_without_room_for_a_legend_tells_values_in_its_title(run: Path) -> None:
    """Of each curve the value at the cursor, in the order of the colours."""

    async def scene(show: Show) -> None:
        await show.until_shown("loss")
        await show.press("enter")
        await show.until_shown("step 39 0.05", "└")
        await show.press("n")
        await show.until_shown("step 39 0.975 0.875")

    watch(run, scene, size=(40, 8))


def test_metrics_of_a_terminal_without_room_for_plots_are_told_with_their_last_values(run: Path) -> None:
    """A line each, which scrolls."""

    async def scene(show: Show) -> None:
        await show.until_shown("train/loss  0.05", "accura")
        await show.press("end")
        await show.until_shown("train/lr     0.1")

    watch(run, scene, size=(20, 5))


def test_curves_are_smoothed_and_axes_logarithmic(run: Path) -> None:
    """Each key changes all plots, and the line above them says how they are drawn."""

    async def scene(show: Show) -> None:
        await show.until_shown("0.05")
        await show.press("enter")
        await show.until_shown("value 0.05")
        await show.press("s", "s", "s", "s")
        await show.until_shown("smooth 0.9", "value 0.4")
        await show.press("S", "S", "S", "S")
        await show.until_gone("smooth")
        await show.press("l")
        await show.until_shown("log y")
        await show.press("L")
        await show.until_shown("log y x", "without an x")
        await show.press("l", "L")
        await show.until_gone("log y")

    watch(run, scene)


def test_new_rows_new_metrics_and_the_end_are_seen(tmp_path: Path) -> None:
    """What a logger does while one looks is on the screen shortly after."""
    logger = skald.Logger("live", tmp_path, capture=False)
    logger.log_metric("loss", 1.0, step=0)

    async def scene(show: Show) -> None:
        await show.until_shown("loss", "1 metric")
        logger.log_metric("loss", 0.25, step=1)
        await show.until_shown("0.25")
        logger.log_metric("accuracy", 0.5, step=1)
        await show.until_shown("accuracy", "2 metrics")
        await show.press("enter")
        await show.until_shown("step 1")
        logger.log_metric("loss", 0.125, step=2)
        await show.until_shown("step 2", "0.125")
        logger.close()
        await show.press("escape")
        await show.until_shown("accuracy")

    watch(tmp_path / "live", scene)


def test_new_rows_are_drawn_without_reading_those_before_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run that is watched each look takes in what came since the last, also where one plot is enlarged."""
    reads: list[int] = []
    news: list[int] = []
    read, poll = Follower.read, Follower.poll

    def counted_read(follower: Follower, metrics: Collection[str]) -> pl.DataFrame:
        rows = read(follower, metrics)
        reads.append(len(rows))
        return rows

    def counted_poll(follower: Follower) -> News:
        found = poll(follower)
        news.append(len(found.rows))
        return found

    monkeypatch.setattr(Follower, "read", counted_read)
    monkeypatch.setattr(Follower, "poll", counted_poll)

    async def scene(show: Show) -> None:
        await show.until_shown("loss", "999")
        assert sum(reads) == 1000
        for step in range(1000, 1030, 10):
            logger.log_batch({"loss": np.arange(step, step + 10.0)}, step=np.arange(step, step + 10))
            await show.until_shown(str(step + 9))
        await show.press("enter")
        await show.until_shown("to 1029,")
        logger.log_metric("loss", 7.5, step=1030)
        await show.until_shown("7.5 to 1029,")
        assert (sum(reads), sum(news)) == (1000, 31)

    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_batch({"loss": np.arange(1000.0)}, step=np.arange(1000))
        watch(logger.run.path, scene)


def test_runs_are_drawn_over_each_other(run: Path, tmp_path: Path) -> None:
    """Each curve says whose it is; a run without a metric has none of it."""
    other = log(tmp_path, "other", offset=1.0)

    async def scene(show: Show) -> None:
        await show.until_shown("run 0.05", "other 1.05")
        await show.press("enter", "n")
        await show.until_shown("run split=train", "other split=val")

    watch({"run": run, "other": other}, scene, size=(120, 30))


def test_histograms_are_a_heat_map_of_one_series_at_a_time(tmp_path: Path) -> None:
    """Down goes to the next series."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for split in ("train", "val"):
            for epoch in range(3):
                logger.log_histogram("weights", np.arange(10), bins=3, epoch=epoch, split=split)

    async def scene(show: Show) -> None:
        await show.until_shown("weights split=train", "█")
        await show.press("enter", "down")
        await show.until_shown("weights split=val", "█")

    watch(tmp_path / "run", scene)


def test_histograms_that_reach_too_far_are_told(tmp_path: Path) -> None:
    """Bins with infinite edges are left out of the picture with a word; the others are drawn."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for epoch in range(3):
            for low, high in ((0.0, 2.0), (2.0, float("inf"))):
                logger.log_metric("weights", 3, epoch=epoch, bin_low=low, bin_high=high)

    async def scene(show: Show) -> None:
        await show.until_shown("weights", "█")
        await show.press("enter")
        await show.until_shown("3 bins beyond", "█")

    watch(tmp_path / "run", scene)


def test_metrics_of_a_run_that_is_deleted_stay(run: Path) -> None:
    """What was read can be looked at further."""

    async def scene(show: Show) -> None:
        await show.until_shown("train 0.975", "train/lr")
        shutil.rmtree(run)
        await show.pilot.pause(0.5)
        await show.press("enter")
        await show.until_shown("step 39", "value 0.05")

    watch(run, scene)


def test_plots_are_paged_sized_and_clicked(tmp_path: Path) -> None:
    """Of many metrics those on the screen are drawn, wherever one goes."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for step in range(3):
            logger.log_metrics({f"m{number:03}": float(number) for number in range(300)}, step=step)

    async def scene(show: Show) -> None:
        grid = grid_of(show)
        await show.until_shown("m000", "m003", "300 metrics")
        await show.press("end")
        await show.until_shown("m299", "299")
        await show.press("home", "pagedown")
        await show.until_shown("m004")
        await show.press("down", "right", "left", "up", "pageup")
        assert grid.metric == "m000"
        await show.press("minus", "minus")
        await show.pilot.click(PlotGrid, offset=(50, 12))
        await show.until(lambda: grid.metric != "m000")
        await show.pilot.click(PlotGrid, offset=(50, 12))
        await show.until(lambda: show.app.query_one(PlotView).metric == grid.metric)

    watch(tmp_path / "run", scene)


def test_run_without_metrics_says_so_until_they_come(tmp_path: Path) -> None:
    """An empty run is no error."""
    logger = skald.Logger("run", tmp_path, capture=False)

    async def scene(show: Show) -> None:
        await show.until_shown("0 metrics")
        logger.log_metric("loss", 1.0)
        await show.until_shown("1 metric", "loss")
        logger.close()

    watch(tmp_path / "run", scene)


@pytest.mark.parametrize(
    ("count", "width", "height", "across"),
    [
        (1, 80, 20, 1),
        (2, 80, 20, 2),
        (3, 170, 50, 3),
        (300, 80, 20, 2),
        (300, 200, 58, 5),
        (4, 30, 6, 1),
        (4, 30, 5, 1),
        (0, 80, 20, 2),
    ],
)
def test_tiles_fill_their_place(count: int, width: int, height: int, across: int) -> None:
    """Few plots are large, many as large as they should be, and none is wider than its place."""
    tiling = tile(count, width, height)

    assert tiling.across == across
    assert tiling.across * tiling.width <= width
    assert tiling.height <= height


def test_names_are_grouped_by_their_parts() -> None:
    """A metric may be a group's name, too."""
    found = grouped(["a/b/c", "a/b", "a", "d/"])

    assert found == {"a/": {"b/": {"c": "a/b/c"}, "b": "a/b"}, "a": "a", "d/": {"/": "d/"}}


def test_names_are_found_by_words_and_globs() -> None:
    """Each word must be in the name, in any case."""
    names = ["train/loss", "val/loss", "val/Accuracy"]

    assert found_by("loss val", names) == ["val/loss"]
    assert found_by("*ACC*", names) == ["val/Accuracy"]
    assert found_by("", names) == names


def test_warnings_are_shown_on_the_screen(run: Path) -> None:
    """Of a damaged segment it is said that it is left out, and the screen is not torn."""
    segment = run / "segments" / "writer" / "000000.arrow"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"no segment at all")
    (segment.parent / "lock").touch()

    async def scene() -> None:
        warnings.simplefilter("always")
        app = ViewerApp([run])
        async with app.run_test(size=(100, 30), notifications=True) as pilot:
            show = Show(app, pilot)
            await show.until_shown("a damaged segment", "train/loss")

    with warnings.catch_warnings():
        asyncio.run(scene())


@pytest.mark.parametrize("size", [(10, 3), (24, 7), (41, 12), (300, 90)])
def test_metrics_are_drawn_in_terminals_of_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    """However small or large, and whatever names and values there are: nothing fails, and one can go on."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for step in range(5):
            values = [1e308, -1e308, math.inf, math.nan, 0.0]
            logger.log_metrics({"[red]m": values[step], "日本/語": -step, "constant": 7.0, "x" * 300: step}, step=step)

    async def scene(show: Show) -> None:
        grid = grid_of(show)
        await show.until(lambda: len(grid.metrics) == 4)
        for _ in range(4):
            await show.press("right", "enter", "left", "l", "L", "s", "n", "escape")
        await show.press("t", "x", "escape", "down", "up", "plus", "minus")
        assert show.app.is_running
        if size[0] > 100:
            await show.until_shown("[red]m")

    watch(tmp_path / "run", scene, size=size)
