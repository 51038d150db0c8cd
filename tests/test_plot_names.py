"""`skald plot -x` over an id that is a name: a string or a bool, whose values stand side by side."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from commands import output, start

import skald
from skald.cli.canvas import Canvas, Mark
from skald.cli.ticks import name_ticks
from skald.errors import InvalidInputError
from skald.reading.axis import MOST_NAMES, names_axis


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which `runs` holds two runs with a score a class, of which the second lacks one."""
    place = tmp_path_factory.mktemp("names")
    for name, classes, more in (("a", ["zebra", "cat", "é <b>"], 0.0), ("b", ["cat", "é <b>", "last"], 10.0)):
        with skald.Logger(name, place / "runs", capture=False) as logger:
            for number, cls in enumerate(classes):
                for epoch in range(2):
                    logger.log_metric("score", number + epoch + more, cls=cls, epoch=epoch)
                logger.log_metric("once", number, cls=cls)
                logger.log_histogram("weights", [number, number + 1.0], bins=2, cls=cls)
            for good in (True, False):
                logger.log_metric("loss", float(good), good=good)
            logger.log_metric("bare", 1.0, step=0)
    return place


def words(line: str) -> list[str]:
    """Return what stands in the line below a frame, parted by two spaces or more."""
    return re.split(r" {2,}", line.strip())


def test_plot_over_names_is_one_curve_through_the_mean_of_each(folder: Path) -> None:
    """The names stand in the order in which they first appear; between two of them no range is shaded."""
    printed = output("plot", "a", "-m", "score", "-x", "cls", "--width=36", "--height=10", folder=folder)

    assert printed == (
        "score\n"
        " ┌─────────────────────────────────┐\n"
        " │                           ░     │\n"
        " │                      ⢀⣀⠤⠒⠊•     │\n"
        "2┤                ░⣀⡠⠔⠒⠉⠁    ░     │\n"
        " │     ░     ⣀⡠⠤⠒⠊•                │\n"
        " │     •⡠⠤⠒⠊⠉                      │\n"
        "0┤     ░                           │\n"
        " └─────┬──────────┬──────────┬─────┘\n"
        "     zebra       cat       é <b>\n"
        "                 cls\n"
        "mean of the values of each cls, and their range\n"
    )


def test_runs_share_names_in_the_order_of_first_appearance(folder: Path) -> None:
    """Also those that only one of them has."""
    printed = output("plot", "runs", "-m", "score", "-x", "cls", folder=folder).splitlines()

    assert printed[1] == "* a   + b"
    assert words(printed[-3]) == ["zebra", "cat", "é <b>", "last"]
    assert printed[-2].strip() == "cls"
    assert printed[-1] == "mean of the values of each cls, and their range"


def test_plot_over_a_bool_has_two_names(folder: Path) -> None:
    """One value each is no mean, and nothing is said of it."""
    printed = output("plot", "a", "-m", "loss", "-x", "good", folder=folder).splitlines()

    assert words(printed[-2]) == ["true", "false"]
    assert printed[-1].strip() == "good"


def test_plot_over_names_draws_a_band_over_runs(folder: Path) -> None:
    """Of each name the mean of the runs that have it."""
    printed = output("plot", "runs", "-m", "once", "-x", "cls", "--band", "run", folder=folder)

    assert printed.startswith("once, mean ± std over run\n")
    assert "mean of the values" not in printed


def test_plot_over_names_draws_histograms_side_by_side(folder: Path) -> None:
    """A column of the heat map for each name, with the name in its middle."""
    lines = output("plot", "a", "-m", "weights", "-x", "cls", "--width=36", "--height=10", folder=folder).splitlines()

    assert lines[0] == "weights"
    assert [line[2:].find("█") for line in lines[2:-3:2]] == [22, 11, 0]
    assert words(lines[-2]) == ["zebra", "cat", "é <b>"]


@pytest.mark.parametrize("metric", ["score", "weights"])
def test_plot_over_names_into_a_file_has_each_name_as_a_label(metric: str, folder: Path, tmp_path: Path) -> None:
    """In the order of the terminal."""
    output("plot", "a", "-m", metric, "-x", "cls", "-o", str(tmp_path / "plot.svg"), folder=folder)

    texts = re.findall(r"<text [^>]*>([^<]*)</text>", (tmp_path / "plot.svg").read_text(encoding="utf-8"))
    assert [text for text in texts if text in {"cat", "zebra", "é &lt;b&gt;"}] == ["zebra", "cat", "é &lt;b&gt;"]


def test_plot_over_names_that_are_long_turns_their_labels(tmp_path: Path) -> None:
    """In a file all of two dozen have room so; a terminal has as many as fit, the ends of none beyond its width."""
    names = [f"a name that is rather long {number:02}" for number in range(24)]
    with skald.Logger("a", tmp_path / "runs", capture=False) as logger:
        logger.log_batch({"score": range(24)}, cls=names)

    printed = output("plot", "a", "-m", "score", "-x", "cls", folder=tmp_path).splitlines()
    output("plot", "a", "-m", "score", "-x", "cls", "-o", "plot.svg", folder=tmp_path)

    labels = re.findall(r"rotate\(320[^>]*>([^<]*)</text>", (tmp_path / "plot.svg").read_text(encoding="utf-8"))
    assert labels == names
    assert words(printed[-2]) == ["a name that…ther long 00", "a name that…ther long 16"]
    assert max(map(len, printed)) <= 80


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--log-x"], "--log-x takes an x that is a number or a time; 'cls' is str here"),
        (["--smooth", "0.5"], "--smooth takes an x that is a number or a time; 'cls' is str here"),
        (["--color", "cls"], "-x must be another id than that of --band and --color, got 'cls'"),
        (["--band", "cls"], "-x must be another id than that of --band and --color, got 'cls'"),
    ],
)
def test_plot_over_names_refuses_what_needs_numbers(options: list[str], message: str, folder: Path) -> None:
    """With one line that says what x is."""
    done = start("plot", "runs", "-m", "score", "-x", "cls", *options, folder=folder)

    assert (done.code, done.stdout, done.stderr) == (1, "", f"skald: {message}\n")


def test_plot_over_a_name_that_no_row_has_draws_nothing(folder: Path) -> None:
    """And says how many rows have no x."""
    printed = output("plot", "a", "-m", "bare", "-x", "cls", folder=folder)

    assert printed == "bare\nnothing to draw\n1 row without an x that can be drawn\n"


def test_names_are_counted_before_they_are_drawn() -> None:
    """More than anybody can tell apart are refused with a word, and not drawn over each other."""
    rows = pl.LazyFrame({"file": [f"f{number}" for number in range(MOST_NAMES + 1)]})

    assert len(names_axis("file", rows.head(MOST_NAMES)).names) == MOST_NAMES
    with pytest.raises(InvalidInputError, match="at most 500 names; 'file' has 501"):
        names_axis("file", rows)


@pytest.mark.parametrize(("columns", "labels"), [(12, ["aa", "bb", "cc", "dd"]), (11, ["aa", "cc"]), (3, ["aa"])])
def test_as_many_names_are_ticks_as_have_room(columns: int, labels: list[str]) -> None:
    """Evenly apart, each at its place."""
    ticks = name_ticks(["aa", "bb", "cc", "dd"], columns)

    assert [tick.label for tick in ticks] == labels
    assert [["aa", "bb", "cc", "dd"][int(tick.place)] for tick in ticks] == labels


def test_names_are_as_wide_as_a_terminal_shows_them() -> None:
    """A character of two cells takes two, and one name that is long does not cost the others their place."""
    assert [tick.label for tick in name_ticks(["猫", "犬"], 6)] == ["猫", "犬"]
    assert [tick.label for tick in name_ticks(["猫", "犬"], 5)] == ["猫"]
    assert [tick.label for tick in name_ticks(["a" * 99, "b", "c", "d"], 31)] == [
        f"{'a' * 11}…{'a' * 12}",
        "b",
        "c",
        "d",
    ]
    lines, _ = Canvas(12, 1).framed([Mark(0.1, "猫"), Mark(0.55, "犬犬"), Mark(1.0, "x")], [], None, ascii_only=False)
    assert lines[-1].plain == " 猫  犬犬   x"
