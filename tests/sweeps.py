"""A sweep of 200 runs that share 25 names, beside the folders of other programs."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

import skald

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3)
SEEDS, EPOCHS = 25, 4


def loss(rate: float, seed: int, epoch: int) -> float:
    """Return a loss that is lowest at an epoch in the middle, and NaN at the end of runs that diverge."""
    if rate == 0.3 and epoch == EPOCHS - 1:
        return math.nan
    return abs(math.log10(rate) + 2) + abs(epoch - 1) / 10 + seed / 1000


def accuracy(rate: float, seed: int, epoch: int) -> float:
    """Return an accuracy, which is NaN where the loss is."""
    return 1 / (1 + loss(rate, seed, epoch))


def write_sweep(runs: Path) -> None:
    """Write the runs `lr=RATE/seedSEED`, and what TensorBoard and Ultralytics leave in the same folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # nobody pulls the plug here, and 200 runs wait for the disk
        for rate in RATES:
            for seed in range(SEEDS):
                log_run(runs / f"lr={rate}", rate, seed)
    (runs / "Nov23_08-15-00_host").mkdir()
    (runs / "Nov23_08-15-00_host" / "events.out.tfevents.1700000000.host.1.0").write_bytes(bytes(16))
    (runs / "detect" / "train" / "weights").mkdir(parents=True)
    (runs / "detect" / "train" / "results.csv").write_text("epoch,loss\n1,2\n")
    (runs / "detect" / "train" / "args.yaml").write_text("lr0: 0.01\n")


def log_run(runs: Path, rate: float, seed: int) -> None:
    """Log one run of the sweep."""
    with skald.Logger(f"seed{seed}", runs, capture=False) as logger:
        logger.log_params(lr=rate, seed=seed)
        for epoch in range(EPOCHS):
            logger.log_metric("loss", loss(rate, seed, epoch) - 5, epoch=epoch, split="train")
            logger.log_metric("loss", loss(rate, seed, epoch), epoch=epoch, split="val")
            logger.log_metric("accuracy", accuracy(rate, seed, epoch), epoch=epoch, split="val")
