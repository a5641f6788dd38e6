"""Scores of texts and values, and the interval of a difference."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import UsageError
from onrecord.evaluation.scorers import exact_match, normalised, token_f1
from onrecord.evaluation.statistics import paired_bootstrap

WORDS = st.text("ab .,C+-5", max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("  The “Answer”, is:\n42. ", "the answer is 42"),
        ("**Positive**", "positive"),
        ("STRASSE straße", "strasse strasse"),
        ("ﬁne ５", "fine 5"),
        ("C++, C and -5 or 3.5", "c++ c and -5 or 3.5"),
        ("…", "..."),
        ("", ""),
    ],
)
def test_normalised(text: str, seen: str) -> None:
    assert normalised(text) == seen


@pytest.mark.parametrize(
    ("prediction", "expected", "score"),
    [
        ("A.", "a", 1),
        ("A", "the", 0),
        ("C", "C++", 0),
        ("-5", "5", 0),
        ('["b", "A."]', ["B", "a"], 1),
        ('["a", "b"]', ["b", "a"], 0),
        ('```json\n{"x": 1}\n```', {"x": 1.0}, 1),
        ('{"x": true}', {"x": 1}, 0),
        ("no json", ["no json"], 0),
        ("5", 5, 1),
        (None, "None", 0),
        ("null", None, 1),
    ],
)
def test_exact_match(prediction: Any, expected: Any, score: float) -> None:
    assert exact_match(prediction, expected) == score


def test_token_f1() -> None:
    assert token_f1("the cat sat", "The cat.") == pytest.approx(0.8)
    assert token_f1("a a a", "a") == pytest.approx(0.5)  # each word as often as it is there
    assert token_f1('["a", "b"]', ["b", "c"]) == pytest.approx(0.5)
    assert token_f1("", "") == 1 and token_f1("", "a") == 0
    assert token_f1('{"x": 2.0}', {"x": 2}) == 1


@given(WORDS, WORDS)
def test_token_f1_is_that_of_squad_on_the_same_words(one: str, other: str) -> None:
    found, wanted = normalised(one).split(), normalised(other).split()
    same = sum((Counter(found) & Counter(wanted)).values())
    if found and wanted:  # the formula of the official script
        precision, recall = same / len(found), same / len(wanted)
        squad = 2 * precision * recall / (precision + recall) if same else 0.0
    else:
        squad = float(found == wanted)
    assert token_f1(one, other) == pytest.approx(squad) == token_f1(other, one)


@given(VALUES, VALUES)
def test_scores_are_shares_and_equal_values_are_right(one: Any, other: Any) -> None:
    assert exact_match(one, one) == token_f1(one, one) == 1
    assert 0 <= token_f1(one, other) <= 1
    assert exact_match(one, other) in (0, 1)


@given(WORDS)
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


def test_a_difference_that_is_there_and_one_that_is_not() -> None:
    random = np.random.default_rng(1)
    first = random.normal(0.7, 0.1, 200)
    worse = paired_bootstrap(list(first - random.normal(0.05, 0.1, 200)), list(first))
    assert worse.low < worse.value < worse.high < 0 and not worse.within_noise
    same = paired_bootstrap(list(first + random.normal(0, 0.1, 200)), list(first))
    assert same.low < 0 < same.high and same.within_noise


def test_the_interval_is_the_one_of_the_normal_distribution_where_that_holds() -> None:
    scores = np.random.default_rng(2).normal(0.1, 1.0, 2_000)
    interval = paired_bootstrap(list(scores), [0.0] * 2_000)
    half = 1.96 * scores.std() / np.sqrt(2_000)
    assert interval.high - interval.value == pytest.approx(half, rel=0.05)
    assert interval.value - interval.low == pytest.approx(half, rel=0.05)


def test_pairing_tells_what_the_means_alone_do_not() -> None:
    hard = np.linspace(0, 1, 50)
    assert not paired_bootstrap(list(hard - 0.01), list(hard)).within_noise


def test_equal_scores_and_seed_give_an_equal_interval() -> None:
    one, other = [1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.5]
    assert paired_bootstrap(one, other) == paired_bootstrap(one, other)
    assert paired_bootstrap(one, one).within_noise
    wider = paired_bootstrap(one, other, level=0.99)
    assert wider.low <= paired_bootstrap(one, other).low


def test_scores_that_make_no_pairs() -> None:
    with pytest.raises(UsageError, match="0 and 0 scores make no pairs"):
        paired_bootstrap([], [])
