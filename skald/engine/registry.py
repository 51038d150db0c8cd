"""The kinds of a run's ids, on which all its writers agree: `segments/ids.json`.

Invariant: the file changes only under the run's lock, and an id's kind only from int to float.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from skald.durable import is_full, read_atomic, write_atomic
from skald.engine.claim import lock_of_run
from skald.errors import CorruptRunError
from skald.layout import FORMAT_VERSION, IDS, SEGMENTS, check_format
from skald.schema import KIND_OF, Id, Kinds, kind_error, widen


class Registry:
    """What one writer knows of the run's ids; `kinds` is replaced, never changed, so it may be read at any time."""

    def __init__(self, run: Path | None) -> None:
        """Read the kinds known so far; `run` None: keep them in memory only."""
        self._folder = run / SEGMENTS if run else None
        self.kinds: Kinds = read_kinds(run) if run else {}

    def knows(self, ids: Mapping[str, Id]) -> bool:
        """Tell whether all these ids can be stored as the kinds that are known."""
        kinds = self.kinds
        return all(
            name in kinds and (kinds[name] == KIND_OF[type(value)] or (kinds[name] == "float" and type(value) is int))
            for name, value in ids.items()
        )

    def check(self, ids: Mapping[str, Id]) -> None:
        """Raise IdTypeError if an id has another kind in this run, by any process; nothing is taken up."""
        known = self.kinds
        if self._folder and not ids.keys() <= known.keys():
            known = known | _read(self._folder / IDS)
        merge_kinds(known, ids)

    def learn(self, ids: Mapping[str, Id]) -> None:
        """Take up ids or kinds that are new.

        Raises:
            IdTypeError: an id has another kind in this run; nothing was taken up.
        """
        if self._folder is None:
            merged = merge_kinds(self.kinds, ids)
        else:
            lock = lock_of_run(self._folder.parent)
            try:
                lock.acquire()
                known = _read(self._folder / IDS)
                merged = merge_kinds(self.kinds | known, ids)
                if merged != known:
                    self._write(self._folder, merged)
            finally:
                lock.release()
        self.kinds = merged

    def _write(self, folder: Path, kinds: Kinds) -> None:
        try:
            write_kinds(folder, kinds)
        except OSError as error:
            if not is_full(error):
                raise
            # logging goes on: each segment says its kinds too, and the next new id is a new try


def merge_kinds(known: Kinds, ids: Mapping[str, Id]) -> Kinds:
    """Return `known` widened and continued by the kinds of these ids.

    Raises:
        IdTypeError: a kind cannot be widened.
    """
    merged = dict(known)
    for name, value in ids.items():
        found = KIND_OF[type(value)]
        expected = merged.get(name, found)
        kind = widen(expected, found)
        if kind is None:
            raise kind_error(name, found, expected)
        merged[name] = kind
    return merged


def read_kinds(run: Path) -> Kinds:
    """Return the kinds of the ids that stand in `segments/ids.json`, in order of first appearance."""
    return _read(run / SEGMENTS / IDS)


def write_kinds(segments: Path, kinds: Kinds) -> None:
    """Put the kinds down for all writers; the run's lock is held."""
    write_atomic(segments / IDS, msgspec.json.encode({"format": FORMAT_VERSION, "kinds": kinds}))


def _read(path: Path) -> Kinds:
    try:
        said = msgspec.json.decode(read_atomic(path), type=_File)
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _corrupt(error, path) from error
    check_format(said.format, path)
    try:
        return msgspec.convert(said.kinds, Kinds)
    except msgspec.ValidationError as error:
        raise _corrupt(error, path) from error


class _File(msgspec.Struct):
    """What the file holds; a newer Skald may have other kinds."""

    format: int
    kinds: object


def _corrupt(error: Exception, path: Path) -> CorruptRunError:
    corrupt = CorruptRunError(f"the kinds of the run's ids cannot be read: {error}, in {path}")
    corrupt.add_note("hint: remove the file; the rows say their kinds too")
    return corrupt
