"""Writes the README's table of figures from what the benchmarks measured, so that no number is typed by hand.

    python3 scripts/figures.py [FILE]

The table stands in README.md between `<!-- figures -->` and `<!-- /figures -->`, that of the rivals between
`<!-- rivals -->` and `<!-- /rivals -->`. Of a figure measured more than once the newest counts.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
FIGURES = ROOT / "benchmarks" / "figures.jsonl"
RIVALS = "bench_rivals"
WHOLE = 100
"""From here on a number is shown without a fraction."""

Figure = dict[str, Any]


def read_figures(text: str) -> list[Figure]:
    """Return the newest of each figure, in the order of their first appearance; tiny runs measure nothing."""
    newest: dict[tuple[str, str], Figure] = {}
    for line in text.splitlines():
        figure = json.loads(line)
        if not figure["tiny"]:
            newest[figure["benchmark"], figure["name"]] = figure
    return list(newest.values())


def figures_table(figures: Sequence[Figure]) -> str:
    """Return the table of the figures that have a goal, and where and when they were measured."""
    figures = [figure for figure in figures if figure["goal"] is not None and figure["benchmark"] != RIVALS]
    if not figures:
        return "Nothing was measured yet."
    lines = ["| what | measured | ratio | goal |", "|---|---|---|---|"]
    lines += [f"| {figure['name']} | {_value(figure)} | {_ratio(figure)} | {_goal(figure)} |" for figure in figures]
    return "\n".join([*lines, "", _where(figures)])


def rivals_table(figures: Sequence[Figure]) -> str:
    """Return the table with a row a rival."""
    rows: dict[str, dict[str, Figure]] = {}
    for figure in figures:
        if figure["benchmark"] == RIVALS:
            rival, _, what = figure["name"].partition(": ")
            rows.setdefault(rival.replace("_", " "), {})[what] = figure
    if not rows:
        return "Nothing was measured yet."
    columns = next(iter(rows.values()))
    lines = ["| | " + " | ".join(f"{what}, {figure['unit']}" for what, figure in columns.items()) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for rival, found in rows.items():
        lines.append(f"| {rival} | " + " | ".join(_number(found[what]["value"]) for what in columns) + " |")
    return "\n".join([*lines, "", _where([*columns.values()])])


def replace_part(text: str, marker: str, content: str) -> str:
    """Put content between a marker's two comments, where the text has them."""
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


def _value(figure: Figure) -> str:
    low, high = figure["spread"]
    value = _number(figure["value"])
    between = f" ({_number(low)} to {_number(high)})" if low != high else ""
    return f"{value} {figure['unit']}{between}"


def _ratio(figure: Figure) -> str:
    return "" if figure["ratio"] is None else f"{figure['ratio']:.2f}"


def _goal(figure: Figure) -> str:
    if figure["goal"] is None:
        return ""
    goal = figure["goal"].removeprefix("value ").replace("<=", "≤").replace(">=", "≥")
    return f"{goal}{'' if figure['reached'] else ', missed'}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= WHOLE else f"{value:.3g}"


def _where(figures: Sequence[Figure]) -> str:
    newest = max(figures, key=lambda figure: figure["date"])
    versions = ", ".join(f"{name} {version}" for name, version in newest["versions"].items())
    return f"Medians (and quartiles), {newest['date'][:10]}, {newest['machine']}; {versions}."


def main() -> None:
    """Read the file, and change the README."""
    parser = argparse.ArgumentParser(description="Write the README's tables of figures.")
    parser.add_argument("file", nargs="?", type=Path, default=FIGURES, help="lines that scripts/bench.py has written")
    figures = read_figures(parser.parse_args().file.read_text(encoding="utf-8"))
    text = README.read_text(encoding="utf-8")
    for marker, table in (("figures", figures_table(figures)), ("rivals", rivals_table(figures))):
        text = replace_part(text, marker, table)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
