"""What a call takes: on its record, in the budgets around it, whatever becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import onrecord as on
from onrecord.errors import (
    LimitError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
    SettingsError,
)
from onrecord.messages import (
    Completion,
    Media,
    Message,
    TextDelta,
    ToolSchema,
    Usage,
    text_message,
)
from onrecord.models.calling import complete, embed
from onrecord.models.extractive import best_quotation
from onrecord.models.http.failures import note
from onrecord.models.model import Event, Parameters, Request, wraps

pytestmark = pytest.mark.anyio

PRICES = """
[prices."openai:paid"]
input = 1.0
output = 10.0

[prices."openai:vectors"]
input = 0.5
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def prices(project: Path) -> None:
    (project / "onrecord.toml").write_text(PRICES)


USUAL = Usage(100, 20)
AROUND = 16 + 256  # tokens that a server may write around one message, and around all of them


class Paid:
    """A model that is paid for; it says what it is told, and then perhaps fails."""

    name = "openai:paid"
    version = "https://api.openai.com/v1"

    def __init__(self, usage: Usage = USUAL, fails: Exception | None = None) -> None:
        self.usage, self.fails = usage, fails
        self.asked: list[Parameters] = []
        self.wait = asyncio.Event()
        self.wait.set()

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        self.asked.append(request.parameters)
        yield TextDelta("some ")
        await self.wait.wait()
        if self.fails is not None:
            raise self.fails
        yield Completion(text_message("assistant", "some words"), self.name, self.usage)


def asking(text: str = "How many?", **parameters: int) -> Request:
    return Request((text_message("user", text),), Parameters(**parameters))  # type: ignore[arg-type]


async def test_a_call_is_priced() -> None:
    with on.recording() as run:
        completion = await complete(Paid(), asking())
    # 100 tokens at a dollar a million and 20 at ten dollars: 300 micro-dollars
    assert completion.cost == run.cost == 300
    assert run.records[0].usage == Usage(100, 20)
    assert run.records[0].output["cost"] == 300


async def test_a_limit_is_kept_to_before_anything_is_sent() -> None:
    model = Paid(Usage(10, 20))
    with on.budget(on.Limits(usd=0.0007)) as budget:
        await complete(model, asking("hi", max_tokens=20))
        with pytest.raises(LimitError, match="spent"):
            await complete(model, asking("hi", max_tokens=50))
    assert len(model.asked) == 1
    assert budget.spent().cost == 210 and budget.spent().reserved_cost == 0


async def test_a_worst_case_needs_a_bound_and_gets_one() -> None:
    model = Paid()
    with on.budget(on.Limits(tokens=10_000, max_output=50)):
        await complete(model, asking())
    with on.budget(on.Limits(calls=5)):
        await complete(model, asking())
    await complete(model, asking())
    assert [asked.max_tokens for asked in model.asked] == [50, None, None]


@pytest.mark.parametrize(
    ("error", "on_record", "settled"),
    [
        (note(ModelRefusedError("no"), sent=False), 0, (0, 1)),
        (ModelError("who knows"), None, (None, 1)),
        (ModelUnavailableError("broke"), None, (None, 1)),
        (ValueError("a bug"), None, (None, 1)),
    ],
)
async def test_a_failed_call_is_counted_by_what_is_known(
    error: Exception, on_record: int | None, settled: tuple[int | None, int]
) -> None:
    request = asking(max_tokens=50)
    worst = len("How many?") + AROUND + 50 * 10
    limits = on.Limits(usd=1)
    with on.recording() as run, on.budget(limits) as budget, pytest.raises(type(error)):
        await complete(Paid(fails=error), request)
    assert run.records[0].cost == on_record
    cost, calls = settled
    assert budget.spent().cost == (worst if cost is None else cost)
    assert budget.spent().calls == calls and budget.spent().reserved_cost == 0


async def test_a_failed_call_that_said_what_it_took_is_billed_that() -> None:
    error = note(ModelRefusedError("declined"), sent=False, usage=Usage(10, 1))
    limits = on.Limits(usd=1)
    with on.recording() as run, on.budget(limits) as budget, pytest.raises(ModelError):
        await complete(Paid(fails=error), asking())
    assert run.records[0].cost == budget.spent().cost == 20
    assert run.records[0].usage == Usage(10, 1)


async def test_a_cancelled_stream_stays_spent_at_its_worst() -> None:
    model = Paid()
    model.wait.clear()
    with on.recording() as run, on.budget(on.Limits(usd=1)) as budget:
        task = asyncio.create_task(complete(model, asking(max_tokens=10)))
        while not model.asked:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert budget.spent().cost == len("How many?") + AROUND + 100
    assert run.records[0].cost is None and run.records[0].error == "cancelled"


async def test_many_at_once_never_pass_the_limit() -> None:
    model = Paid(Usage(10, 10))
    with on.budget(on.Limits(usd=0.002)) as budget:
        done = await asyncio.gather(
            *(complete(model, asking("hi", max_tokens=10)) for _ in range(100)),
            return_exceptions=True,
        )
    made = [each for each in done if isinstance(each, Completion)]
    assert 0 < len(made) < 100 and len(made) == len(model.asked)
    assert {type(each) for each in done} == {Completion, LimitError}
    assert budget.spent().cost == 110 * len(made) <= 2000


async def test_a_wrapper_is_not_paid_for_twice() -> None:
    with on.recording() as run, on.budget(on.Limits(usd=1)) as budget:
        await complete(on.cached(Paid()), asking())
        await complete(on.cached(Paid()), asking())
    assert run.cost == budget.spent().cost == 300
    assert budget.spent().calls == 1


async def test_every_attempt_counts_and_none_is_free_unless_the_error_says_so() -> None:
    model = Paid(fails=ModelError("the answer came back garbled"))
    with on.budget(on.Limits(usd=0.10, calls=2)) as budget:
        for expected in (ModelError, ModelError, LimitError):
            with pytest.raises(expected):
                await complete(model, asking())
    assert len(model.asked) == budget.spent().calls == 2 and budget.spent().cost > 80_000
    busy = Paid(fails=note(ModelUnavailableError("slow down"), sent=False))
    with on.budget(on.Limits(calls=3)) as budget:
        for expected in (ModelError, ModelError, ModelError, LimitError):
            with pytest.raises(expected):
                await complete(busy, asking())
    assert len(busy.asked) == 3 and budget.spent().calls == 3 and budget.spent().cost == 0


async def test_an_answer_that_is_never_completed_is_paid_for() -> None:
    class Endless(Paid):
        async def stream(self, request: Request) -> AsyncIterator[Event]:
            self.asked.append(request.parameters)
            for _ in range(100):
                yield TextDelta("word ")

    model = Endless()
    with on.budget(on.Limits(usd=1)) as budget, pytest.raises(ModelError, match="completing"):
        await complete(model, asking(max_tokens=50))
    assert budget.spent().cost == len("How many?") + AROUND + 500
    assert budget.spent().calls == len(model.asked) == 1


async def test_what_a_budget_sends_along_is_on_the_record() -> None:
    with on.recording() as run:
        with on.budget(on.Limits(usd=1, max_output=7)):
            await complete(Paid(), asking())
        await complete(Paid(), asking())
    bounded, free = run.records
    assert bounded.input["parameters"]["max_tokens"] == 7
    assert free.input["parameters"].get("max_tokens") is None
    assert bounded.key != free.key


async def test_a_client_under_the_name_of_wrapped_makes_no_model_free() -> None:
    class Mine(Paid):
        wrapped: object = object()

    class Several(Paid):
        wrapped = (object(), "openai:other")

    class Nothing(Paid):
        wrapped = ()

    for model in (Mine(), Several(), Nothing()):
        assert not wraps(model)
        with on.recording() as run, on.budget(on.Limits(usd=1, calls=1)) as budget:
            await complete(model, asking())
            with pytest.raises(LimitError):
                await complete(model, asking())
        assert run.cost == budget.spent().cost == 300


async def test_a_wrapper_of_ones_own_is_paid_for_once() -> None:
    class Again:
        """Asks twice."""

        def __init__(self, model: Paid) -> None:
            self.wrapped = (model,)
            self.name, self.version = f"again:{model.name}", model.version

        async def stream(self, request: Request) -> AsyncIterator[Event]:
            await complete(self.wrapped[0], request)
            yield await complete(self.wrapped[0], request)

    wrapper = Again(Paid())
    assert wraps(wrapper)
    with on.recording() as run, on.budget(on.Limits(usd=1)) as budget:
        await complete(wrapper, asking())
    assert [record.cost for record in run.records] == [300, 300, 0]
    assert run.cost == budget.spent().cost == 600 and budget.spent().calls == 2
    assert run.usage == USUAL + USUAL


async def test_a_free_server_that_counts_nothing_spends_its_worst_case() -> None:
    model = Paid(Usage())
    model.version = "http://localhost:8000/v1"  # type: ignore[misc]
    model.name = "openai:llama"  # type: ignore[misc]
    worst = len("How many?") + AROUND + 1000
    with on.budget(on.Limits(tokens=3 * worst, max_output=1000)) as budget:
        for _ in range(3):
            await complete(model, asking())
        with pytest.raises(LimitError, match="tokens"):
            await complete(model, asking())
    assert len(model.asked) == 3
    assert (budget.spent().tokens, budget.spent().cost) == (3 * worst, 0)


async def test_what_is_embedded_counts_no_tokens_and_spends_none() -> None:
    with on.budget(on.Limits(tokens=100)) as budget:
        await embed(on.embedder("embedded:minilm"), ["Leave is paid."])
    assert (budget.spent().tokens, budget.spent().calls) == (0, 1)


async def test_a_step_and_a_flow_inside_share_the_budget() -> None:
    model = Paid(Usage(10, 10))

    @on.prompt(model=model)  # type: ignore[arg-type]
    async def judge(text: str) -> str:
        """Judge it."""
        raise AssertionError

    @on.flow
    async def inner() -> str:
        return await judge("this")

    @on.flow
    async def outer() -> list[str]:
        return [await inner() for _ in range(10)]

    with on.budget(on.Limits(calls=3)) as budget, pytest.raises(LimitError, match="calls"):
        await outer()
    assert budget.spent().calls == len(model.asked) == 3


async def test_pictures_count_for_more_than_their_address() -> None:
    picture = Message("user", (Media("image/png", "https://here/x.png"),))
    with on.budget(on.Limits(tokens=48_169)), pytest.raises(LimitError, match="tokens"):
        await complete(Paid(), Request((picture,), Parameters(max_tokens=5)))


async def test_no_template_of_a_server_is_longer_than_the_worst_case() -> None:
    model = Paid(Usage(30, 1))  # "Hi", with the system message that Qwen2.5's template puts first
    with on.budget(on.Limits(tokens=1000)) as budget, pytest.raises(LimitError):
        while True:
            await complete(model, asking("Hi", max_tokens=1))
    assert budget.spent().over_tokens == 0 and budget.spent().tokens <= 1000


async def test_tools_are_part_of_the_worst_case() -> None:
    tool = ToolSchema("find", "Finds. " * 500, {"type": "object", "properties": {}})
    request = Request((text_message("user", "Hi"),), Parameters(max_tokens=1), tools=(tool,))
    with on.budget(on.Limits(tokens=3_500)):
        await complete(Paid(), asking("Hi", max_tokens=1))
        with pytest.raises(LimitError, match="tokens"):
            await complete(Paid(), request)


async def test_a_free_model_spends_tokens_and_no_money() -> None:
    with on.budget(on.Limits(usd=0.01, tokens=1000)) as budget:
        await complete(on.Scripted("one two three"), asking(max_tokens=10))
    assert budget.spent().cost == 0 and budget.spent().tokens == 5


async def test_an_unknown_price_cannot_be_limited_in_dollars() -> None:
    model = Paid()
    model.name, model.version = "openai:nobody-knows", "https://nowhere.example/v1"  # type: ignore[misc]
    with on.budget(on.Limits(usd=5)), pytest.raises(LimitError, match="price"):
        await complete(model, asking(max_tokens=5))
    assert model.asked == []
    assert (await complete(model, asking())).cost is None


class Vectors:
    name, version, dimensions, max_tokens = "openai:vectors", "https://api.openai.com/v1", 2, 10

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        return (await self.embed_counted(texts))[0]

    async def embed_counted(self, texts: Sequence[str]) -> tuple[np.ndarray, Usage]:
        return np.ones((len(texts), 2), dtype=np.float32), Usage(input=4 * len(texts))

    def tokens(self, text: str) -> list[tuple[int, int]]:
        return []


async def test_embeddings_are_on_the_bill() -> None:
    with on.recording() as run, on.budget(on.Limits(usd=1, tokens=1000)) as budget:
        await embed(Vectors(), ["one", "two"])  # type: ignore[arg-type]
        with pytest.raises(LimitError):
            await embed(Vectors(), ["x" * 2000])  # type: ignore[arg-type]
    assert run.cost == budget.spent().cost == 4
    assert run.records[0].usage == Usage(input=8) and budget.spent().tokens == 8


async def test_the_embeddings_of_a_quotation_are_on_the_bill() -> None:
    passage = on.Passage("a", "A", "Leave is paid. Work is, too.", 0, 28, 0.9)
    with on.recording() as run, on.budget(on.Limits(usd=1)) as budget:
        await best_quotation("Is leave paid?", [passage], Vectors())  # type: ignore[arg-type]
    (record,) = run.records
    assert (record.kind, record.input, record.usage) == ("embed", {"texts": 3}, Usage(input=12))
    assert budget.spent().cost == run.cost == 6


async def test_a_mistyped_price_is_told_before_anything_is_sent(project: Path) -> None:
    folder = project / "other"
    folder.mkdir()
    (folder / "onrecord.toml").write_text('[prices."openai:paid"]\nimput = 1.0\n')
    import os

    os.chdir(folder)
    model = Paid()
    with pytest.raises(SettingsError, match="imput"):
        await complete(model, asking())
    assert model.asked == []


def fenced(fence: str, words: str) -> Request:
    text = f"Summarise what stands between {fence} and {fence}: {fence} {words} {fence}"
    return Request((text_message("user", text),), fences=(fence,))


async def test_random_fences_do_not_make_an_equal_question_another_one(project: Path) -> None:
    with on.recording() as run:
        for request in (
            fenced("a1b2c3", "leave"),
            fenced("f9e8d7", "leave"),
            fenced("0a0a0a", "pay"),
        ):
            await complete(on.Scripted("Yes.", name="scripted:same"), request)
    keys = [record.key for record in run.records]
    assert keys[0] == keys[1] != keys[2]
    assert "f9e8d7" in str(run.records[1].input)


async def test_a_warning_reaches_who_asks_for_the_value_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`.run()` gives the value alone: nobody would see that every question went to both models."""

    @on.prompt
    async def greet(name: str) -> str:
        """Greet the person."""

    mute = on.Scripted("Hello.", name="scripted:without_logprobs")
    small_first = on.cascade(mute, on.Scripted("Good day.", name="scripted:dear"), accept=0.5)
    for _ in range(3):
        assert await greet.using(small_first)("Ada") == "Good day."
    told = [each.message for each in caplog.records if each.name == "onrecord"]
    assert told == [
        "scripted:dear: Escalated to scripted:dear: scripted:without_logprobs gave no"
        " log-probabilities"
    ]
