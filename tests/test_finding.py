"""Which runs a source means, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import skald
from skald.errors import InvalidInputError, RunNotFoundError
from skald.many.finding import find_runs


@pytest.fixture(name="runs")
def folder_of_runs(tmp_path: Path) -> Path:
    """Return a folder with runs at several depths, beside folders of other tools."""
    runs = tmp_path / "runs"
    for place, name in (("lr=0.1", "seed0"), ("lr=0.1", "seed1"), ("lr=0.2", "seed0"), (".", "top")):
        skald.Logger(name, runs / place).close()
    for foreign in ("detect/train/weights", "Nov23_host/version_0", "lr=0.1/seed0/artifacts/copied"):
        (runs / foreign).mkdir(parents=True)
    (runs / "lr=0.1" / "seed0" / "artifacts" / "copied" / "run.json").touch()
    (runs / "Nov23_host" / "version_0" / "events.out.tfevents.1").touch()
    return runs


def names(source: Any) -> list[str]:
    """Return the names of the runs that a source means."""
    return [run.name for run in find_runs(source)]


def test_folder_is_searched_down_to_its_runs(runs: Path) -> None:
    """Runs are found at every depth and named by their path; what is inside a run, and other folders, are no runs."""
    assert names(runs) == ["lr=0.1/seed0", "lr=0.1/seed1", "lr=0.2/seed0", "top"]
    assert names(str(runs) + os.sep) == names(runs)


def test_folder_relative_to_the_working_directory_gives_the_same_names(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name does not depend on how the folder was written."""
    monkeypatch.chdir(runs.parent)

    assert names("runs") == names("./runs/../runs") == names(runs)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["lr=0.1"], ["seed0", "seed1"]),
        (["lr=*"], ["lr=0.1/seed0", "lr=0.1/seed1", "lr=0.2/seed0"]),
        (["lr=*/seed0"], ["lr=0.1/seed0", "lr=0.2/seed0"]),
        (["**/seed1"], ["seed1"]),
        (["lr=0.1/seed0"], ["seed0"]),
    ],
)
def test_source_may_be_a_run_or_a_glob(patterns: list[str], expected: list[str], runs: Path) -> None:
    """Runs of a glob are named from the deepest folder that is common to all."""
    assert names(str(runs / patterns[0])) == expected


def test_source_may_be_several_paths_and_runs(runs: Path) -> None:
    """Paths, globs and Runs mix; a run that is meant twice is found once."""
    one = skald.Run(runs / "lr=0.1" / "seed0")

    assert names([one, runs / "lr=0.1", str(runs / "*0.2")]) == ["lr=0.1/seed0", "lr=0.1/seed1", "lr=0.2/seed0"]
    assert names(one) == names([one.path]) == ["seed0"]
    assert names(iter([])) == []


def test_folder_whose_name_looks_like_a_glob_is_a_folder(tmp_path: Path) -> None:
    """What exists is taken as it is."""
    skald.Logger("run", tmp_path / "sweep[1]").close()

    assert names(str(tmp_path / "sweep[1]")) == ["run"]


def test_folder_without_runs_has_none(tmp_path: Path) -> None:
    """An empty folder is no error: runs may come."""
    assert names(tmp_path) == []


def test_search_tells_how_many_folders_it_has_looked_into(runs: Path) -> None:
    """For who waits: each, those without runs too."""
    looked: list[int] = []

    found = find_runs(runs, progress=lambda count, _: looked.append(count))

    assert looked == list(range(1, len(looked) + 1))
    assert len(looked) > len(found)


@pytest.mark.parametrize("missing", ["nope", "nope*", ""])
def test_source_that_does_not_exist_is_an_error(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path or glob that means nothing is told, with its name."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(RunNotFoundError, match=r"there is no (run|folder)"):
        find_runs(missing)


def test_file_is_no_source(tmp_path: Path) -> None:
    """A metrics file is not a run."""
    (tmp_path / "metrics.parquet").touch()

    with pytest.raises(RunNotFoundError, match="found a file"):
        find_runs(tmp_path / "metrics.parquet")


@pytest.mark.parametrize("wrong", [3, None, [3], b"runs"])
def test_source_of_another_type_is_an_error(wrong: Any) -> None:
    """Neither a path nor several of them."""
    with pytest.raises(InvalidInputError, match="expected a folder of runs"):
        find_runs(wrong)


def test_links_that_stay_inside_a_folder_name_nothing_twice(runs: Path) -> None:
    """A link to a run does not make a second one, and one to a folder above no circle."""
    (runs / "best").symlink_to(runs / "lr=0.1" / "seed0", target_is_directory=True)
    (runs / "lr=0.2" / "up").symlink_to(runs, target_is_directory=True)
    (runs / "home").symlink_to(runs.parent, target_is_directory=True)
    (runs / "broken").symlink_to(runs / "nowhere")
    (runs / "itself").symlink_to("itself")
    (runs / "file").symlink_to(runs / "top" / "run.json")

    assert names(runs) == ["lr=0.1/seed0", "lr=0.1/seed1", "lr=0.2/seed0", "top"]
    assert names(runs / "best") == ["seed0"]


def test_links_to_folders_outside_are_followed_once(runs: Path, tmp_path: Path) -> None:
    """Their runs are called by the link; what two links reach, or a link and a path, is found once."""
    scratch = tmp_path / "scratch"
    for place, name in (("x", "one"), ("x", "two"), (".", "alone")):
        with skald.Logger(name, scratch / place, capture=False) as logger:
            logger.log_metric("loss", len(name))
    (runs / "a").symlink_to(scratch / "alone", target_is_directory=True)
    (runs / "lr=0.2" / "all").symlink_to(scratch, target_is_directory=True)
    (runs / "again").symlink_to(scratch / "x", target_is_directory=True)
    (scratch / "x" / "back").symlink_to(runs, target_is_directory=True)
    (scratch / "x" / "round").symlink_to(scratch, target_is_directory=True)
    plain = ["lr=0.1/seed0", "lr=0.1/seed1", "lr=0.2/seed0", "top"]

    linked = ["a", "again/one", "again/two"]
    assert names(runs) == sorted([*plain, *linked])
    assert len(names([runs, scratch])) == len(names([scratch, runs])) == len(plain) + len(linked)
    table = skald.runs(runs, metrics="loss").filter(run="again/one")
    assert (table["path"].item(), table["loss.last"].item()) == (str(runs / "again" / "one"), 3)
    assert skald.scan(runs).collect().select("run", "value").rows() == [
        ("a", 5.0),
        ("again/one", 3.0),
        ("again/two", 3.0),
    ]
