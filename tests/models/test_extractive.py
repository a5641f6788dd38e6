"""`embedded:extractive`: whole sentences with exact offsets, or a refusal with its reason."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from onrecord.messages import Passage
from onrecord.models import extractive
from onrecord.models.extractive import Quotation, best_quotation
from onrecord.sentences import sentence_spans
from onrecord.words import stems


class Letters:
    """An embedder of words: texts that share stems point the same way."""

    name, version, dimensions, max_tokens = "test:letters", "1", 256, 1_000

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts.extend(texts)
        vectors = np.full((len(texts), 256), 1e-6, np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for root in stems(text):
                vector[zlib.crc32(root.encode()) % 256] += 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    def tokens(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


LEAVE = (
    "# Leave\n\nThe office is in Oslo. Every employee has 25 days of leave each year. "
    "Unused days expire in March. Ask Kim about parking."
)
FOOD = "The canteen opens at noon. It serves soup. Every employee pays half of the price of lunch."


def passage(text: str, score: float = 0.7, title: str = "") -> Passage:
    return Passage("handbook", title, text, 0, len(text), score)


def quoted(question: str, *passages: Passage) -> Quotation:
    return asyncio.run(best_quotation(question, passages, Letters()))


def texts(quotation: Quotation, *passages: Passage) -> list[str]:
    return [passages[span.passage].text[span.start : span.end] for span in quotation.spans]


def test_quotes_the_sentence_that_answers() -> None:
    found = (passage(LEAVE), passage(FOOD, 0.5))
    quotation = quoted("How many days of leave has an employee each year?", *found)
    assert not quotation.refused
    assert quotation.reason == ""
    assert texts(quotation, *found)[0] == "Every employee has 25 days of leave each year."
    assert extractive.LEAST_EVIDENCE <= quotation.score <= 1


def test_takes_the_better_of_two_passages() -> None:
    found = (passage(LEAVE, 0.6), passage(FOOD, 0.6))
    quotation = quoted("What does the canteen serve, and when does it open?", *found)
    assert quotation.spans[0].passage == 1


def test_sentences_as_good_are_quoted_too_and_neighbours_are_one_span() -> None:
    found = passage("Intro words. The red fox runs. The red fox jumps. Nothing more here.")
    quotation = quoted("the red fox", found)
    assert texts(quotation, found) == ["The red fox runs. The red fox jumps."]


def test_a_heading_or_question_brings_the_sentence_behind_it() -> None:
    for heading in ("What is the parking fee?", "# The parking fee", "The parking fee:"):
        found = passage(f"{heading}\n\nIt costs five euros a day.\n\nOther words follow.")
        assert texts(quoted("What is the parking fee?", found), found) == [
            f"{heading}\n\nIt costs five euros a day."
        ]


def test_refuses_what_no_passage_is_about() -> None:
    quotation = quoted("Who composed the opera?", passage(LEAVE, 0.15), passage(FOOD, 0.1))
    assert quotation.refused
    assert quotation.spans == ()
    assert "too weak" in quotation.reason
    assert quotation.score < extractive.LEAST_EVIDENCE


def test_a_name_that_is_nowhere_counts_against_an_answer_and_is_named() -> None:
    known = quoted("How many days of leave has an employee of the office in Oslo?", passage(LEAVE))
    other = quoted("How many days of leave has an employee of the office in Rome?", passage(LEAVE))
    assert other.score < known.score
    weak = quoted("How many employees work in Rome since 1987?", passage(LEAVE, 0.3))
    assert weak.refused
    assert "no passage mentions Rome or 1987" in weak.reason


def test_a_name_in_the_title_is_known() -> None:
    question = "How many days of leave has an employee in Rome each year?"
    untitled = quoted(question, passage(LEAVE))
    titled = quoted(question, passage(LEAVE, title="Rome"))
    assert titled.score > untitled.score


def test_a_negated_question_is_not_answered_by_what_is_affirmed() -> None:
    affirmed = quoted("Which days do expire in March?", passage(LEAVE))
    negated = quoted("Which days do not expire in March?", passage(LEAVE))
    assert negated.score < affirmed.score


@pytest.mark.parametrize("question", ["", "  ", "?!", "👍"])
def test_a_question_without_words_is_refused(question: str) -> None:
    quotation = quoted(question, passage(LEAVE))
    assert quotation.refused
    assert quotation.reason == "The question has no words."


def test_no_passages_or_empty_ones_are_refused() -> None:
    for found in ([], [passage("")], [passage(" \n…")]):
        quotation = quoted("Anything?", *found)
        assert quotation.refused
        assert quotation.reason


def test_embeds_once_and_not_without_bound() -> None:
    embedder = Letters()
    text = "A needle lies here. " + "Some hay is there. " * 5_000
    quotation = asyncio.run(best_quotation("a needle", [passage(text)], embedder))
    assert len(embedder.texts) == extractive.MOST_READ + 1
    assert text[: quotation.spans[0].end].startswith("A needle lies here.")


def test_offsets_are_exact_in_any_script() -> None:
    found = passage("👩‍👩‍👧 Das Büro ist groß. שלום עולם. كم يوما من الإجازة؟ Der Hund bellt laut!")
    assert texts(quoted("Wie laut bellt der Hund?", found), found) == ["Der Hund bellt laut!"]


@given(
    st.text(min_size=1, max_size=80),
    st.lists(st.tuples(st.text(max_size=300), st.floats(0, 1)), max_size=4),
)
def test_spans_are_whole_sentences_of_their_passages(
    question: str, found: list[tuple[str, float]]
) -> None:
    passages = [passage(f"{question} {text}. {text}", score) for text, score in found]
    quotation = quoted(question, *passages)
    assert quotation.refused == (not quotation.spans) == bool(quotation.reason)
    assert 0 <= quotation.score <= 1
    for span in quotation.spans:
        edges = sentence_spans(passages[span.passage].text)
        assert span.start in {start for start, _ in edges}
        assert span.end in {end for _, end in edges}
    assert len(quotation.spans) <= extractive.MOST_QUOTED


def test_i_is_no_name_that_a_passage_has_to_mention() -> None:
    found = quoted("How many days of leave do I have each year?", passage(LEAVE))
    assert not found.refused
    assert extractive._named("Do I ask Kim, or may I ask Lee?").keys() == {"Kim", "Lee"}


def test_the_same_words_in_two_documents_are_quoted_once() -> None:
    same = passage(LEAVE), passage(LEAVE)
    found = quoted("How many days of leave does every employee have?", *same)
    assert texts(found, *same) == ["Every employee has 25 days of leave each year."]
