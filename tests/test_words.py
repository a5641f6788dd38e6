"""Words: the same tokens and stems as SQLite's, which finds what we score."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.words import rarity, stem, stems, words

# Every rule of the stemmer, and letters of several scripts.
SAMPLE = """
caresses ponies ties caress cats feed agreed plastered bled motoring sing conflated troubled sized
eed ies sses yying eyyed
hopping tanned falling hissing fizzed failing filing happy sky relational conditional rational
valenci hesitanci digitizer conformabli radicalli differentli vileli analogousli vietnamization
predication operator feudalism decisiveness hopefulness callousness formaliti sensitiviti
sensibiliti triplicate formative formalize electriciti electrical hopeful goodness revival
allowance inference airliner gyroscopic adjustable defensible irritant replacement adjustment
dependent adoption homologou communism activate angulariti homologous effective bowdlerize probate
rate cease controll roll generalization oscillators dying flying syzygy yyy by analogy archaeology
naïve façade Ærøskøbing Straße Ωμέγα φόρος 25 µm Привет мир שלום हिन्दी 한국어 東京 hello_world
x² a1b2 co-op don't U.S. İstanbul e\u0301te\u0301 Trần ſ
"""


def sqlite_words(text: str) -> list[str]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(x, tokenize='porter unicode61')")
    connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, instance)")
    connection.execute("INSERT INTO t VALUES (?)", (text,))
    return [row[0] for row in connection.execute('SELECT term FROM v ORDER BY "offset"')]


@pytest.mark.parametrize("word", SAMPLE.split())
def test_words_are_those_of_sqlite(word: str) -> None:
    assert stems(word) == sqlite_words(word)


@given(st.text(st.sampled_from("aeiouybcdlmnstvz"), min_size=1, max_size=9), st.data())
def test_stems_are_those_of_sqlite(beginning: str, data: st.DataObject) -> None:
    ends = "s ies sses ed eed ing y ational izer alli ousness biliti icate ness ement ion e ll"
    word = beginning + data.draw(st.sampled_from(["", *ends.split()]))
    assert [stem(word)] == sqlite_words(word)


def test_words() -> None:
    assert words('A "quoted" naïve_thing, 3.5 × x²; — 👍') == [
        *("a", "quoted", "naive", "thing", "3", "5", "x²"),
    ]
    assert words("") == words("👍 — \x00") == []


def test_a_word_beyond_all_bounds_is_a_word() -> None:
    assert stems("x" * 100_000) == ["x" * 100_000]


def test_rare_words_weigh_more_and_none_weighs_nothing() -> None:
    weights = [rarity(frequency, 10) for frequency in range(11)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] > 0
    assert rarity(1, 1) > 0
