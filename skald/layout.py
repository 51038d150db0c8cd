"""Every name on disk, and the version of the format: nothing else in Skald spells a file name.

RUN/
  run.json  params.yaml  console.log  artifacts/  artifacts.jsonl
  metrics.parquet                 or metrics.csv with metrics.csv.json
  rewound-N.parquet
  damaged/                        what was put aside, as it was found
  segments/                       while there is something not yet compacted
    run.lock  compaction.lock  ids.json
    WRITER/                       one folder per writer: lock, NNNNNN.arrow, the unfinished end of its console file,
                                  losses.json
"""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

from skald.errors import FormatVersionError, InvalidInputError

FORMAT_VERSION: Final = 1

RUN_JSON: Final = "run.json"
PARAMS: Final = "params.yaml"
CONSOLE: Final = "console.log"
ARTIFACTS: Final = "artifacts"
ARTIFACT_LIST: Final = "artifacts.jsonl"
_ARTIFACT_LISTS: Final = "artifacts.*jsonl"
PARQUET: Final = "metrics.parquet"
CSV: Final = "metrics.csv"
CSV_DESCRIPTION: Final = "metrics.csv.json"
SEGMENTS: Final = "segments"
DAMAGED: Final = "damaged"
RUN_LOCK: Final = "run.lock"
COMPACTION_LOCK: Final = "compaction.lock"
IDS: Final = "ids.json"
WRITER_LOCK: Final = "lock"
LOSSES: Final = "losses.json"

SYSTEM_LOCK_PREFIX: Final = "system-"

DEFAULT_DIR: Final = "runs"
TEMPORARY_PREFIX: Final = ".tmp-"

_CONSOLE: Final = re.compile(r"console(\.[\w-]+)?\.log")
_SEGMENT: Final = re.compile(r"(\d{6,})\.arrow")
_REWOUND: Final = re.compile(r"rewound-\d+\.parquet")
_WINDOWS_DEVICES: Final = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?")
MAX_NAME_BYTES: Final = 255


def segment_name(number: int) -> str:
    """Return the file name of a writer's segment."""
    return f"{number:06}.arrow"


def segment_number(name: str) -> int | None:
    """Return the number of the segment that has this file name, None for other files."""
    match = _SEGMENT.fullmatch(name)
    return int(match[1]) if match else None


def new_writer_name() -> str:
    """Return a name that no writer had before; names sort by the time of opening."""
    now = time.time_ns()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now // 10**9))
    return f"{stamp}-{now % 10**9:09}-{os.urandom(3).hex()}"


def temporary(path: Path) -> Path:
    """Return a name beside `path` under which its successor is written."""
    return path.with_name(f"{TEMPORARY_PREFIX}{os.urandom(4).hex()}-{_shortened(path.name)}")


def _shortened(name: str) -> str:
    """Return a name that has room for the rest of a temporary one."""
    encoded = os.fsencode(name)
    room = MAX_NAME_BYTES - len(f"{TEMPORARY_PREFIX}12345678-")
    if len(encoded) <= room:
        return name
    return f"{encoded[: room - 9].decode(errors='ignore')}-{zlib.crc32(encoded):08x}"


def mark_of(lock: Path) -> Path:
    """Return what stands beside a lock while it is held, for hosts that do not see it."""
    return lock.with_name(f"{lock.name}.held")


def temporary_for(name: str) -> str | None:
    """Return the name of the file whose successor is written under a temporary name, None for other names."""
    return name.removeprefix(TEMPORARY_PREFIX).partition("-")[2] if name.startswith(TEMPORARY_PREFIX) else None


def temporaries(path: Path) -> list[Path]:
    """Return what is left beside `path` of successors that were not finished, and of what they have replaced."""
    return temporaries_in(path.parent, {path.name})


def temporaries_in(folder: Path, names: Collection[str]) -> list[Path]:
    """Return what `temporaries` does of all that have these names in a folder."""
    found = folder.glob(f"{TEMPORARY_PREFIX}{'[0-9a-f]' * 8}-*")
    wanted = set(map(_shortened, names))
    return [path for path in found if temporary_for(path.name) in wanted]


def aside(run: Path, path: Path) -> Path:
    """Return where a damaged file of a run is put: under its name in the run, made unique."""
    target = run / DAMAGED / path.relative_to(run)
    others = (target.with_name(f"{target.stem}-{number}{target.suffix}") for number in itertools.count(2))
    return next(other for other in itertools.chain([target], others) if not os.path.lexists(other))


def rewound_name(number: int) -> str:
    """Return the file name of the rows that the `number`-th compacted rewind took back."""
    return f"rewound-{number}.parquet"


def is_rewound_name(name: str) -> bool:
    """Tell whether this is the file name of rows that were taken back."""
    return _REWOUND.fullmatch(name) is not None


def console_name(writer: str | None = None) -> str:
    """Return the console file of the run's first process (None), or of one that joined."""
    return CONSOLE if writer is None else f"console.{writer}.log"


def system_lock_name(host: str) -> str:
    """Return the file that the process of a host that logs the metrics of the machine has locked."""
    return f"{SYSTEM_LOCK_PREFIX}{re.sub(r'[^A-Za-z0-9.-]', '_', host)[:100]}"


def is_console_name(name: str) -> bool:
    """Tell whether a file is a console file, or, in a writer's folder, the unfinished end of one."""
    return _CONSOLE.fullmatch(name) is not None


def artifact_list_name(writer: str | None = None) -> str:
    """Return the list of what the run's first process (None), or one that joined, put into `artifacts/`."""
    return ARTIFACT_LIST if writer is None else f"artifacts.{writer}.jsonl"


def artifact_lists(run: Path) -> list[Path]:
    """Return the lists of artifacts of all writers."""
    return sorted(run.glob(_ARTIFACT_LISTS))


def git_diff_name(diff: bytes) -> str:
    """Return the name, among the artifacts, of what differs from a commit: the same for the same difference."""
    return f"git-{zlib.crc32(diff):08x}.diff"


def runs_dir(given: str | os.PathLike[str] | None) -> Path:
    """Return the absolute folder of runs: the one given, else $SKALD_DIR, else `runs`."""
    return absolute(given if given is not None else os.environ.get("SKALD_DIR") or DEFAULT_DIR, what="dir")


def absolute(path: str | os.PathLike[str], *, what: str) -> Path:
    """Return a path that a user gave as an absolute one, `~` being the home folder; `what` says what it is for."""
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidInputError(f"{what} must be a str or a path, got {type(path).__name__}: {path!r:.80}")
    if "\0" in os.fspath(path):
        raise InvalidInputError(f"{what} must not hold the character \\0, got {os.fspath(path)!r:.80}")
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111  a Path's raises where there is no home


def card_cache(key: str) -> Path:
    """Return the file in the user's cache folder that keeps what is known of a folder of runs.

    `$SKALD_CACHE_DIR` replaces the folder.
    """
    given = os.environ.get("SKALD_CACHE_DIR")
    if given:
        return Path(given, f"{key}.cards")
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "skald" / f"{key}.cards"


def default_run_name() -> str:
    """Return the local time as a run's name, `20261123-081500`."""
    return time.strftime("%Y%m%d-%H%M%S")


def is_run(path: Path) -> bool:
    """Tell whether a folder is a run."""
    return (path / RUN_JSON).is_file()


def check_run_name(name: object) -> str:
    """Return `name` if it can name a folder on every system, else raise InvalidInputError."""
    if not isinstance(name, str):
        raise InvalidInputError(f"a run's name must be a str, got {type(name).__name__}: {name!r}")
    problem = name_problem(name)
    if name == RUN_JSON:
        problem = f"must not be {RUN_JSON}, which tells runs from other folders"
    elif name.startswith(TEMPORARY_PREFIX):
        problem = f"must not begin with {TEMPORARY_PREFIX}, which tells what is not finished"
    if problem:
        error = InvalidInputError(f"a run's name {problem}, got {name!r}")
        error.add_note("hint: give the folder as dir=, and the name alone as run_name")
        raise error
    return name


def name_problem(name: str) -> str | None:
    """Return why a file or a folder cannot have this name on every system, None where it can."""
    if not name.strip():
        return "must not be empty"
    if "/" in name or "\\" in name or name in {".", ".."}:
        return "must not be a path"
    if any(char < " " or "\x7f" <= char <= "\x9f" for char in name):
        return "must not hold control characters"
    if set(name) & set('<>:"|?*') or name[-1] in ". " or name[0] == " " or _WINDOWS_DEVICES.fullmatch(name):
        return "must be one that Windows allows too"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "must be valid Unicode"
    return f"must be at most {MAX_NAME_BYTES} bytes of UTF-8" if size > MAX_NAME_BYTES else None


def check_format(version: object, where: Path | str) -> None:
    """Raise FormatVersionError if a file says that a newer Skald wrote it."""
    if isinstance(version, int) and version > FORMAT_VERSION:
        error = FormatVersionError(f"format version {version} is newer than {FORMAT_VERSION}, in {where}")
        error.add_note("hint: update with: pip install --upgrade skald")
        raise error
