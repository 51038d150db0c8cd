"""Where an artifact stands below `artifacts/`: what its name says, and the ids that it was logged with.

    confusion.png                   no ids
    confusion/epoch=3,fold=1.png    with ids, in the order of their names

Invariant: of one name, other ids are another path; and no path leaves the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from mimetypes import MimeTypes
from pathlib import PurePath
from typing import Any, Final

from skald.errors import InvalidInputError
from skald.layout import MAX_NAME_BYTES, TEMPORARY_PREFIX, name_problem
from skald.schema import Id

MOST_ID_BYTES: Final = 200
"""What is longer is cut, and ends in a `~` and its hash: a file's name has at most 255 bytes."""

_SUFFIX: Final = re.compile(r"(?<=.)(?:\.tar)?\.[A-Za-z]\w{0,15}\Z", re.ASCII)
_UNSAFE: Final = re.compile(r'[%~,=/\\:*?"<>|]|\.(?=[A-Za-z])|^[ .]|[ .]$')
"""What has a meaning here, or that a system refuses; a dot before a letter would be read as a suffix."""
_HASH_DIGITS: Final = 32
_OTHER_FORMATS: Final = frozenset(suffix for suffix in MimeTypes().types_map[True] if len(suffix) > len(".c")) | {
    ".arrow", ".dot", ".exr", ".feather", ".gz", ".jpg", ".jsonl", ".md", ".npy", ".npz", ".ods", ".parquet", ".pickle",
    ".pkl", ".psd", ".rtf", ".tar.gz", ".webp", ".xlsx", ".yaml", ".yml",
}  # fmt: skip
"""Suffixes that everybody takes for a kind of file."""


def check_name(name: Any) -> str:
    """Return an artifact's name, with `/` between its folders on every system.

    Raises:
        InvalidInputError: it is no str or path, it leaves the folder, or it cannot stand on every system.
    """
    if not isinstance(name, (str, PurePath)):
        raise InvalidInputError(f"an artifact's name must be a str, got {type(name).__name__}: {name!r:.80}")
    text = os.fspath(name).replace("\\", "/")
    parts = text.split("/")
    if (text and not parts[0]) or re.fullmatch("[A-Za-z]:", parts[0]):
        raise InvalidInputError(f"an artifact's name must be relative to the folder artifacts/, got {text!r}")
    for part in parts:
        problem = "must not leave the folder artifacts/" if part == ".." else name_problem(part)
        if part.startswith(TEMPORARY_PREFIX):
            problem = f"must not begin with {TEMPORARY_PREFIX}"
        if problem:
            part_of = f"{part!r:.80} in " if len(parts) > 1 else ""
            raise InvalidInputError(f"{part_of}an artifact's name {problem}, got {text!r:.80}")
    return text


def split_suffix(name: str) -> tuple[str, str]:
    """Return a name, and apart from it its suffix, `.png` or `.tar.gz`: `model-0.5` has none."""
    match = _SUFFIX.search(name)
    return (name[: match.start()], match[0]) if match else (name, "")


def split_format(name: str, formats: Sequence[str], default: str) -> tuple[str, str]:
    """Return a name without the suffix that chooses one of `formats`, and that suffix in small letters, else `default`.

    Raises:
        InvalidInputError: the suffix is that of another kind of file, as `.eps`, and not as in `epoch.10`.
    """
    stem, suffix = split_suffix(name)
    small = suffix.lower()
    if small in formats:
        return stem, small
    if small in _OTHER_FORMATS:
        error = InvalidInputError(f"expected a name that ends in {', '.join(formats)} or nothing, got {name!r:.80}")
        error.add_note(f"hint: log_artifact keeps a {small} file that was written before")
        raise error
    return name, default


def artifact_path(name: str, ids: Mapping[str, Id], suffix: str = "") -> str:
    """Return the path of an artifact relative to `artifacts/`, with `/` on every system.

    Args:
        name: as `check_name` returns it.
        ids: of the call: where there are some, the name is a folder and they name the file.
        suffix: of that file, where the name has none.

    Raises:
        InvalidInputError: a part of the name is too long.
    """
    parts = name.split("/")
    if ids:
        parts[-1], own = split_suffix(parts[-1])
        parts.append(ids_name(ids) + (own or suffix))
    for part in parts:
        if len(part.encode()) > MAX_NAME_BYTES:
            raise InvalidInputError(f"an artifact's name must be at most {MAX_NAME_BYTES} bytes, got {part[:40]!r}…")
    return "/".join(parts)


def ids_name(ids: Mapping[str, Id]) -> str:
    """Return ids as part of a file's name, the same for the same ids and for no others."""
    name = ",".join(f"{_escaped(key)}={_value(ids[key])}" for key in sorted(ids))
    data = name.encode()
    if len(data) <= MOST_ID_BYTES:
        return name
    kept = data[: MOST_ID_BYTES - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{kept}~{hashlib.sha256(data).hexdigest()[:_HASH_DIGITS]}"


def _value(value: Id) -> str:
    if not isinstance(value, str):
        return repr(value)
    if _reads_as_other(value):
        return f"%{ord(value[0]):02X}{value[1:]}"
    return _escaped(value)


def _reads_as_other(text: str) -> bool:
    """Tell whether a string would stand in a name as a number or a bool does."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            if repr(kind(text)) == text:
                return True
    return text in ("True", "False")


def _escaped(text: str) -> str:
    """Return text with whatever is not safe in a file's name as `%` and the digits of its bytes, as in URLs."""
    safe = _UNSAFE.sub(lambda match: _percent(match[0]), text)
    return "".join(char if char.isprintable() else _percent(char) for char in safe)


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())
