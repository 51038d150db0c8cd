"""Draws the README's picture: runs made up for it, plotted by `skald plot` as anybody plots theirs.

python3 scripts/pictures.py
"""

from __future__ import annotations

import math
import random
import sys
import tempfile
from pathlib import Path

import environment

PICTURE = environment.ROOT / ".images" / "loss.svg"
STEPS = 400
SEEDS = 4


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


def main() -> int:
    """Log into a temporary folder, plot, and return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        log_runs(Path(folder))
        PICTURE.parent.mkdir(exist_ok=True)
        wish = ("-m", "loss", "--band", "seed", "--smooth", "0.8", "--width", "480", "--height", "240")
        return environment.run(environment.BIN / "skald", "plot", folder, *wish, "-o", PICTURE)


if __name__ == "__main__":
    if Path(sys.prefix) == environment.VENV:
        sys.exit(main())
    environment.prepare()
    sys.exit(environment.run(environment.PYTHON, __file__))
