"""Id sets: however many kinds of call a run has, each row has its own ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from logged import ids, rows, values

import skald


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return an open logger without ids."""
    with skald.Logger("run", tmp_path) as logger:
        yield logger


@pytest.mark.parametrize("sets", [2, 4, 5, 9])
def test_id_sets_may_alternate(logger: skald.Logger, sets: int) -> None:
    """Calls with different ids in turn each keep theirs, however many kinds of call there are."""
    expected = []
    for round_ in range(400):
        names = [f"k{round_ % sets}", "all"]
        given = dict.fromkeys(names, round_)
        logger.log_metric("loss", round_, **given)
        expected.append(given)

    key = sorted(ids(logger), key=lambda row: row["all"])
    assert key == expected
    assert values(logger) == list(range(400))


def test_id_sets_may_be_more_than_segments_that_are_open(logger: skald.Logger) -> None:
    """More id sets than have segments of their own lose, mix and reorder nothing."""
    expected = []
    for number in range(400):
        given: dict[str, Any] = {f"k{number % 80}": number, "step": number, "split": "val" if number % 2 else ""}
        logger.log_metric("loss", number, **given)
        expected.append({"value": float(number), **given})

    found = sorted(rows(logger), key=lambda row: row["step"])
    assert found == expected


def test_id_sets_may_have_more_names_than_a_shared_segment(logger: skald.Logger) -> None:
    """Id sets that share a segment until it has as many ids as it can go on in the next."""
    for number in range(70):
        logger.log_metric("loss", 0.5, **{f"first{number}": number})
    sets = [{f"{letter}{k}": k for k in range(30)} for letter in "abcabc"]

    for given in sets:
        logger.log_metric("loss", 1.5, **given)

    found = [row for row in ids(logger) if "a0" in row or "b0" in row or "c0" in row]
    assert sorted(map(sorted, found)) == sorted(map(sorted, sets))


def test_id_sets_may_share_more_ids_than_one_segment_has(logger: skald.Logger) -> None:
    """A call may have hundreds of ids, and id sets beyond the sixty-fourth hundreds of names together."""
    for number in range(70):
        logger.log_metric("loss", 0.5, **{f"first{number}": number})
    wide = {f"wide{k}": k for k in range(200)}

    logger.log_metric("loss", 1.5, **wide)
    logger.log_metrics({"loss": 2.5, "other": 1}, **wide)

    assert [row for row in rows(logger) if row["value"] > 1] == [{"value": 1.5, **wide}, {"value": 2.5, **wide}]


def test_id_widens_also_where_id_sets_share_a_segment(logger: skald.Logger) -> None:
    """Beyond the sixty-fourth id set an int id becomes a float like any other."""
    for number in range(80):
        logger.log_metric("loss", 0.5, **{f"k{number}": number, "lr": 1})

    for number in range(80):
        logger.log_metric("loss", 1.5, **{f"k{number}": number, "lr": 0.5})
        logger.log_metric("loss", 1.5, **{f"k{number}": number, "lr": 2})

    found = [row for row in rows(logger) if row["value"] == 1.5]
    assert sum(row["lr"] == 0.5 for row in found) == sum(row["lr"] == 2.0 for row in found) == 80
    assert {type(row["lr"]) for row in rows(logger)} == {float}
