"""Search by words: any question is safe, and coverage means what it says."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.retrieval import lexical
from onrecord.retrieval.lexical import Lexicon, coverage
from onrecord.sentences import sentence_spans

TEXTS = [
    ("Cats", "The cat sleeps on the mat. Cats purr when they are happy."),
    ("Dogs", "The dog barks at the cat. Dogs guard the house."),
    ("Birds", "A bird sings in the tree. The eagle is a bird of prey."),
    ("", "Nothing of note. The end."),
]


@pytest.fixture
def connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE VIRTUAL TABLE words USING fts5(title, text, tokenize='porter unicode61')"
    )
    rows = [(number, *row) for number, row in enumerate(TEXTS, start=1)]
    connection.executemany("INSERT INTO words(rowid, title, text) VALUES (?, ?, ?)", rows)
    connection.commit()
    return connection


def covered(lexicon: Lexicon, question: str, number: int) -> lexical.Coverage:
    title, text = TEXTS[number - 1]
    return coverage(lexicon.terms(question), title, text, sentence_spans(text))


def test_the_best_chunk_comes_first(connection: sqlite3.Connection) -> None:
    lexicon = Lexicon(connection)
    assert lexicon.find(lexicon.terms("Which birds sing?"), 10) == [3]
    assert lexicon.find(lexicon.terms("happy cats"), 10)[0] == 1
    assert lexicon.find(lexicon.terms("cat"), 1) == [1]


def test_only_within(connection: sqlite3.Connection) -> None:
    lexicon = Lexicon(connection)
    terms = lexicon.terms("cat")
    assert lexicon.find(terms, 10, np.array([2, 3])) == [2]
    assert lexicon.find(terms, 10, np.array([], np.int64)) == []


@pytest.mark.parametrize(
    "question",
    [
        "",
        '"',
        '" OR 1=1 --',
        "NEAR(cat dog, 5) AND title:cat* NOT ^dog",
        "'; DROP TABLE words; --",
        "👍🏽 שלום עולم مرحبا 東京",
        "\x00\ud800 cat",
        "* ( ) { } [ ] + - : ^",
        "cat " * 25_000,
    ],
)
def test_any_question_is_safe(connection: sqlite3.Connection, question: str) -> None:
    lexicon = Lexicon(connection)
    terms = lexicon.terms(question)
    assert set(lexicon.find(terms, 10)) <= {1, 2, 3, 4}
    assert ("cat" in terms.weights) == ("cat" in question.lower())


@given(st.text())
def test_any_text_is_safe(question: str) -> None:
    lexicon = Lexicon(filled())
    terms = lexicon.terms(question)
    lexicon.find(terms, 3)
    found = coverage(terms, *TEXTS[0], sentence_spans(TEXTS[0][1]))
    assert 0 <= found.passage <= 1
    assert all(0 <= share <= 1 for share in found.sentences)


def filled() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(title, text, tokenize='porter')")
    connection.executemany("INSERT INTO words VALUES (?, ?)", TEXTS)
    return connection


def test_of_a_long_question_the_rarest_words_count(connection: sqlite3.Connection) -> None:
    noise = " ".join(f"unheard{number}" for number in range(20_000))
    terms = Lexicon(connection).terms(f"the cat and the eagle {noise}")
    assert {"the", "cat", "eagl"} <= terms.weights.keys()
    assert len(terms.weights) <= 2 * lexical.MOST_TERMS
    assert terms.match.startswith('"eagle"')


def test_words_that_ask_do_not_count_unless_alone(connection: sqlite3.Connection) -> None:
    lexicon = Lexicon(connection)
    assert lexicon.terms("How do I find an eagle?").weights.keys() == {"find", "an", "eagl"}
    assert lexicon.terms("Who are you?").weights.keys() == {"who", "ar", "you"}


def test_words_of_most_chunks_find_nothing_unless_alone(connection: sqlite3.Connection) -> None:
    lexicon = Lexicon(connection)
    assert lexicon.terms("the eagle").match == '"eagle"'
    assert lexicon.terms("the").match == '"the"'


def test_the_budget_leaves_out_frequent_words(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical, "MOST_POSTINGS", 1)
    terms = Lexicon(connection).terms("cat or eagle")
    assert terms.match == '"eagle"'
    assert "cat" in terms.weights


def test_coverage_is_absolute(connection: sqlite3.Connection) -> None:
    lexicon = Lexicon(connection)
    full = covered(lexicon, "eagle bird of prey", 3)
    part = covered(lexicon, "eagle of the south pole", 3)
    none = covered(lexicon, "quantum chromodynamics", 3)
    assert full.sentences == pytest.approx([full.sentences[0], 1.0])
    assert 1 > full.passage > part.passage > none.passage == 0
    assert none.sentences == [0, 0]


def test_the_title_counts_for_every_sentence(connection: sqlite3.Connection) -> None:
    assert covered(Lexicon(connection), "dogs", 2).sentences == [1, 1]


def test_repetition_and_brevity_count_as_in_bm25(connection: sqlite3.Connection) -> None:
    terms = Lexicon(connection).terms("cat")
    scores = [
        coverage(terms, "", text, sentence_spans(text)).passage
        for text in ("cat " + "x " * 50, "cat " + "x " * 5, "cat cat " + "x " * 5)
    ]
    assert scores == sorted(scores)
    assert scores[0] < scores[1] < scores[2] < 1


def test_ranks_as_fts5_does(connection: sqlite3.Connection) -> None:
    """The order by `coverage` of a passage is that of FTS5's bm25() where weights agree."""
    lexicon = Lexicon(connection)
    for question in ("cat", "bird", "eagle tree"):
        terms = lexicon.terms(question)
        found = lexicon.find(terms, 10)
        scores = [covered(lexicon, question, number).passage for number in found]
        assert scores == sorted(scores, reverse=True)


def test_frequencies_follow_the_table(connection: sqlite3.Connection) -> None:
    lexicon = Lexicon(connection)
    before = lexicon.terms("eagle").weights["eagl"]
    connection.execute("INSERT INTO words VALUES ('', 'an eagle and an eagle')")
    connection.commit()
    after = lexicon.terms("eagle")
    assert after.weights["eagl"] != before
    assert after.average_words == pytest.approx((13 + 11 + 14 + 5 + 5) / 5)


def test_an_empty_collection() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(title, text)")
    lexicon = Lexicon(connection)
    terms = lexicon.terms("anything at all")
    assert lexicon.find(terms, 10) == []
    assert coverage(terms, "", "anything", [(0, 8)]).passage > 0


def test_one_chunk_can_be_found() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(title, text)")
    connection.execute("INSERT INTO words VALUES ('', 'the only text')")
    lexicon = Lexicon(connection)
    assert lexicon.find(lexicon.terms("the text"), 10) == [1]


def test_a_table_name_is_a_name() -> None:
    with pytest.raises(ValueError, match="table name"):
        Lexicon(sqlite3.connect(":memory:"), "words; DROP TABLE words")
