"""The tees of the process: which transcripts get what is printed, when, and in which order.

A line is in the transcript when `print` returns. What a program prints beyond a thousand lines a second is gathered,
and written by whoever fills the buffer, or left in lists, which a thread takes up some 20 to 100 times a second; the
thread ends when the program has calmed down.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from skald.background import apart
from skald.record.gathering import is_written
from skald.record.pace import Pace, is_only_thread
from skald.record.shown import before_messages, forget
from skald.record.streams import buffer_of, flush, streams
from skald.record.tee import LOOK_SECS, MOST_PENDING, Tee
from skald.record.transcript import Transcript
from skald.record.turns import Turns

if TYPE_CHECKING:
    from skald.record.descriptors import Descriptors

LINE_END_LOOKS: Final = 200
"""How often one looks whether a thread has ended its line."""

FORK_SECS: Final = 0.02
"""How long no other thread is let run, from the look whether one writes to the fork."""
_switch_secs = sys.getswitchinterval()
"""How long each thread is let run otherwise."""
_lock = threading.RLock()
_changing = threading.RLock()
"""Held while a transcript comes or goes; before the other lock, which is free for the relay's thread."""
_descriptors: Descriptors | None = None
_ending: Final[list[Descriptors]] = []
"""What is being put back; where a Ctrl-C comes amid that, until it is done again."""
_transcripts: Final[list[Transcript]] = []
_deep: Final[list[Transcript]] = []
"""The transcripts that get what is written to the descriptors."""
_tees: Final[list[Tee]] = []
_turns: Final = Turns()
_draining = False
"""Whether the thread that holds the lock is giving the transcripts what is pending."""


def tee(transcript: Transcript, *, deep: bool = False) -> None:
    """Have a transcript get what is written to stdout and stderr from now on.

    Args:
        transcript: gets it.
        deep: also what is written to the descriptors below, by C code and child processes.

    Raises:
        OSError: there are no descriptors left, or no process can be started.
    """
    global _pace  # noqa: PLW0603 the process has one
    _settle_descriptors()
    with _changing:
        with _lock:
            if not _tees:
                _pace = Pace(_lock, _collect, _drain, _set_hasty)
                forget()
            _let_go()
            _drain()
            _set_hasty(hasty=False)
            teed = [_tee_of(stream, name) for name in ("stdout", "stderr") for stream in streams(name)]
            heard = dict.fromkeys(teed)  # one may be both
            _collect()
            _drain()  # NOTE: what the streams held from before is nobody's
        if deep:
            _begin_descriptors(transcript)
        with _lock:
            if deep:
                _deep.append(transcript)
            _transcripts.append(transcript)
            for each in heard:
                each.transcripts.append(transcript)
            _look_for_wrappers()


def _look_for_wrappers() -> None:
    may_be_below = any(each.may_lead for each in _tees)
    for each in _tees:
        each.may_be_below = may_be_below


def untee(transcript: Transcript) -> None:
    """Write what is pending; streams that nobody listens to any more are left as they were found."""

    def end() -> None:
        _forget(transcript)
        _leave_unheard()
        transcript.finish()

    _settle_descriptors()
    with _changing:
        if all(each is transcript for each in _deep):
            _end_descriptors()
        _between_lines(transcript, end)
        if not _tees:
            _pace.stop()


def finish(transcript: Transcript, *, for_good: bool = False) -> None:
    """Write all that a transcript has, also lines that are not finished; for good: and use no other file."""
    _settle_descriptors()
    _between_lines(transcript, transcript.leave_folder if for_good else transcript.finish)


def _between_lines(transcript: Transcript, action: Callable[[], None]) -> None:
    """Do something with the lock held, and all given to the transcripts; wait a moment for lines that threads are amid.

    NOTE: no context manager, which a Ctrl-C as it is entered would leave holding the lock.
    """
    for look in itertools.count(1):  # NOTE: no clock, as under load all that other threads do takes longer too
        _collect()
        with _lock:
            _drain()
            _drain_line(transcript)
            is_amid_line = transcript.is_amid_line or any(each.is_amid_line for each in _tees)
            if not is_amid_line or is_only_thread() or look == LINE_END_LOOKS:
                if is_amid_line:  # NOTE: else what has been begun since is for later
                    _let_go()
                    _drain()
                action()
                return
        time.sleep(LOOK_SECS)


def _drain_line(transcript: Transcript) -> None:
    """Drain until a line has ended; what C code has begun may have no end, and threads print on."""
    for _ in range(MOST_PENDING):
        if not (transcript.is_amid_line and _drain(1)):
            return


def is_relayed_by_parent(transcript: Transcript) -> bool:
    """Tell whether, in a forked child, what is written to the descriptors gets into the log all the same."""
    return _descriptors is not None and _descriptors.is_forked and transcript in _deep


def catch_up() -> None:
    """Write what has been printed so far, all lines that are finished."""
    _settle_descriptors(line=True)
    _collect()
    _let_go(get_ident())
    with _lock:
        if not _draining:
            _drain()
            _settle_lines()


def _settle_lines() -> None:
    """Write the lines above the cursor, below which somebody else prints; the lock is held."""
    for transcript in _transcripts:
        transcript.settle()


def write_unheard(descriptor: int, data: bytes) -> None:
    """Write to a descriptor what is for the terminal alone, as a bar that is being drawn."""
    if (descriptors := _descriptors) is not None:
        descriptors.write_unheard(descriptor, data)
        return
    while data:
        data = data[os.write(descriptor, data) :]


def _catch_up() -> None:
    """Drain for a thread that prints."""
    with _lock:
        _pace.spend(_drain())


def _wake() -> None:
    """Have the thread drain that is there for that."""
    _pace.wake()


def _collect() -> None:
    """Have what was printed very fast written, and pending; the lock is free, as who writes may need it."""
    for each in _tees.copy():
        each.collect()


def _slow_down() -> None:
    """Have texts taken as they come, so that it is seen who prints them."""
    for each in _tees.copy():
        each.slow_down()
        each.collect()


def _let_go(*threads: int) -> None:
    """Have written what these threads, or all, have begun."""
    for each in _tees:
        each.let_go(*threads)


def _drain(most: int | None = None) -> int:
    """Give the transcripts what is pending in all streams, or so many texts of each; the lock is held."""
    global _draining  # noqa: PLW0603 the process has one
    if _draining:  # a signal handler prints, or the word that the disk is full
        return 0
    try:
        _draining = True
        # NOTE: no loop with a condition, as Python 3.12 and 3.13 hear signals where one goes back outside of the `try`
        if most:
            return sum([each.drain(most) for each in _tees])
        ends = [(each, each.got) for each in _tees]  # NOTE: first, as what comes in a turn after these is for later
        cost = _turns.drain()
        cost += sum([each.drain(got - each.drained) for each, got in ends])
        _show()
    finally:
        _draining = False
    return cost


def _show() -> None:
    """Have the lines on disk that are not finished, at once or in a moment; the lock is held."""
    for transcript in _transcripts:
        if transcript.show():
            _pace.call()


def _feed_descriptor(name: str, text: str, taken: Callable[[], None]) -> None:
    """Print what was written to a descriptor; called by the thread that follows the relay."""
    _collect()
    with _lock:
        for each in _tees:
            if each.is_unbuffered:  # else what has begun is not shown yet
                each.let_go()
        _drain()
        for transcript in _deep:
            transcript.feed(name, text)
        taken()
        _show()


def _settle_descriptors(*, line: bool = False) -> None:
    """Wait a moment for what C code and children have printed; for one line of many not always."""
    if _descriptors is not None and _descriptors.settle(line=line) and not _pace.is_hasty:
        for transcript in _transcripts:
            transcript.in_order = True


def _forget(transcript: Transcript) -> None:
    for listening in (_transcripts, _deep, *(each.transcripts for each in _tees)):
        if transcript in listening:
            listening.remove(transcript)


def _leave_unheard() -> None:
    """Leave streams that nobody listens to as they were found."""
    for each in _tees[::-1]:  # NOTE: two streams may have one dictionary, as one that stands for another does
        if not each.transcripts:
            each.restore()
            _tees.remove(each)  # NOTE: last: where a Ctrl-C comes before, it is restored again


def _begin_descriptors(transcript: Transcript) -> None:
    """Lead the descriptors to a relay; where there are other threads they have a while to end what they are writing.

    The lock is free, as a thread that prints by a stream with a lock of its own waits for it, and a flush for that one.
    """
    if _descriptors is not None and not _descriptors.is_forked:
        return
    for each in _deep.copy():  # of the parent, whose relay is the target of ours, and feeds them what comes there
        _forget(each)
    from skald.record.descriptors import Descriptors

    def lead() -> None:
        global _descriptors  # noqa: PLW0603 the process has one
        _descriptors = Descriptors(_feed_descriptor, transcript.file.name)

    try:
        apart(lead)  # NOTE: a Ctrl-C amid it would leave what nobody knows
    except OSError:
        with _lock:
            _leave_unheard()
        raise
    assert _descriptors is not None
    _descriptors.await_relay()
    for teed in _tees:
        teed.divert(_descriptors)
    _flush()
    _descriptors.redirect()


def _end_descriptors() -> None:
    """Put the descriptors back; the lock is free, as the thread that is waited for needs it."""
    global _descriptors
    with _lock:  # so that nobody makes haste with it any more
        if _descriptors is not None:
            _ending[:], _descriptors = [_descriptors], None
    for ended in _ending:
        ended.hurry(hasty=False)
        _flush()
        ended.stop()
        for each in _tees:  # until then what they hold knows its way past the relay
            each.divert(None)
        ended.close()
    _ending.clear()


def _flush() -> None:
    """Let the streams write out what they hold, before their descriptors lead elsewhere."""
    for each in _tees:
        each.flush()
    teed = [stream for each in _tees for stream in each.streams]
    for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
        if not any(stream is other for other in teed):
            flush(stream)


def _set_hasty(*, hasty: bool) -> bool:
    if not hasty:
        _turns.renew()
    for each in _tees:
        each.hurry(hasty=hasty)
    has_more = _descriptors is not None and _descriptors.has_more()
    for transcript in _transcripts:
        transcript.in_order = not hasty and (transcript.in_order or not has_more)
    if _descriptors is not None:
        _descriptors.hurry(hasty=hasty)
    return any(each.is_fast for each in _tees)


def _tee_of(stream: Any, name: str) -> Tee:
    buffer = buffer_of(stream)
    for each in _tees:
        if any(stream is other for other in each.streams):
            return each
        if buffer is not None and buffer is each.buffer:
            each.add(stream)
            return each
    settle = partial(_settle_descriptors, line=True)
    new = Tee(name, settle=settle, catch_up=_catch_up, wake=_wake, on_lead=_look_for_wrappers, turns=_turns)
    _tees.append(new)  # NOTE: first, so that it is restored where a Ctrl-C comes amid this
    new.add(stream)
    if _descriptors is not None:
        new.divert(_descriptors)
    return new


def _before_fork() -> None:
    """Write what has been printed, a bar that has ended too, as the child writes into the same file at once.

    NOTE: and wait until no thread is amid a write, or the child could find the lock of a stream's buffer held for ever.
    """
    global _switch_secs  # noqa: PLW0603 the process has one
    _lock.acquire()
    _slow_down()
    if not _draining:  # else a signal handler forks
        _drain()
        _settle_lines()
    _switch_secs = sys.getswitchinterval()
    for _ in range(LINE_END_LOOKS):
        sys.setswitchinterval(FORK_SECS)
        if not is_written():
            return
        sys.setswitchinterval(_switch_secs)
        time.sleep(LOOK_SECS)


def _after_fork_in_parent() -> None:
    for transcript in _transcripts:
        transcript.is_alone = False
    sys.setswitchinterval(_switch_secs)
    _lock.release()


def _after_fork_in_child() -> None:
    """Let the parent write what it has printed; the child has its own lock and thread."""
    global _lock, _changing, _pace, _draining  # noqa: PLW0603 as above
    sys.setswitchinterval(_switch_secs)
    _lock, _changing = threading.RLock(), threading.RLock()
    _pace = Pace(_lock, _collect, _drain, _set_hasty)
    _draining = False
    if _descriptors is not None:
        _descriptors.after_fork()
    _turns.after_fork()
    for each in _tees:
        each.after_fork()
    _set_hasty(hasty=False)
    for transcript in _transcripts:
        transcript.after_fork()


_pace = Pace(_lock, _collect, _drain, _set_hasty)

before_messages.append(_slow_down)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
