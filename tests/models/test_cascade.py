"""`cascade`: the small model where it is sure enough, by a threshold that was measured."""

from __future__ import annotations

import math
import random
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.errors import (
    ContextLengthError,
    LimitError,
    ModelRefusedError,
    ModelUnavailableError,
    UsageError,
)
from onrecord.messages import (
    Completion,
    Message,
    Progress,
    TextDelta,
    TokenProbability,
    ToolCall,
    Usage,
    text_message,
)
from onrecord.models.anthropic.api import AnthropicModel
from onrecord.models.calling import complete
from onrecord.models.http.sending import unsendable
from onrecord.models.model import Event, Parameters, Request
from onrecord.models.wrappers.cascade_curve import Calibration, Outcome, Target, best, curve, wilson
from onrecord.models.wrappers.confidence import gist, mean_probability
from onrecord.records.scope import recording
from tests.models.test_retrying import HELLO, Breaking, heard
from tests.models.virtual_time import VIRTUAL

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    return VIRTUAL


def sure(text: str, probability: float, cost: int = 10) -> Completion:
    """An answer whose tokens all have this probability."""
    tokens = tuple(TokenProbability(word, math.log(probability)) for word in text.split())
    usage = Usage(input=1, output=len(tokens))
    return Completion(
        text_message("assistant", text), "scripted:small", usage, cost=cost, logprobs=tokens
    )


def small(*replies: object) -> on.Scripted:
    return on.Scripted(list(replies), name="scripted:small")  # type: ignore[arg-type]


def large(reply: object = "The large one.") -> on.Scripted:
    return on.Scripted(reply, name="scripted:large")  # type: ignore[arg-type]


async def test_a_sure_answer_is_taken_and_an_unsure_one_escalated() -> None:
    first, second = small(sure("Paris.", 0.9), sure("Bonn?", 0.4)), large("Berlin.")
    model = on.cascade(first, second, accept=0.8)
    with recording() as run:
        assert (await complete(model, HELLO)).text == "Paris."
    answered, score, whole = run.records
    assert not second.requests and whole.cost == 0
    assert (score.kind, score.name) == ("score", "confidence")
    assert score.output["accepted"] is True and score.output["confidence"] == pytest.approx(0.9)
    assert score.input == {"model": "scripted:small", "measure": "logprobs", "threshold": 0.8}
    with recording() as run:
        completion = await complete(model, HELLO)
    assert (completion.text, completion.model) == ("Berlin.", "scripted:large")
    answered, score, escalated, whole = run.records
    assert answered.tags == () and escalated.tags == ("escalation",)
    assert score.output["accepted"] is False and score.output["confidence"] == pytest.approx(0.4)
    assert not completion.warnings  # escalating is what it is for


async def test_log_probabilities_are_asked_for_and_kept_from_who_did_not_ask() -> None:
    first = small(sure("Paris.", 0.9), sure("Paris.", 0.9))
    model = on.cascade(first, large(), accept=0.8)
    assert (await complete(model, HELLO)).logprobs == ()
    assert first.requests[0].parameters.logprobs == 0
    asked = msgspec.structs.replace(HELLO, parameters=Parameters(logprobs=3))
    assert len((await complete(model, asked)).logprobs) == 1
    assert first.requests[1].parameters.logprobs == 3


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("No probabilities.", "gave no log-probabilities"),
        (ModelUnavailableError("the server is down"), "did not answer: the server is down"),
        (ContextLengthError("the input is too long"), "did not answer: the input is too long"),
        (msgspec.structs.replace(sure("I cannot.", 0.99), finish="refused"), "refused to answer"),
    ],
)
async def test_where_there_is_no_confidence_it_escalates_and_says_so(
    reply: Any, reason: str
) -> None:
    with recording() as run:
        completion = await complete(on.cascade(small(reply), large(), accept=0.1), HELLO)
    assert completion.text == "The large one."
    assert len(completion.warnings) == 1 and reason in completion.warnings[0]
    score = next(each for each in run.records if each.kind == "score")
    assert score.output["confidence"] is None and reason in score.output["reason"]


async def test_a_small_model_that_cannot_be_asked_so_is_an_error() -> None:
    refusal = ModelRefusedError("it gives no logprobs")
    with pytest.raises(ModelRefusedError, match="no logprobs"):
        await complete(on.cascade(small(refusal), large(), accept=0.5), HELLO)


async def test_a_model_without_log_probabilities_is_named_with_another_measure() -> None:
    model = on.cascade(AnthropicModel("m", key="k"), large(), accept=0.5)
    with pytest.raises(ModelRefusedError, match="logprobs cannot be sent") as refused:
        await complete(model, HELLO)
    assert "confidence='agreement'" in str(refused.value) and not refused.value.sent


async def test_a_model_that_takes_no_temperature_is_sampled_without_one() -> None:
    class Thinking(on.Scripted):
        async def stream(self, request: Request) -> AsyncIterator[Event]:
            if request.parameters.temperature is not None:
                raise unsendable("temperature", "it chooses for itself", self.name)
            async for event in super().stream(request):
                yield event

    first = Thinking(["a", "a", "b"])
    model = on.cascade(first, large(), accept=0.5, confidence="agreement", samples=3)
    assert (await complete(model, HELLO)).text == "a"
    assert len(first.requests) == 3
    wished = msgspec.structs.replace(HELLO, parameters=Parameters(temperature=0.5))
    with pytest.raises(ModelRefusedError, match="temperature cannot be sent"):
        await complete(model, wished)


async def test_agreement_takes_what_most_samples_say() -> None:
    first = small("Paris", "Lyon", "paris.", "Paris", "Nice")
    model = on.cascade(first, large(), accept=0.6, confidence="agreement")
    with recording() as run:
        completion = await complete(model, HELLO)
    assert completion.text == "Paris"
    score = next(each for each in run.records if each.kind == "score")
    assert score.output["confidence"] == 0.6 and score.input["measure"] == "agreement of 5"
    samples = [each for each in run.records if each.name == "scripted:small"]
    assert len({each.key for each in samples}) == 5  # no cache takes one for another
    assert {each.parameters.temperature for each in first.requests} == {0.7}


async def test_samples_that_disagree_are_escalated() -> None:
    first = small("one", "two", "three")
    model = on.cascade(first, large(), accept=0.5, confidence="agreement", samples=3)
    assert (await complete(model, HELLO)).text == "The large one."


async def test_samples_keep_their_temperature_and_have_seeds_of_their_own() -> None:
    first = small("a", "a", "a")
    model = on.cascade(first, large(), accept=0.5, confidence="agreement", samples=3)
    asked = msgspec.structs.replace(HELLO, parameters=Parameters(temperature=1.2, seed=7))
    await complete(model, asked)
    assert [each.parameters.seed for each in first.requests] == [7, 8, 9]
    assert {each.parameters.temperature for each in first.requests} == {1.2}


async def test_a_cached_small_model_is_sampled_all_the_same() -> None:
    first = small("one", "two", "three")
    model = on.cascade(on.cached(first), large(), accept=0.9, confidence="agreement", samples=3)
    assert (await complete(model, HELLO)).text == "The large one."
    assert len(first.requests) == 3


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_function_of_the_users(asynchronous: bool) -> None:
    def length(request: Request, completion: Completion) -> float:
        return len(completion.text)

    async def later(request: Request, completion: Completion) -> float:
        return len(completion.text)

    judge = later if asynchronous else length
    model = on.cascade(small("Long enough.", "No."), large(), accept=5, confidence=judge)
    assert (await complete(model, HELLO)).text == "Long enough."
    assert (await complete(model, HELLO)).text == "The large one."
    odd = on.cascade(small("x"), large(), accept=1, confidence=lambda *_: math.nan)
    with pytest.raises(UsageError, match="a finite number"):
        await complete(odd, HELLO)


async def test_only_what_counts_is_streamed() -> None:
    replies = small(sure("So it is.", 0.9), sure("Or not.", 0.1))
    model = on.cascade(replies, large(), accept=0.5)
    assert "".join((await heard(model))[0]) == "So it is."
    assert (await heard(model))[0] == ["The", " large", " one."]
    # A stream of the small model that breaks is retried inside, for nobody has heard of it.
    broken = Breaking(times=1)
    model = on.cascade(on.retry(broken), large(), accept=1, confidence=lambda *_: 1)
    assert (await heard(model))[0] == ["Hello ", "Ada."] and broken.asked == 2


async def test_every_answer_reserves_for_itself() -> None:
    with on.budget(on.Limits(calls=1)) as budget, pytest.raises(LimitError):
        await complete(on.cascade(small(sure("?", 0.1)), large(), accept=0.5), HELLO)
    assert budget.spent().calls == 1


async def test_it_does_not_start_without_a_threshold() -> None:
    first = small("x")
    with pytest.raises(UsageError, match="this cascade is not calibrated"):
        await complete(on.cascade(first, large()), HELLO)
    assert not first.requests


@pytest.mark.parametrize(
    "wrong",
    [
        {"accept": "sure"},
        {"accept": math.nan},
        {"accept": True},
        {"confidence": "hope"},
        {"confidence": "agreement", "samples": 1},
    ],
)
async def test_what_is_no_cascade(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        on.cascade("scripted:demo", "scripted:echo", **wrong)


def questions(count: int) -> tuple[list[tuple[str, str]], on.Scripted, on.Scripted]:
    """Cases in which the small model is right as often as it says; it is a tenth of the price."""
    chance = random.Random(4)
    probabilities = [chance.uniform(0.05, 0.999) for _ in range(count)]
    right = [chance.random() < probability for probability in probabilities]

    def answer(request: Request) -> int:
        return int(request.messages[-1].text.split()[-1])

    class Small(on.Scripted):
        def _complete(self, request: Request, reply: Any) -> Completion:
            at = answer(request)
            return sure(f"answer {at}" if right[at] else "wrong", probabilities[at], cost=100)

    class Large(on.Scripted):
        def _complete(self, request: Request, reply: Any) -> Completion:
            at = answer(request)
            text = "wrong" if at % 25 == 0 else f"answer {at}"
            return Completion(text_message("assistant", text), self.name, Usage(1, 1), cost=1000)

    cases = [(f"question {at}", f"Answer {at}.") for at in range(count)]
    return cases, Small("x", name="scripted:small"), Large("x", name="scripted:large")


async def test_calibration_finds_the_cheapest_threshold_that_is_good_enough() -> None:
    cases, first, second = questions(400)
    uncalibrated = on.cascade(first, second)
    found = await uncalibrated.calibrate(cases, quality=0.9)
    assert found.cases == 400 and len(found.points) == 401
    everything, nothing = found.points[0], found.points[-1]
    assert everything.escalated == 0 and everything.usd == pytest.approx(0.0001)
    assert nothing.escalated == 1 and nothing.usd == pytest.approx(0.0011)
    assert nothing.quality == pytest.approx(0.96)
    assert found.chosen.quality >= 0.9 and 0 < found.chosen.escalated < 1
    cheaper = [point for point in found.points if point.escalated < found.chosen.escalated]
    assert all(point.quality < 0.9 for point in cheaper)
    assert found.held_out.low <= found.chosen.quality <= found.held_out.high
    calibrated = on.cascade(first, second, accept=found)
    answers = [await complete(calibrated, _asked(question)) for question, _ in cases]
    escalated = sum(each.model == "scripted:large" for each in answers) / 400
    assert escalated == found.chosen.escalated


def _asked(question: str) -> Request:
    return Request((text_message("user", question),))


async def test_calibration_is_on_record_and_tells_how_far_it_is() -> None:
    cases, first, second = questions(30)
    uncalibrated = on.cascade(first, second)
    with recording() as run:
        events = [event async for event in uncalibrated.calibrate.stream(cases, escalated=0.5)]
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1] == Progress("calibrating", 30, 30)
    assert not [event for event in events if isinstance(event, TextDelta)]
    whole = run.records[-1]
    assert whole.kind == "step" and whole.name.startswith("calibrate cascade:")
    assert sum(each.kind == "model" for each in run.records) == 60
    assert run.cost == 30 * 1100


async def test_a_small_model_that_is_down_is_said_to_be() -> None:
    down = on.Scripted(ModelUnavailableError("the server failed with status 500"))
    with pytest.raises(ModelUnavailableError, match="failed with status 500"):
        await on.cascade(down, large()).calibrate([("a", "b")] * 20, quality=0.5)


async def test_one_that_is_never_sure_is_said_to_be_and_why() -> None:
    mute = on.Scripted("yes", name="scripted:mute")
    with pytest.raises(UsageError, match=r"scripted:mute gave no log-probabilities.*'agreement'"):
        await on.cascade(mute, large()).calibrate([("a", "b")] * 20, quality=0.5)


@pytest.mark.parametrize(
    ("cases", "options", "said"),
    [
        (5, {}, "labelled cases are several, not 5"),
        ("a question", {}, "labelled cases are several, not one"),
        ([("a", "b")] * 20, {"concurrent": 0}, "concurrent=0 asks nobody"),
    ],
)
async def test_what_cannot_be_calibrated_on(cases: Any, options: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        await on.cascade(small(), large()).calibrate(cases, quality=0.5, **options)


def test_a_confidence_takes_a_request_and_an_answer() -> None:
    with pytest.raises(UsageError, match=r"give a function of .request, completion."):
        on.cascade(small(), large(), confidence=lambda request: 1)  # type: ignore[arg-type, misc]


async def test_other_targets_need_no_other_answers() -> None:
    cases, first, second = questions(200)
    found = await on.cascade(first, second).calibrate(cases, quality=0.9)
    asked = len(first.requests) + len(second.requests)
    cheap = found.choose(usd=0.0004)
    assert cheap.chosen.usd is not None and cheap.chosen.usd <= 0.0004
    better = [point for point in found.points if point.quality > cheap.chosen.quality]
    assert all((point.usd or 0) > 0.0004 for point in better)
    assert found.choose(escalated=0.2).chosen.escalated <= 0.2
    assert len(first.requests) + len(second.requests) == asked
    with pytest.raises(UsageError, match=r"no threshold gives quality at least 0\.999: the best"):
        found.choose(quality=0.999)
    with pytest.raises(UsageError, match="chosen for one target"):
        found.choose()
    with pytest.raises(UsageError, match="is no target"):
        found.choose(quality=90)


async def test_it_says_when_cases_are_few() -> None:
    cases, first, second = questions(40)
    with pytest.raises(UsageError, match="19 labelled cases are too few"):
        await on.cascade(first, second).calibrate(cases[:19], quality=0.8)
    assert not first.requests
    found = await on.cascade(first, second).calibrate(cases, quality=0.8)
    assert any(note.startswith("40 cases are few") for note in found.notes)
    large_enough, one, other = questions(400)
    found = await on.cascade(one, other).calibrate(large_enough, quality=0.9)
    assert not any("are few" in note for note in found.notes)


async def test_it_can_be_read_kept_and_shown() -> None:
    cases, first, second = questions(100)
    found = await on.cascade(first, second).calibrate(cases, quality=0.85)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Calibration) == found
    table = str(found)
    assert "quality at least 0.85" in table and "<- chosen" in table
    assert f"{found.threshold:.4f}" in table and "On cases it was not chosen on" in table
    assert len(table.splitlines()) < 20
    html = found._repr_html_()
    assert "<table>" in html and f"{found.threshold:.4f}" in html and "<script" not in html


async def test_it_holds_for_the_models_and_the_measure_it_was_made_with() -> None:
    cases, first, second = questions(30)
    found = await on.cascade(first, second).calibrate(cases, escalated=0.5)
    for other in (
        on.cascade(first, large(), accept=found),
        on.cascade(first, second, accept=found, confidence="agreement"),
        on.cascade(second, first, accept=found),
    ):
        with pytest.raises(UsageError, match="calibrated for another cascade"):
            await complete(other, HELLO)


async def test_an_unknown_price_is_not_zero() -> None:
    cases, first, second = questions(30)

    class Unpriced(type(second)):  # type: ignore[misc]  # a class made in a function
        def _complete(self, request: Request, reply: Any) -> Completion:
            completion: Completion = super()._complete(request, reply)
            return msgspec.structs.replace(completion, cost=None)

    dear = Unpriced("x", name="openai:nobody-knows")
    found = await on.cascade(first, dear).calibrate(cases, quality=0.5)
    assert found.points[-1].usd is None and "unknown" in str(found)
    with pytest.raises(UsageError, match="not known"):
        found.choose(usd=1)


async def test_cases_of_a_dataset_and_a_prompt() -> None:
    @on.prompt
    async def capital(country: str) -> str:
        """Name the capital."""

    dataset = on.Dataset(
        on.Case(id=str(at), input={"country": f"land {at}"}, expected=f"city {at}")
        for at in range(20)
    )

    def city(request: Request) -> str:
        return f"City {re.findall('land ([0-9]+)', request.messages[-1].text)[-1]}"

    first = on.Scripted(city, name="scripted:small")
    uncalibrated = on.cascade(first, large(city), confidence=lambda *_: 1.0)
    found = await uncalibrated.calibrate(
        dataset.cases, quality=1.0, ask=lambda input: capital.render(**input)
    )
    assert found.chosen.escalated == 0 and found.chosen.quality == 1
    assert "Name the capital." in first.requests[0].messages[0].text
    with pytest.raises(UsageError, match="Say with ask="):
        await uncalibrated.calibrate(dataset.cases, quality=1.0)


async def test_how_good_an_answer_is_may_be_said() -> None:
    cases, first, second = questions(30)
    calibrate = on.cascade(first, second).calibrate
    found = await calibrate(cases, escalated=1, correct=lambda completion, _: 0.5)
    assert found.chosen.quality == 0.5
    with pytest.raises(UsageError, match="from 0 to 1"):
        await calibrate(cases, escalated=1, correct=lambda completion, _: 7)
    with pytest.raises(UsageError, match="no labelled case"):
        await calibrate(["question"] * 30, escalated=1)


async def test_a_large_model_that_fails_ends_the_calibration() -> None:
    cases, first, _ = questions(30)
    with pytest.raises(ModelUnavailableError, match="down"):
        await on.cascade(first, large(ModelUnavailableError("down"))).calibrate(cases, quality=0.5)


OUTCOMES = st.lists(
    st.builds(
        Outcome,
        st.none() | st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.9]),
        st.floats(0, 1),
        st.floats(0, 1),
        st.integers(0, 1000),
        st.integers(0, 1000),
    ),
    min_size=1,
    max_size=30,
)


@given(OUTCOMES)
def test_the_curve_is_what_the_cascade_would_have_done(outcomes: list[Outcome]) -> None:
    points = curve(outcomes)
    assert [point.threshold for point in points] == sorted({p.threshold for p in points})
    for point in points:
        taken = [
            (each.small, each.small_cost)
            if each.confidence is not None and each.confidence >= point.threshold
            else (each.large, (each.small_cost or 0) + (each.large_cost or 0))
            for each in outcomes
        ]
        assert point.quality == pytest.approx(sum(quality for quality, _ in taken) / len(taken))
        assert point.usd == pytest.approx(sum(cost or 0 for _, cost in taken) / 1e6 / len(taken))
        assert point.low <= point.quality + 1e-9 and point.quality <= point.high + 1e-9
    if points:
        assert points[-1].escalated == 1


@given(OUTCOMES, st.floats(0, 1))
def test_the_choice_is_the_best_there_is(outcomes: list[Outcome], value: float) -> None:
    points = curve(outcomes)
    reachable = [point for point in points if point.quality >= value]
    target = Target("quality", value)
    if not reachable:
        with pytest.raises(UsageError):
            best(points, target)
    else:
        assert best(points, target).usd == min(point.usd for point in reachable)


def test_the_interval_is_that_of_wilson() -> None:
    from scipy.stats import binomtest

    for hits, of in ((0, 20), (19, 20), (50, 100), (400, 400)):
        interval = binomtest(hits, of).proportion_ci(method="wilson")
        assert wilson(hits / of, of) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_the_mean_is_geometric() -> None:
    tokens = (TokenProbability("a", math.log(0.5)), TokenProbability("b", math.log(0.125)))
    assert mean_probability(tokens) == pytest.approx(0.25)
    assert mean_probability(()) is None
    assert mean_probability((TokenProbability("a", -math.inf),)) == 0


def test_what_answers_say_is_compared_without_their_form() -> None:
    def told(text: str) -> str:
        return gist(Completion(text_message("assistant", text), "m"))

    assert told(" Paris. ") == told("paris") != told("Lyon")
    assert told('{"a": 1, "b": [2]}') == told('{"b":[2],"a":1}') != told('{"a": 2, "b": [2]}')
    calls = [
        Completion(Message("assistant", (ToolCall(id, "find", arguments),)), "m")
        for id, arguments in (("1", '{"q": 1, "k": 2}'), ("2", '{"k":2,"q":1}'), ("3", "{}"))
    ]
    assert gist(calls[0]) == gist(calls[1]) != gist(calls[2])
