"""Which sentences say what a text is about: LexRank on sentence vectors.

Erkan and Radev, "LexRank: Graph-based Lexical Centrality as Salience in Text Summarization" (JAIR
22, 2004): a random walk over the sentences, which goes to another one in proportion to how similar
the two are; where it is most often is the centre of the text. This is its continuous form, with
the cosines of sentence vectors in the place of those of TF-IDF; and a sentence is not its own
neighbour here, so that one which nothing resembles is left by every path.

The limits: it chooses and writes nothing, so a chosen "he" may refer to a sentence that is not
there; and what a text says once only is never central.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def centrality(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """How central each of n sentences is, shape (n,), as a share of the most central one's.

    `vectors`: unit length, shape (n, dimensions). Memory and time go with n squared.
    """
    count = len(vectors)
    similar = np.clip(np.asarray(vectors, np.float64) @ np.asarray(vectors, np.float64).T, 0.0, 1.0)
    np.fill_diagonal(similar, 0.0)
    alone = similar.sum(axis=1) == 0
    similar[alone] = 1.0
    steps = similar / np.maximum(similar.sum(axis=1, keepdims=True), 1e-12)
    place = np.full(count, 1.0 / count)
    for _ in range(ROUNDS):
        before, place = place, (1 - DAMPING) / count + DAMPING * (place @ steps)
        if np.abs(place - before).max() < PRECISION / count:
            break
    return np.asarray(place / place.max())


def central(vectors: NDArray[np.floating], scores: NDArray[np.float64], most: int) -> list[int]:
    """The `most` most central sentences, best first, none nearly the same as one before it."""
    chosen: list[int] = []
    for at in map(int, np.argsort(-scores, kind="stable")):
        if len(chosen) == most:
            break
        if not chosen or float((vectors[chosen] @ vectors[at]).max()) < SAME:
            chosen.append(at)
    return chosen


# The paper's own damping.
DAMPING = 0.85
ROUNDS = 100
PRECISION = 1e-6
# Two sentences closer than this say the same; a round value, no search made it.
SAME = 0.9
