"""The git repository that a run's code lies in: its commit, its branch, and what differs from them.

Invariant: the repository is only looked at: git takes no lock, runs no hook, pager or outside program, reaches no
network and asks no question.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

MOST_DIFF_BYTES: Final = 10 << 20
"""A larger diff is left out."""
_TOO_LARGE: Final = f"larger than {MOST_DIFF_BYTES >> 20} MiB"

_ENVIRONMENT: Final = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_OTHER_REPOSITORY: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
_GIT: Final = ("git", "--no-pager", "-c", "core.fsmonitor=false")
_STATUS: Final = ("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=no")
_DIFF: Final = (
    "diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative", "--src-prefix=a/",
    "--dst-prefix=b/",
)  # fmt: skip
_UNTRACKED: Final = ("--literal-pathspecs", "ls-files", "--others", "-z")
_NOT_IGNORED: Final = ("--exclude-standard",)
_PATHS_A_QUESTION: Final = 200
"""Windows takes no longer command lines."""
_PATIENCE_SECS: Final = 0.02
_POLL_SECS: Final = 0.0003


class State(NamedTuple):
    """What git says."""

    commit: str | None
    """None before the first one."""
    branch: str | None
    """None where a commit and no branch is checked out."""
    dirty: bool
    """Whether tracked files differ from the commit, or code that runs is in none of them."""


def repository(folder: Path) -> Path | None:
    """Return the repository that a folder lies in."""
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), None)


class Question:
    """Asks git in steps, between which others may work; nothing is asked where there is no repository, or no git."""

    def __init__(self, folder: Path, code: Iterable[str] = (), script: str | None = None) -> None:
        """Ask of the repository around a folder.

        Args:
            folder: anywhere in it.
            code: the files whose code runs, of which some may lie in it.
            script: that of them which counts also where git is told to ignore it.
        """
        self.root = root = repository(folder)
        self._code = _inside(root, code) if root else []
        self._script = _inside(root, [script]) if root and script else []
        self.state: State | None = None
        self.diff: bytes | None = None
        self.problems: dict[str, str] = {}
        """Why git, or its diff, is not known."""
        self._command: _Command | None = None

    def steps(self) -> Iterator[None]:
        """Find out; each step begins to wait for git, or waits 20 ms at most."""
        if self.root is None:
            return
        try:
            status = yield from self._ask(self.root, *_STATUS)
            if status is None:
                return
            self.state = _state(status)
            seen = _changed_files(self.root, status, self._code)
            if seen in _latest:
                self.state, self.diff = _latest[seen]
                return
            yield from self._ask_diff(self.root, status)
            _latest.clear()
            if not self.problems and not _changed_submodules(status):  # of whose files the times are not known
                _latest[seen] = self.state, self.diff
        except FileNotFoundError:
            self.problems["git"] = "there is no git here to ask"
        except OSError as error:
            self.problems["git"] = str(error)
        finally:
            self.stop()

    def _ask_diff(self, root: Path, status: bytes) -> Generator[None, None, None]:
        assert self.state is not None
        new = yield from self._untracked_code(root)
        if new:
            self.state = self.state._replace(dirty=True)
        if not self.state.dirty:
            return
        self.diff = yield from self._ask(root, *_DIFF, "HEAD" if self.state.commit else "--cached")
        for path, commit in _changed_submodules(status).items():
            prefixes = f"--src-prefix=a/{path}/", f"--dst-prefix=b/{path}/"
            yield from self._add(f"the submodule {path}", root / path, *_DIFF, *prefixes, commit)
        if new:
            with tempfile.TemporaryDirectory() as folder:  # one question, however many there are
                (Path(folder) / "a").mkdir()
                for path in new:
                    _copy_if_there(root / path, Path(folder) / "b" / path)
                yield from self._add("new files", Path(folder), *_DIFF, "--no-prefix", "--no-index", "--", "a", "b")

    def _untracked_code(self, root: Path) -> Generator[None, None, list[str]]:
        """Return the paths in the repository of the code that git neither tracks nor ignores, and of the script."""
        script, others = self._script, [path for path in self._code if path not in self._script]
        found = ((yield from self._ask(root, *_UNTRACKED, "--", *_named(root, script))) or b"") if script else b""
        for start in range(0, len(others), _PATHS_A_QUESTION):
            some = _named(root, others[start : start + _PATHS_A_QUESTION])
            found += (yield from self._ask(root, *_UNTRACKED, *_NOT_IGNORED, "--", *some)) or b""
        return [os.fsdecode(path) for path in found.split(b"\0") if path]

    def _add(self, what: str, folder: Path, *arguments: str) -> Generator[None, None, None]:
        """Add to the diff what git says of something that is not in it."""
        if self.diff is None:
            return
        more = yield from self._ask(folder, *arguments)
        if more is None:
            self.problems["diff"] = f"in {what}: {self.problems['diff']}"
        elif len(self.diff) + len(more) > MOST_DIFF_BYTES:
            self.problems["diff"], more = _TOO_LARGE, None
        self.diff = None if more is None else self.diff + more

    def stop(self) -> None:
        """End git, if it is still running."""
        if self._command is not None:
            self._command.close()
            self._command = None

    def _ask(self, root: Path, *arguments: str) -> Generator[None, None, bytes | None]:
        self.stop()
        command = self._command = _Command(root, arguments)
        what = "diff" if self.state else "git"
        yield  # git works meanwhile
        while not command.is_done():
            if command.size > MOST_DIFF_BYTES:
                break
            yield
        if command.size > MOST_DIFF_BYTES:
            self.problems[what] = _TOO_LARGE
        elif command.problem:
            self.problems[what] = command.problem
        else:
            return command.output()
        return None


class _Command:
    """Git at work; what it says goes to a file, which holds any amount and blocks nobody."""

    def __init__(self, root: Path, arguments: tuple[str, ...]) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _OTHER_REPOSITORY}
        self._arguments = arguments
        self._output, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  until `close`
        try:
            self._process = subprocess.Popen(
                [*_GIT, *arguments],
                cwd=root,
                env=environment | _ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._errors,
                process_group=0 if os.name == "posix" else None,  # with what git starts itself, for a submodule say
            )
        except BaseException:
            self._close_files()
            raise

    @property
    def size(self) -> int:
        """How many bytes it has written."""
        return os.fstat(self._output.fileno()).st_size

    @property
    def problem(self) -> str:
        """What it said before it failed; empty where it did not fail."""
        if self._process.returncode == 0 or (self._process.returncode == 1 and "--no-index" in self._arguments):
            return ""
        self._errors.seek(0)
        said = self._errors.read(1000).decode(errors="replace").strip()
        return said.partition("\n")[0] or f"git ended with {self._process.returncode}"

    def is_done(self) -> bool:
        """Tell whether it has ended, after waiting for it a little.

        NOTE: Popen.wait looks ever more rarely, which makes 8 ms of 5.
        """
        until = time.monotonic() + _PATIENCE_SECS
        while self._process.poll() is None and time.monotonic() < until:
            time.sleep(_POLL_SECS)
        return self._process.returncode is not None

    def output(self) -> bytes:
        """Return what it wrote."""
        self._output.seek(0)
        return self._output.read()

    def close(self) -> None:
        """End it."""
        if self._process.poll() is None:
            if os.name == "posix":
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
            self._process.wait()
        self._close_files()

    def _close_files(self) -> None:
        self._output.close()
        self._errors.close()


_latest: Final[dict[tuple[object, ...], tuple[State, bytes | None]]] = {}
"""The last answer, by what it was made of: a sweep in one process asks for it many times, which takes 4 ms."""


def _inside(root: Path, files: Iterable[str]) -> list[Path]:
    """Return the files that lie in a folder: git fails over one that lies there only by a link or by `..`."""
    real = functools.cache(os.path.realpath)  # there are many files to a folder
    top = f"{real(root).rstrip(os.sep)}{os.sep}"
    places = (f"{real(folder)}{os.sep}{name}" for folder, _, name in (file.rpartition(os.sep) for file in files))
    return [root / place.removeprefix(top) for place in places if place.startswith(top)]


def _named(root: Path, files: Iterable[Path]) -> list[str]:
    return [file.relative_to(root).as_posix() for file in files]


def _copy_if_there(source: Path, target: Path) -> None:
    """Copy a file, unless it is gone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        shutil.copy(source, target)


def _changed_files(root: Path, status: bytes, code: Iterable[Path]) -> tuple[object, ...]:
    """Return what must be the same for a diff to be the same: what git says, and the times of changed files."""
    lines = [line for line in status.split(b"\0") if line]
    fields = [{b"1": 8, b"2": 9, b"u": 10}.get(line[:1], 0) for line in lines]  # those before the path
    paths = [root / os.fsdecode(line.split(b" ", count)[-1]) for line, count in zip(lines, fields, strict=True)]
    files = []
    for path in (*paths, *code):
        with contextlib.suppress(OSError):  # deleted, or no path
            found = path.stat()
            files.append((path, found.st_mtime_ns, found.st_size, found.st_ino))
    return (root, status, *files)


def _changed_submodules(status: bytes) -> dict[str, str]:
    """Return the paths of submodules whose files differ from their commits, and these."""
    lines = [line.split(b" ", 8) for line in status.split(b"\0") if line.startswith(b"1 ")]
    return {
        os.fsdecode(path): commit.decode()
        for _, _, kind, _, _, _, commit, _, path in lines
        if kind.startswith(b"S") and kind[1:3] != b".." and commit.strip(b"0")
    }


def _state(status: bytes) -> State:
    """Read the porcelain format, version 2, of git-status(1)."""
    lines = status.decode(errors="replace").split("\0")
    said = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    commit, branch = said.get("branch.oid"), said.get("branch.head")
    return State(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        dirty=any(line and not line.startswith("# ") for line in lines),
    )
