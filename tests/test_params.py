"""Params: what becomes of each kind of value, and params.yaml under many hands."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import decimal
import enum
import errno
import functools
import importlib.util
import json
import math
import multiprocessing
import os
import pathlib
import shutil
import sys
import threading
import types
import uuid
import zoneinfo
from collections import OrderedDict, namedtuple
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import attrs
import msgspec
import numpy as np
import pandas as pd
import pydantic
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from logged import program, start
from omegaconf import OmegaConf

import skald
from skald import layout
from skald.errors import InvalidInputError, StorageError
from skald.record.info import RunInfo, read_info, write_info
from skald.record.params import Params, merge, read_params
from skald.record.plain import MAX_DEPTH, plain
from skald.record.yamltext import to_yaml

ODD = st.text(st.sampled_from("a \n\t-:#'\"[]{}|>&*!%@`\\🎉\x85\u2028\ufeff\xa0\r01e.,~?"))
LEAVES = (
    ODD
    | st.none()
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
    width: int | msgspec.UnsetType | None = msgspec.UNSET


@attrs.frozen
class Attributes:
    """An attrs class that holds a dataclass."""

    width: int
    optimizer: Optimizer = Optimizer(0.1)  # noqa: RUF009 - never changed


class Settings(pydantic.BaseModel):
    """A pydantic model that takes more than it names."""

    model_config = pydantic.ConfigDict(extra="allow")

    depth: int
    path: Path = Path("data")


class Meters(float):
    """A float of a class of its own."""


@dataclasses.dataclass
class Node:
    """A part of a tree that knows its parent."""

    name: str
    parent: Node | None


@dataclasses.dataclass
class Unset:
    """A dataclass with a field that nobody has set."""

    lr: float = 0.1
    act: str = dataclasses.field(init=False)


@attrs.define
class UnsetAttributes:
    """An attrs class with such a field."""

    lr: float = 0.1
    act: str = attrs.field(init=False)


class Remote(Mapping[str, Any]):
    """A mapping whose values are far away, and cannot be had."""

    def __getitem__(self, name: str) -> Any:
        raise ConnectionError(f"no {name}")

    def __iter__(self) -> Iterator[str]:
        return iter(["lr"])

    def __len__(self) -> int:
        return 1


class Hostile:
    """An object that looks at nobody."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise ZeroDivisionError


Point = namedtuple("Point", "x y")  # noqa: PYI024 - what users have


SUN_TIME = dt.timezone(dt.timedelta(minutes=53, seconds=28))
HALF_PAST = dt.timezone(dt.timedelta(hours=-3, minutes=-30))
STARTED = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
CONFIG = {"lr": 0.1, "twice": 0.1, "sizes": [1, 2], "later": "???"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a run that is being written."""
    return begun(tmp_path)


def begun(folder: Path) -> Path:
    """Make a run of a folder, with what writers need."""
    (folder / layout.SEGMENTS).mkdir()
    write_info(folder, RunInfo(name="run", started=STARTED))
    return folder


def lock_of(run: Path) -> Path:
    """Return the file that those who write params of a run lock."""
    return run / layout.SEGMENTS / layout.RUN_LOCK


def params_of(run: Path) -> Params:
    """Return the params of a run as its logger has them."""
    return Params(run)


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
        (Model(2, Optimizer(0.1), None), {"depth": 2, "optimizer": {"lr": 0.1, "betas": [0.9, 0.999]}, "width": None}),
        (argparse.Namespace(lr=0.1, layers=[1, 2]), {"lr": 0.1, "layers": [1, 2]}),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.int8(-3), -3),
        (np.bool_(True), True),  # noqa: FBT003 - the kind under test
        (np.str_("a"), "a"),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array(["a", None], dtype=object), ["a", None]),
        (np.datetime64("2026-11-23T08:15:00.5", "ns"), dt.datetime(2026, 11, 23, 8, 15, 0, 500_000)),  # noqa: DTZ001
        (dt.datetime(2026, 11, 23, 8, 15, tzinfo=HALF_PAST), dt.datetime(2026, 11, 23, 8, 15, tzinfo=HALF_PAST)),
        (dt.datetime(1800, 1, 1, tzinfo=SUN_TIME), dt.datetime(1799, 12, 31, 23, 6, 32, tzinfo=dt.UTC)),
        (np.datetime64("NaT", "s"), None),
        (pd.NaT, None),
        (int, "int"),
        (list[int], "list[int]"),
        (dict[str, dt.date], "dict[str, datetime.date]"),
        (int | None, "int | None"),
        (Literal["a", "b"], "typing.Literal['a', 'b']"),
        (Optimizer, f"{__name__}.Optimizer"),
        (functools.partial(Optimizer, lr=0.1), f"{__name__}.Optimizer"),
        (json.dumps, "json.dumps"),
        (math.sqrt, "math.sqrt"),
        (np.exp, "numpy.exp"),
        (math, "math"),
        (os.path, os.path.__name__),
        (np.float32, "numpy.float32"),
        (np.dtype("float32"), "numpy.float32"),
        (np.dtype(">i4"), ">i4"),
        (Attributes(3), {"width": 3, "optimizer": {"lr": 0.1, "betas": [0.9, 0.999]}}),
        (Settings.model_validate({"depth": 2, "extra": "kept"}), {"depth": 2, "path": "data", "extra": "kept"}),
        (OmegaConf.create({"lr": 0.1, "twice": "${lr}", "sizes": [1, 2], "later": "???"}), CONFIG),
        ({"inner": [OmegaConf.structured(Optimizer(0.1))]}, {"inner": [{"lr": 0.1, "betas": [0.9, 0.999]}]}),
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
        "two\nlines",
        "code:\n  if x:\n    y  # why\n",
        "\n",
        "\ttab\nand more",
        "run 🎉 done",
        "🎉\x85\nboth",
    ],
)
def test_params_keep_strings_that_look_like_something_else(text: str, run: Path) -> None:
    """A string that YAML could take for a bool, a number or a date is read back as a string."""
    params_of(run).update({text: text})

    assert same(loaded(run), {text: text})


@given(data=st.dictionaries(NAMES, VALUES, min_size=1))
def test_yaml_says_any_plain_data(data: dict[str, Any]) -> None:
    """Whatever the values and their names are, any program reads them back, in the order of the names."""
    assert same(yaml.safe_load(to_yaml(data)), data)


@settings(max_examples=20)
@given(params=st.dictionaries(NAMES, VALUES, min_size=1))
def test_params_are_read_back_as_they_were_given(
    params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any nested plain data survive the files, with the order of their names."""
    run = begun(tmp_path_factory.mktemp("run"))

    params_of(run).update(params)

    assert same(loaded(run), params)
    assert same(read_params(run), params)


def test_params_file_is_made_for_people(run: Path) -> None:
    """A line for each name, a list in one line, text as it was typed, and nothing quoted without need."""
    params_of(run).update(
        {
            "lr": 3e-4,
            "note": "half the data 🎉",
            "model": {"depth": 12, "sizes": [1, 2]},
            "prompt": "You are:\n  - kind\n",
            "version": "1e3",
        }
    )

    assert (
        (run / layout.PARAMS).read_text(encoding="utf-8")
        == """\
lr: 0.0003
note: half the data 🎉
model:
  depth: 12
  sizes: [1, 2]
prompt: |
  You are:
    - kind
version: '1e3'
"""
    )


def test_params_name_a_torch_dtype(tmp_path: Path) -> None:
    """`torch.float32` is a name, as functions and classes of torch are; importing torch is the user's affair."""
    if not importlib.util.find_spec("torch"):
        pytest.skip("torch is not installed")
    source = """
import skald, torch
with skald.Logger("run", ".") as logger:
    logger.log_params(device=torch.device("cuda:1"))
    logger.log_params(dtype=torch.bfloat16, act=torch.relu, layer=torch.nn.Linear, size=torch.Size([1, 2]))
"""

    ended = program(source, folder=tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert loaded(tmp_path / "run") == {
        "dtype": "torch.bfloat16",
        "device": "cuda:1",
        "act": "torch.relu",
        "layer": "torch.nn.modules.linear.Linear",
        "size": [1, 2],
    }


def test_params_name_the_public_module_of_what_a_private_one_defines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name does not change with where a library keeps its code, as `pathlib.Path` does with Python 3.13."""
    public, private, inner = (types.ModuleType(name) for name in ("made", "made._local", "made._local._deep"))
    for module in (public, private, inner):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    shown, partly, hidden = (type(name, (), {"__module__": inner.__name__}) for name in ("Shown", "Partly", "Hidden"))
    vars(inner).update(Shown=shown, Partly=partly, Hidden=hidden)
    vars(private).update(Shown=shown, Partly=partly)
    vars(public).update(Shown=shown, Partly=hidden)

    names = plain([shown, partly, hidden])

    assert names == ["made.Shown", "made._local.Partly", "made._local._deep.Hidden"]
    assert plain(pathlib.Path) == "pathlib.Path"


def in_json(run: Path) -> Any:
    """Return the params in run.json as any program reads them."""
    return json.loads((run / layout.RUN_JSON).read_bytes())["params"]


def test_params_stand_in_run_json_too(run: Path) -> None:
    """The same leaves, those that JSON has no word for as text, and nothing else in the file is changed."""
    write_info(run, before := RunInfo(name="run", started=STARTED, tags=["a"]))

    params_of(run).update({"model": {"depth": 12}, "big": 2**80, "lr": math.nan, "low": -math.inf})
    params_of(run).update({"day": dt.date(2026, 11, 23), "a.b": [0.5, math.inf]})

    info = read_info(run)
    expected = {"model": {"depth": 12}, "big": 2**80, "lr": "NaN", "low": "-Infinity"}
    assert same(in_json(run), {**expected, "day": "2026-11-23", "a.b": [0.5, "Infinity"]})
    assert (info.name, info.started, info.tags) == (before.name, before.started, before.tags)
    assert same(read_params(run), loaded(run))


def test_params_are_read_from_run_json(run: Path) -> None:
    """While nobody edited params.yaml its text is not parsed, of a copied run neither."""
    params_of(run).update({"lr": 0.1})
    copied = shutil.copytree(run, run.parent / "copied", copy_function=shutil.copyfile)
    path = copied / layout.RUN_JSON
    path.write_bytes(path.read_bytes().replace(b"0.1", b"0.2"))  # which only a reader of run.json can see

    assert read_params(run) == {"lr": 0.1}
    assert read_params(copied) == {"lr": 0.2}


@pytest.mark.parametrize("edited", ["before run.json", "in the same instant", "after it"])
def test_params_edited_by_hand_win(run: Path, edited: str) -> None:
    """What stands in params.yaml counts, whatever the times of the files say, and later params are merged into it."""
    params_of(run).update({"lr": 0.1, "seed": 1})
    path, written = run / layout.PARAMS, (run / layout.PARAMS).stat().st_mtime_ns

    path.write_text("lr: 0.2\nseed: 1\n", encoding="utf-8")
    time = written + {"before run.json": -(10**9), "in the same instant": 0, "after it": 10**9}[edited]
    os.utime(path, ns=(time, time))

    assert read_params(run) == {"lr": 0.2, "seed": 1}
    params_of(run).update({"seed": 2})
    assert read_params(run) == in_json(run) == {"lr": 0.2, "seed": 2}


def test_params_edited_by_hand_may_have_numbers_as_people_write_them(run: Path) -> None:
    """PyYAML takes some powers of ten for text, which a text that was logged stays."""
    params_of(run).update({"lr": 0.1, "decay": "1e-4"})
    text = (run / layout.PARAMS).read_text(encoding="utf-8")

    (run / layout.PARAMS).write_text(text.replace("0.1", "1e-3") + "steps: -2E5\nname: 1e5x\n", encoding="utf-8")

    assert read_params(run) == {"lr": 0.001, "decay": "1e-4", "steps": -200_000.0, "name": "1e5x"}
    params_of(run).update({"seed": 1})
    assert loaded(run) == in_json(run) == read_params(run)


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
        (
            {"color": {Color: 1, "a": {("a", "b"): 1}}},
            "param 'color.a' must be str, or become one, not tuple: .'a', 'b'.",
        ),
        (
            {"a": {decimal.Decimal("0.1"): 1}},
            r"param 'a' must be str, or become one, not decimal.Decimal: Decimal\('0.1'\)",
        ),
        ({b"raw": 1}, "keys of params must be str, or become one, not bytes: b'raw'"),
        ({"a": {1: "x", "1": "y"}}, "'a.1' is given twice"),
        ({"a": {"b": "\ud800"}}, "'a.b' must be valid Unicode"),
        ({"a": {"k\ud800": 1}}, r"param 'a\.k\\ud800' must be valid Unicode"),
        ({"k\ud800": 1}, r"param 'k\\ud800' must be valid Unicode"),
        ({"model": OmegaConf.create({"size": "${gone}"})}, "'model.size' cannot be resolved: .*gone"),
        (3, "must be a mapping of names to values, got int"),
        ("lr", "must be a mapping of names to values, got str"),
        (b"lr", "^params must be a mapping of names to values, got bytes"),
    ],
)
@pytest.mark.parametrize("disabled", [False, True])
def test_params_refuse_what_has_no_plain_form(params: Any, message: str, run: Path, *, disabled: bool) -> None:
    """The error names the path inside the mapping, and nothing of the mapping is written."""
    params_of(run).update({"lr": 0.1})
    target = Params(None) if disabled else params_of(run)

    with pytest.raises(InvalidInputError, match=message):
        target.update({"seed": 1, **params} if isinstance(params, dict) else params)

    assert loaded(run) == {"lr": 0.1}


@pytest.mark.parametrize(
    ("value", "path", "cause"),
    [
        (Unset(), "model.act", AttributeError),
        (UnsetAttributes(), "model.act", AttributeError),
        ({"remote": [Remote()]}, "model.remote.0", ConnectionError),
        ({"a": Hostile()}, "model.a", ZeroDivisionError),
    ],
)
def test_params_that_raise_errors_of_their_own_are_refused(
    value: object, path: str, cause: type[Exception], tmp_path: Path
) -> None:
    """By an error that names the path, and has theirs behind it: a training that only warns goes on."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        with pytest.raises(
            InvalidInputError, match=f"^param '{path}' cannot be read: it raised {cause.__name__}"
        ) as told:
            logger.log_param("model", value)
        logger.log_param("seed", 1)
    with skald.Logger("warned", tmp_path, capture=False, errors="warn") as logger:
        logger.log_params({"model": value})

    assert isinstance(told.value.__cause__, cause)
    assert loaded(tmp_path / "run") == {"seed": 1}
    assert not (tmp_path / "warned" / layout.PARAMS).exists()


def test_params_name_a_mapping_that_cannot_be_read_as_a_whole() -> None:
    """It has no path."""
    with pytest.raises(InvalidInputError, match=r"^the mapping of params cannot be read: it raised ConnectionError"):
        Params(None).update(Remote())


def test_params_refuse_ints_that_nobody_can_read(run: Path) -> None:
    """Those of more digits than Python and JSON take; the longest that are taken are read back."""
    longest = 10**4_000 - 1
    params_of(run).update({"a": [longest, -longest]})

    with pytest.raises(InvalidInputError, match=r"^param 'a\.1' must be an int of at most 4,000 digits"):
        params_of(run).update({"a": [1, -longest - 1]})

    assert loaded(run) == read_params(run) == {"a": [longest, -longest]}


def test_params_refuse_a_mapping_that_contains_itself(run: Path) -> None:
    """Endless nesting is an error that says where, and no crash of the interpreter."""
    endless: dict[str, Any] = {}
    endless["self"] = [1, endless]
    child = Node("child", None)
    child.parent = Node("parent", child)

    with pytest.raises(InvalidInputError, match=r"the mapping of params contains itself, as 'self\.1'"):
        params_of(run).update(endless)
    with pytest.raises(InvalidInputError, match=r"param 'tree' contains itself, as 'tree\.parent\.parent'"):
        params_of(run).update({"seed": 1, "tree": child})


def test_params_refuse_what_is_nested_too_deep(run: Path) -> None:
    """Which ends, but in no file that people read; what is there twice side by side is no circle."""
    deep: Any = 1
    for _ in range(MAX_DEPTH + 1):
        deep = {"a": deep}
    twice = [1]

    with pytest.raises(InvalidInputError, match=f"nests deeper than {MAX_DEPTH} levels"):
        params_of(run).update({"b": twice, "c": twice, **deep})


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (dt.timedelta(1), "log its .total_seconds()"),
        (dt.time(1), "log its .isoformat()"),
        (decimal.Decimal("0.1"), "log float(value), or str(value)"),
        (1j, "log [value.real, value.imag]"),
        (b"key", "log its .hex(), or the file that it is as an artifact"),
        (range(3), "log list(value), if it is short"),
        (uuid.UUID(int=1), "log str(value), its name, or a dict of its settings"),
    ],
)
def test_params_say_what_to_log_in_place_of_a_value(value: object, remedy: str) -> None:
    """An error that says only what is wrong makes people look for the way on."""
    with pytest.raises(InvalidInputError) as raised:
        Params(None).update({"x": value})

    assert raised.value.__notes__ == [f"hint: {remedy}"]


def test_params_never_write_a_secret(run: Path) -> None:
    """Those of pydantic are refused, also as a field of a model, and the message has nothing of them."""
    secret = pydantic.SecretStr("hunter2")

    for params in ({"key": secret}, {"settings": Settings.model_validate({"depth": 1, "key": secret})}):
        with pytest.raises(InvalidInputError) as raised:
            params_of(run).update(params)

        assert "hunter2" not in str(raised.value)
        assert not (run / layout.PARAMS).exists()


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
def test_params_edited_into_nonsense_leave_those_of_before(damage: bytes, run: Path) -> None:
    """Readers warn and go on with what was logged; an update keeps the edited file, whatever was kept before."""
    path, told = run / layout.PARAMS, list[str]()
    params = Params(run, told.append)
    for edits in range(2):
        params.update({"model": {"depth": 12 + edits}, "lr": 0.1})
        path.write_bytes(damage)

    with pytest.warns(UserWarning, match=r"params cannot be read|must be a mapping|must be plain") as warned:
        found = read_params(run)
    params.update({"lr": 0.2})

    assert (found, len(warned)) == ({"model": {"depth": 13}, "lr": 0.1}, 1)
    assert read_params(run) == {"model": {"depth": 13}, "lr": 0.2}
    assert [(run / "damaged" / name).read_bytes() for name in ("params.yaml", "params-2.yaml")] == [damage, damage]
    assert [("params.yaml" in text, "damaged/params" in text) for text in told] == [(True, True)] * 2


def test_params_that_cannot_be_read_are_told_with_file_and_line(run: Path) -> None:
    """A typo in the third line is found there, and told on one line."""
    path = run / layout.PARAMS
    path.write_text("lr: 0.1\nwd: 0\nmodel: {depth: 12\nseed: 1\n", encoding="utf-8")

    with pytest.warns(UserWarning, match=r"params cannot be read: .*params\.yaml, line 4; ") as warned:
        assert read_params(run) == {}

    assert "\n" not in str(warned[0].message)


@pytest.mark.parametrize("value", ["!!bool maybe", "!!timestamp today", "!!int ''", "!!float x", "2020-99-99"])
def test_params_with_a_tag_that_does_not_fit_are_told_to_be_no_yaml(value: str, run: Path) -> None:
    """What the parser says of them alone would not tell what is wrong."""
    (run / layout.PARAMS).write_text(f"lr: {value}\n", encoding="utf-8")

    with pytest.warns(UserWarning, match=r"params cannot be read: not valid YAML of plain data: .+, in .*params\.yaml"):
        read_params(run)


def test_params_edited_into_nonsense_leave_the_run_in_its_tables(tmp_path: Path) -> None:
    """A run with a typo in its params is a run: in runs, in scan, and for a logger that goes on with it."""
    with skald.Logger("a", dir=tmp_path) as logger:
        logger.log_params(lr=0.1, model={"depth": 12})
        logger.log_metric("loss", 1.0, step=0)
    (tmp_path / "a" / layout.PARAMS).write_text("lr: [0.1\n", encoding="utf-8")

    with pytest.warns(UserWarning, match=r"params\.yaml, line 2"):
        table = skald.runs(tmp_path)
    with pytest.warns(UserWarning, match=r"params\.yaml, line 2"):
        rows = skald.scan(tmp_path, params="*").collect()
    with skald.Logger("a", dir=tmp_path, mode="resume") as logger:
        logger.log_param("seed", 1)

    assert table.select("run", "params.lr", "params.model.depth").rows() == [("a", 0.1, 12)]
    assert rows["params.lr"].to_list() == [0.1]
    assert skald.Run(tmp_path / "a").params == {"lr": 0.1, "model": {"depth": 12}, "seed": 1}
    assert (tmp_path / "a" / "damaged" / layout.PARAMS).read_text() == "lr: [0.1\n"
    assert "it is kept as damaged/params.yaml" in skald.Run(tmp_path / "a").console


def test_params_edited_into_an_endless_int_leave_the_run_in_its_tables(tmp_path: Path) -> None:
    """YAML reads one in hexadecimal digits, of which Python makes no text."""
    for name in "ab":
        with skald.Logger(name, dir=tmp_path) as logger:
            logger.log_param("lr", 0.1)
    (tmp_path / "a" / layout.PARAMS).write_text(f"lr: 0x{'f' * 5_000}\n", encoding="utf-8")

    with pytest.warns(UserWarning, match="params cannot be read: param 'lr' must be an int of at most"):
        table = skald.runs(tmp_path)

    assert table.select("run", "params.lr").sort("run").rows() == [("a", 0.1), ("b", 0.1)]


def test_params_whose_file_was_deleted_are_those_of_run_json(tmp_path: Path) -> None:
    """With one warning wherever they are read, and to log more mends it; a run without params has nothing to tell."""
    with skald.Logger("none", dir=tmp_path), skald.Logger("a", dir=tmp_path) as logger:
        logger.log_params(lr=0.1, model={"depth": 12})
        logger.log_metric("loss", 1.0, step=0)
    (tmp_path / "a" / layout.PARAMS).unlink()

    missing = r"params\.yaml is missing, in .*a; the params of before"
    with pytest.warns(UserWarning, match=missing) as warned:
        found = skald.Run(tmp_path / "a").params
    with pytest.warns(UserWarning, match=missing):
        table = skald.runs(tmp_path)
    with pytest.warns(UserWarning, match=missing):
        rows = skald.scan(tmp_path, params="*").collect()
    with skald.Logger("a", dir=tmp_path, mode="resume") as logger:
        logger.log_param("seed", 1)

    assert (found, len(warned)) == ({"lr": 0.1, "model": {"depth": 12}}, 1)
    assert table.sort("run")["params.model.depth"].to_list() == [12, None]
    assert rows["params.lr"].to_list() == [0.1]
    assert loaded(tmp_path / "a") == {"lr": 0.1, "model": {"depth": 12}, "seed": 1}


def test_params_tell_that_their_copy_alone_was_not_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk has room for params.yaml and not for run.json: they are kept, and count."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("skald.record.params.write_info", full)
        with pytest.raises(StorageError, match=r"^params\.yaml has the params now, their copy in run\.json is old: "):
            params_of(run).update({"lr": 0.1})

    assert read_params(run) == {"lr": 0.1}


def test_params_that_may_not_be_read_are_told(run: Path) -> None:
    """As a file without the right to read it: the error is one of ours, and names the file."""
    (run / layout.PARAMS).mkdir()

    with pytest.raises(StorageError, match=r"cannot be read.*params\.yaml"):
        read_params(run)
    with pytest.raises(StorageError, match=r"not written.*params\.yaml"):
        params_of(run).update({"lr": 0.1})


RANK = """
import sys, skald
rank = int(sys.argv[1])
with skald.Logger("run", ".", mode="join") as logger:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(6):
        logger.log_params({f"rank{rank}": {f"n{number}": number}, "last": rank})
"""


def test_params_of_many_processes_are_all_kept(tmp_path: Path) -> None:
    """Eight processes that log different params of one run at once lose none, in neither of the files."""
    ranks = [start(RANK, rank, folder=tmp_path) for rank in range(8)]
    for rank in ranks:
        assert rank.stdout is not None
        assert rank.stdout.readline() == "ready\n"

    for rank in ranks:
        assert rank.stdin is not None
        rank.stdin.write("go\n")
        rank.stdin.flush()
    errors = [rank.communicate()[1] for rank in ranks]

    found = loaded(tmp_path / "run")
    assert same(skald.Run(tmp_path / "run").params, found)
    assert found.pop("last") in range(8), errors
    assert found == {f"rank{rank}": {f"n{number}": number for number in range(6)} for rank in range(8)}


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
    with pytest.raises(StorageError, match=r"the run's folder is gone: .*gone"):
        Params(tmp_path / "gone").update({"lr": 0.1})
