"""A small head on an embedder, fitted to a few labelled examples: logistic regression.

Sentence vectors with a logistic regression on top are what SetFit (Tunstall et al., "Efficient
Few-Shot Learning Without Prompts", 2022) ends with; the encoder is not trained here. How strongly
the weights are held back is chosen by the likelihood of examples that were left out, and the same
left-out examples tell the accuracy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.errors import UsageError

Floats = NDArray[np.float64]


class Head(msgspec.Struct, frozen=True):
    """Weights of a logistic regression over unit vectors.

    `weights` has shape (dimensions + 1, labels), the last row being the bias. `accuracy` is that
    of examples that were left out of the fit (`folds` times), None where a label has one example
    only.
    """

    labels: tuple[str, ...]
    weights: Floats
    examples: int
    accuracy: float | None
    folds: int

    def probabilities(self, vectors: NDArray[np.floating]) -> Floats:
        """Of n vectors, shape (n, labels); each row sums up to 1."""
        return _softmax(_with_bias(vectors) @ self.weights)

    @property
    def said(self) -> str:
        """How good the head is, in a sentence."""
        if self.accuracy is None:
            return (
                f"Fitted to {self.examples} examples; a label has one only, so the accuracy is "
                "not known."
            )
        right = round(self.accuracy * self.examples)
        return (
            f"Fitted to {self.examples} examples; cross-validated accuracy {self.accuracy:.2f} "
            f"({right} of {self.examples} right in {self.folds} folds)."
        )


def fit(vectors: NDArray[np.floating], labels: Sequence[str]) -> Head:
    """Fit a head. `vectors`: unit length, shape (n, dimensions), one a label. Takes well under a
    second for some hundred examples; the same examples give the same head.

    Raises UsageError where there are not two different labels.
    """
    names = tuple(dict.fromkeys(labels))
    if len(names) < 2:
        raise UsageError(
            f"all examples have the label '{names[0]}'" if names else "there are no examples",
            cure="Give examples of at least two labels.",
        )
    targets = np.eye(len(names))[[names.index(label) for label in labels]]
    inputs = _with_bias(vectors)
    folds = min(FOLDS, *Counter(labels).values())
    strength, accuracy = STRENGTHS[1], None
    if folds > 1:
        tried = [(*_left_out(inputs, targets, each, folds), each) for each in STRENGTHS]
        _, accuracy, strength = min(tried, key=lambda found: found[0])
    return Head(names, _weights(inputs, targets, strength), len(labels), accuracy, folds)


def _left_out(inputs: Floats, targets: Floats, strength: float, folds: int) -> tuple[float, float]:
    """The mean negative log-likelihood of examples that were left out, and their accuracy."""
    loss, right = 0.0, 0
    for held in _folds(targets, folds):
        weights = _weights(inputs[~held], targets[~held], strength)
        said = _softmax(inputs[held] @ weights)
        loss -= float(np.log(np.maximum((said * targets[held]).sum(axis=1), 1e-12)).sum())
        right += int((said.argmax(axis=1) == targets[held].argmax(axis=1)).sum())
    return loss / len(inputs), right / len(inputs)


def _folds(targets: Floats, folds: int) -> Iterator[NDArray[np.bool_]]:
    """Which examples are left out, each once, every label in every fold."""
    place = np.zeros(len(targets), dtype=np.int64)
    for column in targets.T:
        members = np.flatnonzero(column)
        place[members] = np.arange(len(members)) % folds
    for fold in range(folds):
        yield place == fold


def _weights(inputs: Floats, targets: Floats, strength: float) -> Floats:
    """Nesterov's accelerated gradient on the mean log-loss + strength/2 |weights|^2.

    The rows have length sqrt(2) at most, so the gradient changes no faster than 1 + strength.
    """
    step = 1.0 / (1.0 + strength)
    ratio = np.sqrt(strength * step)
    momentum = (1 - ratio) / (1 + ratio)
    weights = ahead = np.zeros((inputs.shape[1], targets.shape[1]))
    for _ in range(STEPS):
        errors = _softmax(inputs @ ahead) - targets
        gradient = inputs.T @ errors / len(inputs) + strength * ahead
        before, weights = weights, ahead - step * gradient
        ahead = weights + momentum * (weights - before)
        if np.abs(gradient).max() < PRECISION:
            break
    return weights


def _with_bias(vectors: NDArray[np.floating]) -> Floats:
    return np.hstack([np.asarray(vectors, np.float64), np.ones((len(vectors), 1))])


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


FOLDS = 5
# From hardly held back to strongly; a decade apart, as grids of this are.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
STEPS = 400
PRECISION = 1e-6
