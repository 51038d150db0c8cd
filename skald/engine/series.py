"""The summaries of series as a metrics file says them: a table of runs is made of these, and of no rows."""

from __future__ import annotations

import msgspec

from skald.schema import Id

Number = float | str | None
"""A float as JSON has it: `"NaN"`, `"Infinity"` and `"-Infinity"` are strings, null is none."""


class SeriesTable(msgspec.Struct, frozen=True, kw_only=True):
    """Summaries as they stand in a metrics file: lists of the same length, an item a series, in order of first rows.

    Attributes:
        by: the ids that tell the series apart: the string and bool ids; none of them, where there are too many series.
        metric: the name.
        ids: the values of the ids in `by`; null where the series lacks one.
        count: rows.
        nan: rows whose value is NaN.
        first: the value that was logged first.
        last: the value that was logged last.
        min: of the values that are not NaN; null where there are none.
        max: as `min`.
        mean: as `min`.
        first_row: where in the file the first row stands.
        last_row: where in the file the last row stands.
        min_at: the ids of the row where the minimum was logged first.
        max_at: the ids of the row where the maximum was logged first.
        nan_at: the ids of the first row that is NaN.
    """

    by: list[str] = []
    metric: list[str] = []
    ids: dict[str, list[str | bool | None]] = {}
    count: list[int] = []
    nan: list[int] = []
    first: list[Number] = []
    last: list[Number] = []
    min: list[Number] = []
    max: list[Number] = []
    mean: list[Number] = []
    first_row: list[int] = []
    last_row: list[int] = []
    min_at: dict[str, list[Id | None]] = {}
    max_at: dict[str, list[Id | None]] = {}
    nan_at: dict[str, list[Id | None]] = {}
