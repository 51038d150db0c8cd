"""Zooming into a plot: which part of x is shown, and that its rows are read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stage import Show, play
from textual import events

import skald
from skald.reading.axis import Span
from skald.viewer.metrics_pane import MetricsPane
from skald.viewer.plot_view import PlotView
from skald.viewer.zoom import panned, zoomed

WHOLE = Span(0.0, 100.0)


def test_zoom_keeps_what_is_at_the_cursor_where_it_is() -> None:
    """Half as wide is half as far on both sides of it."""
    assert zoomed(WHOLE, WHOLE, 20.0, 0.5, is_log=False) == Span(10.0, 60.0)
    assert zoomed(Span(1.0, 10_000.0), Span(1.0, 10_000.0), 100.0, 0.5, is_log=True) == Span(10.0, 1000.0)


def test_zoom_out_stays_inside_of_what_there_is_and_ends_with_all() -> None:
    """Beyond an end there is nothing to see, so more is shown on the other side."""
    assert zoomed(Span(10.0, 60.0), WHOLE, 10.0, 1.5, is_log=False) == Span(10.0, 85.0)
    assert zoomed(Span(80.0, 100.0), WHOLE, 90.0, 2.0, is_log=False) == Span(60.0, 100.0)
    assert zoomed(Span(10.0, 60.0), WHOLE, 20.0, 2.0, is_log=False) is None


def test_zoom_ends_where_floats_do() -> None:
    """What is too narrow to be told apart is not narrowed further; one place has no parts."""
    narrow = Span(50.0, 50.0001)

    assert zoomed(narrow, WHOLE, 50.0, 0.5, is_log=False) == narrow
    assert zoomed(Span(1.0, 1.0), Span(1.0, 1.0), 1.0, 0.5, is_log=False) is None


def test_pan_moves_as_far_as_there_is_something() -> None:
    """By a part of the width that is shown, and no further than to the ends."""
    assert panned(Span(10.0, 30.0), WHOLE, 0.5, is_log=False) == Span(20.0, 40.0)
    assert panned(Span(10.0, 30.0), WHOLE, -5.0, is_log=False) == Span(0.0, 20.0)
    assert panned(Span(10.0, 30.0), WHOLE, 5.0, is_log=False) == Span(80.0, 100.0)


def turned(view: PlotView, kind: type[events.MouseScrollUp | events.MouseScrollDown]) -> events.MouseEvent:
    """Return what a turn of the wheel over the middle of a plot sends."""
    return kind(view, 40, 5, 0, 0, 0, shift=False, meta=False, ctrl=False)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run of which a column of the whole plot holds hundreds of rows."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        steps = np.arange(100_000)
        logger.log_batch({"loss": steps % 2.0, "other": steps / 1.0}, step=steps)
        for epoch in range(100):
            logger.log_histogram("weights", np.linspace(0, epoch + 1, 50), bins=5, epoch=epoch)
    return logger.run.path


def test_plot_that_is_zoomed_shows_single_rows(run: Path) -> None:
    """The rows of the part are read again: the cursor reads one where it read the mean of hundreds; 0 shows all."""

    async def scene(show: Show) -> None:
        await show.until_shown("loss")
        await show.press("enter")
        await show.until_shown("0 to 1,", "step 99")
        await show.press("home", *["right"] * 10)
        await show.until_gone("step 99")
        for _ in range(14):
            await show.press("plus")
            await show.pilot.pause(0.05)
        await show.until_shown("zoomed, 0 shows all")
        await show.until_gone("0 to 1,")
        await show.press("0")
        await show.until_shown("0 to 1,")
        await show.until_gone("zoomed")

    play(lambda: MetricsPane({"run": run}), scene, size=(80, 24))


def test_plot_that_is_zoomed_is_moved_by_cursor_and_page_keys_and_the_wheel(run: Path) -> None:
    """Beyond an edge the part moves on; the wheel zooms around the mouse; another metric is shown whole."""

    async def scene(show: Show) -> None:
        view = show.app.query_one(PlotView)

        def span() -> Span:
            plot = view._plot
            assert plot is not None
            return plot.order.span or Span(0.0, 99_999.0)

        await show.until_shown("other")
        await show.press("enter", "n")
        await show.until_shown("step 99")
        await show.press("plus", "plus")
        await show.until(lambda: span().low > 74_000)
        await show.press("pageup")
        await show.until(lambda: 62_000 < span().low < 63_000 and span().high < 88_000)
        before = span()
        await show.press("end", "right")
        await show.until(lambda: before.low < span().low < before.low + 1000)
        await show.press("minus", "minus")
        await show.until(lambda: span() == Span(0.0, 99_999.0))
        view.post_message(turned(view, events.MouseScrollUp))
        await show.until(lambda: span().low > 10_000 and span().high < 90_000)
        view.post_message(turned(view, events.MouseScrollDown))
        await show.until(lambda: span() == Span(0.0, 99_999.0))
        await show.press("plus")
        await show.until_shown("zoomed")
        await show.press("p")
        await show.until_gone("zoomed")

    play(lambda: MetricsPane({"run": run}), scene, size=(80, 24))


def test_histograms_that_are_zoomed_have_a_column_each(run: Path) -> None:
    """Of a hundred histograms a part is shown, each as wide as there is room for; a new x shows all again."""

    async def scene(show: Show) -> None:
        view = show.app.query_one(PlotView)
        await show.until_shown("weights")
        await show.press("enter", "n", "n")
        await show.until_shown("epoch 99", "█")
        for _ in range(4):
            await show.press("plus")
            await show.pilot.pause(0.1)
        await show.until(
            lambda: bool(view._plot and view._plot.picture.heat and view._plot.picture.heat.shares.shape[1] == 7)
        )
        assert view._plot is not None
        heat = view._plot.picture.heat
        assert heat is not None
        assert not np.isnan(heat.shares).any()
        await show.press("x", "down", "down", "enter")
        await show.until_gone("zoomed")

    play(lambda: MetricsPane({"run": run}), scene, size=(80, 24))


def test_plot_that_is_zoomed_takes_in_new_rows(tmp_path: Path) -> None:
    """What is logged into the part that is shown is seen there; the colours of curves are those of the whole."""

    async def scene(show: Show) -> None:
        pane, view = show.app.query_one(MetricsPane), show.app.query_one(PlotView)
        pane.set_interval(0.1, pane.refresh_live)
        await show.until_shown("loss")
        await show.press("enter")
        await show.until_shown("split=val")
        await show.press(*["plus"] * 3)
        await show.until_gone("split=train")
        await show.until_shown("zoomed", "split=val 2")
        assert [line.color for line in view._plot.picture.lines] == [1] if view._plot else False
        logger.log_metric("loss", 7.0, step=999, split="val")
        await show.until_shown("2 to 7, 2 rows")

    with skald.Logger("run", tmp_path, capture=False) as logger:
        for step in range(1000):
            logger.log_metric("loss", 1.0 + (step > 500), step=step, split="val" if step > 500 else "train")
        play(lambda: MetricsPane({"run": logger.run.path}), scene, size=(80, 24))
