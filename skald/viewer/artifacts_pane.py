"""The tab of a run's artifacts: a tree of files, and what is in the one with the cursor."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import ContentSwitcher, Input, Static

from skald import layout
from skald.amounts import plural, size_text
from skald.cli.format import ids_text, local_time, printable
from skald.errors import RunNotFoundError
from skald.record.artifacts import Artifact, read_artifacts
from skald.viewer import outline
from skald.viewer.file_view import FileView
from skald.viewer.lines import Lines, Span
from skald.viewer.outline import Node, Outline
from skald.viewer.pane import Pane
from skald.viewer.picture_view import PictureView
from skald.viewer.preview import Bytes, FrameRows, Picture, Preview, Text, look_into
from skald.viewer.prompt import Prompt
from skald.viewer.table import Column, Table
from skald.viewer.work import start

PAUSE_SECS: Final = 0.05
"""While the cursor moves faster nothing is looked into."""
_SIZE_WIDTH: Final = 9


class Files(NamedTuple):
    """The artifacts of a run: a list, their tree, and what each folder holds: how many files of how many bytes."""

    artifacts: list[Artifact]
    tree: dict[str, Any]
    folders: dict[outline.Path, tuple[int, int]]


class ArtifactsPane(Pane[Files | None]):
    """Files, and what is in them."""

    DEFAULT_CSS = """
    ArtifactsPane > Horizontal { height: 1fr; }
    ArtifactsPane #artifact-tree { width: 2fr; }
    ArtifactsPane #artifact { width: 3fr; height: 1fr; border-left: solid $panel; }
    ArtifactsPane #artifact-facts { height: auto; max-height: 8; padding: 0 1; background: $surface; }
    ArtifactsPane ContentSwitcher { height: 1fr; }
    ArtifactsPane #artifact-bytes { padding: 0 1; }
    ArtifactsPane #artifact-table > .table--cursor { background: $background; text-style: none; }
    ArtifactsPane #artifact-table:focus > .table--cursor { background: $primary-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/"),
        Binding("t", "toggle_tree", "Tree"),
        Binding("y", "copy", "Copy path"),
        Binding("escape", "leave", "Back to the tree", show=False),
    ]

    def __init__(self, run: Path) -> None:
        super().__init__(run)
        self._files = Files([], {}, {})
        self._shown: Artifact | None = None
        self._note = ""

    def compose(self) -> ComposeResult:
        """Lay out the tree, what is told of a file, and what is in it."""
        yield self.problem
        with Horizontal():
            columns = [Column("artifact", 60), Column("size", _SIZE_WIDTH, right=True)]
            yield Outline(columns, self._describe, id="artifact-tree")
            with Vertical(id="artifact"):
                yield Static(id="artifact-facts")
                with ContentSwitcher(initial="artifact-bytes"):
                    yield Lines(id="artifact-bytes")
                    yield FileView(id="artifact-text")
                    yield Table(id="artifact-table")
                    yield PictureView(id="artifact-picture")
        yield Prompt("names or ids of artifacts", id="artifact-search")
        yield Prompt("search in this file for…", id="artifact-words")

    def look(self) -> Files | None:
        """Find the files; None where they are the same as before."""
        if not layout.is_run(self.run):
            raise RunNotFoundError(self.run)
        found = read_artifacts(self.run)
        return None if found and found == self._files.artifacts else files_of(found)

    def show(self, found: Files | None) -> None:
        """Show the files, if they are others than before."""
        if found is not None:
            self._files = found
            self._tree.show_tree(found.tree)
            self._look_into_chosen()
        if isinstance(self._visible, FileView) and self._shown is not None:
            self._visible.open(self._path_of(self._shown))  # it may grow

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer the way back to the tree only to who has left it."""
        return bool(self._prompt.value) or not self._tree.has_focus if action == "leave" else True

    def action_search(self) -> None:
        """Ask what to search for: in the text that has the focus, else among the files."""
        (self._words if self._text.has_focus else self._prompt).ask()

    def action_toggle_tree(self) -> None:
        """Hide the tree, or show it."""
        self._tree.display = not self._tree.display
        (self._tree if self._tree.display else self._visible).focus()

    def action_leave(self) -> None:
        """Go back to the tree, and to all files."""
        self._tree.display = True
        if self._text.has_focus and self._words.value:
            self._words.action_leave()
            return
        if self._tree.has_focus:
            self._prompt.action_leave()
        self._tree.focus()

    def action_copy(self) -> None:
        """Copy the path of the file into the terminal's clipboard."""
        if self._shown is not None:
            self.app.copy_to_clipboard(str(self._path_of(self._shown)))
            self.notify("copied the path", markup=False)

    @on(Table.Chosen, "#artifact-tree")
    def _enter(self) -> None:
        self._visible.focus()

    @on(Table.Moved, "#artifact-tree")
    def _look_into_chosen(self) -> None:
        node = self._tree.node
        artifact = node.value if node and isinstance(node.value, Artifact) else None
        if artifact is None:
            self._shown = None
            self._tell(self._told_of_folder(node) if node else self._told_of_nothing())
            self._show_lines(())
        elif artifact != self._shown:
            self._shown = artifact
            self._tell(_told(artifact, ""))
            start(self, self._look_into, artifact, exclusive=True)

    @on(Input.Changed, "#artifact-search")
    def _search(self, event: Input.Changed) -> None:
        words = event.value.lower().split()
        self._tree.search(None if not words else lambda _, artifact: _has(artifact, words))
        self._look_into_chosen()

    @on(Prompt.Left, "#artifact-search")
    @on(Input.Submitted, "#artifact-search")
    def _searched(self) -> None:
        self._prompt.done()
        self._tree.focus()

    @on(Prompt.Left, "#artifact-words")
    @on(Input.Submitted, "#artifact-words")
    def _search_text(self) -> None:
        self._words.done()
        self._text.focus()
        self._text.search(self._words.value)

    @on(FileView.Changed)
    def _tell_of_search(self) -> None:
        if self._shown is not None and self._visible is self._text:
            self._tell(_told(self._shown, self._text.note or self._note))

    async def _look_into(self, artifact: Artifact) -> None:
        await asyncio.sleep(PAUSE_SECS)
        try:
            preview: Preview = await asyncio.to_thread(look_into, self._path_of(artifact))
        except FileNotFoundError:
            preview = Bytes((), "the file is gone, or what was linked is")
        except OSError as error:
            preview = Bytes((), f"it cannot be read: {error.strerror or error}")
        if preview.note and isinstance(preview, (Text, Bytes)):
            self.screen.refresh()  # NOTE: where Polars panics at a damaged file it writes over the screen
        if artifact == self._shown:
            self._note = preview.note
            self._show_preview(preview)
            self._tell(_told(artifact, self._note))

    def _show_preview(self, preview: Preview) -> None:
        match preview:
            case FrameRows():
                table = self.query_one("#artifact-table", Table)
                table.scroll_to(0, 0, animate=False, force=True)
                table.cursor = 0
                table.show(preview)
                self._switch_to(table.id)
            case Picture():
                self.query_one(PictureView).show(preview.image)
                self._switch_to("artifact-picture")
            case Text():
                self._text.open(preview.path)
                self._switch_to("artifact-text")
            case Bytes():
                self._show_lines(preview.lines)

    def _show_lines(self, lines: Sequence[Sequence[Span]]) -> None:
        self.query_one("#artifact-bytes", Lines).show(lines)
        self._switch_to("artifact-bytes")

    def _switch_to(self, name: str | None) -> None:
        self.query_one(ContentSwitcher).current = name

    def _tell(self, text: Content) -> None:
        self.query_one("#artifact-facts", Static).update(text)

    def _told_of_folder(self, node: Node) -> Content:
        count, size = self._files.folders.get(node.path, (0, 0))
        name = Content.styled(printable("/".join(node.path)), "bold")
        return name + Content(f"\n{plural(count, 'file')}, {size_text(size)}")

    def _describe(self, path: outline.Path, value: Any) -> Sequence[Span]:
        """Return what stands beside the name of a file, or of a folder: how large it is."""
        if isinstance(value, Artifact):
            return [(size_text(value.size), "plain")]
        return [(size_text(self._files.folders.get(path, (0, 0))[1]), "dim")]

    def _told_of_nothing(self) -> Content:
        text = "no file is like that" if self._files.artifacts else "this run has no artifacts"
        return Content.styled(text, "dim")

    def _path_of(self, artifact: Artifact) -> Path:
        return self.run / layout.ARTIFACTS / artifact.path

    @property
    def _visible(self) -> Any:
        return self.query_one(ContentSwitcher).visible_content

    @property
    def _tree(self) -> Outline:
        return self.query_one(Outline)

    @property
    def _text(self) -> FileView:
        return self.query_one("#artifact-text", FileView)

    @property
    def _prompt(self) -> Prompt:
        return self.query_one("#artifact-search", Prompt)

    @property
    def _words(self) -> Prompt:
        return self.query_one("#artifact-words", Prompt)


def files_of(artifacts: list[Artifact]) -> Files:
    """Return files in their folders, folders first, numbers in names in their order."""
    tree: dict[str, Any] = {}
    folders: dict[outline.Path, tuple[int, int]] = {}
    for artifact in artifacts:
        *parents, name = artifact.path.split("/")
        node = tree
        for depth, parent in enumerate(parents, 1):
            node = node.setdefault(parent, {})
            count, size = folders.get(tuple(parents[:depth]), (0, 0))
            folders[tuple(parents[:depth])] = count + 1, size + artifact.size
        node[name] = artifact
    return Files(artifacts, _sorted(tree), folders)


def _sorted(tree: dict[str, Any]) -> dict[str, Any]:
    names = sorted(tree, key=lambda name: (not isinstance(tree[name], dict), _natural(name)))
    return {name: _sorted(tree[name]) if isinstance(tree[name], dict) else tree[name] for name in names}


def _natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts `epoch=9` before `epoch=10`."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), part) if number % 2 else (0, part) for number, part in enumerate(parts)]


def _has(artifact: Artifact, words: Sequence[str]) -> bool:
    text = f"{artifact.path} {ids_text(artifact.ids)}".lower()
    return all(word in text for word in words)


def _told(artifact: Artifact, note: str) -> Content:
    """Return what is told of a file: its path, its size and time, its ids, its sum."""
    facts = [size_text(artifact.size), local_time(artifact.time), ids_text(artifact.ids), note]
    lines = [
        Content.styled(printable(artifact.path), "bold"),
        Content("  ".join(printable(fact) for fact in facts if fact)),
        Content.styled(f"sha256:{artifact.sha256}" if artifact.sha256 else "no checksum", "dim"),
    ]
    return Content("\n").join(lines)
