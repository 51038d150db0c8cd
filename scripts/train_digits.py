"""Trains a small network on handwritten digits, and logs the training with Skald.

The data are the 1,797 images of 8 x 8 pixels that ship with scikit-learn. The network is plain NumPy: three layers
with ReLU between them, a softmax at the end, trained by Adam (Kingma and Ba, 2015, algorithm 1).
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import skald

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """What may be chosen on the command line, by these names."""

    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-3
    width: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Split:
    """Images as rows of 64 pixels between 0 and 1, and the digit that each shows."""

    images: Floats
    digits: Labels


class Network:
    """A stack of linear layers with ReLU between them, and Adam's running means of the gradients."""

    def __init__(self, sizes: tuple[int, ...], learning_rate: float, rng: np.random.Generator) -> None:
        self.learning_rate = learning_rate
        self.weights = [
            rng.normal(scale=np.sqrt(2 / inputs), size=(inputs, outputs)) for inputs, outputs in pairwise(sizes)
        ]
        self.biases = [np.zeros(outputs) for outputs in sizes[1:]]
        self._means = [np.zeros_like(array) for array in self.weights + self.biases]
        self._squares = [np.zeros_like(array) for array in self.weights + self.biases]
        self._steps = 0

    def forward(self, images: Floats) -> list[Floats]:
        """Return the input of each layer, and last the logits."""
        values = [images]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values.append(np.maximum(values[-1] @ weight + bias, 0))
        return [*values, values[-1] @ self.weights[-1] + self.biases[-1]]

    def evaluate(self, split: Split) -> dict[str, float]:
        """Return the loss and the accuracy on a split."""
        logits = self.forward(split.images)[-1]
        loss, _ = cross_entropy(logits, split.digits)
        return {"loss": loss, "accuracy": float(np.mean(logits.argmax(axis=1) == split.digits))}

    def train(self, batch: Split) -> tuple[float, dict[str, float]]:
        """Take one step; return the loss before it, and the norm of each layer's gradient."""
        values = self.forward(batch.images)
        loss, error = cross_entropy(values[-1], batch.digits)
        weights: list[Floats] = []
        biases: list[Floats] = []
        for weight, value in zip(reversed(self.weights), reversed(values[:-1]), strict=True):
            weights.insert(0, value.T @ error)
            biases.insert(0, error.sum(axis=0))
            error = (error @ weight.T) * (value > 0)
        self._step(weights + biases)
        return loss, {f"layer{n}": float(np.linalg.norm(gradient)) for n, gradient in enumerate(weights, 1)}

    def _step(self, gradients: list[Floats], decay: float = 0.9, square_decay: float = 0.999) -> None:
        self._steps += 1
        rate = self.learning_rate * np.sqrt(1 - square_decay**self._steps) / (1 - decay**self._steps)
        arrays = self.weights + self.biases
        for array, gradient, mean, square in zip(arrays, gradients, self._means, self._squares, strict=True):
            mean += (1 - decay) * (gradient - mean)
            square += (1 - square_decay) * (gradient**2 - square)
            array -= rate * mean / (np.sqrt(square) + 1e-8)


def cross_entropy(logits: Floats, digits: Labels) -> tuple[float, Floats]:
    """Return the mean loss, and its gradient with respect to the logits."""
    logits = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = np.arange(len(digits))
    loss = -np.log(probabilities[rows, digits]).mean()
    probabilities[rows, digits] -= 1
    return float(loss), probabilities / len(digits)


def load_splits(rng: np.random.Generator, val_share: float = 0.2) -> dict[str, Split]:
    """Return the images, shuffled and divided into `train` and `val`."""
    images, digits = load_digits(return_X_y=True)
    val, train = np.split(rng.permutation(len(digits)), [round(val_share * len(digits))])
    return {name: Split(images[rows] / 16, digits[rows]) for name, rows in (("train", train), ("val", val))}


def train(logger: skald.Logger, settings: Settings) -> float:
    """Train a network, log all that is worth knowing about it, and return the best validation accuracy."""
    rng = np.random.default_rng(settings.seed)
    splits = load_splits(rng)
    images, digits = splits["train"].images, splits["train"].digits
    network = Network((64, settings.width, settings.width // 2, 10), settings.learning_rate, rng)
    logger.log_params(asdict(settings), images={name: len(split.digits) for name, split in splits.items()})
    logger.info("{:,} images to learn from, {:,} to check", len(digits), len(splits["val"].digits))

    best = 0.0
    for epoch in logger.track(range(settings.epochs), "epoch"):
        shuffled = rng.permutation(len(digits))
        for batch, start in enumerate(range(0, len(digits), settings.batch_size)):
            rows = shuffled[start : start + settings.batch_size]
            loss, norms = network.train(Split(images[rows], digits[rows]))
            logger.log_metric("loss", loss, batch=batch)
            logger.log_metrics({"gradient_norm": norms}, batch=batch)
        scores = {name: network.evaluate(split) for name, split in splits.items()}
        for name, score in scores.items():
            logger.log_metrics(score, split=name)
        best = max(best, scores["val"]["accuracy"])
        if (epoch + 1) % 5 == 0:
            logger.info("validation accuracy {:.1%}, loss {:.3f}", scores["val"]["accuracy"], scores["val"]["loss"])
    return best


def main() -> None:
    """Read the command line, and train inside a run."""
    parser = argparse.ArgumentParser(description="Train a small network on handwritten digits.")
    parser.add_argument("--run-name", help="the run's name (default: the time, made unique)")
    for field in fields(Settings):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    chosen = vars(parser.parse_args())

    with skald.Logger(chosen.pop("run_name")) as logger:
        best = train(logger, Settings(**chosen))
        logger.success("best validation accuracy: {:.1%}", best)


if __name__ == "__main__":
    main()
