"""`skald show` of a folder: which runs, in which order, with which columns."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
from pathlib import Path

import pytest
from commands import output, start
from rich.text import Text

import skald
from skald.cli.format import local_time

SEEDS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with nine runs of three learning rates, the last of which diverged and failed."""
    base = tmp_path_factory.mktemp("sweep")
    for lr in (0.001, 0.01, 0.1):
        for seed in range(SEEDS):
            log_run(base / "runs" / f"lr={lr}", lr, seed)
    return base


def log_run(runs: Path, lr: float, seed: int) -> None:
    """Log a run whose accuracy grows with its learning rate, and whose loss is NaN where that is 0.1."""
    logger = skald.Logger(f"seed{seed}", runs, capture=False, tags=["sweep"])
    logger.log_params({"lr": lr, "seed": seed, "optim": {"name": "sgd", "group": "a"}, "status": "mine", "epochs": 2})
    for epoch in range(2):
        logger.log_metric("accuracy", lr * (10 - seed) / 2 + epoch / 100, epoch=epoch)
        for split in ("train", "val"):
            logger.log_metric("loss", math.nan if lr == 0.1 else lr + seed, epoch=epoch, split=split)
    logger.close("failed" if lr == 0.1 else "finished")


def shown(folder: Path, *options: str) -> list[str]:
    """Return the names of the runs that are shown, in their order."""
    return [run["run"] for run in json.loads(output("show", "runs", *options, "--format", "json", folder=folder))]


def started() -> list[str]:
    """Return the names of all runs, the newest first."""
    return [f"lr={lr}/seed{seed}" for lr in (0.1, 0.01, 0.001) for seed in reversed(range(SEEDS))]


def test_runs_come_newest_first(folder: Path) -> None:
    """Without an order the run that was started last stands on top."""
    assert shown(folder) == started()
    assert shown(folder, "--desc") == started()


def test_last_keeps_the_newest_whatever_the_order(folder: Path) -> None:
    """`--last N` are the N runs that were started last."""
    newest = started()[:4]

    assert shown(folder, "--last", "4") == newest
    assert set(shown(folder, "--last", "4", "--sort", "accuracy")) == set(newest)
    assert shown(folder, "--last", "100") == started()


def test_last_counts_the_runs_that_meet_the_condition(folder: Path) -> None:
    """The newest of those that `--where` leaves."""
    assert shown(folder, "--where", "lr < 0.05", "--last", "1") == ["lr=0.01/seed2"]


@pytest.mark.parametrize(
    ("condition", "runs"),
    [
        ("lr < 0.005", 3),
        ('"params.lr" < 0.005', 3),
        ("params.lr < 5e-3", 3),
        ("lr < 0.05 and status = 'finished'", 6),
        ("status = 'mine'", 0),
        ("params.status = 'mine'", 9),
        ("optim.name = 'sgd'", 9),
        ("params.optim.name = 'sgd'", 9),
        ("\"optim.name\" = 'adam'", 0),
        ("optim.group like 'a%' and seed in (0, 2)", 6),
        ("rows = 6 and run like 'lr=0.1/%'", 3),
        ("array_contains(tags, 'sweep') and started > '2020-01-01' and duration < interval '1 hour'", 9),
        ("accuracy.max > 0.4", 3),
        ('"accuracy.max" > 0.4', 3),
        ("accuracy.max_at.epoch = 1", 9),
        ("lr < 1 or\nlr > 2 -- a comment", 9),
    ],
)
def test_where_is_a_condition_over_the_columns_of_runs(condition: str, runs: int, folder: Path) -> None:
    """A param stands with or without `params.` and quotes, but for one that is called as a column; metrics too."""
    assert len(shown(folder, "--where", condition)) == runs


def test_where_takes_the_series_that_an_id_chooses(folder: Path) -> None:
    """With `--id split=val` the loss is that of one series."""
    assert len(shown(folder, "--where", "loss.max < 0.5", "--id", "split=val")) == 2
    assert len(shown(folder, "--where", '"loss{split=val}.max" < 0.5')) == 2


def test_where_that_nothing_meets_is_no_failure(folder: Path) -> None:
    """An empty list, a header, or a word for people."""
    options = ["show", "runs", "--where", "lr = 7"]

    assert json.loads(output(*options, "--format", "json", folder=folder)) == []
    assert output(*options, "--format", "csv", folder=folder).startswith("run,path,status")
    assert "no run meets the condition" in output(*options, folder=folder)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("lr <", "in the SQL: Expected: an expression, found: its end\n  lr <\n      ^"),
        ("lrr < 1", "in the SQL: there is no column 'lrr'; did you mean 'lr'?"),
        ("loss < 1", "in the SQL: there is no column 'loss'; the columns are run, path,"),
        (
            "tags = 'vit'",
            "in the SQL: cannot cast List type (inner: 'String', to: 'String'); hint: tags is a list: write",
        ),
        (
            "loss.min < 1",
            "loss.min means 2 columns: loss{split=train}.min, loss{split=val}.min; hint: name one of them",
        ),
        ("acuracy.max > 1", "there is no metric 'acuracy'; did you mean 'accuracy'?\n"),
        (
            "duration > 60",
            "a duration is compared with a bare number in 'duration > 60'; hint: write duration > interval",
        ),
        ("duration", "in the SQL: filter predicate must be of type `Boolean`"),
        ("lr < 1 order by lr", "in the SQL: Expected: ), found: order\n  lr < 1 order by lr\n         ^"),
    ],
)
def test_where_that_is_wrong_points_at_the_place(condition: str, message: str, folder: Path) -> None:
    """What is wrong, and below it the line with a mark."""
    done = start("show", "runs", "--where", condition, folder=folder)

    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"skald: {message}")
    assert "__" not in done.stderr


@pytest.mark.parametrize(
    ("condition", "message", "place"),
    [
        ("lrr < 1", "there is no column 'lrr'; did you mean 'lr'?", "  lrr < 1\n  ^"),
        ("lr < 1 and\n  seeed = 1", "no column 'seeed'; did you mean 'seed'", "    seeed = 1\n    ^"),
        ("optim.nam = 'a'", "no column 'optim.nam'; did you mean 'optim.name'", "  optim.nam = 'a'\n  ^"),
        ("optm.name = 'a'", "no column 'optm.name'; did you mean 'optim.name'", "  optm.name = 'a'\n  ^"),
        ("params.lrr > 1", "no column 'params.lrr'; did you mean 'lr'", "  params.lrr > 1\n  ^"),
        ("loss [x].min < 1", "a name that has other signs than letters, digits,", "  loss [x].min < 1\n        ^"),
    ],
)
def test_where_with_a_name_that_nothing_has_names_near_ones(
    condition: str, message: str, place: str, folder: Path
) -> None:
    """Wholly, also where polars tells only a part of it, with the place, and how metrics are named."""
    done = start("show", "runs", "--where", condition, folder=folder)

    assert done.code == 1
    assert message in done.stderr
    assert done.stderr.endswith(f"{place}\n")
    assert ("hint: of a metric write NAME.last, NAME.min or NAME.max" in done.stderr) == ("column" in message)


@pytest.mark.parametrize(
    ("column", "first", "last"),
    [
        ("lr", "lr=0.001", "lr=0.1"),
        ("params.lr", "lr=0.001", "lr=0.1"),
        ("started", "lr=0.001/seed0", "lr=0.1/seed2"),
        ("accuracy.max", "lr=0.001/seed2", "lr=0.1/seed0"),
        ("accuracy", "lr=0.001/seed2", "lr=0.1/seed0"),
        ("status", "lr=0.1", "lr=0.0"),
        ("run", "lr=0.001/seed0", "lr=0.1/seed2"),
        ("tags", "lr=0.1/seed2", "lr=0.001/seed0"),
    ],
)
def test_sort_orders_by_a_column_a_param_or_a_metric(column: str, first: str, last: str, folder: Path) -> None:
    """Ascending, and with `--desc` the largest first."""
    order = shown(folder, "--sort", column)
    reverse = shown(folder, "--sort", column, "--desc")

    assert order[0].startswith(first)
    assert order[-1].startswith(last)
    if column != "tags":  # which are all the same
        assert reverse[0].startswith(last)


def test_sort_puts_runs_without_a_value_last(folder: Path) -> None:
    """NaN is the end of the table in either order, never its top."""
    choice = ["--sort", "loss.last", "--id", "split=val"]

    assert {name[:6] for name in shown(folder, *choice)[-3:]} == {"lr=0.1"}
    assert {name[:6] for name in shown(folder, *choice, "--desc")[-3:]} == {"lr=0.1"}


def test_sort_adds_the_metric_to_the_table(folder: Path) -> None:
    """It is shown though nobody asked for it with `--metric`, in every form."""
    table = output("show", "runs", "--sort", "accuracy.max", folder=folder, COLUMNS="80")
    rows = list(
        csv.DictReader(io.StringIO(output("show", "runs", "--sort", "accuracy", "--format", "csv", folder=folder)))
    )

    assert "accuracy.max" in table.splitlines()[0].split()
    assert {"accuracy.last", "accuracy.max_at"} <= set(rows[0])


def test_extreme_that_runs_are_sorted_by_is_shown_with_where_it_was(folder: Path) -> None:
    """Beside it stand the ids of its row, but for those that its column has in its name."""
    lines = on_terminal(folder, "--sort", "loss.max", "--id", "split=val", width=100)

    header = lines[0].split()
    assert header[header.index("loss.max") + 1] == "at"
    assert "epoch=0" in lines[1].split()
    assert "split=val" not in lines[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--sort", "loss"],
            "loss means 2 columns: loss{split=train}.last, loss{split=val}.last; hint",
        ),
        (["--sort", "loss.max"], "loss.max means 2 columns: loss{split=train}.max, loss{split=val}.max"),
        (["--sort", "acuracy.max"], "there is no metric 'acuracy'; did you mean 'accuracy'?"),
        (["--sort", "startd"], "there is no column and no metric 'startd'; did you mean 'started' or 'status'?"),
        (["--sort", "x"], "there is no column and no metric 'x'; the columns are run, path, status, started,"),
        (["--sort", "accuracy.max_at"], "accuracy.max_at holds places, which have no order: sort by accuracy.max"),
        (["--param", "lrr"], "there is no param 'lrr'; did you mean 'lr'?"),
        (["--param", "nonsense"], "there is no param 'nonsense'; the params are lr, seed,"),
        (["--id", "split=val"], "--id chooses series of metrics: name one with --metric too, got split=val"),
    ],
)
def test_show_asked_for_what_is_not_there_names_what_is(options: list[str], message: str, folder: Path) -> None:
    """One line on stderr that says how to go on."""
    done = start("show", "runs", *options, folder=folder)

    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"skald: {message}")


def test_a_series_may_be_named_in_the_order(folder: Path) -> None:
    """As its column is called."""
    assert shown(folder, "--sort", "loss{split=val}.max")[0] == "lr=0.001/seed0"


def test_a_column_of_rows_without_ids_tells_of_the_series_that_it_leaves_out(tmp_path: Path) -> None:
    """Where some runs have no split: which series there are, and how to name one; a series that is chosen is quiet."""
    for name, ids in {"a": {}, "b": {"split": "train"}, "c": {"split": "val"}}.items():
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            logger.log_metric("loss", 0.5, step=1, **ids)

    for option, asked, column in (("--where", "loss.min < 1", "min"), ("--sort", "loss", "last")):
        done = start("show", "runs", option, asked, folder=tmp_path)

        others = f"loss{{split=train}}.{column}, loss{{split=val}}.{column}"
        assert done.stderr.startswith(f"skald: loss.{column} leaves out the series of {others}; hint: name one of them")
        assert len(done.stderr.splitlines()) == 1
        assert "0.5" in output("show", "runs", option, asked, "--id", "split=val", folder=tmp_path)


def test_param_chooses_the_params(folder: Path) -> None:
    """By glob, with or without `params.`, also those that do not differ."""
    run = json.loads(
        output("show", "runs", "--param", "optim.*", "-p", "params.lr", "--format", "json", folder=folder)
    )[0]
    table = output("show", "runs", "--param", "optim.*", folder=folder)

    assert [name for name in run if name.startswith("params.")] == [
        "params.lr",
        "params.optim.name",
        "params.optim.group",
    ]
    assert {"optim.name", "optim.group"} <= set(table.splitlines()[0].split())


def test_param_chooses_the_params_of_one_run(folder: Path) -> None:
    """On its page, and in its JSON, nested as they are."""
    run = "runs/lr=0.1/seed0"
    page = output("show", run, "--param", "optim.*", folder=folder)
    shape = json.loads(output("show", run, "--param", "optim.name", "--format", "json", folder=folder))
    done = start("show", run, "--param", "learning", folder=folder)

    assert "optim.name=sgd" in page
    assert "seed=" not in page
    assert shape["params"] == {"optim": {"name": "sgd"}}
    assert done.stderr.startswith("skald: there is no param 'learning'")


@pytest.mark.parametrize("options", [["--where", "lr > 0"], ["--sort", "lr"], ["--last", "1"]], ids=" ".join)
def test_one_run_is_a_run_whatever_chooses_and_orders_runs(options: list[str], folder: Path) -> None:
    """The shape of the JSON depends on the paths alone; a folder with one run left is a list."""
    run = json.loads(output("show", "runs/lr=0.1/seed0", *options, "--format", "json", folder=folder))
    runs = json.loads(output("show", "runs/lr=0.1", *options, "--last", "1", "--format", "json", folder=folder))

    assert run["run"] == "seed0"
    assert [series["metric"] for series in run["metrics"]] == ["accuracy", "loss", "loss"]
    assert [one["run"] for one in runs] == ["seed2"]


def test_one_run_that_does_not_meet_the_condition_is_told(folder: Path) -> None:
    """Instead of a list without anything in it."""
    done = start("show", "runs/lr=0.1/seed0", "--where", "lr < 0.1", "--format", "json", folder=folder)

    assert (done.code, done.stdout) == (1, "")
    assert done.stderr == "skald: no run meets the condition 'lr < 0.1'\n"


def test_a_glob_leaves_out_a_metric_of_too_many_series(tmp_path: Path) -> None:
    """With a word that says which id to give; asked for by its name it is an error, as of `skald.runs`."""
    with skald.Logger("a", tmp_path / "runs", capture=False) as logger:
        for number in range(51):
            logger.log_metric("lost", 1.0, worker=f"w{number}")
        logger.log_metric("loss", 2.0)

    every = start("show", "runs", "-m", "l*", "--format", "json", folder=tmp_path)
    named = start("show", "runs", "-m", "lost", "--format", "json", folder=tmp_path)

    assert every.code == 0
    assert {name for name in json.loads(every.stdout)[0] if name.startswith("lo")} == {
        f"loss.{of}" for of in ("last", "min", "min_at", "max", "max_at")
    }
    assert "'lost' has 51 series in these runs" in every.stderr
    assert ": left out; hint: choose one with worker=" in every.stderr
    assert (named.code, "'lost' has 51 series" in named.stderr) == (1, True)
    with pytest.raises(skald.InvalidInputError, match="'lost' has 51 series"):
        skald.runs(tmp_path / "runs", metrics="l*")


def on_terminal(folder: Path, *options: str, width: int = 200) -> list[str]:
    """Return the lines that a terminal shows of the runs, without their colors."""
    text = output("show", "runs", *options, folder=folder, COLUMNS=str(width), FORCE_COLOR="1", TERM="xterm-256color")
    return Text.from_ansi(text).plain.splitlines()


def test_columns_that_differ_come_first(folder: Path) -> None:
    """After run and status; then what is the same in all runs, whose params stand on a line below."""
    header, *runs, below = on_terminal(folder, "--where", "lr = 0.1")

    names = header.split()
    assert names[:2] == ["run", "status"]
    assert set(names[2:5]) >= {"seed"}
    assert names.index("seed") < names.index("rows") < names.index("tags")
    assert below.startswith("in all: lr=0.1  optim.name=sgd")
    assert "params.status=mine" in below.split()
    assert len(runs) == SEEDS


def test_table_in_a_pipe_is_a_header_and_runs(folder: Path) -> None:
    """Nothing stands below that another program would take for a run."""
    lines = output("show", "runs", folder=folder).splitlines()

    assert len(lines) == 10
    assert all(line.startswith("lr=") for line in lines[1:])


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_table_of_runs_fits_the_width(width: int, folder: Path) -> None:
    """No line is wider, what was asked for is there at any width, and what had no room is said."""
    lines = on_terminal(folder, "-m", "accuracy", width=width)

    assert max(map(len, lines)) <= width
    assert {"run", "status", "accuracy.last"} <= set(lines[0].split())
    assert ("had no room: --format csv has all" in lines[-1]) == (width < 140)


def test_long_names_of_runs_leave_room_for_what_was_asked(tmp_path: Path) -> None:
    """A name is cut to half of the width where it would push out all else."""
    for number in range(2):
        with skald.Logger("a_long_name_" * 8 + str(number), tmp_path / "runs", capture=False) as logger:
            logger.log_params(lr=number)

    header, *rows = output("show", "runs", folder=tmp_path, COLUMNS="80").splitlines()
    pipe = output("show", "runs", folder=tmp_path)

    assert "lr" in header.split()
    assert max(map(len, rows)) <= 80
    assert "a_long_name_" * 8 + "1" in pipe


@pytest.mark.parametrize(
    ("condition", "runs"),
    [
        ("loss < 1", ["b"]),
        ("loss.last > 0.5", ["a"]),
        ("params.loss > 1 and loss.last > 0.5", ["a"]),
        ("depth = 1", ["a"]),
        ("depth.of = 2", ["b"]),
        ("depth = 1 or depth.of = 2", ["b", "a"]),
        ("depth = 1 and depth.of is null", ["a"]),
        ('runs."loss.last" > 0.5 and runs.depth = 1', ["a"]),
        ("end = 2 and limit = 3", ["b"]),
        ("\"weird key\" = 's'", ["b"]),
        ("\"group\" = 'g1'", ["a"]),
        ('"val/acc.top-1.max" > 0.7', ["b"]),
        ("gr\u00f6\u00dfe = 1", ["a"]),
        ("run = 'a'", ["a"]),
        ("params.run = 'mine'", ["b"]),
    ],
)
def test_where_tells_names_that_are_alike_apart(condition: str, runs: list[str], tmp_path: Path) -> None:
    """A param and a metric of one name, a param and a group of params, a param and a column, names with signs."""
    first = {"loss": 3, "depth": 1, "weird key": 1, "group": "g1", "gr\u00f6\u00dfe": 1}
    second = {"loss": 0.5, "depth": {"of": 2}, "weird key": "s", "group": "g2", "run": "mine", "end": 2, "limit": 3}
    for name, params, loss in (("a", first, 0.9), ("b", second, 0.1)):
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            logger.log_params(params)
            logger.log_metrics({"loss": loss, "val/acc.top-1": 1 - loss}, step=1)

    assert shown(tmp_path, "--where", condition) == runs


def test_status_gives_way_to_what_differs_where_it_is_the_same(tmp_path: Path) -> None:
    """In a narrow terminal a column that says the same of all runs is not worth the room."""
    for seed in range(3):
        with skald.Logger(f"run{seed}", tmp_path / "runs", capture=False) as logger:
            logger.log_params(note="x" * 25 + str(seed), seed=seed)

    same = on_terminal(tmp_path, width=50)[0].split()
    with contextlib.suppress(ZeroDivisionError), skald.Logger("bad", tmp_path / "runs", capture=False):
        raise ZeroDivisionError
    different = on_terminal(tmp_path, width=50)[0].split()

    assert same[:1] == ["run"]
    assert {"note", "seed"} <= set(same)
    assert "status" not in same
    assert "status" in different


def test_long_params_leave_room_for_each_other(tmp_path: Path) -> None:
    """A prompt and a path of a hundred characters both have their column, beside the start to the second."""
    for name in ("a", "b"):
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            logger.log_params(prompt=f"{name} prompt " * 20, data=f"/data/{name}/" + "x" * 100)

    printed = output("show", "runs", folder=tmp_path, COLUMNS="100")

    assert all(f"/data/{name}/xxxx" in printed and f"{name} prompt" in printed for name in "ab")
    assert all(local_time(skald.Run(tmp_path / "runs" / name).started) in printed for name in "ab")


@pytest.fixture(name="mixed", scope="module")
def runs_of_which_one_has_no_number(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return runs whose `lr` is a number in all but one."""
    folder = tmp_path_factory.mktemp("mixed")
    for name, lr, opt in (("a", 1e-5, "sgd"), ("b", 0.01, 3), ("c", 10.0, "adam"), ("d", "auto", "adam")):
        with skald.Logger(name, folder / "runs", capture=False) as logger:
            logger.log_params(lr=lr, opt=opt, **{"lr scale": lr})
    return folder


@pytest.mark.parametrize(
    ("condition", "names", "told"),
    [
        ("lr < 0.05", "ab", "param 'lr' is compared as a number, which it is not in 'd'"),
        ("lr > 0.5", "c", "compared as a number"),
        ("lr > 9", "c", "compared as a number"),
        ('"params.lr scale" > 9', "c", "param 'lr scale' is compared as a number"),
        ("lr < 0.05 and opt <> 'sgd'", "b", "param 'lr' is compared as a number"),
        ("lr = 'auto'", "d", ""),
        ("lr in ('auto', 'x')", "d", ""),
        ("lr is null", "", ""),
        ("try_cast(lr as double) < 0.05", "ab", ""),
        (
            "lr = 'auto' or lr < 0.05",
            "bd",
            "param 'lr' is compared as text, as it is no number in 'd'; hint: for numbers",
        ),
    ],
)
def test_where_compares_a_param_that_is_a_number_in_some_runs_as_one(
    mixed: Path, condition: str, names: str, told: str
) -> None:
    """With one warning, where it can be asked of numbers; else as the text that its column is."""
    done = start("show", "runs", "--where", condition, "--format", "json", folder=mixed)

    assert (done.code, sorted(run["run"] for run in json.loads(done.stdout))) == (0, [*names])
    assert done.stderr.count("\n") == bool(told)
    assert told in done.stderr
    assert skald.runs(mixed / "runs")["params.lr"].to_list() == ["1e-05", "0.01", "10.0", "auto"]


def test_sort_by_a_param_that_is_a_number_in_some_runs_is_by_the_numbers(mixed: Path) -> None:
    """Text comes last."""
    assert shown(mixed, "--sort", "lr") == ["a", "b", "c", "d"]
    assert shown(mixed, "--sort", "lr", "--desc") == ["c", "b", "a", "d"]


def test_query_warns_of_a_param_that_is_compared_as_text(mixed: Path) -> None:
    """Once, with the way out, which is one."""
    done = start("query", "runs", "select run from runs r where r.lr < 0.05", "--format", "csv", folder=mixed)
    out = "select run from runs where try_cast(lr as double) < 0.05 order by run"

    assert "try_cast(lr as double)" in done.stderr
    assert done.stderr.count("\n") == 1
    assert output("query", "runs", out, "--format", "csv", folder=mixed).split() == ["run", "a", "b"]


def test_where_asks_of_tags_as_of_a_list(folder: Path) -> None:
    """As the hint says."""
    assert len(shown(folder, "--where", "array_contains(tags, 'sweep') and lr > 0.01")) == SEEDS
    assert shown(folder, "--where", "array_contains(tags, 'vit')") == []


def test_show_runs_says_nothing_of_params_that_none_of_these_has(tmp_path: Path) -> None:
    """Of a few runs of a folder: what is the same in all of them is not nothing."""
    for name, params in (("old", {"seed": 1}), ("x", {"lr": 1}), ("y", {"lr": 1})):
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            logger.log_params(params)

    below = on_terminal(tmp_path, "--last", "2", width=60)[-1]

    assert below == "in all: lr=1"
