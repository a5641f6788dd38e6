"""Question sets from a collection: gaps, headings, and what a model writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from onrecord.errors import LimitError, ModelUnavailableError, UsageError
from onrecord.evaluation import scorers
from onrecord.evaluation.dataset import Dataset
from onrecord.evaluation.datasets.generating import generate
from onrecord.evaluation.datasets.heuristics import drafts, names_in
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.messages import Cited
from onrecord.models.model import Request
from onrecord.models.scripted import Scripted
from onrecord.programs.answering import ask as answer
from onrecord.programs.flow import flow
from onrecord.records.ledger import budget
from onrecord.records.limits import Limits
from onrecord.records.store import Store
from onrecord.retrieval.collection import Collection
from onrecord.retrieval.document import Document

LEAVE = """# Leave

Every employee has twenty-eight days of paid leave a year. Leave that is not taken by the end of
March expires without notice. It is a short rule.

## Parental leave

Parents may take up to sixteen weeks of parental leave, of which six are paid in full.

## References

Nothing that anybody would ask about stands under this heading.
"""
TRAVEL = """# Travel

Trains are booked by Maria Kowalski in the office at Mill Lane. In 2019 the company sold its last
car to Jonas Weber, who drives it to this day.

## Who pays for hotels?

The department of the traveller pays for hotels up to 140 euros a night.
"""


@pytest.fixture
def docs(project: Path) -> Collection:
    collection = Collection.open("handbook")
    documents = [
        Document("leave.md", "Leave", LEAVE, "markdown"),
        Document("travel.md", "Travel", TRAVEL, "markdown"),
    ]
    collection.add.run(documents, source="test")
    return collection


def test_gaps_and_headings_of_a_document() -> None:
    made = drafts(Document("l", "Leave", LEAVE, "markdown"))
    assert {draft.question: draft.answer for draft in made} == {
        "Which number is missing: “Every employee has ____ days of paid leave a year.”": (
            "twenty-eight"
        ),
        "Which name is missing: “Leave that is not taken by the end of ____ expires without "
        "notice.”": "March",
        "Which number is missing: “Parents may take up to ____ weeks of parental leave, of which "
        "six are paid in full.”": "sixteen",
        "What does “Leave” say about “Parental leave”?": (
            "Parents may take up to sixteen weeks of parental leave, of which six are paid in full."
        ),
    }
    for draft in made:
        assert draft.answer in LEAVE[draft.start : draft.end]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("A hotel may cost 120 € a night at most.", "120"),
        ("A hotel may cost € 120 a night at most.", "€ 120"),
        ("The discount on a hotel is 12.5 % a night.", "12.5 %"),
        ("The discount on a hotel is 12% a night now.", "12%"),
        ("The hotel has 1,204 rooms in all of its wings.", "1,204"),
    ],
)
def test_a_number_is_missing_without_the_space_around_it(said: str, answer: str) -> None:
    (draft,) = drafts(Document("h", "Hotels", said, "text"))
    assert draft.answer == answer
    assert draft.question == f"Which number is missing: “{said.replace(answer, '____')}”"


def test_names() -> None:
    def of(text: str) -> list[str]:
        return [text[low:high] for low, high in names_in(text)]

    assert of("Trains are booked by Maria Kowalski at Mill Lane.") == [
        "Maria Kowalski",
        "Mill Lane",
    ]
    assert of("The Foot Bridge is closed") == ["Foot Bridge"]
    assert of("Leave is taken. 日本 and Ærø") == ["Ærø"]
    assert of("") == []


def test_questions_without_a_model(docs: Collection) -> None:
    made = generate.run(docs, 10, unanswerable=0.3)
    assert made.name == "handbook"
    answered = [case for case in made if not case.metadata["unanswerable"]]
    without = [case for case in made if case.metadata["unanswerable"]]
    assert len(answered) == 7 and len(without) == 3
    assert {case.metadata["made"] for case in made} <= {"cloze", "heading"}
    for case in answered:
        facts = case.metadata
        text = docs.document(facts["document"]).text
        assert text[facts["start"] : facts["end"]] == facts["quote"]
        assert case.expected in facts["quote"]
        if facts["made"] == "cloze":
            assert text[facts["answer_start"] : facts["answer_end"]] == case.expected
            assert case.expected not in case.input
    assert "Who pays for hotels?" in [case.input for case in made]
    everything = f"{LEAVE}{TRAVEL}".lower()
    for case in without:
        assert case.expected == {"any_of": []}
        assert case.metadata["entity"].lower() not in everything
        assert case.metadata["entity"] in case.input
    (record,) = [each for each in Store.open().runs(5) if each.name == "onrecord generate"]
    assert {case.provenance.record for case in made if case.provenance} == {record.id}
    assert record.output["version"] == made.version
    assert made.split({"a": 0.5, "b": 0.5}, near=None).groups == len(made)


def test_scorers_read_where_the_answers_stand(docs: Collection) -> None:
    made = generate.run(docs, 10, unanswerable=0.3)

    @flow
    async def ask(question: str) -> Cited[str]:
        return await answer(question, docs, k=5)

    checks = [
        *(scorers.hit(5), scorers.recall(5), scorers.precision(5), scorers.mrr, scorers.ndcg(5)),
        scorers.citations,
    ]
    report = evaluate.run(ask, made, checks)
    for name in ("hit_at_5", "recall_at_5", "precision_at_5", "mrr", "ndcg_at_5"):
        assert (report.measure(name).count, report.measure(name).missing) == (7, 3)
    assert (report.measure("hit_at_5").mean or 0) > 0.5
    assert report.measure("citations.recall").count == 10
    assert (report.measure("citations.recall").mean or 0) > 0.2
    assert made.validate() == []


def test_the_same_seed_gives_the_same_questions(docs: Collection) -> None:
    one = generate.run("handbook", 6, seed=3)
    assert (
        one == generate.run(docs, 6, seed=3) or one.version == generate.run(docs, 6, seed=3).version
    )
    assert one.version != generate.run(docs, 6, seed=4).version
    one.save("questions")
    assert Dataset.read("questions") == one


def test_where_there_is_too_little_it_says_so(docs: Collection) -> None:
    made = generate.run(docs, 100, unanswerable=0)
    assert len(made) < 20
    (reason,) = made.left_out
    assert reason.startswith("nothing more to ask about") and made.left_out[reason] == 100 - len(
        made
    )
    with pytest.raises(UsageError, match="no collection 'missing' yet"):
        generate.run("missing", 3)
    for count, share, reason in ((0, 0.2, "1 to 100,000"), (3, 1.5, "a share from 0 to 1")):
        with pytest.raises(UsageError, match=reason):
            generate.run(docs, count, unanswerable=share)
    empty = Collection.open("rows")
    empty.add.run([Document("r", "r", "a | b")], source="test")
    with pytest.raises(UsageError, match="no question could be made"):
        generate.run(empty, 3, unanswerable=0)


def test_documents_outside_give_questions_without_an_answer(docs: Collection) -> None:
    pets = Document(
        "pets.md",
        "Pets",
        "# Pets\n\nDogs are welcome on Fridays in the western wing only.\n",
        "markdown",
    )
    copied = Document("copy.md", "Copy", LEAVE, "markdown")
    made = generate.run(docs, 4, unanswerable=0.25, outside=[copied, pets])
    (case,) = [case for case in made if case.metadata["unanswerable"]]
    assert case.metadata["outside"] == "pets.md" and "Dogs are welcome" in case.input
    assert made.left_out["a passage holds the answer of a document outside"] >= 3
    with pytest.raises(UsageError, match=r"'leave\.md' is in the collection"):
        generate.run(docs, 4, outside=[docs.document("leave.md")])


def writes(request: Request) -> str:
    """A model that quotes the second sentence that it reads, and lies about every third chunk."""
    asked = request.messages[-1].text
    if "entity" in str(request.messages[0].text):
        if "Leave" in asked:
            return json.dumps(
                {"question": "Is there leave for Zorvian monks?", "entity": "Zorvian monks"}
            )
        return json.dumps(
            {"question": "Where does Maria Kowalski live?", "entity": "Maria Kowalski"}
        )
    text = asked.split(">\n", 1)[1].split("\n</passage>")[0]
    sentence = re.findall(r"[A-Z][^.#?]+\.", text)[-1]
    quote = "words that stand nowhere" if "Parents" in text else sentence
    return json.dumps({"question": f"What of {sentence[:30]}?", "answer": "so", "quote": quote})


def test_questions_of_a_model_are_verified(docs: Collection) -> None:
    model = Scripted(writes, name="scripted:writer")
    made = generate.run(docs, 4, model, unanswerable=0.5)
    answered = [case for case in made if not case.metadata["unanswerable"]]
    (without,) = [case for case in made if case.metadata["unanswerable"]]
    assert answered
    for case in answered:
        facts = case.metadata
        assert facts["made"] == "model:scripted:writer"
        assert (
            docs.document(facts["document"]).text[facts["start"] : facts["end"]] == facts["quote"]
        )
        assert case.provenance is not None
        record = Store.open().record(case.provenance.record)
        assert record.name == "write_question" and record.output["question"] == case.input
    assert without.metadata["entity"] == "Zorvian monks"
    assert made.left_out["a document holds what should stand nowhere"] >= 1
    thrown: Any = made.left_out
    assert sum(thrown.values()) >= 2


def test_bad_output_is_counted_and_a_dead_model_ends_it(docs: Collection) -> None:
    with pytest.raises(UsageError, match="the model's answer has another form"):
        generate.run(docs, 2, Scripted("no JSON at all"), unanswerable=0)
    with pytest.raises(ModelUnavailableError):
        generate.run(docs, 2, Scripted(ModelUnavailableError("down")), unanswerable=0)
    with budget(Limits(calls=1)), pytest.raises(LimitError):
        generate.run(docs, 4, Scripted(writes), unanswerable=0)
