"""Rewinds and deaths: whatever a rewind, or the compaction after it, dies of, nothing is lost or doubled."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from crashing import CrashServer
from handmade import row, segment, write_ids

from skald.engine.compaction import compact
from skald.engine.lock import FileLock
from skald.engine.reader import metric_names, scan_metrics, scan_rewound
from skald.engine.takeback import Scope, take_back
from skald.layout import RUN_JSON, SEGMENTS, WRITER_LOCK, temporary_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it forks, and asks /proc for names")

ENDED = ("a", "b", "d")


@pytest.fixture(scope="module")
def server() -> Iterator[CrashServer]:
    """Return a process that rewinds, compacts and dies as it is told."""
    with CrashServer() as server:
        yield server


def crashed(run: Path) -> None:
    """Write a run of two dead writers, one with rows that lack a step."""
    write_ids(run, {"step": "int", "split": "str"})
    (run / RUN_JSON).write_text('{"name": "run"}')
    segment(run, "a", 0, [row("loss", k, k, step=k) for k in range(4)])
    segment(run, "a", 1, [row("loss", k, k, step=k) for k in range(4, 6)], sealed=False)
    segment(run, "b", 0, [row("accuracy", 10 + k, k + 0.5, split="val") for k in range(5)])


def resumed(run: Path) -> None:
    """Write a run that was compacted, then resumed by a writer that died."""
    crashed(run)
    compact(run)
    segment(run, "d", 0, [row("loss", 20 + k, 10 + k, step=2 + k, lr=0.5) for k in range(3)])


def resumed_csv(run: Path) -> None:
    """Write the like with a csv file."""
    crashed(run)
    compact(run, metrics_format="csv")
    segment(run, "d", 0, [row("loss", 20 + k, 10 + k, step=2 + k, lr=0.5) for k in range(3)])


def back(run: Path, step: int, *, number: int = 0) -> None:
    """Rewind to a step, and log a row after it."""
    take_back(run, (("step", step),), Scope("z", number, ENDED))
    segment(run, "z", number, [row("loss", 100 + number, 30 + number, step=step + 1)])


def twice(run: Path) -> None:
    """Write a run that was rewound and compacted, resumed, and rewound twice more, further back each time."""
    crashed(run)
    back(run, 4)
    compact(run)
    segment(run, "d", 0, [row("loss", 20 + k, 50 + k, step=5 + k) for k in range(3)])
    take_back(run, (("step", 6),), Scope("y", 0, ENDED))
    segment(run, "y", 0, [row("loss", 70, 70, step=7)])
    take_back(run, (("step", 1),), Scope("y", 1, ENDED))


def damaged(run: Path) -> None:
    """Write a rewound run of which a segment cannot be read now."""
    crashed(run)
    back(run, 2)
    segment(run, "a", 2, []).write_bytes(b"damaged")


def rewound(write: Callable[[Path], None], step: int) -> Callable[[Path], None]:
    """Return how to write a run that was rewound."""

    def write_and_rewind(run: Path) -> None:
        write(run)
        back(run, step)

    return write_and_rewind


SCENES: dict[str, tuple[Callable[[Path], None], dict[str, Any]]] = {
    "crashed": (rewound(crashed, 2), {}),
    "resumed csv": (rewound(resumed_csv, 3), {}),
    "all of the file": (rewound(resumed, -1), {}),
    "twice": (twice, {}),
    "damaged": (damaged, {}),
}


def state(run: Path) -> list[Any]:
    """Return all that a reader sees of a run."""
    tables = [scan(run).collect().sort("metric", "time") for scan in (scan_metrics, scan_rewound)]
    return [*(table.rows() for table in tables), tables[0].columns, sorted(metric_names(run))]


@pytest.mark.filterwarnings("ignore:a damaged segment")
@pytest.mark.parametrize("scene", SCENES)
def test_rewind_holds_wherever_a_compaction_dies(scene: str, tmp_path: Path, server: CrashServer) -> None:
    """A death before any disk operation changes nothing of what counts, and the next compaction finishes the work."""
    write, options = SCENES[scene]
    original = tmp_path / "original" / "run"
    write(original)
    expected = state(original)
    assert expected[0]
    assert expected[1]
    lived, operations = False, 0

    while not lived:
        run = tmp_path / str(operations) / "run"
        shutil.copytree(original, run)
        lived, done = server.compact(run, die_at=operations, **options)
        assert state(run) == expected, f"died before {done[-1:]} and what follows"
        compact(run, **options)
        assert state(run) == expected, f"compacted again after a death behind {done[-1:]}"
        left = {path.name for path in run.iterdir() if temporary_for(path.name) != RUN_JSON} - {RUN_JSON, SEGMENTS}
        backs = {f"rewound-{number}.parquet" for number in range(1, 3 if scene == "twice" else 2)}
        assert left - backs in ({"metrics.parquet"}, {"metrics.csv", "metrics.csv.json"}), "rubbish was removed"
        assert backs <= left
        standing = json.loads((run / RUN_JSON).read_text())["rewinds"]["standing"]
        assert bool(standing) == (run / SEGMENTS).exists() == (scene == "damaged")
        operations += 1

    assert operations > 20


@pytest.mark.parametrize("write", [crashed, resumed_csv])
def test_rewind_is_there_or_not_wherever_it_dies(
    write: Callable[[Path], None], tmp_path: Path, server: CrashServer
) -> None:
    """A rewind is one step: killed on its way it has taken back nothing, and can be done again."""
    original = tmp_path / "original" / "run"
    write(original)
    before = state(original)
    take_back(shutil.copytree(original, tmp_path / "done" / "run"), (("step", 3),), Scope("z", 0, ENDED))
    after = state(tmp_path / "done" / "run")
    lived, operations, seen = False, 0, set[bool]()

    while not lived:
        run = shutil.copytree(original, tmp_path / str(operations) / "run")
        options = {"ids": [["step", 3]], "writer": "z", "stop": 0, "ended": list(ENDED)}
        lived, done = server.rewind(run, die_at=operations, **options)
        assert state(run) in (before, after), f"died before {done[-1:]} and what follows"
        seen.add(state(run) == after)
        take_back(run, (("step", 3),), Scope("z", 0, ENDED))
        assert state(run) == after
        compact(run)
        assert state(run)[:2] == after[:2]
        operations += 1

    assert seen == {False, True}
    assert operations > 5


@pytest.mark.parametrize("write", [crashed, resumed])
def test_rewind_during_a_compaction_holds(write: Callable[[Path], None], tmp_path: Path) -> None:
    """What a compaction has read before a rewind came is judged by it all the same, and its new rows stay."""
    run = tmp_path / "run"
    write(run)
    expected_run = shutil.copytree(run, tmp_path / "expected" / "run")
    back(expected_run, 2)
    expected = state(expected_run)

    compact(run, progress=lambda *_: _back_once(run))

    assert state(run) == expected
    compact(run)
    assert state(run) == expected
    assert pl.read_parquet(run / "metrics.parquet").height == len(expected[0])


def _back_once(run: Path) -> None:
    if not (run / SEGMENTS / "z").exists():
        with FileLock(_folder(run / SEGMENTS / "z") / WRITER_LOCK):
            back(run, 2)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_segment_repaired_after_a_rewind_is_taken_back_too(tmp_path: Path) -> None:
    """A rewind stands until each segment that it concerns is compacted, also one that could not be read for a while."""
    run = tmp_path / "run"
    crashed(run)
    broken = run / SEGMENTS / "a" / "000001.arrow"
    content = broken.read_bytes()
    broken.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="damaged"):
        back(run, 2)
    with pytest.warns(UserWarning, match="damaged"):
        compact(run)
    broken.write_bytes(content)

    live = state(run)
    compact(run)

    assert state(run) == live
    assert [found[2] for found in live[0] if found[0] == "loss"] == [None] * 4
    assert not (run / SEGMENTS).exists()
    assert json.loads((run / RUN_JSON).read_text())["rewinds"] == {"made": 1, "standing": []}


def test_missing_rewound_file_is_told(tmp_path: Path) -> None:
    """Who removes the rows taken back still has the others, and is told."""
    run = tmp_path / "run"
    crashed(run)
    back(run, 2)
    compact(run)
    (run / "rewound-1.parquet").unlink()

    assert scan_metrics(run).collect().height == 7
    with pytest.warns(UserWarning, match=r"rewound-1\.parquet is gone"):
        assert scan_rewound(run).collect().is_empty()


def test_rewound_file_that_no_metrics_file_names_is_removed(tmp_path: Path) -> None:
    """A compaction that died before its commit left it: its rows are still elsewhere."""
    run = tmp_path / "run"
    crashed(run)
    (run / "rewound-7.parquet").touch()

    compact(run)

    assert not (run / "rewound-7.parquet").exists()


def test_rewind_holds_when_run_json_was_made_up_anew(tmp_path: Path) -> None:
    """The metrics file knows how many rewinds it reflects: the next one is a later one."""
    run = tmp_path / "run"
    crashed(run)
    back(run, 3)
    compact(run)
    (run / RUN_JSON).write_text("{}")
    (run / SEGMENTS).mkdir()

    take_back(run, (("step", 1),), Scope("y", 0, ENDED))

    steps = [found[1] for found in state(run)[0] if found[0] == "loss"]
    assert steps == [0, 1]
