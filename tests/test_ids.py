"""The ids of a row: where they come from, how long they hold, and what they may be."""

from __future__ import annotations

import asyncio
import enum
import inspect
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logged import ids, program, rows, values

import skald
from skald import IdTypeError, InvalidInputError


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return an open logger without ids."""
    with skald.Logger("run", tmp_path) as logger:
        yield logger


# Where ids come from: the call, over contextualize, over track and set_ids, over bind, over Logger(ids=).


def test_ids_of_the_call_go_over_all_others(tmp_path: Path) -> None:
    """What a call gives stands, whatever the logger has."""
    with skald.Logger("run", tmp_path, ids={"k": 1}) as root:
        bound = root.bind(k=2)
        bound.set_ids(k=3)
        with bound.contextualize(k=4):
            for _ in range(3):
                bound.log_metric("loss", 0.5, k=5)
            bound.log_metrics({"loss": 0.5}, k=5)
            bound.log_batch({"loss": [0.5]}, k=5)

        assert ids(root) == [{"k": 5}] * 5


def test_ids_of_contextualize_go_over_set_ids(logger: skald.Logger) -> None:
    """Inside contextualize its ids stand, behind it those of the logger again."""
    logger.set_ids(k=3, other=1)
    logger.log_metric("loss", 0.5)

    with logger.contextualize(k=4):
        logger.log_metric("loss", 0.5)
    logger.log_metric("loss", 0.5)

    assert ids(logger) == [{"k": 3, "other": 1}, {"k": 4, "other": 1}, {"k": 3, "other": 1}]


def test_ids_of_contextualize_go_over_track(logger: skald.Logger) -> None:
    """A loop inside contextualize does not change its ids."""
    with logger.contextualize(k=9):
        for _ in logger.track(range(2), "k"):
            logger.log_metric("loss", 0.5)

    assert ids(logger) == [{"k": 9}, {"k": 9}]


def test_ids_of_inner_contextualize_go_over_outer(logger: skald.Logger) -> None:
    """Contexts nest: the inner one adds and replaces, then the outer stands again."""
    with logger.contextualize(a=1, b=1):
        with logger.contextualize(b=2):
            logger.log_metric("loss", 0.5)
        logger.log_metric("loss", 0.5)

    assert ids(logger) == [{"a": 1, "b": 2}, {"a": 1, "b": 1}]


def test_ids_of_set_ids_go_over_bind(logger: skald.Logger) -> None:
    """What is set stands over what is bound, also where it is set on the logger bound from."""
    bound = logger.bind(k=2)

    bound.log_metric("loss", 0.5)
    logger.set_ids(k=3)
    bound.log_metric("loss", 0.5)

    assert ids(logger) == [{"k": 2}, {"k": 3}]


def test_ids_of_bind_go_over_constant_ones(tmp_path: Path) -> None:
    """bind replaces an id of Logger(ids=) for the bound logger only."""
    with skald.Logger("run", tmp_path, ids={"k": 1, "rank": 7}) as root:
        root.bind(k=2).log_metric("loss", 0.5)
        root.log_metric("loss", 0.5)

        assert ids(root) == [{"k": 2, "rank": 7}, {"k": 1, "rank": 7}]


@pytest.mark.parametrize("tracked_last", [True, False], ids=["track", "set_ids"])
def test_ids_of_track_and_set_ids_stand_as_the_latest_says(logger: skald.Logger, *, tracked_last: bool) -> None:
    """Between track and set_ids the one called last counts."""
    if tracked_last:
        logger.set_ids(k=7)
        for _ in logger.track([1], "k"):
            logger.log_metric("loss", 0.5)
    else:
        for _ in logger.track([1], "k"):
            logger.set_ids(k=7)
            logger.log_metric("loss", 0.5)

    assert ids(logger) == [{"k": 1 if tracked_last else 7}]


def test_ids_set_last_stand_also_between_a_logger_and_one_bound_from_it(logger: skald.Logger) -> None:
    """A bound logger follows what is set later on its origin, over what was set on itself before."""
    bound = logger.bind()
    bound.set_ids(k=1)
    bound.log_metric("loss", 0.5)

    logger.set_ids(k=2)
    bound.log_metric("loss", 0.5)
    for _ in logger.track([3], "k"):
        bound.log_metric("loss", 0.5)
    bound.set_ids(k=4)
    bound.log_metric("loss", 0.5)

    assert ids(logger) == [{"k": 1}, {"k": 2}, {"k": 3}, {"k": 4}]


def test_none_removes_an_id_wherever_it_stands(tmp_path: Path) -> None:
    """None in a call, a context, set_ids or bind takes the id of lower rank away."""
    with skald.Logger("run", tmp_path, ids={"k": 1, "rank": 0}) as root:
        root.log_metric("loss", 0.5, k=None)
        with root.contextualize(k=None):
            root.log_metric("loss", 0.5)
        root.bind(k=None).log_metric("loss", 0.5)
        root.log_batch({"loss": [0.5]}, k=None)
        root.log_metrics({"loss": 0.5}, k=None)
        root.set_ids(k=None)
        root.log_metric("loss", 0.5)

        assert ids(root) == [{"rank": 0}] * 6


def test_none_of_higher_rank_can_be_overruled_by_the_call(logger: skald.Logger) -> None:
    """An id that a context removed is there again where a call gives it."""
    logger.set_ids(k=1)

    with logger.contextualize(k=None):
        logger.log_metric("loss", 0.5, k=2)

    assert ids(logger) == [{"k": 2}]


def test_ids_property_tells_what_a_call_would_get(logger: skald.Logger) -> None:
    """`ids` is a copy of what stands now, contexts among it."""
    bound = logger.bind(split="val")
    bound.set_ids(epoch=2)

    with bound.contextualize(step=3):
        found = bound.ids
    found["epoch"] = 99

    assert found == {"split": "val", "epoch": 99, "step": 3}
    assert bound.ids == {"split": "val", "epoch": 2}
    assert logger.ids == {}


# How long they hold.


def test_set_ids_stay_until_changed(logger: skald.Logger) -> None:
    """set_ids holds for all later calls, whatever kind they are."""
    logger.set_ids(epoch=1)
    logger.log_metric("loss", 0.5)
    logger.log_metrics({"loss": 0.5}, step=1)
    logger.set_ids(epoch=2)
    logger.log_batch({"loss": [0.5]})

    assert ids(logger) == [{"epoch": 1}, {"epoch": 1, "step": 1}, {"epoch": 2}]


def test_set_ids_and_track_hold_in_all_threads(logger: skald.Logger) -> None:
    """A thread that runs already gets the ids that another one sets."""
    turn, done = threading.Event(), threading.Event()

    def log() -> None:
        turn.wait()
        logger.log_metric("loss", 0.5)
        done.set()

    thread = threading.Thread(target=log)
    thread.start()
    for _ in logger.track([4], "epoch"):
        turn.set()
        done.wait()
    thread.join()

    assert ids(logger) == [{"epoch": 4}]


def test_set_ids_of_two_threads_are_both_kept(logger: skald.Logger) -> None:
    """Threads that set different ids at once do not undo each other's."""
    logger.set_ids(a=0, b=0)
    lost: list[str] = []

    def count(name: str) -> None:
        for number in range(20_000):
            logger.set_ids(**{name: number})
            if logger.ids[name] != number:
                lost.append(name)

    threads = [threading.Thread(target=count, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not lost
    assert logger.ids == {"a": 19_999, "b": 19_999}


def test_contextualize_holds_in_this_thread_only(logger: skald.Logger) -> None:
    """A thread started inside the block has its own context."""
    with logger.contextualize(k=1):
        logger.log_metric("loss", 0.5)
        thread = threading.Thread(target=logger.log_metric, args=("loss", 1.5))
        thread.start()
        thread.join()

    assert rows(logger) == [{"value": 0.5, "k": 1}, {"value": 1.5}]


def test_contextualize_holds_in_this_task_only(logger: skald.Logger) -> None:
    """Tasks that run interleaved each have their own ids."""

    async def work(worker: int) -> None:
        with logger.contextualize(worker=worker):
            for step in range(5):
                logger.log_metric("loss", worker, step=step)
                await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*map(work, range(3)))

    asyncio.run(main())

    assert len(rows(logger)) == 15
    assert all(row["value"] == row["worker"] for row in rows(logger))


def test_contextualize_holds_for_calls_cached_before_it(logger: skald.Logger) -> None:
    """A function taken from the logger before the first contextualize of the run knows it too."""
    log = logger.log_metric
    for step in range(5):
        log("loss", 0.5, step=step)

    with logger.contextualize(k=1):
        log("loss", 0.5, step=5)
    log("loss", 0.5, step=6)

    assert ids(logger)[-2:] == [{"k": 1, "step": 5}, {"step": 6}]


def test_contextualize_ends_by_an_exception(logger: skald.Logger) -> None:
    """After an exception the ids are those from before."""
    with pytest.raises(ZeroDivisionError), logger.contextualize(k=1):
        _ = 1 / 0
    logger.log_metric("loss", 0.5)

    assert ids(logger) == [{}]


def test_track_sets_the_id_to_each_item(logger: skald.Logger) -> None:
    """The id is the item for ints, floats, strings and bools, NumPy's too."""
    for number in logger.track(np.arange(2), "epoch"):
        logger.log_metric("loss", number)
    for name in logger.track(["a", "b"], "task"):
        logger.log_metric("loss", len(name))

    assert ids(logger) == [{"epoch": 0}, {"epoch": 1}, {"task": "a"}, {"task": "b"}]


def test_track_counts_items_that_cannot_be_ids(logger: skald.Logger) -> None:
    """Batches, tuples, None and the like are counted by their position."""
    for _ in logger.track([(1, 2), np.zeros(3), None, np.array([7])], "batch"):
        logger.log_metric("loss", 0.5)

    assert ids(logger) == [{"batch": 0}, {"batch": 1}, {"batch": 2}, {"batch": 3}]


def test_track_hands_out_the_items_as_they_are(logger: skald.Logger) -> None:
    """The loop gets the very objects, also of an iterator without a length, or with one only in name."""

    class Stream:
        def __iter__(self) -> Iterator[object]:
            return iter(items)

        def __len__(self) -> int:
            raise TypeError

    items = [object(), object()]

    assert list(logger.track(iter(items), "k")) == items
    assert list(logger.track(Stream(), "k")) == items


@pytest.mark.parametrize("before", [None, 7], ids=["nothing", "an id"])
@pytest.mark.parametrize("end", ["end", "break", "exception"])
def test_track_leaves_the_id_as_it_was(logger: skald.Logger, end: str, before: int | None) -> None:
    """However the loop ends, the id is again what it was."""
    if before is not None:
        logger.set_ids(k=before)

    try:
        for item in logger.track([1, 2], "k"):
            if end == "break":
                break
            if end == "exception":
                raise ValueError(item)
    except ValueError:
        pass
    logger.log_metric("loss", 0.5)

    assert ids(logger) == [{} if before is None else {"k": before}]


def test_track_leaves_an_id_that_was_removed_removed(tmp_path: Path) -> None:
    """An id that set_ids had taken away does not come back behind a loop."""
    with skald.Logger("run", tmp_path, ids={"k": 1}) as root:
        root.set_ids(k=None)
        for _ in root.track([2], "k"):
            pass

        assert root.ids == {}


def test_track_nests(logger: skald.Logger) -> None:
    """Loops inside loops, also over the same id, each restore what they found."""
    for _ in logger.track(range(2), "epoch"):
        for _ in logger.track(range(2), "step"):
            logger.log_metric("loss", 0.5)
        for _ in logger.track([9], "epoch"):
            logger.log_metric("loss", 0.5)
        logger.log_metric("loss", 0.5)

    epochs = [[{"epoch": k, "step": 0}, {"epoch": k, "step": 1}, {"epoch": 9}, {"epoch": k}] for k in range(2)]
    assert ids(logger) == sum(epochs, [])


def test_track_can_be_left_and_gone_on_with(logger: skald.Logger) -> None:
    """A loop that is left and resumed sets its id again; closing it restores the id."""
    loop = iter(logger.track(range(5), "k"))

    next(loop)
    logger.set_ids(k=100)
    logger.log_metric("loss", 0.5)
    next(loop)
    logger.log_metric("loss", 0.5)
    loop.close()  # type: ignore[attr-defined]
    logger.log_metric("loss", 0.5)

    assert ids(logger) == [{"k": 100}, {"k": 1}, {}]


def test_track_on_an_origin_gives_a_bound_logger_its_own_id_back(logger: skald.Logger) -> None:
    """What was set on the bound logger counts again when the loop of its origin is over."""
    bound = logger.bind()
    bound.set_ids(k=1)

    for _ in logger.track([2], "k"):
        bound.log_metric("loss", 0.5)
    bound.log_metric("loss", 0.5)

    assert ids(logger) == [{"k": 2}, {"k": 1}]


def test_bind_follows_its_origin(logger: skald.Logger) -> None:
    """set_ids and track of the origin reach loggers bound before, at any depth."""
    bound = logger.bind(a=1).bind(b=2)

    for _ in logger.track([5], "epoch"):
        bound.log_metric("loss", 0.5)
    logger.set_ids(c=3)
    bound.log_metric("loss", 0.5)

    assert ids(logger) == [{"epoch": 5, "a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}]


def test_bind_does_not_reach_back(logger: skald.Logger) -> None:
    """What is bound, set or tracked on the bound logger is not on its origin, nor on a sibling."""
    bound, sibling = logger.bind(a=1), logger.bind()
    bound.set_ids(b=2)

    for _ in bound.track([3], "c"):
        logger.log_metric("loss", 0.5)
        sibling.log_metric("loss", 0.5)

    assert ids(logger) == [{}, {}]


def test_bind_takes_self_as_an_id(logger: skald.Logger) -> None:
    """No word of Skald's own signatures is taken: self, name and the like are ids."""
    bound = logger.bind(self=1)
    with bound.contextualize(name="n"):
        bound.set_ids(ids=2)
        bound.log_metric("loss", 0.5, metrics=3, calls=4)

    assert ids(logger) == [{"self": 1, "name": "n", "ids": 2, "metrics": 3, "calls": 4}]


@pytest.mark.parametrize("function", ["log_metric", "log_metrics", "log"])
def test_functions_taken_from_a_logger_stay_right(logger: skald.Logger, function: str) -> None:
    """A function kept in a variable follows set_ids, track and contextualize, and rolls."""
    log = getattr(logger, function)
    arguments: tuple[Any, ...] = ("loss", 0.5) if function == "log_metric" else ({"loss": 0.5},)

    log(*arguments)
    logger.set_ids(a=1)
    log(*arguments)
    for _ in logger.track([2], "b"):
        log(*arguments)
    for step in range(3000):
        log(*arguments, step=step)
    logger.set_ids(a=2)
    log(*arguments)

    found = ids(logger)
    assert found[:3] == [{}, {"a": 1}, {"a": 1, "b": 2}]
    assert found[3:-1] == [{"a": 1, "step": step} for step in range(3000)]
    assert found[-1] == {"a": 2}


def test_functions_taken_from_a_logger_look_like_its_methods(logger: skald.Logger) -> None:
    """What `help` and an editor show is the method's text and signature."""
    for name in ("log_metric", "log_metrics"):
        method = getattr(skald.Logger, name)
        shown = [*inspect.signature(getattr(logger, name)).parameters]

        assert getattr(logger, name).__doc__ == method.__doc__
        assert shown == [*inspect.signature(method).parameters][1:]


# What their names may be.

STRANGE_NAMES = [
    *("class", "lambda", "None", "True", "__debug__", "a-b", "a b", "1st", "learning rate", "", " ", "x=1", "a.b"),
    *("i): pass\nimport os", "x, **k", "'", '"', "\\", "{x}", "%s", "#", "🙂", "ﬁ", "µ", "Ⅷ", "é", "e\u0301", "中文"),
    *("_skald_x", "_skald_name", "_skald_calls", "_skald_absent", "__class__", "__builtins__", "self", "name"),
    *("type", "int", "float", "bool", "str", "next", "len", "dict", "tuple", "time_ns", "map", "list", "print"),
]
LEGAL_NAMES = [name for name in STRANGE_NAMES if "\n" not in name]


@pytest.mark.parametrize("name", LEGAL_NAMES)
def test_id_may_have_any_name(logger: skald.Logger, name: str) -> None:
    """Keywords, code, builtins, Skald's own words and any Unicode are names like others, in every kind of call."""
    for number in range(6):
        logger.log_metric("loss", 0.5, **{name: number})
        logger.log_metrics({"loss": 1.5, "other": 2.5}, **{name: number}, step=1)
    logger.log_metrics({str(k): k for k in range(20)}, **{name: 7})
    logger.log_batch({"loss": [0.5]}, **{name: 7})
    logger.set_ids(**{name: 8})
    logger.log_metric("loss", 0.5, step=2)

    expected = [row for number in range(6) for row in ({name: number}, {name: number, "step": 1})]
    assert ids(logger) == [*expected, {name: 7}, {name: 8, "step": 2}]
    assert ids(logger, "13") == [{name: 7}]


def test_ids_that_python_takes_for_one_name_stay_apart(logger: skald.Logger) -> None:
    """ﬁ and fi, µ and μ are one name in Python's source, and two ids."""
    twins = {"ﬁ": 1, "fi": 2, "µ": 3, "μ": 4}

    for _ in range(5):
        logger.log_metric("loss", 0.5, **twins)

    assert ids(logger) == [twins] * 5


def test_id_named_like_code_is_not_run(logger: skald.Logger, tmp_path: Path) -> None:
    """The name of an id never becomes source, even where it would be legal there."""
    target = tmp_path / "ran"
    name = f"x=open({str(target)!r}, 'w')"

    for _ in range(5):
        logger.log_metric("loss", 0.5, **{name: 1})
        logger.log_metrics({"loss": 0.5}, **{name: 1})

    assert not target.exists()
    assert ids(logger) == [{name: 1}] * 10


@pytest.mark.parametrize("name", ["metric", "value", "time", "run", "params.lr", "a\nb", "\x00", "\x7f", "\x9b", "\ud800"])
@pytest.mark.parametrize("how", ["log_metric", "log_metrics", "log_batch", "bind", "set_ids", "contextualize", "track"])
def test_id_names_that_are_reserved_or_illegal_are_refused(logger: skald.Logger, how: str, name: str) -> None:
    """Reserved words, control characters and broken Unicode are refused by every call, which logs nothing."""
    logger.log_metric("loss", 0.5, step=1)
    given = {name: 1}
    calls: dict[str, Any] = {
        "log_metric": lambda: logger.log_metric("loss", 0.5, **given),
        "log_metrics": lambda: logger.log_metrics({"loss": 0.5}, **given),
        "log_batch": lambda: logger.log_batch({"loss": [0.5]}, **given),
        "bind": lambda: logger.bind(**given),
        "set_ids": lambda: logger.set_ids(**given),
        "contextualize": lambda: logger.contextualize(**given),
        "track": lambda: logger.track([1], name),
    }
    if how == "log_batch" and name == "time":
        pytest.skip("a parameter of log_batch")

    with pytest.raises(InvalidInputError, match="id's name|cannot name an id"):
        calls[how]()

    logger.log_metric("loss", 0.5, step=2)
    assert ids(logger) == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize("name", ["metric", "value"])
def test_logger_refuses_reserved_names_of_constant_ids(tmp_path: Path, name: str) -> None:
    """Logger(ids=) is checked before the run is made."""
    with pytest.raises(InvalidInputError, match=name):
        skald.Logger("run", tmp_path, ids={name: 1})

    assert not (tmp_path / "run").exists()


# What their values may be.


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
    "given", [[1], (1,), {}, b"a", 1j, object(), Plain.ONE, Decimal(1), np.zeros(2), np.array([1]), np.datetime64(5, "ns")]
)
def test_id_of_no_kind_is_refused(logger: skald.Logger, given: Any) -> None:
    """Other values raise IdTypeError at the call that names the id and what was found, and leave nothing behind."""
    logger.log_metric("loss", 0.5, k=1)

    for call in (
        lambda: logger.log_metric("loss", 0.5, k=given),
        lambda: logger.log_metrics({"loss": 0.5, "b": 1}, k=given),
        lambda: logger.set_ids(k=given),
        lambda: logger.bind(k=given),
        lambda: logger.contextualize(k=given),
    ):
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

    for call in (
        lambda: logger.log_metric("loss", 0.5, j=given),
        lambda: logger.log_metrics({"loss": 0.5}, j=given),
        lambda: logger.set_ids(k=given),
        lambda: logger.bind(k=given),
    ):
        with pytest.raises(InvalidInputError, match="id '[jk]'"):
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

    for call in (
        lambda: logger.log_metric("loss", 0.5, k=SAMPLES[new]),
        lambda: logger.log_metric("loss", 0.5, k=SAMPLES[new], other=1),
        lambda: logger.log_metrics({"loss": 0.5}, k=SAMPLES[new]),
        lambda: logger.log_batch({"loss": [0.5]}, k=SAMPLES[new]),
        lambda: logger.set_ids(k=SAMPLES[new]),
        lambda: logger.bind(k=SAMPLES[new]),
        lambda: logger.contextualize(k=SAMPLES[new]),
    ):
        with pytest.raises(IdTypeError, match=f"'k' is {old} in this run, got {new}"):
            call()

    assert ids(logger) == [{"k": SAMPLES[old]}] * 10


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


# How many they may be.


@pytest.mark.parametrize("sets", [2, 4, 5, 9])
def test_id_sets_may_alternate(logger: skald.Logger, sets: int) -> None:
    """Calls with different ids in turn each keep theirs, however many kinds of call there are."""
    expected = []
    for round_ in range(400):
        names = [f"k{round_ % sets}", "all"]
        given = dict.fromkeys(names, round_)
        logger.log_metric("loss", round_, **given)
        expected.append(given)

    key = sorted(ids(logger), key=lambda row: row["all"])
    assert key == expected
    assert values(logger) == list(range(400))


def test_id_sets_may_be_more_than_segments_that_are_open(logger: skald.Logger) -> None:
    """More id sets than have segments of their own lose, mix and reorder nothing."""
    expected = []
    for number in range(400):
        given: dict[str, Any] = {f"k{number % 80}": number, "step": number, "split": "val" if number % 2 else ""}
        logger.log_metric("loss", number, **given)
        expected.append({"value": float(number), **given})

    found = sorted(rows(logger), key=lambda row: row["step"])
    assert found == expected


def test_id_sets_may_have_more_names_than_a_shared_segment(logger: skald.Logger) -> None:
    """Id sets that share a segment until it has as many ids as it can go on in the next."""
    for number in range(70):
        logger.log_metric("loss", 0.5, **{f"first{number}": number})
    sets = [{f"{letter}{k}": k for k in range(30)} for letter in "abcabc"]

    for given in sets:
        logger.log_metric("loss", 1.5, **given)

    found = [row for row in ids(logger) if "a0" in row or "b0" in row or "c0" in row]
    assert sorted(map(sorted, found)) == sorted(map(sorted, sets))


def test_id_sets_may_share_more_ids_than_one_segment_has(logger: skald.Logger) -> None:
    """A call may have hundreds of ids, and id sets beyond the sixty-fourth hundreds of names together."""
    for number in range(70):
        logger.log_metric("loss", 0.5, **{f"first{number}": number})
    wide = {f"wide{k}": k for k in range(200)}

    logger.log_metric("loss", 1.5, **wide)
    logger.log_metrics({"loss": 2.5, "other": 1}, **wide)

    assert [row for row in rows(logger) if row["value"] > 1] == [{"value": 1.5, **wide}, {"value": 2.5, **wide}]


def test_id_widens_also_where_id_sets_share_a_segment(logger: skald.Logger) -> None:
    """Beyond the sixty-fourth id set an int id becomes a float like any other."""
    for number in range(80):
        logger.log_metric("loss", 0.5, **{f"k{number}": number, "lr": 1})

    for number in range(80):
        logger.log_metric("loss", 1.5, **{f"k{number}": number, "lr": 0.5})
        logger.log_metric("loss", 1.5, **{f"k{number}": number, "lr": 2})

    found = [row for row in rows(logger) if row["value"] == 1.5]
    assert sum(row["lr"] == 0.5 for row in found) == sum(row["lr"] == 2.0 for row in found) == 80
    assert {type(row["lr"]) for row in rows(logger)} == {float}
