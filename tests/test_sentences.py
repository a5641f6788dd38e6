"""Sentences: what counts as one, and what holds for the spans of any text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.sentences import LONGEST, sentence_spans


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        (
            "Dr. Ames paid $3.50 in the U.S. He left at 5 p.m. with J. K. Hart.",
            ["Dr. Ames paid $3.50 in the U.S.", "He left at 5 p.m. with J. K. Hart."],
        ),
        ("The U.S. Army and e.g. Ford etc. did so.", ["The U.S. Army and e.g. Ford etc. did so."]),
        (
            "No. 5 is in Fig. 3. He said no. Then he left in May. It rained.",
            ["No. 5 is in Fig. 3.", "He said no.", "Then he left in May.", "It rained."],
        ),
        (
            '"Really?" he asked. "Yes." She nodded.',
            ['"Really?" he asked.', '"Yes."', "She nodded."],
        ),
        ("We saw it . . . and left. So it was.", ["We saw it . . . and left.", "So it was."]),
        ("in small letters. nobody shouts. yes", ["in small letters.", "nobody shouts.", "yes"]),
        ("See os.path.join and v1.2.3 now. Done.", ["See os.path.join and v1.2.3 now.", "Done."]),
        ("It returns x.  mkdtemp() makes it.", ["It returns x.", "mkdtemp() makes it."]),
        ("これは文です。次の文！はい？", ["これは文です。", "次の文！", "はい？"]),
        ("ما هذا؟ هذا كتاب. نعم", ["ما هذا؟", "هذا كتاب.", "نعم"]),
        ("यह एक है। वह दो है।", ["यह एक है।", "वह दो है।"]),
        ("Wow 👩‍👩‍👧! Yes 🇩🇪. No", ["Wow 👩‍👩‍👧!", "Yes 🇩🇪.", "No"]),
    ],
)
def test_prose(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


def test_a_line_break_inside_a_paragraph_is_only_whitespace() -> None:
    assert cut("One sentence\nover two lines. Another\r\none.\n\nA new paragraph") == [
        "One sentence\nover two lines.",
        "Another\r\none.",
        "A new paragraph",
    ]


def test_footnotes_and_brackets_stay_with_their_sentence() -> None:
    assert cut("It grew.[12][3] It fell (a lot.) Then")[:2] == [
        "It grew.[12][3]",
        "It fell (a lot.)",
    ]


def test_markup_ends_sentences() -> None:
    text = (
        "# Title\nWords here\n- one\n* two. More\n1. first\n2) second\n:param x: number\n"
        "\nHeading\n=======\nBody\n\n=====\nOver\n=====\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    assert cut(text) == [
        "# Title",
        "Words here",
        "- one",
        "* two.",
        "More",
        "1. first",
        "2) second",
        ":param x: number",
        "Heading\n=======",
        "Body",
        "=====\nOver\n=====",
        "| a | b |",
        "|---|---|",
        "| 1 | 2 |",
    ]


def test_a_fence_is_one_piece_for_each_of_its_paragraphs() -> None:
    text = "Do this:\n```python\n# no heading\nx = [1]\n- y\n\nz = 2\n```\n# Heading\nend"
    assert cut(text) == [
        "Do this:",
        "```python\n# no heading\nx = [1]\n- y",
        "z = 2\n```",
        "# Heading",
        "end",
    ]


def test_long_text_without_marks_is_cut_at_the_best_place() -> None:
    words = cut("word " * 1_000)
    lines = cut("a line without an end\n" * 200)
    solid = cut("x" * 2_500)
    assert all(piece.endswith("word") for piece in words)
    assert all(piece.endswith("end") for piece in lines)
    assert [len(piece) for piece in solid] == [LONGEST, LONGEST, 500]


def test_a_cut_does_not_part_a_letter_from_its_mark() -> None:
    text = "x" * (LONGEST - 1) + "e\u0301" * 600
    assert all(piece[0] != "\u0301" for piece in cut(text))


@given(
    st.text(
        st.sampled_from("aZ9 é.!?…。؟ \n\r\t\u2028\"')]([`#-=*|>:1,;\u200d\u0301👍"), max_size=400
    )
)
def test_spans_hold_every_character_once(text: str) -> None:
    check(text)


@given(st.text(max_size=300), st.integers(1, 60))
def test_spans_hold_every_character_once_in_any_text(text: str, times: int) -> None:
    check(text * times)


@pytest.mark.parametrize("unit", [".", ". ", "a.", "\n", " ", "- ", "= ", "```\n", "[1]", "\r\n\t"])
def test_millions_of_one_thing(unit: str) -> None:
    check(unit * (300_000 // len(unit)))


def check(text: str) -> None:
    spans = sentence_spans(text)
    covered = "".join(text[start:end] for start, end in spans)
    assert "".join(covered.split()) == "".join(text.split())
    assert all(start < end <= start + LONGEST for start, end in spans)
    assert all(text[start:end] == text[start:end].strip() for start, end in spans)
    assert all(one[1] <= two[0] for one, two in pairwise(spans))
