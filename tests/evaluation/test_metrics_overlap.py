"""BLEU, chrF, ROUGE, METEOR and PARENT, beside the packages and examples worked by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.meteor_score import single_meteor_score
from rouge_score.rouge_scorer import RougeScorer

from onrecord.errors import UsageError
from onrecord.evaluation.measuring.meteor import Pair, aligned
from onrecord.evaluation.metrics import (
    bleu,
    chrf,
    meteor,
    parent,
    rouge,
    rouge_details,
    sentence_bleu,
    sentence_chrf,
)
from onrecord.words import stem

PREDICTIONS = [
    "The cat is sitting on the mat.",
    "He read the book, because he was interested in world history!",
    "",
    "Es gibt 1,000 Häuser in der Straße.",
]
REFERENCES = [
    ["There is a cat on the mat.", "The cat sits on a mat."],
    ["He was interested in world history because he read the book."],
    ["Nothing was said."],
    ["In der Straße gibt es 1.000 Häuser.", "1,000 Häuser sind in der Straße.", "Viele Häuser."],
]
TEXTS = st.text("abc de.ing", max_size=30)


def test_bleu_and_chrf_are_those_of_sacrebleu() -> None:
    streams = [[each[at] if at < len(each) else None for each in REFERENCES] for at in range(3)]
    for options in ({}, {"lowercase": True}, {"tokenize": "intl"}, {"tokenize": "char"}):
        oracle = sacrebleu.BLEU(**options).corpus_score(PREDICTIONS, streams)
        assert bleu(PREDICTIONS, REFERENCES, **options) == pytest.approx(oracle.score, abs=1e-9)
    for order in (0, 2):
        oracle = sacrebleu.CHRF(word_order=order).corpus_score(PREDICTIONS, streams)
        ours = chrf(PREDICTIONS, REFERENCES, word_order=order)
        assert ours == pytest.approx(oracle.score, abs=1e-9)


def test_the_sentence_variants() -> None:
    for prediction, references in zip(PREDICTIONS, REFERENCES, strict=True):
        oracle = sacrebleu.sentence_bleu(prediction, references).score
        assert sentence_bleu(prediction, references) == pytest.approx(oracle, abs=1e-9)
        oracle = sacrebleu.sentence_chrf(prediction, references).score
        assert sentence_chrf(prediction, references) == pytest.approx(oracle, abs=1e-9)
    assert sentence_bleu("yes", "yes") == pytest.approx(100)


def test_a_reference_may_be_one_text() -> None:
    firsts = [each[0] for each in REFERENCES]
    assert bleu(PREDICTIONS, firsts) == bleu(PREDICTIONS, [[each] for each in firsts])
    assert bleu(firsts, firsts) == pytest.approx(100) == pytest.approx(chrf(firsts, firsts))


@pytest.mark.parametrize("metric", [bleu, chrf])
@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        (["a", "b"], ["a"], "make no pairs: there are 2 and 1"),
        ([], [], "are empty"),
        (["a"], [[]], "there are no references"),
        ([None], ["a"], "a prediction is no text"),
        (["a"], [[None]], "one of the references is no text"),
        (["a"], [5], "neither a text nor a list"),
        ("a", ["a"], "one of them is a text"),
    ],
)
def test_what_makes_no_pairs(
    metric: Callable[..., float], predictions: Any, references: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        metric(predictions, references)


def test_tokenizers_that_would_download_something() -> None:
    with pytest.raises(UsageError, match="no tokenizer 'flores200' here"):
        bleu(["a"], ["a"], tokenize="flores200")


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_bounds(pairs: list[tuple[str, str]]) -> None:
    predictions, references = (list(each) for each in zip(*pairs, strict=True))
    for score in (bleu(predictions, references), chrf(predictions, references)):
        assert 0 <= score <= 100 + 1e-9
    for one, other in pairs:
        assert all(0 <= each <= 1 for each in rouge(one, other).values())
        assert rouge(one, other) == pytest.approx(
            rouge(other, one)
        )  # F1 does not ask which is which
        assert 0 <= meteor(one, other) <= 1
        table = {"value": f"{other} x"}
        score = parent(one, other, table)
        assert all(0 <= each <= 1 for each in (score.precision, score.recall, score.f1))


def test_rouge_is_that_of_the_package() -> None:
    for stemmed in (False, True):
        oracle = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stemmed)
        for prediction, references in zip(PREDICTIONS, REFERENCES, strict=True):
            wanted = oracle.score_multi(references, prediction)
            ours = rouge_details(prediction, references, stem=stemmed)
            for name, each in wanted.items():
                found = ours[name]
                assert (found.precision, found.recall, found.f1) == pytest.approx(tuple(each))
            assert rouge(prediction, references, stem=stemmed) == {
                name: found.f1 for name, found in ours.items()
            }


def test_rouge_by_hand() -> None:
    scores = rouge("the cat sat", "the cat lay down")
    assert scores["rouge1"] == pytest.approx(2 * 2 / 7)
    assert scores["rouge2"] == pytest.approx(2 * 1 / 5)
    assert scores["rougeL"] == pytest.approx(2 * 2 / 7)


def test_rouge_of_scripts_that_the_package_has_no_words_in() -> None:
    assert RougeScorer(["rouge1"]).score("кот сидит", "кот сидит")["rouge1"].fmeasure == 0
    assert rouge("кот сидит", "кот лежит")["rouge1"] == 0.5
    assert rouge("кот сидит", "кот лежит", words=list)["rouge1"] > 0.5


class OurStems:
    """The stemmer of Onrecord, for NLTK."""

    def stem(self, word: str) -> str:
        return stem(word)


class NoWordNet:
    """A WordNet that knows no synonym."""

    def synsets(self, word: str) -> list[Any]:
        return []


def nltk_meteor(prediction: Sequence[str], reference: Sequence[str], **options: float) -> float:
    return float(
        single_meteor_score(
            reference, prediction, stemmer=OurStems(), wordnet=NoWordNet(), **options
        )
    )


def test_meteor_is_that_of_nltk_where_no_word_is_there_twice() -> None:
    draw = random.Random(0)
    every = "cats cat runs running ran house houses the quick nation national old".split()
    compared = 0
    for _ in range(500):
        one = draw.sample(every, draw.randint(1, 8))
        other = draw.sample(every, draw.randint(1, 8))
        if len({stem(each) for each in one}) < len(one):
            continue
        if len({stem(each) for each in other}) < len(other):
            continue
        compared += 1
        for options in ({}, {"alpha": 0.81, "beta": 0.83, "gamma": 0.28}):
            ours = meteor(" ".join(one), " ".join(other), **options)
            assert ours == pytest.approx(nltk_meteor(one, other, **options), abs=1e-12)
    assert compared > 100


def test_meteor_by_hand() -> None:
    # 6 of 6 words in one chunk; in six chunks; 6 of 7 words in two
    text = "the cat sat on the mat"
    assert meteor(text, text) == pytest.approx(1 - 0.5 * (1 / 6) ** 3)
    assert meteor("on the mat sat the cat", text) == pytest.approx(0.5)
    assert meteor("the cat was sat on the mat", text) == pytest.approx(0.9654, abs=5e-5)
    # P = 1, R = 2/3, Fmean = 10PR / (R + 9P), one chunk of 2
    assert meteor("cats sat", "cat sat down") == pytest.approx(
        (10 * 2 / 3) / (2 / 3 + 9) * (1 - 0.5 * (1 / 2) ** 3)
    )
    assert meteor("big", "large") == 0  # no synonyms
    assert meteor("", "") == 0
    assert meteor("cat", ["dog", "cat"]) == meteor("cat", "cat")


def test_words_that_are_there_twice_cross_as_few_lines_as_possible() -> None:
    # The second "the" stands beside "mat" in both.
    assert aligned("the mat".split(), "the cat on the mat".split()) == [Pair(0, 3), Pair(1, 4)]
    assert aligned("a the the b".split(), "a the b".split())[1].found in (1, 2)
    assert aligned(["cats", "cat"], ["cat"]) == [Pair(1, 0)]  # the equal word before the stem


@given(st.lists(st.sampled_from("abcd"), max_size=8), st.lists(st.sampled_from("abcd"), max_size=8))
def test_an_alignment_uses_each_word_once_and_as_many_as_there_are(
    one: list[str], other: list[str]
) -> None:
    pairs = aligned(one, other)
    assert len({pair.found for pair in pairs}) == len({pair.wanted for pair in pairs}) == len(pairs)
    assert all(one[pair.found] == other[pair.wanted] for pair in pairs)
    assert len(pairs) == sum(min(one.count(each), other.count(each)) for each in "abcd")


def test_parent_by_hand() -> None:
    # Table words: bob, paris. Text "bob lives paris", reference "bob died paris", orders 1 and 2.
    # Precision 1: bob 1, lives 0, paris 1 -> 2/3. 2: "bob lives" 1/2, "lives paris" 1/2 -> 1/2.
    # Recall of the reference 1: (1 + 1) / (1 + 0 + 1) = 1. 2: 0 of (1/2 + 1/2) -> 0.00001.
    # The table: both values are mentioned -> 1.
    table = {"name": "Bob", "city": "Paris"}
    score = parent("Bob lives Paris", "Bob died Paris", table, table_weight=0.5, order=2)
    assert score.precision == pytest.approx((2 / 3 * 1 / 2) ** 0.5)
    assert score.recall == pytest.approx((1 * 1e-5) ** 0.25)
    assert score.f1 == pytest.approx(
        2 * score.precision * score.recall / (score.precision + score.recall)
    )


def test_parent_weighs_the_table_by_what_the_reference_leaves_out() -> None:
    table = [("name", "Bob Ray"), ("born", 1970)]
    # The reference mentions Bob Ray wholly and 1970 not: weight 1 - 1/2.
    text, reference = "Bob Ray 1970", "Bob Ray sings"
    assert parent(text, reference, table, order=1) == parent(
        text, reference, table, order=1, table_weight=0.5
    )


def test_parent_neither_asks_for_nor_punishes_what_only_one_side_says() -> None:
    table = {"name": "Bob Ray", "born": "1970", "job": "singer"}
    reference = "Bob Ray singer Kent"  # Kent is not in the table, 1970 not in the reference
    score = parent("Bob Ray singer 1970", reference, table, order=1)
    assert (score.precision, score.recall) == (1, 1)
    assert parent("Bob Ray singer Kent", reference, table, order=1).precision == 1
    assert parent("Bob Ray singer Rome", reference, table, order=1).precision == 3 / 4
    assert parent("x", ["y", "bob"], {"n": "x"}, order=1) == max(
        (parent("x", each, {"n": "x"}, order=1) for each in ("y", "bob")), key=lambda one: one.f1
    )


@pytest.mark.parametrize("table", [{}, {"a": "…"}, {"a": None}, 5, ["ab c"]])
def test_tables_without_a_word(table: Any) -> None:
    with pytest.raises(UsageError, match=r"no word in the table|no list of pairs"):
        parent("x", "x", table)


@pytest.mark.parametrize(
    "text", ["我爱北京天安门", "これはペンです", "ภาษาไทย", "Привет, мир", "안녕 세계"]
)
def test_rouge_of_equal_texts_is_1_in_any_script(text: str) -> None:
    assert rouge(text, text) == dict.fromkeys(("rouge1", "rouge2", "rougeL"), 1.0)
    assert rouge("", text)["rouge1"] == rouge("Nothing.", text)["rouge1"] == 0


def test_rouge_of_characters() -> None:
    assert rouge("我爱北京", "我爱上海")["rouge1"] == 0.5
    assert rouge("我爱北京", "我爱上海")["rouge2"] == pytest.approx(1 / 3)
    assert rouge("2024年 GDP", "2024年")["rouge1"] == pytest.approx(0.8)


LATIN = st.text("aéßøœ bcABC,.0 我β", max_size=30)


@given(LATIN, LATIN)
def test_rouge_of_latin_text_is_the_packages(prediction: str, reference: str) -> None:
    letters = [each for each in reference if each.isalpha()]
    if 2 * sum(each in "我β" for each in letters) > len(letters):
        return
    theirs = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(reference, prediction)
    assert rouge(prediction, reference) == {name: each.fmeasure for name, each in theirs.items()}
