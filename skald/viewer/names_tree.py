"""The names of metrics as a tree, grouped by `/`; and which of them a search finds."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

MOST_CHILDREN: Final = 1_000
"""Names of one group that are shown: of more, a search finds the others."""
_FEW: Final = 60
"""So many names are shown with their groups open."""

Group = dict[str, "Group | str"]
"""A group's parts: further groups, and the full names of metrics."""


def found_by(search: str, names: Sequence[str]) -> list[str]:
    """Return the names that hold each word of a search, in any case; a word may be a glob."""
    words = search.lower().split()
    return [name for name in names if all(_is_in(word, name.lower()) for word in words)]


def _is_in(word: str, name: str) -> bool:
    return fnmatchcase(name, f"*{word}*") if set(word) & set("*?[") else word in name


def grouped(names: Sequence[str]) -> Group:
    """Return names by their parts between `/`; a metric that is also a group stands in it under its own name."""
    top: Group = {}
    for name in names:
        *folders, leaf = name.split("/")
        group = top
        for folder in folders:
            inner = group.setdefault(f"{folder}/", {})
            assert isinstance(inner, dict)
            group = inner
        group[leaf or "/"] = name
    return top


class NamesTree(Tree[Group | str]):
    """The metrics, in groups that open."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("right", "open", "Open", show=False),
                                             Binding("left", "shut", "Shut", show=False)]  # fmt: skip
    DEFAULT_CSS = "NamesTree { scrollbar-size-vertical: 1; }"

    class Pointed(Message):
        """A metric, or the first of a group, is pointed at."""

        def __init__(self, metric: str) -> None:
            super().__init__()
            self.metric = metric

    class Chosen(Message):
        """A metric is chosen."""

        def __init__(self, metric: str) -> None:
            super().__init__()
            self.metric = metric

    def __init__(self, **options: Any) -> None:
        super().__init__("metrics", **options)
        self.show_root = False
        self.guide_depth = 2
        self._names: list[str] = []
        self._opened: set[str] = set()

    def show_names(self, names: Sequence[str]) -> None:
        """Show these names; groups that were open stay so."""
        if list(names) == self._names:
            return
        if len(self._names) > _FEW:
            self._opened = {_group_name(node) for node in self.root.children if node.is_expanded}
        self._names = list(names)
        self.clear()
        self.root.data = grouped(names)
        self._fill(self.root)
        self.root.expand()
        for node in self.root.children:
            if len(names) <= _FEW or _group_name(node) in self._opened:
                node.expand()

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[Group | str]) -> None:
        """Show what is in a group."""
        self._fill(event.node)

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Group | str]) -> None:
        """Tell which metric is pointed at."""
        if self.has_focus and event.node.data:
            self.post_message(self.Pointed(_first(event.node.data)))

    def on_tree_node_selected(self, event: Tree.NodeSelected[Group | str]) -> None:
        """Tell which metric is chosen."""
        if isinstance(event.node.data, str):
            self.post_message(self.Chosen(event.node.data))

    def action_open(self) -> None:
        """Open the group."""
        if self.cursor_node and self.cursor_node.allow_expand:
            self.cursor_node.expand()

    def action_shut(self) -> None:
        """Shut the group, or the one that it is in."""
        node = self.cursor_node
        if node and node.allow_expand and node.is_expanded:
            node.collapse()
        elif node and node.parent and node.parent is not self.root:
            self.move_cursor(node.parent)

    def _fill(self, node: TreeNode[Group | str]) -> None:
        if node.children or not isinstance(node.data, dict):
            return
        for label, data in list(node.data.items())[:MOST_CHILDREN]:
            if isinstance(data, str):
                node.add_leaf(Text(label), data)
            else:
                node.add(Text(f"{label} ({_count(data):,})"), data)
        if len(node.data) > MOST_CHILDREN:
            node.add_leaf(f"and {len(node.data) - MOST_CHILDREN:,} more: search", None)


def _group_name(node: TreeNode[Group | str]) -> str:
    return str(node.label).partition("/ (")[0]


def _count(group: Group) -> int:
    return sum(1 if isinstance(data, str) else _count(data) for data in group.values())


def _first(data: Group | str) -> str:
    return data if isinstance(data, str) else _first(next(iter(data.values())))
