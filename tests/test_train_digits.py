"""The main job: a real classifier on real data, from the first batch to what `skald show` prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl

import skald

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "train_digits.py"


def test_main_job_learns_the_digits_and_records_how(tmp_path: Path) -> None:
    """Validation accuracy passes 95 %, and every loss, norm, accuracy and param of the training is in the run."""
    command = [sys.executable, str(SCRIPT), "--run-name", "digits", "--epochs", "10"]

    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)

    run = skald.Run(tmp_path / "runs" / "digits")
    losses = run.metrics.filter(pl.col("metric") == "loss", pl.col("batch").is_not_null()).collect()
    assert run.status == "finished"
    assert run.summary(split="val").filter(metric="accuracy")["max"].item() > 0.95
    assert losses.select("epoch", "batch").n_unique() == losses.height == 10 * 45
    assert {"gradient_norm/layer1", "gradient_norm/layer2", "gradient_norm/layer3"} <= set(run.metric_names)
    assert run.params["epochs"] == 10
    assert "validation accuracy" in run.console
