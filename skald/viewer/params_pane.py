"""The tab of a run's params: nested as they were given, searched, and each in full below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from skald.amounts import plural
from skald.cli.format import param_text, printable
from skald.record.params import read_params
from skald.record.yamltext import to_yaml
from skald.viewer import outline
from skald.viewer.lines import Span
from skald.viewer.outline import Node, Outline
from skald.viewer.pane import Pane
from skald.viewer.prompt import Prompt
from skald.viewer.table import Column, Table

LONGEST_NAME: Final = 60
LONGEST_LINE: Final = 200
LONGEST_VALUE: Final = 20_000
"""Characters of a value that are shown below the tree."""
MOST_ITEMS: Final = 1000
"""Items of a list that are shown and searched."""


class ParamsPane(Pane[dict[str, Any]]):
    """Parameters as a tree."""

    DEFAULT_CSS = """
    ParamsPane > #param-value {
        height: auto;
        max-height: 40%;
        padding: 0 1;
        background: $surface;
    }
    ParamsPane > #param-value > Static { width: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/"),
        Binding("y", "copy", "Copy value"),
        Binding("escape", "clear", "Clear search", show=False),
    ]

    def __init__(self, run: Path) -> None:
        super().__init__(run)
        self._params: dict[str, Any] | None = None

    def compose(self) -> ComposeResult:
        """Lay out the tree, the line to type into, and the value with the cursor."""
        yield self.problem
        yield Outline([Column("param", LONGEST_NAME), Column("value", LONGEST_LINE)], describe, id="param-tree")
        yield Prompt("names or values", id="param-search")
        with VerticalScroll(id="param-value", can_focus=False):
            yield Static()

    def look(self) -> dict[str, Any]:
        """Read the params."""
        return read_params(self.run)

    def show(self, found: dict[str, Any]) -> None:
        """Show them, if they are others than before."""
        if found != self._params:
            self._params = found
            self._tree.show_tree(found)
            self._tell()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer an end of the search only while there is one."""
        return bool(self._prompt.value) if action == "clear" else True

    def action_search(self) -> None:
        """Ask what to search for."""
        self._prompt.ask()

    def action_clear(self) -> None:
        """Show all params."""
        self._prompt.action_leave()

    def action_copy(self) -> None:
        """Copy the value with the cursor into the terminal's clipboard."""
        node = self._tree.node
        if node is not None:
            self.app.copy_to_clipboard(_full(node.value))
            self.notify("copied", markup=False)

    @on(Input.Changed)
    def _search(self, event: Input.Changed) -> None:
        words = event.value.lower().split()
        self._tree.search(None if not words else lambda path, value: _has(path, value, words))
        self._tell()

    @on(Prompt.Left)
    @on(Input.Submitted)
    def _searched(self) -> None:
        self._prompt.done()
        self._tree.focus()

    @on(Table.Moved)
    def _tell(self) -> None:
        node = self._tree.node
        if node is not None:
            text = _told(node)
        elif self._params:
            text = Content.styled("no param is like that", "dim")
        else:
            text = Content.styled("this run has no params", "dim")
        self.query_one("#param-value > Static", Static).update(text)

    @property
    def _tree(self) -> Outline:
        return self.query_one(Outline)

    @property
    def _prompt(self) -> Prompt:
        return self.query_one(Prompt)


def describe(_path: outline.Path, value: Any) -> Sequence[Span]:
    """Return what stands beside the name of a param, or of a group of them."""
    if isinstance(value, Mapping) and value:
        return [(plural(len(value), "param"), "dim")]
    return [(_line(value), "plain")]


def _has(path: outline.Path, value: Any, words: Sequence[str]) -> bool:
    text = f"{'.'.join(path)} {param_text(_beginning(value))}".lower()
    return all(word in text for word in words)


def _told(node: Node) -> Content:
    """Return a param in full: its dotted name, its kind, its value."""
    name = Content.styled(printable(".".join(node.path)), "bold")
    kind = Content.styled(f"  {_kind(node.value)}", "dim")
    if node.is_branch:
        return name + kind
    lines = map(printable, _full(_beginning(node.value))[:LONGEST_VALUE].splitlines())
    return name + kind + Content("\n") + Content("\n".join(lines))


def _line(value: Any) -> str:
    """Return the beginning of a value on one line."""
    short = value[:LONGEST_LINE] if isinstance(value, (list, str)) else value
    return param_text(short)[:LONGEST_LINE]


def _beginning(value: Any) -> Any:
    return value[:MOST_ITEMS] if isinstance(value, list) else value


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return plural(len(value), "param")
    return f"list of {len(value):,}" if isinstance(value, list) else type(value).__name__.replace("NoneType", "none")


def _full(value: Any) -> str:
    """Return a value as it stands in params.yaml, text as it is."""
    if isinstance(value, (Mapping, list)):
        return to_yaml(value).decode().rstrip()
    return value if isinstance(value, str) else param_text(value)
