"""The metrics files themselves, as other tools see them."""

from __future__ import annotations

import itertools
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import START, Row, row, segment
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skald.engine.compaction import compact
from skald.engine.reader import scan_metrics
from skald.engine.rows import FEW_NAMES
from skald.engine.sinks import MOST_ROW_GROUP_ROWS, ROW_GROUP_ROWS, row_groups
from skald.layout import RUN_JSON


@given(st.lists(st.integers(1, 3 * ROW_GROUP_ROWS), min_size=1, max_size=12))
@example([MOST_ROW_GROUP_ROWS * 3 + 1])
@example([1, ROW_GROUP_ROWS, 1, ROW_GROUP_ROWS, 1])
def test_row_groups_are_cut_at_the_borders_of_metrics(counts: list[int]) -> None:
    """Every row is in one group, no group is huge, and a large metric shares no group with others."""
    metric = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)

    groups = list(row_groups(metric))

    assert [first for first, _ in groups] == [0, *(stop for _, stop in groups)][:-1]
    assert groups[-1][1] == len(metric)
    assert all(stop - first <= MOST_ROW_GROUP_ROWS for first, stop in groups)
    for first, stop in groups:
        several = metric[first] != metric[stop - 1]
        assert not several or stop - first <= ROW_GROUP_ROWS
    for one, two in itertools.pairwise(groups):
        assert metric[one[1] - 1] != metric[two[0]] or counts[metric[two[0]]] > ROW_GROUP_ROWS


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run of three metrics with ids of all kinds."""
    run = tmp_path / "run"
    lines = [row(f"m{k % 3}", k / 3, k / 7, n=k, x=k / 2, s=str(k % 2), b=k % 2 == 0) for k in range(3000)]
    segment(run, "w", 0, lines)
    (run / RUN_JSON).touch()
    return run


def test_parquet_file_has_plain_types(run: Path) -> None:
    """Any tool reads strings, numbers, bools, and µs in UTC."""
    compact(run)

    schema = pq.read_schema(run / "metrics.parquet")

    assert list(zip(schema.names, schema.types, strict=True)) == [
        ("metric", pa.utf8()),
        ("n", pa.int64()),
        ("x", pa.float64()),
        ("s", pa.utf8()),
        ("b", pa.bool_()),
        ("value", pa.float64()),
        ("time", pa.timestamp("us", "UTC")),
    ]


def test_parquet_columns_are_encoded_for_what_they_hold(run: Path) -> None:
    """Deltas for ints and times, split bytes for floats, dictionaries for strings, zstd and statistics for all."""
    compact(run)

    group = pq.read_metadata(run / "metrics.parquet").row_group(0)
    columns = {group.column(k).path_in_schema: group.column(k) for k in range(group.num_columns)}

    assert {name for name, column in columns.items() if "DELTA_BINARY_PACKED" in column.encodings} == {"n", "time"}
    assert {name for name, column in columns.items() if "BYTE_STREAM_SPLIT" in column.encodings} == {"x", "value"}
    assert {name for name, column in columns.items() if column.has_dictionary_page} == {"metric", "s"}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert all(column.is_stats_set for column in columns.values())


def test_strings_that_do_not_recur_are_written_without_a_dictionary(tmp_path: Path) -> None:
    """A dictionary of them would be as long as the column; every string comes back, also from a second compaction."""
    run = tmp_path / "run"
    (run / "segments").mkdir(parents=True)
    (run / RUN_JSON).touch()
    rows = FEW_NAMES + 1
    for part in (0, 1):
        lines = [row("m", k, k, file=f"f{k:05}", split=str(k % 2)) for k in range(part * rows, (part + 1) * rows)]
        segment(run, "w", part, lines)
        compact(run)

        group = pq.read_metadata(run / "metrics.parquet").row_group(0)
        encodings = {group.column(k).path_in_schema: group.column(k).encodings for k in range(group.num_columns)}
        assert "RLE_DICTIONARY" not in encodings["file"]
        assert "RLE_DICTIONARY" in encodings["split"]
        found = scan_metrics(run).select("value", "file", "split").collect().rows()
        assert found == [(float(k), f"f{k:05}", str(k % 2)) for k in range((part + 1) * rows)]


def test_one_metric_is_read_without_the_others(tmp_path: Path) -> None:
    """Row groups of one metric say so in their statistics, so a filter reads no others."""
    run = tmp_path / "run"
    for number in range(4):
        lines = [Row(f"m{k % 4}", k, START + k, {"step": k}) for k in range(number * 140_000, (number + 1) * 140_000)]
        segment(run, "w", number, lines)
    (run / RUN_JSON).touch()

    compact(run)

    metadata = pq.read_metadata(run / "metrics.parquet")
    spans: list[Any] = [metadata.row_group(k).column(0).statistics for k in range(metadata.num_row_groups)]
    assert [(span.min, span.max) for span in spans] == [(f"m{k}", f"m{k}") for k in range(4)]


def test_csv_is_a_plain_table(run: Path) -> None:
    """One header, a line a row, ISO times; a missing id is empty, an empty string is quoted."""
    segment(run, "x", 0, [row("a,b", math.nan, 10**6, s='say "hi"'), row("c", -math.inf, 10**6, s="")])

    compact(run, metrics_format="csv")

    lines = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "metric,n,x,s,b,value,time"
    assert lines[1] == "m0,0,0,0,true,0,2027-01-15T08:00:00.000000Z"
    assert '"a,b",,,"say ""hi""",,nan,2027-01-26T21:46:40.000000Z' in lines
    assert 'c,,,"",,-inf,2027-01-26T21:46:40.000000Z' in lines
    assert len(lines) == 3003


def bits(value: float) -> bytes:
    """Return a float's bytes, all NaN alike."""
    return struct.pack("d", math.nan if math.isnan(value) else value)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
LINES = st.lists(
    st.tuples(
        st.floats(),
        st.dictionaries(
            st.sampled_from(["i", "f", "s", "b"]),
            st.just(None),
            max_size=4,
        ).flatmap(
            lambda chosen: st.fixed_dictionaries(
                {
                    name: {
                        "i": st.integers(-(2**63), 2**63 - 1),
                        "f": st.floats(),
                        "s": TEXTS,
                        "b": st.booleans(),
                    }[name]
                    for name in chosen
                }
            )
        ),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("format_", ["parquet", "csv"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, metric=st.sampled_from(["loss", 'q"', "a,b", "é/日本", "'", "#", "null", "NaN", " "]))
def test_values_and_ids_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, format_: Any, lines: list[tuple[float, dict[str, Any]]], metric: str
) -> None:
    """Every float64, int64 and string, given or missing, survives compaction in both formats."""
    run = tmp_path_factory.mktemp("run")
    rows = [Row(metric, value, START + 1000 * k, ids) for k, (value, ids) in enumerate(lines)]
    kinds = {"i": "int", "f": "float", "s": "str", "b": "bool"}
    segment(run, "w", 0, rows, kinds=kinds, mixed=True)
    (run / RUN_JSON).touch()

    compact(run, metrics_format=format_)
    compact(run, metrics_format="parquet")

    found = scan_metrics(run).collect()
    assert found["metric"].to_list() == [metric] * len(rows)
    assert [bits(value) for value in found["value"]] == [bits(line.value) for line in rows]
    for name in kinds:
        expected = [line.ids.get(name) for line in rows]
        if name == "f":
            assert [v if v is None else bits(v) for v in found["f"]] == [v if v is None else bits(v) for v in expected]
        else:
            assert found[name].to_list() == expected
    assert found["time"].dt.epoch("us").to_list() == [line.time // 1000 for line in rows]


def test_other_readers_see_the_same_table(run: Path) -> None:
    """polars, by path, reads what Skald reads."""
    compact(run)

    bare = pl.read_parquet(run / "metrics.parquet")

    assert bare.equals(scan_metrics(run).collect())
