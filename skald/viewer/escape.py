"""The escape key, answered at once: a terminal begins other keys with it, so more is waited for, but not for long."""

from __future__ import annotations

import os
import selectors
import types
from typing import Final

WAIT_MS: Final = 25
"""In which the rest of another key comes, also over SSH and in tmux."""


class _Selector(selectors.SelectSelector):
    """Waits for keys no longer than for the rest of one."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what there is to read."""
        wait = WAIT_MS / 1000
        return super().select(wait if timeout is None else min(timeout, wait))


def answer_escape_soon() -> None:
    """Have Textual take escape for itself after 25 ms.

    NOTE: it is to be called before Textual is loaded. `ESCDELAY` alone does nothing: Textual 8 looks whether that has
    gone by only where its input thread has waited for 100 ms, which can be changed nowhere.
    """
    os.environ.setdefault("ESCDELAY", str(WAIT_MS))
    if os.name == "posix":
        from textual.drivers import linux_driver

        setattr(linux_driver, "selectors", types.SimpleNamespace(**vars(selectors) | {"SelectSelector": _Selector}))  # noqa: B010  mypy knows of no such name
