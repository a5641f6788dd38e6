"""A small head on an embedder, fitted to a few labelled examples.

A ridge regression of the labels on the vectors (Rifkin and Lippert, "Notes on Regularized Least
Squares", 2007): what it would say of each example if that one were left out has a closed form, so
how strongly the weights are held back, the accuracy, and how sure the scores make it (the
temperature of a softmax, Guo et al., "On Calibration of Modern Neural Networks", 2017) all come
from examples that the head had not seen. One decomposition, and no search: a thousand examples
take a fraction of a second. The encoder itself is not trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.errors import UsageError

Floats = NDArray[np.float64]


class Head(msgspec.Struct, frozen=True):
    """Weights over unit vectors: `weights` of shape (dimensions, labels), `bias` of (labels,).

    `temperature` turns scores into probabilities. `accuracy` is that of the examples, each told by
    a head that was fitted without it.
    """

    labels: tuple[str, ...]
    weights: Floats
    bias: Floats
    temperature: float
    examples: int
    accuracy: float

    def probabilities(self, vectors: NDArray[np.floating]) -> Floats:
        """Of n vectors, shape (n, labels); each row sums up to 1."""
        scores = np.asarray(vectors, np.float64) @ self.weights + self.bias
        return np.exp(_logs(scores / self.temperature))

    @property
    def said(self) -> str:
        """How good the head is, in a sentence."""
        right = round(self.accuracy * self.examples)
        return (
            f"Fitted to {self.examples} examples; cross-validated accuracy {self.accuracy:.2f} "
            f"({right} right of {self.examples}, each told without itself)."
        )


def fit(vectors: NDArray[np.floating], labels: Sequence[str]) -> Head:
    """Fit a head. `vectors`: unit length, shape (n, dimensions), one a label. The same examples
    give the same head.

    Raises UsageError where there are not two different labels.
    """
    names = tuple(dict.fromkeys(labels))
    if len(names) < 2:
        raise UsageError(
            f"all examples have the label '{names[0]}'" if names else "there are no examples",
            cure="Give examples of at least two labels.",
        )
    inputs = np.asarray(vectors, np.float64)
    targets = np.eye(len(names))[[names.index(label) for label in labels]]
    middle, mean = inputs.mean(axis=0), targets.mean(axis=0)
    left, sizes, right = np.linalg.svd(inputs - middle, full_matrices=False)
    turned = left.T @ (targets - mean)
    tried = [(each, _left_out(left, sizes, turned, targets, each)) for each in STRENGTHS]
    strength, told = min(tried, key=lambda pair: float(((pair[1] - targets) ** 2).sum()))
    weights = right.T @ ((sizes / (sizes**2 + strength))[:, None] * turned)
    accuracy = float((told.argmax(axis=1) == targets.argmax(axis=1)).mean())
    return Head(
        names, weights, mean - middle @ weights, _temperature(told, targets), len(labels), accuracy
    )


def _left_out(
    left: Floats, sizes: Floats, turned: Floats, targets: Floats, strength: float
) -> Floats:
    """The scores of each example by a regression without it, shape (n, labels)."""
    kept = sizes**2 / (sizes**2 + strength)
    said = targets.mean(axis=0) + left @ (kept[:, None] * turned)
    own = 1 / len(targets) + (left**2) @ kept
    return np.asarray(targets - (targets - said) / np.maximum(1 - own, 1e-9)[:, None])


def _temperature(scores: Floats, targets: Floats) -> float:
    """The one that makes the labels of left-out examples likeliest.

    The targets are Platt's: of n examples that are all right, nobody knows that the next one is.
    """
    doubt = 1 / (len(targets) + 2)
    soft = targets * (1 - doubt) + (1 - targets) * doubt / (targets.shape[1] - 1)
    return min(TEMPERATURES, key=lambda each: -float((soft * _logs(scores / each)).sum()))


def _logs(logits: Floats) -> Floats:
    """The logarithms of a softmax, row by row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


# From hardly held back to strongly; a half decade apart, for vectors of length one.
STRENGTHS = tuple(float(each) for each in np.logspace(-2, 2, 9))
TEMPERATURES = tuple(float(each) for each in np.logspace(-2, 1, 61))
