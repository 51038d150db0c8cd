"""Parameters: what does not change during a run, as nested plain data in params.yaml.

The same stands in run.json, for readers, who take it from there while params.yaml is the file that Skald wrote,
and was not edited since.

Invariant: params.yaml is whole at every instant and holds, leaf by leaf, the last value that any
process of the run gave.
"""

from __future__ import annotations

import datetime as dt
import math
import zlib
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from skald import layout
from skald.durable import write_atomic
from skald.engine.lock import FileLock
from skald.errors import CorruptRunError, InvalidInputError, StorageError
from skald.record.info import read_info, write_info
from skald.record.plain import plain, type_name
from skald.record.yamltext import to_yaml

LOCK_SECS: Final = 30.0
"""How long to wait for the other processes of the run, each of which takes a few milliseconds."""


class Said(Protocol):
    """What run.json says of the params."""

    params: dict[str, Any]
    params_crc32: int | None


class Params:
    """The params of one run, which several threads and processes may set at once."""

    def __init__(self, run: Path | None, lock: Path | None = None) -> None:
        """Set params of a run, or only check them.

        Args:
            run: the run's folder; None writes nothing, and `update` only checks.
            lock: the file that those who write params lock meanwhile; it must be given with `run`.
        """
        assert (run is None) == (lock is None)
        self._run = run
        self._lock = lock

    def update(self, mapping: Any) -> None:
        """Merge into params.yaml, leaf by leaf; it is on disk when the call returns.

        Args:
            mapping: a mapping, or an object with fields (dataclass, msgspec.Struct, Namespace).

        Raises:
            InvalidInputError: a value is no plain data and has no such form; nothing is written.
            CorruptRunError: params.yaml was edited and cannot be read; it stays as it is.
            StorageError: the disk takes no more, the folder is gone.
        """
        params = plain(mapping)
        if not isinstance(params, dict):
            raise InvalidInputError(f"params must be a mapping of names to values, got {type_name(mapping)}")
        if self._run is None or self._lock is None or not params:
            return
        try:
            self._write(self._run, self._lock, params)
        except OSError as error:
            raise StorageError(f"params were not written: {error}, in {self._run}") from error

    def _write(self, run: Path, lock_path: Path, params: dict[str, Any]) -> None:
        lock = FileLock(lock_path, reentrant=True)
        # NOTE: a signal handler may call this in the middle of itself, so waiting for ever is no choice
        if not lock.acquire(LOCK_SECS):
            raise TimeoutError(f"another process held {lock_path.name} for {LOCK_SECS:.0f} s")
        try:
            info = read_info(run)
            merged = merge(read_params(run, info), params)
            data = to_yaml(merged)
            # DURABILITY: params.yaml first: a run.json that does not fit it is not believed
            write_atomic(run / layout.PARAMS, data, sync=True)
            info.params = _for_json(merged)
            info.params_crc32 = zlib.crc32(data) if info.params == merged else None
            write_info(run, info)
        finally:
            lock.release()


def read_params(run: Path, info: Said | None = None) -> dict[str, Any]:
    """Return the params of a run, nested as they were given; empty where there are none.

    Args:
        run: the run's folder.
        info: what run.json holds, if it has been read already.

    Raises:
        CorruptRunError: params.yaml was edited, and is no YAML, or no mapping of names to plain data.
        RunNotFoundError, FormatVersionError: as `read_info`.
        StorageError: the file may not be read.
    """
    info = info or read_info(run)
    path = run / layout.PARAMS
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageError(error.errno, f"cannot be read: {error.strerror}, in {path}") from error
    # NOTE: not by the time of the file: a copy has another, and an edit within one tick of the clock has the same
    return info.params if zlib.crc32(data) == info.params_crc32 else decode_params(data, path)


def decode_params(data: bytes, path: object) -> dict[str, Any]:
    """Return the params in the content of a params.yaml.

    Args:
        data: the content.
        path: where it stands, for messages.

    Raises:
        CorruptRunError: it is no YAML, or no mapping of names to plain data.
    """
    try:
        found = plain(msgspec.yaml.decode(data))
    except (msgspec.DecodeError, ValueError) as error:
        raise CorruptRunError(f"params cannot be read: {error}, in {path}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CorruptRunError(f"params must be a mapping, got {type_name(found)}, in {path}")
    return found


def _for_json(value: Any) -> Any:
    """Return plain data as JSON knows them: NaN and infinities as their names, times as ISO 8601."""
    match value:
        case dict():
            return {name: _for_json(item) for name, item in value.items()}
        case list():
            return [_for_json(item) for item in value]
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case dt.date():
            return value.isoformat()
    return value


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return `old` with the leaves of `new`; a list is one leaf, names keep their order."""
    merged = dict(old)
    for name, value in new.items():
        before = merged.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[name] = merge(before, value)
        else:
            merged[name] = value
    return merged
