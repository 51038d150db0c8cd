"""The values of ids: their kinds, which hold for the whole run."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logged import ids, program, values

import skald
from skald import IdTypeError, InvalidInputError


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return an open logger without ids."""
    with skald.Logger("run", tmp_path) as logger:
        yield logger


class OnDevice:
    """A value whose device has failed, which it does not even show."""

    def item(self) -> int:
        """Fail, as a copy from the device does."""
        raise RuntimeError("CUDA error")


class Split(enum.StrEnum):
    """An enum over str."""

    VAL = "val"


class Level(enum.IntEnum):
    """An enum over int."""

    HIGH = 3


class Plain(enum.Enum):
    """An enum over nothing."""

    ONE = 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *[(3, 3), (2.5, 2.5), ("a", "a"), ("", ""), (True, True), (False, False), (-(2**63), -(2**63))],
        *[(2**63 - 1, 2**63 - 1), (np.int8(3), 3), (np.uint64(3), 3), (np.float32(0.5), 0.5), (np.float64(0.5), 0.5)],
        *[(np.bool_(1), True), (np.str_("a"), "a"), (np.array(3), 3), (Split.VAL, "val"), (Level.HIGH, 3)],
        *[(float("inf"), float("inf")), ("🙂\n", "🙂\n"), ("x" * 65_536, "x" * 65_536)],
    ],
    ids=lambda value: f"{type(value).__name__} {value!r:.20}",
)
def test_id_takes_every_kind_of_value(logger: skald.Logger, given: Any, expected: Any) -> None:
    """Ids are ints, floats, strings and bools, NumPy scalars and enums over them, by every way to give them."""
    for _ in range(4):
        logger.log_metric("loss", 0.5, k=given)
        logger.log_metrics({"loss": 0.5}, k=given)
    logger.log_batch({"loss": [0.5]}, k=given)
    logger.set_ids(k=given)
    logger.log_metric("loss", 0.5)

    found = ids(logger)
    assert found == [{"k": expected}] * 10
    assert {type(row["k"]) for row in found} == {type(expected)}


@pytest.mark.parametrize(
    "given",
    [
        [1],
        (1,),
        {},
        b"a",
        1j,
        object(),
        Plain.ONE,
        Decimal(1),
        np.zeros(2),
        np.array([1]),
        np.datetime64(5, "ns"),
        np.ma.masked,
        int,
        OnDevice(),
    ],
)
def test_id_of_no_kind_is_refused(logger: skald.Logger, given: Any) -> None:
    """Other values raise IdTypeError at the call that names the id and what was found, and leave nothing behind."""
    logger.log_metric("loss", 0.5, k=1)

    calls: list[Callable[[], object]] = [
        lambda: logger.log_metric("loss", 0.5, k=given),
        lambda: logger.log_metrics({"loss": 0.5, "b": 1}, k=given),
        lambda: logger.set_ids(k=given),
        lambda: logger.bind(k=given),
        lambda: logger.contextualize(k=given),
    ]
    for call in calls:
        with pytest.raises(IdTypeError, match=rf"'k' .*{type(given).__name__}"):
            call()

    logger.log_metric("loss", 0.5, k=2)
    assert ids(logger) == [{"k": 1}, {"k": 2}]


@pytest.mark.parametrize("given", [2**63, -(2**63) - 1, np.uint64(2**64 - 1), "\ud800", "x" * 65_537])
def test_id_that_cannot_be_stored_is_refused(logger: skald.Logger, given: Any) -> None:
    """Ints beyond 64 bits, broken Unicode and texts of any length are refused at the call, also by set_ids."""
    kind = type(given) if isinstance(given, str) else int
    for number in range(5):
        logger.set_ids(k=kind(number))
        logger.log_metric("loss", 0.5, j=kind(number))

    calls: list[Callable[[], object]] = [
        lambda: logger.log_metric("loss", 0.5, j=given),
        lambda: logger.log_metrics({"loss": 0.5}, j=given),
        lambda: logger.set_ids(k=given),
        lambda: logger.bind(k=given),
    ]
    for call in calls:
        with pytest.raises(InvalidInputError, match=r"id '[jk]'"):
            call()

    assert ids(logger) == [{"k": kind(number), "j": kind(number)} for number in range(5)]
    assert logger.ids == {"k": kind(4)}


SAMPLES: dict[str, Any] = {"int": 1, "float": 1.5, "str": "a", "bool": True}
CHANGES = [(old, new) for old in SAMPLES for new in SAMPLES if old != new and {old, new} != {"int", "float"}]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_id_keeps_its_kind(logger: skald.Logger, old: str, new: str) -> None:
    """An id of another kind than before is an IdTypeError that names both, in every way to give it; bool is no int."""
    for _ in range(5):
        logger.log_metric("loss", 0.5, k=SAMPLES[old])
        logger.log_metrics({"loss": 0.5}, k=SAMPLES[old])

    calls: list[Callable[[], object]] = [
        lambda: logger.log_metric("loss", 0.5, k=SAMPLES[new]),
        lambda: logger.log_metric("loss", 0.5, k=SAMPLES[new], other=1),
        lambda: logger.log_metrics({"loss": 0.5}, k=SAMPLES[new]),
        lambda: logger.log_batch({"loss": [0.5]}, k=SAMPLES[new]),
        lambda: logger.set_ids(k=SAMPLES[new]),
        lambda: logger.bind(k=SAMPLES[new]),
        lambda: logger.contextualize(k=SAMPLES[new]),
    ]
    for call in calls:
        with pytest.raises(IdTypeError, match=f"'k' is {old} in this run, got {new}"):
            call()

    assert ids(logger) == [{"k": SAMPLES[old]}] * 10


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_id_that_is_set_keeps_its_kind(logger: skald.Logger, old: str, new: str) -> None:
    """What set_ids refuses leaves the id as it was set before."""
    logger.set_ids(k=SAMPLES[old])
    logger.log_metric("loss", 0.5)

    with pytest.raises(IdTypeError, match=f"'k' is {old} in this run, got {new}"):
        logger.set_ids(k=SAMPLES[new])

    logger.log_metric("loss", 0.5)
    assert ids(logger) == [{"k": SAMPLES[old]}] * 2


def test_id_keeps_its_kind_where_its_values_are_equal(logger: skald.Logger) -> None:
    """True is 1 and 1.0 for Python, not for an id."""
    for _ in range(5):
        logger.log_metric("loss", 0.5, flag=True)
        logger.log_metric("loss", 0.5, step=1)

    for given in ({"flag": 1}, {"flag": 1.0}, {"step": True}):
        with pytest.raises(IdTypeError):
            logger.log_metric("loss", 0.5, **given)

    assert all(type(row.get("flag", True)) is bool and type(row.get("step", 1)) is int for row in ids(logger))


@pytest.mark.parametrize("way", ["call", "set_ids", "track"])
def test_id_widens_from_int_to_float(logger: skald.Logger, way: str) -> None:
    """Ints before and after the first float are floats of the same value; nothing else changes."""
    given = [1, 2, 0.5, 3, 4.25]

    for number in logger.track(given, "k") if way == "track" else given:
        if way == "set_ids":
            logger.set_ids(k=number)
        for _ in range(3):
            logger.log_metric("loss", 0.5, **({"k": number} if way == "call" else {}))

    assert [row["k"] for row in ids(logger)] == [float(number) for number in given for _ in range(3)]
    assert {type(row["k"]) for row in ids(logger)} == {float}


def test_id_refuses_an_int_that_its_floats_cannot_hold(logger: skald.Logger) -> None:
    """An int id is never rounded in silence."""
    for number in (0.5, 1.5, 2.5):
        logger.log_metric("loss", 0.5, k=number)

    with pytest.raises(InvalidInputError, match="'k' is float"):
        logger.log_metric("loss", 0.5, k=2**53 + 1)

    assert [row["k"] for row in ids(logger)] == [0.5, 1.5, 2.5]


def test_id_keeps_its_kind_when_the_run_is_resumed(tmp_path: Path) -> None:
    """The kinds of a run that was closed and compacted still hold."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 0.5, k=1)

    with skald.Logger("run", tmp_path, mode="resume") as logger:
        with pytest.raises(IdTypeError, match="'k' is int in this run, got str"):
            logger.log_metric("loss", 0.5, k="a")
        logger.log_metric("loss", 0.5, k=2)

    assert [row["k"] for row in ids(tmp_path / "run")] == [1, 2]


def test_id_keeps_its_kind_across_the_processes_of_a_run(logger: skald.Logger, tmp_path: Path) -> None:
    """A process that joins the run is held to the kinds that the first one fixed, and fixes others for it."""
    logger.log_metric("loss", 0.5, k=1)

    joined = program(
        "import skald\n"
        "with skald.Logger('run', '.', mode='join') as logger:\n"
        "    logger.log_metric('loss', 1.5, new='a')\n"
        "    try: logger.log_metric('loss', 2.5, k='a')\n"
        "    except skald.IdTypeError as error: print(error)\n",
        folder=tmp_path,
    )
    with pytest.raises(IdTypeError, match="'new' is str in this run, got int"):
        logger.log_metric("loss", 0.5, new=1)

    assert joined.stdout == "id 'k' is int in this run, got str\n"
    assert sorted(values(logger)) == [0.5, 1.5]
