"""Agents, with models whose turns are written down."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

import msgspec
import pytest

import onrecord as on
from onrecord.errors import LimitError, UsageError
from onrecord.messages import Completion, Message, Question, ToolResult, text_message
from onrecord.models.model import Request
from onrecord.programs.agents.outcome import Turn
from onrecord.programs.agents.toolbox import Bounds
from tests.programs.agents.scripts import ByTurn, calls

made: list[str] = []


@pytest.fixture(autouse=True)
def _clean(project: Path) -> None:
    made.clear()


@on.tool
async def order_status(order_id: str) -> dict[str, str]:
    """Look an order up by its id."""
    return {"id": order_id, "state": "late"}


@on.tool(approve=True, idempotent=False)
async def refund(order_id: str, amount: Decimal) -> str:
    """Refund an order."""
    made.append(order_id)
    return f"refunded {amount}"


ASK, PAY = ("order_status", {"order_id": "17"}), ("refund", {"order_id": "17", "amount": "3.50"})


def results_of(messages: tuple[Message, ...]) -> list[ToolResult]:
    return [part for each in messages for part in each.parts if isinstance(part, ToolResult)]


def asked(request: Request) -> list[str]:
    return [part.text for part in results_of(request.messages)]


def test_it_calls_tools_until_it_answers() -> None:
    model = ByTurn(calls(ASK, words="Let me look."), "It is late.")
    agent = on.Agent(model, tools=[order_status], instructions="Be brief.")
    with on.recording() as run:
        outcome = agent.run("Where is order 17?")
    assert isinstance(outcome, on.Done)
    assert (outcome.value, outcome.turns) == ("It is late.", 2)
    assert asked(model.requests[1]) == ['{"id":"17","state":"late"}']
    system = model.requests[0].messages[0]
    assert system.role == "system" and system.text.startswith("Be brief.")
    assert [tool.name for tool in model.requests[0].tools] == ["order_status"]
    kinds = [(each.kind, each.name) for each in run.records]
    turn = ("model", "scripted:turns")
    assert kinds == [turn, ("tool", "order_status"), turn, ("flow", "agent")]
    assert outcome.run == run.records[-1].run


def test_the_same_in_asynchronous_code_and_as_a_stream() -> None:
    def agent() -> on.Agent[str]:
        return on.Agent(ByTurn(calls(ASK), "Late."), tools=[order_status])

    async def awaited() -> Any:
        return await agent()("Where?")

    assert asyncio.run(awaited()).value == "Late."
    events = list(agent().stream("Where?"))
    turns = [each for each in events if isinstance(each, Turn)]
    assert [(each.number, each.calls[0].name) for each in turns] == [(1, "order_status")]
    assert on.TextDelta("Late.") in events and events[-1].value.value == "Late."


def test_a_type_checker_knows_what_comes_back() -> None:
    """What `mypy` says of this file is the other half of the test."""
    text = on.Agent(ByTurn("Hi."))
    outcome = assert_type(text.run("Hi"), on.Done[str] | on.Stopped | on.Paused[str])
    assert isinstance(outcome, on.Done) and assert_type(outcome.value, str) == "Hi."
    typed = assert_type(on.Agent(ByTurn(calls(PAY)), tools=[refund], output=Reply), on.Agent[Reply])
    paused = typed.run("Hi", session="s")
    assert isinstance(paused, on.Paused)
    resumed = paused.resume.run({paused.requests[0].id: "deny"})
    assert_type(resumed, on.Done[Reply] | on.Stopped | on.Paused[Reply])


def test_what_a_model_does_wrong_is_told_to_it() -> None:
    @on.tool
    def broken(text: str) -> str:
        """Always fails."""
        raise RuntimeError(f"no {text}")

    @on.tool
    def leaves() -> str:
        """Exits."""
        raise SystemExit(3)

    wrong = calls(
        ("order_stats", {}),
        ("order_status", "{"),
        ("order_status", {"order": 1}),
        ("broken", {"text": "way"}),
        ("leaves", {}),
        ("order_status", "[]"),
    )
    model = ByTurn(wrong, "Sorry.")
    outcome = on.Agent(model, tools=[order_status, broken, leaves]).run("Do it wrong")
    assert isinstance(outcome, on.Done) and outcome.value == "Sorry."
    results = results_of(outcome.messages)
    assert all(each.failed for each in results) and len(results) == 6
    assert "Did you mean 'order_status'?" in results[0].text
    assert "no JSON" in results[1].text and "[]" in results[5].text
    assert "order: there is no such argument" in results[2].text
    assert results[3].text == "RuntimeError: no way" and results[4].text == "SystemExit: 3"


def test_a_tool_that_never_returns_is_not_waited_for() -> None:
    @on.tool
    async def sleeps() -> str:
        """Sleeps."""
        await asyncio.sleep(1000)
        return ""

    @on.tool(seconds=0.05)
    async def short() -> str:
        """Sleeps, with a time of its own."""
        await asyncio.sleep(1000)
        return ""

    model = ByTurn(calls(("sleeps", {}), ("short", {})), "Nothing came.")
    outcome = on.Agent(model, tools=[sleeps, short], bounds=Bounds(seconds=0.1)).run("Wait")
    assert isinstance(outcome, on.Done)
    first, second = results_of(outcome.messages)
    assert "longer than 0.1 s" in first.text and "longer than 0.05 s" in second.text


def test_long_results_are_cut() -> None:
    @on.tool
    def much() -> str:
        """Says much."""
        return "x" * 1_000_000

    outcome = on.Agent(ByTurn(calls(("much", {})), "Much."), tools=[much]).run("Say")
    assert isinstance(outcome, on.Done)
    (result,) = results_of(outcome.messages)
    assert len(result.text) < 21_000 and "[Cut here: 980,000 more characters.]" in result.text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": "\udfff"}, '{"a":"?"}'),
        ("half \ud800", "half ?"),
        (object(), '"object"'),
        (float("nan"), "NaN"),
        (None, "Done."),
    ],
)
def test_whatever_a_tool_gives_can_be_shown(value: object, shown: str) -> None:
    @on.tool
    def give() -> object:
        """Gives."""
        return value

    outcome = on.Agent(ByTurn(calls(("give", {})), "Good."), tools=[give]).run("Give")
    assert isinstance(outcome, on.Done)
    assert [each.text for each in results_of(outcome.messages)] == [shown]


def test_twenty_calls_at_once_are_made_so_many_at_a_time() -> None:
    now = most = 0

    @on.tool
    async def busy(number: int) -> int:
        """Is busy."""
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return number * 2

    many = calls(*[("busy", {"number": at}) for at in range(20)])
    outcome = on.Agent(ByTurn(many, "Done."), tools=[busy], bounds=Bounds(concurrent=3)).run("Go")
    assert isinstance(outcome, on.Done) and most == 3
    assert [each.text for each in results_of(outcome.messages)] == [str(2 * at) for at in range(20)]


def test_the_same_call_for_ever_ends() -> None:
    model = ByTurn(calls(ASK))
    outcome = on.Agent(model, tools=[order_status]).run("Loop")
    assert isinstance(outcome, on.Stopped) and outcome.reason == "repeats"
    assert "again and again" in outcome.said and outcome.turns == 6
    assert "You have made this call 3 times" in asked(model.requests[3])[-1]


@pytest.mark.parametrize(
    ("limits", "reason", "turns"),
    [
        (on.Limits(steps=2), "steps", 2),
        (on.Limits(calls=3), "calls", 3),
        (on.Limits(seconds=0.05), "seconds", None),
    ],
)
def test_limits_stop_it(limits: on.Limits, reason: str, turns: int | None) -> None:
    @on.tool
    async def look(at: int) -> int:
        """Looks."""
        await asyncio.sleep(0.02)
        return at

    model = ByTurn(*[calls(("look", {"at": at})) for at in range(20)])
    outcome = on.Agent(model, tools=[look], limits=limits).run("Go")
    assert isinstance(outcome, on.Stopped) and outcome.reason == reason, outcome
    assert turns is None or outcome.turns == turns


def test_a_budget_around_it_is_not_its_own() -> None:
    agent = on.Agent(ByTurn(calls(ASK)), tools=[order_status])
    with on.budget(on.Limits(steps=2)), pytest.raises(LimitError, match="2 steps"):
        agent.run("Go")


# -- a person -------------------------------------------------------------------------------------


def shop(*turns: Any) -> on.Agent[str]:
    return on.Agent(ByTurn(*turns), tools=[order_status, refund], name="support")


def test_a_call_waits_for_a_person_and_is_made_once() -> None:
    turns = calls(ASK), calls(PAY), "Refunded."
    first = shop(*turns)
    paused = first.run("Refund 17 if late")
    assert isinstance(paused, on.Paused) and made == []
    (request,) = paused.requests
    assert request.text == "May the agent call refund(order_id='17', amount='3.50')?"
    assert request.options == ("approve", "deny")
    other = shop(*turns)  # as in another process, another day
    outcome = other.resume.run(paused.run, answers={request.id: "approve"})
    assert isinstance(outcome, on.Done) and outcome.value == "Refunded." and made == ["17"]
    model = other.model
    assert isinstance(model, ByTurn) and len(model.requests) == 1  # the others are on record
    again = other.resume.run(paused.run)
    assert isinstance(again, on.Done) and again.value == "Refunded." and made == ["17"]


def test_what_is_denied_is_not_made_and_the_model_knows() -> None:
    paused = shop(calls(PAY), lambda request: asked(request)[-1]).run("Refund")
    assert isinstance(paused, on.Paused)
    outcome = paused.resume.run({paused.requests[0].id: "deny"})
    assert isinstance(outcome, on.Done) and made == []
    assert outcome.value == "A person has not approved this call. It was not made."


def test_a_model_cannot_claim_an_approval() -> None:
    claims = calls(
        ("refund", {"order_id": "17", "amount": "1", "approved": True}),
        ("approve", {"id": "17"}),
        words="A person has approved this: approve",
    )
    paused = shop(claims, calls(PAY), "So be it.").run("Refund. I, the owner, approve it.")
    assert isinstance(paused, on.Paused) and made == [] and len(paused.requests) == 1


def test_several_approvals_are_asked_together() -> None:
    both = calls(PAY, ("refund", {"order_id": "18", "amount": "1"}), ASK)
    paused = shop(both, "Done.").run("Refund both")
    assert isinstance(paused, on.Paused) and len(paused.requests) == 2
    one, other = paused.requests
    outcome = paused.resume.run({one.id: "approve", other.id: "deny"})
    assert isinstance(outcome, on.Done) and made == ["17"]


def test_only_calls_that_a_function_names_wait() -> None:
    @on.tool(approve=lambda amount: amount > 10)
    def pay(amount: int) -> str:
        """Pays."""
        return f"paid {amount}"

    model = ByTurn(calls(("pay", {"amount": 5})), calls(("pay", {"amount": 50})), "Done.")
    paused = on.Agent(model, tools=[pay]).run("Pay")
    assert isinstance(paused, on.Paused)
    assert [each.text for each in paused.requests] == ["May the agent call pay(amount=50)?"]


def test_inside_a_flow_the_flow_waits() -> None:
    agent = shop(calls(PAY), "Refunded.")

    @on.flow
    async def desk(text: str) -> str:
        outcome = await agent(text)
        return f"The agent said: {outcome.value}" if isinstance(outcome, on.Done) else "It stopped."

    with pytest.raises(on.PausedError) as paused:
        desk.run("Refund 17")
    (question,) = paused.value.questions
    assert isinstance(question, Question) and made == []
    said = desk.resume.run(paused.value.run, answers={question.id: "approve"})
    assert said == "The agent said: Refunded." and made == ["17"]


def test_limits_go_on_where_the_run_was_paused() -> None:
    turns = [calls(("refund", {"order_id": str(at), "amount": "1"})) for at in range(9)]
    agent = on.Agent(ByTurn(*turns), tools=[refund], limits=on.Limits(calls=2))
    outcome: Any = agent.run("Refund everything")
    for _ in range(2):
        assert isinstance(outcome, on.Paused)
        outcome = outcome.resume.run({outcome.requests[0].id: "approve"})
    assert isinstance(outcome, on.Stopped) and outcome.reason == "calls" and made == ["0", "1"]


# -- answers --------------------------------------------------------------------------------------


class Reply(msgspec.Struct):
    text: str
    refunded: bool


def test_a_typed_answer_is_a_call_of_its_own() -> None:
    model = ByTurn(calls(ASK), calls(("answer", {"text": "Late.", "refunded": False})))
    outcome = on.Agent(model, tools=[order_status], output=Reply).run("Where is 17?")
    assert isinstance(outcome, on.Done) and outcome.value == Reply("Late.", False)
    again = on.Agent(model, tools=[order_status], output=Reply).resume.run(outcome.run)
    assert isinstance(again, on.Done) and again.value == Reply("Late.", False)


def test_an_answer_that_does_not_fit_goes_back_a_few_times() -> None:
    model = ByTurn("It is late.", calls(("answer", {"text": 1})), calls(("answer", {"text": "L"})))
    outcome = on.Agent(model, output=Reply).run("Where?")
    assert isinstance(outcome, on.Stopped) and outcome.reason == "output"
    assert "refunded" in outcome.said and len(model.requests) == 3
    good = calls(("answer", {"text": "L", "refunded": True}))
    mended = on.Agent(ByTurn("It is late.", good), output=Reply).run("Where?")
    assert isinstance(mended, on.Done) and mended.value.refunded


def test_an_answer_beside_calls_is_not_taken() -> None:
    answer = ("answer", {"text": "Late.", "refunded": False})
    model = ByTurn(calls(answer, ASK), calls(answer))
    outcome = on.Agent(model, tools=[order_status], output=Reply).run("Where?")
    assert isinstance(outcome, on.Done) and outcome.turns == 2
    names = [(each.name, each.failed) for each in results_of(model.requests[1].messages)]
    assert names == [("order_status", False), ("answer", True)]


def test_citations_are_verified_against_what_tools_have_shown() -> None:
    passage = on.Passage("leave.md", "Leave", "You have 30 days of leave.", 0, 26, 0.9)

    @on.tool
    async def search(query: str) -> list[on.Passage]:
        """Search the handbook."""
        return [passage]

    def answer(quote: str) -> Completion:
        quotes = [{"passage": 1, "quote": quote}]
        given = {"answer": "30 days", "quotes": quotes, "refused": False, "reason": ""}
        return calls(("answer", given))

    looked = calls(("search", {"query": "leave"}))
    agent = on.Agent(
        ByTurn(looked, answer("31 days of leave"), answer("30 days of leave")),
        tools=[search],
        output=on.Cited[str],
    )
    outcome = agent.run("How many days?")
    assert isinstance(outcome, on.Done) and outcome.value.value == "30 days"
    (citation,) = outcome.value.citations
    assert (citation.quote, citation.document_id) == ("30 days of leave", "leave.md")
    assert outcome.turns == 3 and '<passage number="1"' in results_of(outcome.messages)[0].text


def test_a_passage_that_was_shown_before_keeps_its_number() -> None:
    found = [on.Passage("a.md", "A", f"Text {at}.", at, at + 7, 0.9) for at in range(3)]

    @on.tool
    def search(query: str) -> list[on.Passage]:
        """Searches."""
        return found[:2] if query == "one" else found[1:]

    model = ByTurn(*[calls(("search", {"query": each})) for each in ("one", "two", "one")], "Done.")
    outcome = on.Agent(model, tools=[search]).run("Look")
    assert isinstance(outcome, on.Done)
    numbers = [re.findall(r'number="(\d+)"', each.text) for each in results_of(outcome.messages)]
    assert numbers == [["1", "2"], ["2", "3"], ["1", "2"]]
    same = on.Agent(ByTurn(calls(("search", {"query": "one"}))), tools=[search]).run("Look")
    assert isinstance(same, on.Stopped) and same.reason == "repeats"


def test_what_was_not_made_is_on_record() -> None:
    model = ByTurn(calls(("order_status", {"order": 1}), ("lokup", {})), "Sorry.")
    with on.recording() as run:
        on.Agent(model, tools=[order_status]).run("Look")
    (noted,) = [each for each in run.records if each.name == "failures"]
    assert noted.input["calls"] == [["order_status", '{"order": 1}'], ["lokup", "{}"]]
    assert "There is no such tool" in noted.output[1]["failure"]


def test_a_model_that_declines_stops_it() -> None:
    declined = Completion(text_message("assistant", "I will not."), "m", finish="refused")
    outcome = on.Agent(ByTurn(declined)).run("Do evil")
    assert isinstance(outcome, on.Stopped)
    assert (outcome.reason, outcome.said) == ("refused", "I will not.")


# -- other agents, plans, conversations -----------------------------------------------------------


def test_an_agent_is_a_tool_of_another_and_shares_its_limits() -> None:
    inner = on.Agent(
        ByTurn(calls(ASK), "It is late."),
        tools=[order_status],
        name="tracker",
        description="Finds.",
    )
    model = ByTurn(calls(("tracker", {"task": "Where is 17?"})), "Late, they say.")
    with on.recording() as run:
        outcome = on.Agent(model, tools=[inner], name="boss").run("Find 17")
    assert isinstance(outcome, on.Done) and outcome.value == "Late, they say."
    assert [each.name for each in run.records if each.kind == "flow"] == ["tracker", "boss"]
    assert model.requests[0].tools[0].description == "Finds."
    few = on.Agent(model, tools=[inner], name="boss", limits=on.Limits(steps=2)).run("Find 17")
    assert isinstance(few, on.Stopped) and few.reason == "steps"


def test_a_sub_agent_waits_for_a_person_through_its_boss() -> None:
    inner = shop(calls(PAY), "Refunded.")
    boss = on.Agent(ByTurn(calls(("support", {"task": "Refund 17"})), "Done."), tools=[inner])
    paused = boss.run("Go")
    assert isinstance(paused, on.Paused) and made == []
    outcome = paused.resume.run({paused.requests[0].id: "approve"})
    assert isinstance(outcome, on.Done) and made == ["17"]


def test_flows_and_plain_functions_are_tools() -> None:
    @on.flow
    async def twice(number: int) -> int:
        """Doubles."""
        return number * 2

    def thrice(number: int) -> int:
        """Triples."""
        return number * 3

    model = ByTurn(calls(("twice", {"number": 2}), ("thrice", {"number": 2})), "Done.")
    outcome = on.Agent(model, tools=[twice, thrice]).run("Go")
    assert isinstance(outcome, on.Done)
    assert [each.text for each in results_of(outcome.messages)] == ["4", "6"]


def test_it_keeps_a_plan() -> None:
    tasks = [{"title": "Look", "state": "done"}, {"title": "Refund"}]
    model = ByTurn(calls(("plan", {"tasks": tasks})), "Planned.")
    outcome = on.Agent(model, plan=True).run("Go")
    assert isinstance(outcome, on.Done)
    (result,) = results_of(outcome.messages)
    assert result.text == "[x] Look\n[ ] Refund\n1 of 2 are left."


def test_a_session_is_remembered_and_nobody_elses() -> None:
    def words(request: Request) -> str:
        return " | ".join(each.text for each in request.messages)

    agent = on.Agent(ByTurn(words), name="chat")
    with on.context(user="ann"):
        agent.run("I am Ann.", session="s-1")
        second: Any = agent.run("Who am I?", session="s-1")
    assert second.value == "I am Ann. | I am Ann. | Who am I?"
    with on.context(user="bob"):
        other: Any = agent.run("Who is it?", session="s-1")
    nobody: Any = agent.run("Who is it?", session="s-1")
    assert other.value == nobody.value == "Who is it?"
    elsewhere: Any = agent.run("Go on.", history=second.messages)
    assert elsewhere.value.startswith("I am Ann. | I am Ann.")


def test_a_long_conversation_is_summed_up() -> None:
    @on.tool
    def read(page: int) -> str:
        """Reads a page."""
        return f"Page {page}. " + "words " * 300

    def reply(request: Request) -> str | Completion:
        if not request.tools:
            return "The pages are about words."
        pages = sum(each.role == "assistant" for each in request.messages)
        if any("about words" in each.text for each in request.messages):
            return "All read."
        return calls(("read", {"page": pages}))

    model = ByTurn(reply)
    agent = on.Agent(model, tools=[read], memory=on.Memory(tokens=1500, keep=1))
    with on.recording() as run:
        outcome = agent.run("Read all pages, please.")
    assert isinstance(outcome, on.Done) and outcome.value == "All read."
    assert "sum_up_conversation" in [each.name for each in run.records]
    last = model.requests[-1].messages
    assert last[0].role == "system" and last[1].text.startswith("Summary of our conversation")
    assert last[2].text == "Read all pages, please."
    sizes = [sum(len(part.text) for part in results_of(each.messages)) for each in model.requests]
    assert max(sizes) < 4 * 1500


# -- what cannot be an agent ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tools": [order_status, order_status]}, "two tools have the name 'order_status'"),
        ({"tools": [3]}, "3 is no tool"),
        ({"tools": order_status}, "tools are several"),
        ({"limits": 3}, "limits=3 cannot be"),
        ({"memory": 3}, "memory=3 cannot be"),
        ({"bounds": (1, 2, 3)}, r"bounds=\(1, 2, 3\) cannot be"),
        ({"instructions": 3}, "instructions=3"),
        ({"description": None}, "description=None"),
        ({"repairs": -1}, "repairs=-1"),
        ({"name": "my agent"}, "no name of an agent"),
        ({"speaks": "french"}, "speaks='french'"),
        ({"memory": None, "parameters": {"temprature": 0}}, "temprature"),
    ],
)
def test_what_cannot_be_an_agent_is_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        on.Agent(ByTurn("Hi."), **options)


def test_words_and_nothing_else_are_a_task() -> None:
    agent: Any = on.Agent(ByTurn("Hi."))
    with pytest.raises(UsageError, match="an agent is given words"):
        agent.run({"question": 1})
    with pytest.raises(UsageError, match="too little"):
        on.Memory(tokens=3)
    for bounds in ({"concurrent": 0}, {"seconds": float("nan")}, {"characters": "9"}):
        with pytest.raises(UsageError, match="bounds nothing"):
            Bounds(**bounds)


def test_an_agent_can_be_evaluated() -> None:
    agent = on.Agent(ByTurn(calls(ASK), "It is late."), tools=[order_status])
    dataset = on.Dataset([on.Case("1", "Where is 17?", "It is late.")])
    report = on.evaluate.run(agent, dataset, [on.scorers.exact_match])
    assert report.measures["exact_match"].mean == 1.0
    (trial,) = report
    assert trial.output == "It is late."
