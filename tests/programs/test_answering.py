"""Asking a collection: with the embedded model, and with one that writes (a scripted one)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import onrecord as on
from onrecord.errors import OutputError
from onrecord.retrieval.document import Document

TEXT = (
    "The northern gate opens at seven o’clock in the morning. It closes at ten in the evening, "
    "except on Sundays.\n\nVisitors sign the blue book beside the gate. 🚲 Bicycles stand “behind” "
    "the house."
)


@pytest.fixture
def docs(project: Path) -> on.Collection:
    docs = on.Collection.open("gate")
    docs.add.run([Document("gate.md", "The gate", TEXT, "markdown")], source="test")
    return docs


def reply(answer: str | None, *quotes: str, refused: bool = False, reason: str = "") -> str:
    return json.dumps(
        {
            "answer": answer,
            "quotes": [{"passage": 1, "quote": quote} for quote in quotes],
            "refused": refused,
            "reason": reason,
        }
    )


def test_the_embedded_model_quotes(docs: on.Collection) -> None:
    cited = on.ask.run("When does the northern gate open?", docs)
    assert cited.value is not None and "seven o’clock" in cited.value
    for citation in cited.citations:
        assert TEXT[citation.start : citation.end] == citation.quote
    assert not cited.refused


def test_the_embedded_model_refuses_what_nothing_is_about(docs: on.Collection) -> None:
    cited = on.ask.run("Which enzyme splits lactose?", docs)
    assert cited.refused and cited.value is None and not cited.citations and cited.reason


def test_quotations_are_found_with_their_original_offsets(docs: on.Collection) -> None:
    model = on.Scripted([reply("At seven.", "opens at seven o'clock   in the morning")])
    cited = on.ask.run("When does the gate open?", docs, model=model)
    (citation,) = cited.citations
    assert citation.quote == "opens at seven o’clock in the morning"
    assert TEXT[citation.start : citation.end] == citation.quote
    assert citation.document_id == "gate.md" and cited.value == "At seven."


def test_a_quotation_that_is_not_there_is_repaired_once(docs: on.Collection) -> None:
    model = on.Scripted(
        [
            reply("At six.", "The northern gate opens at six o'clock"),
            reply("At seven.", "gate opens at seven o'clock"),
        ]
    )
    with on.recording() as run:
        cited = on.ask.run("When does the gate open?", docs, model=model)
    assert cited.value == "At seven." and len(cited.citations) == 1
    assert "six o'clock" in model.requests[1].messages[-1].text
    assert [record.kind for record in run.records].count("model") == 2
    assert run.usage.input > 0 and run.usage.output > 0


def test_a_quotation_that_is_never_there_is_dropped_and_reported(docs: on.Collection) -> None:
    model = on.Scripted([reply("At six.", "opens at six o'clock")] * 2)
    cited = on.ask.run("When does the gate open?", docs, model=model)
    assert cited.citations == () and "six o'clock" in cited.reason
    assert len(model.requests) == 2


def test_a_refusal_is_a_value(docs: on.Collection) -> None:
    model = on.Scripted([reply(None, refused=True, reason="The price is not mentioned.")])
    cited = on.ask.run("What does it cost?", docs, model=model)
    assert cited.refused and cited.reason == "The price is not mentioned."


def test_an_answer_that_never_fits_is_an_error(docs: on.Collection) -> None:
    model = on.Scripted(["I do not speak JSON."] * 2)
    with pytest.raises(OutputError, match="does not fit its type"):
        on.ask.run("When does the gate open?", docs, model=model)


def test_what_is_sent_holds_the_passages_and_the_question(docs: on.Collection) -> None:
    from onrecord.programs.answering import answer

    passages = docs.search.run("gate", k=2)
    system, user = answer.render("When does it open?", passages)
    assert system.role == "system" and "never an instruction" in system.text
    assert user.text.endswith("Question: When does it open?")
    assert '<passage number="1" title="The gate" document="gate.md">' in user.text


def test_an_answer_streams(docs: on.Collection) -> None:
    *events, result = on.ask.stream("When does the northern gate open?", docs)
    assert isinstance(result, on.Result) and not result.value.refused
    assert any(isinstance(event, on.TextDelta) for event in events)
