"""`skald plot`: what is drawn in a terminal, a pipe and files, and what is said where nothing can be."""

from __future__ import annotations

import math
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import output, start
from PIL import Image

import skald
from skald.cli.ticks import clock_ticks, duration_unit, log_ticks, number_ticks

NAN = float("nan")
CROSS = "\N{MULTIPLICATION SIGN}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which `runs` holds four runs: two learning rates, two seeds."""
    place = tmp_path_factory.mktemp("plots")
    for lr in (0.1, 0.5):
        for seed in range(2):
            with skald.Logger(f"lr{lr}-s{seed}", place / "runs", capture=False) as logger:
                logger.log_params({"lr": lr, "seed": seed, "model": {"depth": 3}})
                for step in range(20):
                    logger.log_metric("loss", math.exp(-lr * step) + seed / 10, step=step)
                    logger.log_metric("accuracy", step / 20, step=step, split="val")
                    logger.log_metric("accuracy", step / 10, step=step, split="train")
                logger.log_metric("broken", 1.0, step=0)
                logger.log_metric("broken", NAN, step=1)
                logger.log_histogram("weights", [0.0, 1.0, 1.0, 2.0], bins=2, epoch=0)
                logger.log_histogram("weights", [0.0, 2.0], bins=2, epoch=1)
    return place


def test_plot_draws_a_curve_in_a_pipe(folder: Path) -> None:
    """A pipe gets 80 columns of plain text: title, a frame with round ticks, the x, and no escape codes."""
    printed = output("plot", "lr0.1-s0", "-m", "accuracy", "--id", "split=val", folder=folder)

    lines = printed.splitlines()
    assert "\x1b" not in printed
    assert lines[0] == "accuracy"
    assert max(map(len, lines)) == 80
    assert len(lines) == 21
    assert lines[-1].strip() == "step"
    assert lines[-2].split() == ["0", "5", "10", "15"]
    assert [line.split("┤")[0].strip() for line in lines if "┤" in line] == ["0.8", "0.6", "0.4", "0.2", "0"]


def test_plot_of_a_line_looks_like_one(folder: Path) -> None:
    """What rises evenly is a straight line of braille from corner to corner."""
    printed = output(
        "plot", "lr0.1-s0", "-m", "accuracy", "--id", "split=val", "--width=36", "--height=10", folder=folder
    )

    assert printed == (
        "accuracy\n"
        "   ┌───────────────────────────────┐\n"
        "   │                          ⢀⠤⠔⠒⠉│\n"
        "0.8┤                    ⢀⣀⠤⠔⠒⠉⠁    │\n"
        "   │               ⢀⣀⠤⠔⠉⠁          │\n"
        "0.4┤          ⢀⡠⠤⠒⠉⠁               │\n"
        "   │     ⣀⠤⠔⠒⠉⠁                    │\n"
        "  0┤⣀⠤⠔⠊⠉                          │\n"
        "   └┬───────────────┬──────────────┘\n"
        "    0              10\n"
        "                 step\n"
    )


@pytest.mark.parametrize("width", [60, 80, 133, 200])
def test_plot_is_as_wide_as_the_terminal(folder: Path, width: int) -> None:
    """From 60 to 200 columns no line is longer, and the frame fills them."""
    printed = output("plot", "-m", "loss", folder=folder, COLUMNS=str(width))

    assert max(map(len, printed.splitlines())) == width


def test_plot_has_colors_on_a_terminal_unless_no_color_is_set(folder: Path) -> None:
    """FORCE_COLOR stands for a terminal here; NO_COLOR takes every colour away."""
    colored = output("plot", "-m", "loss", folder=folder, FORCE_COLOR="1", TERM="xterm-256color")
    plain = output("plot", "-m", "loss", folder=folder, FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1")

    assert "\x1b[38;5;74m" in colored
    assert not re.search(r"\x1b\[[\d;]*3[0-9]", plain)


def test_plot_in_ascii_where_the_encoding_has_no_braille(folder: Path) -> None:
    """The frame, the curve and its shade have signs that every terminal can show."""
    printed = output("plot", "-m", "loss", "-m", "weights", "--smooth=0.5", folder=folder, encoding="ascii")

    assert printed.isascii()
    assert "?" not in printed
    assert "+---" in printed


def test_plot_overlays_runs_and_tells_them_apart_without_colors(folder: Path) -> None:
    """Each run has its sign in the legend and its curve of that sign."""
    printed = output("plot", "runs", "-m", "loss", folder=folder)

    legend, plot = printed.splitlines()[1], printed.splitlines()[2:]
    assert legend == "* lr0.1-s0   + lr0.1-s1   o lr0.5-s0   x lr0.5-s1"
    assert all(sign in "".join(plot) for sign in "*+ox")


def test_plot_of_one_run_has_a_curve_a_series(folder: Path) -> None:
    """Train and val are two curves; an id keeps one, which needs no legend."""
    both = output("plot", "lr0.1-s0", "-m", "accuracy", folder=folder)
    one = output("plot", "lr0.1-s0", "-m", "accuracy", "--id", "split=train", folder=folder)

    assert both.splitlines()[1] == "* split=val   + split=train"
    assert "split" not in one


def test_plot_colors_by_a_param(folder: Path) -> None:
    """Runs of one value share its colour."""
    printed = output("plot", "runs", "-m", "loss", "--color", "lr", folder=folder)

    assert printed.splitlines()[1] == "* lr=0.1   + lr=0.5"


@pytest.mark.parametrize("band", ["seed", "params.seed"])
def test_plot_draws_a_band_over_a_param(folder: Path, band: str) -> None:
    """The other params that differ keep groups of runs apart; the title says what is drawn."""
    printed = output("plot", "runs", "-m", "loss", "--band", band, folder=folder)

    assert printed.splitlines()[:2] == [f"loss, mean ± std over {band}", "* lr=0.1   + lr=0.5"]
    assert "░" in printed


def test_plot_takes_a_condition_over_the_runs(folder: Path) -> None:
    """Params, and metrics of the series that `--id` chooses."""
    text = output("plot", "runs", "-m", "loss", "--where", "lr = 0.5 and seed = 1", folder=folder)
    chosen = output(
        "plot", "runs", "-m", "accuracy", "--id", "split=val", "--where", "accuracy.max < 1 and lr = 0.1", folder=folder
    )

    assert "lr0.1" not in text
    assert "lr0.1-s0" in chosen
    assert "lr0.5" not in chosen


@pytest.mark.parametrize("params", [{"seed"}, set()])
def test_plot_draws_a_band_over_an_id_that_tells_runs_apart(tmp_path: Path, params: set[str]) -> None:
    """As over a param: with or without a param of that name, a curve for each learning rate is left."""
    for lr in (0.1, 0.5):
        for seed in range(2):
            with skald.Logger(f"lr{lr}-s{seed}", tmp_path / "runs", ids={"seed": seed}, capture=False) as logger:
                logger.log_params({"lr": lr, **dict.fromkeys(params, seed)})
                logger.log_batch({"loss": [lr + seed + step for step in range(4)]}, step=range(4))

    printed = output("plot", "runs", "-m", "loss", "--band", "seed", folder=tmp_path)

    assert printed.splitlines()[:2] == ["loss, mean ± std over seed", "* lr=0.1   + lr=0.5"]
    assert "░" in printed


def test_plot_draws_a_band_over_an_id_inside_of_runs_for_each_run(tmp_path: Path) -> None:
    """An id of which a run has several values is averaged in each run."""
    for name in ("a", "b"):
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            logger.log_batch({"loss": range(8)}, step=[0, 1, 2, 3] * 2, seed=[0] * 4 + [1] * 4)

    printed = output("plot", "runs", "-m", "loss", "--band", "seed", folder=tmp_path)

    assert printed.splitlines()[:2] == ["loss, mean ± std over seed", "* a   + b"]


def test_plot_draws_a_band_over_runs_and_over_an_id(folder: Path) -> None:
    """Over all runs there is one curve of each series, over an id one of each run."""
    runs = output("plot", "runs", "-m", "accuracy", "--band", "run", folder=folder)
    split = output("plot", "runs", "-m", "accuracy", "--band", "split", folder=folder)

    assert runs.splitlines()[1] == "* split=val   + split=train"
    assert split.splitlines()[1].startswith("* lr0.1-s0   + lr0.1-s1")


def test_plot_over_an_id_time_and_relative_time(folder: Path) -> None:
    """The label says what x is."""
    labels = [
        output("plot", "runs", "-m", "weights" if x == "epoch" else "loss", "-x", x, folder=folder).splitlines()
        for x in ("step", "time", "relative", "epoch")
    ]

    assert [lines[-1].strip() if lines[-1].startswith(" ") else lines[-2].strip() for lines in labels] == [
        "step", "time", "seconds since the start", "epoch",
    ]  # fmt: skip


def test_plot_over_the_position_names_the_ids(tmp_path: Path) -> None:
    """Where each id restarts the label names them."""
    with skald.Logger("run", tmp_path / "runs", capture=False) as logger:
        for _ in range(2):
            for epoch in range(2):
                for step in range(3):
                    logger.log_metric("loss", 1.0, epoch=epoch, step=step)

    printed = output("plot", "run", "-m", "loss", folder=tmp_path)

    assert printed.splitlines()[-1].strip() == "epoch, step"


def test_plot_over_the_position_is_not_labelled_as_the_only_id(tmp_path: Path) -> None:
    """Its numbers are not those of the id, so the label says that rows are counted."""
    with skald.Logger("run", tmp_path / "runs", capture=False) as logger:
        for step in (5, 3, 9, 1):
            logger.log_metric("loss", 1.0, step=step)

    printed = output("plot", "run", "-m", "loss", folder=tmp_path)

    assert printed.splitlines()[-1].strip() == "row (step)"


def test_plot_has_logarithmic_axes(folder: Path) -> None:
    """Ticks are powers of ten, and what has no logarithm is told."""
    lines = output("plot", "lr0.5-s0", "-m", "loss", "--log", "--log-x", folder=folder).splitlines()
    accuracy = output("plot", "lr0.5-s0", "-m", "accuracy", "--log", folder=folder)

    assert {"0.001", "0.01", "0.1"} <= {line.split("┤")[0].strip() for line in lines if "┤" in line}
    assert lines[-3].split() == ["1", "2", "5", "10"]
    assert lines[-1] == "1 row without an x that can be drawn"
    assert "values ≤ 0 have no logarithm" in accuracy


def test_plot_marks_nan(folder: Path) -> None:
    """A cross stands where a value is NaN, and a note counts them."""
    printed = output("plot", "lr0.1-s0", "-m", "broken", folder=folder)

    assert printed.splitlines()[2].rstrip("│").endswith(CROSS)
    assert printed.splitlines()[-1] == f"{CROSS} 1 value NaN or infinite"


def test_plot_draws_histograms_as_a_heat_map(folder: Path) -> None:
    """A column a histogram, whose darkest cells hold most of its values."""
    lines = output("plot", "lr0.1-s0", "-m", "weights", folder=folder).splitlines()

    canvas = [re.split("[│┤]", line)[1] for line in lines if line.endswith("│")]
    half = len(canvas[0]) // 2
    assert [row[0] for row in canvas] == ["█"] * 8 + ["░"] * 8
    assert {row[:half] for row in canvas} == {"█" * half, "░" * half}
    assert {row[half + 1 :] for row in canvas} == {"▓" * (len(canvas[0]) - half - 1)}


@pytest.mark.parametrize("ids", [{"epoch": 1}, {}, {"split": "val"}])
def test_plot_draws_one_histogram_as_one_column(tmp_path: Path, ids: dict[str, Any]) -> None:
    """At one id, or at none and so at one moment: it fills the canvas, as each of several fills its part."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_histogram("weights", np.arange(100.0), bins=4, **ids)

    lines = output("plot", "run", "-m", "weights", folder=tmp_path).splitlines()
    output("plot", "run", "-m", "weights", "-o", "weights.png", folder=tmp_path)

    canvas = [re.split("[│┤]", line)[1] for line in lines if line.endswith("│")]
    assert canvas
    assert {*"".join(canvas)} == {"█"}
    assert lines[-1].strip() == ("epoch" if "epoch" in ids else "time")
    assert colored_part(tmp_path / "weights.png") > 0.5


def colored_part(path: Path) -> float:
    """Return which part of a picture is neither white, black nor grey."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return float((np.ptp(pixels, axis=2) > 30).mean())


@pytest.mark.parametrize("edges", [(2.0, math.inf), (-math.inf, 0.0), (-1.7e308, 1.7e308), (NAN, NAN)])
def test_plot_leaves_out_bins_that_reach_too_far_with_a_word(tmp_path: Path, edges: tuple[float, float]) -> None:
    """As bins that were logged by hand may: the others are drawn, in the terminal and in a file."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for epoch in range(2):
            for low, high in ((0.0, 2.0), edges):
                logger.log_metric("weights", 3, epoch=epoch, bin_low=low, bin_high=high)

    lines = output("plot", "run", "-m", "weights", folder=tmp_path).splitlines()
    output("plot", "run", "-m", "weights", "-o", "weights.png", folder=tmp_path)

    assert "█" * 50 in lines[5]
    assert lines[-1] == "2 bins beyond ±1e+300 left out"
    assert colored_part(tmp_path / "weights.png") > 0.5


def test_plot_draws_a_picture_for_each_metric(folder: Path) -> None:
    """A glob may match several, in the order in which they came."""
    printed = output("plot", "lr0.1-s0", "-m", "*o*", folder=folder)

    assert [line for line in printed.splitlines() if line.isalpha() and line != "step"] == ["loss", "broken"]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("plot",), 2, "Missing option '--metric'"),
        (("plot", "-m", "los"), 1, "there is no metric 'los'; did you mean 'loss'?"),
        (("plot", "-m", "loss", "-x", "stop"), 1, "there is no id 'stop'"),
        (("plot", "-m", "loss", "--band", "sede"), 1, "there is no id and no param 'sede'; did you mean 'seed'?"),
        (("plot", "lr0.1-s0", "-m", "loss", "--band", "run"), 1, "there is no id 'run' in this run; the ids are step"),
        (
            ("plot", "lr0.1-s0", "-m", "loss", "--color", "lr"),
            1,
            "hint: the run and its params tell several runs apart",
        ),
        (("plot", "-m", "loss", "--band", "lr", "--color", "lr"), 1, "--band lr averages over 'lr'"),
        (("plot", "-m", "loss", "--band", "run", "--color", "run"), 1, "--band run averages over 'run'"),
        (("plot", "-m", "accuracy", "--band", "split", "--color", "split"), 1, "averages over 'split'"),
        (("plot", "-m", "loss", "--band", "seed", "--color", "run"), 1, "--band seed averages over 'run'"),
        (("plot", "-m", "loss", "--band", "step", "-x", "step"), 1, "-x must be another id than that of --band"),
        (("plot", "-m", "weights", "-x", "bin_low"), 1, "'bin_low' is an edge of bins here"),
        (("plot", "-m", "loss", "--id", "step=1", "--id", "step=2"), 2, "got 'step' 2 times"),
        (("plot", "-m", "loss", "--smooth", "1"), 2, "--smooth"),
        (("plot", "-m", "loss", "--smooth", "-1"), 2, "--smooth"),
        (("plot", "-m", "loss", "--id", "split"), 2, "NAME=VALUE"),
        (("plot", "-m", "loss", "-o", "loss.gif"), 2, "-o must end in one of .png, .svg, .html, got 'loss.gif'"),
        (("plot", "-m", "loss", "-o", "nowhere/loss.png"), 1, "there is no folder nowhere"),
        (("plot", "nothing", "-m", "loss"), 1, "there is no run or folder 'nothing'"),
    ],
)
def test_plot_says_what_is_wrong(folder: Path, args: tuple[str, ...], code: int, words: str) -> None:
    """Wrong usage exits with 2, what does not exist with 1, each with a word on stderr and no traceback."""
    done = start(*args, folder=folder, COLUMNS="200")

    assert done.code == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_plot_of_too_many_curves_names_the_id_that_makes_them(tmp_path: Path) -> None:
    """Nobody could tell them apart; a mean over them is one curve."""
    with skald.Logger("a", tmp_path / "runs", capture=False) as logger:
        logger.log_batch({"loss": range(1200)}, step=[0, 1] * 600, worker=[f"w{k // 2}" for k in range(1200)])

    done = start("plot", "a", "-m", "loss", folder=tmp_path)

    assert (done.code, "at most 500 curves, got 600" in done.stderr, "'worker' has 600" in done.stderr) == (
        1,
        True,
        True,
    )
    assert "mean" in output("plot", "a", "-m", "loss", "--band", "worker", folder=tmp_path)


def test_plot_draws_an_id_as_a_number_that_is_one_in_most_runs(tmp_path: Path) -> None:
    """The few runs that logged it as a string are drawn with it where it reads as one, and told of."""
    for number in range(4):
        with skald.Logger(f"r{number}", tmp_path / "runs", capture=False) as logger:
            for step in range(20):
                logger.log_metric("loss", step, step=str(step) if number == 3 else step)

    for x in ([], ["-x", "step"]):
        done = start("plot", "runs", "-m", "loss", *x, folder=tmp_path)

        assert (done.code, done.stdout.splitlines()[-1].strip()) == (0, "step")
        assert done.stdout.splitlines()[1].split() == ["*", "r0", "+", "r1", "o", "r2", "x", "r3"]
        assert done.stderr == (
            "skald: id 'step' is int in 'r0', 'r1', 'r2', str in 'r3': drawn as a number, as it is one in most runs\n"
        )


def test_plot_of_ids_that_no_row_has_together_draws_nothing(folder: Path) -> None:
    """It says so, and that is no failure."""
    printed = output("plot", "lr0.1-s0", "-m", "loss", "--id", "split=val", folder=folder)

    assert printed.splitlines() == ["loss", "nothing to draw"]


def test_plot_writes_png_of_the_size_asked_for(folder: Path, tmp_path: Path) -> None:
    """Two pixels of the file for one asked for, and the labels around them."""
    target = tmp_path / "loss.PNG"

    printed = output(
        "plot", "runs", "-m", "loss", "--band", "seed", "-o", str(target), "--width=300", "--height=200", folder=folder
    )

    data = target.read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert printed == ""
    assert data.startswith(b"\x89PNG")
    assert 600 < width < 800
    assert 400 < height < 700


def test_plot_writes_svg_with_the_words_of_the_picture(folder: Path, tmp_path: Path) -> None:
    """Title, labels, legend and notes are text in it."""
    target = tmp_path / "broken.svg"

    output("plot", "runs", "-m", "broken", "-m", "weights", "-o", str(target), folder=folder)

    texts = set(re.findall(r"<text[^>]*>([^<]*)</text>", target.read_text(encoding="utf-8")))
    assert {
        "broken",
        "step",
        "lr0.1-s0",
        "lr0.5-s1",
        "weights lr0.1-s1",
        "epoch",
        f"{CROSS} 4 values NaN or infinite",
    } <= texts


def test_plot_writes_html_that_names_cannot_break(tmp_path: Path) -> None:
    """A metric and an id that look like the end of a script stay texts."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for split in ("</script><b>1", "</script><b>2"):
            logger.log_metric("</script><b>0", 1.0, split=split)

    output("plot", "run", "-m", "</script><b>0", "-o", "a.html", folder=tmp_path)

    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "</script><b>" not in html
    assert html.count("\\u003c/script>\\u003cb>") >= 3


def test_plot_writes_html_that_needs_no_network(folder: Path, tmp_path: Path) -> None:
    """It loads nothing from elsewhere: its scripts are inside."""
    target = tmp_path / "loss.html"

    output("plot", "runs", "-m", "loss", "--smooth=0.6", "-o", str(target), folder=folder)

    html = target.read_text(encoding="utf-8")
    assert len(html) > 500_000
    assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=", html)
    assert "lr0.1-s0" in html


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of runs whose names no format may misread, each with a curve."""
    place = tmp_path_factory.mktemp("many")
    for number in range(12):
        with skald.Logger(f"{number}.5, 'it' [x]", place / "runs", capture=False) as logger:
            logger.log_batch({"loss": [float(number), 1.0, 2.0]}, step=[0, 1, 2])
    return place


@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_plot_into_a_file_bears_any_name(suffix: str, many: Path, tmp_path: Path) -> None:
    """Commas, quotes, brackets, and what looks like a number."""
    target = tmp_path / f"loss.{suffix}"

    output("plot", "runs", "-m", "loss", "-o", str(target), folder=many)

    text = target.read_text(encoding="utf-8")
    assert all(f"{number}.5, 'it' [x]" in text.replace("&#39;", "'") for number in range(12))


def test_plot_tells_as_many_curves_apart_as_its_legend_names(many: Path) -> None:
    """No sign and no colour comes twice, in a pipe, in colours, and in a file."""
    signs = output("plot", "runs", "-m", "loss", "--width=100", folder=many).splitlines()[1:5]
    colors = output("plot", "runs", "-m", "loss", folder=many, FORCE_COLOR="1", TERM="xterm-256color")
    output("plot", "runs", "-m", "loss", "-o", "loss.svg", folder=many)
    strokes = re.findall(r'<path[^>]*stroke="(#[0-9a-f]{6})" stroke-width="2"', (many / "loss.svg").read_text())

    assert len(set(re.findall(r"(\S) \d+\.5,", "\n".join(signs)))) == 12
    assert len(set(re.findall(r"38;5;(\d+)m━━", colors))) == 12
    assert len(set(strokes)) == 12


def test_plot_of_hundreds_of_curves_draws_fewer_places_of_each(tmp_path: Path) -> None:
    """A file of 300 curves holds about as much as one of 50, and each curve has its minima and maxima."""
    with skald.Logger("a", tmp_path / "runs", capture=False) as logger:
        for worker in range(300):
            logger.log_batch({"loss": [0.0, 1.0] * 400}, step=range(800), worker=f"w{worker}")

    output("plot", "a", "-m", "loss", "-o", "loss.html", folder=tmp_path)

    rows = (tmp_path / "loss.html").read_text(encoding="utf-8").count(",w")
    assert 300 * 100 < rows < 300 * 200 * 2


@pytest.mark.parametrize("suffix", ["svg"])
def test_plot_of_nothing_is_a_file_too(folder: Path, tmp_path: Path, suffix: str) -> None:
    """A picture without curves says that there is nothing to draw."""
    target = tmp_path / f"loss.{suffix}"

    output("plot", "lr0.1-s0", "-m", "loss", "--id", "split=val", "-o", str(target), folder=folder)

    assert "nothing to draw" in target.read_text()


def test_plot_reads_runs_that_are_written(tmp_path: Path) -> None:
    """A live run is drawn as far as it came, beside one that is closed."""
    with skald.Logger("closed", tmp_path / "runs", capture=False) as closed:
        closed.log_metric("loss", 1.0, step=0)
    live = skald.Logger("live", tmp_path / "runs", capture=False)
    live.log_metric("loss", 2.0, step=0)

    printed = output("plot", "-m", "loss", folder=tmp_path)

    live.close()
    assert printed.splitlines()[1] == "* closed   + live"


WITHOUT_ALTAIR = """
import sys
sys.modules["altair"] = None
from skald.cli import main
sys.argv = ["skald", "plot", "lr0.1-s0", "-m", "loss", "-o", "x.png"]
main()
"""


def test_plot_names_the_extra_where_altair_is_missing(folder: Path) -> None:
    """Without the extra only the terminal is drawn in, and the message says how to get it."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ALTAIR], cwd=folder, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "pip install skald[plot]" in done.stderr
    assert "Traceback" not in done.stderr


def test_plot_has_help_with_an_example(folder: Path) -> None:
    """`--help` shows how it is used."""
    printed = output("plot", "--help", folder=folder, COLUMNS="120")

    assert "Example: skald plot runs -m loss" in printed


def labels(ticks: Any) -> list[str]:
    """Return what ticks say."""
    return [tick.label for tick in ticks]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0, 10_000_000, ["0", "2M", "4M", "6M", "8M", "10M"]),
        (-3, 4, ["-2", "0", "2", "4"]),
        (1000, 1009, ["1000", "1002", "1004", "1006", "1008"]),
        (1e-6, 5e-6, ["1e-6", "2e-6", "3e-6", "4e-6", "5e-6"]),
        (-1.7e308, 1.7e308, ["-1e+308", "0", "1e+308"]),
        (3, 3, ["3"]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[str]) -> None:
    """1, 2 or 5 times a power of ten apart, told with as few digits as tell them apart."""
    assert labels(number_ticks(low, high, 6)) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.15, 0.95, ["0.4", "0.8"]),
        (0.03, 1.0, ["0.2", "0.6", "1.0"]),
        (6, 14, ["6", "10", "14"]),
        (0.31, 0.69, ["0.4", "0.5", "0.6"]),
        (-5, 5, ["-5", "0", "5"]),
        (2.0**62, 2.0**62, ["4.61169e+18"]),
    ],
)
def test_ticks_of_a_low_axis_tell_its_scale(low: float, high: float, expected: list[str]) -> None:
    """At most three, yet never a single one: where round steps are too wide, every second of the finer ones."""
    assert labels(number_ticks(low, high, 3)) == expected


@pytest.mark.parametrize("most", [2, 3, 4, 5])
def test_ticks_are_two_or_more_and_not_too_many(most: int) -> None:
    """For all ends of an axis: a single number tells no scale."""
    random = np.random.default_rng(0)
    for low, width in zip(random.normal(size=2000), 10 ** random.uniform(-3, 3, size=2000), strict=True):
        ticks = number_ticks(low, low + width, most)

        assert 2 <= len(ticks) <= most
        assert all(low - 1e-6 * width <= tick.place <= low + width * (1 + 1e-6) for tick in ticks)
        assert len(set(labels(ticks))) == len(ticks)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1, 1000, ["1", "10", "100", "1000"]),
        (1, 8, ["1", "2", "5"]),
        (0.3, 0.4, ["0.30", "0.35", "0.40"]),
    ],
)
def test_ticks_of_a_logarithm_are_powers_of_ten(low: float, high: float, expected: list[str]) -> None:
    """With some between them where there is room."""
    assert labels(log_ticks(low, high, 5)) == expected


@pytest.mark.parametrize("seconds", [0, 1, 59, 3600, 86_400, 3e6, 3e8])
def test_ticks_of_time_lie_inside_and_are_few(seconds: float) -> None:
    """Whatever the span, there is a tick, and no more than there is room for."""
    ticks = clock_ticks(1.7e9, 1.7e9 + seconds, 6)

    assert 1 <= len(ticks) <= 7
    assert all(1.7e9 - 1 <= tick.place <= 1.7e9 + seconds + 1 for tick in ticks)
    assert len(set(labels(ticks))) == len(ticks)


def test_durations_are_told_in_a_unit_that_suits_them() -> None:
    """Seconds, minutes, hours, days."""
    assert [duration_unit(span)[1] for span in (1, 119, 121, 7300, 200_000)] == [
        "seconds", "seconds", "minutes", "hours", "days",
    ]  # fmt: skip


def test_band_beyond_what_floats_hold_is_left_out(tmp_path: Path) -> None:
    """Deviations of very large values are infinite; the means are drawn."""
    for seed in (1, 2):
        with skald.Logger(f"run{seed}", tmp_path / "runs", capture=False) as logger:
            for step in range(3):
                logger.log_metric("loss", seed * 1e200, step=step)

    assert "e+200" in output("plot", "runs", "-m", "loss", "--band", "run", folder=tmp_path)


def test_series_of_the_least_numbers_is_drawn_everywhere(tmp_path: Path) -> None:
    """They differ by so little that half of it is nothing."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_metric("loss", 0, step=0)
        logger.log_metric("loss", 5e-324, step=1)
    run = str(logger.run.path)

    assert "0┤" in output("plot", run, "-m", "loss", folder=tmp_path)
    assert "4.9407e-324" in output("show", run, folder=tmp_path)
    assert "<polyline" in logger.run._repr_html_()
