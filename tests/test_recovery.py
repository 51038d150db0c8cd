"""Recovery: whatever a compaction dies of, nothing is lost and nothing is doubled."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from crashing import CrashServer
from handmade import row, segment, write_ids

from skald.engine.compaction import compact
from skald.engine.lock import FileLock
from skald.engine.reader import scan_metrics
from skald.layout import RUN_JSON, SEGMENTS, WRITER_LOCK

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it forks, and asks /proc for names")


@pytest.fixture(scope="module")
def server() -> Iterator[CrashServer]:
    """Return a process that compacts and dies as it is told."""
    with CrashServer() as server:
        yield server


def fresh(run: Path) -> None:
    """Write a run of two dead writers, with holes and an empty segment, that was never compacted."""
    write_ids(run, {"step": "int", "split": "str"})
    (run / RUN_JSON).touch()
    segment(run, "a", 0, [row("loss", k, k, step=k) for k in range(4)])
    segment(run, "a", 1, [row("loss", k, k, step=k) for k in range(4, 6)], sealed=False)
    segment(run, "b", 0, [row("accuracy", 10 + k, k + 0.5, split="val") for k in range(3)])
    segment(run, "c", 0, [], kinds={"step": "int"})


def resumed(run: Path) -> None:
    """Write a run that was compacted, then resumed by a writer that died."""
    fresh(run)
    compact(run)
    segment(run, "d", 0, [row("loss", 20 + k, 10 + k, step=k, lr=0.5) for k in range(3)])


def resumed_csv(run: Path) -> None:
    """Write the like with a csv file."""
    fresh(run)
    compact(run, metrics_format="csv")
    segment(run, "d", 0, [row("loss", 20 + k, 10 + k, step=k, lr=0.5) for k in range(3)])


def damaged(run: Path) -> None:
    """Write a run with a damaged segment between good ones."""
    fresh(run)
    segment(run, "a", 2, []).write_bytes(b"damaged")
    segment(run, "a", 3, [row("loss", 9, 9, step=9)])


def covered(run: Path) -> None:
    """Write a run whose segments are in the file, as a crash just after the commit leaves them."""
    fresh(run)
    shutil.copytree(run / SEGMENTS, run.parent / "kept")
    compact(run)
    shutil.copytree(run.parent / "kept", run / SEGMENTS)
    shutil.rmtree(run.parent / "kept")


def covered_and_more(run: Path) -> None:
    """Write the like, with a segment more that the file does not have."""
    covered(run)
    segment(run, "a", 4, [row("loss", 9, 9, step=9)])


SCENES: dict[str, tuple[Callable[[Path], None], dict[str, Any]]] = {
    "fresh": (fresh, {}),
    "fresh to csv": (fresh, {"metrics_format": "csv"}),
    "resumed": (resumed, {}),
    "resumed csv": (resumed_csv, {}),
    "parquet to csv": (resumed, {"metrics_format": "csv"}),
    "csv to parquet": (resumed_csv, {"metrics_format": "parquet"}),
    "damaged": (damaged, {}),
    "covered": (covered, {}),
    "covered and more": (covered_and_more, {}),
}


def table(run: Path) -> pl.DataFrame:
    """Return the run's table, metrics in order of their names."""
    return scan_metrics(run).collect().sort("metric", maintain_order=True)


@pytest.mark.filterwarnings("ignore:a damaged segment")
@pytest.mark.parametrize("scene", SCENES)
def test_run_is_whole_wherever_a_compaction_dies(scene: str, tmp_path: Path, server: CrashServer) -> None:
    """A death before any disk operation loses and doubles nothing, and the next compaction finishes the work."""
    write, options = SCENES[scene]
    original = tmp_path / "original" / "run"
    write(original)
    expected = table(original)
    lived, operations = False, 0

    while not lived:
        run = tmp_path / str(operations) / "run"
        shutil.copytree(original, run)
        lived, done = server.compact(run, die_at=operations, **options)
        assert table(run).equals(expected), f"died before {done[-1:]} and what follows"
        compact(run, **options)
        assert table(run).equals(expected), f"compacted again after a death behind {done[-1:]}"
        left = {path.name for path in run.iterdir()} - {RUN_JSON, SEGMENTS}
        assert left in ({"metrics.parquet"}, {"metrics.csv", "metrics.csv.json"}), "rubbish was removed"
        assert (run / SEGMENTS).exists() == (scene == "damaged")
        operations += 1

    assert operations > 20


def test_run_is_whole_when_two_compactions_die(tmp_path: Path, server: CrashServer) -> None:
    """A death on top of a death is no worse."""
    original = tmp_path / "original" / "run"
    resumed(original)
    expected = table(original)
    total = len(server.compact(shutil.copytree(original, tmp_path / "counted" / "run"))[1])

    for first in range(0, total, 4):
        for second in range(0, total, 3):
            run = tmp_path / f"{first}-{second}" / "run"
            shutil.copytree(original, run)
            server.compact(run, die_at=first)
            if (run / SEGMENTS).exists():
                server.compact(run, die_at=second)
            assert table(run).equals(expected), (first, second)

    assert total > 20


def first_removal(operations: list[list[str]]) -> int:
    """Return when the first segment was removed."""
    return next(at for at, (kind, path, *_) in enumerate(operations) if kind == "os.remove" and path.endswith(".arrow"))


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_segments_go_only_after_the_file_is_on_the_disk(format_: str, tmp_path: Path, server: CrashServer) -> None:
    """The file is synced, renamed, and its folder synced, before the first segment is removed."""
    run = tmp_path / "run"
    fresh(run)

    _, operations = server.compact(run, metrics_format=format_)

    target = str(run / f"metrics.{format_}")
    beside = next(source for kind, source, *rest in operations if kind == "os.rename" and rest == [target])
    steps = [
        operations.index(["fsync", beside]),
        operations.index(["os.rename", beside, target]),
        max(at for at, operation in enumerate(operations) if operation == ["fsync", str(run)]),
        first_removal(operations),
    ]
    assert steps == sorted(steps)


def test_leftover_segments_go_only_after_the_folder_is_on_the_disk(tmp_path: Path, server: CrashServer) -> None:
    """Who removes what another compaction covered does not trust that it lived to sync its rename."""
    run = tmp_path / "run"
    covered(run)

    _, operations = server.compact(run)

    first = next(
        at for at, (kind, path, *_) in enumerate(operations) if kind == "os.remove" and path.endswith(".arrow")
    )
    assert ["fsync", str(run)] in operations[:first]
    assert not [operation for operation in operations if operation[0] == "os.rename"], "no file is written anew"


COMPACTOR = """
import sys
from pathlib import Path
from skald.engine.compaction import compact
run = Path(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    compact(run, metrics_format=line.strip() or None)
    print("done", flush=True)
"""


@contextmanager
def compactor(run: Path) -> Iterator[Callable[[str], None]]:
    """Run a process that compacts whenever it is told to."""
    with subprocess.Popen(
        [sys.executable, "-c", COMPACTOR, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def order(format_: str) -> None:
            assert process.stdin is not None
            process.stdin.write(f"{format_}\n")
            process.stdin.flush()

        try:
            yield order
        finally:
            process.stdin.close()
            process.stdout.read()


def appear(source: Path, folder: Path) -> None:
    """Move a writer's folder into a run, whose `segments/` may be removed at that moment."""
    while True:
        folder.mkdir(exist_ok=True)
        try:
            source.rename(folder / source.name)
            return
        except FileNotFoundError:
            continue


@pytest.mark.parametrize("formats", [("parquet",), ("csv", "parquet")], ids=["parquet", "changing"])
def test_reader_never_sees_a_wrong_count_while_others_compact(tmp_path: Path, formats: tuple[str, ...]) -> None:
    """Rows are moved and segments removed under a reader's feet, and it sees each row once all the time."""
    run = tmp_path / "run"
    run.mkdir()
    (run / RUN_JSON).touch()
    rows = 0
    scans = 0
    deadline = time.monotonic() + 2
    with compactor(run) as order:
        kept = scan_metrics(run)
        kept.collect_schema()
        while time.monotonic() < deadline:
            prepared, writer = tmp_path / "prepared", f"w{rows}"
            for number in range(3):
                segment(prepared, writer, number, [row(f"m{k % 3}", rows + k, rows + k, step=k) for k in range(50)])
                rows += 50
            with FileLock(prepared / SEGMENTS / writer / WRITER_LOCK):  # it appears whole, as one that lives, and dies
                appear(prepared / SEGMENTS / writer, run / SEGMENTS)
            order(formats[rows // 150 % len(formats)])
            for _ in range(4):
                assert scan_metrics(run).select(pl.len()).collect().item() == rows
                assert kept.collect()["value"].n_unique() == rows
                scans += 2

    assert scans > 20
