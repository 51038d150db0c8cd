"""Artifacts: files that a run keeps under `artifacts/`, and the lists of them.

Invariant: a file that was logged appears there under its name whole, by rename, after its line is in the writer's list.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from skald import layout
from skald.durable import exchange, is_real_folder, remove, replace, sync_file, sync_folder, write_atomic
from skald.engine.claim import Claim, change_run, lock_of_run
from skald.errors import InvalidInputError, StorageError, folder_gone, is_of_handler, logger_closed
from skald.record.copying import Content, Part
from skald.schema import KIND_OF, Id, Kinds, widen


class Artifact(msgspec.Struct, kw_only=True):
    """One file under `artifacts/`: a line of a list.

    Attributes:
        path: relative to `artifacts/`, with `/`.
        size: bytes.
        sha256: of the content; None where it was linked, or not put there by Skald.
        time: when it was put there, in UTC.
        ids: of the call.
        folder: the path of the folder that it came with; left out where it came alone.
    """

    path: str
    size: int
    sha256: str | None = None
    time: dt.datetime
    ids: dict[str, int | float | str | bool] = {}
    folder: str | msgspec.UnsetType = msgspec.UNSET


class Artifacts:
    """What one writer puts under `artifacts/`; threads and other writers may do so at once."""

    def __init__(self, run: Path | None, claim: Claim | None, *, joined: bool) -> None:
        """Put files into a run, or nowhere.

        Args:
            run: the run's folder; None keeps nothing.
            claim: the writer's place in it, where files are written before they are renamed: what a crash
                leaves there goes with the next compaction.
            joined: whether the writer is not the run's first process.
        """
        self._run, self._claim = run, claim
        self._list = run / layout.artifact_list_name(claim.name if joined else None) if run and claim else None
        self._synced = self._list.stat().st_size if self._list and self._list.exists() else 0

    def put(self, path: str, ids: Mapping[str, Id], content: Content) -> None:
        """Keep content under a path, in place of what was kept there before.

        Args:
            path: relative to `artifacts/`, as `artifact_path` makes it.
            ids: of the call.
            content: what to keep.

        Raises:
            InvalidInputError: something else is in the way, or what is to be copied cannot be read.
            StorageError: the disk takes no more, or the run's folder is gone. Nothing was kept.
        """
        if self._run is None or self._claim is None:
            return
        beside = layout.temporary(self._claim.folder / layout.ARTIFACTS)
        try:
            self._check_free(self._run, path, content)
            parts = content.write(beside)
            change_run(partial(self._place, self._run, self._claim, path, ids, content, parts, beside))
        except OSError as error:
            if isinstance(error, StorageError) or is_of_handler(error):
                raise
            if not self._run.is_dir():
                raise folder_gone(self._run) from error
            if not self._claim.held:
                raise logger_closed(self._run.name, None) from error
            raise StorageError(error.errno, f"artifact {path!r} was not kept: {error}") from error
        finally:
            remove(beside)

    def _place(
        self,
        run: Path,
        claim: Claim,
        path: str,
        ids: Mapping[str, Id],
        content: Content,
        parts: Sequence[Part],
        beside: Path,
    ) -> None:
        with lock_of_run(run):
            if not claim.held:  # a signal handler has closed it meanwhile
                raise logger_closed(run.name, None)
            target = self._check_free(run, path, content)
            target.parent.mkdir(parents=True, exist_ok=True)
            folder, now = path if content.is_folder else msgspec.UNSET, dt.datetime.now(dt.UTC)
            self._note(
                Artifact(
                    path=f"{path}/{part.inner}" if part.inner else path,
                    size=part.size,
                    sha256=part.sha256,
                    time=now,
                    ids=dict(ids),
                    folder=folder,
                )
                for part in parts
            )
            _put_in_place(beside, target)

    def sync(self) -> None:
        """Wait until the disk itself has everything that this writer put there.

        Raises:
            OSError: it cannot be written.
        """
        if self._run is None or self._list is None or not self._list.exists():
            return
        with self._list.open("rb") as file:
            start = file.seek(self._synced)
            data = file.read()
        top = self._run / layout.ARTIFACTS
        folders = {self._run}
        for artifact in _parse(data):
            path = top / artifact.path
            if artifact.sha256 is not None and path.is_file():
                sync_file(path)
            folders |= {parent for parent in path.parents if parent.is_relative_to(top) and parent.is_dir()}
        for folder in folders:
            sync_folder(folder)
        sync_file(self._list)
        self._synced = start + len(data)  # NOTE: threads may do this at once

    def _check_free(self, run: Path, path: str, content: Content) -> Path:
        """Return where an artifact goes, unless something is there that is not the same artifact's."""
        top = run / layout.ARTIFACTS
        target = top / path
        real, allowed = os.path.realpath(target.parent), os.path.realpath(run) + os.sep + layout.ARTIFACTS
        if not Path(real).is_relative_to(allowed):
            raise InvalidInputError(f"artifact {path!r} would leave the run by a link in {top}")
        for parent in target.relative_to(top).parents:
            if (top / parent).exists() and not (top / parent).is_dir():
                raise InvalidInputError(f"artifact {path!r} needs a folder where the file {parent.as_posix()!r} is")
        if is_real_folder(target) and not self._is_own_folder(run, path):
            what = "the folder" if content.is_folder else "the file"
            error = InvalidInputError(f"artifact {path!r} is a folder with other files in it")
            error.add_note(f"hint: log {what} under another name, or put these files away first")
            raise error
        return target

    def _is_own_folder(self, run: Path, path: str) -> bool:
        """Tell whether all files in a folder came with the folder that was logged under the same path."""
        own = {artifact.path for artifact in _listed(run).values() if artifact.folder == path}
        return all(inner in own for inner in _files(run / layout.ARTIFACTS) if inner.startswith(f"{path}/"))

    def _note(self, artifacts: Iterable[Artifact]) -> None:
        """Append lines to the list, all of them or none."""
        assert self._list is not None
        lines = _encoded(artifacts)
        with self._list.open("ab+", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                _write_all(file, (b"\n" if _is_torn(file, end) else b"") + lines)
            except OSError:
                file.truncate(end)
                raise


def read_artifacts(run: Path) -> list[Artifact]:
    """Return the files under `artifacts/`, oldest first; those that no list has, or that changed since, without sum."""
    top, listed, found = run / layout.ARTIFACTS, _listed(run), []
    for path in _files(top):
        artifact = listed.get(path)
        try:
            facts = (top / path).stat()
        except FileNotFoundError:
            if artifact and (top / path).is_symlink():  # what was linked is gone
                found.append(artifact)
            continue
        if artifact is None or artifact.size != facts.st_size:
            changed = dt.datetime.fromtimestamp(facts.st_mtime, dt.UTC)
            ids = artifact.ids if artifact else {}
            artifact = Artifact(path=path, size=facts.st_size, time=changed, ids=ids)
        found.append(artifact)
    return sorted(found, key=lambda artifact: (artifact.time, artifact.path))


def artifact_kinds(run: Path, known: Kinds) -> Kinds:
    """Return kinds of ids, widened and continued by those of artifacts; where these disagree the first stands."""
    kinds = dict(known)
    for artifact in _lines(run):
        for name, value in artifact.ids.items():
            found = KIND_OF[type(value)]
            expected = kinds.get(name, found)
            kinds[name] = widen(expected, found) or expected
    return kinds


def read_sums(run: Path) -> dict[str, dict[str, int]]:
    """Return, for each path that was logged with its content, the SHA-256 and the size of each content it has had.

    More than one may be right: a crash may come between the line that tells of a new one and its file.
    """
    sums: dict[str, dict[str, int]] = {}
    for artifact in _lines(run):
        if artifact.sha256 is None:
            sums.pop(artifact.path, None)  # linked since: its content is another's
        else:
            sums.setdefault(artifact.path, {})[artifact.sha256] = artifact.size
    return sums


def missing_artifacts(run: Path) -> list[Artifact]:
    """Return the files that were logged with their content, were not replaced or noted as missing, and are not there.

    Of a folder that was logged again those files count that it had the last time.
    """
    top, lines = run / layout.ARTIFACTS, _lines(run)
    put_at = {artifact.folder: artifact.time for artifact in lines}
    return [
        artifact
        for artifact in {artifact.path: artifact for artifact in lines}.values()
        if artifact.sha256 is not None
        and not os.path.lexists(top / artifact.path)
        and (artifact.folder is msgspec.UNSET or artifact.time == put_at[artifact.folder])
        and not any((top / parent).is_file() for parent in PurePosixPath(artifact.path).parents)
    ]


def note_missing(run: Path, path: str) -> None:
    """Note that a file that was logged is not there any more, in a line without sum."""
    noted = _listed(run)[path]
    line = Artifact(path=path, size=noted.size, time=dt.datetime.now(dt.UTC), ids=noted.ids)
    target = run / layout.artifact_list_name(None)
    data = target.read_bytes() if target.exists() else b""
    write_atomic(target, data + (b"\n" if data and not data.endswith(b"\n") else b"") + _encoded([line]), sync=True)


def broken_lines(path: Path) -> int:
    """Return how many lines of a list tell of no artifact; one at the end that is not finished is being written."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    return len(whole.splitlines()) - sum(1 for _ in _parse(whole))


def restore_list(path: Path) -> None:
    """Replace a list by those of its lines that tell of an artifact."""
    write_atomic(path, _encoded(_parse(path.read_bytes())), sync=True)


def _encoded(artifacts: Iterable[Artifact]) -> bytes:
    return "".join(f"{json.dumps(msgspec.to_builtins(artifact))}\n" for artifact in artifacts).encode()


def _listed(run: Path) -> dict[str, Artifact]:
    """Return what the lists of all writers say, by path; of several lines the latest counts."""
    return {artifact.path: artifact for artifact in _lines(run)}


def _lines(run: Path) -> list[Artifact]:
    """Return the lines of the lists of all writers, oldest first."""
    lines = [artifact for path in layout.artifact_lists(run) for artifact in _parse(path.read_bytes())]
    return sorted(lines, key=lambda artifact: artifact.time)


def _parse(data: bytes) -> Iterator[Artifact]:
    """Return the artifacts of whole lines; a line that a crash has torn is none."""
    for line in data.splitlines():
        try:
            yield msgspec.convert(json.loads(line), Artifact)
        except (ValueError, msgspec.ValidationError):
            continue


def _files(top: Path) -> Iterator[str]:
    """Return the paths of all files in a folder, without those in it that are being written."""
    for folder, _, names in os.walk(top):
        inner = Path(folder).relative_to(top)
        paths = ((inner / name).as_posix() for name in names)
        yield from (path for path in paths if not path.startswith(layout.TEMPORARY_PREFIX))


def _write_all(file: BinaryIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


def _is_torn(file: BinaryIO, end: int) -> bool:
    """Tell whether a list ends within a line, as a crash may leave it."""
    if end == 0:
        return False
    file.seek(end - 1)
    return file.read(1) != b"\n"


def _put_in_place(beside: Path, target: Path) -> None:
    """Let a file or a folder have its name; what was there before stands beside then."""
    if os.path.lexists(target) and (beside.is_dir() or is_real_folder(target)):
        exchange(beside, target)
    else:
        replace(beside, target)
