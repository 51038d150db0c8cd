"""Where runs part: for each series that they share, the first ids at which their values differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from skald.reading.selection import id_kinds
from skald.schema import METRIC, RUN, VALUE, series_ids

PARTS_AT: Final = "parts_at"
PAIRS: Final = "pairs"

_OWN: Final = "\x01"  # no metric and no id can be named so
_ROW, _TURN, _OTHER, _FIRST = f"{_OWN}row", f"{_OWN}turn", f"{_OWN}other", f"{_OWN}first"


def find_partings(rows: pl.LazyFrame, runs: Sequence[str]) -> pl.DataFrame:
    """Return a row for each series that several runs share: each is compared with the first run that has it.

    Rows are paired by their metric and all their ids; where these recur, the first with the first and so on. Rows
    that only one of two runs has are no difference, two NaN are none either.

    Args:
        rows: those of all runs, as `scan` has them.
        runs: the runs, in the order in which one is the first.

    Returns:
        `metric`, the string and bool ids, `pairs` (how many rows were compared, of all runs with the first), and the
        struct `parts_at`: all ids of the first row, in the order of the first run, whose value differs in another;
        null where none does.
    """
    kinds = id_kinds(rows.collect_schema())
    keys, by = [METRIC, *kinds], [METRIC, *series_ids(kinds)]
    turn = pl.int_range(pl.len()).over([RUN, *keys]).alias(_TURN)
    shared = _shared(rows, runs, by)
    numbered = rows.filter(pl.col(METRIC).is_in(shared[METRIC].unique().implode()))
    numbered = (
        numbered.select(RUN, *keys, VALUE)
        .with_row_index(_ROW)
        .join(shared.lazy(), on=by, nulls_equal=True, maintain_order="left")
    )
    numbered = numbered.with_columns(turn)
    is_first = pl.col(RUN) == pl.col(_FIRST)
    others = numbered.filter(~is_first).select(*keys, _TURN, pl.col(VALUE).alias(_OTHER))
    paired = numbered.filter(is_first).join(others, on=[*keys, _TURN], nulls_equal=True)
    differs = pl.col(VALUE) != pl.col(_OTHER)
    place = pl.struct(*kinds) if kinds else pl.struct(pl.lit(None).alias(METRIC))
    found = paired.group_by(by).agg(
        pl.len().alias(PAIRS),
        pl.col(_ROW).min().alias(_ROW),
        place.filter(differs).sort_by(pl.col(_ROW).filter(differs)).first().alias(PARTS_AT),
    )
    return found.sort(_ROW).drop(_ROW).collect(engine="streaming")


def _shared(rows: pl.LazyFrame, runs: Sequence[str], by: Sequence[str]) -> pl.DataFrame:
    """Return the series that several runs have, and the first run that has each."""
    place = pl.col(RUN).replace_strict({run: place for place, run in enumerate(runs)}, return_dtype=pl.Int64)
    found = rows.select(RUN, *by).unique().collect(engine="streaming").sort(place)
    shared = found.group_by(by, maintain_order=True).agg(pl.col(RUN).first().alias(_FIRST), pl.len().alias(PAIRS))
    return shared.filter(pl.col(PAIRS) > 1).drop(PAIRS)
