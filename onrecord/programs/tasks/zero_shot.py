"""Labels by their descriptions: the one whose words mean most the same as the text.

The shares are a softmax of 20 times the cosines. That is no fitted number: the sentence encoders
of the all-MiniLM family were trained to choose the right one among candidates with that softmax,
so a share is what the encoder's training calls the probability of the label among these labels.
On your texts it is calibrated to nothing: give `examples=` for probabilities that are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shares(cosines: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shares of labels by their cosines, shape (..., labels) both; the last axis sums up to 1."""
    logits = SCALE * np.asarray(cosines, np.float64)
    grown = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=-1, keepdims=True))


SCALE = 20.0
