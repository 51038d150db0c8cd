"""Where runs part: for each series that they share, the first ids at which their values differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from skald.reading.selection import id_kinds
from skald.schema import METRIC, RUN, VALUE, Kinds, series_ids

PARTS_AT: Final = "parts_at"
PAIRS: Final = "pairs"

_PART_ROWS: Final = 2_000_000
"""About so many rows are compared at once, unless one metric has more."""
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
    shared = _shared(rows, runs, [METRIC, *series_ids(kinds)])
    found = [
        _partings(rows.filter(pl.col(METRIC).is_in(metrics)), shared.lazy(), kinds)
        for metrics in _parts(rows, shared[METRIC].unique().to_list())
    ]
    return pl.concat(found)


def _parts(rows: pl.LazyFrame, metrics: list[str]) -> list[list[str]]:
    """Put metrics together that have about as many rows as have room in memory at once; at least one, of none."""
    sizes = rows.filter(pl.col(METRIC).is_in(metrics)).group_by(METRIC).len().collect(engine="streaming").sort(METRIC)
    part = (sizes["len"].cum_sum() - 1) // _PART_ROWS
    parts = sizes.with_columns(part.alias("part")).partition_by("part", maintain_order=True)
    return [found[METRIC].to_list() for found in parts] or [[]]


def _partings(rows: pl.LazyFrame, shared: pl.LazyFrame, kinds: Kinds) -> pl.DataFrame:
    keys, by = [METRIC, *kinds], [METRIC, *series_ids(kinds)]
    recur = rows.select(pl.struct(RUN, *keys).n_unique() < pl.len()).collect(engine="streaming").item()
    # NOTE: to count turns takes most of the time
    turn = pl.int_range(pl.len()).over([RUN, *keys]) if recur else pl.lit(0)
    numbered = rows.select(RUN, *keys, VALUE).with_row_index(_ROW)
    numbered = numbered.join(shared, on=by, nulls_equal=True, maintain_order="left").with_columns(turn.alias(_TURN))
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
