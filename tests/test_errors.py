"""The errors of Skald: their tree, what they are besides, and what becomes of refused calls."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from logged import ids, rows, values

import skald
from skald import errors

TREE = {
    "InvalidInputError": ValueError,
    "IdTypeError": TypeError,
    "ValueTypeError": TypeError,
    "LoggerClosedError": RuntimeError,
    "RunExistsError": FileExistsError,
    "RunNotFoundError": FileNotFoundError,
    "CorruptRunError": Exception,
    "FormatVersionError": Exception,
    "StorageError": OSError,
    "MissingLibraryError": ImportError,
}


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return a logger that refuses bad input with a warning."""
    with skald.Logger("run", tmp_path, errors="warn") as logger:
        yield logger


def test_errors_are_those_of_the_tree() -> None:
    """The module has the errors that its docstring draws, and no others."""
    found = {name for name, thing in vars(errors).items() if isinstance(thing, type)}
    drawn = {word.strip("()") for word in (errors.__doc__ or "").split() if word.strip("()").endswith("Error")}

    assert found == {"SkaldError", *TREE}
    assert found <= drawn


@pytest.mark.parametrize("name", TREE)
def test_error_is_also_the_builtin_that_people_expect(name: str) -> None:
    """Each error derives from SkaldError and from the builtin, as drawn, and is in the package."""
    error = getattr(skald, name)
    line = next(line for line in (errors.__doc__ or "").splitlines() if f" {name}" in line)

    assert issubclass(error, skald.SkaldError)
    assert issubclass(error, TREE[name])
    assert TREE[name] is Exception or f"({TREE[name].__name__})" in line


REFUSED: dict[str, Callable[[skald.Logger], Any]] = {
    "name": lambda logger: logger.log_metric("", 0.5),
    "value": lambda logger: logger.log_metric("loss", "x"),
    "id": lambda logger: logger.log_metric("loss", 0.5, step="x"),
    "id name": lambda logger: logger.log_metric("loss", 0.5, value=1),
    "metrics": lambda logger: logger.log_metrics({"good": 1.0, "loss": "x"}),
    "text": lambda logger: logger.log_metrics("epoch done"),  # type: ignore[arg-type]
    "batch": lambda logger: logger.log_batch({"loss": [0.5, 1.5]}, step=[1]),
    "param": lambda logger: logger.log_param("act", object()),
    "params": lambda logger: logger.log_params({"good": 1}, act=object()),
    "set_ids": lambda logger: logger.set_ids(step="x"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_errors_warn_refuses_the_call_and_goes_on(logger: skald.Logger, case: str) -> None:
    """With errors="warn" a bad call logs nothing, raises nothing, and warns; the next call logs."""
    logger.log_metric("loss", 0.5, step=1)

    REFUSED[case](logger)

    logger.log_metric("loss", 0.25, step=2)
    assert rows(logger) == [{"value": 0.5, "step": 1}, {"value": 0.25, "step": 2}]
    assert logger.run.metric_names == ["loss"]
    assert logger.run.params == {}
    assert logger.run.console.count("refused") == 1


@pytest.mark.parametrize("case", REFUSED)
def test_errors_raise_leaves_the_run_as_it_was(tmp_path: Path, case: str) -> None:
    """By default the same calls raise, and nothing is half-logged."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 0.5, step=1)

        with pytest.raises(skald.SkaldError):
            REFUSED[case](logger)

        logger.log_metric("loss", 0.25, step=2)
        assert rows(logger) == [{"value": 0.5, "step": 1}, {"value": 0.25, "step": 2}]
        assert logger.run.metric_names == ["loss"]
        assert logger.run.params == {}


def test_errors_warn_warns_once_a_kind(logger: skald.Logger) -> None:
    """A fault in a loop of hours gives one line a kind of error, which tells what was found."""
    for _ in range(100):
        logger.log_metric("loss", "x")
        logger.log_metric("", 0.5)

    console = logger.run.console
    assert console.count("refused") == 2
    assert "metric 'loss' needs one number, got str: 'x'" in console


def test_errors_warn_reaches_the_terminal_with_the_callers_line(logger: skald.Logger) -> None:
    """The warning in the terminal points at the call that was refused."""
    from loguru import logger as terminal

    found: list[str] = []
    handler = terminal.add(found.append, format="{level} {file} {function}")
    try:
        logger.log_metric("loss", "x")
        logger.log_batch({"": [1.0]})
    finally:
        terminal.remove(handler)

    here = "WARNING test_errors.py test_errors_warn_reaches_the_terminal_with_the_callers_line\n"
    assert found == [here, here]


def test_errors_warn_lets_blocks_and_loops_run_without_the_ids_refused(logger: skald.Logger) -> None:
    """contextualize, bind and track of bad ids give what they can: the block, a logger, the items."""
    logger.log_metric("loss", 0.5, step=1)

    with logger.contextualize(step="x"):
        logger.log_metric("loss", 1.5)
    logger.bind(value=3).log_metric("loss", 2.5)
    for item in logger.track([3, 4], "value"):
        logger.log_metric("loss", item)

    assert ids(logger) == [{"step": 1}, {}, {}, {}, {}]
    assert values(logger) == [0.5, 1.5, 2.5, 3, 4]


def test_errors_warn_gives_no_row_the_id_of_the_item_before(logger: skald.Logger) -> None:
    """Where an item cannot be the id, rows lack it."""
    for item in logger.track([1, "a", 2], "k"):
        logger.log_metric("loss", 0.5, name=str(item))

    assert ids(logger) == [{"k": 1, "name": "1"}, {"name": "a"}, {"k": 2, "name": "2"}]


def test_errors_warn_still_raises_after_close(logger: skald.Logger) -> None:
    """A closed logger is no bad input: what would be lost is told."""
    logger.close()

    with pytest.raises(skald.LoggerClosedError):
        logger.log_metric("loss", 0.5)


@pytest.mark.parametrize(
    "option",
    [
        *[{"errors": "ignore"}, {"metrics_format": "json"}, {"mode": "append"}, {"tags": 3}, {"tags": ["a", 3]}],
        *[{"tags": "\ud800"}, {"tags": ["a", "\ud800"]}, {"notes": "\ud800"}],
        *[{"notes": 3}, {"ids": [("a", 1)]}, {"ids": {"a": b""}}, {"dir": 3}, {"dir": "a\0b"}, {"run_name": 3}],
    ],
    ids=ascii,
)
def test_logger_refuses_bad_options(tmp_path: Path, option: dict[str, Any]) -> None:
    """An option that is none raises before anything is on the disk, and says what it got."""
    with pytest.raises((skald.InvalidInputError, skald.IdTypeError)) as caught:
        skald.Logger(**{"run_name": "run", "dir": tmp_path, **option})

    assert "got" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    ["", " ", "a/b", "a\\b", "..", ".", "a\n", "con", "COM1.txt", "a.", "a?", "x" * 256, "run.json", ".tmp-0123abcd-a"],
)
def test_logger_refuses_names_that_are_no_folder_everywhere(tmp_path: Path, name: str) -> None:
    """A run's name is no path, not empty, without control characters, one that Windows takes, and no leftover's."""
    modes: tuple[Any, ...] = ("new", "disabled")
    for mode in modes:
        with pytest.raises(skald.InvalidInputError, match="a run's name must") as caught:
            skald.Logger(name, tmp_path, mode=mode)
        assert caught.value.__notes__

    assert not list(tmp_path.iterdir())


def test_closed_logger_is_no_block(tmp_path: Path) -> None:
    """The error comes before the block runs."""
    logger = skald.Logger("run", tmp_path)
    logger.close()

    with pytest.raises(skald.LoggerClosedError), logger:
        pytest.fail("the block ran")


def test_closed_logger_says_which_mode_goes_on_with_its_run(tmp_path: Path) -> None:
    """One that joined joins again, as others may be writing; of a disabled one nothing was kept."""
    logger = skald.Logger("run", tmp_path, capture=False)
    loggers = [
        logger,
        skald.Logger("run", tmp_path, mode="join", capture=False),
        pickle.loads(pickle.dumps(logger)),
        skald.Logger("run", tmp_path, mode="disabled"),
    ]
    notes = []

    for each in loggers:
        each.close()
        with pytest.raises(errors.LoggerClosedError, match="the logger of 'run' is closed") as caught:
            each.log_metric("loss", 1.0)
        notes.append(getattr(caught.value, "__notes__", []))

    resume, join = (f"hint: mode={mode!r} continues its run" for mode in ("resume", "join"))
    assert notes == [[resume], [join], [join], []]


def test_run_refuses_what_is_no_path() -> None:
    """By what it got."""
    with pytest.raises(skald.InvalidInputError, match="got int: 3"):
        skald.Run(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [5, None, object()], ids=["int", "None", "object"])
def test_track_refuses_what_it_cannot_go_through(logger: skald.Logger, given: Any) -> None:
    """There is no loop to go on with, so this raises in any case, and at the call."""
    with pytest.raises(skald.InvalidInputError, match=f"iterable, got {type(given).__name__}"):
        logger.track(given, "k")
