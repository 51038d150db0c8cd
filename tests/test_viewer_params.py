"""The viewer's tab of params: a tree that opens, closes, is searched and follows the run."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from stage import Show, play

import skald
from skald.viewer.outline import Outline, branches, matching, nodes
from skald.viewer.params_pane import ParamsPane

PARAMS: dict[str, Any] = {
    "lr": 0.001,
    "model": {"depth": 12, "act": "[red]gelu", "layers": [{"k": 3}, {"k": 5}]},
    "data": {"path": "/data\x1b[31m", "aug": {"flip": True}},
    "note": "line one\nline two",
    "empty": {},
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run with nested params."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_params(PARAMS)
    return tmp_path / "run"


def watch(run: Path, scene: Callable[[Show], Awaitable[None]]) -> None:
    """Play a scene with the params of a run."""

    async def live(show: Show) -> None:
        pane = show.app.query_one(ParamsPane)
        pane.set_interval(0.2, pane.refresh_live)
        await scene(show)

    play(lambda: ParamsPane(run), live, size=(60, 20))


def test_params_are_shown_nested(run: Path) -> None:
    """A screen as it looks: groups, values, and what can be seen of text that must not be obeyed."""

    async def scene(show: Show) -> None:
        await show.until_shown("flip")
        assert show.lines[:12] == [
            "param       value",
            "  lr        0.001",
            "▼ model     3 params",
            "    depth   12",
            "    act     [red]gelu",
            '    layers  [{"k": 3}, {"k": 5}]',
            "▼ data      2 params",
            r'    path    "/data\u001b[31m"',
            "  ▼ aug     1 param",
            "      flip  true",
            r'  note      "line one\nline two"',
            "  empty     {}",
        ]

    watch(run, scene)


def test_params_close_and_open(run: Path) -> None:
    """With the arrows, as in any tree; the mouse does it too."""

    async def scene(show: Show) -> None:
        await show.until_shown("flip")
        await show.press("down", "left")
        await show.until_gone("    act ")
        await show.press("right")
        await show.until_shown("    act ")
        await show.pilot.click(Outline, offset=(3, 2))
        await show.until_gone("    act ")
        await show.press("right", "right", "down", "left")
        await show.until(lambda: show.app.query_one(Outline).key == ("model",))

    watch(run, scene)


def test_params_are_searched_by_name_and_value(run: Path) -> None:
    """With their groups; escape shows all again."""

    async def scene(show: Show) -> None:
        await show.until_shown("flip")
        await show.press("slash")
        await show.type("data TRUE")
        await show.until_gone("gelu", "path")
        await show.until_shown("▼ data", "flip")
        await show.press("enter")
        assert show.app.query_one(Outline).has_focus
        await show.press("escape")
        await show.until_shown("gelu", "path")
        await show.press("slash")
        await show.type("nothing like it")
        await show.until_shown("no param is like that")

    watch(run, scene)


def test_params_show_the_value_with_the_cursor_in_full(run: Path) -> None:
    """Its dotted name, its kind, and all lines; it can be copied."""

    async def scene(show: Show) -> None:
        await show.until_shown("lr  float")
        await show.press("end", "up")
        await show.until_shown("note  str")
        assert [line.strip() for line in show.lines[-4:-1]] == ["note  str", "line one", "line two"]
        await show.press("y")
        assert show.app.clipboard == "line one\nline two"
        await show.press("home", "down", "down", "down", "down")
        await show.until_shown("model.layers  list of 2", "- k: 3")

    watch(run, scene)


def test_params_that_are_logged_meanwhile_appear(run: Path) -> None:
    """The cursor stays on its param, and what was closed is closed."""

    async def scene(show: Show) -> None:
        await show.until_shown("flip")
        await show.press("down", "left", "down")
        await show.until_shown("data  2 params")
        with skald.Logger("run", run.parent, mode="resume") as logger:
            logger.log_params({"model": {"new": 1}, "later": 2})
        await show.until_shown("later", "model     4 params", "data  2 params")
        assert "    act " not in show.text

    watch(run, scene)


def test_params_of_a_damaged_and_of_a_removed_run_stay(run: Path) -> None:
    """A typo is warned of; of a run that is gone a line says so."""

    async def scene(show: Show) -> None:
        await show.until_shown("flip")
        (run / "params.yaml").write_text("a: [", encoding="utf-8")
        await show.until(lambda: len(warned) > 0)
        await show.until_shown("flip")
        shutil.rmtree(run)
        await show.until_shown("This run is gone", "flip")

    with pytest.warns(UserWarning, match="params cannot be read") as warned:
        watch(run, scene)


def test_params_that_are_none_are_said_to_be(tmp_path: Path) -> None:
    """An empty tab has a word in it."""
    with skald.Logger("run", tmp_path, capture=False):
        pass

    async def scene(show: Show) -> None:
        await show.until_shown("this run has no params")

    watch(tmp_path / "run", scene)


def test_params_that_were_none_before_a_damaged_edit_are_said_to_be(tmp_path: Path) -> None:
    """The warning shows nothing of before the edit where there was nothing."""
    with skald.Logger("run", tmp_path, capture=False):
        pass
    (tmp_path / "run" / "params.yaml").write_text("a: [", encoding="utf-8")

    with pytest.warns(UserWarning, match="before the edit there were none"):
        watch(tmp_path / "run", lambda show: show.until_shown("this run has no params"))


def test_outline_of_thousands_of_leaves_is_closed_at_first(tmp_path: Path) -> None:
    """What is closed takes no rows; a search opens what it finds."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_params({"many": {f"p{number}": number for number in range(5000)}, "one": 1})

    async def scene(show: Show) -> None:
        await show.until_shown("many", "5,000 params", "one")
        assert "p0" not in show.text
        await show.press("slash")
        await show.type("p4999")
        await show.until_shown("p4999")

    watch(tmp_path / "run", scene)


def test_outline_finds_leaves_with_their_branches() -> None:
    """An empty mapping is a leaf; a branch without a leaf that is wanted is left out."""
    tree = {"a": {"b": 1, "c": {}}, "d": {"e": {"f": 2}}}

    assert [node.path for node in nodes(tree, {("a",)})] == [("a",), ("a", "b"), ("a", "c"), ("d",)]
    assert branches(tree) == {("a",), ("d",), ("d", "e")}
    assert matching(tree, lambda path, _: path[-1] == "f") == {"d": {"e": {"f": 2}}}
