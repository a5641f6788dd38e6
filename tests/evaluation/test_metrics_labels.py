"""Labels, rankings, citations, probabilities: beside scikit-learn and examples worked by hand."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from onrecord.errors import UsageError
from onrecord.evaluation.metrics import (
    accuracy,
    auroc,
    average_precision,
    bits_per_byte,
    brier,
    byte_perplexity,
    citation_overlap,
    classification,
    confusion_matrix,
    expected_calibration_error,
    hit_at_k,
    macro_f1,
    mean_reciprocal_rank,
    micro_f1,
    ndcg_at_k,
    perplexity,
    precision_at_k,
    recall_at_k,
    reciprocal_rank,
    reliability,
)
from onrecord.words import rarity, stems
from tests.conftest import DATA

LABELS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1)
FORECASTS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(LABELS, st.sampled_from([None, ["a", "b"], ["d", "a", "z"]]))
def test_classification_is_that_of_scikit_learn(
    pairs: list[tuple[str, str]], labels: list[str] | None
) -> None:
    predicted, expected = (list(each) for each in zip(*pairs, strict=True))
    ours = classification(predicted, expected, labels)
    options: dict[str, Any] = {"labels": labels, "zero_division": 0}
    assert (
        ours.accuracy
        == accuracy(predicted, expected)
        == pytest.approx(sk.accuracy_score(expected, predicted))
    )
    for name, average in (("macro", ours.macro), ("micro", ours.micro)):
        oracle = sk.precision_recall_fscore_support(expected, predicted, average=name, **options)
        assert (average.precision, average.recall, average.f1) == pytest.approx(oracle[:3])
    oracle = sk.precision_recall_fscore_support(expected, predicted, **options)
    rows = [(one.precision, one.recall, one.f1, one.support) for one in ours.classes.values()]
    for one, other in zip(rows, zip(*oracle, strict=True), strict=True):
        assert one == pytest.approx(other)
    assert macro_f1(predicted, expected, labels) == ours.macro.f1
    assert micro_f1(predicted, expected, labels) == ours.micro.f1
    if labels is None or set(labels) & set(expected):
        matrix = sk.confusion_matrix(expected, predicted, labels=list(ours.confusion.labels))
        assert [list(row) for row in ours.confusion.counts] == matrix.tolist()
    assert sum(map(sum, ours.confusion.counts)) + ours.confusion.left_out == len(pairs)


def test_what_is_taken_for_what() -> None:
    confusion = confusion_matrix(["b", "b", "x"], ["a", "b", "a"], ["a", "b"])
    assert confusion.counts == ((0, 1), (0, 1)) and confusion.left_out == 1
    mixed = confusion_matrix([1, None, "a", 2], [2, "b", "a", 2])
    assert mixed.labels == (None, 1, 2, "a", "b")


def test_a_label_that_a_model_made_up() -> None:
    predicted, expected = ["spam", "Spam!", "ham"], ["spam", "spam", "ham"]
    assert macro_f1(predicted, expected) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert macro_f1(predicted, expected, ["spam", "ham"]) == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize(
    ("predicted", "expected", "labels", "message"),
    [
        (["a"], [], None, "make no pairs: there are 1 and 0"),
        ([], [], None, "are empty"),
        ("a", ["a"], None, "one of them is a text"),
        ([["a"]], ["a"], None, "no plain value"),
        (["a"], ["a"], [], "name none"),
        (["a"], ["a"], ["a", "a"], "one twice"),
    ],
)
def test_labels_that_make_no_pairs(
    predicted: Any, expected: Any, labels: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        classification(predicted, expected, labels)


RANKING = ["d1", "d2", "d3", "d1", "d4"]
GRADES = {"d2": 3, "d4": 1, "d9": 2, "d1": 0, "d3": -1}


def test_rankings_by_hand() -> None:
    assert hit_at_k(RANKING, GRADES, 1) == 0 and hit_at_k(RANKING, GRADES, 2) == 1
    assert recall_at_k(RANKING, GRADES, 5) == pytest.approx(2 / 3)
    assert precision_at_k(RANKING, GRADES, 5) == pytest.approx(2 / 5)
    assert precision_at_k(["d2"], GRADES, 5) == pytest.approx(1 / 5)  # finding less is no merit
    assert reciprocal_rank(RANKING, GRADES) == 0.5 and reciprocal_rank(RANKING, GRADES, 1) == 0
    assert average_precision(RANKING, GRADES) == pytest.approx((1 / 2 + 2 / 5) / 3)
    assert mean_reciprocal_rank([["a"], ["b", "a"], []], [["a"], {"a"}, ["a"]]) == 0.5
    ideal = 3 + 2 / math.log2(3) + 1 / math.log2(4)
    found = 3 / math.log2(3) + 1 / math.log2(6)
    assert ndcg_at_k(RANKING, GRADES) == pytest.approx(found / ideal)
    powers = (7 / math.log2(3) + 1 / math.log2(6)) / (7 + 3 / math.log2(3) + 1 / math.log2(4))
    assert ndcg_at_k(RANKING, GRADES, exponential=True) == pytest.approx(powers)


def test_what_was_found_before_earns_nothing() -> None:
    assert recall_at_k(["a", "a"], ["a", "b"], 2) == 0.5 == precision_at_k(["a", "a"], ["a"], 2)
    assert ndcg_at_k(["a", "a"], ["a", "b"]) < 1


@pytest.mark.parametrize(
    "metric", [hit_at_k, recall_at_k, precision_at_k, reciprocal_rank, average_precision, ndcg_at_k]
)
def test_questions_that_nothing_answers(metric: Callable[..., float]) -> None:
    for nothing in ([], {}, {"a": 0}):
        with pytest.raises(UsageError, match="nothing is relevant"):
            metric(["a"], nothing, 5)
    for k in (1.5, True, "3"):
        with pytest.raises(UsageError, match=f"k={k!r} is no whole number"):
            metric(["a"], ["a"], k)
    with pytest.raises(UsageError, match="the first 0 are none"):
        metric(["a"], ["a"], 0)
    with pytest.raises(UsageError, match="the ranking is a text"):
        metric("a", ["a"], 1)
    with pytest.raises(UsageError, match="no plain value"):
        metric([["a"]], ["a"], 1)
    for wrong in (5, [["a"]], {"a": "x"}, {"a": float("nan")}):
        with pytest.raises(UsageError, match=r"neither ids nor grades|not finite"):
            metric(["a"], wrong, 1)


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=12).filter(any),
    st.randoms(use_true_random=False),
    st.integers(1, 12),
)
def test_ndcg_is_that_of_scikit_learn(grades: list[int], draw: random.Random, k: int) -> None:
    ranking = list(range(len(grades)))
    draw.shuffle(ranking)
    scores = [-ranking.index(each) for each in range(len(grades))]
    oracle = sk.ndcg_score([grades], [scores], k=k)
    relevant = dict(enumerate(grades))
    assert ndcg_at_k(ranking, relevant, k) == pytest.approx(oracle)
    best = sorted(ranking, key=lambda each: -grades[each])
    assert ndcg_at_k(best, relevant, k) == pytest.approx(1)
    binary = [grade > 0 for grade in grades]
    if not all(binary):
        oracle = sk.average_precision_score(binary, scores)
        assert average_precision(ranking, relevant) == pytest.approx(oracle)


@pytest.mark.skipif(not (DATA / "cranfield").exists(), reason="the shared data is not here")
def test_graded_judgements_of_cranfield() -> None:
    folder = DATA / "cranfield"
    documents = [json.loads(line) for line in (folder / "documents.jsonl").open()]
    held = {each["id"]: set(stems(f"{each['title']} {each['text']}")) for each in documents}
    spread = Counter(word for words in held.values() for word in words)
    grades: dict[str, dict[str, float]] = defaultdict(dict)
    for line in (folder / "qrels.txt").read_text().splitlines():
        question, _, document, grade = line.split()
        grades[question][document] = float(grade)
    ids = list(held)
    for line in list((folder / "questions.jsonl").open())[:25]:
        question = json.loads(line)
        wanted = set(stems(question["question"]))
        score = {
            each: sum(rarity(spread[word], len(held)) for word in wanted & words)
            for each, words in held.items()
        }
        ranking = sorted(ids, key=lambda each: (-score[each], each))
        relevant = grades[str(question["id"])]
        truth = [max(relevant.get(each, 0.0), 0.0) for each in ids]
        place = {each: -at for at, each in enumerate(ranking)}
        oracle = sk.ndcg_score([truth], [[place[each] for each in ids]], k=10)
        assert ndcg_at_k(ranking, relevant, 10) == pytest.approx(oracle)


SPANS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 20), st.integers(1, 8)).map(
        lambda each: (each[0], each[1], each[1] + each[2])
    ),
    max_size=5,
)


@given(SPANS, SPANS)
def test_citation_overlap_counts_characters(one: Any, other: Any) -> None:
    quoted = {(name, at) for name, start, end in one for at in range(start, end)}
    gold = {(name, at) for name, start, end in other for at in range(start, end)}
    score = citation_overlap(one, other)
    if quoted and gold:
        assert score.precision == pytest.approx(len(quoted & gold) / len(quoted))
        assert score.recall == pytest.approx(len(quoted & gold) / len(gold))
    else:
        assert score.f1 == score.precision == score.recall == float(quoted == gold)
    turned = citation_overlap(other, one)
    assert (turned.precision, turned.recall) == (score.recall, score.precision)


@pytest.mark.parametrize("wrong", [("a", 2, 2), ("a", 3, 2), ("a", -1, 2), ("a",), "a", 5])
def test_spans_that_are_none(wrong: Any) -> None:
    with pytest.raises(UsageError, match="this is no span"):
        citation_overlap([wrong], [("a", 0, 1)])


@given(FORECASTS)
def test_brier_and_auroc_are_those_of_scikit_learn(pairs: list[tuple[float, bool]]) -> None:
    probabilities, outcomes = (list(each) for each in zip(*pairs, strict=True))
    if len(set(outcomes)) == 2:
        oracle = sk.roc_auc_score(outcomes, probabilities)
        assert auroc(probabilities, outcomes) == pytest.approx(oracle)
        turned = auroc([-each for each in probabilities], outcomes)
        assert turned == pytest.approx(1 - oracle)
    else:
        with pytest.raises(UsageError, match="nothing to tell apart"):
            auroc(probabilities, outcomes)
    oracle = sk.brier_score_loss(outcomes, probabilities, pos_label=True)
    assert brier(probabilities, outcomes) == pytest.approx(oracle)


def test_reliability_is_that_of_scikit_learn() -> None:
    from sklearn.calibration import calibration_curve

    draw = np.random.default_rng(0)
    probabilities = draw.random(2_000)
    outcomes = draw.random(2_000) < probabilities**2
    table = reliability(list(probabilities), list(outcomes), 15)
    truth, stated = calibration_curve(outcomes, probabilities, n_bins=15)
    assert [each.accuracy for each in table] == pytest.approx(truth.tolist())
    assert [each.confidence for each in table] == pytest.approx(stated.tolist())
    weights = np.array([each.count for each in table]) / 2_000
    ece = expected_calibration_error(list(probabilities), list(outcomes), 15)
    assert ece == pytest.approx(float((weights * abs(truth - stated)).sum()))


@given(FORECASTS, st.integers(1, 20))
def test_bounds_of_calibration(pairs: list[tuple[float, bool]], bins: int) -> None:
    probabilities, outcomes = (list(each) for each in zip(*pairs, strict=True))
    table = reliability(probabilities, outcomes, bins)
    assert sum(each.count for each in table) == len(pairs)
    for each in table:
        assert each.low - 1e-12 <= each.confidence <= each.high + 1e-12
    assert 0 <= expected_calibration_error(probabilities, outcomes, bins) <= 1
    assert brier([float(each) for each in outcomes], outcomes) == 0


def test_calibration_by_hand() -> None:
    assert expected_calibration_error([0.9, 0.9, 0.1, 0.1], [1, 0, 0, 0]) == pytest.approx(0.25)
    assert brier([0.5, 1.0], [1, 1]) == pytest.approx(0.125)
    assert auroc([1, 1, 2], [0, 1, 1]) == 0.75


@pytest.mark.parametrize("metric", [brier, expected_calibration_error, reliability])
@pytest.mark.parametrize(
    ("probabilities", "outcomes", "message"),
    [
        ([1.5], [1], "1.5 is no probability"),
        ([float("nan")], [1], "nan is no probability"),
        ([0.5], [2], "neither 0 nor 1"),
        ([0.5], [], "make no pairs"),
        ([], [], "are empty"),
    ],
)
def test_what_is_no_forecast(
    metric: Callable[..., Any], probabilities: Any, outcomes: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        metric(probabilities, outcomes)


def test_perplexity_by_hand() -> None:
    logprobs = [math.log(1 / 4)] * 3
    assert perplexity(logprobs) == pytest.approx(4)
    assert byte_perplexity(logprobs, "né") == pytest.approx(4)  # three bytes
    assert bits_per_byte(logprobs, "né") == pytest.approx(2)
    assert bits_per_byte(logprobs, b"123456") == pytest.approx(1)
    assert perplexity([0.0]) == 1 == perplexity([1e-7])
    assert perplexity([-math.inf]) == math.inf == perplexity([-1e6])


@given(st.lists(st.floats(-50, 0), min_size=1), st.text(min_size=1))
def test_perplexity_and_bits_say_the_same(logprobs: list[float], text: str) -> None:
    assert perplexity(logprobs) >= 1
    bits = bits_per_byte(logprobs, text)
    assert 2 ** min(bits, 1_000) == pytest.approx(min(byte_perplexity(logprobs, text), 2.0**1_000))


@pytest.mark.parametrize("wrong", [[], [0.5], [float("nan")]])
def test_what_is_no_log_probability(wrong: list[float]) -> None:
    with pytest.raises(UsageError):
        perplexity(wrong)
    with pytest.raises(UsageError, match="no bytes"):
        bits_per_byte([-1.0], "")
