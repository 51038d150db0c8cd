"""The commands of `skald` and their options; what each does stands in the module of its name."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from skald.errors import RunNotFoundError, SkaldError
from skald.notice import tell


class Format(StrEnum):
    """How a command prints its result."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class _ViewByDefault(TyperGroup):
    """Commands, where `skald runs/a` stands for `skald view runs/a`, and with options for `skald show runs/a`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own_options = {option for param in self.params for option in (*param.opts, "--help")}
        if not ctx.resilient_parsing and not (args and args[0] in self.commands.keys() | own_options):
            of_show = {option for param in self.commands["show"].params for option in param.opts}
            first = args[0].partition("=")[0] if args else ""
            if first == "--" or not first.startswith("-") or {first, first[:2]} & of_show:
                args = ["show" if any(word.startswith("-") for word in args) else "view", *args]
        return super().parse_args(ctx, args)


app: Final = typer.Typer(
    cls=_ViewByDefault,
    help="Look at what experiments recorded.\n\n[dim]skald PATH[/dim] opens the viewer on a run or a folder of runs.",
    epilog="PATH is a run, a folder of runs, a glob, or a name of a run in the default folder: $SKALD_DIR, else runs. "
    "Without one the default folder is meant.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    subcommand_metavar="[COMMAND] [ARGS]...",
)


def _print_version(asked: bool) -> None:  # noqa: FBT001  Typer gives it so
    if asked:
        from skald import __version__

        typer.echo(f"skald {__version__}")
        raise typer.Exit


@app.callback()
def _skald(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def _check_pairs(given: list[str] | None) -> list[str] | None:
    for pair in given or ():
        if not pair.partition("=")[1] or pair.startswith("="):
            raise typer.BadParameter(f"expected NAME=VALUE, got {pair!r}")
    names = [pair.partition("=")[0] for pair in given or ()]
    for name in names:
        if names.count(name) > 1:
            raise typer.BadParameter(f"expected one value of an id, got {name!r} {names.count(name)} times")
    return given


def _complete_paths(incomplete: str) -> list[str]:
    from skald.cli.completion import complete_paths

    return complete_paths(incomplete)


def _completing(*kinds: str, others: Sequence[str] = ()) -> Callable[..., list[str]]:
    """Return what completes names of that kind in the runs that a command names."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        from skald.cli.completion import complete_names

        return complete_names(ctx.args, incomplete, kinds, others)  # what stands before it is not parsed yet

    return complete


_complete_metrics: Final = _completing("metrics")
_complete_told: Final = _completing("ids", "params", others=["run"])


PathsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH", help="Runs, folders of runs, or globs of these.", autocompletion=_complete_paths),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        "-m",
        metavar="GLOB",
        help="Only metrics named so; repeatable.",
        autocompletion=_complete_metrics,
    ),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="GLOB",
        help="Only params named so; repeatable.",
        autocompletion=_completing("params"),
    ),
]
IdOption = Annotated[
    list[str] | None,
    typer.Option(
        "--id",
        metavar="NAME=VALUE",
        help="Only rows with this id; repeatable.",
        callback=_check_pairs,
        autocompletion=_completing("pairs"),
    ),
]
WhereOption = Annotated[
    str | None,
    typer.Option(
        metavar="SQL",
        help="Only runs of which this holds: \"lr < 1e-3 and status = 'finished'\"; NaN is the largest number.",
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print it.")]


@app.command(epilog="Example: [dim]skald view digits[/dim], or short, [dim]skald digits[/dim]")
def view(paths: PathsArgument = None) -> None:
    """Open the viewer on a run or a folder of runs; without a terminal, show it."""
    from skald.cli.view import view_paths

    view_paths(paths or [])


@app.command(
    epilog='Examples: [dim]skald show digits --metric "loss*" --id split=val[/dim]\n\n'
    '[dim]skald show runs --where "lr < 1e-3" --sort accuracy.max --desc --last 20[/dim]'
)
def show(
    paths: PathsArgument = None,
    *,
    metric: MetricOption = None,
    param: ParamOption = None,
    id_: IdOption = None,
    where: WhereOption = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Order runs by a column, a param or a metric: accuracy.max.",
            autocompletion=_completing(
                "params", "metrics", others=["run", "status", "started", "duration", "rows", "tags"]
            ),
        ),
    ] = None,
    desc: Annotated[bool, typer.Option("--desc", help="The largest first.")] = False,
    last: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only the N runs that were started last.")
    ] = None,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Show a run: status, params, and its metrics with their extremes; several runs as a table, newest first."""
    from skald.cli.runchoice import RunWish
    from skald.cli.show import show_paths

    wish = RunWish(metric or [], param or [], id_ or [], where=where, sort=sort, descending=desc, last=last)
    show_paths(paths or [], wish, form=format_.value)


@app.command(epilog="Example: [dim]skald compact runs[/dim]")
def compact(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH", help="Runs, folders of runs, or globs of these.", autocompletion=_complete_paths
        ),
    ],
) -> None:
    """Write the segments of runs into their metrics files; of a folder, those of all runs that ended.

    What a killed overwrite of one of these runs has left beside it (.tmp-...) is removed once it is a minute old.
    """
    from skald.cli.compact import compact_paths

    if not compact_paths(paths):
        raise typer.Exit(1)


@app.command(epilog="Example: [dim]skald compare digits-a digits-b -m 'acc*'[/dim]")
def compare(
    paths: PathsArgument = None,
    *,
    metric: MetricOption = None,
    param: ParamOption = None,
    id_: IdOption = None,
    where: WhereOption = None,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Compare runs: params that differ, series side by side, and the first ids at which the runs part."""
    from skald.cli.compare import compare_paths

    compare_paths(paths or [], metrics=metric or [], ids=id_ or [], where=where, params=param or [], form=format_.value)


@app.command(epilog='Example: [dim]skald query runs "select run, min(value) from metrics group by run"[/dim]')
def query(
    words: Annotated[
        list[str], typer.Argument(metavar="[PATH]... SQL", help="Runs, folders or globs, and last the SQL.")
    ],
    *,
    test: Annotated[bool, typer.Option("--test", help="Fail unless the first value of the result is true.")] = False,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Ask in SQL, over the tables metrics (run, metric, ids, value, time) and runs (a row a run: status, params)."""
    from skald.cli.query import query_paths

    if not query_paths(words, form=format_.value, test=test):
        raise typer.Exit(1)


@app.command(epilog="Example: [dim]skald tail digits -f --metrics --id split=val[/dim]")
def tail(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="The run; default: the newest.", autocompletion=_complete_paths),
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines, or rows.")] = 20,
    metrics: Annotated[bool, typer.Option("--metrics", help="Rows of metrics instead of the console.")] = False,
    metric: MetricOption = None,
    id_: IdOption = None,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Show the end of a run's console, or its newest rows, and with -f what comes after them."""
    from skald.cli.tail import tail_console, tail_metrics

    if metrics or metric or id_:
        tail_metrics(run, metrics=metric or [], ids=id_ or [], lines=lines, follow=follow, form=format_.value)
    elif format_ is not Format.TABLE:
        raise typer.BadParameter("only rows have a format: give --metrics too", param_hint="--format")
    else:
        tail_console(run, lines=lines, follow=follow)


@app.command(epilog="Example: [dim]skald plot runs -m loss --id split=val --band seed --log -o loss.svg[/dim]")
def plot(  # noqa: PLR0913  an option each
    paths: PathsArgument = None,
    *,
    metric: Annotated[
        list[str],
        typer.Option(
            "--metric", "-m", metavar="GLOB", help="The metrics, a picture each.", autocompletion=_complete_metrics
        ),
    ],
    x: Annotated[
        str | None,
        typer.Option(
            "-x",
            metavar="ID|time|relative",
            help="What is drawn over.",
            autocompletion=_completing("ids", others=["time", "relative"]),
        ),
    ] = None,
    id_: IdOption = None,
    where: WhereOption = None,
    color: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Colour by run, or a param or an id.", autocompletion=_complete_told),
    ] = None,
    band: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Draw mean and deviation over run, or a param or an id.",
            autocompletion=_complete_told,
        ),
    ] = None,
    smooth: Annotated[float, typer.Option(min=0, max=1, help="Smooth as TensorBoard does: from 0 to below 1.")] = 0.0,
    log: Annotated[bool, typer.Option("--log", help="Logarithmic values.")] = False,
    log_x: Annotated[bool, typer.Option("--log-x", help="Logarithmic x.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="A .png, .svg or .html instead.")
    ] = None,
    width: Annotated[int | None, typer.Option(min=1, max=10_000, help="In characters; of a file in pixels.")] = None,
    height: Annotated[int | None, typer.Option(min=1, max=10_000, help="In lines; of a file in pixels.")] = None,
) -> None:
    """Draw metrics over an id or the time: in the terminal, or into a file."""
    if smooth == 1:
        raise typer.BadParameter("1 would keep the first value for ever; give less", param_hint="--smooth")
    from skald.cli.composing import Wish
    from skald.cli.plot import plot_paths

    log_axes = "x" * log_x + "y" * log
    wish = Wish(metric, id_ or [], x=x, smoothing=smooth, log=log_axes, band=band, color=color, where=where)
    plot_paths(paths or [], wish, output=output, width=width, height=height)


@app.command(epilog="Example: [dim]skald export runs -o rows.parquet --id split=val[/dim]")
def export(
    paths: PathsArgument = None,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help=".csv .parquet .arrow .jsonl; - and -.jsonl are standard output."
        ),
    ],
    wide: Annotated[bool, typer.Option("--wide", help="A column a metric.")] = False,
    index: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="With --wide: what a row is; default: the ids of all metrics.",
            autocompletion=_completing("ids"),
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="With --wide: a column for each value of this id, or for each run.",
            autocompletion=_completing("ids", others=["run"]),
        ),
    ] = None,
    metric: MetricOption = None,
    id_: IdOption = None,
    where: WhereOption = None,
) -> None:
    """Write the rows of runs into one file."""
    from skald.cli.export import export_paths

    if (index or columns) and not wide:
        raise typer.BadParameter("only a wide table has it: add --wide", param_hint="--index/--columns")
    export_paths(
        paths or [],
        output,
        metrics=metric or [],
        ids=id_ or [],
        where=where,
        is_wide=wide,
        index=index or [],
        columns=columns,
    )


@app.command(epilog="Example: [dim]skald check runs --repair[/dim]")
def check(
    paths: PathsArgument = None,
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Put damaged files aside, keep what can be read.")] = False,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Verify every file of runs; exit code 1 if one is damaged or missing, an artifact too until --repair notes it."""
    from skald.cli.check import check_paths

    if not check_paths(paths or [], mend=repair, form=format_.value):
        raise typer.Exit(1)


def _tell_once() -> Callable[..., None]:
    """Return what shows a warning as one line, the first time: a command may read a run more than once."""
    told: set[str] = set()

    def show_warning(message: Warning | str, *_: object) -> None:
        text = str(message)
        if text not in told:
            told.add(text)
            tell(text)

    return show_warning


def _hint_at_command(error: BaseException) -> None:
    """Add what was perhaps meant to the failure of a first word that is neither a command nor a run."""
    import difflib

    word = sys.argv[1] if len(sys.argv) > 1 else ""
    near = difflib.get_close_matches(
        word, [command.callback.__name__ for command in app.registered_commands if command.callback]
    )
    if isinstance(error, RunNotFoundError) and near and repr(word) in str(error):
        error.add_note(f"hint: did you mean the command {near[0]}?")


def _faults() -> tuple[type[BaseException], ...]:
    """Return what a command may fail by; polars', which few of them load, are of files that are damaged."""
    polars = sys.modules.get("polars.exceptions")
    return SkaldError, OSError, *((polars.PolarsError, polars.PanicException) if polars else ())


def main() -> None:
    """Run the command line: exit code 0 if it is done, 1 with a line on stderr if it failed, 2 for wrong usage."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # where the terminal has no such character
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _tell_once()
        try:
            app(prog_name="skald")
        except SystemExit as end:
            if isinstance(end.__context__, BrokenPipeError):  # who reads has seen enough: `| head`
                raise SystemExit(0) from None
            raise
        except _faults() as error:
            from skald.cli.report import UsageError, report

            _hint_at_command(error)
            report(error)
            raise SystemExit(2 if isinstance(error, UsageError) else 1) from None
