"""Exact match and F1 of SQuAD 2.0, as its evaluation script counts them.

Rajpurkar, Zhang, Lopyrev and Liang, "SQuAD: 100,000+ Questions for Machine Comprehension of Text"
(EMNLP 2016); with questions that have no answer: Rajpurkar, Jia and Liang, "Know What You Don't
Know" (ACL 2018). Written from what they describe.

One thing is counted in two ways. A few accepted answers of the data are a mere ".", of which
nothing is left. The published results of BERT and nlnet count such an answer as the empty text,
and so does this by default. The script as it circulates today leaves such answers out: that is
`drop_blank=True`, and makes 0.02 points less for BERT on the development set.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from onrecord.evaluation.measuring.checking import a_text, accepted
from onrecord.evaluation.measuring.precision_recall import harmonic


def squad_em(prediction: str, answers: str | Iterable[str], *, drop_blank: bool = False) -> float:
    """1.0 where the prediction is one of the accepted answers after normalisation, else 0.0.

    `answers`: those of the annotators, or one text. Where there are none ([]), the question has no
    answer, and the empty text is right; so is one of which nothing is left ("The."). `drop_blank`:
    leave out answers of which nothing is left. Raises UsageError for what is no text.
    """
    wanted = _wanted(prediction, answers, drop_blank)
    return float(squad_normalised(prediction) in wanted)


def squad_f1(prediction: str, answers: str | Iterable[str], *, drop_blank: bool = False) -> float:
    """The F1 of normalised words, each as often as it is there: the best over the answers.

    From 0 to 1. Where the prediction or the answer is empty, 1.0 if both are, else 0.0. `answers`,
    `drop_blank` and errors as in `squad_em`.
    """
    wanted = _wanted(prediction, answers, drop_blank)
    text = squad_normalised(prediction)
    if text in wanted:
        return 1.0
    words = text.split()
    return max(_f1(words, each) for each in wanted.values()) if words else 0.0


def squad_normalised(text: str) -> str:
    """Lower case, without ASCII punctuation, without the words a, an and the, single spaces.

    In this order: "U.S.A" becomes "usa", and "the-end" becomes "theend".
    """
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


Wanted = Mapping[str, Counter[str]]


def _wanted(prediction: str, answers: str | Iterable[str], drop_blank: bool) -> Wanted:
    """The words of each accepted answer, by its normalised text; of none, the empty one."""
    a_text(prediction, "the prediction")
    texts = accepted(answers, "answers", none=True)
    # Asked for again by the next system, and by the other measure; long ones are not kept.
    counted = _kept if sum(map(len, texts)) <= _SHORT else _counted
    return counted(texts, drop_blank)


def _counted(answers: tuple[str, ...], drop_blank: bool) -> Wanted:
    texts = {squad_normalised(answer) for answer in answers} - ({""} if drop_blank else set())
    return {text: Counter(text.split()) for text in texts or {""}}


def _f1(words: list[str], wanted: Counter[str]) -> float:
    if not wanted:
        return 0.0
    same = (Counter(words) & wanted).total()
    return harmonic(same / len(words), same / wanted.total())


_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_SHORT = 1_000  # characters
_kept = lru_cache(maxsize=16_384)(_counted)
