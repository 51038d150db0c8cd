"""Closed runs in a cloud store, read through polars: `s3://`, `gs://`, `az://`, `hf://`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import polars as pl

from skald.engine.stored import COVERAGE_KEY, kinds_said
from skald.errors import CorruptRunError, InvalidInputError, RunNotFoundError, StorageError
from skald.layout import PARAMS, PARQUET, RUN_JSON
from skald.notice import warn
from skald.record.params import decode_params, shown_instead
from skald.schema import RUN, Kinds

_MARK: Final = "://"

StorageOptions: TypeAlias = dict[str, Any] | None
"""How to connect to the store, as polars takes it; None: as the environment says."""


class CloudRun(NamedTuple):
    """A run that was found: its name, and the address of its metrics file."""

    name: str
    file: str


class _Session(msgspec.Struct):
    rows: int = 0


class _Info(msgspec.Struct):
    """The part of run.json that is read."""

    status: str = "running"
    sessions: list[_Session] = []
    params: dict[str, Any] = {}


def is_cloud(path: str) -> bool:
    """Tell whether a path is the address of something in a cloud store."""
    return _MARK in path


def find_cloud_runs(addresses: Sequence[str], options: StorageOptions) -> list[CloudRun]:
    """Return the runs below addresses, which may be globs, in the order of their names.

    Runs are named as `find_runs` names them.

    Raises:
        RunNotFoundError: there are none.
        StorageError: the store cannot be reached.
        InvalidInputError: the options are none.
    """
    folders = {folder for address in addresses for folder in _folders(address, options)}
    # what is inside a run is no run
    runs = [folder for folder in folders if folders.isdisjoint(_parents(folder))]
    if not runs:
        raise RunNotFoundError(f"there are no runs at {', '.join(addresses)}")
    top = addresses[0].rstrip("/")
    if len(addresses) > 1 or "*" in top or top in runs:
        top = _common([next(_parents(run)) for run in runs])
    return sorted(CloudRun(run[len(top) + 1 :], f"{run}/{PARQUET}") for run in runs)


def _folders(address: str, options: StorageOptions) -> list[str]:
    """Return the folders below an address that hold a run.json."""
    # NOTE: as lines of text, since a scan of parquet files would fail with the first broken one
    try:
        files = pl.scan_lines(f"{address.rstrip('/')}/**/{RUN_JSON}", include_file_paths=RUN, storage_options=options)
        found = files.select(pl.col(RUN).unique()).collect().to_series()
    except (OSError, pl.exceptions.PolarsError) as error:
        said = " ".join(str(error).split())
        raise StorageError(f"nothing can be read at {address}: {said}") from error
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"storage_options= are not such as polars takes: {error}") from error
    return [file.removesuffix(f"/{RUN_JSON}") for file in found]


def _parents(address: str) -> Iterator[str]:
    scheme, _, path = address.partition(_MARK)
    return (f"{scheme}{_MARK}{parent}" for parent in PurePosixPath(path).parents)


def _common(folders: Sequence[str]) -> str:
    """Return the deepest folder common to all."""
    parts = [folder.split("/") for folder in folders]
    depth = 0
    while all(len(part) > depth and part[depth] == parts[0][depth] for part in parts):
        depth += 1
    return "/".join(parts[0][:depth])


def read_cloud_kinds(file: str, options: StorageOptions) -> Kinds:
    """Return the ids of a metrics file.

    Raises:
        CorruptRunError: it is not a file of Skald's.
        FormatVersionError: a newer Skald wrote it.
        OSError, PolarsError: it cannot be read.
    """
    said = pl.read_parquet_metadata(file, storage_options=options).get(COVERAGE_KEY.decode())
    if said is None:
        raise CorruptRunError(f"expected a parquet file that Skald wrote, found another, in {file}")
    return kinds_said(said.encode(), file)


def read_cloud_params(file: str, options: StorageOptions) -> dict[str, Any]:
    """Return the params of the run with this metrics file, nested as they were given; empty where there are none.

    Where params.yaml was edited and cannot be read, a warning says so, and those of before the edit are returned; of
    one that is not there nothing is asked, as each question takes its time.

    Raises:
        OSError, PolarsError: the store cannot be reached.
    """
    place = _beside(file, PARAMS)
    try:
        data = _content(place, options)
    except FileNotFoundError:
        return {}
    try:
        return decode_params(data, place)
    except CorruptRunError as error:
        params = _info(file, options).params
        warn(f"{error}; {shown_instead(params)}")
        return params


def is_empty(file: str, options: StorageOptions) -> bool:
    """Tell whether the run with this metrics file has ended without a row, so that there is no such file."""
    info = _info(file, options)
    return info.status != "running" and not any(session.rows for session in info.sessions)


def _info(file: str, options: StorageOptions) -> _Info:
    place = _beside(file, RUN_JSON)
    try:
        return msgspec.json.decode(_content(place, options), type=_Info)
    except msgspec.MsgspecError as error:
        raise CorruptRunError(f"{error}, in {place}") from error


def _beside(file: str, name: str) -> str:
    return f"{file.removesuffix(PARQUET)}{name}"


def _content(place: str, options: StorageOptions) -> bytes:
    return "\n".join(pl.read_lines(place, glob=False, storage_options=options).to_series()).encode()
