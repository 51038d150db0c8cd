"""Runs made up by hypothesis, with the order that their rows must have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from handmade import START, Row, segment
from hypothesis import strategies as st

from skald.layout import RUN_JSON


class Story:
    """Streams of segments of several writers, and what a reader must see of them."""

    def __init__(self, streams: Sequence[Sequence[Sequence[tuple[str, int]]]], times: Sequence[int]) -> None:
        """Give every row a time of its own, and a value that tells it from all others.

        Args:
            streams: for each stream its segments, for each segment the rows: metric, and whether it has an id.
            times: µs, one for each row.
        """
        clock, numbers = iter(times), iter(range(10**6))
        self.streams = [
            [
                [
                    Row(metric, next(numbers), START + 1000 * next(clock), {"step": 1} if has_id else {})
                    for metric, has_id in part
                ]
                for part in parts
            ]
            for parts in streams
        ]

    def __repr__(self) -> str:
        """Tell metric, µs and value of every row."""
        return "\n".join(
            f"w{stream // 2}/{stream % 2}: "
            + " | ".join(" ".join(f"{r.metric}@{(r.time - START) // 1000}={r.value}" for r in part) for part in parts)
            for stream, parts in enumerate(self.streams)
        )

    def write(self, run: Path) -> list[str]:
        """Write the segments of a run, all but the last of each stream sealed; return the names of the writers.

        Two streams share a writer.
        """
        (run / RUN_JSON).touch()
        numbers: dict[str, int] = {}
        for stream, parts in enumerate(self.streams):
            writer = f"w{stream // 2}"
            for part, rows in enumerate(parts):
                number = numbers.get(writer, 0)
                numbers[writer] = number + 1
                sealed = part < len(parts) - 1
                segment(run, writer, number, rows, stream=stream % 2, sealed=sealed, mixed=True, kinds={"step": "int"})
        return list(numbers)

    def expected(self) -> dict[str, list[float]]:
        """Return the values of each metric in log order.

        Inside a stream rows stand as they were logged. Between streams time decides, and a row counts as no older
        than those of its metric before it in its stream.
        """
        keyed = []
        for parts in self.streams:
            newest: dict[str, int] = {}
            for line in (line for part in parts for line in part):
                newest[line.metric] = max(line.time, newest.get(line.metric, line.time))
                keyed.append((newest[line.metric], line))
        order: dict[str, list[float]] = {}
        for _, line in sorted(keyed, key=lambda pair: pair[0]):
            order.setdefault(line.metric, []).append(line.value)
        return order


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Make up a run; in one half of all runs clocks step back at will."""
    line = st.tuples(st.sampled_from("abc"), st.integers(0, 1))
    streams = draw(st.lists(st.lists(st.lists(line, max_size=6), max_size=3), min_size=1, max_size=5))
    rows = [sum(map(len, parts)) for parts in streams]
    times = draw(st.permutations(range(sum(rows))))
    if draw(st.booleans()):
        pool = iter(times)
        times = [time for count in rows for time in sorted(next(pool) for _ in range(count))]
    return Story(streams, times)
