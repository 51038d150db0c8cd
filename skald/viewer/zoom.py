"""Zooming: which part of x is shown when a plot is zoomed into, or moved along it."""

from __future__ import annotations

from typing import Final

from skald.reading.axis import Span, drawn_span, span_drawn

_LEAST_PART: Final = 1e-6
"""Of all x, what can be zoomed into."""


def zoomed(shown: Span, whole: Span, at: float, factor: float, *, is_log: bool) -> Span | None:
    """Return the part to show; None: all.

    Args:
        shown: the part that is shown now.
        whole: from where to where x goes.
        at: the x that stays where it is.
        factor: how many times as wide it is to be.
        is_log: whether x is logarithmic.
    """
    (low, high), (first, last) = drawn_span(shown, is_log=is_log), drawn_span(whole, is_log=is_log)
    place = drawn_span(Span(at, at), is_log=is_log).low
    width = (high - low) * factor
    if width >= (last - first) * (1 - 1e-9):
        return None
    if width < (last - first) * _LEAST_PART:
        return shown
    low = max(first, min(place - (place - low) * factor, last - width))
    return span_drawn(low, low + width, is_log=is_log)


def panned(shown: Span, whole: Span, part: float, *, is_log: bool) -> Span:
    """Return what is shown when it is moved by a part of its width, as far as there is something.

    Args:
        shown: the part that is shown now.
        whole: from where to where x goes.
        part: how far; less than 0: to the left.
        is_log: whether x is logarithmic.
    """
    (low, high), (first, last) = drawn_span(shown, is_log=is_log), drawn_span(whole, is_log=is_log)
    by = max(first - low, min((high - low) * part, last - high))
    return span_drawn(low + by, high + by, is_log=is_log)
