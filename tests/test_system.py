"""System metrics: real psutil, real processes; of a GPU a stand-in for NVIDIA's library, as no machine here has one."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from logged import program, start

import skald
from skald.layout import SEGMENTS, SYSTEM_LOCK_PREFIX
from skald.writing.system import gpus
from skald.writing.system.container import Container
from skald.writing.system.machine import Machine, ProcessTree, Rate

MACHINE = {
    "cpu_percent", "memory_percent", "memory_gib", "disk_percent", "net_received_mib_per_s", "net_sent_mib_per_s",
}  # fmt: skip
PROCESS = {"process_cpu_percent", "process_memory_gib"}

NVML = """
import os

NVML_TEMPERATURE_GPU = 0
NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_GPU_IS_LOST = 3, 15


class NVMLError(Exception):
    pass


class NVMLError_NotSupported(NVMLError):
    pass


class NVMLError_LibraryNotFound(NVMLError):
    pass


class NVMLError_DriverNotLoaded(NVMLError):
    pass


class NVMLError_GpuIsLost(NVMLError):
    pass


class Utilization:
    gpu, memory = 25, 10


class Memory:
    total, used, free = 80 << 30, 20 << 30, 60 << 30


def nvmlInit():
    if os.environ.get("NVML") == "absent":
        raise NVMLError_LibraryNotFound()


def nvmlShutdown():
    print("shut down", flush=True)


def nvmlDeviceGetCount():
    return 2


def nvmlDeviceGetHandleByIndex(index):
    return index


def nvmlDeviceGetUtilizationRates(handle):
    if handle == 1:
        raise NVMLError_NotSupported()
    return Utilization


def nvmlDeviceGetMemoryInfo(handle, version=None):
    return Memory


def nvmlDeviceGetPowerUsage(handle):
    if os.environ.get("NVML") == "lost" and handle == 0:
        raise NVMLError_GpuIsLost("GPU is lost")
    return 350500


def nvmlDeviceGetTemperature(handle, sensor):
    return 61
"""


@pytest.fixture(name="nvml")
def write_nvml(tmp_path: Path) -> str:
    """Write a stand-in for pynvml, and return the PYTHONPATH on which it comes first."""
    folder = tmp_path / "nvml"
    folder.mkdir()
    (folder / "pynvml.py").write_text(NVML, encoding="utf-8")
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def system_rows(run: Path) -> list[dict[str, Any]]:
    """Return the rows of system metrics, without their prefix and without ids that they lack."""
    frame = skald.Run(run).metrics.filter(pl.col("metric").str.starts_with("system/")).drop("time").collect()
    rows = [{name: value for name, value in row.items() if value is not None} for row in frame.rows(named=True)]
    return [row | {"metric": row["metric"].removeprefix("system/")} for row in rows]


def names(rows: list[dict[str, Any]]) -> set[str]:
    """Return the metrics of rows."""
    return {row["metric"] for row in rows}


def wait_for(condition: Callable[[], object], secs: float = 30) -> None:
    """Wait until something holds."""
    until = time.monotonic() + secs
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def our_threads() -> list[str]:
    """Return the names of Skald's threads."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("skald")]


# --- what is logged ---


def test_system_metrics_are_of_the_machine_and_of_the_process(tmp_path: Path) -> None:
    """CPU, memory, disk and network, as ordinary metrics; also in a run that is over at once."""
    with skald.Logger("run", tmp_path, system=True):
        time.sleep(0.05)  # a clock of hundredths must move for the CPU to be told

    rows = system_rows(tmp_path / "run")

    assert names(rows) >= MACHINE | PROCESS
    values = {row["metric"]: row["value"] for row in rows}
    assert 0 <= values["cpu_percent"] <= 100
    assert 0 < values["memory_percent"] <= 100
    assert 0 < values["memory_gib"] <= psutil.virtual_memory().total / 2**30
    assert values["process_memory_gib"] >= 0.02


def test_system_metrics_come_as_often_as_asked(tmp_path: Path) -> None:
    """Asking again changes how often, and there is one thread all the time."""
    with skald.Logger("run", tmp_path, system=True) as logger:
        logger.log_system(every=0.05)
        wait_for(lambda: our_threads() == ["skald-system"])
        wait_for(lambda: [row["metric"] for row in system_rows(tmp_path / "run")].count("memory_gib") >= 5)

    assert our_threads() == []


def test_system_metrics_have_the_constant_ids_and_no_others(tmp_path: Path) -> None:
    """What a loop sets says nothing of the machine."""
    with skald.Logger("run", tmp_path, ids={"rank": 3, "split": None}) as logger:
        logger.set_ids(step=1)
        bound = logger.bind(task="a")
        with logger.contextualize(fold=2):
            bound.log_system(every=0.02)
            for _ in logger.track(range(2), "epoch"):
                logger.log_metric("loss", 0.5)
                wait_for(lambda: len(system_rows(tmp_path / "run")) > 20)

    ids = [set(row) - {"metric", "value"} for row in system_rows(tmp_path / "run")]
    assert ids
    assert all(found == {"rank"} for found in ids)


def test_system_metrics_leave_the_log_functions_as_they_are(tmp_path: Path) -> None:
    """The code generated for a loop's calls stays, so they cost what they did."""
    with skald.Logger("run", tmp_path) as logger:
        for step in range(10):
            logger.log_metric("loss", 0.5, step=step)
        before = logger.log_metric.__code__

        logger.log_system(every=0.02)
        wait_for(lambda: len(system_rows(tmp_path / "run")) > 20)
        logger.log_metric("loss", 0.5, step=10)

        assert logger.log_metric.__code__ is before


@pytest.mark.parametrize("every", [0, -1, float("nan"), float("inf"), "5", None, True])
def test_system_metrics_are_refused_at_no_rate(every: Any, tmp_path: Path) -> None:
    """A clear error at the call."""
    with skald.Logger("run", tmp_path) as logger, pytest.raises(skald.InvalidInputError, match="number of seconds"):
        logger.log_system(every=every)


def test_system_metrics_of_a_closed_logger_are_an_error(tmp_path: Path) -> None:
    """As every call after `close`."""
    logger = skald.Logger("run", tmp_path)
    logger.close()

    with pytest.raises(skald.LoggerClosedError):
        logger.log_system()


def test_system_metrics_of_a_disabled_logger_are_nothing(tmp_path: Path) -> None:
    """No thread, and the input is checked."""
    with skald.Logger("run", tmp_path, mode="disabled", system=True) as logger:
        logger.log_system(every=1)
        with pytest.raises(skald.InvalidInputError):
            logger.log_system(every=0)

        assert our_threads() == []


# --- the thread ---


def test_system_thread_ends_with_the_run(tmp_path: Path) -> None:
    """Closing ends it, whatever it is waiting for."""
    logger = skald.Logger("run", tmp_path, system=True)
    logger.log_system(every=3600)
    began = time.monotonic()

    logger.close()

    assert our_threads() == []
    assert time.monotonic() - began < 30
    assert not (tmp_path / "run" / SEGMENTS).exists()


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "1 / 0"])
def test_system_thread_ends_with_the_interpreter(end: str, tmp_path: Path) -> None:
    """A script that closes nothing ends without a word of it."""
    done = program(f"import skald\nlogger = skald.Logger('run', '.', system=True)\n{end}", folder=tmp_path)

    said = [line for line in done.stderr.splitlines() if "skald:" in line]
    assert len(said) == 1
    assert ("failed" if end == "1 / 0" else "finished") in said[0]
    assert skald.Run(tmp_path / "run").status != "crashed"
    assert names(system_rows(tmp_path / "run")) >= {"memory_gib"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_system_thread_does_not_go_along_to_a_forked_child(tmp_path: Path) -> None:
    """A worker logs its metrics, and nothing of the machine."""
    source = """
import multiprocessing, threading
import skald

def work(logger):
    logger.log_metric("child", 1.0)
    assert logger._session._system is None  # its locks may have been held as the process was forked
    print([thread.name for thread in threading.enumerate() if "skald" in thread.name])

if __name__ == "__main__":
    with skald.Logger("run", ".", system=True) as logger:
        child = multiprocessing.get_context("fork").Process(target=work, args=(logger,))
        child.start()
        child.join()
        print(child.exitcode)
"""
    done = program(source, folder=tmp_path)

    assert done.stdout.split("\n")[:2] == ["[]", "0"], done.stderr
    assert [row["metric"] for row in system_rows(tmp_path / "run")].count("memory_gib") == 1


def test_system_thread_is_not_left_by_a_constructor_that_fails(tmp_path: Path) -> None:
    """A run that cannot be made has no thread."""
    skald.Logger("run", tmp_path).close()

    with pytest.raises(skald.RunExistsError):
        skald.Logger("run", tmp_path, system=True)

    assert our_threads() == []


# --- several processes of a host ---

RANK = """
import sys
import skald

with skald.Logger("run", sys.argv[1], mode="join", ids={"rank": int(sys.argv[2])}) as logger:
    logger.log_system(every=0.05)
    print("open", flush=True)
    sys.stdin.readline()
"""


def test_system_metrics_of_the_machine_come_from_one_process_of_a_host(tmp_path: Path) -> None:
    """Each rank logs itself, one of them the machine; when that is killed another one takes over."""
    run = tmp_path / "run"

    def ranks(metric: str) -> set[int]:
        return {row["rank"] for row in system_rows(run) if row["metric"] == metric}

    with start(RANK, tmp_path, 0, folder=tmp_path) as first:
        assert first.stdout is not None
        first.stdout.readline()
        wait_for(lambda: ranks("memory_gib") == {0})
        with start(RANK, tmp_path, 1, folder=tmp_path) as second:
            wait_for(lambda: ranks("process_memory_gib") == {0, 1})
            alone = ranks("memory_gib")
            first.kill()
            first.wait()
            wait_for(lambda: ranks("memory_gib") == {0, 1})
            second.communicate("\n", timeout=60)

    assert alone == {0}
    skald.compact(run)
    assert not (run / SEGMENTS).exists()


def test_system_lock_of_a_killed_process_is_cleared_away(tmp_path: Path) -> None:
    """Compaction leaves nothing in `segments/`."""
    with start(RANK, tmp_path, 0, folder=tmp_path) as process:
        wait_for(lambda: list(tmp_path.glob(f"run/{SEGMENTS}/{SYSTEM_LOCK_PREFIX}*")))
        process.kill()

    skald.compact(tmp_path / "run")

    assert not (tmp_path / "run" / SEGMENTS).exists()


# --- GPUs ---

WITH_GPUS = """
import skald

with skald.Logger("run", ".", ids={"rank": 0}) as logger:
    logger.log_system(every=0.02)
    while len(logger.run.metric_names) < 8:
        pass
"""


def test_system_metrics_of_gpus_have_their_numbers(nvml: str, tmp_path: Path) -> None:
    """Each GPU is a series, and what one cannot tell is left out without a word."""
    done = program(WITH_GPUS, folder=tmp_path, PYTHONPATH=nvml)

    rows = {(row["metric"], row["gpu"]): row["value"] for row in system_rows(tmp_path / "run") if "gpu" in row}
    assert rows == {
        ("gpu_percent", "0"): 25,
        **{("gpu_memory_percent", number): 25 for number in "01"},
        **{("gpu_memory_gib", number): 20 for number in "01"},
        **{("gpu_power_watts", number): 350.5 for number in "01"},
        **{("gpu_temperature_celsius", number): 61 for number in "01"},
    }
    assert done.stdout == "shut down\n"
    assert "incomplete" not in done.stderr
    assert all(row["rank"] == 0 for row in system_rows(tmp_path / "run"))


def test_system_metrics_go_on_when_a_gpu_fails(nvml: str, tmp_path: Path) -> None:
    """The training sees nothing of it but one warning; the other metrics are logged, and those of other GPUs."""
    done = program(WITH_GPUS, folder=tmp_path, PYTHONPATH=nvml, NVML="lost")

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("system metrics are incomplete (GPU 0): NVMLError_GpuIsLost: GPU is lost") == 1
    rows = system_rows(tmp_path / "run")
    assert names(rows) >= MACHINE | PROCESS
    assert {row["gpu"] for row in rows if "gpu" in row} == {"1"}


def test_system_metrics_have_no_gpus_where_there_is_no_driver(nvml: str, tmp_path: Path) -> None:
    """The library without a driver is nothing to talk of."""
    done = program(WITH_GPUS, folder=tmp_path, PYTHONPATH=nvml, NVML="absent")

    assert "incomplete" not in done.stderr
    assert not [row for row in system_rows(tmp_path / "run") if "gpu" in row]


def test_system_metrics_name_the_package_that_gpus_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a driver and no library a warning says what to install."""
    (tmp_path / "version").touch()
    monkeypatch.setattr(gpus, "DRIVER", tmp_path / "version")
    monkeypatch.setitem(sys.modules, "pynvml", None)

    with pytest.raises(gpus.MissingLibraryError, match=r"pip install 'skald\[gpu\]'"):
        gpus.Gpus().open()


def test_stand_in_for_nvml_is_like_the_real_one() -> None:
    """What the stand-in has, NVIDIA's module has too, and it is called in the same way."""
    real = pytest.importorskip("pynvml")
    stand_in: dict[str, Any] = {}
    exec(NVML, stand_in)  # noqa: S102  the source stands above

    for name in (name for name in stand_in if name.lower().startswith("nvml")):
        ours, theirs = stand_in[name], getattr(real, name)
        if inspect.isfunction(ours):
            assert len(inspect.signature(ours).parameters) == len(inspect.signature(theirs).parameters), name
        elif inspect.isclass(ours):
            assert issubclass(theirs, real.NVMLError)
        else:
            assert ours == theirs


# --- readings ---


def group(root: Path, path: str, **files: str) -> None:
    """Make a control group; `memory_max="1"` is its file memory.max."""
    folder = root / "sys" / "fs" / "cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text, encoding="utf-8")


@pytest.fixture(name="root")
def make_root(tmp_path: Path) -> Path:
    """Return a file system in which this process is in the group `job/step`."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/job/step\n", encoding="utf-8")
    return tmp_path


def test_container_has_the_tightest_limit_above_the_process(root: Path) -> None:
    """Memory is that of the group with the limit, without caches that can be dropped."""
    group(
        root, "job", memory_max="4294967296\n", memory_current="3221225472\n", memory_stat="inactive_file 1073741824\n"
    )
    group(root, "job", cpu_max="200000 100000\n", cpu_stat="usage_usec 5000000\nuser_usec 1\n")
    group(root, "job/step", memory_max="max\n", cpu_max="max 100000\n")

    assert Container(root).memory() == (2 << 30, 4 << 30)
    assert Container(root).cpu() == (5.0, 2.0)


def test_container_without_limits_has_none(root: Path, tmp_path: Path) -> None:
    """Neither where the groups set none, nor where there are no groups at all."""
    group(root, "job/step", memory_max="max\n", cpu_max="max 100000\n")

    assert Container(root).memory() is None
    assert Container(root).cpu() is None
    assert Container(tmp_path / "nowhere").memory() is None


def test_machine_is_what_the_container_allows(root: Path) -> None:
    """A job that has used up its share is at 100 %, however large the machine is."""
    group(root, "job", memory_max="1073741824\n", memory_current="805306368\n")
    group(root, "job", cpu_max="200000 100000\n", cpu_stat="usage_usec 0\n")
    machine = Machine(None, Container(root))
    machine.cpu()
    began = time.monotonic()
    group(root, "job", cpu_stat="usage_usec 1000000\n")
    time.sleep(0.02)
    found = machine.cpu()["cpu_percent"]

    assert machine.memory() == {"memory_percent": 75.0, "memory_gib": 0.75}
    assert 100 / 2 / (time.monotonic() - began) * 0.9 <= found <= 100 / 2 / 0.02


def test_rate_of_a_counter_that_went_back_is_zero() -> None:
    """A network card that went and came begins anew."""
    rate = Rate()

    assert rate.of(bytes=100) == {}
    assert rate.of(bytes=40) == {"bytes": 0.0}
    assert rate.of(bytes=50)["bytes"] > 0


def test_process_tree_has_the_memory_and_the_work_of_children() -> None:
    """The workers of a data loader belong to the training."""
    source = "data = b'x' * (300 << 20)\nprint(flush=True)\nwhile True: pass"
    tree = ProcessTree()
    before = tree.read()["process_memory_gib"]

    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        during = tree.read()
        wait_for(lambda: tree.read()["process_cpu_percent"] > 0)
        child.kill()

    assert during["process_memory_gib"] - before > 0.28
    assert tree.read()["process_memory_gib"] < before + 0.2


def test_process_tree_counts_on_when_a_child_ends() -> None:
    """What ended between two readings is no error, and no negative work."""
    tree = ProcessTree()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        tree.read()
        child.communicate(b"\n")

    assert tree.read()["process_cpu_percent"] >= 0


def test_process_tree_leaves_out_children_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system does not tell of a child, as of one that `sudo` has started, hides nothing of the others."""
    system: Any = psutil._psplatform  # type: ignore[attr-defined]  # psutil's own door to the system
    tell = system.Process.memory_info

    def memory_info(process: psutil.Process) -> Any:
        if process.pid != os.getpid():
            raise psutil.AccessDenied(process.pid)
        return tell(process)

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        monkeypatch.setattr(system.Process, "memory_info", memory_info)
        found = ProcessTree().read()
        child.communicate(b"\n")

    assert found["process_memory_gib"] > 0


def test_machine_tells_how_full_the_disk_is_where_its_traffic_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox without /proc/diskstats: the word of it comes once, and all else is logged."""

    def disk_io_counters() -> None:
        raise NotImplementedError("disk_io_counters() is not there")

    monkeypatch.setattr(psutil, "disk_io_counters", disk_io_counters)
    with skald.Logger("run", tmp_path, system=True) as logger:
        pass

    assert "system/disk_percent" in logger.run.metric_names
    assert logger.run.console.count("system metrics are incomplete (disk traffic)") == 1


def test_system_metrics_are_logged_in_a_spawned_process_too(tmp_path: Path) -> None:
    """A process of multiprocessing that makes a logger has its own thread, which ends with it."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=log_and_end, args=(tmp_path,))
    process.start()
    process.join(60)

    assert process.exitcode == 0
    assert names(system_rows(tmp_path / "run")) >= PROCESS


def log_and_end(folder: Path) -> None:
    """Log in another process."""
    with skald.Logger("run", folder, system=True):
        time.sleep(0.02)
