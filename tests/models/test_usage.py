"""Tokens, whatever a provider calls them."""

import functools
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.messages import Usage
from onrecord.models.usage import MixedUsage, merged, reported_cost, usage_of

GOLDEN = sorted((Path(__file__).parent / "usage").glob("*.json"))


def golden(path):
    case = json.loads(path.read_text())
    events = case["payload"] if isinstance(case["payload"], list) else [case["payload"]]
    return case, events


def expected(case):
    """A call in which another model took part has its own kind of usage: it has no one price."""
    return (MixedUsage if case.get("mixed") else Usage)(**case["expected"])


def read(events):
    return functools.reduce(merged, map(usage_of, events), Usage())


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_provider_means_the_same(path):
    case, events = golden(path)
    assert read(events) == expected(case)
    assert reported_cost(events[-1]) == case.get("cost")


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_bare_block_is_read_like_the_whole_response(path):
    case, events = golden(path)
    if len(events) == 1 and "usage" in events[0]:
        assert usage_of(events[0]["usage"]) == expected(case)


def test_every_shape_that_was_asked_for_has_a_golden_payload():
    named = {path.stem for path in GOLDEN}
    asked = "openai_chat openai_responses openai_embeddings anthropic anthropic_stream gemini"
    assert {*asked.split(), "mistral", "vllm", "ollama", "ollama_openai"} <= named
    for path in GOLDEN:
        case, _ = golden(path)
        assert case["shape"] and case["source"].startswith("https://")


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"usage": None},
        {"usage": {}},
        {"usage": []},
        {"choices": [{"index": 0, "delta": {"content": "x"}}]},
        {"usage": {"prompt_tokens": "12", "completion_tokens": None}},
        {"usage": {"prompt_tokens": -3, "completion_tokens": True}},
        {"usage": {"prompt_tokens": float("inf"), "completion_tokens": float("nan")}},
        {"usage": {"prompt_tokens": 1.5, "total_tokens": 10**30}},
        {"usageMetadata": {"promptTokenCount": [], "candidatesTokensDetails": {"modality": 1}}},
        {"tokens": [1, 2, 3]},
        {1: 2},
    ],
)
def test_what_is_no_count_counts_nothing(payload):
    assert usage_of(payload) == Usage()
    assert reported_cost(payload) is None


def test_a_share_is_never_larger_than_its_whole():
    assert usage_of({"input_tokens": 3, "input_tokens_details": {"cached_tokens": 9}}).cached == 3
    # Who reports more from the cache than from the prompt did not count it in the prompt.
    assert usage_of({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9}}) == Usage(
        12, cached=9
    )


def test_a_prompt_that_is_left_out_is_what_the_total_leaves():
    assert usage_of({"completion_tokens": 5, "total_tokens": 12}) == Usage(7, 5)


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0}, 0),
        ({"cost": 0.0000005}, 1),
        ({"cost": 0.00000049}, 0),
        ({"cost": 12}, 12_000_000),
        ({"cost": -1}, None),
        ({"cost": "0.1"}, None),
        ({"cost": True}, None),
        ({"cost": float("nan")}, None),
        ({"cost": 1e300}, None),
        ({"cost": 10**400}, None),
        ({"cost": {"total_cost": None}}, None),
        ({"cost": 0.1, "is_byok": True}, 100_000),
        ({"cost": 0.1, "cost_details": {"upstream_inference_cost": 0.1}}, 100_000),
        ({"cost_in_usd_ticks": 5000}, 1),
        ({"cost_in_usd_ticks": 10**30}, None),
    ],
)
def test_a_reported_cost_is_taken_where_it_is_one(usage, cost):
    assert reported_cost({"usage": {"prompt_tokens": 1, **usage}}) == cost


# -- whatever a server may send

NAMES = sorted(
    {
        name
        for path in GOLDEN
        for name in json.dumps(json.loads(path.read_text())["payload"]).split('"')
        if "oken" in name or "usage" in name.lower() or name in ("modality", "billed_units", "meta")
    }
)
COUNTS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 3000)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["AUDIO", "IMAGE", "compaction", "1h"])
)
PAYLOADS = st.recursive(
    COUNTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "type", "ttl", "iterations"]), inner, max_size=6)
    ),
    max_leaves=25,
)


def assert_consistent(usage):
    assert all(type(count) is int and count >= 0 for count in msgspec.structs.astuple(usage))
    assert usage.cached + usage.cache_write <= usage.input
    assert usage.cache_write_1h <= usage.cache_write
    assert usage.audio_input + usage.image_input <= usage.input
    assert usage.cached_audio <= min(usage.cached, usage.audio_input)
    assert usage.reasoning <= usage.output
    assert usage.audio_output + usage.image_output <= usage.output


@given(PAYLOADS, PAYLOADS)
@settings(deadline=None)
def test_no_payload_raises_and_every_usage_is_consistent(first, second):
    usages = usage_of(first), usage_of(second)
    for usage in (*usages, merged(*usages), usages[0] + usages[1]):
        assert_consistent(usage)
    assert merged(usages[0], usages[0]) == usages[0]
    cost = reported_cost(first)
    assert cost is None or cost >= 0


@given(st.sampled_from(GOLDEN), st.data())
@settings(deadline=None)
def test_a_payload_with_one_value_broken_is_still_read(path, data):
    _, (*_, event) = golden(path)
    holder, name = data.draw(st.sampled_from([*places(event)]))
    holder[name] = data.draw(PAYLOADS)
    assert_consistent(usage_of(event))
    reported_cost(event)


def places(value):
    names = value.keys() if isinstance(value, dict) else range(len(value))
    for name in names:
        yield value, name
        if isinstance(value[name], dict | list):
            yield from places(value[name])


def test_usages_add_up_count_by_count():
    numbers = range(1, len(msgspec.structs.fields(Usage)) + 1)
    whole = Usage(*numbers)
    assert whole + whole == Usage(*(2 * number for number in numbers))
    assert sum([whole], Usage()) == whole
    assert (whole.input, whole.output, whole.cached, whole.reasoning) == (1, 2, 3, 4)


def test_a_usage_that_was_written_before_there_were_more_counts_is_read():
    assert msgspec.json.decode(
        b'{"input":3,"output":2,"cached":1,"reasoning":1}', type=Usage
    ) == Usage(3, 2, 1, 1)
