"""EM and F1 of SQuAD: the published numbers of two systems, and the definition written plainly."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import UsageError
from onrecord.evaluation.metrics import squad_em, squad_f1, squad_normalised
from tests.conftest import DATA

SQUAD = DATA / "squad2"
ANSWERS = st.lists(st.text("ab the.,A-\n", max_size=12), max_size=4)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("The  U.S.A.!", "usa"),
        ("the-end of A an anthem", "theend of anthem"),
        ("“Quoted” – £5", "“quoted” – £5"),  # only ASCII punctuation goes
        ("The.", ""),
    ],
)
def test_normalised_as_the_script_does(text: str, seen: str) -> None:
    assert squad_normalised(text) == seen


def test_the_best_answer_counts() -> None:
    assert squad_em("the October, 1973", ["1973", "October 1973"]) == 1
    assert squad_f1("in October 1973", ["1973", "October 1973"]) == pytest.approx(0.8)
    assert squad_f1("a cat cat", "cat") == pytest.approx(2 / 3)
    assert squad_em("no", ["yes"]) == squad_f1("no", ["yes"]) == 0


def test_no_answer_is_the_empty_text() -> None:
    assert squad_em("", []) == squad_f1("", []) == squad_em("The.", []) == 1
    assert squad_em("x", []) == squad_f1("x", []) == 0
    assert squad_em("", ["x"]) == squad_f1("", ["x"]) == 0


def test_an_answer_of_which_nothing_is_left() -> None:
    assert squad_em("", [".", "x"]) == squad_f1("", [".", "x"]) == 1
    assert squad_em("", [".", "x"], drop_blank=True) == 0
    assert squad_f1("", ["."], drop_blank=True) == 1


@pytest.mark.parametrize("wrong", [None, 5, [None]])
def test_what_is_no_list_of_texts(wrong: Any) -> None:
    with pytest.raises(UsageError):
        squad_em("x", wrong)
    with pytest.raises(UsageError, match="the prediction is no text"):
        squad_f1(wrong, ["x"])


def plainly(prediction: str, answers: list[str], drop_blank: bool) -> tuple[float, float]:
    """The definition, without any haste."""
    kept = [each for each in answers if plain(each) or not drop_blank] or [""]
    return max(float(plain(each) == plain(prediction)) for each in kept), max(
        f1(plain(prediction).split(), plain(each).split()) for each in kept
    )


@lru_cache(maxsize=100_000)
def plain(text: str) -> str:
    bare = "".join(each for each in text.lower() if each not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare, flags=re.UNICODE).split())


def f1(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return float(found == wanted)
    same = sum((Counter(found) & Counter(wanted)).values())
    precision, recall = same / len(found), same / len(wanted)
    return 2 * precision * recall / (precision + recall) if same else 0.0


@given(st.text("ab the.,A-\n", max_size=12), ANSWERS, st.booleans())
def test_it_is_the_definition(prediction: str, answers: list[str], drop_blank: bool) -> None:
    em, best = plainly(prediction, answers, drop_blank)
    assert squad_em(prediction, answers, drop_blank=drop_blank) == em
    assert abs(squad_f1(prediction, answers, drop_blank=drop_blank) - best) <= 1e-9
    assert squad_em(prediction, answers) <= squad_f1(prediction, answers) <= 1


@given(st.text(max_size=20), st.text(max_size=20))
def test_one_answer_may_change_places_with_the_prediction(one: str, other: str) -> None:
    assert squad_f1(one, [other]) == pytest.approx(squad_f1(other, [one]))
    assert squad_em(one, [one]) == squad_f1(one, [one]) == 1


@pytest.mark.skipif(not SQUAD.exists(), reason="the shared data is not here")
@pytest.mark.parametrize(
    ("system", "published"),
    [("bert", (78.76, 81.79)), ("nlnet", (75.84, 78.79)), ("bidaf_self_attention_elmo", None)],
)
def test_published_results(system: str, published: tuple[float, float] | None) -> None:
    lines = (SQUAD / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    said = json.loads((SQUAD / "systems" / f"{system}.json").read_text(encoding="utf-8"))
    pairs = [(said[each["id"]], each["answers"]) for each in questions]
    for drop_blank in (False, True):
        ours = [
            (squad_em(*pair, drop_blank=drop_blank), squad_f1(*pair, drop_blank=drop_blank))
            for pair in pairs
        ]
        theirs = [plainly(*pair, drop_blank) for pair in pairs]
        for measure in (0, 1):
            ours_all = sum(each[measure] for each in ours) / len(pairs)
            theirs_all = sum(each[measure] for each in theirs) / len(pairs)
            assert abs(ours_all - theirs_all) <= 1e-9
            pairwise = zip(ours, theirs, strict=True)
            assert all(abs(one[measure] - other[measure]) <= 1e-9 for one, other in pairwise)
            if published is not None and not drop_blank:
                assert round(100 * ours_all, 2) == published[measure]
