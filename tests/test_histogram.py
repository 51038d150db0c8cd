"""log_histogram: NumPy's bins as rows, what is left out, and what leaves histograms out."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from commands import output
from logged import ids, rows, values

import skald
from skald import IdTypeError, InvalidInputError, LoggerClosedError, ValueTypeError
from skald.reading.summary import summarize

FLOATS = np.random.default_rng(0).normal(size=1000)


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return an open logger."""
    with skald.Logger("run", tmp_path) as logger:
        yield logger


def bins_of(logger: skald.Logger, metric: str = "w") -> tuple[list[float], list[float]]:
    """Return the counts and the edges of the histogram that a metric holds."""
    found = rows(logger, metric)
    edges = [row["bin_low"] for row in found] + [found[-1]["bin_high"]]
    assert edges[1:] == [row["bin_high"] for row in found]
    return [row["value"] for row in found], edges


@pytest.mark.parametrize("bins", [64, 1, 7, np.int64(5), "auto", "sturges", [-1, 0, 0.5, 1], np.linspace(-2, 2, 9)])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_histogram_has_the_bins_of_numpy(logger: skald.Logger, bins: Any, kind: type[Any]) -> None:
    """A number of bins, edges and the name of a rule mean what they mean to numpy.histogram."""
    logger.log_histogram("w", FLOATS.astype(kind), bins=bins)

    counts, edges = np.histogram(FLOATS.astype(kind), bins)
    assert bins_of(logger) == (counts.tolist(), edges.astype(float).tolist())


def test_histogram_has_64_bins_that_share_time_and_ids(logger: skald.Logger) -> None:
    """One row a bin with the ids of the call, the edges as `bin_low` and `bin_high`, and one time for all."""
    logger.log_histogram("w", [*FLOATS, math.nan], epoch=3, split="val")

    found = logger.run.metrics.collect()
    assert len(rows(logger, "w")) == 64
    assert all(row.keys() == {"value", "bin_low", "bin_high", "epoch", "split"} for row in rows(logger, "w"))
    assert found["time"].n_unique() == 1
    assert found["epoch"].unique().to_list() == [3]


def test_histogram_leaves_out_and_counts_what_is_not_finite(logger: skald.Logger) -> None:
    """NaN and infinities are in no bin, and counted in `NAME/nonfinite` with the ids of the call."""
    logger.log_histogram("w", [1.0, math.nan, 2.0, math.inf, -math.inf], bins=2, epoch=1)

    assert values(logger, "w") == [1, 1]
    assert rows(logger, "w/nonfinite") == [{"value": 3, "epoch": 1}]


def test_histogram_of_finite_values_counts_nothing_else(logger: skald.Logger) -> None:
    """Where all is well there is no metric of what is not."""
    logger.log_histogram("w", FLOATS)

    assert logger.run.metric_names == ["w"]


@pytest.mark.parametrize(("given", "nonfinite"), [([], []), ([math.nan, math.inf], [2]), (np.zeros((0, 3)), [])])
def test_histogram_of_nothing_finite_has_no_bins(logger: skald.Logger, given: Any, nonfinite: list[int]) -> None:
    """No values, or only NaN and infinities, are no bins and no error."""
    logger.log_histogram("w", given)

    assert rows(logger, "w") == []
    assert values(logger, "w/nonfinite") == nonfinite


CONTAINERS: dict[str, Any] = {
    "matrix": np.array([[1.0, 2.0], [3.0, 4.0]]),
    "list": [1, 2.0, 3, 4],
    "ints": np.array([1, 2, 3, 4], np.int8),
    "unsigned": np.array([1, 2, 3, 4], np.uint64),
    "half": np.array([1, 2, 3, 4], np.float16),
    "long": np.array([1, 2, 3, 4], np.longdouble),
    "objects": np.array([1, 2, 3, 4], object),
    "polars": pl.Series([1, 2, 3, 4]),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_histogram_takes_any_array(logger: skald.Logger, kind: str) -> None:
    """Arrays of any shape and number type, and sequences."""
    logger.log_histogram("w", CONTAINERS[kind], bins=[1, 2.5, 5])

    assert values(logger, "w") == [2, 2]


def test_histogram_takes_bools(logger: skald.Logger) -> None:
    """A mask counts as zeros and ones."""
    logger.log_histogram("w", np.array([True, False, True]), bins=2)

    assert values(logger, "w") == [1, 2]


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16", "int64", "float64"])
def test_histogram_takes_tensors(logger: skald.Logger, kind: str) -> None:
    """A parameter of a model, which has a gradient and any dtype, is counted as it is."""
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[1, 2], [3, 4]], dtype=getattr(torch, kind))
    tensor.requires_grad_(tensor.dtype.is_floating_point)

    logger.log_histogram("w", tensor, bins=[1, 2.5, 5])

    assert values(logger, "w") == [2, 2]


@pytest.mark.parametrize(
    "given",
    [
        [1, np.nextafter(1, 2)],
        [1e300, 1e300],
        [-1.79e308, 1.79e308],
        [-sys.float_info.max, sys.float_info.max],
        [0, 5e-324],
        [7.0],
        [2**63 - 1, -(2**63)],
    ],
    ids=repr,
)
def test_histogram_counts_values_however_near_or_far(logger: skald.Logger, given: list[float]) -> None:
    """Values that NumPy has no bins for, as those of weights that all became one, do not end a training."""
    logger.log_histogram("w", given)

    counts, edges = bins_of(logger)
    assert (len(counts), sum(counts)) == (64, len(given))
    assert np.isfinite(edges).all()
    assert edges[0] <= min(given)
    assert edges[-1] >= max(given)


@pytest.mark.parametrize(
    "bins",
    [
        0,
        -1,
        True,
        [1],
        [],
        [2, 1],
        [1, 1],
        [1, math.nan],
        [0, math.inf],
        [-math.inf, 0],
        10_000_001,
        "no such rule",
        None,
        1.5,
        ["a"],
    ],
)
def test_histogram_refuses_what_is_no_bins(logger: skald.Logger, bins: Any) -> None:
    """The error says what bins can be, and nothing is logged."""
    with pytest.raises(InvalidInputError, match="bins"):
        logger.log_histogram("w", [1.0, math.nan], bins=bins)

    assert logger.run.metric_names == []


@pytest.mark.parametrize(
    "given", ["text", ["a"], [1j], None, [1, None], {1: 2}, [[1], [2, 3]], np.array(["2020"], "M8[D]")]
)
def test_histogram_refuses_what_is_no_number(logger: skald.Logger, given: Any) -> None:
    """The error names the metric and says what was found."""
    with pytest.raises(ValueTypeError, match="histogram 'w' needs"):
        logger.log_histogram("w", given)


def test_histogram_refuses_masked_values(logger: skald.Logger) -> None:
    """A mask is not silently lost."""
    with pytest.raises(InvalidInputError, match="masked"):
        logger.log_histogram("w", np.ma.masked_array([1.0, 2.0], [True, False]))


def test_histogram_refuses_bad_names_and_ids(logger: skald.Logger) -> None:
    """Names, ids and their kinds are checked as in every log call, and nothing of the call is logged."""
    logger.log_metric("loss", 1.0, epoch=1)

    with pytest.raises(InvalidInputError, match="empty"):
        logger.log_histogram("", FLOATS)
    with pytest.raises(InvalidInputError, match="at most"):
        logger.log_histogram("w" * 1020, FLOATS)
    with pytest.raises(InvalidInputError, match="bin_low"):
        logger.log_histogram("w", FLOATS, bin_low=1)
    with pytest.raises(IdTypeError, match="epoch"):
        logger.log_histogram("w", [1.0, math.nan], epoch="one")

    assert logger.run.metric_names == ["loss"]


def test_histogram_gets_the_ids_of_the_logger(logger: skald.Logger) -> None:
    """`bind`, `set_ids` and the like give their ids to histograms too."""
    logger.set_ids(task=1)
    logger.bind(rank=2).log_histogram("w", [1.0], bins=1, epoch=3)

    assert ids(logger, "w") == [{"task": 1, "rank": 2, "epoch": 3, "bin_low": 0.5, "bin_high": 1.5}]


def test_histogram_of_a_closed_logger_is_refused(tmp_path: Path) -> None:
    """After close it raises, as the other calls do."""
    logger = skald.Logger("run", tmp_path)
    logger.close()

    with pytest.raises(LoggerClosedError):
        logger.log_histogram("w", FLOATS)


def test_histogram_that_is_bad_is_refused_and_the_training_goes_on(tmp_path: Path) -> None:
    """With errors="warn" a bad call raises nothing."""
    with skald.Logger("run", tmp_path, errors="warn") as logger:
        logger.log_histogram("w", "text")
        logger.log_histogram("w", [1.0], bins=1)

    assert values(logger, "w") == [1]


def test_histogram_is_in_no_summary(logger: skald.Logger) -> None:
    """`bin_low` and `bin_high` mark it: live and closed, by rows and by the file's own summary, it is left out."""
    for epoch in range(3):
        logger.log_histogram("a", FLOATS, epoch=epoch, split="val")
        logger.log_metric("loss", 1 / (epoch + 1), epoch=epoch, split="val")
        logger.log_histogram("w", [*FLOATS, math.nan], epoch=epoch)
        logger.log_metric("only", 5.0, bin_low=0.5)

    live = logger.run.summary()
    logger.close()

    assert sorted(live["metric"]) == ["loss", "only", "w/nonfinite"]
    assert logger.run.summary().equals(live)
    assert logger.run.summary(split="val")["metric"].to_list() == ["loss"]
    assert logger.run.summary(by=[])["metric"].to_list() == live["metric"].to_list()
    assert summarize(logger.run.metrics, span=True).filter(metric="loss")["count"].to_list() == [3]


def test_histogram_alone_leaves_the_summary_empty(logger: skald.Logger) -> None:
    """A run of nothing but histograms has a summary without rows."""
    logger.log_histogram("w", FLOATS)

    assert logger.run.summary().is_empty()
    logger.close()
    assert logger.run.summary().is_empty()


def test_histogram_keeps_its_rows_in_the_table(logger: skald.Logger) -> None:
    """What summaries leave out is still read, by its name."""
    logger.log_histogram("w", FLOATS, epoch=1)
    logger.close()

    wide = logger.run.wide("w", index=["epoch", "bin_low", "bin_high"]).collect()
    assert wide["w"].sum() == len(FLOATS)


def test_histogram_is_no_column_of_a_wide_table_of_all_metrics(logger: skald.Logger) -> None:
    """The last bin of a histogram says nothing beside a loss."""
    logger.log_histogram("w", FLOATS, epoch=1)
    logger.log_metric("loss", 0.5, epoch=1)

    assert logger.run.wide().collect().to_dicts() == [{"epoch": 1, "loss": 0.5}]


def test_show_leaves_histograms_out(logger: skald.Logger) -> None:
    """The table of series has no row and no curve of a histogram; the rows are counted."""
    for epoch in range(3):
        logger.log_histogram("weights", FLOATS, epoch=epoch)
        logger.log_histogram("loss", FLOATS, bins=2, epoch=epoch)
        logger.log_metric("loss", float(epoch), epoch=epoch)
    logger.close()

    shown = output("show", str(logger.run.path), folder=logger.run.path)

    assert "loss" in shown
    assert "▁▅█" in shown
    assert "weights" not in shown
    assert "201 rows" in shown
