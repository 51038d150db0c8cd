"""The layers of the package: who may import whom, read from the source of every module."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "skald"

# A module imports only from rows above its own, and inside its row in no circle.
LAYERS = {
    "words": "amounts errors layout schema durable values notice background",
    "engine": "engine",
    "record": "record",
    "reading": "reading run",
    "upkeep": "upkeep",
    "writing": "writing logger",
    "many": "many",
    "package": "__init__",
    "faces": "cli viewer",
}
ROWS = {part: row for row, parts in enumerate(LAYERS.values()) for part in parts.split()}


def module_name(path: Path) -> str:
    """Return a file's module inside the package: `writer`, `cli.show`, `cli` for its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def top(module: str) -> str:
    """Return the part of a module's name that the table lists."""
    return module.partition(".")[0]


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(source: str, module: str, known: set[str]) -> set[str]:
    """Return the modules of the package that a source imports, wherever in it the import stands."""
    found = set()
    for name in _imported_names(ast.parse(source), module):
        parts = name.split(".")
        if parts[0] == "skald":
            inside = (".".join(parts[1:size]) for size in range(len(parts), 1, -1))
            found.add(next((part for part in inside if part in known), "__init__"))
    return found - {module}


def _imported_names(tree: ast.Module, module: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                folder = _package_of(module)
                origin = ".".join([*folder[: len(folder) - node.level + 1], *filter(None, [node.module])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _package_of(module: str) -> list[str]:
    is_package = module == "__init__" or (PACKAGE / module.replace(".", "/")).is_dir()
    parts = [] if module == "__init__" else module.split(".")
    return ["skald", *(parts if is_package else parts[:-1])]


def imports_in(module: str) -> set[str]:
    """Return the modules of the package that a module of it imports."""
    return imports_of(MODULES[module].read_text(encoding="utf-8"), module, set(MODULES))


def test_layers_list_every_module() -> None:
    """Every module has its row in the table, and every name in the table is a module."""
    modules = {top(module) for module in MODULES}

    assert modules == set(ROWS)


@pytest.mark.parametrize("module", MODULES)
def test_layers_hold_every_import(module: str) -> None:
    """A module imports from its own row and those above it, also inside functions."""
    imported = imports_in(module)

    below = {other for other in imported if ROWS[top(other)] > ROWS[top(module)]}

    assert not below, f"skald.{module} imports from a row below its own"


def test_layers_have_no_circle() -> None:
    """No module imports itself by way of others."""
    graph = {module: imports_in(module) for module in MODULES}

    order = list(graphlib.TopologicalSorter(graph).static_order())

    assert set(order) == set(MODULES)


def test_layers_are_drawn_in_the_docstring_of_the_package() -> None:
    """Who reads `help(skald)` sees the layers in their order."""
    text = ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))) or ""

    rows = [text.find(f"\n    {layer} ") for layer in LAYERS if layer != "package"]

    assert -1 not in rows
    assert rows == sorted(rows)


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("import skald", "__init__"),
        ("import skald.writer", "writer"),
        ("import skald.cli.show", "cli.show"),
        ("from skald import writer", "writer"),
        ("from skald import Logger", "__init__"),
        ("from skald.writer import Writer", "writer"),
        ("from skald.cli import show", "cli.show"),
        ("from skald.cli import main", "cli"),
        ("from . import writer", "writer"),
        ("from .writer import Writer", "writer"),
        ("def f():\n    from skald.writer import Writer", "writer"),
        ("if TYPE_CHECKING:\n    import skald.writer as w", "writer"),
    ],
)
def test_imports_are_found_in_every_form(source: str, imported: str) -> None:
    """However an import is spelled and wherever it stands, the table is held against it."""
    known = {"__init__", "writer", "cli", "cli.show"}

    found = imports_of(source, "reader", known)

    assert found == {imported}


def test_imports_of_others_are_left_alone() -> None:
    """The table speaks of Skald's own modules only."""
    source = "import os, skaldic\nfrom writer import x\nfrom pyarrow import ipc"

    found = imports_of(source, "reader", {"writer"})

    assert found == set()
