"""`fallback`: the next model where one fails or refuses, each with its reason."""

from __future__ import annotations

import pytest

import onrecord as on
from onrecord.errors import (
    ContextLengthError,
    LimitError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
    UsageError,
)
from onrecord.messages import Completion, Result, Usage, text_message
from onrecord.models.calling import complete
from onrecord.models.http.failures import note
from onrecord.models.openai.api import OpenAIModel
from onrecord.records.scope import recording
from tests.models.test_retrying import ANSWER, HALF, HELLO, Breaking, heard, later
from tests.models.virtual_time import VIRTUAL
from tests.servers.model_server import serving

pytestmark = pytest.mark.anyio

DOWN = ModelUnavailableError("the server is down", where="scripted:a")
NO_KEY = ModelRefusedError("the server does not accept the key", where="scripted:a")
REFUSAL = Completion(text_message("assistant", "I cannot."), "scripted:a", Usage(), "refused", 0)


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL


def named(name: str, *replies: object) -> on.Scripted:
    return on.Scripted(list(replies), name=f"scripted:{name}")  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [DOWN, NO_KEY, ContextLengthError("too long"), ModelError("?")])
async def test_the_next_one_is_asked_and_the_reason_is_told(error: ModelError) -> None:
    model = on.fallback(named("a", error), named("b", "Hello."), named("c"))
    with recording() as run:
        completion = await complete(model, HELLO)
    assert (completion.model, completion.text) == ("scripted:b", "Hello.")
    assert completion.warnings == (f"scripted:a did not answer: {error}",)
    failed, answered, whole = run.records
    assert error.what in (failed.error or "") and failed.tags == ()
    assert answered.tags == ("fallback",) and whole.cost == 0
    assert whole.name == "fallback:scripted:a|scripted:b|scripted:c"


async def test_the_first_one_that_answers_is_the_only_one_asked() -> None:
    second = named("b", "Bye.")
    completion = await complete(on.fallback(named("a", "Hello."), second), HELLO)
    assert completion.text == "Hello." and not completion.warnings and not second.requests


async def test_a_refusal_is_no_answer_unless_it_is_the_last() -> None:
    completion = await complete(on.fallback(named("a", REFUSAL), named("b", "Hello.")), HELLO)
    assert completion.warnings == ("scripted:a refused to answer: I cannot.",)
    last = await complete(on.fallback(named("a", DOWN), named("b", REFUSAL)), HELLO)
    assert last.finish == "refused" and len(last.warnings) == 1


async def test_where_none_answers_every_reason_is_told() -> None:
    wait = note(ModelUnavailableError("busy", where="scripted:b"), retry_after=7)
    with pytest.raises(ModelUnavailableError) as raised:
        await complete(on.fallback(named("a", NO_KEY), named("b", wait)), HELLO)
    told = str(raised.value)
    assert "none of 2 models answered" in told
    assert "scripted:a did not answer: the server does not accept the key" in told
    assert "scripted:b did not answer: busy" in told and raised.value.retry_after == 7
    with pytest.raises(ModelRefusedError):
        await complete(on.fallback(named("a", NO_KEY), named("b", NO_KEY)), HELLO)
    with pytest.raises(ModelUnavailableError):
        await complete(on.fallback(named("a", REFUSAL), named("b", DOWN)), HELLO)


async def test_all_of_it_can_be_retried() -> None:
    model = on.retry(on.fallback(named("a", DOWN, DOWN), named("b", DOWN, "Hello.")))
    assert (await complete(model, HELLO)).text == "Hello."


async def test_a_budget_counts_every_one_that_was_asked() -> None:
    with on.budget(on.Limits(calls=2)) as budget, pytest.raises(LimitError):
        models = named("a", DOWN), named("b", DOWN), named("c", "Hello.")
        await complete(on.fallback(*models), HELLO)
    assert budget.spent().calls == 2


async def test_nothing_is_streamed_twice() -> None:
    second = named("b", "Hello Bob.")
    words, error = await heard(on.fallback(Breaking(times=1), second))
    assert words == ["Hello "] and not second.requests
    assert isinstance(error, ModelUnavailableError) and "hold=True" in str(error)
    words, completion = await heard(on.fallback(Breaking(times=1), second, hold=True))
    assert "".join(words) == "Hello Bob." and isinstance(completion, Completion)


async def test_a_refusal_in_words_is_held_back_or_is_the_answer() -> None:
    words, completion = await heard(on.fallback(named("a", REFUSAL), named("b", "Hi.")))
    assert isinstance(completion, Completion) and completion.finish == "refused"
    assert "".join(words) == "I cannot."
    words, completion = await heard(on.fallback(named("a", REFUSAL), named("b", "Hi."), hold=True))
    assert words == ["Hi."]


async def test_its_version_is_that_of_its_models() -> None:
    one, other = on.fallback(named("a", "1"), named("b")), on.fallback(named("a", "2"), named("b"))
    assert one.version != other.version


async def test_one_model_has_nothing_to_fall_back_to() -> None:
    with pytest.raises(UsageError, match="needs a model to fall back to"):
        on.fallback("scripted:demo")
    with pytest.raises(UsageError, match=r"Unpack it: on\.fallback\(\*models\)"):
        on.fallback(["scripted:demo", "scripted:echo"])  # type: ignore[arg-type]  # that is the test


async def test_a_typed_prompt_falls_back() -> None:
    @on.prompt
    async def stars(text: str) -> int:
        """How many stars?"""

    model = on.fallback(named("a", DOWN), named("b", "5"))
    assert [e async for e in stars.using(model).stream("Good.")][-1] == Result(5)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_real_servers() -> None:
    with serving(later(503), HALF) as down, serving(ANSWER, ANSWER) as up:
        first = OpenAIModel("a", base_url=down.url, key="")
        second = OpenAIModel("b", base_url=up.url, key="")
        answers = [await complete(on.fallback(first, second), HELLO) for _ in range(2)]
    assert [each.text for each in answers] == ["Hello Ada."] * 2
    assert [each.model for each in answers] == ["openai:b"] * 2
    assert "status 503" in answers[0].warnings[0]
