"""Values in a notebook: what they show, and that nothing in them is more than text."""

from __future__ import annotations

from typing import Any

import pytest

from onrecord.messages import (
    Citation,
    Cited,
    Completion,
    Passage,
    Result,
    Usage,
    text_message,
)
from tests.records.test_tree import Page

QUOTE = "Every employee has twenty-eight days of paid leave a year."
CITATION = Citation("leave.md", "Leave", QUOTE, 9, 67)


def shown(value: Any) -> str:
    page = Page.read(value._repr_html_())
    assert page.open == []
    return page.text


def test_an_answer_with_its_quotations() -> None:
    text = shown(Cited("28 days", (CITATION,), reason="1 quotation was dropped"))
    for words in ("28 days", QUOTE, "Leave: leave.md, characters 9-67", "Note: 1 quotation"):
        assert words in text


def test_a_refusal() -> None:
    assert (
        shown(Cited(None, refused=True, reason="nothing says so")) == "No answer: nothing says so"
    )


def test_an_answer_of_another_type() -> None:
    assert '"days": 28' in shown(Cited({"days": 28}, (CITATION,)))
    assert "object" in shown(Cited(object()))


def test_a_passage_a_completion_and_a_result() -> None:
    passage = Passage("leave.md", "Leave", QUOTE, 9, 67, 0.83, {"status": "Final"})
    assert "score 0.83 · status: Final" in shown(passage)
    completion = Completion(text_message("assistant", "Hello"), "scripted:demo", Usage(12, 3))
    assert "scripted:demo · 12 → 3 tokens · cost unknown · stop" in shown(completion)
    assert QUOTE in shown(Result(Cited("28", (CITATION,))))
    assert shown(Result("28 days")) == "28 days"
    assert "2" in shown(Result([1, 2]))


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=x>', "\x1b[2J"]
)
def test_hostile_texts_stay_texts(hostile: str) -> None:
    citation = Citation(hostile, hostile, hostile, 0, 1)
    for value in (
        Cited(hostile, (citation,), reason=hostile),
        Cited(None, refused=True, reason=hostile),
        Passage(hostile, hostile, hostile, 0, 1, 0.5, {hostile: hostile}),
        Completion(text_message("assistant", hostile), hostile),
        Result({hostile: hostile}),
    ):
        page = Page.read(value._repr_html_())
        assert page.tags <= {"style", "div", "strong", "blockquote", "pre"}
        assert page.attributes <= {"class"}
        assert "\x1b" not in page.text
        assert hostile[-3:] in page.text
