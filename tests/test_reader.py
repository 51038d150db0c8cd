"""Reading a run's metrics: one table in every state of the run, each row once, each metric in log order."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from handmade import START, row, segment, write_ids
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stories import Story, stories

from skald.engine.compaction import compact
from skald.engine.lock import FileLock
from skald.engine.reader import metric_names, scan_metrics
from skald.errors import CorruptRunError, FormatVersionError
from skald.layout import RUN_JSON, SEGMENTS, WRITER_LOCK

TIME = pl.Datetime("us", "UTC")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a run without rows."""
    path = tmp_path / "run"
    path.mkdir()
    (path / RUN_JSON).touch()
    return path


@contextmanager
def alive(run: Path, writer: str) -> Iterator[None]:
    """Let a writer look alive."""
    with FileLock(run / SEGMENTS / writer / WRITER_LOCK):
        yield


def values(rows: pl.LazyFrame, metric: str) -> list[float]:
    """Return the values of a metric in their order."""
    return rows.filter(pl.col("metric") == metric).collect()["value"].to_list()


def test_run_without_rows_is_an_empty_table(run: Path) -> None:
    """There is always a table, with at least the columns that every table has."""
    rows = scan_metrics(run).collect()

    assert rows.schema == {"metric": pl.String, "value": pl.Float64, "time": TIME}
    assert rows.height == 0
    assert metric_names(run) == []


@pytest.mark.parametrize("compacted", [None, "parquet", "csv"])
def test_table_has_all_kinds_of_columns(run: Path, compacted: Any) -> None:
    """Metric, ids, value, time: typed, in order of first appearance, null where an id was not given."""
    write_ids(run, {"n": "int", "x": "float", "s": "str", "b": "bool"})
    segment(run, "w", 0, [row("m", 1.5, 1, n=-3, x=0.1, s='a,"b"\n', b=True)])
    segment(run, "w", 1, [row("m", math.nan, 2, s="")], stream=1)
    segment(run, "w", 2, [row("é", -math.inf, 3)], stream=2)
    if compacted:
        compact(run, metrics_format=compacted)

    rows = scan_metrics(run).collect()

    assert list(rows.schema.items()) == [
        ("metric", pl.String),
        ("n", pl.Int64),
        ("x", pl.Float64),
        ("s", pl.String),
        ("b", pl.Boolean),
        ("value", pl.Float64),
        ("time", TIME),
    ]
    assert [tuple(map(str, line)) for line in rows.drop("time").rows()] == [
        ("m", "-3", "0.1", 'a,"b"\n', "True", "1.5"),
        ("m", "None", "None", "", "None", "nan"),
        ("é", "None", "None", "None", "None", "-inf"),
    ]
    assert rows["time"].dt.epoch("us").to_list() == [START // 1000 + 10**6 * k for k in (1, 2, 3)]


def test_times_are_rounded_down_to_microseconds_everywhere(run: Path) -> None:
    """A row's time is the same before and after compaction, also before 1970."""
    lines = [row("m", k, 0)._replace(time=time) for k, time in enumerate((-2, -1001, 999, 1001))]
    segment(run, "w", 0, lines)
    live = scan_metrics(run).collect()

    compact(run)

    assert live["time"].dt.epoch("us").to_list() == [-1, -2, 0, 1]
    assert scan_metrics(run).collect().equals(live)


@pytest.mark.parametrize("compacted", [None, "parquet", "csv"])
def test_columns_and_rows_can_be_chosen(run: Path, compacted: Any) -> None:
    """Projections, filters on any column, heads and counts agree with the whole table."""
    segment(run, "w", 0, [row(f"m{k % 3}", k, k, step=k) for k in range(30)])
    segment(run, "w", 1, [row(f"m{k % 3}", k, k + 0.5, step=k, s=str(k % 2)) for k in range(30)], stream=1)
    if compacted:
        compact(run, metrics_format=compacted)
    rows = scan_metrics(run)

    whole = rows.collect()

    assert rows.select("step").collect().equals(whole.select("step"))
    assert rows.select(pl.len()).collect().item() == 60
    assert rows.head(7).collect().equals(whole.head(7))
    assert rows.tail(7).collect().equals(whole.tail(7))
    assert rows.slice(5, 20).select("value", "metric").collect().equals(whole.slice(5, 20).select("value", "metric"))
    for condition in (
        pl.col("metric") == "m1",
        pl.col("s") == "1",
        pl.col("s").is_null() & (pl.col("step") > 9),
        pl.col("time") < whole["time"][20],
        pl.col("value").is_in([3.0, 4.0]),
    ):
        assert rows.filter(condition).collect().equals(whole.filter(condition))
        assert rows.filter(condition).select("value").collect().equals(whole.filter(condition).select("value"))
        assert rows.filter(condition).head(3).collect().equals(whole.filter(condition).head(3))


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_id_that_no_row_has_is_no_column(run: Path, format_: Any) -> None:
    """What a writer registered for artifacts is none, before and after compaction; the order stays that of all."""
    write_ids(run, {"n": "int", "x": "float", "s": "str", "b": "bool"})
    segment(run, "w", 0, [row("m", k, k, b=True, x=0.5) for k in range(5)])
    live = scan_metrics(run).collect()

    compact(run, metrics_format=format_)

    assert live.columns == ["metric", "x", "b", "value", "time"]
    assert scan_metrics(run).collect().equals(live)


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_both_engines_of_polars_read_the_same(run: Path, engine: Any) -> None:
    """The table does not depend on how polars works."""
    segment(run, "w", 0, [row("a", 1, 1, step=1), row("b", 2, 2, step=1)])
    compact(run)
    segment(run, "w2", 0, [row("a", 3, 3, step=2, split="val")])
    rows = scan_metrics(run)

    collected = rows.filter(pl.col("metric") == "a").collect(engine=engine)

    assert collected["value"].to_list() == [1, 3]
    assert collected.columns == ["metric", "step", "split", "value", "time"]
    assert pl.concat([rows, rows]).collect(engine=engine).height == 6
    assert rows.join(rows, on=["metric", "value"]).collect(engine=engine).height == 3


PLANS: dict[str, Callable[[pl.LazyFrame], pl.LazyFrame]] = {
    "itself": lambda rows: rows,
    "filtered": lambda rows: rows.filter(pl.col("metric") == "m"),
    "all columns": lambda rows: rows.select(pl.all()),
    "grouped": lambda rows: rows.group_by("metric").agg(pl.col("value").len().alias("n"), pl.exclude("value").last()),
    "widened": lambda rows: rows.with_columns(double=pl.col("value") * 2),
    "counted": lambda rows: rows.select(pl.len()),
    "sorted": lambda rows: rows.sort("time"),
    "joined": lambda rows: rows.join(rows, on="value"),
    "unioned": lambda rows: pl.concat([rows, rows]),
    "cached": lambda rows: rows.cache(),
    "unique": lambda rows: rows.unique(),
}


def count(name: str, rows: pl.DataFrame) -> int:
    """Return how many rows of the run a collected plan tells of."""
    if name in ("grouped", "counted"):
        return int(rows.select(pl.col("n" if name == "grouped" else "len").sum()).item())
    return rows.height // 2 if name == "unioned" else rows.height


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
@pytest.mark.parametrize("name", PLANS)
def test_kept_table_holds_every_row_once_in_every_later_state(run: Path, name: str, engine: Any) -> None:
    """A LazyFrame taken from a live run, its columns asked for, is right after all that can happen to the run."""
    segment(run, "w", 0, [row("m", 1, 1, step=1)], sealed=False)
    kept = PLANS[name](scan_metrics(run))
    kept.collect_schema()

    def collected() -> int:
        return count(name, kept.collect(engine=engine))

    assert collected() == 1
    segment(run, "w", 0, [row("m", 1, 1, step=1), row("m", 2, 2, step=2)])
    segment(run, "w", 1, [row("m", 3, 3, step=3)], sealed=False)
    assert collected() == 3, "after a roll"
    compact(run)
    assert collected() == 3, "after compaction"
    segment(run, "x", 0, [row("m", 4, 4, step=4, split="val", flag=True)], sealed=False)
    assert collected() == 4, "resumed with new ids"
    segment(run, "x", 1, [row("m", 5, 5, step=0.5)], stream=1)
    assert collected() == 5, "an id was widened"
    compact(run)
    assert collected() == 5, "after a second compaction"
    compact(run, metrics_format="csv")
    assert collected() == 5, "after a change of format"
    (run / "metrics.csv").unlink()
    assert collected() == 0, "after all was deleted"


def test_rows_of_ids_newer_than_the_columns_asked_for_are_not_shown_without_them(run: Path) -> None:
    """Rows logged while a collect is under way, with an id that it does not know, belong to the next one."""
    from skald.engine.reader import _Source

    segment(run, "w", 0, [row("m", 1, 1, step=1)])
    source = _Source(run)
    source.schema()
    segment(run, "w", 1, [row("m", 2, 2, split="val")], stream=1)
    segment(run, "w", 2, [row("m", 3, 3, step=0.5), row("m", 4, 4)], stream=2, mixed=True)

    live = pl.concat(source.read(None, None, None, None))
    compact(run)
    compacted = pl.concat(source.read(None, None, None, None))

    assert live.drop("time").rows() == [("m", 1, 1.0), ("m", None, 4.0)]
    assert compacted.equals(live)


def test_ids_that_became_strings_meanwhile_are_shown_as_they_were(run: Path) -> None:
    """A file written while a collect is under way may have widened an id: older rows keep their values."""
    from skald.engine.reader import _Source

    segment(run, "w", 0, [row("m", 1, 1, i=3, f=0.5, b=True), row("m", 2, 2, i=4, f=1e-7, b=False)])
    source = _Source(run)
    schema = source.schema()
    segment(run, "x", 0, [row("m", 3, 3, i="a", f="b", b="c"), row("m", 4, 4)], mixed=True)
    with pytest.warns(UserWarning, match="several kinds"):
        compact(run)

    rows = pl.concat(source.read(None, None, None, None))

    assert rows.schema == schema
    assert rows.select("i", "f", "b", "value").rows() == [(3, 0.5, True, 1), (4, 1e-7, False, 2), (None, None, None, 4)]


def test_kinds_that_disagree_are_joined_and_nothing_is_left_out(run: Path) -> None:
    """Int and float make float; anything else is read as string, with one warning that names id and run."""
    segment(run, "a", 0, [row("m", 1, 1, x=1, y=True, z=0.5)])
    segment(run, "b", 0, [row("m", 2, 2, x=0.5, y="true", z=7)])
    segment(run, "c", 0, [row("m", 3, 3, y=2.0), row("m", 4, 4, y=1e-7, z=math.nan)], mixed=True)

    with pytest.warns(UserWarning, match=r"'y'.*'run'") as warned:
        live = scan_metrics(run).collect()
    with pytest.warns(UserWarning, match="'y'"):
        compact(run)

    assert len(warned) == 1
    assert live.schema["x"] == pl.Float64
    assert live["x"].to_list() == [1.0, 0.5, None, None]
    assert live["y"].to_list() == ["true", "true", "2.0", "1e-07"]
    assert [str(value) for value in live["z"].to_list()] == ["0.5", "7.0", "None", "nan"]
    assert scan_metrics(run).collect().equals(live)


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_file_is_widened_to_the_kinds_of_newer_segments(run: Path, format_: Any) -> None:
    """Compacted ints, floats and bools are shown as the wider kind that later rows brought."""
    segment(run, "a", 0, [row("m", 1, 1, i=1, f=0.25, b=False), row("m", 2, 2)], mixed=True)
    compact(run, metrics_format=format_)
    segment(run, "b", 0, [row("m", 3, 3, i=0.5, f="x", b="y")])

    with pytest.warns(UserWarning, match="several kinds"):
        live = scan_metrics(run).collect()
    with pytest.warns(UserWarning, match="several kinds"):
        compact(run, metrics_format=format_)

    assert live["i"].to_list() == [1.0, None, 0.5]
    assert live["f"].to_list() == ["0.25", None, "x"]
    assert live["b"].to_list() == ["false", None, "y"]
    assert scan_metrics(run).collect().equals(live)


def test_damaged_segment_is_left_out_with_a_warning(run: Path) -> None:
    """What can be read is read."""
    segment(run, "w", 0, [row("m", 1, 1)])
    segment(run, "w", 1, [row("m", 2, 2)]).write_bytes(b"\0" * 4096)
    segment(run, "w", 2, [row("m", 3, 3)])

    with pytest.warns(UserWarning, match=r"000001\.arrow"):
        rows = scan_metrics(run).collect()

    assert rows["value"].to_list() == [1, 3]


def test_damaged_ids_json_takes_nothing_away(run: Path) -> None:
    """Each segment repeats the kinds of its ids."""
    segment(run, "w", 0, [row("m", 1, 1, step=5)])
    (run / SEGMENTS / "ids.json").write_bytes(b"")

    assert scan_metrics(run).collect()["step"].to_list() == [5]


def test_metrics_file_of_others_is_told(run: Path) -> None:
    """A parquet file that Skald did not write is not shown as a run's metrics."""
    pl.DataFrame({"metric": ["m"], "value": [1.0]}).write_parquet(run / "metrics.parquet")

    with pytest.raises(CorruptRunError, match=r"metrics\.parquet"):
        scan_metrics(run)


@pytest.mark.parametrize("name", ["metrics.parquet", "metrics.csv"])
def test_metrics_file_that_is_cut_off_is_told(run: Path, name: str) -> None:
    """A damaged metrics file is an error that names it."""
    segment(run, "w", 0, [row("m", k, k) for k in range(99)])
    compact(run, metrics_format=name.rpartition(".")[2])  # type: ignore[arg-type]
    path = run / name
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(CorruptRunError, match=name):
        scan_metrics(run)


def test_metrics_file_of_a_newer_skald_is_refused(run: Path) -> None:
    """A later format is not guessed at."""
    segment(run, "w", 0, [row("m", 1, 1)])
    compact(run)
    path = run / "metrics.parquet"
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":9'))

    with pytest.raises(FormatVersionError):
        scan_metrics(run)


def test_metric_names_are_in_order_of_first_appearance(run: Path) -> None:
    """Names come from the file and from what was logged since; names without rows are none."""
    segment(run, "w", 0, [row("b", 1, 1), row("a", 2, 2)])
    compact(run)
    segment(run, "x", 0, [row("c", 3, 3), row("a", 4, 4), row("lost", 5, 5)._replace(time=0)])

    assert metric_names(run) == ["b", "a", "c"]


def test_streams_are_merged_by_time_and_each_keeps_its_order(run: Path) -> None:
    """Inside a stream rows stand as logged, whatever the clock did; between streams time decides."""
    segment(run, "w", 0, [row("m", 1, 10), row("m", 2, 5), row("m", 3, 12)])
    segment(run, "w", 1, [row("m", 4, 7, a=1), row("m", 5, 11, a=1)], stream=1)

    rows = scan_metrics(run)

    assert values(rows, "m") == [4, 1, 2, 5, 3]


def test_equal_times_are_ordered_by_segment_number(run: Path) -> None:
    """Where time does not decide, the number of the segment does."""
    segment(run, "w", 1, [row("m", 2, 1), row("m", 3, 1)])
    segment(run, "w", 0, [row("m", 1, 1, a=1)], stream=1)
    segment(run, "v", 2, [row("m", 4, 1)])

    rows = scan_metrics(run)

    assert values(rows, "m") == [1, 2, 3, 4]


def test_row_left_behind_by_a_compaction_takes_its_place_in_the_order(run: Path) -> None:
    """Rows that are older than what the file has are merged into it when they are read."""
    segment(run, "dead", 0, [row("m", 1, 1), row("m", 3, 3), row("m", 5, 5)])
    segment(run, "live", 0, [row("m", 2, 2), row("m", 4, 4)], sealed=False)
    with alive(run, "live"):
        compact(run)

        rows = scan_metrics(run)

        assert (run / "metrics.parquet").exists()
        assert values(rows, "m") == [1, 2, 3, 4, 5]
        assert values(rows.filter(pl.col("value") > 2), "m") == [3, 4, 5]
        assert rows.head(3).collect()["value"].to_list() == [1, 2, 3]


@pytest.mark.parametrize("chunk", [None, 4], ids=["one chunk", "many chunks"])
@settings(max_examples=35, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories(), living=st.sets(st.integers(0, 2)), format_=st.sampled_from(["parquet", "csv"]))
def test_each_metric_is_in_log_order_in_every_state_of_the_run(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    chunk: int | None,
    story: Story,
    living: set[int],
    format_: Any,
) -> None:
    """Live, partly compacted, resumed and compacted: the rows of a metric stand in one and the same order."""
    if chunk:
        monkeypatch.setattr("skald.engine.merge.LEAST_CHUNK_ROWS", 1)
        monkeypatch.setattr("skald.engine.merge.MOST_CHUNK_ROWS", chunk)
        monkeypatch.setattr("skald.engine.merge.MOST_WAITING", 100)
        monkeypatch.setattr("skald.engine.feeds.BLOCK_ROWS", 2)
        monkeypatch.setattr("skald.engine.feeds.SLICE_ROWS", 4)
    run = tmp_path_factory.mktemp("run")
    writers = story.write(run)
    expected = story.expected()

    def check(state: str) -> None:
        rows = scan_metrics(run)
        found = rows.collect()
        assert {m: found.filter(metric=m)["value"].to_list() for m in found["metric"].unique()} == expected, state
        late = pl.col("value") % 2 == 1
        assert rows.filter(late).collect().equals(found.filter(late)), state
        assert set(metric_names(run)) == set(expected), state

    check("live")
    with ExitStack() as stack:
        for writer in writers:
            if int(writer[1:]) in living:
                stack.enter_context(alive(run, writer))
        compact(run, metrics_format=format_)
        check("partly compacted")
        compact(run, metrics_format=format_)
        check("partly compacted again")
    compact(run, metrics_format=format_)
    check("compacted")
    assert not (run / SEGMENTS).exists()


@pytest.fixture(autouse=True)
def _one_warning_each() -> Iterator[None]:
    """Show every warning: Python shows one of a kind and place only once."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
