"""The names of ids: any string, whatever Python makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from logged import ids

import skald
from skald import InvalidInputError


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return an open logger without ids."""
    with skald.Logger("run", tmp_path) as logger:
        yield logger


STRANGE_NAMES = [
    *("class", "lambda", "None", "True", "__debug__", "a-b", "a b", "1st", "learning rate", "", " ", "x=1", "a.b"),
    *("i): pass\nimport os", "x, **k", "'", '"', "\\", "{x}", "%s", "#", "🙂", "ﬁ", "µ", "Ⅷ", "é", "e\u0301", "中文"),
    *("_skald_x", "_skald_name", "_skald_calls", "_skald_absent", "__class__", "__builtins__", "self", "name"),
    *("type", "int", "float", "bool", "str", "next", "len", "dict", "tuple", "time_ns", "map", "list", "print"),
]
LEGAL_NAMES = [name for name in STRANGE_NAMES if "\n" not in name]


@pytest.mark.parametrize("name", LEGAL_NAMES)
def test_id_may_have_any_name(logger: skald.Logger, name: str) -> None:
    """Keywords, code, builtins, Skald's own words and any Unicode are names like others, in every kind of call."""
    for number in range(6):
        logger.log_metric("loss", 0.5, **{name: number})
        logger.log_metrics({"loss": 1.5, "other": 2.5}, **{name: number}, step=1)
    logger.log_metrics({str(k): k for k in range(20)}, **{name: 7})
    logger.log_batch({"loss": [0.5]}, **{name: 7})
    logger.set_ids(**{name: 8})
    logger.log_metric("loss", 0.5, step=2)

    expected = [row for number in range(6) for row in ({name: number}, {name: number, "step": 1})]
    assert ids(logger) == [*expected, {name: 7}, {name: 8, "step": 2}]
    assert ids(logger, "13") == [{name: 7}]


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_id_of_any_name_is_read_back_from_the_metrics_file(tmp_path: Path, format_: Any) -> None:
    """Also from a csv, where a column may have no name, or one that a library gives to those without."""
    names = [*LEGAL_NAMES, "column_1", "column_2"]
    with skald.Logger("run", tmp_path, metrics_format=format_) as logger:
        for number, name in enumerate(names):
            logger.log_metric("loss", 0.5, **{name: number})

    assert ids(tmp_path / "run") == [{name: number} for number, name in enumerate(names)]


def test_ids_that_python_takes_for_one_name_stay_apart(logger: skald.Logger) -> None:
    """ﬁ and fi, µ and μ are one name in Python's source, and two ids."""
    twins = {"ﬁ": 1, "fi": 2, "µ": 3, "μ": 4}

    for _ in range(5):
        logger.log_metric("loss", 0.5, **twins)

    assert ids(logger) == [twins] * 5


def test_id_named_like_code_is_not_run(logger: skald.Logger, tmp_path: Path) -> None:
    """The name of an id never becomes source, even where it would be legal there."""
    target = tmp_path / "ran"
    name = f"x=open({str(target)!r}, 'w')"

    for _ in range(5):
        logger.log_metric("loss", 0.5, **{name: 1})
        logger.log_metrics({"loss": 0.5}, **{name: 1})

    assert not target.exists()
    assert ids(logger) == [{name: 1}] * 10


@pytest.mark.parametrize(
    "name", ["metric", "value", "time", "run", "params.lr", "a\nb", "\x00", "\x7f", "\x9b", "\ud800"]
)
@pytest.mark.parametrize("how", ["log_metric", "log_metrics", "log_batch", "bind", "set_ids", "contextualize", "track"])
def test_id_names_that_are_reserved_or_illegal_are_refused(logger: skald.Logger, how: str, name: str) -> None:
    """Reserved words, control characters and broken Unicode are refused by every call, which logs nothing."""
    logger.log_metric("loss", 0.5, step=1)
    given = {name: 1}
    calls: dict[str, Any] = {
        "log_metric": lambda: logger.log_metric("loss", 0.5, **given),
        "log_metrics": lambda: logger.log_metrics({"loss": 0.5}, **given),
        "log_batch": lambda: logger.log_batch({"loss": [0.5]}, **given),
        "bind": lambda: logger.bind(**given),
        "set_ids": lambda: logger.set_ids(**given),
        "contextualize": lambda: logger.contextualize(**given),
        "track": lambda: logger.track([1], name),
    }
    if how == "log_batch":
        given.pop("time", None)  # which is a parameter there
        given = given or {"run": 1}

    with pytest.raises(InvalidInputError, match=r"id's name|cannot name an id"):
        calls[how]()

    logger.log_metric("loss", 0.5, step=2)
    assert ids(logger) == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize("name", ["metric", "value"])
def test_logger_refuses_reserved_names_of_constant_ids(tmp_path: Path, name: str) -> None:
    """Logger(ids=) is checked before the run is made."""
    with pytest.raises(InvalidInputError, match=name):
        skald.Logger("run", tmp_path, ids={name: 1})

    assert not (tmp_path / "run").exists()
