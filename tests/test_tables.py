"""log_table: whatever Arrow or Polars makes a table of, as Parquet or CSV."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from logged import program

import skald
from skald import InvalidInputError, LoggerClosedError


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return an open logger."""
    with skald.Logger("run", tmp_path) as logger:
        yield logger


def path_of(logger: skald.Logger, name: str = "a.parquet") -> Path:
    """Return where a table is kept."""
    return logger.run.path / "artifacts" / name


@dataclasses.dataclass
class Prediction:
    """A row."""

    a: int
    b: str


COLUMNS: dict[str, list[Any]] = {"a": [1, 2], "b": ["x", "y"]}
TABLES: dict[str, Any] = {
    "columns": COLUMNS,
    "columns of arrays": {"a": np.array([1, 2]), "b": pl.Series(["x", "y"])},
    "rows": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
    "objects": [Prediction(1, "x"), Prediction(2, "y")],
    "polars": pl.DataFrame(COLUMNS),
    "lazy": pl.LazyFrame(COLUMNS),
    "pandas": pd.DataFrame(COLUMNS),
    "arrow": pa.table(COLUMNS),
    "batch": pa.record_batch(COLUMNS),
    "structured": np.array([(1, "x"), (2, "y")], [("a", "i8"), ("b", "U1")]),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("name", ["a", "a.parquet", "a.csv"])
def test_table_is_kept_as_the_name_says(logger: skald.Logger, kind: str, name: str) -> None:
    """Parquet where the name says nothing else, CSV where it ends in `.csv`."""
    logger.log_table(name, TABLES[kind])

    if name == "a.csv":
        assert path_of(logger, name).read_text() == "a,b\n1,x\n2,y\n"
    else:
        assert pl.read_parquet(path_of(logger)).to_dict(as_series=False) == COLUMNS


def test_table_of_another_library_is_taken_by_its_arrow_stream(logger: skald.Logger) -> None:
    """What Skald does not know is a table if Arrow can read it."""
    logger.log_table("a", duckdb.sql("select 1 as a, 'x' as b"))

    assert pl.read_parquet(path_of(logger)).rows() == [(1, "x")]


def test_table_of_tensors(logger: skald.Logger) -> None:
    """Columns of Torch are columns of numbers."""
    torch = pytest.importorskip("torch")

    logger.log_table("a", {"a": torch.arange(3)})

    assert pl.read_parquet(path_of(logger))["a"].to_list() == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"a": [1, 2.5, None]}, {"a": [1.0, 2.5, None]}),
        ([{"a": 1}, {"a": 2.5, "b": 1}], {"a": [1.0, 2.5], "b": [None, 1]}),
        ({"a": [1, 2], "b": "x"}, {"a": [1, 2], "b": ["x", "x"]}),
        ({"a": [[1, 2], [3]]}, {"a": [[1, 2], [3]]}),
        ({}, {}),
        ([], {}),
    ],
)
def test_table_loses_no_column_and_no_value(logger: skald.Logger, given: Any, expected: dict[str, Any]) -> None:
    """Ints beside floats, keys that come later, one value for all rows, lists, and no rows at all."""
    logger.log_table("a", given)

    assert pl.read_parquet(path_of(logger)).to_dict(as_series=False) == expected


def test_table_of_pandas_keeps_its_index(logger: skald.Logger) -> None:
    """What pandas gave it reads back."""
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="letter"))

    logger.log_table("a", frame)

    pd.testing.assert_frame_equal(pd.read_parquet(path_of(logger)), frame)


@pytest.mark.parametrize("given", [None, "text", b"x", 3, object(), {"a": [1, 2], "b": [1]}, {"a": [object()]}])
@pytest.mark.parametrize("name", ["a", "a.csv"])
def test_table_that_is_none_is_refused(logger: skald.Logger, name: str, given: Any) -> None:
    """The error says what was found, and nothing is kept."""
    with pytest.raises(InvalidInputError, match=f"a value of type {type(given).__name__} cannot be a .* table"):
        logger.log_table(name, given)

    assert not list(path_of(logger).parent.glob("a*"))


def test_table_of_lists_is_no_csv(logger: skald.Logger) -> None:
    """What CSV cannot hold is an error with the remedy."""
    with pytest.raises(InvalidInputError) as caught:
        logger.log_table("a.csv", {"a": [[1, 2]]})

    assert ".parquet" in caught.value.__notes__[0]


def test_table_has_ids_in_its_name(logger: skald.Logger) -> None:
    """As with every artifact."""
    logger.log_table("predictions.csv", COLUMNS, epoch=3)
    logger.log_table("v1.2", COLUMNS, epoch=3)

    assert path_of(logger, "predictions/epoch=3.csv").exists()
    assert path_of(logger, "v1.2.parquet").exists() or path_of(logger, "v1.2/epoch=3.parquet").exists()


def test_table_of_a_closed_logger_is_refused(tmp_path: Path) -> None:
    """After close it raises; a disabled logger checks it and keeps nothing."""
    logger = skald.Logger("run", tmp_path)
    logger.close()
    with pytest.raises(LoggerClosedError):
        logger.log_table("a", COLUMNS)

    with skald.Logger("off", tmp_path, mode="disabled") as off:
        off.log_table("a", COLUMNS)
        with pytest.raises(InvalidInputError):
            off.log_table("a", 3)
    assert not (tmp_path / "off").exists()


def test_table_loads_its_libraries_when_it_is_logged(tmp_path: Path) -> None:
    """Polars comes with the first table, and not before."""
    script = """
import sys, skald
with skald.Logger("run", ".") as logger:
    before = "polars" in sys.modules
    logger.log_table("a", {"a": [1]})
    print(before, "polars" in sys.modules)
"""
    assert program(script, folder=tmp_path).stdout == "False True\n"
