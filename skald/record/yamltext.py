"""Nested plain data as the text of a YAML file that people read and edit.

Invariant: `yaml.safe_load` of the text gives back equal data.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

LINE_CHARACTERS: Final = 100

_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\xa0\u2028\u2029\ufeff]|^\s|\s$")
"""What people cannot see, or PyYAML reads back as something else, where it is not escaped."""
_NUMBER: Final = re.compile(r"[-+]?(0[ox][0-9a-fA-F]+|(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?)")
"""Text that YAML 1.2 takes for a number, also where PyYAML does not."""


_POWER: Final = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)[eE][-+]?\d+")
"""Numbers as people write them, `1e-3`, of which PyYAML takes some for text."""


def from_yaml(data: bytes) -> Any:
    """Return what the text of a YAML file says, which people may have edited.

    Raises:
        ValueError: it is no YAML, or of more than plain data.
    """
    import yaml

    try:
        return yaml.load(data, _loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506 it is a safe one
    except (yaml.YAMLError, LookupError, AttributeError) as error:  # the last two: a tag does not fit
        raise ValueError(str(error)) from error


@functools.cache
def _loader(base: Any) -> Any:
    class Loader(base):  # type: ignore[misc]
        pass

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"{_POWER.pattern}$"), list("-+.0123456789"))
    return Loader


def to_yaml(data: Any) -> bytes:
    """Return None, bool, int, float, str, dates, lists and dicts of them as YAML in UTF-8.

    Mappings have a line for each name, lists of single values stand on one line, text of several lines
    stands as it is, and nothing is said by reference to something before.
    """
    import yaml

    text = _dump(data, getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    # NOTE: libyaml, which is ten times as fast, escapes emoji
    return text if b"\\U" not in text else _dump(data, yaml.SafeDumper)


def _dump(data: Any, base: Any) -> bytes:
    import yaml

    text: bytes = yaml.dump(
        data, Dumper=_dumper(base), encoding="utf-8", allow_unicode=True, sort_keys=False, width=LINE_CHARACTERS
    )
    return text


@functools.cache
def _dumper(base: Any) -> Any:
    class Dumper(base):  # type: ignore[misc]
        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 the signature is PyYAML's
            return True

    Dumper.add_representer(list, _list)
    Dumper.add_representer(str, _text)
    return Dumper


def _list(dumper: Any, items: list[Any]) -> Any:
    is_flat = not any(isinstance(item, (list, dict)) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=is_flat)


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    if _UNSEEN.search(text.removesuffix("\n")):
        return '"'
    if "\n" in text:
        return "|"
    return "'" if _NUMBER.fullmatch(text) else None
