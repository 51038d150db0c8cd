"""`rewind`: which rows no longer count, what it says, and what it refuses."""

from __future__ import annotations

import itertools
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logged import crash, program, rewound, rows, steps, values

import skald
from skald.engine.columns import counts
from skald.engine.rewind import Rewind, is_taken
from skald.engine.rows import IdColumn


@pytest.fixture
def said() -> Iterator[list[str]]:
    """Return what Skald says in the terminal, as it says it."""
    from loguru import logger as terminal

    messages: list[str] = []
    handler = terminal.add(lambda text: messages.append(text.strip().removeprefix("skald: ")), format="{message}")
    yield messages
    terminal.remove(handler)


# --- which rows ---


def test_rows_beyond_the_tuple_no_longer_count(tmp_path: Path) -> None:
    """The ids are compared as a tuple, in the order given: a smaller step of a later epoch is beyond too."""
    with skald.Logger("run", tmp_path) as logger:
        for epoch, step in itertools.product(range(4), range(3)):
            logger.log_metric("loss", 10 * epoch + step, epoch=epoch, step=step)

        logger.rewind(epoch=1, step=1)

        assert values(logger) == [0, 1, 2, 10, 11]
        assert rewound(tmp_path / "run") == [12, 20, 21, 22, 30, 31, 32]


def test_order_given_decides_what_is_beyond(tmp_path: Path) -> None:
    """With the ids the other way round other rows are beyond."""
    with skald.Logger("run", tmp_path) as logger:
        for epoch, step in itertools.product(range(3), range(3)):
            logger.log_metric("loss", 10 * epoch + step, epoch=epoch, step=step)

        logger.rewind(step=1, epoch=1)

        assert values(logger) == [0, 1, 10, 11, 20]


@pytest.mark.parametrize("end", ["live", "crashed", "closed"])
def test_rows_that_lack_an_id_count_if_they_are_older_than_the_first_row_beyond(tmp_path: Path, end: str) -> None:
    """Validation rows without a step: those of the epochs that are kept stay."""
    source = f"""
import os, skald
logger = skald.Logger("run", {str(tmp_path)!r})
for epoch in range(4):
    for step in range(3):
        logger.log_metric("loss", 0, epoch=epoch, step=3 * epoch + step)
    logger.log_metric("accuracy", epoch, epoch=epoch, split="val")
    logger.log_metric("note", epoch)
if {end!r} == "live":
    logger.rewind(step=5)
if {end!r} == "closed":
    logger.close()
"""
    crash(source, tmp_path)
    with skald.Logger("run", tmp_path, mode="resume") as logger:
        if end != "live":
            logger.rewind(step=5)

        assert steps(logger) == [0, 1, 2, 3, 4, 5]
        assert values(logger, "accuracy") == [0, 1]
    assert values(tmp_path / "run", "accuracy") == [0, 1]
    assert rewound(tmp_path / "run", "accuracy") == [2, 3]


def test_all_rows_are_taken_back_without_ids(tmp_path: Path) -> None:
    """`rewind()` begins anew; what is logged after it counts."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 1, step=1)
        logger.log_metric("accuracy", 2)
        logger.rewind()
        assert logger.run.metrics.collect().is_empty()
        assert logger.run.metric_names == []

        logger.log_metric("loss", 3, step=1)

    assert values(tmp_path / "run") == [3]
    assert skald.Run(tmp_path / "run").metric_names == ["loss"]
    assert rewound(tmp_path / "run") == [1]


def test_params_console_and_artifacts_stay(tmp_path: Path) -> None:
    """Only rows of metrics are taken back."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_params(lr=0.1)
        logger.info("a word")
        (logger.run.path / "artifacts").mkdir(exist_ok=True)
        (logger.run.path / "artifacts" / "model.pt").write_text("weights")
        logger.rewind()

    run = skald.Run(tmp_path / "run")
    assert run.params == {"lr": 0.1}
    assert "a word" in run.console
    assert (run.path / "artifacts" / "model.pt").read_text() == "weights"


def test_ids_logged_again_count_again(tmp_path: Path) -> None:
    """What is logged after the rewind counts, whatever its ids are, and through every logger of the run."""
    with skald.Logger("run", tmp_path) as logger:
        bound = logger.bind(split="train")
        for step in range(4):
            bound.log_metric("loss", step, step=step)
        logger.rewind(step=1)
        for step in range(1, 3):
            bound.log_metric("loss", 10 + step, step=step)

        assert values(logger) == [0, 1, 11, 12]
    assert values(tmp_path / "run") == [0, 1, 11, 12]


def test_bound_logger_takes_back_rows_of_the_same_writer(tmp_path: Path) -> None:
    """A bound logger writes what its parent writes."""
    with skald.Logger("run", tmp_path) as logger:
        for step in range(4):
            logger.log_metric("loss", step, step=step)
        logger.bind(rank=1).rewind(step=1)

        assert values(logger) == [0, 1]


@pytest.mark.parametrize("way", ["log_metrics", "log_batch", "many id sets"])
def test_rows_of_every_kind_of_segment_are_taken_back(tmp_path: Path, way: str) -> None:
    """Blocks, whole columns, and the segments that many id sets share."""
    with skald.Logger("run", tmp_path) as logger:
        for step in range(8):
            if way == "log_metrics":
                logger.log_metrics({f"m{number}": step for number in range(40)} | {"loss": step}, step=step)
            elif way == "many id sets":
                for number in range(90):
                    logger.log_metric("loss", step, step=step, **{f"id{number}": 1})
        if way == "log_batch":
            logger.log_batch({"loss": np.arange(20_000)}, step=np.arange(20_000) // 2500)
        before = len(rows(logger))
        logger.rewind(step=3)

        assert len(rows(logger)) == before // 2
        assert set(steps(logger)) == {0, 1, 2, 3}
    assert len(rows(tmp_path / "run")) == before // 2


def test_kinds_of_ids_have_their_order(tmp_path: Path) -> None:
    """Floats, strings and bools are compared as Python compares them; NaN is beyond nothing."""
    with skald.Logger("run", tmp_path) as logger:
        for number, (lr, name, is_best) in enumerate(itertools.product((0.1, 0.2), "ab", (False, True))):
            logger.log_metric("loss", number, lr=lr, name=name, is_best=is_best)
        logger.rewind(lr=0.2, name="a", is_best=False)

        assert values(logger) == [0, 1, 2, 3, 4]


def test_int_id_takes_a_whole_float_and_a_float_id_an_int(tmp_path: Path) -> None:
    """`step=3.0` of a NumPy mean, and `lr=1`."""
    with skald.Logger("run", tmp_path) as logger:
        for step in range(6):
            logger.log_metric("loss", step, step=step, x=step / 2)
        logger.rewind(step=np.float64(4.0))
        assert values(logger) == [0, 1, 2, 3, 4]
        logger.rewind(x=1)
        assert values(logger) == [0, 1, 2]


@pytest.mark.parametrize(
    ("found", "bound", "kept"),
    [
        ([1, 2, 3], 1.5, 1),
        ([1, 2, 3], -0.5, 0),
        ([1, 2, 3], 1e300, 3),
        ([1, 2, 3], -1e300, 0),
        ([2**62, 2**62 + 1], 2.0**62, 1),
        ([2**63 - 1], 2.0**63, 1),
        ([0.5, 1.5], 1, 1),
        ([2.0**53, 2.0**53 + 2], 2**53 + 1, 1),
        ([2.0**53, 2.0**53 + 4], 2**53 + 3, 1),
    ],
)
def test_bound_is_compared_exactly_with_ids_of_the_other_kind_of_number(
    tmp_path: Path, found: list[Any], bound: float, kept: int
) -> None:
    """No int is rounded for it, and none is too large; also where the id stands in front of another."""
    with skald.Logger("run", tmp_path) as logger:
        for number, value in enumerate(found):
            logger.log_metric("loss", number, epoch=value, step=0)
        logger.rewind(epoch=bound, step=5)

        assert values(logger) == list(range(kept))
    assert values(logger) == list(range(kept))


NAMES = ("a", "b", "c")
BOUNDS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(-1, 3) | st.sampled_from([0.5, 2.0, "x", "y", True])),
    min_size=1,
    max_size=3,
    unique_by=lambda pair: pair[0],
)
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(0, 3),
    "float": st.sampled_from([0.0, 0.5, 1.5, 2.0, float("nan")]),
    "str": st.sampled_from(["", "w", "x", "z"]),
    "bool": st.booleans(),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]], list[int]]:
    """Make up ids of some kinds, rows that have some of them, and their times in µs."""
    kinds = {name: draw(st.sampled_from([*COLUMNS])) for name in NAMES if draw(st.booleans())}
    count = draw(st.integers(1, 8))
    found = [{name: draw(st.none() | COLUMNS[kind]) for name, kind in kinds.items()} for _ in range(count)]
    return kinds, found, [draw(st.integers(0, 4)) for _ in range(count)]


def is_beyond(bound: tuple[tuple[str, Any], ...], row: dict[str, Any], at: int, since: int) -> bool:
    """Tell whether a row is taken back, in the plainest way."""

    def comparable(one: Any, other: Any) -> bool:
        numbers = {int, float}
        return type(one) is type(other) or (type(one) in numbers and type(other) in numbers)

    has = [row.get(name) if comparable(row.get(name), value) else None for name, value in bound]
    missing = has.index(None) if None in has else len(has)
    beyond = False
    for found, (_, value) in zip(has[:missing], bound, strict=False):
        if found != value:
            beyond = found > value
            break
    return beyond if missing == len(bound) else at > since or (at == since and beyond)


@settings(deadline=None, max_examples=100)
@given(tables(), BOUNDS, st.integers(0, 4), BOUNDS | st.just([]))
def test_rule_is_the_same_for_segments_and_files(
    table: tuple[dict[str, Any], list[dict[str, Any]], list[int]],
    bound: list[tuple[str, Any]],
    since: int,
    own: list[tuple[str, Any]],
) -> None:
    """Arrays and the expression that a metrics file is filtered by agree with a plain loop."""
    kinds, found, times = table
    rewind = Rewind(number=1, ids=tuple(bound), since=since * 1000, writer="w", stop=1, ended=(), own=tuple(own))
    expected = [
        is_beyond(rewind.ids, row, at, since) and all(_is_own(row.get(name), value) for name, value in own)
        for row, at in zip(found, times, strict=True)
    ]

    columns = {name: _column(kind, [row[name] for row in found]) for name, kind in kinds.items()}
    by_arrays = is_taken([rewind], columns, np.array(times, np.int64) * 1000, unit_ns=1000).tolist()
    types = {"int": pl.Int64, "float": pl.Float64, "str": pl.String, "bool": pl.Boolean}
    frame = pl.DataFrame(
        {"time": pl.Series(times).cast(pl.Datetime("us", "UTC"))}
        | {name: pl.Series([row[name] for row in found], dtype=types[kind]) for name, kind in kinds.items()}
    )
    by_polars = frame.select(pl.lit(value=True) & ~counts([rewind], kinds)).to_series().to_list()
    by_polars = by_polars * len(found) if len(by_polars) < len(found) else by_polars

    assert by_arrays == expected
    assert by_polars == expected


def _is_own(found: Any, value: Any) -> bool:
    return found is None or (found == value and isinstance(found, bool) == isinstance(value, bool))


def _column(kind: Any, column: list[Any]) -> IdColumn:
    import pyarrow as pa

    given_mask = np.array([value is not None for value in column], np.bool_)
    if kind == "str":
        texts = pa.array([value or "" for value in column]).dictionary_encode()
        return IdColumn(kind, texts.indices.to_numpy(), texts.dictionary, given_mask)
    stored = {"int": np.int64, "float": np.float64, "bool": np.bool_}[kind]
    return IdColumn(kind, np.array([value or 0 for value in column], stored), given=given_mask)


# --- what it says ---


def test_message_says_how_many_rows_of_which_metrics(tmp_path: Path, said: list[str]) -> None:
    """In the terminal and in console.log."""
    with skald.Logger("run", tmp_path) as logger:
        for step in range(1500):
            logger.log_metrics({"loss": 1, "accuracy": 1} if step % 2 else {"loss": 1}, step=step)
        logger.rewind(step=9)

    expected = "rewound to step=9: 2,235 rows no longer count (1,490 of loss, 745 of accuracy)"
    assert said[0] == expected
    assert expected in skald.Run(tmp_path / "run").console


def test_message_sums_up_many_metrics(tmp_path: Path, said: list[str]) -> None:
    """Ten are named, and the rest counted."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metrics({f"m{number}": 1 for number in range(30)})
        logger.rewind()

        assert said[0].endswith(", 20 of 20 other metrics)")


@pytest.mark.parametrize("lives", ["one", "one that closed", "two"])
def test_warning_tells_of_an_id_that_restarts(tmp_path: Path, said: list[str], lives: str) -> None:
    """Rows that are not beyond, logged after rows that are: the outer id should be named."""
    source = "import os, skald, sys\nlogger = skald.Logger('run', '.', mode='auto')\n"
    log = "for step in range(5):\n    logger.log_metric('loss', step, epoch=int(sys.argv[1]), step=step)\n"
    if lives.startswith("one"):
        crash(source + log * 2 + "logger.close()\n" * ("closed" in lives), tmp_path, 0)
    else:
        crash(source + log, tmp_path, 0)
        crash(source + log, tmp_path, 1)
    with skald.Logger("run", tmp_path, mode="resume") as logger:
        logger.rewind(step=2)

        assert "name the outer id too" in said[1]
        assert values(logger) == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("end", ["crashed", "closed"])
def test_ranks_side_by_side_raise_no_warning(tmp_path: Path, said: list[str], end: str) -> None:
    """Of ranks that write at the same time one is ahead: no id restarts, also where one file has the rows of all."""
    source = """
import os, skald, sys
ranks = [skald.Logger("run", ".", mode="join", ids={"rank": rank}) for rank in range(2)]
for step in range(6):
    ranks[0].log_metric("loss", step, step=step + 1)
    ranks[1].log_metric("loss", step, step=step)
if sys.argv[1] == "closed":
    for rank in ranks:
        rank.close()
"""
    crash(source, tmp_path, end)
    with skald.Logger("run", tmp_path, mode="resume") as logger:
        logger.rewind(step=2)

    assert said[0].startswith("rewound to step=2: 7 rows")
    assert not any("outer" in line for line in said)


def test_id_that_no_row_has_is_told(tmp_path: Path, said: list[str]) -> None:
    """A run killed before its first step has rows, but none with a step: that is no error."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("setup_secs", 1, rank=0)
        logger.rewind(step=-1)

        assert values(logger, "setup_secs") == [1]
    assert said[0] == "rewound to step=-1: no row is beyond it"
    assert said[1] == "no row has step, so none was taken back; the ids are rank"


# --- bad input ---


@pytest.mark.parametrize(
    ("given_ids", "error", "text"),
    [
        ({"stpe": 1}, skald.InvalidInputError, "did you mean 'step'"),
        ({"step": None}, skald.InvalidInputError, "got step=None"),
        ({"step": float("nan")}, skald.InvalidInputError, "got step=nan"),
        ({"step": float("inf")}, skald.InvalidInputError, "got step=inf"),
        ({"step": "3"}, skald.IdTypeError, "is int in this run, got str"),
        ({"step": True}, skald.IdTypeError, "is int in this run, got bool"),
        ({"step": [3]}, skald.IdTypeError, "must be an int"),
        ({"time": 3}, skald.InvalidInputError, "reserved"),
    ],
)
@pytest.mark.parametrize("mode", ["new", "disabled"])
def test_bad_input_is_an_error_that_changes_nothing(
    tmp_path: Path, mode: Any, given_ids: dict[str, Any], error: type[Exception], text: str
) -> None:
    """The run is as it was, in a disabled run too."""
    with skald.Logger("run", tmp_path, mode=mode) as logger:
        logger.log_metric("loss", 1, step=5)
        with pytest.raises(error, match=re.escape(text)):
            logger.rewind(**given_ids)

        assert mode == "disabled" or values(logger) == [1]


def test_bad_input_is_only_warned_of_where_the_logger_says_so(tmp_path: Path) -> None:
    """`errors="warn"` holds for rewind too."""
    with skald.Logger("run", tmp_path, errors="warn") as logger:
        logger.log_metric("loss", 1, step=5)
        logger.rewind(step=None)

        assert values(logger) == [1]


def test_closed_logger_cannot_rewind(tmp_path: Path) -> None:
    """As with every call after `close`."""
    logger = skald.Logger("run", tmp_path)
    logger.close()

    with pytest.raises(skald.LoggerClosedError):
        logger.rewind(step=1)


def test_positional_arguments_are_refused(tmp_path: Path) -> None:
    """`rewind(120)` names no id."""
    with skald.Logger("run", tmp_path) as logger, pytest.raises(TypeError):
        logger.rewind(120)  # type: ignore[call-arg]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_full_disk_leaves_all_rows(tmp_path: Path) -> None:
    """A rewind that cannot be put down takes nothing back."""
    source = """
import resource, skald
logger = skald.Logger("run", ".")
logger.log_metric("loss", 1, step=5)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
try:
    logger.rewind()
except skald.StorageError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
logger.log_metric("loss", 2, step=6)
logger.close()
"""
    result = program(source, folder=tmp_path)

    assert "nothing was taken back" in result.stdout, result.stderr
    assert values(tmp_path / "run") == [1, 2]


def test_rewind_loads_no_tables(tmp_path: Path) -> None:
    """A training process that rewinds pays for neither polars nor pandas."""
    source = """
import sys, skald
with skald.Logger("run", ".") as logger:
    logger.log_metric("loss", 1, step=5)
    logger.rewind(step=1)
print({"polars", "pandas"} & set(sys.modules))
"""
    assert program(source, folder=tmp_path).stdout.strip() == "set()"


@pytest.mark.parametrize("moved", [False, True])
def test_rewind_of_a_run_whose_folder_is_gone_says_so(tmp_path: Path, *, moved: bool) -> None:
    """As other calls do, for who waits for a disk to come back."""
    logger = skald.Logger("run", tmp_path, capture=False)
    logger.log_metric("loss", 0.5, step=1)
    if moved:
        (tmp_path / "run").rename(tmp_path / "moved")
    else:
        shutil.rmtree(tmp_path / "run")

    with pytest.raises(skald.StorageError, match="the run's folder is gone"):
        logger.rewind()
    logger.close()
