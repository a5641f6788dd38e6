"""From four signals to one score in [0, 1] that means the same in every search.

A passage is judged by its words and by its meaning, as a whole and in its best sentence:

    score = (passage words + passage meaning + best sentence's (words + meaning)) / 4

Each signal has its own fixed zero and one: no word of the question, and every word; unrelated, and
the same. Nothing is stretched to the best and worst of one question, so .6 is as good here as
there, and a minimum score can be set once. Fixed bounds instead of per-query ones follow Bruch, Gai
and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (ACM TOIS 42(1), 2023). The
weights are equal, not tuned; that these four signals are taken was decided after comparing some
twenty forms on SQuAD 2.0, Cranfield, PEP titles and docstrings.

The limits: the score is no probability; and a question in another language than the passages
shares no words with them, which caps it at one half.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def fused(
    passage_words: Floats,
    passage_meaning: Floats,
    sentence_words: Floats,
    sentence_meaning: Floats,
    counts: Sequence[int] | NDArray[np.integer],
) -> NDArray[np.float64]:
    """Scores of n candidates, shape (n,), in [0, 1]; higher is better.

    `passage_words`: (n,) coverage in [0, 1]. `passage_meaning`: (n,) cosines of question and chunk.
    `sentence_words`, `sentence_meaning`: (m,) the same of all their sentences, candidate after
    candidate. `counts`: (n,) how many sentences each has, m in all; one with none gets 0 for them.

    One sentence has to do both, hold the words and mean the same: that is what answers a question.
    """
    owners = np.repeat(np.arange(len(passage_words)), counts)
    best = np.zeros(len(passage_words))
    np.maximum.at(best, owners, np.asarray(sentence_words) + positive(sentence_meaning))
    return np.clip(
        (np.asarray(passage_words) + positive(passage_meaning) + best) / SIGNALS, 0.0, 1.0
    )


def positive(cosines: Floats) -> NDArray[np.float64]:
    """Cosine to [0, 1]: to point away from the question is no worse than to be unrelated to it."""
    return np.clip(np.asarray(cosines, dtype=np.float64), 0.0, 1.0)


def order(scores: Floats, ties: Sequence[int]) -> NDArray[np.intp]:
    """Best first; equal scores by `ties` ascending (row ids), so that a search repeats exactly."""
    return np.lexsort((np.asarray(ties), -np.asarray(scores)))


# Words and meaning, in the passage and in the sentence.
SIGNALS = 4
