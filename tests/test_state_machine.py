"""A run against its model, a list of rows: logged, rolled, killed, resumed, rewound, compacted and read."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lives import Lives

import skald

NAMES = st.sampled_from(["loss", "näme/é", "x" * 200]) | st.integers(0, 300).map("name{}".format)
VALUES = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)
IDS = st.fixed_dictionaries(
    {},
    optional={
        "epoch": st.integers(-(2**63), 2**63 - 1),
        "lr": st.floats(allow_nan=False) | st.integers(0, 9),
        "split": st.sampled_from(["", "train", "Ω"]) | st.text("aé\U0001f600", max_size=40),
        "is_best": st.booleans(),
        "class": st.integers(0, 3),
        "a-b": st.just("b"),
    },
)
MANY = st.integers(0, 90).map(lambda number: {f"k{number}": number})

PLACES = st.lists(
    st.sampled_from([("epoch", 3), ("epoch", -1), ("lr", 4), ("split", "m"), ("is_best", False), ("class", 1)]),
    max_size=2,
    unique_by=lambda place: place[0],
)

Row = tuple[float, dict[str, Any]]


class Noted(NamedTuple):
    """A row of the model: when it was logged, and by which life of the run, a child of which may have done it."""

    row: Row
    number: int
    life: int
    by_child: bool


class Run(RuleBasedStateMachine):
    """What is read is what was logged, after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.lives = Lives()
        self.is_alive = False
        self.started = False
        self.life = 0
        self.numbers = itertools.count()
        self.rows: dict[str, list[Noted]] = {}
        self.taken: list[tuple[str, float]] = []
        self.set: dict[str, Any] = {}

    def noted(self, metric: str, value: float, ids: dict[str, Any], *, by_child: bool = False) -> None:
        """Note a row in the model."""
        merged = {name: given for name, given in {**self.set, **ids}.items() if given is not None}
        row = Noted((float(value), merged), next(self.numbers), self.life, by_child)
        self.rows.setdefault(metric, []).append(row)

    @initialize(storage=st.sampled_from(["mapped", "mapped", "staged"]))
    def begin(self, storage: str) -> None:
        """Begin a run."""
        self.storage = storage
        self.open()

    @precondition(lambda self: not self.is_alive)
    @rule()
    def open(self) -> None:
        """Begin another life of it."""
        self.lives.tell("open", str(self.folder), "resume" if self.started else "new", self.storage)
        self.is_alive = self.started = True
        self.life += 1
        self.set = {}

    @precondition(lambda self: self.is_alive)
    @rule(metric=NAMES, value=VALUES, ids=IDS | MANY, times=st.sampled_from([1, 1, 5, 1100]))
    def log_metric(self, metric: str, value: float, ids: dict[str, Any], times: int) -> None:
        """Log a row, or many."""
        for _ in range(times if times < 1000 or self.storage == "mapped" else 5):
            self.lives.tell("metric", metric, value, ids)
            self.noted(metric, value, ids)

    @precondition(lambda self: self.is_alive)
    @rule(metrics=st.dictionaries(NAMES, VALUES, max_size=30), ids=IDS, again=st.integers(1, 3))
    def log_metrics(self, metrics: dict[str, float], ids: dict[str, Any], again: int) -> None:
        """Log rows together, through their cached layout too."""
        for _ in range(again):
            self.lives.tell("metrics", metrics, ids)
            for metric, value in metrics.items():
                self.noted(metric, value, ids)

    @precondition(lambda self: self.is_alive)
    @rule(metrics=st.lists(NAMES, min_size=1, max_size=3, unique=True), ids=IDS, size=st.sampled_from([0, 1, 7, 9000]))
    def log_batch(self, metrics: list[str], ids: dict[str, Any], size: int) -> None:
        """Log columns, small and large."""
        columns = {metric: [float(k * size + place) for place in range(size)] for k, metric in enumerate(metrics)}
        self.lives.tell("batch", columns, {**ids, "epoch": list(range(size))})
        for metric, values in columns.items():
            for place, value in enumerate(values):
                self.noted(metric, value, {**ids, "epoch": place})

    @precondition(lambda self: self.is_alive)
    @rule(how=st.sampled_from(["bound", "forked"]), metric=NAMES, value=VALUES, ids=IDS)
    def log_otherwise(self, how: str, metric: str, value: float, ids: dict[str, Any]) -> None:
        """Log through a bound logger, or in a forked child."""
        self.lives.tell(how, metric, value, ids)
        self.noted(metric, value, {**ids, **self.set} if how == "bound" else ids, by_child=how == "forked")

    @precondition(lambda self: self.is_alive)
    @rule(metric=NAMES, values=st.lists(st.integers(0, 9), max_size=4), ids=IDS)
    def track(self, metric: str, values: list[int], ids: dict[str, Any]) -> None:
        """Log inside a loop that sets an id."""
        self.lives.tell("tracked", metric, values, ids)
        for value in values:
            self.noted(metric, value, {"epoch": value, **ids})

    @precondition(lambda self: self.is_alive)
    @rule(ids=IDS, removed=st.sampled_from(["epoch", "split", "lr"]))
    def set_ids(self, ids: dict[str, Any], removed: str) -> None:
        """Set ids, and remove one."""
        self.lives.tell("set", {**ids, removed: None})
        self.set = {**self.set, **ids, removed: None}

    @precondition(lambda self: self.is_alive)
    @rule(places=PLACES)
    def rewind(self, places: list[tuple[str, Any]]) -> None:
        """Take rows back: of the living writer, and of all that ended before it was opened."""
        self.lives.tell("rewind", dict(places))
        concerned = {
            row.number: (row, _compared(row.row[1], places))
            for rows in self.rows.values()
            for row in rows
            if row.life < self.life or not row.by_child
        }
        beyond = [number for number, (_, is_beyond) in concerned.items() if is_beyond]
        since = min(beyond, default=math.inf)
        gone = {
            number
            for number, (_, is_beyond) in concerned.items()
            if is_beyond or (is_beyond is None and number > since)
        }
        for metric, rows in self.rows.items():
            self.taken += [(metric, row.row[0]) for row in rows if row.number in gone]
        left = {metric: [row for row in rows if row.number not in gone] for metric, rows in self.rows.items()}
        self.rows = {metric: rows for metric, rows in left.items() if rows}

    @precondition(lambda self: self.is_alive)
    @rule()
    def roll(self) -> None:
        """Let all streams roll."""
        self.lives.tell("roll")

    @precondition(lambda self: self.is_alive)
    @rule(end=st.sampled_from(["kill", "close", "exit"]))
    def end(self, end: str) -> None:
        """End the process, in one way or another."""
        if end == "kill" and self.storage == "staged":
            self.lives.tell("sync")
        self.lives.tell(end)
        self.is_alive = False
        assert skald.Run(self.folder / "run").status == ("crashed" if end == "kill" else "finished")

    @rule()
    def compact(self) -> None:
        """Compact what is final."""
        if self.started:
            skald.compact(self.folder / "run")
            assert self.is_alive or not (self.folder / "run/segments").exists()

    @invariant()
    def is_read_as_logged(self) -> None:
        """Compare the run with the model."""
        if not self.started:
            return
        if self.is_alive and self.storage == "staged":
            self.lives.tell("sync")
        table = skald.Run(self.folder / "run").metrics.collect()
        names = [name for name in table.columns if name not in ("metric", "value", "time")]
        found: dict[str, list[Row]] = {}
        for row in table.select("metric", "value", *names).iter_rows():
            ids = {name: value for name, value in zip(names, row[2:], strict=True) if value is not None}
            found.setdefault(row[0], []).append((row[1], ids))
        assert found == {metric: [row.row for row in rows] for metric, rows in self.rows.items()}
        back = skald.Run(self.folder / "run").rewound.collect()
        assert sorted(back.select("metric", "value").rows()) == sorted(self.taken)

    def teardown(self) -> None:
        """Close the run, and compare a last time."""
        if self.is_alive:
            self.lives.tell("close")
            self.is_alive = False
            self.is_read_as_logged()
        self.lives.end()
        shutil.rmtree(self.folder)


def _compared(ids: dict[str, Any], places: list[tuple[str, Any]]) -> bool | None:
    """Tell whether a row is beyond; None where it lacks an id."""
    if any(name not in ids for name, _ in places):
        return None
    return not places or tuple(ids[name] for name, _ in places) > tuple(value for _, value in places)


SOAK = "SKALD_SOAK" in os.environ
"""Whether to look for long, with new examples each time."""

TestRun = Run.TestCase
TestRun.settings = settings(
    max_examples=1000 if SOAK else 12,
    stateful_step_count=60 if SOAK else 20,
    deadline=None,
    derandomize=not SOAK,
    suppress_health_check=list(HealthCheck),
)
