"""A disk that is really full, and a folder that is really gone: a clear word, no crash, and nothing lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from logged import program, values

import skald
from skald.layout import SEGMENTS


def _mounted(folder: Path, *command: str) -> Iterator[Path]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a file system can be mounted by root only: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Mount a disk of 64 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "tmpfs":
        yield from _mounted(folder, "mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder))
    else:
        yield from _mounted(folder, "mount", "-o", "loop", str(_image(tmp_path, 64)), str(folder))


def _image(folder: Path, mebibytes: int) -> Path:
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(mebibytes << 20)
    made = subprocess.run(["mkfs.ext4", "-q", str(image)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no ext4 here: {made.stderr.strip()}")
    return image


FULL = """
import os, sys, skald
def ballast():
    descriptor = os.open("ballast", os.O_WRONLY | os.O_CREAT)
    for size in (1 << 20, 4096, 1):
        try:
            while os.write(descriptor, bytes(size)):
                pass
        except OSError:
            pass
    os.close(descriptor)
logger = skald.Logger("run", ".")
log = logger.log_metric
for step in range(1500):
    log("loss", step, step=step)
ballast()
for step in range(1500, 100_000):
    log("loss", step, step=step)
logger.log_metrics({f"new{k}": k for k in range(500)}, new_id="é")
logger.log_batch({"loss": range(100_000, 130_000)}, step=range(100_000, 130_000))
"""


def test_full_disk_loses_no_row_once_there_is_space(disk: Path) -> None:
    """Logging goes on in memory and says so; with space again all rows are there after close."""
    ended = program(f"{FULL}\nimport time\ntime.sleep(1.2)\nos.remove('ballast')\nlogger.close()", folder=disk)

    assert ended.returncode == 0, ended.stderr
    assert "rows wait in memory, the disk does not take them" in ended.stderr
    assert values(disk / "run") == list(range(130_000))
    assert skald.Run(disk / "run").metrics.collect().height == 130_500


def test_full_disk_at_close_keeps_what_was_logged_before(disk: Path) -> None:
    """StorageError, and the rows that the disk had taken are read back in order."""
    source = f"""{FULL}
import skald.engine.staged
skald.engine.staged.PATIENCE_SECS = 0.1
try:
    logger.close()
except skald.StorageError as error:
    print("refused", error, flush=True)
os._exit(0)
"""

    ended = program(source, folder=disk)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("refused")
    (disk / "ballast").unlink()
    found = values(disk / "run")
    assert len(found) >= 1500
    assert found == list(range(len(found)))
    skald.compact(disk / "run")
    assert values(disk / "run") == found


def test_full_disk_at_close_says_how_many_rows_wait_and_close_can_be_called_again(disk: Path) -> None:
    """Who makes room after the error, and closes again, has every row."""
    source = f"""
import skald.engine.staged
skald.engine.staged.PATIENCE_SECS = 0.0
{FULL}
try:
    logger.close()
except skald.StorageError as error:
    print("refused", error)
os.remove("ballast")
logger.close()
"""

    ended = program(source, folder=disk)

    assert ended.returncode == 0, ended.stderr
    assert "rows wait in memory" in ended.stdout
    assert skald.Run(disk / "run").status == "finished"
    assert values(disk / "run") == list(range(130_000))


def test_full_disk_is_read_without_harm(disk: Path) -> None:
    """A reader of a segment for which the disk has no space yet gets rows, and no SIGBUS."""
    source = f"{FULL}\nprint(logger.run.metrics.collect().height)\nsys.stdout.flush()\nos._exit(0)"

    ended = program(source, folder=disk)

    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) >= 1500


def test_full_disk_raises_when_the_waiting_memory_is_used_up(disk: Path) -> None:
    """A clear error at the call instead of a machine without memory; rows logged before are not lost."""
    source = f"""
import skald.engine.open_segments
skald.engine.open_segments.MOST_WAITING_BYTES = 1 << 24
{FULL}
try:
    for step in range(130_000, 10_000_000):
        log("loss", step, step=step)
except skald.StorageError as error:
    print(step, error)
    os.remove("ballast")
    logger.sync()
    log("loss", step, step=step)
"""

    ended = program(source, folder=disk)

    assert ended.returncode == 0, ended.stderr
    step, said = ended.stdout.split(" ", 1)
    assert "16 MiB wait in memory" in said
    table = skald.Run(disk / "run").metrics.collect()
    assert table.filter(metric="loss")["value"].to_list() == list(range(int(step) + 1))


@pytest.mark.parametrize("storage", ["mapped", "staged"])
def test_removed_folder_raises_and_kills_nobody(tmp_path: Path, storage: str) -> None:
    """StorageError from the next call that needs the disk, again and again, and close says it too."""
    source = """
import shutil, skald
logger = skald.Logger("run", ".")
logger.log_metric("loss", 0.0, step=0)
shutil.rmtree("run")
errors = set()
for step in range(3000):
    try:
        logger.log_metric("loss", 0.0, step=step, **({"new": step} if step % 1000 == 999 else {}))
    except skald.StorageError as error:
        errors.add(str(error).partition(":")[0])
print(errors)
try:
    logger.close()
except skald.StorageError as error:
    print("close", error)
"""

    ended = program(source, folder=tmp_path, SKALD_STORAGE=storage)

    assert ended.returncode == 0, ended.stderr
    assert "the run's folder is gone" in ended.stdout
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "run").exists()


def test_sync_puts_every_row_on_the_disk_itself(tmp_path: Path) -> None:
    """A copy of the raw disk, made without unmounting it, holds the rows of sealed and of active segments."""
    folder, image = tmp_path / "disk", _image(tmp_path, 64)
    folder.mkdir()
    for disk in _mounted(folder, "mount", "-o", "loop", str(image), str(folder)):
        source = """
import os, shutil, skald
logger = skald.Logger("run", "disk")
logger.sync()
for step in range(100_000):
    logger.log_metric("loss", step)
logger.sync()
shutil.copyfile("disk.img", "copy.img")
os._exit(0)
"""

        ended = program(source, folder=tmp_path)

        assert ended.returncode == 0, ended.stderr
        assert (disk / "run" / SEGMENTS).is_dir()
    after = tmp_path / "after"
    after.mkdir()
    for _ in _mounted(after, "mount", "-o", "loop", str(tmp_path / "copy.img"), str(after)):
        assert values(after / "run") == list(range(100_000))


def test_full_disk_refuses_no_new_id(disk: Path) -> None:
    """Other processes learn of it later: the training goes on."""
    source = f"""{FULL}
for number in range(20):
    logger.log_metric("late", number, **{{f"id{{number}}": number}})
os.remove("ballast")
logger.close()
"""

    ended = program(source, folder=disk)

    assert ended.returncode == 0, ended.stderr
    assert sorted(values(disk / "run", "late")) == list(range(20))
    shutil.rmtree(disk / "run")


LIMITED = """
import resource, sys, time, skald
import skald.engine.staged
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
limits = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
"""


LOG = "logger.log_metric('loss', 0.5)"
FILL = "limit(100)"


@pytest.mark.parametrize(("steps", "waits"), [((LOG, FILL), "the run's status"), ((FILL, LOG), "up to 1 rows")])
def test_full_disk_is_waited_for_once_at_close(tmp_path: Path, steps: tuple[str, str], waits: str) -> None:
    """Be it for rows or for the status; who closes again once there is room has a run that has finished."""
    source = f"""{LIMITED}
logger = skald.Logger("run", ".")
{"; ".join(steps)}
clock = [0.0]
time.monotonic, time.sleep = lambda: clock[0], lambda secs: clock.insert(0, clock[0] + secs)
for _ in range(2):
    try:
        logger.close()
    except skald.StorageError as error:
        print(clock[0], logger.run.status, error, *error.__notes__)
limit(limits)
logger.close()
print(logger.run.status)
"""

    ended = program(source, folder=tmp_path)

    first, second, last = ended.stdout.splitlines() or [ended.stderr] * 3
    assert first.startswith("10.0 running ")
    assert waits in first
    assert "hint: make room, then call close() again" in first
    assert second == first
    assert last == "finished"


def test_full_disk_that_gets_room_while_it_is_waited_for_ends_the_run(tmp_path: Path) -> None:
    """Nothing is raised, and that it waits is told."""
    source = f"""{LIMITED}
with skald.Logger("run", ".") as logger:
    limit(100)
    time.sleep = lambda secs: limit(limits)
print(logger.run.status)
"""

    ended = program(source, folder=tmp_path)

    assert ended.stdout == "finished\n", ended.stderr
    assert ended.stderr.count("skald: the end of the run waits for the disk: ") == 1


@pytest.mark.parametrize("room", ["True", "False"])
def test_full_disk_at_close_is_no_bad_end_of_the_run(tmp_path: Path, room: str) -> None:
    """If there is room when the interpreter ends it has finished; else the last word is what was lost."""
    source = f"""{LIMITED}
skald.engine.staged.PATIENCE_SECS = 0.0
sys.excepthook = lambda *_: limit(limits) if {room} else None
with skald.Logger("run", ".") as logger:
    limit(100)
    for _ in range(3):  # and the word that they are lost is the fourth
        print("line" * 100)
"""

    ended = program(source, folder=tmp_path)

    if room == "True":
        assert skald.Run(tmp_path / "run").status == "finished", ended.stderr
        assert "; 4 lines of the console lost" in ended.stderr
    else:
        assert skald.Run(tmp_path / "run").status == "crashed"
        assert "what waited in memory is lost, and of the console 4 lines: StorageError(" in ended.stderr
