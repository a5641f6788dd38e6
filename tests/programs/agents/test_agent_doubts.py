"""Agents, with models and people who do not do what is expected of them."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

import onrecord as on
from onrecord.errors import LimitError
from onrecord.messages import Completion, Message, ToolCall, ToolResult, text_message
from onrecord.models.model import Request
from tests.programs.agents.scripts import ByTurn, calls

SECRET = "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0" * 2

made: list[Any] = []


@pytest.fixture(autouse=True)
def _clean(project: Path) -> None:
    made.clear()


@on.tool(approve=True, idempotent=False)
async def send(to: str, body: str = "") -> str:
    """Send a mail."""
    made.append((to, body))
    return f"sent to {to}"


@on.tool
async def look(at: int = 0) -> int:
    """Looks."""
    made.append(at)
    return at


class Moody:
    """Gives the next of its replies, whatever it is asked."""

    name, version = "scripted:moody", "1"
    structures = ("tool", "prompted")

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)

    async def stream(self, request: Request) -> Any:
        reply = self.replies.pop(0)
        if isinstance(reply, str):
            reply = Completion(text_message("assistant", reply), self.name, cost=0)
        yield reply


def results_of(messages: tuple[Message, ...]) -> list[ToolResult]:
    return [part for each in messages for part in each.parts if isinstance(part, ToolResult)]


def shown(request: Request) -> list[str]:
    return [part.text for part in results_of(request.messages)]


# -- approval -------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["", SECRET])
def test_an_approval_holds_for_all_of_the_arguments(secret: str) -> None:
    """Two mails that begin alike, longer than a question shows, are two mails."""
    begins = secret + " " + "x" * 5000
    good = calls(("send", {"to": "ann", "body": begins + " kind regards"}), words=SECRET)
    evil = calls(("send", {"to": "ann", "body": begins + " my password is 123"}), words=SECRET)
    paused = on.Agent(Moody(good), tools=[send], name="mailer").run("Write")
    assert isinstance(paused, on.Paused)
    later = on.Agent(Moody(evil, "Done."), tools=[send], name="mailer")
    outcome = later.resume.run(paused.run, answers={paused.requests[0].id: "approve"})
    assert made == [], "what was approved was another call"
    assert isinstance(outcome, on.Paused) and outcome.requests[0].id != paused.requests[0].id


class Amount(msgspec.Struct):
    euros: int

    def __repr__(self) -> str:
        return "Amount(…)"


class Order(pydantic.BaseModel):
    key: pydantic.SecretStr
    amount: int = pydantic.Field(exclude=True)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (Amount, {"euros": 5}, {"euros": 5000}),
        (Order, {"key": "a", "amount": 5}, {"key": "a", "amount": 5000}),
        (Order, {"key": "a", "amount": 5}, {"key": "b", "amount": 5}),
        (pydantic.SecretStr, "a", "b"),
    ],
)
def test_an_approval_holds_for_what_a_value_does_not_show(kind: Any, one: Any, other: Any) -> None:
    async def paid(amount: Any) -> str:
        """Pays."""
        made.append(amount)
        return "paid"

    paid.__annotations__["amount"] = kind
    pay = on.tool(approve=True, idempotent=False)(paid)

    def paying(amount: Any) -> Completion:
        return calls(("paid", {"amount": amount}), words=SECRET)

    paused = on.Agent(Moody(paying(one)), tools=[pay], name="payer").run("Pay")
    assert isinstance(paused, on.Paused)
    later = on.Agent(Moody(paying(other), "Done."), tools=[pay], name="payer")
    outcome = later.resume.run(paused.run, answers={paused.requests[0].id: "approve"})
    assert isinstance(outcome, on.Paused) and made == []


def test_a_person_reads_all_of_a_mail_that_is_not_too_long() -> None:
    body = "word " * 200 + "and my password"
    paused = on.Agent(ByTurn(calls(("send", {"to": "a", "body": body}))), tools=[send]).run("Go")
    assert isinstance(paused, on.Paused) and "and my password" in paused.requests[0].text
    short = on.Agent(ByTurn(calls(("send", {"to": "a"}))), tools=[send]).run("Go")
    assert isinstance(short, on.Paused)
    assert short.requests[0].text == "May the agent call send(to='a', body='')?"


def test_another_amount_after_a_resume_is_asked_about_anew() -> None:
    first = calls(("send", {"to": "ann"}), words=SECRET)
    other = calls(("send", {"to": "bob"}), words=SECRET)
    paused = on.Agent(Moody(first), tools=[send], name="m").run("Write")
    assert isinstance(paused, on.Paused)
    later = on.Agent(Moody(other), tools=[send], name="m")
    outcome = later.resume.run(paused.run, answers={paused.requests[0].id: "approve"})
    assert isinstance(outcome, on.Paused) and made == []
    assert "bob" in outcome.requests[0].text
    last = on.Agent(Moody(other, "Done."), tools=[send], name="m")
    done = last.resume.run(outcome.run, answers={outcome.requests[0].id: "approve"})
    assert isinstance(done, on.Done) and made == [("bob", "")]


def test_two_equal_calls_of_one_turn_are_two_questions() -> None:
    both = calls(("send", {"to": "ann"}), ("send", {"to": "ann"}))
    agent = on.Agent(ByTurn(both, "Done."), tools=[send])
    paused = agent.run("Twice")
    assert isinstance(paused, on.Paused) and len({each.id for each in paused.requests}) == 2
    half: Any = paused.resume.run({paused.requests[1].id: "approve"})
    assert isinstance(half, on.Paused) and made == []
    assert [each.id for each in half.requests] == [paused.requests[0].id]
    outcome = half.resume.run({paused.requests[0].id: "deny"})
    assert isinstance(outcome, on.Done) and made == [("ann", "")]


def test_what_was_denied_is_asked_about_again() -> None:
    again = calls(("send", {"to": "ann"}))
    agent = on.Agent(ByTurn(again, again, "Done."), tools=[send])
    outcome: Any = agent.run("Write")
    outcome = outcome.resume.run({outcome.requests[0].id: "deny"})
    assert isinstance(outcome, on.Paused) and made == []
    outcome = outcome.resume.run({outcome.requests[0].id: "approve"})
    assert isinstance(outcome, on.Done) and made == [("ann", "")]


def test_an_argument_left_out_has_its_default_when_it_is_decided_who_approves() -> None:
    @on.tool(approve=lambda euros: euros > 50)
    async def pay(euros: int = 100) -> str:
        """Pays."""
        made.append(euros)
        return "paid"

    paused = on.Agent(ByTurn(calls(("pay", {})), "Done."), tools=[pay]).run("Pay")
    assert isinstance(paused, on.Paused) and made == []
    assert paused.requests[0].text == "May the agent call pay(euros=100)?"


def test_a_call_beside_one_that_waits_is_made_once() -> None:
    both = calls(("send", {"to": "ann"}), ("look", {"at": 1}))
    paused = on.Agent(ByTurn(both, "Done."), tools=[send, look]).run("Go")
    assert isinstance(paused, on.Paused)
    outcome = paused.resume.run({paused.requests[0].id: "approve"})
    assert isinstance(outcome, on.Done) and sorted(map(str, made)) == ["('ann', '')", "1"]


def test_a_sub_agent_called_twice_in_one_turn_waits_twice() -> None:
    inner = on.Agent(ByTurn(calls(("send", {"to": "ann"})), "Sent."), tools=[send], name="mailer")
    task = ("mailer", {"task": "Write to ann"})
    boss = on.Agent(ByTurn(calls(task, task), "Done."), tools=[inner], name="boss")
    paused = boss.run("Go")
    assert isinstance(paused, on.Paused) and len(paused.requests) == 2 and made == []
    one, other = paused.requests
    outcome = paused.resume.run({one.id: "approve", other.id: "deny"})
    assert isinstance(outcome, on.Done) and made == [("ann", "")]


def test_a_task_that_is_not_wholly_on_record_can_be_given_again() -> None:
    agent = on.Agent(ByTurn(calls(("send", {"to": "ann"})), "Sent."), tools=[send], name="mailer")
    text = f"Write to ann with {SECRET}"
    paused = agent.run(text)
    assert isinstance(paused, on.Paused)
    answers = {paused.requests[0].id: "approve"}
    outcome = agent.resume.run(paused.run, answers=answers, given={"text": text})
    assert isinstance(outcome, on.Done) and made == [("ann", "")]


# -- limits ---------------------------------------------------------------------------------------


def test_the_limits_of_a_boss_are_not_those_of_its_agents() -> None:
    """Equal limits, the default ones above all, are still two budgets."""
    inner = on.Agent(
        ByTurn(*[calls(("look", {"at": at})) for at in range(30)]),
        tools=[look],
        name="worker",
    )
    model = ByTurn(calls(("worker", {"task": "Work"})), "Done.")
    with on.recording() as run:
        outcome = on.Agent(model, tools=[inner], name="boss").run("Go")
    assert isinstance(outcome, on.Stopped) and outcome.reason == "steps" and outcome.turns == 0
    worker = next(each for each in run.records if each.kind == "flow" and each.name == "worker")
    assert worker.state == "failed", "it was its boss who ran out of steps"


def test_a_budget_of_equal_limits_around_it_is_not_its_own() -> None:
    limits = on.Limits(steps=2)
    agent = on.Agent(ByTurn(calls(("look", {}))), tools=[look], limits=limits)
    with on.budget(limits), pytest.raises(LimitError, match="2 steps"):
        agent.run("Go")


@pytest.mark.parametrize("limits", [on.Limits(calls=1), on.Limits(steps=1)])
def test_a_limit_inside_of_a_tool_is_the_tools_failure(limits: on.Limits) -> None:
    inner = on.Agent(ByTurn("Hello."), name="inner")

    @on.tool
    async def frugal() -> str:
        """Asks a model twice, and may once."""
        with on.budget(limits):
            await inner("Hi")
            await inner("Hi")
        return ""

    model = ByTurn(calls(("frugal", {})), lambda request: shown(request)[-1])
    outcome = on.Agent(model, tools=[frugal]).run("Go")
    assert isinstance(outcome, on.Done) and "budget" in outcome.value


def test_a_kept_budget_ends_a_run_and_is_not_its_own() -> None:
    agent = on.Agent(ByTurn(calls(("look", {}))), tools=[look])
    with on.budget(on.Limits(calls=1), key="k"), pytest.raises(LimitError):
        agent.run("Go")

    @on.tool
    async def frugal() -> str:
        """Asks a model twice, and may once."""
        with on.budget(on.Limits(calls=1), key="other"):
            await on.Agent(ByTurn("Hello."), name="inner")("Hi")
            await on.Agent(ByTurn("Hello."), name="inner")("Hi")
        return ""

    model = ByTurn(calls(("frugal", {})), lambda request: shown(request)[-1])
    outcome = on.Agent(model, tools=[frugal]).run("Go")
    assert isinstance(outcome, on.Done) and "other" in outcome.value


def test_agents_at_once_share_their_boss_steps() -> None:
    inner = on.Agent(
        ByTurn(*[calls(("look", {"at": at})) for at in range(30)]), tools=[look], name="worker"
    )
    tasks = [("worker", {"task": f"Work {at}"}) for at in range(4)]
    model = ByTurn(calls(*tasks), "Done.")
    outcome = on.Agent(model, tools=[inner], name="boss", limits=on.Limits(steps=9)).run("Go")
    assert isinstance(outcome, on.Stopped) and outcome.reason == "steps" and len(made) <= 8


def test_seconds_that_end_beside_calls_at_once() -> None:
    @on.tool
    async def wait(at: int) -> int:
        """Waits."""
        try:
            await asyncio.sleep(0.03 if at else 30)
        finally:
            made.append(at)
        return at

    @on.tool
    async def ask() -> str:
        """Asks a model that takes long."""
        return str(await on.Agent(Slow(), name="slow")("Hi"))

    class Slow:
        name, version, structures = "scripted:slow", "1", ("tool",)

        async def stream(self, request: Request) -> Any:
            await asyncio.sleep(30)
            yield Completion(text_message("assistant", "late"), self.name)

    wanted = calls(("wait", {"at": 0}), ("ask", {}), ("wait", {"at": 1}))
    limits = on.Limits(seconds=0.3)
    outcome = on.Agent(ByTurn(wanted), tools=[wait, ask], limits=limits).run("Go")
    assert isinstance(outcome, on.Stopped) and outcome.reason == "seconds"
    assert sorted(made) == [0, 1]


def test_seconds_hold_for_tools_that_ask_no_model() -> None:
    @on.tool
    async def waits() -> None:
        """Waits."""
        await asyncio.sleep(1000)

    limits = on.Limits(seconds=0.1)
    outcome = on.Agent(ByTurn(calls(("waits", {}))), tools=[waits], limits=limits).run("Go")
    assert isinstance(outcome, on.Stopped) and outcome.reason == "seconds"


def test_what_must_not_happen_twice_is_not_broken_off() -> None:
    @on.tool(idempotent=False)
    async def pay() -> str:
        """Pays."""
        await asyncio.sleep(0.2)
        made.append("paid")
        return "paid"

    limits = on.Limits(seconds=0.1)
    outcome = on.Agent(ByTurn(calls(("pay", {}))), tools=[pay], limits=limits).run("Go")
    assert isinstance(outcome, on.Stopped) and outcome.reason == "seconds"
    assert made == ["paid"] and [each.text for each in results_of(outcome.messages)] == ["paid"]


@pytest.mark.parametrize("wrap", [on.cached, lambda model: on.fallback(model, "scripted:echo")])
def test_what_wrapped_models_took_is_counted_after_a_resume(wrap: Any) -> None:
    model = wrap(ByTurn(*[calls(("send", {"to": str(at)})) for at in range(9)]))
    agent = on.Agent(model, tools=[send], limits=on.Limits(calls=3), speaks="native")
    outcome: Any = agent.run("Write to all")
    while isinstance(outcome, on.Paused):
        outcome = outcome.resume.run({outcome.requests[0].id: "approve"})
    assert outcome.reason == "calls" and len(made) == 3


@pytest.mark.parametrize("limits", [on.Limits(steps=6), on.Limits(calls=6)])
def test_what_a_sub_agent_took_is_counted_after_a_resume(limits: on.Limits) -> None:
    three = calls(("look", {"at": 1})), calls(("look", {"at": 2})), "Done."
    inner = on.Agent(ByTurn(*three), tools=[look], name="inner")
    both = [calls(("inner", {"task": str(at)})) for at in range(9)]
    turns = [each for at in range(9) for each in (both[at], calls(("send", {"to": str(at)})))]
    agent = on.Agent(ByTurn(*turns), tools=[inner, send], limits=limits, name="boss")
    outcome: Any = agent.run("Work")  # 1 + 3 + 1 turns, then a person
    assert isinstance(outcome, on.Paused)
    outcome = outcome.resume.run({outcome.requests[0].id: "approve"})  # the sixth, and no more
    assert isinstance(outcome, on.Stopped)
    assert outcome.reason == ("steps" if limits.steps else "calls")


# -- what failed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("idempotent", [True, False])
def test_what_a_model_was_told_of_a_failure_stays_so_after_a_resume(idempotent: bool) -> None:
    @on.tool(idempotent=idempotent)
    async def charge(euros: int) -> str:
        """Charges."""
        made.append(euros)
        raise RuntimeError(f"no money, try {len(made)}")

    model = ByTurn(
        calls(("charge", {"euros": 3}), ("look", {"at": 9})),
        calls(("send", {"to": "ann"})),
        calls(("charge", {"euros": 3})),
        calls(("send", {"to": "bob"})),
        "Done.",
    )
    agent = on.Agent(model, tools=[charge, look, send])
    paused: Any = agent.run("Go")
    again: Any = paused.resume.run({paused.requests[0].id: "approve"})
    assert isinstance(again, on.Paused) and [each.kind for each in again.requests] == ["answer"]
    outcome: Any = again.resume.run({again.requests[0].id: "approve"})
    assert isinstance(outcome, on.Done)
    assert made == [3, 9, ("ann", ""), 3, ("bob", "")] and len(model.requests) == 5
    failures = [each.text for each in results_of(outcome.messages) if each.failed]
    assert failures == ["RuntimeError: no money, try 1", "RuntimeError: no money, try 4"]


def test_a_very_long_failure_is_the_same_after_a_resume() -> None:
    @on.tool
    async def fails() -> str:
        """Fails."""
        raise RuntimeError("no " * 20_000)

    model = ByTurn(calls(("fails", {}), ("look", {})), calls(("send", {"to": "ann"})), "Done.")
    paused = on.Agent(model, tools=[fails, look, send]).run("Go")
    assert isinstance(paused, on.Paused)
    outcome = paused.resume.run({paused.requests[0].id: "approve"})
    assert isinstance(outcome, on.Done) and len(model.requests) == 3


def test_a_failure_is_that_of_its_call_and_of_no_other() -> None:
    """The model's answer is not wholly on record; asked again, it calls something else."""

    @on.tool
    async def fails(at: int) -> str:
        """Fails, the first time."""
        made.append(at)
        if len(made) == 1:
            raise RuntimeError("no")
        return f"fine {at}"

    first = calls(("fails", {"at": 1}), words=SECRET)
    agent = on.Agent(Moody(first, calls(("send", {"to": "a"}))), tools=[fails, send], name="m")
    paused = agent.run("Go")
    assert isinstance(paused, on.Paused)
    other = calls(("fails", {"at": 2}), words=SECRET)
    later = on.Agent(Moody(other, calls(("send", {"to": "b"}))), tools=[fails, send], name="m")
    again: Any = later.resume.run(paused.run, changed="repeat")
    assert isinstance(again, on.Paused) and made == [1, 2] and "'b'" in again.requests[0].text


# -- conversations --------------------------------------------------------------------------------


class Reply(msgspec.Struct):
    text: str


def dangling(messages: tuple[Message, ...]) -> set[str]:
    """Calls that nothing answers: servers refuse such a conversation."""
    wanted = {part.id for each in messages for part in each.parts if isinstance(part, ToolCall)}
    return wanted - {each.id for each in results_of(messages)}


def test_a_typed_answer_can_be_gone_on_with() -> None:
    done = on.Agent(ByTurn(calls(("answer", {"text": "Hi."}))), output=Reply).run("Hi")
    assert isinstance(done, on.Done) and not dangling(done.messages)
    stopped = on.Agent(ByTurn(calls(("answer", {"txt": 1}))), output=Reply).run("Hi")
    assert isinstance(stopped, on.Stopped) and not dangling(stopped.messages)


def test_a_session_passes_over_what_is_no_agent() -> None:
    @on.flow
    async def chat(text: str) -> str:
        return text

    agent = on.Agent(
        ByTurn(lambda request: " | ".join(e.text for e in request.messages)), name="chat"
    )
    agent.run("One", session="s")
    with on.context(session="s"):
        chat.run("I am no agent")
    outcome: Any = agent.run("Two", session="s")
    assert outcome.value == "One | One | Two"


def test_a_session_goes_on_behind_a_run_that_stopped_or_waits() -> None:
    agent = on.Agent(
        ByTurn(calls(("look", {"at": 1}), words="I look."), calls(("look", {"at": 2}))),
        tools=[look],
        limits=on.Limits(steps=1),
        name="chat",
    )
    stopped = agent.run("One", session="s")
    assert isinstance(stopped, on.Stopped)
    outcome: Any = agent.run("Two", session="s")
    assert [each.text for each in outcome.messages if each.role == "user"] == ["One", "Two"]
    waiting = on.Agent(ByTurn(calls(("send", {"to": "a"})), "Sent."), tools=[send], name="chat")
    paused = waiting.run("Three", session="t")
    assert isinstance(paused, on.Paused)
    again: Any = waiting.run("Four", session="t")
    assert isinstance(again, on.Paused) or [e.text for e in again.messages if e.role == "user"] == [
        "Four"
    ]


# -- native calls ---------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["", "same"])
def test_calls_that_cannot_be_told_apart_get_ids(id: str) -> None:
    wanted = tuple(ToolCall(id, "look", json.dumps({"at": at})) for at in (1, 2))
    both = Completion(Message("assistant", wanted), "m", finish="tool_calls", cost=0)
    outcome = on.Agent(ByTurn(both, "Done."), tools=[look]).run("Go")
    assert isinstance(outcome, on.Done) and not dangling(outcome.messages)
    ids = [each.id for each in results_of(outcome.messages)]
    assert all(ids) and len(set(ids)) == 2


@pytest.mark.parametrize("arguments", ["", " ", "null", "{}"])
def test_no_arguments_are_none(arguments: str) -> None:
    outcome = on.Agent(ByTurn(calls(("look", arguments)), "Done."), tools=[look]).run("Go")
    assert isinstance(outcome, on.Done) and made == [0]


def test_names_that_no_tool_can_have_do_not_go_back_to_the_server() -> None:
    wanted = (ToolCall("1", "", "{}"), ToolCall("2", "functions.look", "{}"))
    odd = Completion(Message("assistant", wanted), "m", finish="tool_calls", cost=0)
    model = ByTurn(odd, "Sorry.")
    outcome = on.Agent(model, tools=[look]).run("Go")
    assert isinstance(outcome, on.Done) and not dangling(outcome.messages)
    names = [p.name for m in outcome.messages for p in m.parts if isinstance(p, ToolCall)]
    assert names == ["unnamed", "functions_look"]
    assert "There is no such tool" in shown(model.requests[1])[0]


@pytest.mark.parametrize("ends", ["It is late.", "It is la"])
def test_an_answer_that_was_cut_off_goes_back(ends: str) -> None:
    cut = Completion(text_message("assistant", "It is la"), "m", finish="length", cost=0)
    model = ByTurn(cut, "It is late." if ends == "It is late." else cut)
    outcome = on.Agent(model, repairs=1).run("Where?")
    assert isinstance(outcome, on.Done) and (outcome.value, outcome.turns) == (ends, 2)
    assert "cut off" in model.requests[1].messages[-1].text


def test_a_hundred_calls_of_one_turn() -> None:
    many = calls(*[("look", {"at": at}) for at in range(100)])
    outcome = on.Agent(ByTurn(many, "Done."), tools=[look]).run("Go")
    assert isinstance(outcome, on.Done) and made == list(range(100))


def test_a_refused_cited_answer_is_done() -> None:
    given: dict[str, Any] = {
        "answer": None,
        "quotes": [],
        "refused": True,
        "reason": "Nothing says so.",
    }
    outcome = on.Agent(ByTurn(calls(("answer", given))), output=on.Cited[str]).run("Who?")
    assert isinstance(outcome, on.Done) and outcome.value.refused
    assert outcome.value.reason == "Nothing says so."


# -- compaction -----------------------------------------------------------------------------------


def react(*turns: Any, **options: Any) -> on.Agent[Any]:
    return on.Agent(ByTurn(*turns, structures=("prompted",)), **options)


def acting(name: str, **given: Any) -> str:
    return f"Thought: I go on.\nAction: {name}\nAction Input: {json.dumps(given)}"


@on.tool
def read(page: int) -> str:
    """Reads a page."""
    return f"Page {page}. " + "words " * 300


def summing(answer: Any) -> Any:
    def reply(request: Request) -> Any:
        if "sum" in request.messages[0].text.lower() and "conversation" in request.messages[0].text:
            return "SUMMARY"
        return answer(request)

    return reply


@pytest.mark.parametrize("speaks", ["native", "react"])
def test_a_task_stays_in_a_long_conversation(speaks: Any) -> None:
    requests: list[Request] = []

    def answer(request: Request) -> Any:
        requests.append(request)
        if len(requests) > 6:
            return "Final Answer: Read." if speaks == "react" else "Read."
        page = {"page": len(requests)}
        return acting("read", **page) if speaks == "react" else calls(("read", page))

    agent = on.Agent(
        ByTurn(summing(answer)), tools=[read], speaks=speaks, memory=on.Memory(tokens=1500, keep=1)
    )
    outcome = agent.run("THE TASK")
    assert isinstance(outcome, on.Done), outcome
    for each in requests:
        assert any(message.text == "THE TASK" for message in each.messages)


@pytest.mark.parametrize("speaks", ["native", "react"])
def test_a_result_larger_than_everything_is_cut(speaks: Any) -> None:
    @on.tool
    def much() -> str:
        """Says much."""
        return "word " * 3900

    requests: list[Request] = []

    def answer(request: Request) -> Any:
        requests.append(request)
        if len(requests) > 1:
            return "Final Answer: Read." if speaks == "react" else "Read."
        return acting("much") if speaks == "react" else calls(("much", {}))

    memory = on.Memory(tokens=1500)
    outcome = on.Agent(ByTurn(summing(answer)), tools=[much], speaks=speaks, memory=memory).run(
        "Go"
    )
    assert isinstance(outcome, on.Done)
    said = requests[-1].messages[-1]
    text = said.text or "".join(each.text for each in results_of((said,)))
    assert len(text) < 6500 and "Cut here" in text
    if speaks == "react":
        assert text.rstrip().endswith("</observation>")


def test_a_run_whose_conversation_was_summed_up_is_resumed() -> None:
    def answer(request: Request) -> Any:
        if any("sent to" in each for each in shown(request)):
            return "Done."
        if any("SUMMARY" in each.text for each in request.messages):
            return calls(("send", {"to": "ann"}))
        return calls(("read", {"page": sum(e.role == "assistant" for e in request.messages)}))

    model = ByTurn(summing(answer))
    memory = on.Memory(tokens=1500, keep=1)
    agent = on.Agent(model, tools=[read, send], memory=memory, name="reader")
    paused = agent.run("Read, then write")
    assert isinstance(paused, on.Paused)
    before = len(model.requests)
    outcome = paused.resume.run({paused.requests[0].id: "approve"})
    assert isinstance(outcome, on.Done) and made == [("ann", "")]
    assert len(model.requests) == before + 1


# -- ReAct and native, one conversation -----------------------------------------------------------


def test_a_conversation_can_change_its_dialect() -> None:
    spoken = react(acting("look", at=1), "Final Answer: 1", tools=[look]).run("Look")
    assert isinstance(spoken, on.Done)
    native = ByTurn(lambda request: "Again 1.")
    outcome: Any = on.Agent(native, tools=[look]).run("Again", history=spoken.messages)
    assert outcome.value == "Again 1." and not dangling(outcome.messages)
    told: Any = on.Agent(ByTurn(calls(("look", {"at": 7})), "7"), tools=[look]).run("Look")
    model = ByTurn(lambda request: "Final Answer: fine", structures=("prompted",))
    outcome = on.Agent(model, tools=[look], speaks="react").run("Again", history=told.messages)
    parts = [part for each in model.requests[0].messages for part in each.parts]
    assert not any(isinstance(each, ToolCall | ToolResult) for each in parts)
    assert any("Action: look" in each.text for each in model.requests[0].messages)


# -- where agents are called ----------------------------------------------------------------------


def test_who_leaves_a_stream_cancels_everything() -> None:
    ended = []

    @on.tool
    async def waits() -> None:
        """Waits."""
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(1)

    inner = on.Agent(ByTurn(calls(("waits", {}), ("waits", {}))), tools=[waits], name="inner")
    boss = on.Agent(ByTurn(calls(("inner", {"task": "Wait"}))), tools=[inner])

    async def main() -> None:
        async def listen() -> None:
            async for _ in boss.stream("Go"):
                pass

        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(0.2)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening

    asyncio.run(main())
    assert ended == [1, 1]


def test_beside_a_running_loop_in_threads_and_in_a_plain_flow() -> None:
    agent = on.Agent(ByTurn(calls(("look", {})), "Done."), tools=[look])

    async def beside() -> Any:
        return agent.run("Go")

    @on.flow
    def plain() -> Any:
        outcome = agent.run("Go")
        return outcome.value if isinstance(outcome, on.Done) else None

    outcomes = [asyncio.run(beside())]
    threads = [threading.Thread(target=lambda: outcomes.append(agent.run("Go"))) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.value for each in outcomes] == ["Done."] * 5 and plain.run() == "Done."


def test_a_thousand_at_once() -> None:
    agent = on.Agent(ByTurn(calls(("look", {})), "Done."), tools=[look])

    async def main() -> list[Any]:
        return await asyncio.gather(*(agent(f"Go {at}") for at in range(1000)))

    outcomes = asyncio.run(main())
    assert {each.value for each in outcomes} == {"Done."}
    assert len({each.run for each in outcomes}) == 1000


class Desk:
    agent = on.Agent(ByTurn("Hi."), name="desk")


def test_an_agent_as_an_attribute_of_a_class_is_no_method() -> None:
    outcome = Desk().agent.run("Hi")
    assert isinstance(outcome, on.Done) and Desk().agent is Desk.agent


def test_the_run_of_a_sub_agent_is_its_boss_run_also_when_it_is_resumed() -> None:
    inner = on.Agent(ByTurn("Hi."), name="inner")
    runs: list[str] = []

    @on.flow
    async def desk() -> Any:
        runs.append((await inner("Hi")).run)
        return await on.pause("Well?")

    with pytest.raises(on.PausedError) as paused:
        desk.run()
    answers = {paused.value.questions[0].id: 1}
    assert desk.resume.run(paused.value.run, answers=answers) == 1
    assert runs == [paused.value.run] * 2
