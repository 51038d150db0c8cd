"""Parameters: what does not change during a run, as nested plain data in params.yaml.

The same stands in run.json, for readers, who take it from there while params.yaml is the file that Skald wrote,
and was not edited since.

Invariant: params.yaml is whole at every instant and holds, leaf by leaf, the last value that any
process of the run gave.
"""

from __future__ import annotations

import datetime as dt
import errno
import math
import re
import shutil
import warnings
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from skald import layout
from skald.durable import read_atomic, write_atomic
from skald.engine.claim import change_run, lock_of_run
from skald.errors import CorruptRunError, InvalidInputError, StorageError, folder_gone, is_fault, unless_handlers
from skald.record.info import RunInfo, is_there, read_info, write_info
from skald.record.plain import plain, type_name
from skald.record.yamltext import from_yaml, to_yaml

LOCK_SECS: Final = 30.0
"""How long to wait for the other processes of the run, each of which takes a few milliseconds."""


_PLACE: Final = re.compile(r"line \d+")


class Said(Protocol):
    """What run.json says of the params."""

    params: dict[str, Any]
    params_crc32: int | None


class Params:
    """The params of one run, which several threads and processes may set at once."""

    def __init__(
        self, run: Path | None, warn: Callable[[str], object] = warnings.warn, *, started: dt.datetime | None = None
    ) -> None:
        """Set params of a run, or only check them.

        Args:
            run: the run's folder; None writes nothing, and `update` only checks.
            warn: tells what `update` found and set right.
            started: when the run was begun; they are set in no other that stands in its place.
        """
        self._run, self._started = run, started
        self._warn = warn

    def update(self, mapping: Any) -> None:
        """Merge into params.yaml, leaf by leaf; it is on disk when the call returns.

        A params.yaml that was edited and cannot be read is kept under `damaged/`, with a warning, and those of before
        the edit go on, as they do where it was deleted.

        Args:
            mapping: a mapping, or an object with fields (dataclass, msgspec.Struct, Namespace).

        Raises:
            InvalidInputError: a value is no plain data and has no such form; nothing is written.
            StorageError: the disk takes no more, the folder is gone.
        """
        params = plain(mapping)
        if not isinstance(params, dict):
            raise InvalidInputError(f"params must be a mapping of names to values, got {type_name(mapping)}")
        if self._run is None or not params:
            return
        found: list[str] = []
        try:
            change_run(partial(self._write, self._run, params, found.append))
        except OSError as error:
            if isinstance(error, _CopyError) or not is_fault(error):
                raise
            if not is_there(self._run, self._started):
                raise folder_gone(self._run, replaced=self._run.is_dir()) from error
            raise StorageError(f"params were not written: {error.strerror or error}, in {self._run}") from error
        finally:
            for text in found:
                self._warn(text)

    def _write(self, run: Path, params: dict[str, Any], tell: Callable[[str], object]) -> None:
        lock = lock_of_run(run)
        # NOTE: a signal handler may call this in the middle of itself, so waiting for ever is no choice
        if not lock.acquire(LOCK_SECS):
            raise TimeoutError(errno.ETIMEDOUT, f"another process held {lock.path.name} for {LOCK_SECS:.0f} s")
        try:
            info = read_info(run)
            if self._started not in (None, info.started):
                raise folder_gone(run, replaced=True)
            _store(run, info, merge(_before(run, info, tell), params))
        finally:
            lock.release()


def _before(run: Path, info: RunInfo, tell: Callable[[str], object]) -> dict[str, Any]:
    try:
        return _read(run, info)
    except CorruptRunError as error:
        kept = _keep_aside(run)
        aside = f"it is kept as {kept.relative_to(run)}, and " if kept else ""
        tell(f"{error}; {aside}the params of before the edit go on")
        return info.params


def restore_params(run: Path) -> Path | None:
    """Put the params of before an edit in the place of a params.yaml that cannot be read, or is missing.

    Whoever calls it holds the run's lock.

    Returns:
        Where the edited file stands now; None where it is missing.
    """
    kept = _keep_aside(run)
    info = read_info(run)
    _store(run, info, info.params)
    return kept


def _keep_aside(run: Path) -> Path | None:
    """Copy a params.yaml that is about to be replaced; return where to, None where there is none."""
    if not (run / layout.PARAMS).exists():
        return None
    kept = layout.aside(run, run / layout.PARAMS)
    kept.parent.mkdir(exist_ok=True)
    shutil.copy2(run / layout.PARAMS, kept)
    return kept


def _store(run: Path, info: RunInfo, params: dict[str, Any]) -> None:
    data = to_yaml(params)
    # DURABILITY: params.yaml first: a run.json that does not fit it is not believed
    write_atomic(run / layout.PARAMS, data, sync=True)
    info.params = for_json(params)
    info.params_crc32 = zlib.crc32(data) if info.params == params else None
    try:
        write_info(run, info)
    except OSError as error:
        if not is_fault(error):
            raise
        raise _CopyError(f"{layout.PARAMS} has the params now, their copy in run.json is old: {error}") from error


class _CopyError(StorageError):
    """The params are kept, and run.json does not say so."""


def read_params(run: Path, info: Said | None = None) -> dict[str, Any]:
    """Return the params of a run, nested as they were given; empty where there are none.

    Where params.yaml was edited and cannot be read, or deleted, a warning says so, and those of before are returned.

    Args:
        run: the run's folder.
        info: what run.json holds, if it has been read already.

    Raises:
        RunNotFoundError, CorruptRunError, FormatVersionError: as `read_info`.
        StorageError: the file may not be read.
    """
    info = info or read_info(run)
    try:
        return _read(run, info)
    except CorruptRunError as error:
        warnings.warn(f"{error}; {shown_instead(info.params)}", stacklevel=2)
        return info.params


def shown_instead(params: Mapping[str, Any]) -> str:
    """Return what is shown of params that were edited and cannot be read."""
    return "the params of before the edit are shown" if params else "before the edit there were none"


def _read(run: Path, info: Said) -> dict[str, Any]:
    path = run / layout.PARAMS
    try:
        data = read_atomic(path)
    except FileNotFoundError as error:
        if not info.params:
            return {}
        raise CorruptRunError(f"{layout.PARAMS} is missing, in {run}") from error
    except unless_handlers(OSError) as error:
        raise StorageError(error.errno, f"cannot be read: {error.strerror or error}, in {path}") from error
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
        found = plain(from_yaml(data))
    except ValueError as error:
        problem, place = _problem(str(error))
        if not isinstance(error, InvalidInputError):  # what a parser says may be no more than a word of the file
            problem = f"not valid YAML of plain data: {problem}"
        raise CorruptRunError(f"params cannot be read: {problem}, in {path}{place}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CorruptRunError(f"params must be a mapping, got {type_name(found)}, in {path}")
    return found


def _problem(text: str) -> tuple[str, str]:
    """Return what a YAML parser finds wrong, and where: its message is a line each, above the line of the file."""
    lines = [line.strip() for line in text.split("\n")]
    places = [place[0] for line in lines if (place := _PLACE.search(line))]
    problem = ": ".join(line for line in lines if not line.startswith("in "))
    return problem, f", {places[-1]}" if places else ""


def for_json(value: Any) -> Any:
    """Return plain data as JSON knows them: NaN and infinities as their names, times as ISO 8601."""
    match value:
        case dict():
            return {name: for_json(item) for name, item in value.items()}
        case list():
            return [for_json(item) for item in value]
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case dt.date():
            return value.isoformat()
    return value


def dotted(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested params by their dotted names; an empty mapping is a value."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping) and value:
            flat |= dotted(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


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
