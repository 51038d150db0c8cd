"""`skald show` and what all commands share: paths, failures, usage, help."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from commands import output, start
from rich.cells import cell_len

import skald

MAIN = "from skald.cli import run; run()"
ROOT = Path(skald.__file__).resolve().parent.parent


def log_digits(folder: Path, name: str = "digits") -> None:
    """Make a run with metrics of several kinds of ids, one of which turned NaN."""
    with skald.Logger(name, folder / "runs", tags=["demo"]) as logger:
        logger.log_params({"lr": 0.0003, "model": {"depth": 12, "act": "relu"}})
        for epoch in range(4):
            for batch in range(10):
                logger.log_metric("loss", 2.0 / (1 + epoch * 10 + batch), epoch=epoch, batch=batch)
            for split in ("train", "val"):
                logger.log_metric("accuracy", epoch / 10, epoch=epoch, split=split)
            logger.log_metric("grad_norm/first", math.nan if epoch == 3 else 1.0, epoch=epoch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `runs/digits` and `runs/sweep/seed0`, for commands that only look."""
    base = tmp_path_factory.mktemp("cli")
    log_digits(base)
    log_digits(base, "seed0")
    (base / "runs" / "sweep").mkdir()
    (base / "runs" / "seed0").rename(base / "runs" / "sweep" / "seed0")
    (base / "notes.txt").write_text("not a run")
    return base


def test_show_prints_a_run(folder: Path) -> None:
    """Status, params, and a row a series with count, last, extremes and where they were, NaN and a curve."""
    lines = output("show", "runs/digits", folder=folder).splitlines()

    rows = {line.split()[0]: line.split() for line in lines if line.startswith(("loss", "grad_norm"))}
    text = "\n".join(lines)
    assert all(word in text for word in ("digits", "finished", "52 rows", "#demo", "lr=0.0003", "model.depth=12"))
    loss = ["loss", "40", "0.05", "0.05", "epoch=3", "batch=9", "2", "epoch=0", "batch=0"]
    assert rows["loss"][:-1] == loss
    assert rows["grad_norm/first"] == ["grad_norm/first", "4", "NaN", "1", "epoch=0", "1", "epoch=0", "1", "▄▄▄×"]  # noqa: RUF001


def test_show_has_a_row_a_series(folder: Path) -> None:
    """Rows that differ in a string id are never mixed."""
    lines = output("show", "digits", folder=folder).splitlines()

    accuracy = [line.split()[:4] for line in lines if line.startswith("accuracy")]

    assert accuracy == [["accuracy", f"split={split}", "4", "0.3"] for split in ("train", "val")]


def test_show_hides_what_no_series_has(folder: Path) -> None:
    """Without a NaN there is no column for it, without string ids none for them."""
    text = output("digits", "--metric", "loss", folder=folder)

    header = next(line for line in text.splitlines() if line.startswith("metric"))

    assert header.split() == ["metric", "count", "last", "min", "at", "max", "at", "curve"]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_show_fits_the_width(folder: Path, width: int) -> None:
    """No line is wider than the terminal, and the metrics' names and extremes are there at any width."""
    text = output("digits", folder=folder, COLUMNS=str(width))

    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert all(word in text for word in ("grad_norm/first", "split=val", "epoch=3", "batch=9", "0.05"))


def test_show_in_a_pipe_cuts_nothing(tmp_path: Path) -> None:
    """What is printed for another program holds names of any length."""
    name = "a/" + "very_long_name_of_a_metric" * 8
    with skald.Logger("a", tmp_path / "runs") as logger:
        logger.log_metric(name, 1.0, epoch=0, note="some text " * 20)

    text = output("a", folder=tmp_path)

    assert name in text
    assert "some text " * 20 in text


def test_show_without_utf8_prints_ascii(folder: Path) -> None:
    """A terminal without block characters gets letters, lines and curves that it can show."""
    text = output("digits", folder=folder, encoding="ascii")

    assert text.isascii()
    assert "~~~x" in text
    assert "?" not in text


def test_show_without_a_terminal_has_no_colors(folder: Path) -> None:
    """A pipe gets plain text, with NO_COLOR and without."""
    texts = [output("digits", folder=folder), output("digits", folder=folder, NO_COLOR="1")]

    assert not any("\x1b" in text for text in texts)


def test_show_respects_no_color(folder: Path) -> None:
    """NO_COLOR takes the colors away where they would be."""
    colored = output("digits", folder=folder, FORCE_COLOR="1", TERM="xterm-256color")
    plain = output("digits", folder=folder, FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1")

    assert "\x1b[32m" in colored or "\x1b[1;32m" in colored
    assert "\x1b[32m" not in plain
    assert "\x1b[1;32m" not in plain


def test_show_metric_takes_globs_and_exact_names(folder: Path) -> None:
    """Several may be given; a metric is shown if one of them matches."""
    text = output("digits", "--metric", "grad_norm/*", "--metric", "loss", "--format", "json", folder=folder)

    assert {row["metric"] for row in json.loads(text)["metrics"]} == {"grad_norm/first", "loss"}


def test_show_metric_takes_an_exact_name_before_a_glob(tmp_path: Path) -> None:
    """A name with brackets means itself where there is such a metric, whatever else it matches."""
    with skald.Logger("a", tmp_path / "runs") as logger:
        logger.log_metrics({"w[0]": 1.0, "w0": 2.0, "w*": 3.0})

    exact, glob = (
        json.loads(output("a", "--metric", name, "--format", "json", folder=tmp_path)) for name in ("w*", "w?")
    )

    assert [row["metric"] for row in exact["metrics"]] == ["w*"]
    assert {row["metric"] for row in glob["metrics"]} == {"w0", "w*"}


def test_show_id_keeps_rows_with_that_id(folder: Path) -> None:
    """`--id` is repeatable, and reads its value as the id's kind says."""
    text = output("digits", "--id", "split=val", "--id", "epoch=2", "--format", "json", folder=folder)

    run = json.loads(text)
    assert [(row["metric"], row["ids"], row["count"]) for row in run["metrics"]] == [("accuracy", {"split": "val"}, 1)]
    assert run["rows"] == 52


def test_show_json_has_the_shape_of_the_interface(folder: Path) -> None:
    """Every field of a run, with NaN as a string and times in UTC."""
    run = json.loads(output("digits", "--format", "json", folder=folder))

    rows = {row["metric"]: row for row in run["metrics"]}
    assert list(run) == ["run", "path", "status", "started", "duration", "rows", "tags", "params", "metrics"]
    assert (run["run"], run["path"], run["status"]) == ("digits", str(folder / "runs" / "digits"), "finished")
    assert run["started"].endswith("Z")
    assert (run["rows"], run["tags"], run["params"]["model"]) == (52, ["demo"], {"depth": 12, "act": "relu"})
    assert rows["grad_norm/first"] == {
        "metric": "grad_norm/first",
        "ids": {},
        "count": 4,
        "nan": 1,
        "first": 1.0,
        "last": "NaN",
        "min": 1.0,
        "min_at": {"epoch": 0},
        "max": 1.0,
        "max_at": {"epoch": 0},
        "mean": 1.0,
        "nan_at": {"epoch": 3},
    }


def test_show_csv_has_the_shape_of_the_interface(folder: Path) -> None:
    """A row a series; places as `epoch=3 batch=9`."""
    text = output("digits", "--format", "csv", folder=folder)

    rows = {(row["metric"], row["split"]): row for row in csv.DictReader(io.StringIO(text))}
    assert len(rows) == 4
    assert rows["loss", ""]["min_at"] == "epoch=3 batch=9"
    assert rows["grad_norm/first", ""]["last"] == "NaN"


def test_show_of_a_folder_lists_its_runs(folder: Path) -> None:
    """Runs at every depth, named by their paths in the folder, with status and rows."""
    texts = [output("show", "runs", folder=folder), output("runs", folder=folder), output(folder=folder)]

    lines = [line.split() for line in texts[0].splitlines()]
    assert {(line[0], line[1]) for line in lines[1:]} == {("digits", "finished"), ("sweep/seed0", "finished")}
    assert texts[0] == texts[1] == texts[2]


def test_show_of_several_runs_lists_them(folder: Path) -> None:
    """As JSON it is a list of objects."""
    runs = json.loads(output("show", "digits", "runs/sweep/seed0", "--format", "json", folder=folder))

    facts = ["run", "path", "status", "started", "duration", "rows", "tags"]
    assert [list(run)[:7] for run in runs] == [facts] * 2
    assert all(name.startswith("params.") for run in runs for name in list(run)[7:])
    assert {(run["run"], run["rows"]) for run in runs} == {("digits", 52), ("sweep/seed0", 52)}


def test_show_of_a_folder_adds_metrics(folder: Path) -> None:
    """`--metric` adds columns for the series that `--id` leaves; places hold the ids that are there."""
    choice = ["--metric", "accuracy", "--id", "split=val"]
    table = output("show", "runs", *choice, folder=folder)
    runs = json.loads(output("show", "runs", *choice, "--format", "json", folder=folder))
    rows = list(csv.DictReader(io.StringIO(output("show", "runs", *choice, "--format", "csv", folder=folder))))

    assert {"accuracy.last", "accuracy.min", "accuracy.max"} <= set(table.splitlines()[0].split())
    for run, row in zip(runs, rows, strict=True):
        assert set(run["accuracy.max_at"]) == {"epoch", "split"}
        assert row["accuracy.max_at"] == f"epoch={run['accuracy.max_at']['epoch']} split=val"
        assert float(row["accuracy.max"]) == run["accuracy.max"]
        assert row["duration"] == str(run["duration"])


def test_show_of_a_folder_fits_the_width(tmp_path: Path) -> None:
    """Params that differ are shown as far as there is room, and those that do not differ are left out."""
    for number in range(2):
        with skald.Logger(f"run{number}", tmp_path / "runs") as logger:
            logger.log_params(lr=number / 2, same=1, **{f"param{k}": f"{number} " * 5 for k in range(20)})

    narrow = output("show", "runs", folder=tmp_path, COLUMNS="100")
    wide = output("show", "runs", folder=tmp_path, COLUMNS="1000")

    assert max(map(len, narrow.splitlines())) <= 100
    assert "lr" in narrow.split()
    assert "same" not in wide.split()
    assert "param19" in wide.split()


def test_show_lists_the_other_runs_when_one_is_damaged(tmp_path: Path) -> None:
    """A run that cannot be read is told on stderr and hides no other."""
    log_digits(tmp_path)
    log_digits(tmp_path, "broken")
    (tmp_path / "runs" / "broken" / "run.json").write_text("{")

    done = start("runs", folder=tmp_path)

    assert done.code == 0
    assert "digits" in done.stdout
    assert "broken" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("form", ["table", "json"])
def test_show_tells_of_params_that_cannot_be_read_and_shows_the_rest(tmp_path: Path, form: str) -> None:
    """A params.yaml that somebody broke is named on stderr, and hides nothing else of the run."""
    log_digits(tmp_path)
    (tmp_path / "runs" / "digits" / "params.yaml").write_text("lr: [0.1\n", encoding="utf-8")

    done = start("show", "digits", "--format", form, folder=tmp_path)

    assert done.code == 0
    assert "accuracy" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "params cannot be read" in done.stderr
    assert "params.yaml" in done.stderr


def test_show_of_a_run_without_rows(tmp_path: Path) -> None:
    """A run that logged nothing yet is shown as that."""
    skald.Logger("a", tmp_path / "runs").close()

    text = output("a", folder=tmp_path)

    assert "0 rows" in text
    assert text.splitlines()[-1].strip() == "no rows"


def test_show_of_a_live_run_without_rows(tmp_path: Path) -> None:
    """There may be some to come."""
    with skald.Logger("a", tmp_path / "runs", capture=False):
        assert "no rows yet" in output("a", folder=tmp_path)


def test_show_of_histograms_says_what_draws_them(tmp_path: Path) -> None:
    """They have no row in the table of series."""
    with skald.Logger("a", tmp_path / "runs", capture=False) as logger:
        logger.log_histogram("weights", [1.0, 2.0])

    assert "histograms are drawn by skald plot" in output("a", folder=tmp_path)


def test_show_of_a_failed_run_says_why(tmp_path: Path) -> None:
    """By the first line of what left the block."""
    with pytest.raises(ValueError, match="no such"), skald.Logger("a", tmp_path / "runs", capture=False):
        raise ValueError("no such\nthing")

    assert "ValueError: no such" in output("a", folder=tmp_path)


def test_show_of_a_run_without_ids(tmp_path: Path) -> None:
    """Extremes that have no place are shown without."""
    with skald.Logger("a", tmp_path / "runs") as logger:
        logger.log_metric("loss", 1.5)

    row = next(line for line in output("a", folder=tmp_path).splitlines() if line.startswith("loss"))

    assert row.split() == ["loss", "1", "1.5", "1.5", "1.5", "▄"]


def test_show_of_a_running_run(tmp_path: Path) -> None:
    """A run is shown while it is being written."""
    with skald.Logger("a", tmp_path / "runs") as logger:
        logger.log_metric("loss", 1.0, epoch=0)

        text = output("a", folder=tmp_path)

    assert "running" in text
    assert "so far" in text


def test_show_survives_names_like_markup(tmp_path: Path) -> None:
    """Names and ids are text, whatever Rich would make of them."""
    with skald.Logger("a", tmp_path / "runs") as logger:
        logger.log_metric("[red]loss[/]", 1.0, note="[bold]\n")
        logger.log_param("text", "[link]")

    text = output("a", folder=tmp_path)

    assert "[red]loss[/]" in text
    assert 'note="[bold]\\n"' in text
    assert "text=[link]" in text


def test_a_word_that_is_no_command_is_a_run(folder: Path) -> None:
    """`skald RUN` is `skald show RUN`, with its options."""
    texts = [output(*args, folder=folder) for args in (["digits"], ["runs/digits"], ["show", "./runs/digits"])]

    assert texts[0] == texts[1] == texts[2]


def test_a_first_word_that_is_a_command_is_the_command(tmp_path: Path) -> None:
    """A run called `show` is written `./show`."""
    with skald.Logger("show", tmp_path) as logger:
        logger.log_metric("loss", 1.0)

    text = output("./show", "--format", "json", folder=tmp_path)

    assert json.loads(text)["run"] == "show"


def test_a_name_is_looked_up_in_skald_dir(folder: Path, tmp_path: Path) -> None:
    """$SKALD_DIR takes the place of `runs`, for names and where no path is given."""
    texts = [output(*args, folder=tmp_path, SKALD_DIR=str(folder / "runs" / "sweep")) for args in (["seed0"], [])]

    assert all("seed0" in text for text in texts)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["digitz"], "there is no run or folder 'digitz', nor a run of that name in"),
        (["runs/nowhere"], "there is no run or folder 'runs/nowhere'"),
        (["notes.txt"], "notes.txt is a file, not a run or a folder of runs"),
        ([""], "there is no run or folder ''"),
        (
            ["s3://bucket/runs"],
            "there is no run or folder 's3://bucket/runs'; hint: of runs in a cloud store skald.scan",
        ),
        (["digits", "--metric", "los"], "there is no metric 'los'; did you mean 'loss'?"),
        (["digits", "--id", "fold=1"], "there is no id 'fold': the ids are epoch, batch, split"),
        (["digits", "--id", "epoch=one"], "id 'epoch' is int in this run, got 'one'"),
        (["runs", "--metric", "los"], "there is no metric 'los'; did you mean 'loss'?"),
        (["runs", "--metric", "loss", "--id", "fold=1"], "there is no id 'fold': the ids are epoch, batch, split"),
        (["compact", "digitz"], "there is no run or folder 'digitz'"),
    ],
)
def test_a_failure_is_one_line_on_stderr(folder: Path, args: list[str], message: str) -> None:
    """What failed is told without a traceback, with exit code 1."""
    done = start(*args, folder=folder)

    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"skald: {message}")
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def globbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three runs in two folders, beside what is no run."""
    top = tmp_path_factory.mktemp("globbed")
    for name in ("lr=1/a", "lr=1/b", "lr=2/a"):
        place = top / "runs" / name
        with skald.Logger(place.name, place.parent, capture=False) as logger:
            logger.log_metric("loss", 1.0, step=1)
    (top / "runs" / "lr=1.log").write_text("no run")
    (top / "runs" / "lr-notes").mkdir()
    return top


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["show", "runs/lr*", "--format", "csv"], ["lr=1/a", "lr=1/b", "lr=2/a"]),
        (["show", "runs/lr=?/b", "--format", "json"], ['"run": "b"']),
        (["show", "lr=1", "runs/lr=2/[a]", "--format", "csv"], ["lr=1/a", "lr=1/b", "lr=2/a"]),
        (["show", "runs/**/b", "--sort", "run", "--format", "json"], ['"run": "b"']),
        (["compare", "lr*"], ["lr=1/a", "lr=1/b", "lr=2/a"]),
        (["plot", "lr*", "-m", "loss"], ["lr=1/a", "lr=1/b", "lr=2/a"]),
        (["query", "lr*", "select distinct run from metrics"], ["lr=1/a", "lr=1/b", "lr=2/a"]),
        (["tail", "runs/lr=1/a*", "--metrics"], ["loss"]),
        (["export", "lr*", "-o", "-"], ["lr=1/a", "lr=1/b", "lr=2/a"]),
        (["check", "lr*"], ["3 runs checked"]),
        (["compact", "lr*"], ["3 runs: nothing to compact"]),
        (["lr*"], ["lr=1/a", "lr=1/b", "lr=2/a"]),
    ],
)
def test_a_path_may_be_a_glob_that_no_shell_has_expanded(args: list[str], said: list[str], globbed: Path) -> None:
    """Here or in the default folder; what matches and is no run is not mentioned, and names are as of `scan`."""
    shown = output(*args, folder=globbed)

    assert [text for text in said if text not in shown] == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["show", "nothing*"], "there is no run or folder that matches 'nothing*', nor a run in "),
        (["compact", "runs/nothing*"], "there is no run or folder that matches 'runs/nothing*'"),
        (["tail", "d*"], "expected one run, got 2 folders that match 'd*'"),
    ],
)
def test_a_glob_that_matches_nothing_or_too_much_is_told(args: list[str], message: str, tmp_path: Path) -> None:
    """In one line, with exit code 1."""
    for name in ("d-a", "d-b"):
        (tmp_path / name).mkdir()

    done = start(*args, folder=tmp_path)

    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"skald: {message}")
    assert len(done.stderr.splitlines()) == 1


def test_a_name_that_is_nearly_right_is_told(folder: Path) -> None:
    """The hint names the run that was meant."""
    done = start("digitz", folder=folder)

    assert "did you mean digits?" in done.stderr


def test_a_command_that_is_nearly_right_is_told(folder: Path) -> None:
    """A first word that is neither a command nor a run may be a slip of the one or of the other."""
    assert "hint: did you mean the command show?" in start("shwo", "runs", folder=folder).stderr
    assert "command" not in start("show", "shwo", folder=folder).stderr
    assert "command" not in start("digitz", folder=folder).stderr


def test_a_name_that_is_not_even_near_is_told_what_there_is(folder: Path) -> None:
    """The message names the metrics or the params that there are."""
    assert (
        "there is no metric 'xyz'; the metrics are loss, accuracy, grad_norm/first"
        in start("show", "digits", "-m", "xyz", folder=folder).stderr
    )
    assert (
        "there is no param 'xyz'; the params are lr, model.depth, model.act"
        in start("show", "runs", "--param", "xyz", folder=folder).stderr
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["show"], "seed0"),
        (["compare"], "loss"),
        (["plot", "-m", "loss"], "seed0"),
        (["query", "select count(distinct run) as runs from metrics"], "2"),
        (["export", "-o", "-"], "seed1,"),
        (["check"], "2 runs checked"),
        (["tail", "--metrics"], "loss"),
        ([], "seed0"),
    ],
    ids=lambda value: value[0] if value and isinstance(value, list) else None,
)
def test_a_path_left_out_is_the_default_folder(args: list[str], said: str, tmp_path: Path) -> None:
    """Of every command: `runs` here, or where $SKALD_DIR says; tail takes the newest run in it."""
    for name in ("seed0", "seed1"):
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            logger.log_metric("loss", 1.0, step=1)
    (tmp_path / "elsewhere").mkdir()

    assert said in output(*args, folder=tmp_path)
    assert said in output(*args, folder=tmp_path / "elsewhere", SKALD_DIR=str(tmp_path / "runs"))


def test_a_default_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    """`skald` alone where nothing was logged says where it looked."""
    done = start(folder=tmp_path)

    assert done.code == 1
    assert f"there is no folder of runs at {tmp_path / 'runs'}" in done.stderr


@pytest.mark.parametrize(
    "args",
    [["show", "--nonsense"], ["--nonsense"], ["digits", "--format", "xml"], ["digits", "--id", "epoch"], ["compact"]],
)
def test_wrong_usage_ends_with_2(folder: Path, args: list[str]) -> None:
    """Options that do not exist and values that they cannot have are told from failures."""
    done = start(*args, folder=folder)

    assert done.code == 2
    assert "Usage" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "usage"),
    [
        (["--nosuch"], "skald [OPTIONS] [COMMAND]"),
        (["--nosuch", "digits"], "skald [OPTIONS] [COMMAND]"),
        (["digits", "--nosuch"], "skald show [OPTIONS] [PATH]"),
        (["--last", "0", "digits"], "skald show [OPTIONS] [PATH]"),
        (["-mloss", "--nosuch"], "skald show [OPTIONS] [PATH]"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_that_of_what_was_called(args: list[str], usage: str, folder: Path) -> None:
    """What no command has is no option of `show`, which stands for options without a command."""
    done = start(*args, folder=folder)

    assert (done.code, done.stdout) == (2, "")
    assert f"Usage: {usage}" in done.stderr


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    """`skald show a | head -1` prints a line, and nothing on stderr."""
    with skald.Logger("a", tmp_path / "runs") as logger:
        logger.log_metrics({f"metric_{number}": number for number in range(3000)})
    command = [sys.executable, "-c", MAIN, "show", "a", "--format", "json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.read(1)
        process.stdout.close()
        told = process.stderr.read()

    assert first == b"{"
    assert told == b""


def test_version_is_printed(tmp_path: Path) -> None:
    """`skald --version` names program and version."""
    assert output("--version", folder=tmp_path) == f"skald {skald.__version__}\n"


@pytest.mark.parametrize("command", [[], ["show"], ["compact"]])
def test_help_is_printed_for_each_command(tmp_path: Path, command: list[str]) -> None:
    """Every command explains itself."""
    text = output(*command, "--help", folder=tmp_path)

    assert "Usage: skald" in text


def test_help_loads_no_heavy_library(tmp_path: Path) -> None:
    """`skald --help` is quick because it imports neither polars nor what reads runs."""
    code = """
        import sys
        from skald.cli import main
        try:
            main()
        except SystemExit:
            sys.stderr.write(" ".join(sys.modules))
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert not {"polars", "textual", "skald.run"} & set(done.stderr.split())


@pytest.mark.parametrize("storage", ["mapped", "staged"])
def test_show_says_how_a_running_run_is_stored(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who watches a run sees which promise holds for its rows."""
    monkeypatch.setenv("SKALD_STORAGE", storage)

    with skald.Logger("live", dir=tmp_path) as logger:
        logger.log_metric("loss", 0.5, step=1)
        shown = output("show", "live", folder=tmp_path, SKALD_DIR=str(tmp_path))

    assert storage in shown


def test_commands_tell_of_a_damaged_segment_in_one_line(tmp_path: Path) -> None:
    """A warning of the reader reaches people as a sentence, once, without a line of source."""
    killed = "import os, skald; L = skald.Logger('torn'); L.log_metric('a', 1, i=1); os._exit(1)"
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path, check=False)
    segment = next((tmp_path / "runs" / "torn" / "segments").glob("*/*.arrow"))
    segment.write_bytes(segment.read_bytes()[:100])

    done = start("show", "torn", folder=tmp_path)

    assert done.code == 0
    assert len(done.stderr.splitlines()) == 1
    assert "skald: a damaged segment is left out" in done.stderr


@pytest.mark.parametrize(
    "command", ["show a", "show a b -m loss", "compare a b", "plot a -m loss", "export a -o x.csv"]
)
@pytest.mark.parametrize(
    ("ids", "note"),
    [
        ("split=vall", "no row has split=vall; did you mean 'val'?"),
        ("split=x", "no row has split=x; the values of split are train, val"),
        ("step=7", "no row has step=7"),
        ("split=val step=0", "no row has split=val and step=0"),
    ],
)
def test_id_that_no_row_has_is_told(command: str, ids: str, note: str, tmp_path: Path) -> None:
    """With the values that there are; it is no failure, as in a folder it may be told of each run."""
    for name in "ab":
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            logger.log_metric("loss", 1.0, step=0, split="train")
            logger.log_metric("loss", 2.0, step=1, split="val")
    options = [word for pair in ids.split() for word in ("--id", pair)]

    done = start(*command.split(), *options, folder=tmp_path)

    assert (done.code, done.stderr) == (0, f"skald: {note}\n")


def test_show_of_ids_that_no_row_has_does_not_speak_of_histograms(tmp_path: Path) -> None:
    """Only where there are some."""
    with skald.Logger("a", tmp_path / "runs", capture=False) as logger:
        logger.log_metric("loss", 1.0, note="x")
        logger.log_histogram("weights", [0.0, 1.0], bins=2, epoch=0)

    none = start("show", "a", "--id", "note=y", folder=tmp_path)
    bins = start("show", "a", "-m", "weights", folder=tmp_path)

    assert none.stdout.splitlines()[-1] == "no rows"
    assert "histograms are drawn by skald plot" in bins.stdout
