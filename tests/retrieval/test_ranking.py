"""Ranking: one score of four signals, in [0, 1], the same in every search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.retrieval.ranking import fused, order

shares = st.floats(0, 1)
cosines = st.floats(-1, 1)
sentences = st.lists(st.tuples(shares, cosines), max_size=5)
candidates = st.lists(st.tuples(shares, cosines, sentences), max_size=8)
Candidate = tuple[float, float, list[tuple[float, float]]]


def score(found: list[Candidate]) -> list[float]:
    flat = [sentence for _, _, sentences in found for sentence in sentences]
    scores: list[float] = fused(
        np.array([words for words, _, _ in found]),
        np.array([cosine for _, cosine, _ in found]),
        np.array([words for words, _ in flat]),
        np.array([cosine for _, cosine in flat]),
        np.array([len(sentences) for _, _, sentences in found], np.int64),
    ).tolist()
    return scores


def test_the_formula() -> None:
    found = [(0.4, 0.6, [(0.9, -0.2), (0.5, 0.8)]), (0.2, -0.5, [])]
    assert score(found) == pytest.approx([(0.4 + 0.6 + 1.3) / 4, 0.05])


def test_one_sentence_has_to_hold_the_words_and_the_meaning() -> None:
    together = (0.5, 0.5, [(0.8, 0.8), (0.0, 0.0)])
    apart = (0.5, 0.5, [(0.8, 0.0), (0.0, 0.8)])
    assert score([together])[0] > score([apart])[0]


def test_bounds() -> None:
    assert score([(1, 1, [(1, 1)]), (0, -1, [(0, -1)]), (0, 0, [])]) == [1, 0, 0]
    assert score([]) == []


@given(candidates)
def test_scores_are_in_zero_to_one(found: list[Candidate]) -> None:
    assert all(0 <= value <= 1 for value in score(found))


@given(candidates)
def test_a_score_does_not_depend_on_the_other_candidates(found: list[Candidate]) -> None:
    assert score(found) == [score([one])[0] for one in found]


@given(candidates.filter(bool), st.floats(0, 1))
def test_more_of_a_signal_is_never_worse(found: list[Candidate], more: float) -> None:
    (words, cosine, parts), *_ = found
    better = [(min(share + more, 1), min(angle + more, 1)) for share, angle in parts]
    raised = (min(words + more, 1), min(cosine + more, 1), better)
    assert score([raised])[0] >= score([found[0]])[0]


def test_equal_scores_keep_one_order() -> None:
    scores = np.array([0.2, 0.9, 0.2, 0.9])
    assert order(scores, [7, 5, 3, 9]).tolist() == [1, 3, 2, 0]
