"""The ids of a row: where they come from, and how long they hold."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logged import ids, rows

import skald


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
    """It replaces an id of Logger(ids=) for the bound logger only."""
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
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def count(name: str) -> None:
        for number in range(20_000):
            logger.set_ids(**{name: number})
            if logger.ids[name] != number:
                lost.append(name)

    threads = [threading.Thread(target=count, args=(name,)) for name in "ab"]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

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
                _ = item / 0
    except ZeroDivisionError:
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
    assert ids(logger) == [row for rows_ in epochs for row in rows_]


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


def test_track_that_has_a_name_leaves_the_id_as_it_was(logger: skald.Logger) -> None:
    """Where a loop over it is left, though it is still there; another loop goes on with it."""
    items = [object() for _ in range(5)]
    bar = logger.track(items, "k")

    assert next(bar) is items[0]
    for _ in bar:
        logger.log_metric("loss", 0.5)
        break
    logger.log_metric("loss", 0.5)
    for _ in bar:
        logger.log_metric("loss", 0.5)
    logger.log_metric("loss", 0.5)

    assert ids(logger) == [{"k": 1}, {}, {"k": 2}, {"k": 3}, {"k": 4}, {}]
    assert list(bar) == []


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
