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
Said = tuple[Id | None, int]
"""What `set_ids` or `track` said of an id, and when, as a serial number."""

MOST_INT: Final = 2**63
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
        self._layer: dict[str, Id | None] = {}
        self._serial: dict[str, int] = {}
        self._children: set[weakref.ref[Scope]] = set()  # a WeakSet takes 60 ns to tell that it is empty
        if parent is not None:
            parent._children.add(weakref.ref(self, parent._children.discard))
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
            kind = type(value)
            if name not in layer or type(ambient.get(name)) is not kind:
                return False
            if not (-MOST_INT <= value < MOST_INT if kind is int else _is_simple(value)):
                return False
        self._layer = {**layer, **ids}
        if self._parent:
            self._serial = {**self._serial, **dict.fromkeys(ids, next(_serials))}
        self.ambient = {**ambient, **ids}
        return True

    def set(self, ids: Ids) -> None:
        """Set plain ids that stay until they are changed; None removes one."""
        self._layer = {**self._layer, **ids}
        self._serial = {**self._serial, **dict.fromkeys(ids, next(_serials))}
        self._refresh()

    def said(self, name: str) -> Said | None:
        """Return what was set of an id here, None where nothing was."""
        return (self._layer[name], self._serial[name]) if name in self._layer else None

    def all_said(self) -> Ids:
        """Return what was set of all ids, here and on the loggers that this one was bound from."""
        return {name: value for name, (value, _) in self._all_said().items()}

    def restore(self, name: str, said: Said | None) -> None:
        """Let an id be again what `said` told of it."""
        layer, serial = dict(self._layer), dict(self._serial)
        layer.pop(name, None)
        serial.pop(name, None)
        if said is not None:
            layer[name], serial[name] = said
        self._layer, self._serial = layer, serial
        self._refresh()

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
        for child in [child() for child in list(self._children)]:
            if child is not None:
                child._refresh()

    def _merge(self) -> dict[str, Id]:
        merged = {**self._constant, **self.all_said()}
        return {name: value for name, value in merged.items() if value is not None}

    def _all_said(self) -> dict[str, Said]:
        """Return what was set here and on the loggers that this one was bound from, of each id the latest."""
        latest = self._parent._all_said() if self._parent else {}
        for name, value in self._layer.items():
            serial = self._serial[name]
            if name not in latest or latest[name][1] < serial:
                latest[name] = value, serial
        return latest


def plain_ids(ids: Mapping[str, Any]) -> dict[str, Id | None]:
    """Return ids checked and plain; None stays, as it removes an id.

    Raises:
        InvalidInputError, IdTypeError: a name or a value cannot be an id's.
    """
    for name in ids:
        check_id_name(name)
    return {name: None if value is None else plain_id(name, value) for name, value in ids.items()}


def _is_simple(value: object) -> bool:
    """Tell whether a value that is no int can be an id as it is; False also where that takes a closer look."""
    if type(value) is str:
        return len(value) <= MOST_ASCII and value.isascii()
    return type(value) in KIND_OF
