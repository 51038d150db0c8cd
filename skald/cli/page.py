"""A run as one page of the terminal: header, params, series."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from skald.amounts import duration_text, plural, size_text
from skald.cli import terminal
from skald.cli.choice import Selection
from skald.cli.format import local_time, number_text, param_text, path_text, printable
from skald.cli.sparkline import curves
from skald.cli.summary_table import fit
from skald.engine.claim import owners
from skald.record.artifacts import Artifact, read_artifacts
from skald.record.params import dotted
from skald.run import Run
from skald.schema import METRIC

MAX_SERIES: Final = 300
"""So many series are printed; what is cut off is said, and JSON and CSV hold all."""

STYLES: Final = {
    "running": "bold cyan",
    "finished": "bold green",
    "stopped": "bold yellow",
    "failed": "bold red",
    "crashed": "bold red",
}
MAX_ARTIFACTS: Final = 12
_MAX_PARAM_WIDTH: Final = 60
_TEXT_WIDTH: Final = 100
_GAP: Final = "   "


def print_page(run: Run, selection: Selection, params: Mapping[str, Any]) -> None:
    """Print a run: header, those params, and a row for each series of the selection."""
    console = terminal.stdout()
    # NOTE: a pipe has no width, and text that has no columns must be wrapped somewhere
    width = console.width if console.width < terminal.WIDE else _TEXT_WIDTH
    console.print(_header(run, selection, width))
    if params:
        console.print()
        console.print(_params(dotted(params), width))
    artifacts = read_artifacts(run.path)
    if artifacts:
        console.print()
        console.print(_artifacts(artifacts, width))
    console.print()
    console.print(_series(run, selection, console))


def _header(run: Run, selection: Selection, width: int) -> RenderableType:
    status, took = run.status, duration_text(run.duration)
    lasted = {"running": f"for {took} so far", "finished": f"took {took}"}.get(status, f"lasted {took}")
    facts = [
        Text(status, style=STYLES[status]),
        Text(f"started {local_time(run.started)}"),
        Text(lasted),
        Text(plural(selection.total_rows, "row")),
        Text(size_text(size_on_disk(run.path))),
        *[Text(storage) for storage in sorted({owner.storage for owner in owners(run.path).values() if owner})],
        *([Text(" ".join(f"#{printable(tag)}" for tag in run.tags), style="magenta")] if run.tags else []),
        *([Text(_reason(run), style=STYLES[status])] if _reason(run) else []),
        Text(path_text(run.path), style="dim"),
        *([Text("\n".join(map(printable, run.notes.splitlines())), style="italic")] if run.notes else []),
    ]
    title = Text(run.name, style="bold")
    body = _flow(facts, max(width - 4, 1))
    return Panel(body, title=title, title_align="left", expand=False, width=_panel_width(title, body, width))


def _reason(run: Run) -> str:
    """Return the first line of what ended the run; empty where it ended well."""
    said = run.info["exception"]
    return printable(said.splitlines()[0]) if said else ""


def _panel_width(title: Text, body: Text, width: int) -> int:
    longest = max(cell_len(line) for line in body.plain.split("\n"))
    return min(max(longest, title.cell_len + 2) + 4, width)


def _params(params: Mapping[str, Any], width: int) -> RenderableType:
    items = []
    for name, value in params.items():
        text = number_text(value) if isinstance(value, float) else param_text(value)
        if cell_len(text) > _MAX_PARAM_WIDTH:
            text = set_cell_size(text, _MAX_PARAM_WIDTH - 1) + "…"
        items.append(Text.assemble((printable(name), "dim"), ("=", "dim"), text))
    return Group(Text("params", style="bold"), _flow(items, width))


def _artifacts(artifacts: Sequence[Artifact], width: int) -> RenderableType:
    """Return the newest artifacts with their sizes, the newest last, and what all are together."""
    items = [
        Text.assemble(printable(artifact.path), (f" {size_text(artifact.size)}", "dim"))
        for artifact in artifacts[-MAX_ARTIFACTS:]
    ]
    total = size_text(sum(artifact.size for artifact in artifacts))
    more = f", the newest {len(items)} of them" if len(items) < len(artifacts) else ""
    title = Text.assemble(("artifacts", "bold"), (f"  {plural(len(artifacts), 'file')}, {total}{more}", "dim"))
    return Group(title, _flow(items, width))


def _flow(items: list[Text], width: int) -> Text:
    """Return the items side by side, in as many lines as they need; only one that is longer than a line is cut."""
    flow, used = Text(), 0
    for item in items:
        gap = _GAP if used else ""
        if used and used + len(gap) + item.cell_len > width:
            flow.append("\n")
            gap, used = "", 0
        flow.append(gap).append_text(item)
        used += len(gap) + item.cell_len
    return flow


def _series(run: Run, selection: Selection, console: Console) -> RenderableType:
    if selection.summary.is_empty():
        are_bins = selection.rows.head(1).collect(engine="streaming").height > 0
        others = "no rows that are told so: histograms are drawn by skald plot" if are_bins else "no rows"
        return Text("no rows yet" if run.status == "running" else others, style="dim")
    summary = selection.summary.head(MAX_SERIES)
    lines = fit(
        summary,
        curves(selection.rows, summary, selection.by),
        selection.by,
        width=console.width,
        ascii_only=console.options.ascii_only,
    )
    table = terminal.table(lines)
    more = len(selection.summary) - len(summary)
    if not more:
        return table
    metrics = plural(selection.summary[METRIC].n_unique(), "metric")
    return Group(table, Text(f"and {more:,} more series, of {metrics} in all: --metric GLOB shows fewer", style="dim"))


def size_on_disk(run: Path) -> int:
    """Return the bytes of all files of a run; one that vanishes meanwhile counts for nothing."""
    return sum(_file_size(Path(folder, file)) for folder, _, files in os.walk(run) for file in files)


def _file_size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
