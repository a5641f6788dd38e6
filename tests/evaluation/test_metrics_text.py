"""Scores of texts and values, and the interval of a difference."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.evaluation.metrics import exact_match, normalised, token_f1

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
        (42, "42", 1),  # a cell of a CSV file is a text
        (4, "4.0", 1),
        (True, "true", 1),
        ({"x": 1}, '{"x": 1}', 1),
        (7, "007", 0),
        (1, "true", 0),
        (5, "five", 0),
        (None, "null", 0),
    ],
)
def test_exact_match(prediction: Any, expected: Any, score: float) -> None:
    assert exact_match(prediction, expected) == score


def test_a_number_may_begin_with_its_point() -> None:
    assert exact_match(".5", "5") == 0 and exact_match("It is .5.", "it is .5") == 1
    assert exact_match("(.5)", ".5") == 1 and exact_match("...5", "5") == 1
    assert exact_match(".5", "0.5") == 0  # as texts; numbers are `numeric_match`'s
    assert normalised(".net .5 .") == "net .5" and token_f1(".5", "5") == 0


@pytest.mark.parametrize(
    ("prediction", "expected", "score"),
    [
        ("我爱北京", "我爱北京", 1.0),
        ("我爱北京", "我爱上海", 0.5),
        ("北京，中国。", "中国", 2 / 3),
        ("2024年度", "2024年", 0.8),
        ("ｶﾀｶﾅ", "カタカナ", 1.0),
        ("ภาษาไทย", "ไทย", 0.6),
        ("我 爱 北京", "我爱北京", 1.0),
        ("한국어 좋아", "한국어", 2 / 3),  # Korean has spaces
        ("Привет мир", "Привет", 2 / 3),
        ("。", "。", 1.0),
    ],
)
def test_token_f1_where_there_are_no_spaces(prediction: str, expected: str, score: float) -> None:
    assert token_f1(prediction, expected) == pytest.approx(score)


def test_token_f1() -> None:
    assert token_f1("the cat sat", "The cat.") == pytest.approx(0.8)
    assert token_f1("a a a", "a") == pytest.approx(0.5)  # each word as often as it is there
    assert token_f1('["a", "b"]', ["b", "c"]) == pytest.approx(0.5)
    assert token_f1("", "") == 1 and token_f1("", "a") == 0
    assert token_f1('{"x": 2.0}', {"x": 2}) == 1
    assert token_f1(4, "4.0") == 1 and token_f1(28, "28 days") == pytest.approx(2 / 3)


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
