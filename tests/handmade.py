"""Segments made by pyarrow from lists: a producer that shares no code with Skald's own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa

SECOND = 10**9
START = 1_800_000_000 * SECOND

KINDS = {int: "int", float: "float", str: "str", bool: "bool"}
TYPES: dict[str, Any] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "str": pa.dictionary(pa.int32(), pa.utf8()),
    "bool": pa.int8(),
}


class Row(NamedTuple):
    """A row as a test thinks of it; `time` is in ns, 0 makes a hole."""

    metric: str
    value: float
    time: int
    ids: Mapping[str, Any] = {}


def row(metric: str, value: float, at: float, **ids: Any) -> Row:
    """Return a row logged `at` seconds after START."""
    return Row(metric, value, START + round(at * SECOND), ids)


class Names:
    """A dictionary as a writer leaves it: code 0 is empty, the entry after the last name owns the rest."""

    def __init__(self, *, spare: int = 3, tail: bytes = b"\xff\x00half a na") -> None:
        self._codes: dict[str, int] = {}
        self._spare, self._tail = spare, tail

    def code(self, name: str) -> int:
        """Return the code of a name, a new one for a new name."""
        return self._codes.setdefault(name, len(self._codes) + 1)

    def array(self) -> Any:
        """Return the dictionary as it stands in a file."""
        texts = [b"", *(name.encode() for name in self._codes), self._tail, *[b""] * self._spare]
        offsets = [0]
        for text in texts:
            offsets.append(offsets[-1] + len(text))
        buffers = [None, pa.array(offsets, pa.int32()).buffers()[1], pa.py_buffer(b"".join(texts))]
        return pa.Array.from_buffers(pa.utf8(), len(texts), buffers)


def write_segment(
    path: Path,
    rows: Sequence[Row],
    *,
    kinds: Mapping[str, str] | None = None,
    mixed: bool = False,
    stream: int = 0,
    room: int = 2,
    sealed: bool = True,
    codes: Sequence[int] | None = None,
) -> Path:
    """Write a segment's file.

    Args:
        path: its name; folders are made.
        rows: in log order; rows of time 0 are holes.
        kinds: the ids; None: as the rows have them.
        mixed: whether rows may lack ids.
        stream: number of the stream.
        room: rows to leave free at the end.
        sealed: what the byte behind the magic says.
        codes: metric codes to store in place of the right ones (damage).
    """
    kinds = dict(kinds) if kinds is not None else {n: KINDS[type(v)] for line in rows for n, v in line.ids.items()}
    metrics, strings = Names(), {name: Names() for name, kind in kinds.items() if kind == "str"}
    known = [metrics.code(line.metric) if line.metric else 0 for line in rows]
    known = known if codes is None else list(codes)
    columns: list[Any] = [
        pa.DictionaryArray.from_arrays(pa.array(known + [0] * room, pa.int32()), metrics.array(), safe=False),
        pa.array([line.value for line in rows] + [0.0] * room, pa.float64()),
        pa.array([line.time for line in rows] + [0] * room, pa.timestamp("ns", "UTC")),
    ]
    fields = [
        pa.field("metric", TYPES["str"], nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("time", pa.timestamp("ns", "UTC"), nullable=False),
    ]
    if mixed:
        bits = [sum(1 << k for k, name in enumerate(kinds) if name in line.ids) for line in rows]
        columns.append(pa.array(bits + [0] * room, pa.int64()))
        fields.append(pa.field("present", pa.int64(), nullable=False))
    for name, kind in kinds.items():
        fields.append(pa.field(name, TYPES[kind], nullable=False, metadata={"kind": kind}))
        columns.append(_id_column(kind, [line.ids.get(name) for line in rows], room, strings.get(name)))
    said = {"format": 1, "mixed": mixed, "stream": stream, "ids": [[name, kind] for name, kind in kinds.items()]}
    schema = pa.schema(fields, metadata={"skald": json.dumps(said)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    with path.open("r+b") as written:
        written.seek(6)
        written.write(bytes([sealed]))
    return path


def _id_column(kind: str, values: Sequence[Any], room: int, names: Names | None) -> Any:
    if names is not None:
        codes = [0 if value is None else names.code(value) for value in values] + [0] * room
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), names.array(), safe=False)
    number = float if kind == "float" else int
    return pa.array([number(0 if value is None else value) for value in [*values, *[0] * room]], TYPES[kind])


def segment(run: Path, writer: str, number: int, rows: Sequence[Row], **options: Any) -> Path:
    """Write a segment of a run where a reader looks for it; its writer is dead."""
    path = run / "segments" / writer / f"{number:06}.arrow"
    write_segment(path, rows, **options)
    (path.parent / "lock").touch()
    return path


def write_ids(run: Path, kinds: Mapping[str, str]) -> None:
    """Put down the kinds of a run's ids, as the first writer that meets them does."""
    path = run / "segments" / "ids.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": 1, "kinds": dict(kinds)}), encoding="utf-8")


def plain(value: float) -> float | str:
    """Return a value that can be compared: NaN is equal to NaN."""
    return "NaN" if math.isnan(value) else value


def comparable(found: pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows in which NaN equals NaN, and a mean one that was summed up in another order."""
    return [{name: _comparable(value) for name, value in line.items()} for line in found.rows(named=True)]


def _comparable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _comparable(item) for name, item in value.items()}
    return plain(round(value, 9) if math.isfinite(value) else value) if isinstance(value, float) else value
