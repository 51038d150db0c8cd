"""A tree as a table: names indented by their depth, branches that open and close, and columns that describe.

Invariant: what is open stays open, and the cursor on its row, when the tree is replaced by a newer one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType

from skald.cli.format import printable
from skald.viewer.lines import Span
from skald.viewer.table import GAP, Column, Table

Path: TypeAlias = tuple[str, ...]
Tree: TypeAlias = Mapping[str, Any]
"""Names and what they stand for; another mapping that is not empty is a branch."""
Describe: TypeAlias = Callable[[Path, Any], Sequence[Span]]
"""Returns what stands in the other columns, of a leaf or a branch."""

INDENT: Final = 2
_NARROWEST_NAME: Final = 16
_MOST_MEASURED: Final = 2000
"""Of longer trees so many names say how wide the names are; one that is wider is cut."""


class Node(NamedTuple):
    """A row: its place in the tree, and what stands there."""

    path: Path
    value: Any

    @property
    def is_branch(self) -> bool:
        """Whether something hangs below it."""
        return isinstance(self.value, Mapping) and bool(self.value)


def nodes(tree: Tree, opened: set[Path] | None, above: Path = ()) -> Iterator[Node]:
    """Yield the nodes of a tree that are seen, in their order; with None all are open."""
    for name, value in tree.items():
        node = Node((*above, name), value)
        yield node
        if node.is_branch and (opened is None or node.path in opened):
            yield from nodes(value, opened, node.path)


def branches(tree: Tree) -> set[Path]:
    """Return the paths of all branches."""
    return {node.path for node in nodes(tree, None) if node.is_branch}


def matching(tree: Tree, is_wanted: Callable[[Path, Any], bool], above: Path = ()) -> dict[str, Any]:
    """Return a tree with only the leaves that are wanted."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        node = Node((*above, name), value)
        if node.is_branch:
            below = matching(value, is_wanted, node.path)
            if below:
                found[name] = below
        elif is_wanted(node.path, value):
            found[name] = value
    return found


class _Rows:
    """The nodes that are seen, as rows."""

    def __init__(self, seen: Sequence[Node], opened: set[Path], columns: Sequence[Column], describe: Describe) -> None:
        self.keys: Sequence[Path] = [node.path for node in seen]
        self._seen, self._opened, self._describe = seen, opened, describe
        few = seen[:_MOST_MEASURED]
        width = max((INDENT * len(node.path) + cell_len(printable(node.path[-1])) for node in few), default=0)
        title, most, _ = columns[0]
        self.columns: Sequence[Column] = [Column(title, max(cell_len(title), min(width, most))), *columns[1:]]

    def cells(self, row: int, columns: Sequence[int]) -> Sequence[Span]:
        """Return a node's name, and what describes it."""
        node = self._seen[row]
        mark = ("▼ " if node.path in self._opened else "▶ ") if node.is_branch else "  "
        name = " " * INDENT * (len(node.path) - 1) + mark + printable(node.path[-1])
        cells = [(name, "heading" if node.is_branch else "name"), *self._describe(*node)]
        return [cells[place] for place in columns]


class Outline(Table):
    """A tree.

    Args:
        columns: the first is that of the names, not wider than that where the others leave no room; the others are
            described.
        describe: what stands in the others.
        few: with so many leaves branches are open as they come.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "open_branch", "Open", show=False),
        Binding("left", "close_branch", "Close", show=False),
        Binding("enter,space", "toggle_branch", "Open"),
    ]

    def __init__(self, columns: Sequence[Column], describe: Describe, *, few: int = 200, **options: Any) -> None:
        super().__init__(fixed=0, **options)
        self._columns, self._describe, self._few = columns, describe, few
        self._nested: Tree = {}
        self._wanted: Callable[[Path, Any], bool] | None = None
        self._opened: set[Path] = set()
        self._shown: list[Node] = []

    @property
    def node(self) -> Node | None:
        """The node with the cursor."""
        return self._shown[self.cursor] if self.cursor < len(self._shown) else None

    def show_tree(self, tree: Tree) -> None:
        """Show a tree, opened as the one before was."""
        if sum(not node.is_branch for node in nodes(tree, None)) <= self._few:
            self._opened |= branches(tree) - branches(self._nested)
        self._nested = tree
        self._lay_out()

    def search(self, is_wanted: Callable[[Path, Any], bool] | None) -> None:
        """Show only the leaves that are wanted, all branches open; with None all as before."""
        self._wanted = is_wanted
        self._lay_out()

    def action_open_branch(self) -> None:
        """Open the branch with the cursor; one that is open: go into it."""
        node = self.node
        if node and node.is_branch and not self._is_open(node):
            self._turn(node)
        elif node and node.is_branch:
            self.action_move(1)
        else:
            self.action_scroll_right()

    def action_close_branch(self) -> None:
        """Close the branch with the cursor; of a leaf, go to its branch."""
        node = self.node
        if self.scroll_offset.x:
            self.action_scroll_left()
        elif node and node.is_branch and self._is_open(node):
            self._turn(node)
        elif node and len(node.path) > 1:
            self.go_to(node.path[:-1])

    def action_toggle_branch(self) -> None:
        """Open or close the branch with the cursor; choose a leaf."""
        node = self.node
        if node and node.is_branch:
            self._turn(node)
        else:
            self.action_choose()

    def clicked(self, times: int) -> None:
        """Open or close a branch with one click, choose a leaf with two."""
        if times > 1 or (self.node and self.node.is_branch):
            self.action_toggle_branch()

    def _is_open(self, node: Node) -> bool:
        return self._wanted is not None or node.path in self._opened

    def _turn(self, node: Node) -> None:
        if self._wanted is None:
            self._opened ^= {node.path}
            self._lay_out()

    def _lay_out(self) -> None:
        tree, opened = self._nested, self._opened
        if self._wanted is not None:
            tree = matching(tree, self._wanted)
            opened = branches(tree)
        self._shown = list(nodes(tree, opened))
        names, *others = self._columns
        room = self.size.width - sum(column.width + GAP for column in others)
        names = names._replace(width=room if room >= _NARROWEST_NAME else names.width)
        self.show(_Rows(self._shown, opened, [names, *others], self._describe))

    def on_resize(self, _event: events.Resize) -> None:
        """Give the names the room that there is now."""
        self._lay_out()
