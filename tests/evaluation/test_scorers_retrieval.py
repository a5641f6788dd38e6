"""Scorers of what was found, quoted and called; and of live traffic."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onrecord as on
from onrecord.errors import UsageError
from onrecord.evaluation import metrics, scorers
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.evaluation.experiments.steps import never_called
from onrecord.evaluation.meant import closest, doubts
from onrecord.evaluation.scoring import Scorers
from onrecord.evaluation.trial import Score, Trial
from onrecord.records.record import Record

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def passage(document: str, start: int = 0, text: str = "x" * 100) -> dict[str, Any]:
    return {
        "document_id": document,
        "title": "",
        "text": text,
        "start": start,
        "end": start + len(text),
        "score": 0.5,
    }


def record(kind: Any, name: str, at: int = 0, **fields: Any) -> Record:
    return Record(
        id=f"{at:032x}",
        run="r",
        parent=None,
        kind=kind,
        name=name,
        input=fields.pop("input", {}),
        key="",
        started_ns=at,
        ended_ns=at + 1,
        state="done",
        **fields,
    )


def found(*passages: Any, at: int = 0, name: str = "handbook") -> Record:
    return record("search", name, at, output={"passages": list(passages), "strategy": {}})


def trial(output: Any = "an answer", *steps: Record, **fields: Any) -> Trial:
    return Trial(case="c", input="q", output=output, steps=steps, **fields)


ABC = found(passage("a"), passage("b"), passage("a", 100), passage("c"))


def test_documents_rank_where_they_were_first_found() -> None:
    one = trial("x", ABC, metadata={"relevant": ["c", "b", "z"]})
    assert scorers.hit(1)(one) == Score(False, "not found: z")
    assert scorers.hit(2)(one).value is True
    assert scorers.recall(3)(one).value == pytest.approx(2 / 3)  # c is the third document
    assert scorers.precision(2)(one).value == 0.5
    assert scorers.mrr(one).value == 0.5
    assert scorers.ndcg(3)(one).value == metrics.ndcg_at_k(["a", "b", "c"], ["c", "b", "z"], 3)
    graded = trial("x", ABC, metadata={"relevant": {"c": 3, "a": 0}})
    assert scorers.ndcg(5)(graded).value == metrics.ndcg_at_k(["a", "b", "c"], {"c": 3}, 5)
    assert [scorers.hit(5).name, scorers.ndcg(10).name, scorers.mrr.name] == [
        "hit_at_5",
        "ndcg_at_10",
        "mrr",
    ]


def test_spans_are_found_by_passages_that_overlap_them() -> None:
    gold = [
        {"document_id": "a", "start": 150, "end": 160},
        {"document_id": "a", "start": 190, "end": 195},
        {"document_id": "b", "start": 100, "end": 110},
    ]
    one = trial("x", ABC, metadata={"relevant": gold})
    assert scorers.mrr(one).value == pytest.approx(1 / 3)
    assert scorers.recall(3)(one).value == pytest.approx(2 / 3)  # one passage holds two of them
    assert scorers.precision(4)(one).value == 0.25
    assert scorers.recall(3)(one).reason == "not found: b 100-110"
    both = trial("x", found(passage("a", 100)), metadata={"relevant": gold[:2]})
    assert scorers.ndcg(5)(both).value == 1.0  # nothing better can be found
    assert scorers.ndcg(5)(one).value == metrics.ndcg_at_k(["-", "-", "a"], ["a", "b"], 5)
    single = trial("x", ABC, metadata={"relevant": gold[2]})
    assert scorers.hit(10)(single).value is False


@pytest.mark.parametrize(
    "output",
    [
        [passage("a"), passage("b")],
        {"passages": [passage("a"), passage("b")]},
        ["a", "b"],
        [{"document_id": "a"}, {"document_id": "b"}],
    ],
)
def test_an_application_that_is_a_search(output: Any) -> None:
    assert scorers.mrr(trial(output, expected="b")).value == 0.5
    assert scorers.mrr(trial(output, expected={"any_of": ["b"]})).value == 0.5
    assert scorers.mrr(trial(output, expected="b", metadata={"relevant": "a"})).value == 1.0
    assert scorers.hit(2)(trial(output, expected={"any_of": []})).value is None


def test_where_there_is_nothing_to_measure_it_says_why() -> None:
    said = {"relevant": ["a"]}
    assert scorers.mrr(trial(metadata=said)) == Score(None, "no search is on record")
    unsaid = 'the case does not say what is relevant: write metadata["relevant"]'
    assert scorers.mrr(trial("x", ABC)) == Score(None, unsaid)
    assert scorers.mrr(trial("x", ABC, metadata={"relevant": []})).value is None
    assert scorers.mrr(trial("x", ABC, expected="a")).value is None  # that is the answer expected
    assert scorers.mrr(trial("x", found(), metadata=said)).value == 0.0
    with pytest.raises(UsageError, match="in no known way"):
        scorers.mrr(trial("x", ABC, metadata={"relevant": [{"page": 3}]}))


def test_several_searches_and_searches_of_ones_own() -> None:
    first, second = found(passage("a"), at=1), found(passage("b"), passage("a"), at=2)
    demos = found(passage("demo"), at=0, name="answer demos")
    one = trial("x", second, first, demos, metadata={"relevant": ["b"]})
    assert scorers.mrr(one).value == 0.5
    own = record("step", "retrieve", 3, output=[{"document_id": "b", "text": "t"}])
    assert (
        scorers.mrr(step="retrieve")(trial("x", own, first, metadata={"relevant": "b"})).value
        == 1.0
    )
    assert scorers.mrr(step="other")(trial("x", own, metadata={"relevant": "b"})).value is None


TEXT = "Every employee has twenty-eight days of paid leave a year. Leave expires in March."


def cited(*quotes: str, start: int = 0) -> dict[str, Any]:
    citations = [
        {
            "document_id": "leave.md",
            "title": "",
            "quote": q,
            "start": start + TEXT.index(q),
            "end": start + TEXT.index(q) + len(q),
        }
        for q in quotes
    ]
    return {"value": "28 days", "citations": citations, "refused": False, "reason": ""}


LEAVE = found(passage("leave.md", 40, TEXT))


@pytest.mark.parametrize(
    "gold",
    [
        {
            "document_id": "leave.md",
            "start": 40 + TEXT.index("twenty"),
            "end": 40 + TEXT.index(" of paid"),
        },
        "twenty-eight days",
        [{"quote": "twenty-eight days"}],
    ],
)
def test_citations_beside_what_should_be_quoted(gold: Any) -> None:
    one = trial(cited("has twenty-eight days", start=40), LEAVE, metadata={"citations": gold})
    said = scorers.citations(one)
    assert said["recall"] == 1.0 and said["precision"] == pytest.approx(17 / 21)
    assert said["verified"] == Score(1.0)
    none = trial({**cited(), "citations": []}, LEAVE, metadata={"citations": gold})
    assert scorers.citations(none)["recall"] == 0.0
    assert scorers.citations(none)["verified"].value is None


def test_citations_without_gold() -> None:
    assert scorers.citations(trial(cited("paid leave", start=40), LEAVE)) == {
        "verified": Score(1.0)
    }
    made_up = cited("paid leave")
    made_up["citations"][0]["quote"] = "unpaid leave"
    said = scorers.citations(trial(made_up, LEAVE))
    assert said["verified"] == Score(0.0, "in no passage: “unpaid leave”")
    assert scorers.citations(trial(cited("paid leave")))["verified"].value is None
    assert scorers.citations(trial("a text", LEAVE)) is None
    missed = trial(
        cited("paid leave"), metadata={"citations": ["nowhere to be seen", "has sick leave a"]}
    )
    assert scorers.citations(missed)["recall"] == Score(
        0.0, "in nothing that was read: “nowhere to be seen”; “has sick leave a”"
    )
    wider = trial(cited("paid leave"), metadata={"citations": "days of paid leave a year"})
    assert scorers.citations(wider)["recall"] == pytest.approx(10 / 25)
    with pytest.raises(UsageError, match="what should be quoted"):
        scorers.citations(trial(cited("paid leave"), metadata={"citations": [3]}))


LOOK, PAY = (
    {"name": "look", "arguments": {"id": "17"}},
    {"name": "refund", "arguments": {"amount": 5}},
)


def called(*calls: dict[str, Any]) -> tuple[Record, ...]:
    return tuple(record("tool", c["name"], at, input=c["arguments"]) for at, c in enumerate(calls))


@pytest.mark.parametrize(
    ("options", "made", "wanted", "correct", "precision", "recall"),
    [
        ({}, [PAY, LOOK], ["look", PAY], True, 1, 1),
        ({"ordered": True}, [PAY, LOOK], ["look", PAY], False, 0.5, 0.5),
        ({"ordered": True}, [LOOK, PAY], ["look", PAY], True, 1, 1),
        ({"ordered": True}, [LOOK, LOOK, PAY], ["look", PAY], False, 2 / 3, 1),
        ({"ordered": True, "extra": True}, [LOOK, LOOK, PAY], ["look", PAY], True, 2 / 3, 1),
        ({}, [LOOK, LOOK, PAY], ["look", PAY], False, 2 / 3, 1),
        ({"extra": True}, [LOOK], ["look", PAY], False, 1, 0.5),
        ({}, [LOOK], [{"name": "look", "arguments": {"id": "18"}}], False, 0, 0),
        ({"arguments": False}, [LOOK], [{"name": "look", "arguments": {"id": "18"}}], True, 1, 1),
        ({}, [{"name": "look", "arguments": {"id": "17", "much": 3}}], [LOOK], True, 1, 1),
        ({}, [], [], True, 1, 1),
        ({}, [LOOK], [], False, 0, 1),
        ({}, [], ["look"], False, 0, 0),
        # One that fits both must not take the only one that fits the other.
        ({}, [LOOK, {"name": "look", "arguments": {"id": "9"}}], ["look", LOOK], True, 1, 1),
    ],
)
def test_tools(
    options: Any, made: Any, wanted: Any, correct: bool, precision: float, recall: float
) -> None:
    said = scorers.tools(**options)(trial("x", *called(*made), metadata={"tools": wanted}))
    assert said["correct"].value is correct, said
    assert (said["precision"], said["recall"]) == (pytest.approx(precision), pytest.approx(recall))
    assert bool(said["correct"].reason) is not correct


@pytest.mark.parametrize(
    "output",
    [
        {"type": "tool_call", "id": "1", "name": "look", "arguments": '{"id": "17"}'},
        [{"name": "look", "arguments": {"id": "17"}}],
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "text": "x"},
                {"type": "tool_call", "name": "look", "arguments": '{"id": "17"}'},
            ],
        },
        {
            "message": {
                "role": "assistant",
                "parts": [{"type": "tool_call", "name": "look", "arguments": '{"id": "17"}'}],
            }
        },
    ],
)
def test_tool_calls_in_an_output(output: Any) -> None:
    said = scorers.tools(trial(output, metadata={"tools": [LOOK]}))
    assert said["correct"].value is True


def test_tool_calls_nobody_asked_about_and_bad_ones() -> None:
    assert scorers.tools(trial("x", *called(LOOK))) is None
    heads = record("tool", "hf:some/reader", 1, input={"text": "t"})
    assert scorers.tools(trial("x", heads, metadata={"tools": []}))["correct"].value is True
    said = scorers.tools(
        trial({"name": "look", "arguments": "{broken"}, metadata={"tools": [LOOK]})
    )
    assert said["correct"].reason == "called look(); expected look(id='17')"
    with pytest.raises(UsageError, match="no call of a tool"):
        scorers.tools(trial("x", metadata={"tools": [3]}))


@pytest.fixture
def handbook(project: Path) -> on.Collection:
    folder = project / "handbook"
    folder.mkdir()
    (folder / "leave.md").write_text(f"# Leave\n\n{TEXT}\n")
    (folder / "travel.md").write_text("# Travel\n\nTrains are booked in second class.\n")
    collection = on.Collection.open("handbook")
    collection.ingest.run(str(folder))
    return collection


def test_the_same_scorers_score_an_experiment_and_live_traffic_alike(
    handbook: on.Collection,
) -> None:
    """A flow with a search and a tool, once as a trial, once as it came in."""

    @on.tool
    async def log(question: str) -> str:
        return question

    @on.flow
    async def ask(question: str) -> on.Cited[str]:
        await log(question)
        return await on.ask(question, handbook, k=2)

    question = "How many days of paid leave does an employee have?"
    metadata = {
        "relevant": [handbook.search.run(question, k=1)[0].document_id],
        "citations": "twenty-eight days of paid leave",
        "tools": [{"name": "log", "arguments": {"question": question}}],
    }
    expected = "twenty-eight days"
    chosen = [
        scorers.mrr,
        scorers.hit(1),
        scorers.citations,
        scorers.grounded,
        scorers.hallucination,
        scorers.tools,
        scorers.refusal,
        scorers.contains,
        scorers.cost,
        scorers.OnStep("log", scorers.exact_match),
        on.judge("Is it brief?", model=on.Scripted('{"reason": "Yes.", "verdict": "pass"}')),
    ]
    cases = on.Dataset([on.Case("a", {"question": question}, expected, metadata)], name="leave")
    report = evaluate.run(ask, cases, chosen)
    (offline,) = report.trials
    assert offline.scores["mrr"].value == 1.0 and offline.scores["tools.correct"].value is True
    assert offline.scores["grounded"].value == 1.0, offline.scores["grounded"]
    assert offline.scores["citations.verified"].value == 1.0, offline.scores
    assert offline.scores["judge"] == Score(True, "Yes.")

    with on.recording() as seen:
        ask.run(question)
    with closing(on.Store.open()) as store:
        store.fold()
        live = store.record(seen.records[-1].id)
        records = list(store.run(live.run))
    for given in (records, seen.records):
        online = Trial.of(live, given, expected=expected, metadata=metadata)
        scores, _ = on.calling.run(Scorers(chosen).scored(online))
        assert scores == offline.scores
        assert online.usage == offline.usage and online.cost == offline.cost
        assert [each.name for each in online.steps] == [each.name for each in seen.records]
        assert online.input == {"question": question} and online.case == live.id


def test_a_live_call_that_failed() -> None:
    @on.flow
    async def broken() -> None:
        raise ValueError("boom")

    with on.recording() as seen, pytest.raises(ValueError, match="boom"):
        broken.run()
    online = Trial.of(seen.records[-1], seen.records)
    assert online.error == "ValueError: boom" and online.output is None


# -- slips of the pen in what should be found, quoted, called


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("expenses.md", "handbook/expenses.md"),
        ("Handbook/Expenses.md", "handbook/expenses.md"),
        ("expenses", "handbook/expenses.md"),
        ("handbook/expences.md", "handbook/expenses.md"),
        ("docs/handbook/leave-2023.md", "handbook/leave-2023.md"),
        ("handbook/leave-2024.md", ""),
        ("penses.md", ""),
        ("handbook/leave-2023.md", ""),
        ("travel.md", ""),
        ("", ""),
    ],
)
def test_which_name_is_meant(name: str, close: str) -> None:
    assert closest(name, ["handbook/expenses.md", "handbook/leave-2023.md"]) == close


def test_a_slip_in_what_is_relevant_is_doubted() -> None:
    there = found(passage("handbook/expenses.md"), passage("handbook/leave.md"))
    doubt = "“expenses.md” (did you mean “handbook/expenses.md”?)"
    one = trial("x", there, metadata={"relevant": ["expenses.md", "z"]})
    assert scorers.hit(2)(one) == Score(False, f"not found: {doubt}, z")
    span = {"document_id": "expenses.md", "start": 1, "end": 5}
    placed = trial("x", there, metadata={"relevant": span})
    assert scorers.mrr(placed) == Score(0.0, f"not found: {doubt} 1-5")
    assert doubts([msgspec.structs.replace(one, scores={"a": scorers.mrr(one)})] * 2) == [
        ("expenses.md", "handbook/expenses.md", 2)
    ]


def test_a_slip_in_what_should_be_quoted_is_doubted() -> None:
    output = {"value": "x", "citations": [], "refused": False}
    search = found(passage("a", text="Parents may take sixteen weeks, and no more."))
    said = scorers.citations(trial(output, search, metadata={"citations": "may take sixten weeks"}))
    assert said["recall"] == Score(
        0.0,
        "in nothing that was read: “may take sixten weeks” (did you mean “may take sixteen "
        "weeks”?)",
    )
    other = scorers.citations(trial(output, search, metadata={"citations": "three days of leave"}))
    assert other["recall"] == Score(0.0, "in nothing that was read: “three days of leave”")


def test_a_slip_in_a_tool_is_doubted() -> None:
    call = record("tool", "lookup", input={"word": "cat"})
    said = scorers.tools(trial("x", call, metadata={"tools": ["lokup"]}))
    assert said["correct"] == Score(
        False, "called lookup(word='cat'); expected “lokup” (did you mean “lookup”?)"
    )


def test_spans_beside_ids_and_passages_without_places() -> None:
    span = {"document_id": "b", "start": 40, "end": 50}
    assert scorers.mrr(trial(["a", "b"], metadata={"relevant": span})).value == 0.5
    bare = [{"document_id": "a"}, {"document_id": "b"}]
    assert scorers.mrr(trial(bare, metadata={"relevant": span})).value == 0.5


async def test_of_a_step_why_nothing_is_known_is_kept() -> None:
    def said(one: Trial) -> Score:
        return {
            "bad": Score(None, error="OutputError: prose"),
            "open": Score(None, "nobody said what is relevant"),
        }.get(one.output) or Score(None if one.output == "none" else 0.5)

    async def of(*outputs: str) -> Score | None:
        steps = [record("step", "look", at, output=each) for at, each in enumerate(outputs)]
        return await scorers.OnStep("look", said)(trial("x", *steps))

    assert await of("open", "bad", "bad") == Score(None, error="OutputError: prose")
    assert await of("none", "open") == Score(None, "nobody said what is relevant")
    assert await of("none") is None and await of() is None
    assert await of("open", "bad", "fine") == Score(0.5)


def test_steps_that_nothing_was_called_by() -> None:
    one = trial("x", metadata={"steps": {"look": 1, "wrte": 2, "other": 3}})
    there = [record("step", "look"), record("step", "write")]
    assert never_called(one, there) == [("wrte", "write"), ("other", "")]
