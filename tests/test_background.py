"""Threads of our own: they end when asked, and no signal handler breaks that."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from pathlib import Path
from queue import SimpleQueue

import pytest
from test_capture import interrupted_at, posix

import skald
from skald.background import Background, apart


def test_thread_works_until_it_is_asked_to_end() -> None:
    """It sleeps until it is woken, or so long, and is gone when `join` returns; none is left in the list of threads."""
    before, thread, seen = threading.active_count(), Background("worker"), SimpleQueue[str]()

    def work() -> None:
        seen.put(threading.current_thread().name)
        while thread.sleep():
            seen.put("woken")

    thread.start(work)
    assert not thread.is_current
    assert seen.get(timeout=10) == "worker"
    thread.wake()
    assert seen.get(timeout=10) == "woken"
    thread.join(0.01)
    lived = thread.is_alive
    thread.stop()
    thread.join()
    assert (lived, thread.is_alive, thread.sleep(0)) == (True, False, False)
    assert threading.active_count() == before


def test_thread_that_has_ended_can_be_started_again() -> None:
    """As one that an error has ended; who waits is told of the end of the one that works now."""
    thread, go_on = Background("worker"), SimpleQueue[None]()
    thread.start(lambda: None)
    thread.join()

    thread.start(lambda: go_on.get(timeout=10))
    thread.join(0.1)
    lived = thread.is_alive
    go_on.put(None)
    thread.join(10)

    assert (lived, thread.is_alive) == (True, False)


def test_work_may_ask_its_own_thread_to_end_and_join_it() -> None:
    """As a close does that a thread of ours calls."""
    thread, ends = Background("worker"), SimpleQueue[bool]()

    def work() -> None:
        thread.stop()
        thread.join()
        ends.put(thread.is_current)

    thread.start(work)

    assert ends.get(timeout=10)
    thread.join(10)
    assert not thread.is_alive


def test_thread_that_cannot_begin_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no more threads: then it may be tried again."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    thread, done = Background("worker"), SimpleQueue[None]()
    with monkeypatch.context() as without:
        without.setattr("_thread.start_new_thread", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            thread.start(lambda: None)
    assert not thread.is_alive
    thread.join()

    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", refuse)
        thread.start(lambda: done.put(None))  # there was room for one thread
        done.get(timeout=10)
        thread.join(10)
    assert not thread.is_alive


def test_interrupted_thread_has_begun_or_not_and_ends() -> None:
    """Wherever a Ctrl-C comes as it is started, woken, asked to end and awaited, that can be done again."""
    place, is_interrupted = 0, True
    while is_interrupted:
        thread, begun = Background("worker"), SimpleQueue[None]()

        def work(thread: Background = thread, begun: SimpleQueue[None] = begun) -> None:
            begun.put(None)
            while thread.sleep():
                pass

        is_interrupted = interrupted_at(place, lambda: thread.start(work), "background.py", "threading.py")  # noqa: B023
        if thread.is_alive:
            begun.get(timeout=10)
            for action in (thread.wake, thread.stop, thread.join):
                is_interrupted |= interrupted_at(place, action, "background.py", "threading.py", "contextlib.py")
            thread.join(10)
            assert not thread.is_alive
        place += 1

    assert place > 3


@posix
def test_handler_amid_a_join_may_wait_for_another_thread_that_joins() -> None:
    """As one that prints waits for the thread that has the streams, which may wait for the same end."""
    thread, end, left = Background("worker"), SimpleQueue[None](), list[bool]()

    def handle(*_: object) -> None:
        other = threading.Thread(target=thread.join)
        other.start()
        end.put(None)
        other.join(10)
        left.append(other.is_alive())

    before = signal.signal(signal.SIGALRM, handle)
    thread.start(end.get)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    thread.join(20)
    signal.signal(signal.SIGALRM, before)

    assert left == [False]
    assert not thread.is_alive


@posix
def test_forked_child_waits_for_no_thread_of_its_parent() -> None:
    """It has none."""
    thread = Background("worker")
    thread.start(lambda: thread.sleep(60))
    child = multiprocessing.get_context("fork").Process(target=thread.join)
    child.start()
    child.join(20)
    thread.stop()
    thread.join()

    assert child.exitcode == 0


def test_what_is_done_apart_is_done_once_and_whole() -> None:
    """A Ctrl-C is raised after it, wherever it comes; and so is what the action raises."""
    place, is_interrupted, done, found = 0, True, list[int](), list[int]()
    while is_interrupted:
        done.clear()
        is_interrupted = interrupted_at(place, lambda: apart(lambda: done.append(1)), "background.py", "contextlib.py")
        found.append(len(done))
        place += 1
    with pytest.raises(ZeroDivisionError):
        apart(lambda: 1 / 0)

    begun = found.index(1)
    assert found == [0] * begun + [1] * (place - begun)
    assert place - begun > 5


@pytest.mark.parametrize("storage", ["mapped", "staged"])
def test_close_that_is_interrupted_can_be_called_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    """Wherever a Ctrl-C comes as the threads of a run end; with rows that a thread writes, too."""
    monkeypatch.setenv("SKALD_STORAGE", storage)
    files = ("threading.py", "background.py", "pending.py", "staged.py", "inflight.py")
    place, is_interrupted = 0, True
    while is_interrupted:
        logger = skald.Logger(f"run{place}", tmp_path, capture=False)
        logger.log_metric("loss", 0.5, step=place)
        is_interrupted = interrupted_at(place, logger.close, *files)
        logger.close()
        assert logger.run.status == "finished"
        place += 1

    assert place > 10
