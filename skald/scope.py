"""The ids that a logger gives to its calls, by where they come from.

A call's own ids go over those of `contextualize`, these over `set_ids` and `track` (of which the latest counts),
these over `bind`, these over `Logger(ids=)`; None in any of them removes an id.

Invariant: `ambient` is replaced, never changed, so a call in flight on another thread has the ids from before or
from after, never some of each.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from skald.schema import KIND_OF, Id, check_id_name, plain_id

Ids = Mapping[str, Id | None]
Context = ContextVar[Ids | None]
Layer = dict[str, tuple[int, Id | None]]
"""What `set_ids` and `track` said of each id, and when, as a serial number."""

MOST_ASCII: Final = 256
"""Up to this length a string in ASCII is an id, whatever it says."""

_serials: Final = itertools.count()


class Scope:
    """The ids of one logger, which follow those of the logger that it was bound from."""

    def __init__(self, context: Context, constant: Ids, parent: Scope | None, changed: Callable[[], None]) -> None:
        """Begin with constant ids.

        Args:
            context: the ids of `contextualize`, by thread and task.
            constant: of `Logger(ids=)` and `bind`.
            parent: whose `set` this scope follows.
            changed: called when the names of the ambient ids have changed.
        """
        self.ambient: dict[str, Id] = {}
        """What a call gets that gives no ids itself, outside `contextualize`."""
        self._context, self._constant, self._parent, self._changed = context, dict(constant), parent, changed
        self._layer: Layer = {}
        self._children: weakref.WeakSet[Scope] = weakref.WeakSet()
        if parent is not None:
            parent._children.add(self)
        self.ambient = self._merge()

    @property
    def constant(self) -> Ids:
        """The ids of `Logger(ids=)` and `bind`."""
        return self._constant

    def replace(self, ids: Mapping[str, Any]) -> bool:
        """Set ids that are set already, to values of the same class; False where they are not that simple."""
        layer, ambient = self._layer, self.ambient
        if self._children:
            return False
        for name, value in ids.items():
            if name not in layer or type(ambient.get(name)) is not type(value) or not _is_simple(value):
                return False
        serial = next(_serials)
        self._layer = {**layer, **{name: (serial, value) for name, value in ids.items()}}
        self.ambient = {**ambient, **ids}
        return True

    def set(self, ids: Ids) -> None:
        """Set plain ids that stay until they are changed; None removes one."""
        serial = next(_serials)
        self._layer = {**self._layer, **{name: (serial, value) for name, value in ids.items()}}
        self._refresh()

    def restore(self, name: str, before: Layer) -> None:
        """Let an id be again what `layer` said of it, which may be nothing."""
        self._layer = {key: said for key, said in self._layer.items() if key != name}
        if name in before:
            self._layer[name] = before[name]
        self._refresh()

    @property
    def layer(self) -> Layer:
        """What has been set here."""
        return self._layer

    def merged(self, ids: Mapping[str, Any]) -> dict[str, Any]:
        """Return all ids of a call that gives `ids`; what the call gives is as it was given."""
        context = self._context.get()
        merged = {**self.ambient, **(context or {}), **ids}
        return {name: value for name, value in merged.items() if value is not None} if context or ids else merged

    def _refresh(self) -> None:
        ambient = self._merge()
        changed = ambient.keys() != self.ambient.keys()
        self.ambient = ambient
        if changed:
            self._changed()
        for child in list(self._children):
            child._refresh()

    def _merge(self) -> dict[str, Id]:
        merged = {**self._constant, **{name: value for name, (_, value) in self._layers().items()}}
        return {name: value for name, value in merged.items() if value is not None}

    def _layers(self) -> Layer:
        """Return what this logger and those it was bound from were told, of each id the latest."""
        layers = dict(self._parent._layers()) if self._parent else {}
        for name, said in self._layer.items():
            if name not in layers or said[0] > layers[name][0]:
                layers[name] = said
        return layers


def plain_ids(ids: Mapping[str, Any]) -> dict[str, Id | None]:
    """Return ids checked and plain; None stays, as it removes an id.

    Raises:
        InvalidInputError, IdTypeError: a name or a value cannot be an id's.
    """
    for name in ids:
        check_id_name(name)
    return {name: None if value is None else plain_id(name, value) for name, value in ids.items()}


def _is_simple(value: object) -> bool:
    """Tell whether a value can be an id as it is; False also where that takes a closer look."""
    if type(value) is int:
        return -(2**63) <= value < 2**63
    if type(value) is str:
        return value.isascii() and len(value) <= MOST_ASCII
    return type(value) in KIND_OF
