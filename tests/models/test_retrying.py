"""`retry`: one budget of attempts and seconds, only where it helps, nothing streamed twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.calling import Operation
from onrecord.errors import (
    LimitError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
    UsageError,
)
from onrecord.messages import Completion, Result, TextDelta, text_message
from onrecord.models.calling import complete
from onrecord.models.http.failures import note
from onrecord.models.model import Event, Request
from onrecord.models.openai.api import OpenAIModel
from onrecord.models.wrappers.retrying import _wait
from onrecord.records.scope import recording
from tests.models.virtual_time import VIRTUAL, now
from tests.servers.model_server import failed, serving, stream

pytestmark = pytest.mark.anyio

HELLO = Request((text_message("user", "Hello?"),))


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL


def busy(retry_after: float | None = None) -> ModelUnavailableError:
    error = ModelUnavailableError("the server is busy", where="scripted:test", cure="Wait.")
    return note(error, sent=False, retry_after=retry_after)


class Breaking:
    """Breaks its stream after some words, so often; then answers."""

    name, version = "scripted:breaking", "1"

    def __init__(self, times: int) -> None:
        self.times = times
        self.asked = 0

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        self.asked += 1
        yield TextDelta("Hello ")
        if self.asked <= self.times:
            raise ModelUnavailableError("the connection broke", where=self.name)
        yield TextDelta("Ada.")
        yield Completion(text_message("assistant", "Hello Ada."), self.name)


@Operation
async def asking(model: Any, request: Request = HELLO) -> Completion:
    return await complete(model, request)


async def heard(model: Any) -> tuple[list[str], Completion | ModelError]:
    words: list[str] = []
    try:
        async for event in asking.stream(model):
            if isinstance(event, TextDelta):
                words.append(event.text)
            elif isinstance(event, Result):
                return words, event.value
    except ModelError as error:
        return words, error
    raise AssertionError("a stream without an end")


async def test_each_attempt_is_a_record_with_its_error() -> None:
    model = on.Scripted([busy(), busy(), "Hello."])
    with recording() as run:
        completion = await complete(on.retry(model), HELLO)
    assert completion.text == "Hello."
    first, second, third, whole = run.records
    assert [each.state for each in run.records] == ["failed", "failed", "done", "done"]
    assert "the server is busy" in (first.error or "")
    assert [each.tags for each in run.records] == [(), ("retry",), ("retry",), ()]
    assert {each.parent for each in (first, second, third)} == {whole.id}
    assert whole.name == "retry:scripted:test" and whole.cost == 0 and not whole.usage.output


async def test_the_attempts_are_counted() -> None:
    model = on.Scripted([busy(retry_after=5)] * 9)
    with pytest.raises(ModelUnavailableError) as raised:
        await complete(on.retry(model, attempts=3), HELLO)
    assert len(model.requests) == 3
    assert "the server is busy; asked 3 times" in str(raised.value)
    assert raised.value.retry_after == 5 and not raised.value.sent


@pytest.mark.parametrize("error", [ModelRefusedError("no such model"), ModelError("no end")])
async def test_what_would_not_help_is_not_done(error: ModelError) -> None:
    model = on.Scripted([error, "Hello."])
    with pytest.raises(type(error), match=error.what):
        await complete(on.retry(model), HELLO)
    assert len(model.requests) == 1


async def test_a_server_is_waited_for_as_long_as_it_asks() -> None:
    began = now()
    await complete(on.retry(on.Scripted([busy(retry_after=120), "Hello."])), HELLO)
    assert 120 <= now() - began <= 132


async def test_a_wait_that_is_too_long_is_not_begun() -> None:
    model, began = on.Scripted([busy(retry_after=3600), "Hello."]), now()
    with pytest.raises(ModelUnavailableError, match=r"and retry has 60\.0 left of its 60"):
        await complete(on.retry(model, seconds=60), HELLO)
    assert now() == began and len(model.requests) == 1
    await complete(on.retry(on.Scripted([busy(retry_after=3600), "Hello."]), seconds=None), HELLO)
    assert now() - began >= 3600


async def test_an_attempt_that_hangs_is_ended_with_the_seconds() -> None:
    class Hanging(on.Scripted):
        async def stream(self, request: Request) -> AsyncIterator[Event]:
            self.requests.append(request)
            await asyncio.Event().wait()
            yield TextDelta("never")

    model, began = Hanging("x"), now()
    with recording() as run, pytest.raises(ModelUnavailableError, match="within 30 seconds; asked"):
        await complete(on.retry(model, seconds=30), HELLO)
    assert now() - began == pytest.approx(30) and len(model.requests) == 1
    attempt, whole = run.records
    assert attempt.error == "cancelled" and "30 seconds" in (whole.error or "")


@given(st.integers(1, 2000))
def test_waits_double_up_to_a_bound_and_are_jittered(number: int) -> None:
    longest = min(30.0, 0.5 * 2 ** min(number - 1, 10))
    assert longest / 2 <= _wait(number, None) <= longest


@given(st.integers(1, 100), st.floats(0, 1e6))
def test_a_wait_is_never_shorter_than_asked_for(number: int, asked: float) -> None:
    assert asked <= _wait(number, asked) <= 1.1 * asked + 1e-9


async def test_every_attempt_reserves_for_itself() -> None:
    model = on.Scripted([busy()] * 9)
    with on.budget(on.Limits(calls=2)) as budget, pytest.raises(LimitError):
        await complete(on.retry(model, attempts=5), HELLO)
    assert len(model.requests) == budget.spent().calls == 2


async def test_waiting_counts_against_the_seconds_around() -> None:
    model = on.Scripted([busy(retry_after=500), "Hello."])
    with on.budget(on.Limits(seconds=100)), pytest.raises(LimitError, match="100 seconds"):
        await complete(on.retry(model), HELLO)
    assert len(model.requests) == 1


async def test_words_that_were_passed_on_are_not_passed_on_again() -> None:
    model = Breaking(times=1)
    words, error = await heard(on.retry(model))
    assert words == ["Hello "] and model.asked == 1
    assert "a part of the answer was passed on already" in str(error)
    assert "hold=True" in str(error)


async def test_words_that_are_held_back_are_passed_on_once() -> None:
    model = Breaking(times=2)
    words, completion = await heard(on.retry(model, hold=True))
    assert words == ["Hello ", "Ada."] and model.asked == 3
    assert isinstance(completion, Completion) and completion.text == "Hello Ada."


async def test_where_nobody_listens_a_broken_stream_is_retried() -> None:
    assert (await complete(on.retry(Breaking(times=2)), HELLO)).text == "Hello Ada."


async def test_inside_of_what_is_held_back_a_broken_stream_is_retried() -> None:
    inner = Breaking(times=1)
    words, completion = await heard(on.fallback(on.retry(inner), on.Scripted("x"), hold=True))
    assert words == ["Hello ", "Ada."] and inner.asked == 2
    assert isinstance(completion, Completion) and completion.model == "scripted:breaking"


async def test_a_prompt_streams_through_it() -> None:
    @on.prompt
    async def greet(name: str) -> str:
        """Greet."""

    model = on.retry(on.Scripted([busy(), "Hello Ada."]))
    events = [event async for event in greet.using(model).stream("Ada")]
    assert "".join(each.text for each in events if isinstance(each, TextDelta)) == "Hello Ada."
    assert events[-1] == Result("Hello Ada.")


async def test_a_recorded_retry_is_replayed_without_asking() -> None:
    with on.replay("cassette.jsonl", record=True):
        await complete(on.retry(on.Scripted([busy(), "Hello."])), HELLO)
    silent = on.Scripted([busy(), "Hello."])
    with on.replay("cassette.jsonl"):
        assert (await complete(on.retry(silent), HELLO)).text == "Hello."
    assert not silent.requests


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"attempts": 1.5}, {"seconds": 0}])
async def test_a_budget_that_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        on.retry("scripted:demo", **wrong)


async def test_names_are_models() -> None:
    assert (await complete(on.retry("scripted:echo"), HELLO)).text == "Hello?"


ANSWER = stream(
    {"choices": [{"delta": {"content": "Hello "}}]},
    {"choices": [{"delta": {"content": "Ada."}, "finish_reason": "stop"}]},
)
HALF = stream({"choices": [{"delta": {"content": "Hello "}}]}, done=False, cut=True)


def later(status: int, **headers: str) -> Any:
    from tests.servers.model_server import reply

    return reply(status, {"error": {"message": "not now"}}, **headers)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_real_server_that_is_busy_and_fails() -> None:
    replies = [later(429, retry_after_ms="1"), later(500, retry_after="0"), ANSWER]
    with serving(*replies) as server, recording() as run:
        model = OpenAIModel("small", base_url=server.url, key="")
        completion = await complete(on.retry(model), HELLO)
    assert completion.text == "Hello Ada." and len(server.asked) == 3
    busy, failing, answered, _ = run.records
    assert "allows no more requests" in (busy.error or "")
    assert "status 500" in (failing.error or "") and answered.error is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_real_server_that_asks_for_an_hour() -> None:
    with serving(later(429, retry_after="3600")) as server:
        model = OpenAIModel("small", base_url=server.url, key="")
        with pytest.raises(ModelUnavailableError, match="the next attempt would be in 3"):
            await complete(on.retry(model), HELLO)
    assert len(server.asked) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_real_server_whose_quota_is_used_up_or_that_refuses() -> None:
    for refusal in (failed(429, "no", code="insufficient_quota"), failed(401, "no")):
        with serving(refusal) as server:
            model = OpenAIModel("small", base_url=server.url, key="")
            with pytest.raises(ModelRefusedError):
                await complete(on.retry(model), HELLO)
        assert len(server.asked) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("hold", [False, True])
async def test_a_real_stream_that_breaks(hold: bool) -> None:
    with serving(HALF, ANSWER) as server:
        model = OpenAIModel("small", base_url=server.url, key="")
        words, found = await heard(on.retry(model, hold=hold))
    if hold:
        assert words == ["Hello ", "Ada."] and isinstance(found, Completion)
    else:
        assert words == ["Hello "] and isinstance(found, ModelUnavailableError)
    assert len(server.asked) == (2 if hold else 1)
