"""DuckDB and pandas read the files of closed runs as Skald does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import skald

SQL = "select metric, epoch, split, lr, is_last, value, time from read_parquet(?, union_by_name=true)"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a folder with two runs of all kinds of ids, NaN and infinities among their values."""
    with skald.Logger("a", tmp_path / "sweep", capture=False) as logger:
        for epoch, value in enumerate((0.5, math.nan, math.inf, -math.inf, 1 / 3)):
            logger.log_metric("loss", value, epoch=epoch, split="val")
        logger.log_metric("größe", 1.0, lr=0.1, is_last=True)
    with skald.Logger("b", tmp_path / "sweep", capture=False) as logger:
        logger.log_metric("loss", 2.0, epoch=7)
    return tmp_path


def told(rows: list[tuple[Any, ...]]) -> list[str]:
    """Return rows as text, sorted: NaN is equal to itself so, and a missing id is nothing of a kind."""
    return sorted(
        repr([*(None if _is_missing(id_) else _plain(id_) for id_ in row[1:5]), row[0], row[5]]) for row in rows
    )


def _plain(cell: Any) -> Any:
    """Return what NumPy holds as Python's own."""
    return cell.item() if hasattr(cell, "item") else cell


def _is_missing(cell: Any) -> bool:
    return cell is None or cell is pd.NA or (isinstance(cell, float) and math.isnan(cell))


def expected(folder: Path) -> list[str]:
    """Return the rows as Skald reads them."""
    frame = skald.scan(folder).select("metric", "epoch", "split", "lr", "is_last", "value").collect()
    return told(frame.rows())


def test_duckdb_reads_the_rows_of_all_closed_runs(runs: Path) -> None:
    """Of each kind of id, with NaN, infinities and times in UTC."""
    rows = duckdb.execute(SQL, [str(runs / "sweep" / "**" / "metrics.parquet")]).fetchall()

    times = sorted(row[6] for row in rows)
    assert told(rows) == expected(runs / "sweep")
    assert times == sorted(skald.scan(runs / "sweep").collect()["time"])


def test_pandas_reads_the_rows_of_a_closed_run(runs: Path) -> None:
    """The same values and the same times."""
    frame = pd.read_parquet(runs / "sweep" / "a" / "metrics.parquet", dtype_backend="numpy_nullable")
    run = skald.Run(runs / "sweep" / "a").metrics.collect()

    rows = list(frame[["metric", "epoch", "split", "lr", "is_last"]].itertuples(index=False, name=None))
    values = pd.read_parquet(runs / "sweep" / "a" / "metrics.parquet", columns=["value"])["value"]
    both = [(*row, value) for row, value in zip(rows, values, strict=True)]
    assert told(both) == told(run.select("metric", "epoch", "split", "lr", "is_last", "value").rows())
    assert [moment.to_pydatetime() for moment in frame["time"]] == run["time"].to_list()


def test_duckdb_counts_nan_as_the_largest_and_polars_leaves_it_out(runs: Path) -> None:
    """What the README warns of."""
    import polars as pl

    file = runs / "sweep" / "a" / "metrics.parquet"
    sql = "select max(value), max(value) filter (not isnan(value)) from read_parquet(?) where metric = 'loss'"
    largest = duckdb.execute(sql, [str(file)]).fetchall()[0]
    rows = skald.Run(file.parent).metrics.filter(metric="loss")

    assert math.isnan(largest[0])
    assert largest[1] == math.inf == rows.select(pl.col("value").max()).collect().item()
