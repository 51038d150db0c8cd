"""The painter: a thread that reads runs and draws the plots that are wanted, one after the other.

Invariant: it alone touches what it has read, so the event loop waits for nothing; what it draws is told as it is ready,
and the first that was asked for comes first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from skald.engine.columns import fit, table_schema
from skald.engine.follower import ChangedError
from skald.reading.axis import position_ids
from skald.reading.sketch import Sketch
from skald.schema import METRIC, RUN, Kinds, unify
from skald.viewer.plotting import Order, Plot, View, make_plot
from skald.viewer.watch import FAULTS, Vitals, Watch

_MOST_SKETCHES: Final = 256
"""So many are kept for plots that are scrolled back to."""


class Report(NamedTuple):
    """What a look at the runs found.

    Attributes:
        metrics: the names of the metrics, in order of first appearance.
        numbers: the ids that are numbers.
        vitals: of each run.
    """

    metrics: list[str]
    numbers: list[str]
    vitals: dict[str, Vitals]


class _Demand(NamedTuple):
    view: View = View()
    orders: Sequence[Order] = ()


class Painter(threading.Thread):
    """Draws plots of runs, in a thread of its own."""

    def __init__(self, runs: Mapping[str, Path], tell: Callable[[Plot | Report | Exception], object]) -> None:
        """Do nothing before it is started.

        Args:
            runs: the folders of the runs by their names.
            tell: called in the thread with each plot that is drawn, with what each look found, and
                with the error that ended it.
        """
        super().__init__(name="skald-painter", daemon=True)
        self._watches = {name: Watch(path) for name, path in runs.items()}
        self._tell = tell
        self._wake = threading.Condition()
        self._wants_look, self._is_over = True, False
        self._rests_until = 0.0
        self._waits = False  # for the next look, as the files are others than at the last
        self._demand = _Demand()
        self._kinds: Kinds = {}
        self._rows: dict[str, pl.DataFrame] = {}  # read, and not yet sketched
        self._sketches: dict[str, Sketch] = {}
        self._stale: dict[str, Sketch] = {}  # of what may never be read again
        self._names: dict[str, list[str]] = {}
        self._sketched = View().sketched
        self._drawn: dict[Order, tuple[View, int, int]] = {}
        self._beginnings = 0
        self._versions: dict[str, int] = {}

    def ask(self, view: View, orders: Sequence[Order], kept: Collection[Order]) -> None:
        """Want these plots from now on, the first first; what was wanted before is forgotten.

        Args:
            view: how they are drawn.
            orders: which ones.
            kept: those that were told and are still there.
        """
        with self._wake:
            self._drawn = {order: self._drawn[order] for order in kept if order in self._drawn}
            self._demand = _Demand(view, orders)
            self._wake.notify()

    def look(self) -> None:
        """Have the runs looked at soon, unless it would take more than a third of a processor."""
        with self._wake:
            if time.monotonic() >= self._rests_until:
                self._wants_look = True
                self._wake.notify()

    def stop(self) -> None:
        """End the thread, after what it is doing."""
        with self._wake:
            self._is_over = True
            self._wake.notify()

    def run(self) -> None:
        """Look and draw until it is stopped; what goes wrong is told, as nobody sees a thread."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  it is raised where it is told
            self._tell(error)

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._is_over or self._wants_look or self._next() is not None)
                if self._is_over:
                    return
                wants_look, self._wants_look = self._wants_look, False
                demand, order = self._demand, self._next()
            began = time.thread_time()
            if wants_look:
                self._look(demand)
            elif order is not None:
                self._draw(demand, order)
            rest = 2 * (time.thread_time() - began)
            self._rests_until = max(self._rests_until, time.monotonic()) + rest

    def _next(self) -> Order | None:
        """Return the first plot that is wanted and not yet drawn as it would be now."""
        view = self._demand.view
        for order in () if self._waits else self._demand.orders:
            if self._drawn.get(order) != self._state(view, order.metric):
                return order
        return None

    def _state(self, view: View, metric: str) -> tuple[View, int, int]:
        """Return what a plot depends on."""
        return view, self._beginnings, self._versions.get(metric, 0)

    def _look(self, demand: _Demand) -> None:
        """Read what is new, and tell what was found."""
        self._waits = False
        news = {name: watch.look() for name, watch in self._watches.items()}
        self._names.update((name, self._watches[name].follower.names) for name, found in news.items() if found)
        if any(found is not None and found.is_anew for found in news.values()):
            self._begin()
        else:
            for name, found in news.items():
                if found is not None and len(found.rows):
                    self._take_in(self._fitted(name, found.rows), {order.metric for order in demand.orders})
        metrics = dict.fromkeys(metric for names in self._names.values() for metric in names)
        vitals = {name: watch.vitals for name, watch in self._watches.items()}
        self._tell(Report(list(metrics), position_ids(self._kinds), vitals))

    def _begin(self) -> None:
        """Forget what was read."""
        self._kinds = {}
        for watch in self._watches.values():
            for name, kind in watch.follower.kinds.items():
                self._kinds[name] = unify(self._kinds.get(name, kind), kind)
        self._beginnings += 1
        self._stale |= self._sketches
        self._sketches.clear()
        self._rows.clear()

    def _take_in(self, rows: pl.DataFrame, wanted: Collection[str]) -> None:
        """Let sketches of metrics that are wanted grow; forget the others that have new rows."""
        for metric in rows[METRIC].unique().to_list():
            self._versions[metric] = self._versions.get(metric, 0) + 1
            self._rows.pop(metric, None)
            if metric not in wanted:
                self._sketches.pop(metric, None)
        grown = rows.filter(pl.col(METRIC).is_in(list(self._sketches)))
        for part in grown.partition_by(METRIC, maintain_order=True):
            metric = part.item(0, METRIC)
            if not self._sketches[metric].extend(part):
                del self._sketches[metric]

    def _draw(self, demand: _Demand, order: Order) -> None:
        if self._sketched != demand.view.sketched:
            self._sketched = demand.view.sketched
            self._stale |= self._sketches
            self._sketches.clear()
            self._rows.clear()
        state = self._state(demand.view, order.metric)
        known = self._sketches.keys() | self._rows.keys()
        try:
            if order.metric not in known:
                found = self._read(self._unread(order, demand, known)).partition_by(METRIC, maintain_order=True)
                self._rows.update((rows.item(0, METRIC), rows) for rows in found)
            sketch = self._sketch(order.metric)
            if sketch and order.span and not sketch.is_fine(order.span, order.columns):
                sketch.refine(self._read([order.metric]), order.span)
        except ChangedError:
            self._waits, sketch = True, self._sketch(order.metric)
        self._keep({other.metric for other in demand.orders})
        with self._wake:
            self._drawn[order] = state
        if sketch is not None:
            self._tell(make_plot(sketch, order, demand.view))

    def _keep(self, wanted: Collection[str]) -> None:
        """Forget sketches that are not wanted where they are many."""
        for sketches in (self._sketches, self._stale):
            if len(sketches) > _MOST_SKETCHES:
                for metric in sketches.keys() - set(wanted):
                    del sketches[metric]

    def _unread(self, order: Order, demand: _Demand, known: Collection[str]) -> Collection[str]:
        """Return the metrics to be read: all that are wanted, but the very first alone where that is quicker."""
        if not known and all(watch.follower.reads_apart for watch in self._watches.values()):
            return [order.metric]
        return dict.fromkeys(other.metric for other in demand.orders if other.metric not in known)

    def _read(self, metrics: Collection[str]) -> pl.DataFrame:
        """Return all rows of metrics."""
        parts = []
        for name, watch in self._watches.items():
            try:
                parts.append(self._fitted(name, watch.follower.read(metrics)))
            except FAULTS:  # the next look tells of it
                continue
        return pl.concat(parts) if parts else pl.DataFrame(schema=table_schema(self._kinds))

    def _sketch(self, metric: str) -> Sketch | None:
        """Return the sketch of a metric; None where it has no rows that can be read."""
        rows = self._rows.pop(metric, None)
        if rows is not None:
            x, by, is_log = self._sketched
            self._sketches[metric] = Sketch(rows, x=x, by=by, is_log=is_log)
            self._stale.pop(metric, None)
        return self._sketches.get(metric) or self._stale.get(metric)

    def _fitted(self, name: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows of a run as those of all runs are; of several they name it."""
        kinds = self._watches[name].follower.kinds
        if kinds != self._kinds:
            rows = fit(rows.lazy(), kinds, self._kinds).select(table_schema(self._kinds).names()).collect()
        return rows if len(self._watches) == 1 else rows.with_columns(pl.lit(name).alias(RUN))
