"""The screen of a folder of runs: a table that is sorted and filtered, from which runs are opened and compared."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from skald.amounts import plural
from skald.cli.format import path_text, printable
from skald.errors import InvalidInputError
from skald.viewer.compare_screen import CompareScreen
from skald.viewer.keys_bar import KeysBar, KeysScreen
from skald.viewer.lines import STATUS_TONES
from skald.viewer.pane import Problem
from skald.viewer.prompt import Prompt
from skald.viewer.run_rows import Folder, Order, RunRows, choose, read_folder
from skald.viewer.run_screen import RunScreen
from skald.viewer.table import Table
from skald.viewer.watch import FAULTS
from skald.viewer.work import LIVE_SECS, Pace, start

MOST_COMPARED: Final = 20
_COLORS: Final = {"cool": "$text-primary", "good": "$text-success", "warm": "$text-warning", "bad": "$text-error"}


class Wish(NamedTuple):
    """What is asked of the table."""

    wanted: str = ""
    metrics: tuple[str, ...] = ()
    order: Order = Order()


class RunsTable(Table):
    """The table, with a column that is chosen to sort by, and rows that are marked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "screen.mark", "Mark"),
        Binding("left,h", "screen.choose_column(-1)", "Column to the left", show=False),
        Binding("right,l", "screen.choose_column(1)", "Column to the right", show=False),
    ]


class RunsScreen(KeysScreen):
    """A folder of runs, live.

    Args:
        folder: the folder, which is searched at every depth.
    """

    DEFAULT_CSS = """
    RunsScreen > .bar {
        height: 1;
        padding: 0 1;
        background: $surface;
        color: $text-muted;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    RunsScreen > #runs-title { color: $foreground; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("m", "metrics", "Metrics"),
        Binding("c", "compare", "Compare"),
        Binding("a", "mark_all", "Mark all", show=False),
        Binding("escape", "clear", "Clear filter, then marks", show=False),
    ]

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._path = folder
        self._folder: Folder | None = None
        self._rows: RunRows | None = None
        self._wish = Wish()
        self._marked: set[str] = set()
        self._said = ""
        self._goes_to_top = False  # once the rows are arranged, which a look at the folder may have begun anew
        self._pace = Pace()

    def compose(self) -> ComposeResult:
        """Lay out the title, the table, the lines to type into, and the keys."""
        yield Static(id="runs-title", classes="bar")
        yield Problem()
        yield RunsTable(fixed=2, id="runs-table")
        yield Prompt("words, or a condition: lr < 1e-3 and status = 'finished'", id="runs-filter")
        yield Prompt("metrics to show: names or globs", id="runs-metrics")
        yield Static(id="runs-state", classes="bar")
        yield KeysBar()

    def on_mount(self) -> None:
        """Begin to follow the folder."""
        self._table.focus()
        self.refresh_live()
        self.set_interval(LIVE_SECS, self.refresh_live)

    def refresh_live(self) -> None:
        """Look at the folder again, unless that is under way, or was just now."""
        if self.is_current and self._pace.begin():
            start(self, self._look, self._wish)

    def action_filter(self) -> None:
        """Ask which runs to show."""
        self.query_one("#runs-filter", Prompt).ask()

    def action_metrics(self) -> None:
        """Ask which metrics to show."""
        self.query_one("#runs-metrics", Prompt).ask()

    def action_clear(self) -> None:
        """Show all runs; once they are shown, mark none."""
        prompt = self.query_one("#runs-filter", Prompt)
        if prompt.value:
            prompt.action_leave()
        elif self._marked:
            self.notify(f"{plural(len(self._marked), 'mark')} taken away")
            self._marked.clear()
            self._table.refresh()
            self._tell()

    def action_choose_column(self, step: int) -> None:
        """Choose the next column to sort by."""
        self._choose_column((self._table.chosen_column or 0) + step)

    def action_sort(self) -> None:
        """Sort by the column that is chosen, or the other way round."""
        if self._rows is not None:
            name = self._rows.names[max(0, (self._table.chosen_column or 1) - 1)]
            before = self._wish.order
            descending = not before.descending if name == before.column else name in {"started", "duration", "rows"}
            self._wish_for(self._wish._replace(order=Order(name, descending)), to_top=True)
            self.app.clear_notifications()  # each turn of the order says another
            self.notify(f"sorted by {name}: ← → choose another column, s turns the order round", markup=False)

    def action_mark(self) -> None:
        """Mark the run with the cursor, or no more, and go to the next."""
        if self._table.key is not None:
            self._marked ^= {self._table.key}
            self._table.action_move(1)
            self._table.refresh()
            self._tell()

    def action_mark_all(self) -> None:
        """Mark all runs that are shown; where they all are, none."""
        shown = set(self._table.rows.keys)
        self._marked = self._marked - shown if shown <= self._marked else self._marked | shown
        self._arrange()

    def action_compare(self) -> None:
        """Draw the metrics of the marked runs over each other."""
        if self._folder is None:
            return
        paths = [path for path in self._table.rows.keys if path in self._marked]
        paths += sorted(self._marked - set(paths))
        paths = paths or ([self._table.key] if self._table.key else [])
        if len(paths) > MOST_COMPARED:
            self._say(f"at most {MOST_COMPARED} can be compared: {plural(len(paths), 'run')} are marked")
        elif paths:
            names = dict(self._folder.table.select("path", "run").rows())
            runs = {names[path]: Path(path) for path in paths if path in names}
            self.app.push_screen(CompareScreen(runs, self._folder.table))

    @on(Table.Chosen)
    def _open(self, event: Table.Chosen) -> None:
        self.app.push_screen(RunScreen(Path(event.key)))

    @on(Table.Moved)
    def _tell_of_run(self) -> None:
        self._tell()

    @on(Table.TitleClicked)
    def _sort_by_title(self, event: Table.TitleClicked) -> None:
        self._choose_column(event.column)
        self.action_sort()

    @on(Input.Changed, "#runs-filter")
    def _filter(self, event: Input.Changed) -> None:
        self._wish_for(self._wish._replace(wanted=event.value))

    @on(Prompt.Left, "#runs-filter")
    @on(Input.Submitted, "#runs-filter")
    def _filtered(self) -> None:
        self.query_one("#runs-filter", Prompt).done()
        self._table.focus()

    @on(Prompt.Left, "#runs-metrics")
    @on(Input.Submitted, "#runs-metrics")
    def _show_metrics(self) -> None:
        prompt = self.query_one("#runs-metrics", Prompt)
        prompt.done()
        self._table.focus()
        self._wish, self._said = self._wish._replace(metrics=tuple(prompt.value.replace(",", " ").split())), ""
        start(self, self._look, self._wish)

    def _choose_column(self, column: int) -> None:
        table = self._table
        table.chosen_column = max(1, min(column, len(table.rows.columns) - 1))
        table.reveal_column(table.chosen_column)
        table.refresh()

    async def _look(self, wish: Wish) -> None:
        """Look at the folder, and show it."""
        try:
            with self._pace.look():
                folder = await asyncio.to_thread(read_folder, self._path, wish.metrics)
        except InvalidInputError as error:  # a metric that no run has
            self._wish = self._wish._replace(metrics=())
            self._say(str(error))
        except FAULTS as error:
            self.query_one(Problem).tell(str(error))
        else:
            self.query_one(Problem).tell("")
            if wish.metrics == self._wish.metrics:
                self._folder = folder
                self._arrange()

    def _wish_for(self, wish: Wish, *, to_top: bool = False) -> None:
        """Show the runs in another way, the cursor where it was or at the top."""
        self._wish, self._said = wish, ""
        self._goes_to_top |= to_top
        self._arrange()

    def _arrange(self) -> None:
        if self._folder is not None:
            start(self, self._rearranged, self._folder, self._wish, exclusive=True)

    async def _rearranged(self, folder: Folder, wish: Wish) -> None:
        try:
            rows = await asyncio.to_thread(_rows, folder, wish, self._marked)
        except InvalidInputError as error:
            self._say(str(error))
            return
        chosen = self._rows and self._table.chosen_column and self._rows.names[self._table.chosen_column - 1]
        self._rows = rows
        if chosen in rows.names:
            self._table.chosen_column = rows.names.index(chosen) + 1
        self._table.show(rows)
        if self._goes_to_top:
            self._goes_to_top = False
            self._table.action_move_to_end(-1)
        self._tell()

    def _say(self, text: str) -> None:
        """Say something below the table, which older words must not cover."""
        self.app.clear_notifications()
        self._said = text
        self._tell()

    def _tell(self) -> None:
        """Say how many runs there are, and what is to be said of the one with the cursor."""
        self.query_one("#runs-title", Static).update(self._title(), layout=False)
        folder, key = self._folder, self._table.key
        parts = [self._said] if self._said else []
        if folder is not None and not parts:
            if folder.table.is_empty():
                parts = ["no runs here yet"]
            elif not self._table.rows.keys:
                parts = ["no run is like that: escape shows all"]
            elif key is not None:
                parts = [folder.broken.get(key) or path_text(Path(key))]
        self.query_one("#runs-state", Static).update(Content(printable("  ".join(parts))), layout=False)

    def _title(self) -> Content:
        place = Content.styled(f"  {printable(path_text(self._path))}", "dim")
        if self._folder is None:
            return Content("looking for runs") + place
        counts = Counter(self._folder.table["status"].to_list())
        shown, total = len(self._table.rows.keys), self._folder.table.height
        said = plural(total, "run") if shown == total else f"{shown:,} of {plural(total, 'run')}"
        title = Content.styled(said, "bold")
        for status in [*STATUS_TONES, *(counts.keys() - STATUS_TONES.keys())]:
            if counts[status]:
                color = _COLORS[STATUS_TONES.get(status, "bad")]
                title += Content("  ") + Content.styled(f"{counts[status]:,} {status}", color)
        marked = self._marked & set(self._folder.table["path"].to_list()) if self._marked else ()
        if marked:
            title += Content.styled(f"  {len(marked):,} marked", "$text-warning bold")
        return title + place

    @property
    def _table(self) -> RunsTable:
        return self.query_one(RunsTable)


def _rows(folder: Folder, wish: Wish, marked: set[str]) -> RunRows:
    return RunRows(choose(folder.table, wish.wanted, wish.order), folder.table, marked, wish.order)
