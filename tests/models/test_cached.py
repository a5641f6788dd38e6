"""`cached`: what is on record is not asked again, by nobody but its owner."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

import onrecord as on
from onrecord.errors import LimitError, ModelError, UsageError
from onrecord.messages import (
    Completion,
    Result,
    TextDelta,
    Usage,
    text_message,
)
from onrecord.models.calling import complete
from onrecord.models.model import Parameters, Request
from onrecord.models.wrappers.cached import cached
from onrecord.records.ledger import budget
from onrecord.records.limits import Limits
from onrecord.records.scope import context, recording
from onrecord.records.store import Store

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def asking(text: str, **parameters: object) -> Request:
    return Request((text_message("user", text),), Parameters(**parameters))  # type: ignore[arg-type]


def paid(text: str) -> Completion:
    return Completion(
        text_message("assistant", text), "scripted:test", Usage(input=10, output=5), cost=700
    )


class Counting(on.Scripted):
    """Counts its requests, and takes its time."""

    def __init__(self, *replies: object, wait: float = 0.0) -> None:
        super().__init__(list(replies) or (lambda request: f"echo {request.messages[-1].text}"))  # type: ignore[arg-type]
        self.wait = wait
        self.under_way = self.most_at_once = 0

    @property
    def version(self) -> str:  # type: ignore[override]
        return "1"

    async def stream(self, request: Request):  # type: ignore[no-untyped-def]
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await asyncio.sleep(self.wait)
        self.under_way -= 1
        async for event in super().stream(request):
            yield event


async def test_the_same_question_is_asked_once() -> None:
    model = Counting(paid("twenty-eight days"))
    careful = cached(model)
    with recording() as run:
        first = await complete(careful, asking("How many?"))
        second = await complete(careful, asking("How many?"))
    assert len(model.requests) == 1
    assert first.text == second.text == "twenty-eight days"
    assert (first.cost, second.cost) == (700, 0)
    assert second.usage == Usage()
    inner, miss, hit = run.records
    assert (inner.name, miss.name, hit.name) == (
        "scripted:test",
        "cached:scripted:test",
        "cached:scripted:test",
    )
    assert hit.source == inner.id and miss.source is None
    assert (inner.cost, miss.cost, hit.cost) == (700, 0, 0)
    assert run.cost == 700 and run.usage == Usage(input=10, output=5)


async def test_what_an_uncached_call_recorded_is_an_answer_too() -> None:
    model = Counting()
    await complete(model, asking("Hello?"))
    await complete(cached(model), asking("Hello?"))
    assert len(model.requests) == 1


async def test_everything_that_determines_the_answer_is_in_the_key() -> None:
    model = Counting()
    careful = cached(model)
    requests = [
        asking("a"),
        asking("b"),
        asking("a", temperature=0.5),
        asking("a", seed=1),
        Request((text_message("system", "s"), text_message("user", "a"))),
        Request((text_message("user", "a"),), schema={"type": "object"}),
        Request((text_message("user", "a"),), inputs={"passages": ["one"]}),
    ]
    for request in requests * 2:
        await complete(careful, request)
    assert len(model.requests) == len(requests)


async def test_an_answer_grows_old() -> None:
    model = Counting()
    await complete(model, asking("a"))
    await complete(cached(model, ttl=3600), asking("a"))
    assert len(model.requests) == 1
    await complete(cached(model, ttl=1e-6), asking("a"))
    assert len(model.requests) == 2


async def test_a_users_answer_is_nobody_elses() -> None:
    model = Counting()
    careful = cached(model)
    people: list[dict[str, str]] = [
        {},
        {"user": "ada"},
        {"user": "bob"},
        {"tenant": "one"},
        {"tenant": "two", "user": "ada"},
    ]
    for whose in people * 2:
        with context(**whose):  # type: ignore[arg-type]
            await complete(careful, asking("My balance?"))
    assert len(model.requests) == len(people)
    with context(user="carl"):
        await complete(cached(model, everyone=True), asking("My balance?"))
    assert len(model.requests) == len(people)


async def test_concurrent_equal_calls_are_one_request() -> None:
    model = Counting(wait=0.05)
    careful = cached(model)
    answers = await asyncio.gather(*(complete(careful, asking("a")) for _ in range(20)))
    assert len(model.requests) == 1
    assert {answer.text for answer in answers} == {"echo a"}
    assert sum(answer.usage.output for answer in answers) == 2  # one of them was asked


async def test_different_calls_do_not_wait_for_each_other() -> None:
    model = Counting(wait=0.2)
    careful = cached(model)
    await asyncio.gather(*(complete(careful, asking(str(i))) for i in range(20)))
    assert len(model.requests) == 20
    assert model.most_at_once > 1


IN_A_PROCESS = """
import asyncio, os, sys
from tests.models.test_cached import Counting, asking
from onrecord.models.wrappers.cached import cached
from onrecord.models.calling import complete

class Shared(Counting):
    async def stream(self, request):
        with open("requests", "a") as file:
            file.write("x")
        async for event in super().stream(request):
            yield event

while not os.path.exists("go"):
    pass
answer = asyncio.run(complete(cached(Shared(wait=0.3)), asking("a")))
print(answer.text)
"""


def test_concurrent_equal_calls_of_processes_are_one_request(project: Path) -> None:
    Store.open().close()
    root = Path(__file__).parent.parent.parent
    children = [
        subprocess.Popen(
            [sys.executable, "-c", IN_A_PROCESS],
            env={"PYTHONPATH": str(root), "PATH": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    (project / "go").touch()
    assert [child.communicate()[0].strip() for child in children] == ["echo a"] * 3
    assert (project / "requests").read_text() == "x"


async def test_a_failure_is_not_an_answer() -> None:
    model = Counting(ModelError("no"), paid("yes"))
    careful = cached(model)
    with pytest.raises(ModelError):
        await complete(careful, asking("a"))
    assert (await complete(careful, asking("a"))).text == "yes"


def test_a_hit_is_streamed_like_an_answer() -> None:
    @on.flow
    async def ask(question: str) -> str:
        return (await complete(cached(model), asking(question))).text

    model = Counting("one two three", "another")
    for _ in range(2):
        *events, last = list(ask.stream("a"))
        deltas = [event.text for event in events if isinstance(event, TextDelta)]
        assert deltas == ["one", " two", " three"]
        assert last == Result("one two three")
    assert len(model.requests) == 1


async def test_an_answer_that_redaction_changed_is_made_again() -> None:
    card = "4111 1111 1111 1111"
    model = Counting(paid(f"Your card is {card}."), paid(f"Your card is {card}, still."))
    careful = cached(model)
    assert card in (await complete(careful, asking("card?"))).text
    assert card in (await complete(careful, asking("card?"))).text
    assert len(model.requests) == 2


async def test_an_erased_answer_is_not_given_again() -> None:
    model = Counting()
    with context(user="ada"):
        await complete(cached(model), asking("a"))
        from onrecord.records.query import Query

        Store.open().erase(Query(user="ada"))
        await complete(cached(model), asking("a"))
    assert len(model.requests) == 2


def test_without_records_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_RECORD", "false")
    with pytest.raises(UsageError, match="the records are the cache"):
        asyncio.run(complete(cached(Counting()), asking("a")))


@pytest.mark.parametrize("ttl", [0, -1])
def test_a_ttl_is_above_zero(ttl: float) -> None:
    with pytest.raises(UsageError, match="ttl"):
        cached(Counting(), ttl=ttl)


def test_a_bare_threshold_does_not_start() -> None:
    with pytest.raises(UsageError, match="not calibrated"):
        cached(Counting(), similar=0.9)  # type: ignore[arg-type]


async def test_an_answer_that_a_budget_cut_short_is_not_the_answer_to_the_whole_question() -> None:
    def count(request: Request) -> str:
        return " ".join("one two three four five".split()[: request.parameters.max_tokens])

    careful = cached(model := Counting(count, count))
    with budget(Limits(tokens=10_000, max_output=3)):
        assert (await complete(careful, asking("count"))).text == "one two three"
    assert (await complete(careful, asking("count"))).text == "one two three four five"
    with budget(Limits(tokens=10_000, max_output=3)):
        assert (await complete(careful, asking("count"))).text == "one two three"
    assert len(model.requests) == 2


async def test_a_limit_of_seconds_holds_while_another_asks_the_same() -> None:
    model = Counting("late")
    asked, go = asyncio.Event(), asyncio.Event()
    stream = model.stream

    async def waiting(request: Request):  # type: ignore[no-untyped-def]
        asked.set()
        await go.wait()
        async for event in stream(request):
            yield event

    model.stream = waiting  # type: ignore[method-assign]
    careful = cached(model)
    first = asyncio.create_task(complete(careful, asking("a")))
    await asked.wait()
    with budget(Limits(seconds=0.2)), pytest.raises(LimitError, match="seconds"):
        await complete(careful, asking("a"))
    assert not first.done()
    go.set()
    assert (await first).text == "late"


async def test_where_there_are_no_locks_the_model_is_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    # Of this module alone: the journal has locks of its own.
    without = SimpleNamespace(**{**vars(fcntl), "flock": none, "fcntl": none})
    monkeypatch.setattr("onrecord.models.wrappers.cached.fcntl", without)
    async with asyncio.timeout(60):
        assert (await complete(cached(Counting()), asking("a"))).text == "echo a"
    assert "No locks available" in caplog.text


@pytest.mark.parametrize("ttl", ["1h", float("nan"), float("inf")])
def test_a_ttl_that_is_no_time_is_named(ttl: object) -> None:
    with pytest.raises(UsageError, match="no age"):
        cached(Counting(), ttl=ttl)  # type: ignore[arg-type]


async def test_a_store_that_cannot_be_used_costs_money_and_no_answer(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (project / "onrecord.toml").write_text('store = "postgresql://nobody@127.0.0.1:9/none"\n')
    model = Counting()
    careful = cached(model)
    for _ in range(2):
        assert (await complete(careful, asking("a"))).text == "echo a"
    assert len(model.requests) == 2
    assert caplog.text.count("without a look at the records") == 1


@pytest.mark.parametrize("finish", ["length", "unknown"])
async def test_an_answer_that_was_cut_off_is_not_given_again(finish: str) -> None:
    cut = msgspec.structs.replace(paid("twenty-"), finish=finish)
    model = Counting(cut, paid("twenty-eight days"))
    careful = cached(model)
    assert (await complete(careful, asking("How many?"))).text == "twenty-"
    for _ in range(2):
        assert (await complete(careful, asking("How many?"))).text == "twenty-eight days"
    assert len(model.requests) == 2
