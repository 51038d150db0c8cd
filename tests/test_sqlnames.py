"""Names of columns in SQL: what they mean in a select, and how results are called."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest

from skald.cli.sqlerror import answered
from skald.cli.sqlnames import with_full_names
from skald.errors import InvalidInputError

RUNS = pl.DataFrame(
    {
        "run": ["a", "b"],
        "status": ["finished", "failed"],
        "tags": [["x"], []],
        "params.lr": [0.1, 0.2],
        "params.Lr": [5, 6],
        "params.seed": [10, 20],
        "params.opt": ["adam", None],
        "params.opt.name": [None, "sgd"],
        "params.order": [1, 2],
        "params.window": [3, 4],
        "params.max": [5, 6],
        "params.a b": [7, 8],
        "params.1": [9, 10],
        "params.status": ["mine", "yours"],
        'params.q"t': [11, 12],
        "params.l.0": [13, 14],
        "params.r": [15, 16],
    }
)
METRICS = pl.DataFrame(
    {"run": ["a", "a", "b"], "metric": ["loss"] * 3, "seed": [1, 1, 2], "value": [3.0, 2.0, 1.0], "group": [1, 2, 3]}
).lazy()
TABLES: dict[str, pl.DataFrame | pl.LazyFrame] = {"runs": RUNS, "metrics": METRICS}


def asked(sql: str) -> pl.DataFrame:
    """Return what is answered to SQL."""
    return answered(TABLES, sql, RUNS.columns)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("select run from runs where opt = 'adam' or opt.name = 'sgd' order by run", ["a", "b"]),
        ('select r.opt from runs r where r."opt".name is null', ["adam"]),
        ('select "opt.name" from runs where params.opt is null', ["sgd"]),
        ("select Lr from runs where lr > 0.1", [6]),
        ("select order from runs where window = 3 group by order order by order", [1]),
        ("select max(max) from runs", [6]),
        ('select "a b" + "1" + "q""t" + `lr` from runs limit 1', [27.1]),
        ("select l.0 from runs order by l.0 desc", [14, 13]),
        ("with t as (select opt.name from runs) select opt.name from t order by opt.name limit 1", ["sgd"]),
        ("select status from runs where runs.params.status = 'mine'", ["finished"]),
        ("select r.r from runs r where r = 15", [15]),
        ("select 'lr' from runs where tags[1] = 'x' /* lr */ -- lr\n and 'lr' <> \"opt\"", ["lr"]),
        ("select run from runs where lr = (select max(lr) from runs)", ["b"]),
        ("select seed from runs where run in (select run from metrics where seed = 2)", [20]),
        ("select case when not lr > 0.1 and seed is not null then 'lr' else opt end from runs where lr < 0.2", ["lr"]),
        ("select cast(seed as double) from runs where seed::int between 5 and 10", [10.0]),
        ("select row_number() over (order by lr desc) from runs order by lr", [2, 1]),
        ("select sum(lr) over w from runs window w as (partition by status order by lr nulls last)", [0.1, 0.2]),
        ("select round(lr) as lr from runs group by lr order by lr limit 1", [0.0]),
        ("select max(lr) as lr from runs group by status order by lr", [0.1, 0.2]),
        ("select max(lr) as seed from runs group by status having seed < 0.2", [0.1]),
        ("select lr from runs group by 1 having count(*) > 0 order by 1 desc", [0.2, 0.1]),
        ("select lr, max(seed) from runs group by all order by lr", [0.1, 0.2]),
        ("select distinct on (lr) lr, run from runs order by lr desc", [0.2, 0.1]),
        ("select lr from runs where Lr - 3 is distinct from lr * 20", [0.2]),
        ("select lr from runs -- it's\n where lr > 0.1 -- it's", [0.2]),
        ("select lr from runs union all select value from metrics order by lr limit 2", [0.1, 0.2]),
        ("with r as (select run, lr from runs) select lr from metrics join r using (run) order by lr", [0.1, 0.1, 0.2]),
        ("with r as (select * from runs), s as (select * from r) select lr from s where s.seed = 20", [0.2]),
        ("with r(x) as (select lr from runs) select x from r order by x", [0.1, 0.2]),
        ("select t.lr from (select lr, run from runs) as t join metrics m using (run) where value = 1", [0.2]),
        ("with b as (select run, min(value) lr from metrics group by run) select lr from b order by lr", [1.0, 2.0]),
        ("select lr from metrics m left join runs as r on m.run = r.run and r.seed = 10 where value = 2", [0.1]),
        ("select b.lr from runs a, runs b where a.run = b.run and a.lr < 0.2;", [0.1]),
        ("select lr from runs, (select max(value) mx from metrics) t where lr < t.mx and seed > 10", [0.2]),
        ("select lr from runs order by case when lr = 0.2 then 0 else 1 end, lr", [0.2, 0.1]),
        ("select group, seed, group from metrics where group > 1 order by group desc", [3, 2]),
        ("select count(*) filter (where lr > 0.1) from runs", [1]),
    ],
)
def test_sql_names_mean_what_their_select_asks(sql: str, rows: list[Any]) -> None:
    """A column that is called so, else the param; words, texts, aliases and comments stay what they are."""
    assert asked(sql).to_series().to_list() == rows


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ('select lr, opt.name, r.seed, params.lr, "params.Lr" from runs r', "lr|opt.name|seed|params.lr|params.Lr"),
        (
            "select count(*), count(run), max(value), min( value ) low from metrics",
            "count(*)|count(run)|max(value)|low",
        ),
        ("select lr, max(seed) as lr from runs group by lr", "params.lr|lr"),
        ("select lr +\n 1, -lr, 1 from runs", "lr + 1|-lr|1"),
        ("select a.lr, b.lr, a.run, b.run from runs a join runs b using (run)", "lr|b.lr|run|b.run"),
        ("select * exclude (lr, tags) from runs where false", "|".join(set(RUNS.columns) - {"params.lr", "tags"})),
        (
            "select * from runs r join metrics m using (run)",
            "|".join([*RUNS.columns, "metric", "seed", "value", "group"]),
        ),
        ("select * exclude (Lr) from metrics where false", "run|metric|seed|value|group"),
        (
            "select * from metrics right join (select run, lr from runs) t using (run)",
            "run|metric|seed|value|group|run:t|lr",
        ),
        ("select m.*, lr from metrics m right join runs using (run)", "run|metric|seed|value|group|lr"),
        ("select columns('^seed|value$') from metrics", "seed|value"),
    ],
)
def test_sql_results_are_called_as_written(sql: str, columns: str) -> None:
    """Params by the name that was written, what is computed by its text; `*` are the columns of the tables."""
    found = asked(sql).columns

    assert (sorted(found) if "exclude" in sql else found) == (
        sorted(columns.split("|")) if "exclude" in sql else columns.split("|")
    )


@pytest.mark.parametrize(
    ("sql", "message", "mark"),
    [
        ("select lr, lrx from runs", "there is no column 'lrx'; did you mean 'lr'", 11),
        ("select LR from runs", "there is no column 'LR'; did you mean 'lr' or 'Lr'?", 7),
        ('select run from runs where status = "broken"', "no column 'broken'; the columns are run, status, tags", 37),
        ("select lr from metrics", "there is no column 'lr' here: join the table that has it", 7),
        ("with r as (select run from runs) select lr from r", "there is no column 'lr' here", 40),
        ("select lr, max(lr) fro runs where lr > 1", "Expected: end of statement", 23),
        ("select lr, opt.name from runs where lr > > 1", "Expected: an expression", 41),
        ("select lr from runs where lr > 1 and", "Expected: an expression, found: its end", 36),
        ("select lr + status from runs", "arithmetic on dtypes", 7),
        ("select run from runs where case = 1", "'case' is a word of SQL", 27),
        ("select run from runs where opt.nam = 1", "no column 'opt.nam'; did you mean 'opt.name'", 31),
    ],
)
def test_sql_errors_point_at_what_was_written(sql: str, message: str, mark: int) -> None:
    """Also behind names that were written anew; none proposes the name that it refuses."""
    with pytest.raises(InvalidInputError) as caught:
        asked(sql)

    assert message in str(caught.value)
    assert caught.value.__notes__[0] == f"  {sql}\n  {' ' * mark}^"


def test_sql_that_is_no_sql_is_left_to_polars() -> None:
    """Whatever stands in it, and however deep."""
    text = """select from where with as ( ) , * . run lr "lr" 'x' 1 join using on runs r metrics union group by order
        having distinct over case when end [ ] : - t null ; -- /* ' " ` $ opt.name m.* (select columns values"""
    words = text.split()
    chance = random.Random(1)

    for _ in range(500):
        sql = " ".join(chance.choices(words, k=12))
        assert isinstance(with_full_names(sql, {"runs": RUNS.columns}), str)
    with pytest.raises(InvalidInputError, match="recursion limit"):
        asked("select (" * 2000)


def test_sql_text_in_double_quotes_is_told_of() -> None:
    """They make a name of it."""
    with pytest.raises(InvalidInputError) as caught:
        asked('select run from runs where status = "broken"')

    assert "hint: a text stands in single quotes: 'broken'" in caught.value.__notes__
