"""The names of metrics: which of them a search finds, and how `/` groups them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any


def found_by(search: str, names: Sequence[str]) -> list[str]:
    """Return the names that hold each word of a search, in any case; a word may be a glob."""
    words = search.lower().split()
    return [name for name in names if all(_is_in(word, name.lower()) for word in words)]


def _is_in(word: str, name: str) -> bool:
    return fnmatchcase(name, f"*{word}*") if set(word) & set("*?[") else word in name


def grouped(names: Sequence[str]) -> dict[str, Any]:
    """Return names by their parts between `/`; a metric that is also a group stands in it under its own name."""
    top: dict[str, Any] = {}
    for name in names:
        *folders, leaf = name.split("/")
        group = top
        for folder in folders:
            group = group.setdefault(f"{folder}/", {})
        group[leaf or "/"] = name
    return top


def names_in(group: Mapping[str, Any] | str) -> list[str]:
    """Return the names of a group, or the one that it is."""
    return [group] if isinstance(group, str) else [name for part in group.values() for name in names_in(part)]
