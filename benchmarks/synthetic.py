"""What the benchmarks read and compact: runs as a crash leaves them, made quickly from arrays, and bare files."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from skald.layout import SEGMENTS, WRITER_LOCK, segment_name

_arrow: Any = pa  # its stubs reject arrays of NumPy
_parquet: Any = pyarrow.parquet

METRICS = 20
SEGMENT_ROWS = 65_536
START = 1_800_000_000_000_000_000


def write_run(run: Path, rows: int, *, writer: str = "w0", every_ns: int = 1_000_000, late_ns: int = 0) -> Path:
    """Write a crashed writer's rows: METRICS metrics in turns, ids epoch and step, float32-born values.

    Args:
        run: the run's folder.
        rows: how many.
        writer: whose.
        every_ns: time between rows; a tenth of it at most they come late.
        late_ns: when the first row comes.
    """
    folder = run / SEGMENTS / writer
    folder.mkdir(parents=True)
    (folder / WRITER_LOCK).touch()
    random = np.random.default_rng(zlib.crc32(writer.encode()))
    names = _arrow.array(["", *(f"metric{number}" for number in range(METRICS)), ""], _arrow.utf8())
    said = {"format": 1, "mixed": False, "stream": 0, "ids": [["epoch", "int"], ["step", "int"]]}
    schema = _arrow.schema(
        [
            ("metric", _arrow.dictionary(_arrow.int32(), _arrow.utf8())),
            ("value", _arrow.float64()),
            ("time", _arrow.timestamp("ns", "UTC")),
            ("epoch", _arrow.int64()),
            ("step", _arrow.int64()),
        ],
        metadata={"skald": json.dumps(said)},
    )
    for number, first in enumerate(range(0, rows, SEGMENT_ROWS)):
        index = np.arange(first, min(first + SEGMENT_ROWS, rows))
        step = index // METRICS
        jitter = random.integers(0, every_ns // 10, len(index))
        columns = [
            _arrow.DictionaryArray.from_arrays(_arrow.array((index % METRICS + 1).astype(np.int32)), names),
            _arrow.array(random.normal(size=len(index)).astype(np.float32).astype(np.float64)),
            _arrow.array(START + late_ns + index * every_ns + jitter).view(_arrow.timestamp("ns", "UTC")),
            _arrow.array(step // 1000),
            _arrow.array(step),
        ]
        path = folder / segment_name(number)
        with _arrow.OSFile(str(path), "wb") as file, _arrow.ipc.new_file(file, schema) as arrow:
            arrow.write_batch(_arrow.record_batch(columns, schema=schema))
        with path.open("r+b") as written:
            written.seek(6)
            written.write(b"\x01")
    return run


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table with the encodings of Skald, a row group a metric."""
    ints = {"epoch": "DELTA_BINARY_PACKED", "step": "DELTA_BINARY_PACKED", "time": "DELTA_BINARY_PACKED"}
    _parquet.write_table(
        table,
        path,
        row_group_size=max(1, table.num_rows // METRICS),
        version="2.6",
        compression="zstd",
        use_dictionary=["metric"],
        column_encoding={"value": "BYTE_STREAM_SPLIT", **ints},
        store_schema=False,
    )
