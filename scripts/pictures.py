"""Draws the README's pictures: runs made up for it, plotted by `skald plot` as anybody plots theirs, and the viewer.

python3 scripts/pictures.py
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import environment

PICTURES = environment.ROOT / ".images"
STEPS = 400
SEEDS = 4
SCREEN = (120, 34)
SCREENS = {
    "viewer-run": (),
    "viewer-plot": ("down", "enter", "left", "left", "left", "left", "left", "left"),
}
"""The viewer's pictures of a run, and the keys that lead there."""


def log_runs(folder: Path) -> None:
    """Log runs of three learning rates with a few seeds each."""
    import skald

    noise = random.Random(0)  # noqa: S311  made-up data need no secure randomness
    for lr, floor in ((3e-4, 0.5), (1e-3, 0.25), (3e-3, 0.35)):
        for seed in range(SEEDS):
            with skald.Logger(f"lr{lr:g}-seed{seed}", folder, capture=False) as logger:
                logger.log_params({"lr": lr, "seed": seed})
                for step in range(STEPS):
                    loss = floor + 0.03 * seed + 2.1 * math.exp(-step * math.sqrt(lr) / 2) + noise.gauss(0, 0.05)
                    logger.log_metric("loss", loss, step=step)


def log_training(folder: Path) -> Path:
    """Log a run that looks like a training, and return its folder."""
    import numpy as np

    import skald

    random = np.random.default_rng(0)
    with skald.Logger("digits-a", folder, capture=False) as logger:
        logger.log_params({"lr": 1e-3, "model": {"depth": 12}})
        for epoch in logger.track(range(20), "epoch"):
            for step in range(epoch * 100, epoch * 100 + 100):
                noise = float(random.normal())
                logger.log_metric("train/loss", 0.2 + 2.1 * math.exp(-step / 400) + 0.06 * noise, step=step)
                logger.log_metric("train/lr", 1e-3 * (1 + math.cos(step / 2000 * math.pi)) / 2, step=step)
            for split, gap in (("train", 0.0), ("val", 0.06)):
                accuracy = 1 - 0.9 * math.exp(-epoch / 4) - gap + 0.01 * float(random.normal())
                logger.log_metric("accuracy", accuracy, split=split)
            logger.log_histogram("weights", random.normal(math.sin(epoch / 4), 0.4 + epoch / 30, 2000), bins=24)
    return logger.run.path


async def photograph(path: Path, name: str, keys: Sequence[str]) -> None:
    """Draw the viewer's screen of a path after some keys."""
    from skald.viewer.app import ViewerApp

    app = ViewerApp([path])
    async with app.run_test(size=SCREEN) as pilot:
        await pilot.pause(2)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.5)
        (PICTURES / f"{name}.svg").write_text(app.export_screenshot(title="skald"), encoding="utf-8")


def main() -> int:
    """Log into a temporary folder, draw, and return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        log_runs(runs)
        PICTURES.mkdir(exist_ok=True)
        run = log_training(Path(folder))
        for name, keys in SCREENS.items():
            asyncio.run(photograph(run, name, keys))
        asyncio.run(photograph(runs, "viewer-runs", ()))
        wish = ("-m", "loss", "--band", "seed", "--smooth", "0.8", "--width", "480", "--height", "240")
        return environment.run(environment.BIN / "skald", "plot", runs, *wish, "-o", PICTURES / "loss.svg")


if __name__ == "__main__":
    environment.prepare()
    if Path(sys.prefix) == environment.VENV:
        sys.exit(main())
    sys.exit(environment.run(environment.PYTHON, __file__))
