"""Artifacts: files of a run, their names, their list, and what becomes of them when something goes wrong."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import socket
import string
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

import polars as pl
import pytest
from commands import output
from hypothesis import example, given
from hypothesis import strategies as st
from logged import program, start

import skald
from skald import IdTypeError, InvalidInputError, LoggerClosedError
from skald.engine.claim import run_lock
from skald.layout import SEGMENTS, artifact_lists
from skald.record.artifact_names import artifact_path, check_name, ids_name
from skald.record.copying import CHUNK_BYTES


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return an open logger."""
    with skald.Logger("run", tmp_path / "runs") as logger:
        yield logger


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a file."""
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights" * 1000)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a folder in it."""
    path = tmp_path / "checkpoint"
    (path / "shards" / "empty").mkdir(parents=True)
    (path / "index.json").write_text("{}")
    (path / "shards" / "0.bin").write_bytes(b"0" * 10)
    return path


def top(logger: skald.Logger) -> Path:
    """Return the folder of the artifacts."""
    return logger.run.path / "artifacts"


def kept(logger: skald.Logger) -> list[str]:
    """Return the paths of all files under `artifacts/`; nothing else is left in the run's folder."""
    assert not [path for path in (logger.run.path / SEGMENTS).rglob(".tmp-*") if "artifact" in path.name]
    return sorted(
        path.relative_to(top(logger)).as_posix()
        for path in top(logger).rglob("*")
        if not path.is_dir() and not path.name.startswith("git-")
    )


def table(logger: skald.Logger) -> pl.DataFrame:
    """Return the run's artifacts, but for the diff of the code that the tests are run from."""
    return logger.run.artifacts.filter(~pl.col("path").str.starts_with("git-"))


def sha256(data: bytes) -> str:
    """Return the sum that a list says."""
    return hashlib.sha256(data).hexdigest()


# --- names ---


@pytest.mark.parametrize(
    ("name", "ids", "path"),
    [
        (None, {}, "model.pt"),
        (None, {"epoch": 3}, "model/epoch=3.pt"),
        ("best.bin", {}, "best.bin"),
        ("best.bin", {"epoch": 3}, "best/epoch=3.bin"),
        ("best", {}, "best"),
        ("best", {"epoch": 3}, "best/epoch=3.pt"),
        ("a/b/best.tar.gz", {"step": 1, "epoch": 3}, "a/b/best/epoch=3,step=1.tar.gz"),
        ("model-0.5", {"split": "val", "ok": True, "lr": 1e-05}, "model-0.5/lr=1e-05,ok=True,split=val.pt"),
        ("a\\b.pt", {}, "a/b.pt"),
        (PureWindowsPath("a\\b.pt"), {}, "a/b.pt"),
        (".hidden", {}, ".hidden"),
    ],
)
def test_artifact_stands_under_its_name_and_ids(
    logger: skald.Logger, source: Path, name: Any, ids: dict[str, Any], path: str
) -> None:
    """The name is the file's, and separators make folders; with ids it is a folder, and they name the file."""
    logger.log_artifact(source, name, **ids)

    assert kept(logger) == [path]
    assert (top(logger) / path).read_bytes() == source.read_bytes()
    assert table(logger)["path"].to_list() == [path]


BAD_NAMES: list[Any] = [
    *[
        "",
        ".",
        "..",
        "../x",
        "a/../../x",
        "a/..",
        "/x",
        "/",
        "\\x",
        "..\\x",
        "C:/x",
        "C:\\x",
        "C:x",
        "a//b",
        "a/",
        "a/./b",
    ],
    *["a:b", "a?", "a*", "a|b", "<a>", '"a"', "con", "a/NUL.txt", "a.", "a ", " a", "a\nb", "a\0b", "\x7f", "x\ud800"],
    *["x" * 256, "é" * 128, ".tmp-1", "a/.tmp-x", 3, b"a", ["a"], object()],
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: repr(name)[:20])
def test_artifact_name_cannot_leave_the_folder(logger: skald.Logger, source: Path, name: Any) -> None:
    """`..`, absolute names, and names that Windows or another system has not are errors of each call."""
    for call in (logger.log_text, logger.log_table):
        with pytest.raises(InvalidInputError, match="name"):
            call(name, "text")
    with pytest.raises(InvalidInputError, match="name"):
        logger.log_artifact(source, name)

    assert kept(logger) == []


@pytest.mark.parametrize("link", ["inside", "outer"])
def test_artifact_name_cannot_leave_the_folder_by_a_link(logger: skald.Logger, tmp_path: Path, link: str) -> None:
    """A link in `artifacts/`, or `artifacts/` itself being one, that leads out is an error."""
    outside = tmp_path / "outside"
    outside.mkdir()
    if link == "outer":
        for path in top(logger).iterdir():
            path.unlink()
        top(logger).rmdir()
        top(logger).symlink_to(outside)
    else:
        (top(logger) / "a").symlink_to(outside)

    with pytest.raises(InvalidInputError, match="link"):
        logger.log_text("a/x", "text")

    assert list(outside.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="no file has such a name there")
def test_artifact_whose_own_name_cannot_stand_on_every_system_needs_another(
    logger: skald.Logger, tmp_path: Path
) -> None:
    """The error tells how to give it one."""
    (tmp_path / "model-08:15.pt").write_bytes(b"weights")

    with pytest.raises(skald.InvalidInputError, match="Windows") as refused:
        logger.log_artifact(tmp_path / "model-08:15.pt")
    logger.log_artifact(tmp_path / "model-08:15.pt", "model")

    assert refused.value.__notes__ == ["hint: give it another one, as in log_artifact(path, name)"]
    assert kept(logger) == ["model"]


def test_artifact_replaces_a_link_and_not_what_it_leads_to(logger: skald.Logger, tmp_path: Path) -> None:
    """What stands under the name goes, whatever it is; a file elsewhere stays as it is."""
    outside = tmp_path / "outside.txt"
    outside.write_text("before")
    (top(logger) / "a.txt").symlink_to(outside)

    logger.log_text("a", "text")

    assert outside.read_text() == "before"
    assert (top(logger) / "a.txt").read_text() == "text"


IDS = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=300),
    st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.booleans()
    | st.text(st.characters(codec="utf-8"), max_size=300),
    min_size=1,
    max_size=4,
)


def same(one: Any, other: Any) -> bool:
    """Tell whether ids are of the same kinds and the same to the bit."""
    return {name: (type(value), repr(value)) for name, value in one.items()} == {
        name: (type(value), repr(value)) for name, value in other.items()
    }


TWINS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"a": 3}, {"a": "3"}),
    ({"a": 3}, {"a": 3.0}),
    ({"a": "%33"}, {"a": "3"}),
    ({"a": True}, {"a": "True"}),
    ({"a": float("nan")}, {"a": "nan"}),
    ({"a": 1, "b": 2}, {"a": "1,b=2"}),
    ({"a": "b=c"}, {"a=b": "c"}),
    ({"a": "x/y"}, {"a": "x%2Fy"}),
    ({"a": "x."}, {"a": "x"}),
    ({"a": ""}, {"a": "%"}),
    ({"a": "x" * 300}, {"a": "x" * 301}),
    ({"a": "x" * 300}, {"a": ids_name({"a": "x" * 300})[2:]}),
]


@given(IDS, IDS)
@example(*TWINS[0])
def test_artifact_ids_make_names_for_every_system(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Whatever ids say, the file's name is safe, short enough, and another for other ids."""
    name = ids_name(one)

    assert check_name(f"{name}.png") == f"{name}.png"
    assert "/" not in name
    assert len(name.encode()) <= 200
    assert (name == ids_name(other)) == same(one, other)


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_artifact_ids_that_look_alike_make_other_names(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Numbers and texts that look like them, separators, escapes and what was cut are told apart."""
    assert ids_name(one) != ids_name(other)


def test_artifact_name_and_ids_are_told_apart_from_a_suffix() -> None:
    """A string id with a dot is not mistaken for a name with a suffix."""
    assert artifact_path("x", {"a": "3.b"}) != artifact_path("x.b", {"a": 3})
    assert artifact_path("x", {"a": 3.5}) != artifact_path("x.5", {"a": 3})


def test_artifact_ids_name_the_same_file_in_any_order(logger: skald.Logger) -> None:
    """The ids of a call are a set: their order says nothing."""
    logger.log_text("a", "one", epoch=1, step=2)
    logger.log_text("a", "two", step=2, epoch=1)

    assert kept(logger) == ["a/epoch=1,step=2.txt"]


def test_artifact_gets_the_ids_that_a_row_would_get(logger: skald.Logger) -> None:
    """`bind`, `set_ids`, `contextualize` and `track` give their ids to files too, and None removes one."""
    logger.set_ids(task=1)
    with logger.contextualize(fold=2):
        for _ in logger.track(range(1), "epoch"):
            logger.bind(rank=3).log_text("a", "text", task=None)

    assert kept(logger) == ["a/epoch=0,fold=2,rank=3.txt"]
    assert table(logger).select("epoch", "fold", "rank").rows() == [(0, 2, 3)]


def test_artifact_ids_keep_their_kinds(logger: skald.Logger) -> None:
    """An id that is a number in this run is none in a file's name either."""
    logger.log_metric("loss", 0.5, epoch=1)

    with pytest.raises(IdTypeError, match="epoch"):
        logger.log_text("a", "text", epoch="one")
    with pytest.raises(IdTypeError, match="figure"):
        logger.log_text("a", "text", figure=object())

    assert kept(logger) == []


def test_artifact_ids_keep_the_kinds_of_other_artifacts(logger: skald.Logger) -> None:
    """So they do where no metric has the id: int may widen to float, and nothing else."""
    logger.log_text("a", "text", fold=1)
    logger.log_text("b", "text", fold=0.5)

    with pytest.raises(IdTypeError, match="fold"):
        logger.log_text("a", "text", fold="one")
    with pytest.raises(IdTypeError, match="fold"):
        logger.set_ids(fold="one")

    assert kept(logger) == ["a/fold=1.txt", "b/fold=0.5.txt"]


@pytest.mark.parametrize("life", ["same", "resumed", "crashed", "joined", "joined before"])
def test_artifact_ids_keep_their_kinds_for_the_whole_run(tmp_path: Path, life: str) -> None:
    """An id that an artifact had first has its kind for metrics and artifacts alike, whoever goes on with the run."""
    first = skald.Logger("run", tmp_path)
    later = skald.Logger("run", tmp_path, mode="join") if life == "joined before" else first
    if life == "crashed":
        code = (
            "import os, skald\nskald.Logger('run', '.', mode='overwrite').log_text('a', 'text', fold=1)\nos._exit(1)\n"
        )
        first.close()
        assert program(code, folder=tmp_path).returncode == 1
    else:
        first.log_text("a", "text", fold=1)
    if life == "resumed":
        first.close()
    if life in {"resumed", "crashed", "joined"}:
        later = skald.Logger("run", tmp_path, mode="join" if life == "joined" else "resume")

    with pytest.raises(IdTypeError, match="'fold' is int in this run, got str"):
        later.log_metric("loss", 0.5, fold="one")
    with pytest.raises(IdTypeError, match="'fold' is int in this run, got str"):
        later.log_text("b", "text", fold="one")
    later.log_metric("loss", 0.5, fold=0.5)

    assert later.run.metrics.collect().select("metric", "fold").rows() == [("loss", 0.5)]
    assert kept(later) == ["a/fold=1.txt"]
    later.close()
    first.close()


def test_artifact_ids_are_no_columns_of_the_metrics(tmp_path: Path) -> None:
    """An id that only artifacts have is none of any row, live and closed."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_text("a", "text", fold=1)
        logger.log_metric("loss", 0.5, epoch=1)
        live = logger.run.metrics.collect()

    assert live.columns == ["metric", "epoch", "value", "time"]
    assert skald.Run(tmp_path / "run").metrics.collect_schema().names() == live.columns


def test_artifact_that_is_refused_fixes_no_kind(logger: skald.Logger) -> None:
    """Bad input leaves the run as it was."""
    logger.log_text("a", "text")
    for bad in ("..", "a.txt/b"):
        with pytest.raises(InvalidInputError):
            logger.log_text(bad, "text", fold=1)

    logger.log_text("b", "text", fold="one")

    assert kept(logger) == ["a.txt", "b/fold=one.txt"]


# --- what is kept ---


def test_artifact_of_the_same_name_and_ids_is_replaced(logger: skald.Logger) -> None:
    """The newer content stands, and the table has one row of it."""
    for text in ("one", "twotwo"):
        logger.log_text("a", text, epoch=1)

    assert (top(logger) / "a/epoch=1.txt").read_text() == "twotwo"
    assert table(logger).select("path", "size", "sha256").rows() == [("a/epoch=1.txt", 6, sha256(b"twotwo"))]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_artifact_is_copied_with_its_sum(logger: skald.Logger, tmp_path: Path, size: int) -> None:
    """Content, size and SHA-256 are right, also where the last piece is short."""
    data = os.urandom(size)
    path = tmp_path / "data"
    path.write_bytes(data)

    logger.log_artifact(str(path))

    assert (top(logger) / "data").read_bytes() == data
    assert table(logger).select("size", "sha256").rows() == [(size, sha256(data))]


def test_artifact_is_hashed_while_it_is_copied(tmp_path: Path) -> None:
    """The file is opened once, and its copy is never read again: a checkpoint goes through the disk once."""
    (tmp_path / "model.pt").write_bytes(os.urandom(3 * CHUNK_BYTES))
    script = """
import sys, skald
opened = []
with skald.Logger("run", ".") as logger:
    sys.addaudithook(lambda event, given: opened.append(given) if event == "open" else None)
    logger.log_artifact("model.pt", epoch=1)
print([mode for path, mode, _ in opened if str(path).endswith(("model.pt", "-artifacts", "epoch=1.pt"))])
"""
    ended = program(script, folder=tmp_path)

    assert ended.stdout == "['r', 'x']\n", ended.stderr


def test_artifact_is_listed_with_size_sum_time_and_ids(logger: skald.Logger, source: Path) -> None:
    """`artifacts.jsonl` has a line a file, and `Run.artifacts` a row, with the ids as columns of their kinds."""
    before = dt.datetime.now(dt.UTC)
    logger.log_artifact(source, epoch=3, split="val")
    logger.log_text("notes", "x", lr=0.5, ok=True, path="a", odd=float("inf"))

    lines = [json.loads(line) for line in (logger.run.path / "artifacts.jsonl").read_text().splitlines()]
    lines = [line for line in lines if not line["path"].startswith("git-")]
    assert lines[0] == {
        "path": "model/epoch=3,split=val.pt",
        "size": 7000,
        "sha256": sha256(source.read_bytes()),
        "time": lines[0]["time"],
        "ids": {"epoch": 3, "split": "val"},
    }
    found = table(logger)
    assert found.columns == ["path", "size", "sha256", "time", "epoch", "split", "lr", "ok", "path (id)", "odd"]
    assert found.dtypes[4:] == [pl.Int64, pl.String, pl.Float64, pl.Boolean, pl.String, pl.Float64]
    assert found["time"].dtype == pl.Datetime("us", "UTC")
    assert before <= found["time"][0] <= found["time"][1] <= dt.datetime.now(dt.UTC)
    assert found.row(1)[4:] == (None, None, 0.5, True, "a", float("inf"))


def test_artifacts_of_a_new_run_are_an_empty_table(tmp_path: Path) -> None:
    """The columns are there before the first file; so is the folder, for a program that writes into it itself."""
    with skald.Logger("run", tmp_path) as logger:
        for path in top(logger).iterdir():
            path.unlink()

        found = logger.run.artifacts

    assert found.columns == ["path", "size", "sha256", "time"]
    assert found.is_empty()


def test_artifacts_of_an_overwritten_run_have_their_folder(tmp_path: Path) -> None:
    """A program may write into it there too."""
    source = """
import skald
skald.Logger("run", ".").close()
logger = skald.Logger("run", ".", mode="overwrite")
(logger.run.path / "artifacts" / "model.pt").write_bytes(b"weights")
"""

    done = program(source, folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert skald.Run(tmp_path / "run").artifacts["path"].to_list() == ["model.pt"]


def test_artifacts_of_different_kinds_of_an_id_are_one_column(tmp_path: Path) -> None:
    """Of processes that disagree ints beside floats are floats, anything else is text, as in the table of metrics."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_text("a", "", lr=1, x=1)
        logger.log_text("b", "", lr=2, x=2)
    lines = artifact_lists(tmp_path / "run")[0].read_text().splitlines()
    (tmp_path / "run" / "artifacts.other.jsonl").write_text(
        lines[-1].replace('"lr": 2, "x": 2', '"lr": 0.5, "x": true')
    )

    assert table(logger)["lr"].to_list() == [1.0, 0.5]
    assert table(logger)["x"].to_list() == ["1", "true"]
    with skald.Logger("run", tmp_path, mode="resume") as logger:
        logger.log_metric("loss", 0.5, x=3)  # the kind that came first stands


def test_artifacts_include_files_that_a_program_put_there(logger: skald.Logger) -> None:
    """A file that was written right into the folder is a row without sum, with the time of its change."""
    (top(logger) / "big").mkdir()
    (top(logger) / "big" / "state.bin").write_bytes(b"12345")
    os.utime(top(logger) / "big" / "state.bin", (1e9, 1e9))
    logger.log_text("a", "text")

    assert table(logger).select("path", "size", "sha256").rows() == [
        ("big/state.bin", 5, None),
        ("a.txt", 4, sha256(b"text")),
    ]
    assert table(logger)["time"][0] == dt.datetime.fromtimestamp(1e9, dt.UTC)


def test_artifacts_say_no_sum_of_a_file_that_changed_since(logger: skald.Logger) -> None:
    """A file that a program wrote over is there with its own size, and one that it removed is not there."""
    logger.log_text("a", "text", epoch=1)
    logger.log_text("b", "text")
    (top(logger) / "a/epoch=1.txt").write_text("longer text")
    (top(logger) / "b.txt").unlink()

    assert table(logger).select("path", "size", "sha256", "epoch").rows() == [("a/epoch=1.txt", 11, None, 1)]


@pytest.mark.skipif(sys.platform != "linux", reason="names of other systems are text")
def test_artifacts_may_have_names_that_are_no_text(logger: skald.Logger) -> None:
    """A file whose name is no UTF-8 does not hide the others."""
    (top(logger) / os.fsdecode(b"\xff.bin")).write_bytes(b"")

    assert table(logger)["path"].to_list() == ["\\udcff.bin"]
    assert "udcff.bin" in output("show", str(logger.run.path), folder=logger.run.path)


@pytest.mark.parametrize("torn", [b'{"path": "a.txt", "si', b"\xff\n", b'{"path": 3}\n', b"[]\n"])
def test_artifacts_are_read_past_a_torn_line(logger: skald.Logger, torn: bytes) -> None:
    """A line that a kill left unfinished hides neither those before it nor those of the process that goes on."""
    logger.log_text("a", "text")
    logger.close()
    with (logger.run.path / "artifacts.jsonl").open("ab") as file:
        file.write(torn)
    with skald.Logger("run", logger.run.path.parent, mode="resume") as resumed:
        resumed.log_text("b", "text")

    assert table(logger).select("path", "sha256").rows() == [("a.txt", sha256(b"text")), ("b.txt", sha256(b"text"))]


def test_artifacts_of_a_folder_are_a_row_a_file(logger: skald.Logger, folder: Path) -> None:
    """A folder is copied as a folder, its empty folders too, and each file is listed with its sum."""
    logger.log_artifact(folder, epoch=3)

    assert (top(logger) / "checkpoint/epoch=3/shards/empty").is_dir()
    assert table(logger).select("path", "size", "sha256", "epoch").rows() == [
        ("checkpoint/epoch=3/index.json", 2, sha256(b"{}"), 3),
        ("checkpoint/epoch=3/shards/0.bin", 10, sha256(b"0" * 10), 3),
    ]


def test_artifact_folder_is_replaced_as_a_whole(logger: skald.Logger, folder: Path) -> None:
    """Files of the older folder that the newer has not are gone; a file may take its place, and the reverse."""
    logger.log_artifact(folder, "c")
    (folder / "index.json").unlink()
    logger.log_artifact(folder, "c")
    assert kept(logger) == ["c/shards/0.bin"]

    logger.log_artifact(folder / "shards/0.bin", "c")
    assert kept(logger) == ["c"]
    logger.log_artifact(folder, "c")
    assert kept(logger) == ["c/shards/0.bin"]


@pytest.mark.parametrize("other", ["logged", "own"])
def test_artifact_does_not_replace_a_folder_with_other_files(
    logger: skald.Logger, folder: Path, source: Path, other: str
) -> None:
    """What was logged under other names, or put there by a program, is never lost to a folder's name."""
    logger.log_artifact(folder, "c")
    if other == "own":
        (top(logger) / "c" / "mine").write_text("")
    else:
        logger.log_text("c/other", "")
    before = kept(logger)

    for path in (folder, source):
        with pytest.raises(InvalidInputError, match="other files"):
            logger.log_artifact(path, "c")
    with pytest.raises(InvalidInputError, match="needs a folder where the file"):
        logger.log_artifact(source, "c/index.json/x")

    assert kept(logger) == before


def test_artifact_of_links_holds_what_they_lead_to(logger: skald.Logger, folder: Path, source: Path) -> None:
    """A folder of links, as download caches have, is copied with the content of the files."""
    (folder / "link.pt").symlink_to(source)
    (folder / "again").symlink_to(folder / "shards")

    logger.log_artifact(folder)

    assert (top(logger) / "checkpoint/link.pt").read_bytes() == source.read_bytes()
    assert not [path for path in top(logger).rglob("*") if path.is_symlink()]
    assert "checkpoint/again/0.bin" in kept(logger)


# --- links ---


def test_artifact_link_is_not_read(logger: skald.Logger, tmp_path: Path) -> None:
    """A file of 1 TB, which nobody could read meanwhile, is there at once, with its size and without sum."""
    path = tmp_path / "huge.pt"
    with path.open("wb") as file:
        file.truncate(1 << 40)

    logger.log_artifact(path, link=True, epoch=1)
    logger.log_artifact(path, link=True, epoch=1)

    assert path.samefile(top(logger) / "huge/epoch=1.pt")
    assert not (top(logger) / "huge/epoch=1.pt").is_symlink()
    assert kept(logger) == ["huge/epoch=1.pt"]
    assert table(logger).select("size", "sha256").rows() == [(1 << 40, None)]


def test_artifact_link_is_symbolic_to_another_disk(logger: skald.Logger) -> None:
    """Where there is no hard link the file stays where it is; once it is gone the row still says how large it was."""
    other = Path("/dev/shm")  # noqa: S108 a disk of its own
    if not other.is_dir() or other.stat().st_dev == logger.run.path.stat().st_dev:
        pytest.skip("there is no other disk")
    path = other / f"skald-test-{os.getpid()}"
    path.write_bytes(b"12345")
    try:
        logger.log_artifact(path, "a.bin", link=True)
        assert (top(logger) / "a.bin").readlink() == path
    finally:
        path.unlink()

    assert table(logger).select("path", "size", "sha256").rows() == [("a.bin", 5, None)]


def test_artifact_link_of_a_folder_links_its_files(logger: skald.Logger, folder: Path) -> None:
    """The folder is one of its own, so what is added to the original later is not in it."""
    logger.log_artifact(folder, link=True)
    (folder / "later").write_text("")

    assert kept(logger) == ["checkpoint/index.json", "checkpoint/shards/0.bin"]
    assert (folder / "index.json").samefile(top(logger) / "checkpoint/index.json")


# --- what cannot be kept ---


def test_artifact_that_is_no_file_is_refused(logger: skald.Logger, tmp_path: Path) -> None:
    """Pipes, sockets, devices, what is not there and dangling links are errors that say so."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(tmp_path)
        server.bind("socket")
    cases = {"pipe": "a pipe", "socket": "a socket", "/dev/null": "a device", "nothing": "is not there"}
    cases |= {"dangling": "a link to a file that is not there", "circle": "cannot be read", "x\0": "cannot be read"}

    for name, what in cases.items():
        for link in (False, True):
            with pytest.raises(InvalidInputError, match=what):
                logger.log_artifact(tmp_path / name, "a", link=link)

    assert kept(logger) == []


@pytest.mark.parametrize("call", ["log_figure", "log_image", "log_table"])
@pytest.mark.parametrize("name", ["m.eps", "x.JSON", "a/b.tar.gz", "w.gif.zip", "t.xlsx"])
def test_artifact_whose_suffix_is_of_another_kind_is_refused(logger: skald.Logger, call: str, name: str) -> None:
    """No file gets a second suffix: the error says which can be written."""
    with pytest.raises(InvalidInputError, match=r"expected a name that ends in \.\w+, .* or nothing") as caught:
        getattr(logger, call)(name, {"a": [1]})

    assert "log_artifact" in str(caught.value.__notes__)
    assert kept(logger) == []


def test_artifact_name_with_a_dot_that_is_no_suffix_is_kept(logger: skald.Logger) -> None:
    """Numbers and names of layers are no kinds of files."""
    for name in ("epoch.10", "lr=0.1", "fc.weight", "v1.2-rc", "net.c"):
        logger.log_table(name, {"a": [1]})

    assert kept(logger) == sorted(f"{name}.parquet" for name in ("epoch.10", "lr=0.1", "fc.weight", "v1.2-rc", "net.c"))


@pytest.mark.parametrize("path", [None, 3, b"bytes", "", ["a"]])
def test_artifact_needs_a_path(logger: skald.Logger, path: Any) -> None:
    """What is no path is an error that says what was expected."""
    with pytest.raises(InvalidInputError, match="log_artifact takes the path"):
        logger.log_artifact(path)


@pytest.mark.parametrize("link", [False, True])
def test_artifact_folder_is_kept_without_links_that_lead_nowhere(
    logger: skald.Logger,
    folder: Path,
    link: bool,  # noqa: FBT001
) -> None:
    """Dangling links are left out with a word; all else of the folder is there."""
    for name in ("zzz", "aaa"):
        (folder / "shards" / name).symlink_to(folder / "nothing")

    logger.log_artifact(folder, link=link)

    assert kept(logger) == ["checkpoint/index.json", "checkpoint/shards/0.bin"]
    assert "left out: shards/aaa and 1 more" in logger.run.console


@pytest.mark.parametrize("what", ["pipe", "circle"])
def test_artifact_folder_with_no_file_in_it_is_refused(logger: skald.Logger, folder: Path, what: str) -> None:
    """A pipe, or a link back to a folder above, deep inside: nothing is kept, not even in part."""
    inside = folder / "shards" / "zzz"
    if what == "pipe":
        os.mkfifo(inside)
    else:
        inside.symlink_to(folder)

    with pytest.raises(InvalidInputError, match="leads back" if what == "circle" else "zzz"):
        logger.log_artifact(folder)

    assert kept(logger) == []
    assert table(logger).is_empty()


@pytest.mark.skipif(sys.platform != "linux", reason="a file that opens and cannot be read")
def test_artifact_that_cannot_be_read_is_refused(logger: skald.Logger, folder: Path) -> None:
    """A file that fails in the midst of the copy leaves nothing half, and what was there before stays."""
    logger.log_artifact(folder)
    before = table(logger)
    (folder / "memory").symlink_to("/proc/self/mem")

    with pytest.raises(InvalidInputError, match="cannot be read: Input/output error"):
        logger.log_artifact(folder)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        logger.log_artifact("/proc/self/mem")

    assert table(logger).equals(before)
    assert kept(logger) == ["checkpoint/index.json", "checkpoint/shards/0.bin"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_artifact_without_permission_is_refused(logger: skald.Logger, source: Path) -> None:
    """The error says what the system says."""
    source.chmod(0)

    with pytest.raises(InvalidInputError, match="Permission denied"):
        logger.log_artifact(source)


def test_artifact_folder_that_holds_the_run_is_refused(logger: skald.Logger, tmp_path: Path) -> None:
    """A run is not copied into itself."""
    with pytest.raises(InvalidInputError, match="holds the run itself"):
        logger.log_artifact(tmp_path, "all")

    assert kept(logger) == []


def test_text_must_be_text(logger: skald.Logger) -> None:
    """Other values and broken Unicode are errors."""
    with pytest.raises(InvalidInputError, match="takes a str, got int"):
        logger.log_text("a", 3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="Unicode"):
        logger.log_text("a", "\ud800")

    assert kept(logger) == []


@pytest.mark.parametrize(("name", "path"), [("a", "a.txt"), ("a.md", "a.md"), ("v1.2", "v1.2.txt"), ("b/c", "b/c.txt")])
def test_text_is_kept_as_utf8(logger: skald.Logger, name: str, path: str) -> None:
    """The text is there byte by byte, under a name with a suffix."""
    logger.log_text(name, "grün\r\n")

    assert (top(logger) / path).read_bytes() == "grün\r\n".encode()


# --- the life of a run ---


def test_artifact_after_close_is_refused(logger: skald.Logger, source: Path) -> None:
    """A closed logger keeps nothing, also where bad input is only warned of."""
    warning = skald.Logger("other", logger.run.path.parent, errors="warn")
    for closed in (logger, warning):
        closed.close()

        with pytest.raises(LoggerClosedError):
            closed.log_artifact(source)

        assert kept(closed) == []


def test_artifact_that_is_bad_is_refused_and_the_training_goes_on(tmp_path: Path) -> None:
    """With errors="warn" bad names, ids and files raise nothing, and the next call works."""
    with skald.Logger("run", tmp_path, errors="warn") as logger:
        logger.log_text("../a", "text")
        logger.log_text("a", "text", epoch=object())
        logger.log_artifact("nowhere")
        logger.log_text("a", "text")

        assert kept(logger) == ["a.txt"]
    assert "2 x InvalidInputError, 1 x IdTypeError" in logger.run.console


def test_artifact_of_a_disabled_logger_is_checked_and_not_kept(tmp_path: Path, source: Path) -> None:
    """mode="disabled" refuses what would be refused, and writes nothing."""
    with skald.Logger("run", tmp_path / "runs", mode="disabled") as logger:
        logger.log_artifact(source, epoch=1)
        logger.log_text("a", "text")
        with pytest.raises(InvalidInputError, match="name"):
            logger.log_text("../a", "text")
        with pytest.raises(InvalidInputError, match="not there"):
            logger.log_artifact(tmp_path / "nothing")
        with pytest.raises(IdTypeError):
            logger.log_text("a", "text", epoch=object())

        assert kept(logger) == []
    assert not (tmp_path / "runs").exists()


def test_artifacts_from_threads_are_all_kept(logger: skald.Logger, tmp_path: Path) -> None:
    """Threads log at once, under names of their own and under one: each file is whole, and has its sum."""
    paths = [tmp_path / f"{number}.bin" for number in range(4)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * (100_000 + number))

    def log(path: Path) -> None:
        for step in range(10):
            logger.log_artifact(path, step=step)
            logger.log_artifact(path, "shared")

    threads = [threading.Thread(target=log, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(kept(logger)) == 41
    for row in table(logger).rows(named=True):
        assert row["sha256"] == sha256((top(logger) / row["path"]).read_bytes())


def test_artifacts_take_turns(logger: skald.Logger) -> None:
    """While another process puts its file into place nobody else does: list and file agree on who came last."""
    logger.log_text("a", "before")
    waiting = threading.Thread(target=logger.log_text, args=("a", "after"))

    with run_lock(logger.run.path):
        waiting.start()
        waiting.join(1)
        assert waiting.is_alive()
        assert (top(logger) / "a.txt").read_text() == "before"
        assert table(logger)["sha256"].to_list() == [sha256(b"before")]
    waiting.join(30)

    assert table(logger)["sha256"].to_list() == [sha256(b"after")]


def test_close_waits_for_an_artifact_on_its_way(tmp_path: Path) -> None:
    """A file that another thread is copying when the run is closed is kept: the call was made before."""
    (tmp_path / "big").write_bytes(b"x")
    started, opened = threading.Event(), threading.Event()
    logger = skald.Logger("run", tmp_path / "runs")

    class Slow:
        def __fspath__(self) -> str:
            started.set()
            assert opened.wait(30)
            return str(tmp_path / "big")

    os.PathLike.register(Slow)
    copying = threading.Thread(target=logger.log_artifact, args=(Slow(),))
    copying.start()
    assert started.wait(30)
    closing = threading.Thread(target=logger.close)
    closing.start()
    closing.join(2)

    assert closing.is_alive()
    opened.set()
    closing.join(30)
    copying.join(30)

    assert kept(logger) == ["big"]
    assert table(logger)["sha256"].to_list() == [sha256(b"x")]
    assert not (logger.run.path / SEGMENTS).exists()


FORK = """
import os, skald
logger = skald.Logger("run", ".")
logger.log_text("parent", "text")
if os.fork() == 0:
    logger.log_text("child", "text", epoch=1)
    logger.log_text("child", "text", epoch=2)
    os._exit(0)
os.wait()
logger.log_text("parent", "text", epoch=1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_artifacts_of_a_forked_child_have_a_list_of_their_own(tmp_path: Path) -> None:
    """A writer has one list: the first process `artifacts.jsonl`, others one with their name."""
    ended = program(FORK, folder=tmp_path)

    assert ended.returncode == 0, ended.stderr
    run = skald.Run(tmp_path / "run")
    assert sorted(run.artifacts.drop_nulls("sha256")["path"]) == [
        "child/epoch=1.txt",
        "child/epoch=2.txt",
        "parent.txt",
        "parent/epoch=1.txt",
    ]
    assert sorted(len(path.read_text().splitlines()) for path in artifact_lists(run.path)) == [2, 2]
    assert (run.path / "artifacts.jsonl").exists()
    assert not (run.path / SEGMENTS).exists()


def test_artifacts_of_a_process_that_joins_have_a_list_of_their_own(tmp_path: Path) -> None:
    """Two processes put the same name there: the later one stands, with its own sum."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_text("a", "one")
        joined = program(
            "import skald\nwith skald.Logger('run', '.', mode='join') as logger: logger.log_text('a', 'two')",
            folder=tmp_path,
        )
        assert joined.returncode == 0, joined.stderr

        assert len(artifact_lists(logger.run.path)) == 2
        assert table(logger).select("path", "sha256").rows() == [("a.txt", sha256(b"two"))]
        logger.log_text("a", "thr")

    assert table(logger).select("path", "sha256").rows() == [("a.txt", sha256(b"thr"))]


KILLED = """
import skald
from pathlib import Path
logger = skald.Logger("run", ".")
logger.log_text("a", "text")
Path("folder").mkdir()
Path("folder/1").write_text("x")
with open("folder/2", "wb") as file:
    file.truncate(1 << 40)
logger.log_artifact("folder")
"""


def test_artifact_of_a_killed_process_leaves_nothing_half(tmp_path: Path) -> None:
    """What a kill in the midst of a copy leaves is beside the artifacts, and goes when the run is compacted."""
    process = start(KILLED, folder=tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(f"run/{SEGMENTS}/*/.tmp-*/2")):
        assert process.poll() is None
        assert time.monotonic() < deadline
    process.kill()
    process.communicate()

    run = skald.Run(tmp_path / "run")
    assert run.artifacts.drop_nulls("sha256")["path"].to_list() == ["a.txt"]
    assert not (run.path / "artifacts/folder").exists()
    skald.compact(run.path)
    assert not (run.path / SEGMENTS).exists()


def test_artifact_after_the_run_is_deleted_is_an_error(tmp_path: Path) -> None:
    """A folder that is gone is told at the call, in the words of every other call."""
    script = """
import shutil, skald
logger = skald.Logger("run", ".")
shutil.rmtree("run")
try:
    logger.log_text("a", "text")
except skald.StorageError as error:
    print(error)
"""
    ended = program(script, folder=tmp_path)

    assert ended.stdout == f"[Errno 2] the run's folder is gone: {tmp_path / 'run'}\n", ended.stderr


FULL = """
import os, skald
from pathlib import Path
logger = skald.Logger("run", "disk")
logger.log_text("a", "before")
Path("big").write_bytes(bytes(40 << 20))
Path("folder").mkdir()
Path("folder/1").write_bytes(b"1")
Path("folder/2").write_bytes(bytes(40 << 20))
for path, name in (("big", "a.txt"), ("folder", None), ("big", "new/big")):
    try:
        logger.log_artifact(path, name)
    except skald.StorageError as error:
        print(error)
logger.log_text("a", "after")
"""


def test_artifact_that_finds_the_disk_full_leaves_nothing_half(tmp_path: Path) -> None:
    """StorageError says why; what was there before stays, nothing else is left, and the run goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root only")
    try:
        ended = program(FULL, folder=tmp_path)
        run = skald.Run(disk / "run")
        found = run.artifacts.drop_nulls("sha256")
        files = sorted(path.name for path in (run.path / "artifacts").rglob("*") if not path.name.startswith("git-"))
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("No space left on device") == 3
    assert found.select("path", "size").rows() == [("a.txt", 5)]
    assert files == ["a.txt"]


LIMITED = """
import resource, signal, skald
logger = skald.Logger("run", ".", capture=False)
logger.log_text("a", "text")
logger.log_text("b", "text")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = (logger.run.path / "artifacts.jsonl").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))
try:
    logger.log_text("a", "other")
except skald.StorageError as error:
    print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print((logger.run.path / "artifacts.jsonl").stat().st_size == size, (logger.run.path / "artifacts/a.txt").read_text())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on files")
def test_artifact_that_cannot_be_listed_is_not_kept(tmp_path: Path) -> None:
    """Where the list takes no more the line is taken back, and the file that was there before stays."""
    ended = program(LIMITED, folder=tmp_path)

    assert ended.stdout.split() == ["refused", "True", "text"], ended.stderr


def test_sync_puts_artifacts_on_the_disk(tmp_path: Path) -> None:
    """Each file is synced once, its folders and its line in the list too."""
    script = """
import os, sys, skald
logger = skald.Logger("run", ".")
synced = []
fsync = os.fsync
os.fsync = lambda number: (synced.append(os.readlink(f"/proc/self/fd/{number}")), fsync(number))
logger.log_text("a/b", "text")
logger.sync()
assert any(path.endswith("/artifacts/a/b.txt") for path in synced), synced
assert any(path.endswith("/artifacts/a") for path in synced), synced
assert any(path.endswith("/artifacts.jsonl") for path in synced), synced
synced.clear()
logger.log_text("c", "text")
logger.sync()
assert any(path.endswith("/artifacts/c.txt") for path in synced), synced
assert not any(path.endswith("/artifacts/a/b.txt") for path in synced), synced
"""
    if sys.platform != "linux":
        pytest.skip("it asks /proc")
    ended = program(script, folder=tmp_path)

    assert ended.returncode == 0, ended.stderr


COUNTING = """
import threading, time, skald
from pathlib import Path
Path("big").write_bytes(bytes(100 << 20))
logger = skald.Logger("run", ".")
worst, done = 0.0, threading.Event()
def count():
    global worst
    before = time.perf_counter()
    while not done.is_set():
        now = time.perf_counter()
        worst, before = max(worst, now - before), now
thread = threading.Thread(target=count)
thread.start()
start = time.perf_counter()
logger.log_artifact("big")
took = time.perf_counter() - start
done.set()
thread.join()
print(worst, took)
"""


def test_artifact_copy_lets_other_threads_run(tmp_path: Path) -> None:
    """Reading, hashing and writing release the interpreter, so a training thread goes on meanwhile."""
    ended = program(COUNTING, folder=tmp_path)

    worst, took = map(float, ended.stdout.split())
    assert worst < max(took / 3, 0.05)


def test_show_lists_artifacts(logger: skald.Logger) -> None:
    """`skald show` names the newest files with their sizes, and says how many there are."""
    for letter in string.ascii_lowercase:
        logger.log_text(letter, "text", epoch=1)
    logger.close()

    shown = output("show", str(logger.run.path), folder=logger.run.path)

    assert "z/epoch=1.txt 4 B" in shown
    assert "a/epoch=1.txt" not in shown
    assert "the newest 12 of them" in shown


def test_show_says_nothing_of_artifacts_where_there_are_none(tmp_path: Path) -> None:
    """A run without files has no such line."""
    with skald.Logger("run", tmp_path) as logger:
        for path in top(logger).iterdir():
            path.unlink()

    assert "artifacts" not in output("show", "run", folder=tmp_path)


def test_artifact_calls_load_nothing_heavy(tmp_path: Path) -> None:
    """Files and texts cost a training process no library."""
    script = """
import sys, skald
with skald.Logger("run", ".") as logger:
    logger.log_text("a", "text")
    logger.log_artifact("run/run.json")
print(sorted({"polars", "rich", "matplotlib", "PIL", "plotly", "altair", "pandas", "torch"} & set(sys.modules)))
"""
    ended = program(script, folder=tmp_path)

    assert ended.stdout.strip() == "[]", ended.stderr


@pytest.mark.parametrize("link", ["no", 1, None])
def test_artifact_link_is_true_or_false(logger: skald.Logger, tmp_path: Path, link: Any) -> None:
    """No other word is taken for either."""
    (tmp_path / "file").write_text("text")

    with pytest.raises(skald.InvalidInputError, match="link must be True or False"):
        logger.log_artifact(tmp_path / "file", link=link)
