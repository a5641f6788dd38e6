"""Quotations are found where they are, with exact offsets, and nowhere else."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.citations import cite, locate
from onrecord.messages import Passage

WORDS = st.text(
    alphabet=st.one_of(
        st.sampled_from("ab5 .,-'\"\n\t…—“”‘’\u00a0\u200b🙂é\u0301שלום中文"), st.characters()
    ),
    max_size=80,
)


@given(WORDS, st.data())
@settings(deadline=None)
def test_every_substring_is_found_at_the_first_place_that_reads_like_it(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    quote = text[start:end]
    span = locate(quote, text)
    if not quote.strip():
        assert span is None
        return
    assert span is not None
    assert span[0] <= start + len(quote) - len(quote.lstrip())
    found = text[slice(*span)]
    # What was found is the quote itself but for spacing and typography.
    assert locate(found, quote) is not None or locate(quote, found) == (0, len(found))


@given(st.text(alphabet="abcdef ghi,5é中", min_size=1, max_size=60), st.data())
@settings(deadline=None)
def test_a_plain_substring_is_found_literally(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    quote = text[start : data.draw(st.integers(start + 1, len(text)))]
    if quote == " ".join(quote.split()) and quote:
        assert text[slice(*locate(quote, text))] == quote


PERTURBED = {
    " ": [" ", "  ", "\n", "\t ", "\u00a0", "\r\n   ", "\u2009"],
    "'": ["'", "’", "‘", "‛"],
    '"': ['"', "“", "”", "„", "«", "»"],
    "-": ["-", "–", "—", "\u2011", "−"],
    "...": ["...", "…"],
}
PIECES = st.sampled_from([*PERTURBED, "word", "Ünïcode", "5", "🙂", "שלום", "中"])


@given(st.lists(PIECES, min_size=1, max_size=30), st.data())
@settings(deadline=None, max_examples=300)
def test_other_spacing_and_typography_is_found_with_the_offsets_of_the_original(pieces, data):
    def written():
        return [data.draw(st.sampled_from(PERTURBED.get(piece, [piece]))) for piece in pieces]

    before, original, quote = "Zzz, qqq: ", "".join(written()), "".join(written())
    text = f"{before}{original} zzz"
    span = locate(quote, text)
    if not quote.strip():
        assert span is None
        return
    assert span is not None
    lead = len(original) - len(original.lstrip())
    exact = (len(before) + lead, len(before) + len(original.rstrip()))
    # A quote of one blank-free piece may stand earlier in the text, or inside a run of blanks.
    assert span == exact or span[1] < exact[1] or not original.strip(" .\"'`")


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("You have 25 days of leave.", "You have 26 days of leave."),
        ("You have 25 days of leave.", "You have 25 days of vacation."),
        ("You have 25 days of leave.", "You have 25days of leave."),
        ("You have 25 days of leave.", "you have 25 days of leave."),
        ("Leave is granted.", "Leave is granted ... on request."),
        ("It costs 1.5 EUR.", "It costs 1,5 EUR."),
        ("straße", "strasse"),
        ("", "a"),
        ("abc", ""),
        ("abc", " \n "),
        ("abc", "…"),
        ("abc", '"'),
        ("use --force", "use -force"),
    ],
)
def test_what_is_not_there_is_not_found(text, quote):
    assert locate(quote, text) is None


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("…of leave", "of  leave"),
        ("... of leave ...", "of  leave"),
        ("[...] of leave", "of  leave"),
        ("“days of leave”", "days of  leave"),
        ('"…days of leave."', "days of  leave."),
        ("`days`", "days"),
    ],
)
def test_what_writers_put_around_a_quotation_is_dropped(quote, found):
    text = "🙂 You have 25 days of  leave."
    assert text[slice(*locate(quote, text))] == found


def test_the_first_place_wins():
    assert locate("b", "a b b") == (2, 3)


def test_every_blank_is_a_blank():
    blanks = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
    for blank in blanks:
        assert locate("a b", f"a{blank}{blank}b") == (0, 4)


def test_long_and_hostile_texts_end():
    assert locate("a" * 5_000 + "b", "a" * 1_000_000) is None
    assert locate(". ." * 500, "…" * 300_000) is None
    assert locate('"' * 300_000 + "x", "y" * 10) is None
    assert locate("…" * 300_000 + "x", "y" * 10) is None
    assert locate("x " * 100_000, " \n" * 1_000_000) is None


def passage(text, start=0, document="a"):
    return Passage(document, f"Title {document}", text, start, start + len(text), 1.0)


def test_a_citation_holds_the_words_and_offsets_of_the_document():
    document = "Intro. You have  25 days\nof leave."
    found = cite("You have 25 days of leave", [passage("zzz"), passage(document[7:], 7, "b")])
    assert (found.document_id, found.title) == ("b", "Title b")
    assert found.quote == document[found.start : found.end] == "You have  25 days\nof leave"


def test_the_named_passage_is_looked_at_first_and_a_wrong_number_costs_nothing():
    both = [passage("same words", document="a"), passage("same words", document="b")]
    assert cite("same words", both, 2).document_id == "b"
    assert cite("same words", both, 0).document_id == "a"
    assert cite("same words", both, 99).document_id == "a"
    assert cite("same words", both, -1).document_id == "a"
    assert cite("same words", [passage("other"), both[1]], 1).document_id == "b"
    assert cite("other words", both, 1) is None
    assert cite("same words", []) is None


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("15 days of leave", "5 days of leave"),
        ("You may get 100", "You may get 10"),
        ("It takes 1.5 days", "5 days"),
        ("It takes 1.5", "It takes 1"),
        ("unable to refund", "able to refund"),
        ("He can refund", "He can re"),
    ],
)
def test_a_quotation_does_not_cut_a_word_or_a_number(text, quote):
    assert locate(quote, text) is not None
    assert cite(quote, [passage(text)]) is None


def test_a_later_whole_word_counts():
    assert cite("able", [passage("unable, but able")]).start == 12
    assert cite("你好", [passage("他说你好吗")]).quote == "你好"
    assert cite("leave.", [passage("25 days of leave.Then")]).quote == "leave."
