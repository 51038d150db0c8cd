"""Params: what becomes of each kind of value, and params.yaml under many hands."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import enum
import json
import math
import multiprocessing
import os
import threading
import zoneinfo
from collections import OrderedDict, namedtuple
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from skald import layout
from skald.errors import CorruptRunError, InvalidInputError, StorageError
from skald.record.info import RunInfo, write_info
from skald.record.params import Params, merge, read_params
from skald.record.plain import MAX_DEPTH, plain

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.dates()
    | st.datetimes()
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=8)


class Color(enum.Enum):
    """An enum over strings."""

    RED = "red"


class Level(enum.IntEnum):
    """An enum whose members are ints too."""

    HIGH = 3


class Flavor(enum.StrEnum):
    """An enum whose members are strings too."""

    SWEET = "sweet"


@dataclasses.dataclass
class Optimizer:
    """A dataclass as training code has them."""

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)


class Model(msgspec.Struct):
    """A struct that holds a dataclass."""

    depth: int
    optimizer: Optimizer


class Meters(float):
    """A float of a class of its own."""


Point = namedtuple("Point", "x y")  # noqa: PYI024 - what users have


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a run that is being written."""
    return begun(tmp_path)


def begun(folder: Path) -> Path:
    """Make a run of a folder, with what writers need."""
    (folder / layout.SEGMENTS).mkdir()
    write_info(folder, RunInfo(name="run", started=dt.datetime(2026, 11, 23, tzinfo=dt.UTC)))
    return folder


def lock_of(run: Path) -> Path:
    """Return the file that those who write params of a run lock."""
    return run / layout.SEGMENTS / layout.RUN_LOCK


def params_of(run: Path) -> Params:
    """Return the params of a run as its logger has them."""
    return Params(run, lock_of(run))


def loaded(run: Path) -> Any:
    """Return params.yaml as any program reads it."""
    return yaml.safe_load((run / layout.PARAMS).read_bytes())


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal and of the same kinds, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    return bool(left == right)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**80, 2**80),
        (1e-05, 1e-05),
        (math.nan, math.nan),
        (-math.inf, -math.inf),
        (Meters(1.5), 1.5),
        ((1, (2, 3)), [1, [2, 3]]),
        (Point(1, 2), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({1, "a"}, ["a", 1]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        ({1: "a", None: "b", 0.5: "c", Color.RED: "d"}, {"1": "a", "None": "b", "0.5": "c", "red": "d"}),
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (Flavor.SWEET, "sweet"),
        (PurePosixPath("data/train"), "data/train"),
        (dt.date(2026, 11, 23), dt.date(2026, 11, 23)),
        (dt.datetime(2026, 11, 23, 8, 15), dt.datetime(2026, 11, 23, 8, 15)),  # noqa: DTZ001 - users have naive ones
        (Optimizer(1e-3), {"lr": 1e-3, "betas": [0.9, 0.999]}),
        (Model(2, Optimizer(0.1)), {"depth": 2, "optimizer": {"lr": 0.1, "betas": [0.9, 0.999]}}),
        (argparse.Namespace(lr=0.1, layers=[1, 2]), {"lr": 0.1, "layers": [1, 2]}),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.int8(-3), -3),
        (np.bool_(True), True),  # noqa: FBT003 - the kind under test
        (np.str_("a"), "a"),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array(["a", None], dtype=object), ["a", None]),
        (np.datetime64("2026-11-23T08:15:00.5", "ns"), dt.datetime(2026, 11, 23, 8, 15, 0, 500_000)),  # noqa: DTZ001
        (int, "int"),
        (Optimizer, f"{__name__}.Optimizer"),
        (json.dumps, "json.dumps"),
        (math.sqrt, "math.sqrt"),
        (np.exp, "numpy.exp"),
    ],
)
def test_params_keep_each_kind_of_value(value: object, expected: object, run: Path) -> None:
    """What becomes of each kind, in the function, and in the file as any program reads it."""
    params_of(run).update({"leaf": value})

    assert same(plain(value), expected)
    assert same(loaded(run), {"leaf": expected})
    assert same(read_params(run), {"leaf": expected})


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "on",
        "~",
        "null",
        "",
        " ",
        "1e3",
        "1_000",
        "0x10",
        "12:30:45",
        "2020-01-01",
        "a: b",
        "- a",
        "#a",
        "=",
        "<<",
    ],
)
def test_params_keep_strings_that_look_like_something_else(text: str, run: Path) -> None:
    """A string that YAML could take for a bool, a number or a date is read back as a string."""
    params_of(run).update({text: text})

    assert same(loaded(run), {text: text})


@given(params=st.dictionaries(NAMES, VALUES, min_size=1))
def test_params_are_read_back_as_they_were_given(
    params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any nested plain data survive the file, with the order of their names."""
    run = begun(tmp_path_factory.mktemp("run"))

    params_of(run).update(params)

    assert same(loaded(run), params)
    assert same(read_params(run), params)


def test_params_write_a_date_that_occurs_twice_in_full(run: Path) -> None:
    """The file holds no YAML anchors, which people do not read."""
    day, limits = dt.date(2026, 11, 23), [1, 2]

    params_of(run).update({"from": day, "to": day, "low": limits, "high": limits})

    assert b"&" not in (run / layout.PARAMS).read_bytes()


def test_params_keep_the_zone_of_a_datetime(run: Path) -> None:
    """A datetime with a zone is the same instant when read."""
    time = dt.datetime(2026, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))

    params_of(run).update({"time": time})

    assert loaded(run)["time"] == time


def test_params_merge_by_leaf(run: Path) -> None:
    """The last value of a leaf stands, the others stay, and new names follow the old."""
    params = params_of(run)

    params.update({"model": {"depth": 2, "act": {"name": "relu"}}, "lr": 0.1, "steps": [1, 2]})
    params.update({"steps": [3], "model": {"act": {"slope": 0.2}, "depth": 4}, "seed": 1})

    expected = {"model": {"depth": 4, "act": {"name": "relu", "slope": 0.2}}, "lr": 0.1, "steps": [3], "seed": 1}
    assert same(read_params(run), expected)


def test_merge_replaces_a_leaf_by_a_mapping_and_the_reverse() -> None:
    """A name holds what was given last, whether that is a leaf or a mapping."""
    merged = merge({"a": 1, "b": {"c": 2}}, {"a": {"d": 3}, "b": 4})

    assert merged == {"a": {"d": 3}, "b": 4}


def test_params_keep_names_with_dots_as_given(run: Path) -> None:
    """A dot in a name means nothing: it is not the path of a nested one."""
    params_of(run).update({"model.depth": 1, "model": {"depth": 2}})

    assert loaded(run) == {"model.depth": 1, "model": {"depth": 2}}


def test_params_take_objects_with_fields_as_a_whole(run: Path) -> None:
    """What argparse returned can be given as it is."""
    params_of(run).update(argparse.Namespace(lr=0.1))

    assert loaded(run) == {"lr": 0.1}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"model": {"act": object()}}, "'model.act' must be plain data, got object"),
        ({"layers": [1, {"size": b"3"}]}, "'layers.1.size' must be plain data, got bytes"),
        ({"z": 1 + 2j}, "'z' must be plain data, got complex"),
        ({"z": np.complex64(1)}, "'z' must be plain data, got complex"),
        ({"wait": np.timedelta64(1, "ns")}, "'wait' must be plain data, got datetime.timedelta"),
        ({"color": {Color: 1, "a": {("a", "b"): 1}}}, "keys of param 'color.a' must be str, got tuple"),
        ({"a": {1: "x", "1": "y"}}, "'a.1' is given twice"),
        ({"a": {"b": "\ud800"}}, "'a.b' must be valid Unicode"),
        ({"a": {"\ud800": 1}}, "'a' must be valid Unicode"),
        (3, "must be a mapping of names to values, got int"),
        ("lr", "must be a mapping of names to values, got str"),
    ],
)
@pytest.mark.parametrize("disabled", [False, True])
def test_params_refuse_what_has_no_plain_form(params: Any, message: str, run: Path, *, disabled: bool) -> None:
    """The error names the path inside the mapping, and nothing of the mapping is written."""
    params_of(run).update({"lr": 0.1})
    target = Params(None) if disabled else params_of(run)

    with pytest.raises(InvalidInputError, match=message):
        target.update(params if isinstance(params, int | str) else {"seed": 1, **params})

    assert loaded(run) == {"lr": 0.1}


def test_params_refuse_a_mapping_that_contains_itself(run: Path) -> None:
    """Endless nesting is an error, and no crash of the interpreter."""
    endless: dict[str, Any] = {}
    endless["self"] = [endless]

    with pytest.raises(InvalidInputError, match=f"deeper than {MAX_DEPTH} levels"):
        params_of(run).update(endless)


def test_params_as_deep_as_allowed_are_read_back(run: Path) -> None:
    """The deepest nesting that is taken is one that YAML can write and read."""
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = {"a": deep}

    params_of(run).update(deep)

    assert loaded(run) == deep


def test_params_of_a_disabled_logger_write_nothing(run: Path) -> None:
    """They only check."""
    Params(None).update({"lr": 0.1})

    assert sorted(os.listdir(run)) == [layout.RUN_JSON, layout.SEGMENTS]  # noqa: PTH208 - names only


def test_params_leave_only_their_file(run: Path) -> None:
    """No temporary file, and no lock beside params.yaml, is left in the run's folder."""
    params_of(run).update({"lr": 0.1})

    assert sorted(os.listdir(run)) == [layout.PARAMS, layout.RUN_JSON, layout.SEGMENTS]  # noqa: PTH208 - names only


def test_read_params_of_a_run_without_any_is_empty(run: Path) -> None:
    """No file, or an empty one, means no params."""
    before = read_params(run)
    (run / layout.PARAMS).write_text("# all gone\n", encoding="utf-8")

    assert before == {}
    assert read_params(run) == {}


def test_read_params_takes_what_people_edit(run: Path) -> None:
    """Names that YAML reads as numbers are strings, as those of a log call are."""
    (run / layout.PARAMS).write_text("layers:\n  1: {size: 3}\nlr: 1.0e-05  # by hand\n", encoding="utf-8")

    assert same(read_params(run), {"layers": {"1": {"size": 3}}, "lr": 1e-05})


@pytest.mark.parametrize(
    "damage", [b"a: [1", b"- 1\n- 2\n", b"\xff\xfe\xff", b"a: 2020-99-99", b"a: !!binary aGk=", b"7"]
)
def test_read_params_tells_which_file_is_damaged(damage: bytes, run: Path) -> None:
    """A file that cannot be read is named, and no update writes over it."""
    path = run / layout.PARAMS
    path.write_bytes(damage)

    with pytest.raises(CorruptRunError, match=r"params\.yaml"):
        read_params(run)
    with pytest.raises(CorruptRunError, match=r"params\.yaml"):
        params_of(run).update({"lr": 0.1})

    assert path.read_bytes() == damage


def log_many(run: Path, process: int, start: Any) -> None:
    """Log params of its own, and a shared one, as fast as it can."""
    params = params_of(run)
    start.wait()
    for number in range(8):
        params.update({f"process{process}": {f"n{number}": number}, "last": process})


def test_params_of_many_processes_are_all_kept(run: Path) -> None:
    """Eight processes that log different params of one run at once lose none."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(8)
    processes = [context.Process(target=log_many, args=(run, number, start)) for number in range(8)]

    for process in processes:
        process.start()
    for process in processes:
        process.join()

    found = loaded(run)
    assert [process.exitcode for process in processes] == [0] * 8
    assert found.pop("last") in range(8)
    assert found == {f"process{process}": {f"n{number}": number for number in range(8)} for process in range(8)}


def test_params_of_many_threads_are_all_kept(run: Path) -> None:
    """Threads that share one logger lose none either."""
    params = params_of(run)
    threads = [threading.Thread(target=params.update, args=({f"t{number}": number},)) for number in range(16)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert loaded(run) == {f"t{number}": number for number in range(16)}


def test_params_are_whole_for_whoever_reads_meanwhile(run: Path) -> None:
    """A reader sees the params before or after an update, never half a file."""
    params = params_of(run)
    params.update({"big": list(range(500)), "n": -1})
    stop = threading.Event()
    sizes: set[int] = set()

    def read() -> None:
        while not stop.is_set():
            sizes.add(len(read_params(run)["big"]))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(10):
        params.update({"n": number})
    stop.set()
    reader.join()

    assert sizes == {500}


def fill_disk(run: Path) -> None:
    """Log params where no file may grow beyond 1,000 bytes, as on a full disk."""
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
    params = params_of(run)
    params.update({"lr": 0.1})
    with pytest.raises(StorageError, match="params were not written"):
        params.update({"big": "x" * 2_000})


@pytest.mark.skipif(os.name == "nt", reason="no limit on the size of files")
def test_params_survive_a_full_disk(run: Path) -> None:
    """What was logged before stays as it was, and the error says what was not written."""
    process = multiprocessing.get_context("spawn").Process(target=fill_disk, args=(run,))

    process.start()
    process.join()

    assert process.exitcode == 0
    assert loaded(run) == {"lr": 0.1}
    assert sorted(os.listdir(run)) == [layout.PARAMS, layout.RUN_JSON, layout.SEGMENTS]  # noqa: PTH208 - names only


def test_params_tell_when_the_folder_is_gone(tmp_path: Path) -> None:
    """A run removed under a logger's feet is a clear error."""
    with pytest.raises(StorageError, match="params were not written"):
        Params(tmp_path / "gone", tmp_path / "gone" / "lock").update({"lr": 0.1})
