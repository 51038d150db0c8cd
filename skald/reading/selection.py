"""What a table holds: which columns are ids, which rows have the ids asked for, which metrics there are."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final

import polars as pl

from skald.errors import IdTypeError, InvalidInputError
from skald.schema import BIN_HIGH, BIN_LOW, KIND_OF, METRIC, PARAMS_PREFIX, RESERVED, Id, Kind, plain_id

_NAMED: Final = 12
"""So many names a message holds."""

_KIND_OF_DTYPE: Final[dict[type[pl.DataType], Kind]] = {
    pl.Int64: "int",
    pl.Float64: "float",
    pl.String: "str",
    pl.Boolean: "bool",
}


def id_kinds(schema: pl.Schema) -> dict[str, Kind]:
    """Return the kinds of the id columns of a table, in the table's order."""
    return {
        name: _KIND_OF_DTYPE[dtype.base_type()]
        for name, dtype in schema.items()
        if name not in RESERVED and not name.startswith(PARAMS_PREFIX)
    }


def check_ids(names: Iterable[str], kinds: Mapping[str, Kind]) -> None:
    """Raise InvalidInputError, naming the ids that exist, unless all `names` are among them."""
    for name in names:
        if not isinstance(name, str):
            raise InvalidInputError(f"an id's name must be a str, got {type(name).__name__}: {name!r:.80}")
        if name not in kinds:
            raise InvalidInputError(f"there is no id {name!r}: {_existing(kinds)}")


def has_ids(where: Mapping[str, Id], kinds: Mapping[str, Kind]) -> pl.Expr:
    """Return the condition of a row that has all these ids, true for each row where there are none.

    Raises:
        InvalidInputError: an id does not exist.
        IdTypeError: a value of another kind than the id's column, which no row can have.
    """
    check_ids(where, kinds)
    conditions = [pl.lit(value=True)] + [
        pl.col(name) == _fit(name, value, kinds[name]) for name, value in where.items()
    ]
    return pl.all_horizontal(conditions)


def in_series(kinds: Mapping[str, Kind]) -> pl.Expr:
    """Return the condition of a row that is a value of a series, and no bin of a histogram."""
    if BIN_LOW not in kinds or BIN_HIGH not in kinds:
        return pl.lit(value=True)
    return pl.any_horizontal(pl.col(BIN_LOW).is_null(), pl.col(BIN_HIGH).is_null())


def metric_names(frame: pl.LazyFrame) -> list[str]:
    """Return the names of the metrics of a table, in order of first appearance."""
    return frame.select(METRIC).unique(maintain_order=True).collect(engine="streaming")[METRIC].to_list()


def check_metrics(names: Iterable[str], existing: Collection[str]) -> None:
    """Raise InvalidInputError, naming what was perhaps meant, unless all `names` exist."""
    for name in names:
        if not isinstance(name, str):
            raise InvalidInputError(f"a metric's name must be a str, got {type(name).__name__}: {name!r:.80}")
        if name not in existing:
            raise InvalidInputError(f"there is no metric {name!r}{close_matches(name, existing)}")


def as_names(given: object, what: str) -> list[str]:
    """Return names or globs that were given as one string or as several.

    Args:
        given: what was given.
        what: the name of the argument.

    Raises:
        InvalidInputError: it is anything else.
    """
    names: list[str] = []
    for name in given if isinstance(given, Iterable) and not isinstance(given, (str, bytes)) else [given]:
        if not isinstance(name, str):
            raise InvalidInputError(f"{what}= must be names or globs, got {type(name).__name__}: {name!r:.80}")
        names.append(name)
    return names


def chosen(existing: Collection[str], globs: Iterable[str], what: str = "metric") -> list[str]:
    """Return the names that are asked for, in that order: a name that exists stands for itself, others are globs.

    Raises:
        InvalidInputError: nothing is named so.
    """
    found: dict[str, None] = {}
    for glob in globs:
        names = [glob] if glob in existing else [name for name in existing if fnmatchcase(name, glob)]
        if not names:
            raise InvalidInputError(f"there is no {what} {glob!r}{close_matches(glob, existing, f'{what}s')}")
        found |= dict.fromkeys(names)
    return [*found]


def close_matches(name: str, names: Iterable[str], what: str = "metrics") -> str:
    """Return the end of a message that names what was perhaps meant, else some of what there is, if there is any.

    Args:
        name: what was asked for.
        names: what there is.
        what: what these are.
    """
    existing = list(names)
    near = [one for one in existing if one.lower() == name.lower()] or difflib.get_close_matches(name, existing, n=3)
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}?"
    more = f" and {len(existing) - _NAMED:,} more" if len(existing) > _NAMED else ""
    return f"; the {what} are {', '.join(existing[:_NAMED])}{more}" if existing else ""


def _existing(kinds: Mapping[str, Kind]) -> str:
    return f"the ids are {', '.join(kinds)}" if kinds else "no row has an id"


def _fit(name: str, value: Id, kind: Kind) -> pl.Expr:
    """Return the value as its column holds it: 3 for 3.0 in an int column, and the reverse."""
    plain = plain_id(name, value)
    if kind == "int" and isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    found = KIND_OF[type(plain)]
    if found != kind and (found, kind) != ("int", "float"):
        raise IdTypeError(f"id {name!r} is {kind} here, got {found}: {plain!r:.80}")
    return pl.lit(plain)
