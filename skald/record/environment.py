"""What a run was made with, for `environment` in run.json: machine, process, code, packages.

It is gathered in steps. What is not known after a second is gathered by a thread while the run goes on, and what is
not known when the run closes is left out, with a word why.

Invariant: nothing here fails, and no secret is recorded: of variables only those of an allow-list are.
"""

from __future__ import annotations

import functools
import getpass
import math
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skald.background import Background
from skald.engine.claim import run_lock
from skald.errors import SkaldError
from skald.layout import ARTIFACTS, git_diff_name
from skald.notice import loguru_logger, tell
from skald.record.code import code_files, code_folder, script_file, working_folder
from skald.record.git import Question
from skald.record.info import RunInfo, read_info, write_info
from skald.record.masking import is_secret, masked, masked_command

if TYPE_CHECKING:
    from skald.record.artifacts import Artifacts

PATIENCE_SECS: Final = 1.0
LONGEST_ARGUMENT: Final = 1000
"""A longer one, such as a program given by `python -c`, is cut."""
ENTRIES_A_STEP: Final = 1000

_VARIABLES: Final = frozenset((
    "CUBLAS_WORKSPACE_CONFIG", "CUDA_DEVICE_ORDER", "CUDA_HOME", "CUDA_LAUNCH_BLOCKING", "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE", "NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK", "RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS", "OMP_PROC_BIND",
    "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM", "CONDA_DEFAULT_ENV", "CONDA_PREFIX", "VIRTUAL_ENV",
    "PYTHONHASHSEED", "PYTHONOPTIMIZE", "PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "TF_CONFIG",
    "TF_CPP_MIN_LOG_LEVEL", "TF_DETERMINISTIC_OPS", "TF_ENABLE_ONEDNN_OPTS", "TF_FORCE_GPU_ALLOW_GROWTH", "JOB_ID",
    "LSB_JOBID", "PBS_JOBID", "HOSTNAME", "TZ",
))  # fmt: skip
_PREFIXES: Final = (
    "JAX_", "NCCL_", "OMPI_COMM_WORLD_", "PMI_", "PYTORCH_", "SKALD_", "SLURM_", "TORCH_", "TORCHELASTIC_", "XLA_",
)  # fmt: skip
_PACKAGE: Final = re.compile(r"(.+?)-([^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info")
Warn = Callable[[str], None]

_known_packages: Final[dict[tuple[int, int, int], dict[str, str]]] = {}
"""Of folders that have not changed since they were looked at; with a million files in one that takes a second."""


class Gathering:
    """What is known of a process's environment so far."""

    def __init__(self) -> None:
        """Gather for a second at most, which is a hundred times what it usually takes."""
        self.facts: dict[str, Any] = {}
        self.diff: bytes | None = None
        self._question: Question | None = None
        self._thread = Background("skald-environment")
        self._steps: Iterator[None] | None = self._gather()
        if not self._go_on(time.monotonic() + PATIENCE_SECS):
            self.facts["missing"] = {
                name: f"took longer than {PATIENCE_SECS:.0f} s, and was not there when the run ended"
                for name in ("git", "packages")
                if name not in self.facts
            }

    def record_rest(self, run: Path, artifacts: Callable[[], Artifacts], warn: Warn) -> None:
        """Put into a run what its run.json does not hold yet: the diff, and what takes longer.

        Args:
            run: the run's folder, whose run.json has the `facts`.
            artifacts: returns where the diff goes.
            warn: says something to the user.
        """
        if self._steps is None:
            self._record_diff(artifacts, warn)
            return
        self._thread.start(partial(self._finish, run, artifacts, warn))

    def stop(self, timeout_secs: float = math.inf) -> None:
        """End what is still being gathered, and wait for that, or so long."""
        self._thread.stop()
        self._thread.join(timeout_secs)
        if self._question is not None:
            self._question.stop()
        self._steps = None

    def _finish(self, run: Path, artifacts: Callable[[], Artifacts], warn: Warn) -> None:
        try:
            if self._go_on(None):
                self._record_diff(artifacts, warn)
                with run_lock(run):
                    info = read_info(run)
                    info.environment = self.facts
                    write_info(run, info)
        except (OSError, SkaldError) as error:
            tell(f"the environment of {run.name!r} is not in its run.json: {error}")

    def _record_diff(self, artifacts: Callable[[], Artifacts], warn: Warn) -> None:
        problem = self.facts.get("missing", {}).get("diff")
        if self.diff:
            from skald.record.copying import content_of_bytes

            try:
                artifacts().put(git_diff_name(self.diff), {}, content_of_bytes(self.diff))
            except (OSError, SkaldError) as error:
                problem = error
        if problem:
            warn(f"the git diff is not kept with the run: {problem}")

    def _go_on(self, deadline: float | None) -> bool:
        """Gather until a time; tell whether all is there."""
        for _ in self._steps or ():
            if self._thread.is_stopping or (deadline is not None and time.monotonic() > deadline):
                return False
        self._steps = None
        return True

    def _gather(self) -> Iterator[None]:
        question = self._question = Question(code_folder(), code_files(), script_file())
        asking = question.steps()
        next(asking, None)  # git works while all else is looked at, and while what each run needs is loaded
        import asyncio  # noqa: F401  for loguru; 10 ms each

        next(asking, None)
        loguru_logger()
        next(asking, None)
        self.facts |= _process() | _machine()
        packages: dict[str, str] = {}
        for folder in dict.fromkeys(sys.path):
            packages = (yield from _packages_in(folder)) | packages  # Python takes the first of several
            yield
        self.facts["packages"] = dict(sorted(packages.items()))
        yield from asking
        self.diff = question.diff
        self.facts["git"] = question.state and question.state._asdict()
        if self.diff:
            self.facts["git"]["diff"] = f"{ARTIFACTS}/{git_diff_name(self.diff)}"
        self.facts.pop("missing", None)
        if question.problems:
            self.facts["missing"] = question.problems


def replace_environment(info: RunInfo, facts: Mapping[str, Any]) -> None:
    """Let a run have another environment; what was different before stays with the session that had it."""
    before, info.environment = info.environment, dict(facts)
    for session in info.sessions:
        if before and (session.host, session.pid) == (before["host"], before["pid"]):
            session.environment = {name: value for name, value in before.items() if facts.get(name) != value}


def _process() -> dict[str, Any]:
    """Return who runs what, and where."""
    return {
        "host": platform.node(),
        "user": _user(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "command": [_shortened(argument) for argument in masked_command(sys.orig_argv)],
        "cwd": working_folder(),
        "variables": _variables(),
    }


@functools.cache
def _machine() -> dict[str, Any]:
    """Return what the process runs on."""
    # NOTE: platform.platform() reads the interpreter's whole file to find the C library: 20 ms
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {}) else None
    system = platform.uname()
    return {
        "platform": "-".join(
            filter(None, [system.system, system.release, system.machine, (libc or "").replace(" ", "")])
        ),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "gpus": _gpu_names(),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container in which the user has no name
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def _shortened(argument: str) -> str:
    return argument if len(argument) <= LONGEST_ARGUMENT else f"{argument[:LONGEST_ARGUMENT]}…"


def _variables() -> dict[str, str]:
    """Return the variables that explain how a run went; SLURM_JWT, for one, is a secret all the same."""
    return {
        name: masked(value)
        for name, value in sorted(os.environ.items())
        if (name in _VARIABLES or name.startswith(_PREFIXES)) and not is_secret(name)
    }


def _packages_in(folder: str) -> Generator[None, None, dict[str, str]]:
    """Return the versions of the distributions in a folder of sys.path, by their normal names; in steps.

    The names of their folders tell both, so no file is read: half a millisecond, where importlib.metadata takes
    a second for five hundred. Beside a script may lie a million files of data.
    """
    found: dict[str, str] = {}
    try:
        facts = Path(folder).stat()
        key = facts.st_dev, facts.st_ino, facts.st_mtime_ns
        if key in _known_packages:
            return _known_packages[key]
        with os.scandir(folder or os.curdir) as entries:
            for number, entry in enumerate(entries, 1):
                if entry.name.endswith("-info") and (match := _PACKAGE.fullmatch(entry.name)):
                    found[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2]
                if not number % ENTRIES_A_STEP:
                    yield
        _known_packages[key] = found
    except OSError:  # a zip file, a folder that is not there
        pass
    return found


def _cpu_name() -> str:
    text = _text(Path("/proc/cpuinfo"), 4096)  # the first core: the kernel takes a while for all of a large machine
    match = re.search(r"(?m)^(?:model name|Model|cpu model)\s*: (.+)$", text)
    return match[1].strip() if match else platform.machine()


def _memory_bytes() -> int | None:
    names = getattr(os, "sysconf_names", {})
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in names else None


def _gpu_names(root: Path = Path("/")) -> list[str]:
    """Return the GPUs that the drivers of NVIDIA and AMD name in files: asking a library may take seconds."""
    found = []
    for path in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        found += re.findall(r"(?m)^Model:\s*(.+)$", _text(path))
    for path in sorted(root.glob("sys/class/drm/card*/device/product_name")):
        found.append(_text(path).strip())
    return list(filter(None, found))


def _text(path: Path, most: int = -1) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(most)
    except OSError:
        return ""
