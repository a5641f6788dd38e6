"""Money: what a call costs, to the micro-dollar. The oracle is genai-prices' own calculation."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.types import ModelPrice, TieredPrices
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.errors import SettingsError
from onrecord.messages import Completion, Usage, text_message
from onrecord.models import prices as module
from onrecord.models.http.addresses import is_here, is_local
from onrecord.models.openai.api import OpenAIModel
from onrecord.models.prices import check_prices, cost_of, price, worst_price
from onrecord.models.scripted import Scripted
from onrecord.models.usage import MixedUsage

MILLION = 1_000_000


def half_up(micro):
    return int(Decimal(micro).quantize(Decimal(1), ROUND_HALF_UP))


def stated(provider, name):
    """The dollars a million tokens that genai-prices publishes today, by the names it has."""
    info = next(each for each in providers if each.id == provider).find_model(name)
    return vars(info.get_prices(datetime.now(UTC)))


def base(value):
    return value.base if isinstance(value, TieredPrices) else value


@pytest.mark.parametrize(
    ("model", "provider", "server"),
    [
        ("openai:gpt-5-mini", "openai", "https://api.openai.com/v1"),
        ("openai:gpt-4o", "openai", ""),
        ("anthropic:claude-sonnet-4-5", "anthropic", ""),
        ("gemini:gemini-2.5-flash", "google", ""),
        ("openai:mistral-large-latest", "mistral", "https://api.mistral.ai/v1"),
        ("openai:deepseek-chat", "deepseek", "https://api.deepseek.com"),
        ("openai:grok-4", "x-ai", "https://api.x.ai/v1"),
        ("openai:anthropic/claude-sonnet-4.5", "openrouter", "https://openrouter.ai/api/v1"),
        ("openai:llama-3.3-70b-versatile", "groq", "https://api.groq.com/openai/v1"),
    ],
)
def test_a_call_costs_what_is_published(model, provider, server):
    dollars = stated(provider, model.partition(":")[2])
    into, out = base(dollars["input_mtok"]), base(dollars["output_mtok"])
    cached = base(dollars.get("cache_read_mtok")) or into
    # A dollar a million tokens is a micro-dollar a token; 300 of the 1,000 came from the cache.
    expected = half_up(700 * into + 300 * cached + 217 * out)
    assert price(model, Usage(1000, 217, cached=300, reasoning=100), server=server) == expected


def test_cache_writes_cost_more_and_those_for_an_hour_more_still():
    dollars = stated("anthropic", "claude-sonnet-4-5")
    into, written = base(dollars["input_mtok"]), base(dollars["cache_write_mtok"])
    hour = base(dollars["cache_write_1h_mtok"])
    assert into < written < hour
    usage = Usage(1000, cache_write=600, cache_write_1h=200)
    expected = half_up(400 * into + 400 * written + 200 * hour)
    assert price("anthropic:claude-sonnet-4-5", usage) == expected


def test_a_long_prompt_costs_the_dearer_step():
    info = next(each for each in providers if each.id == "google").find_model("gemini-2.5-pro")
    dollars = vars(info.get_prices(datetime.now(UTC)))["input_mtok"]
    (step,) = dollars.tiers
    at, above = (price("google:gemini-2.5-pro", Usage(step.start + more)) for more in (0, 1))
    assert at == half_up(step.start * dollars.base)
    assert above == half_up((step.start + 1) * step.price)


def test_sound_is_charged_as_sound_and_from_the_cache_as_that():
    dollars = stated("google", "gemini-2.5-flash")
    usage = Usage(1000, cached=300, audio_input=500, cached_audio=200)
    expected = half_up(
        300 * dollars["input_audio_mtok"]
        + 200 * dollars["cache_audio_read_mtok"]
        + 100 * dollars["cache_read_mtok"]
        + 400 * dollars["input_mtok"]
    )
    assert price("google:gemini-2.5-flash", usage) == expected


# -- the oracle: every model that genai-prices lists

LISTED = [
    (provider, info)
    for provider in providers
    for info in provider.models
    if vars(info.get_prices(datetime.now(UTC))).get("input_mtok") is not None
]
TOKENS = st.integers(0, 300_000)


@st.composite
def usages(draw):
    cached, written, text, image = (draw(TOKENS) for _ in range(4))
    audio, thought, said, drawn, spoken = (draw(TOKENS) for _ in range(5))
    heard = draw(st.integers(0, cached))
    return Usage(
        input=cached + written + text + image + audio,
        output=thought + said + drawn + spoken,
        cached=cached,
        cached_audio=heard,
        audio_input=audio + heard,
        reasoning=thought,
        cache_write=written,
        cache_write_1h=draw(st.integers(0, written)),
        image_input=image,
        audio_output=spoken,
        image_output=drawn,
    )


def theirs(usage):
    joined = dict.fromkeys(
        ("cache_image_read_tokens", "cache_audio_write_tokens", "cache_image_write_tokens"), 0
    )
    return genai_prices.Usage(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        cache_write_1h_tokens=usage.cache_write_1h,
        input_audio_tokens=usage.audio_input,
        cache_audio_read_tokens=usage.cached_audio,
        input_image_tokens=usage.image_input,
        output_audio_tokens=usage.audio_output,
        output_image_tokens=usage.image_output,
        output_reasoning_tokens=usage.reasoning,
        **joined,
    )


def agrees(info, usage):
    ours = module._Listed(info).tiers()
    rates = module._tier(ours, usage.input)
    dollars = vars(info.get_prices(datetime.now(UTC)))
    if dollars.get("output_mtok") is None:
        assert not usage.output or rates.cost(usage) is None
        usage = Usage(**{n: getattr(usage, n) for n in INTO})
    with localcontext(prec=60):
        expected = ModelPrice(**dollars).calc_price(theirs(usage))["total_price"]
    assert Fraction(rates.cost(usage), rates.scale) == Fraction(expected) * MILLION, info.id


INTO = "input cached cached_audio audio_input cache_write cache_write_1h image_input".split()


def test_every_listed_model_costs_what_its_own_calculation_says():
    usage = Usage(250_007, 90_001, 50_003, 1_009, 20_011, 7_001, 30_011, 10_007, 5_003, 2_003, 801)
    assert len(LISTED) > 1000
    for _, info in LISTED:
        agrees(info, usage)
        agrees(info, Usage(1_009, 503, 101))


SPECIAL = [
    (provider, info)
    for provider, info in LISTED
    if any(
        isinstance(value, TieredPrices) or "audio" in name or "image" in name or "1h" in name
        for name, value in vars(info.get_prices(datetime.now(UTC))).items()
        if value is not None
    )
]


@given(st.sampled_from(SPECIAL), usages())
@settings(deadline=None)
def test_every_usage_costs_what_the_own_calculation_says(listed, usage):
    agrees(listed[1], usage)


# -- the settings' prices

MINE = {"openai:mine": {"input": 1.25, "output": 10}}


@pytest.mark.parametrize(
    ("entry", "usage", "expected"),
    [
        ({"input": 1.25, "output": 10}, Usage(1000, 100), 1250 + 1000),
        ({"input": 1.25, "output": 10}, Usage(1000, 100, 400, 50), 1250 + 1000),
        ({"input": 1.25, "output": 10, "cached": 0.125}, Usage(1000, 0, 400), 750 + 50),
        ({"input": 1, "output": 10, "reasoning": 5}, Usage(0, 100, reasoning=40), 600 + 200),
        ({"input": 1, "cache_write": 2}, Usage(100, cache_write=30, cache_write_1h=9), 70 + 60),
        ({"input": 1, "cache_write_1h": 4}, Usage(100, cache_write=30, cache_write_1h=9), 91 + 36),
        ({"input": 1, "output": 2, "audio_input": 7}, Usage(10, 5, audio_input=4), 6 + 28 + 10),
        ({"input": 1, "output": 2, "audio_output": 9}, Usage(0, 5, audio_output=4), 2 + 36),
        ({"input": 1, "output": 2, "request": 0.01}, Usage(10, 5), 20 + 10_000),
        ({"request": 0.01}, Usage(10, 5), 10_000),
        ({"request": 0.01}, Usage(), 10_000),
        ({"input": 0, "output": 0}, Usage(), 0),
        ({"input": 1, "output": 2}, Usage(), None),
        ({"input": 1}, Usage(10), 10),
        ({"input": 1}, Usage(10, 5), None),
        ({"output": 1}, Usage(10, 5), None),
        ({}, Usage(10, 5), None),
    ],
)
def test_prices_of_the_settings(entry, usage, expected):
    assert price("openai:mine", usage, {"openai:mine": entry}) == expected


@pytest.mark.parametrize(
    ("dollars", "tokens", "expected"),
    [
        (0.5, 1, 1),
        (0.499999, 1, 0),
        (0.25, 2, 1),
        (0.25, 6, 2),  # 1.5: up, and not to the even
        (0.1, 5, 1),
        (0.1, 25, 3),  # exactly 2.5, which binary floats miss
        (1e-300, MILLION, 0),
        (1e6, MILLION, 10**12),
    ],
)
def test_rounding_is_half_up_on_the_exact_sum(dollars, tokens, expected):
    own = {"openai:mine": {"input": dollars}}
    assert price("openai:mine", Usage(tokens), own) == expected
    with localcontext(prec=1):
        assert price("openai:mine", Usage(tokens), own) == expected
    assert worst_price("openai:mine", tokens, 0, own) >= expected


def test_the_settings_win_over_everybody():
    usage = Usage(10)
    for model in ("openai:gpt-5-mini", "embedded:minilm", "scripted:demo", "hf:t5-small"):
        assert price(model, usage, {model: {"input": 3}}, "http://127.0.0.1:8000/v1") == 30


def test_a_star_stands_for_the_rest_and_the_closest_name_wins():
    own = {
        "*": {"input": 1},
        "openai:*": {"input": 2},
        "openai:gpt-*": {"input": 3},
        "openai:gpt-5": {"input": 4},
    }
    for model, dollars in [
        ("openai:gpt-5", 4),
        ("openai:gpt-5-mini", 3),
        ("openai:o3", 2),
        ("anthropic:claude-sonnet-4-5", 1),
    ]:
        assert price(model, Usage(1), own) == dollars
    assert price("openai:gpt-4o", Usage(MILLION), {"openai:gpt": {"input": 9}}) != 9 * MILLION


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"inptu": 1.0}, "no price called 'inptu'"),
        ({"input": -1}, "-1 is no price"),
        ({"input": float("nan")}, "nan is no price"),
        ({"input": float("inf")}, "inf is no price"),
        ({"input": True}, "True is no price"),
        ({"input": "1.25"}, "'1.25' is no price"),
        ({"input": [1]}, r"\[1\] is no price"),
    ],
)
def test_prices_that_are_none_are_refused_by_name(entry, said):
    own = {"openai:mine": entry}
    for ask in (
        lambda: price("openai:mine", Usage(1), own),
        lambda: worst_price("openai:mine", 1, 1, own),
        lambda: check_prices(own),
    ):
        with pytest.raises(SettingsError, match=said) as caught:
            ask()
        assert '[prices."openai:mine"]' in str(caught.value)


def test_prices_are_checked_before_a_call():
    check_prices({"openai:mine": {"input": 1, "request": 0}, "*": {}})
    with pytest.raises(SettingsError, match="'gpt-5' is no model's name"):
        check_prices({"gpt-5": {"input": 1}})


# -- whose hardware it is


@pytest.mark.parametrize("model", ["embedded:extractive", "scripted:demo", "hf:t5-small"])
def test_what_runs_here_is_free(model):
    assert price(model, Usage(10, 10)) == price(model, Usage()) == 0
    assert worst_price(model, MILLION, MILLION) == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/v1",
        "http://localhost:11434/v1",
        "http://[::1]:8000/v1",
        "http://0.0.0.0:8000",
        "http://models.localhost/v1",
    ],
)
def test_a_server_on_this_machine_is_free(url):
    assert is_local(url) and is_here(url)
    assert price("openai:gpt-5-mini", Usage(10, 10), server=url) == 0
    assert price("openai:anything", Usage(), server=url) == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.20:8000/v1",
        "https://10.0.0.7/v1",
        "http://172.16.3.4/v1",
        "http://100.100.1.2/v1",
        "http://[fd00::1]/v1",
        "http://litellm:4000/v1",
        "http://models.internal/v1",
        "http://nas.local/v1",
    ],
)
def test_a_neighbour_may_be_a_gateway_and_has_the_price_it_is_given(url):
    assert is_local(url) and not is_here(url)
    assert price("openai:gpt-5-mini", Usage(10, 10), server=url) is None
    assert worst_price("openai:gpt-5-mini", 10, 10, server=url) is None
    free = {"openai:gpt-5-mini": {"input": 0, "output": 0}}
    assert price("openai:gpt-5-mini", Usage(10, 10), free, server=url) == 0


@pytest.mark.parametrize(
    "url", ["https://llm.example.com/v1", "http://8.8.8.8/v1", "http://172.32.0.1/v1"]
)
def test_a_stranger_has_no_price(url):
    assert not is_local(url)
    assert price("openai:gpt-5-mini", Usage(10, 10), server=url) is None
    assert worst_price("openai:gpt-5-mini", 10, 10, server=url) is None


@pytest.mark.parametrize(
    "model",
    [
        "openai:no-such-model",
        "nobody:gpt-5-mini",
        "mygoogle:gemini-2.5-flash",
        "gpt-5-mini",
        "",
        ":",
    ],
)
def test_an_unknown_model_has_no_price(model):
    assert price(model, Usage(10, 10)) is None


@pytest.mark.parametrize(
    ("url", "local", "known"),
    [
        ("http://[", False, False),
        ("https://", False, False),
        ("", False, True),
        ("no address", False, True),
        ("http://[fe80::1%eth0]/", True, False),
    ],
)
def test_no_address_raises(url, local, known):
    assert is_local(url) is local and not is_here(url)
    assert (price("openai:gpt-5-mini", Usage(10, 10), server=url) is not None) is known


def test_a_model_that_is_not_paid_by_the_token_has_no_price():
    hours = next(
        info
        for provider in providers
        if provider.id == "openai"
        for info in provider.models
        if "audio_hours" in vars(info.get_prices(datetime.now(UTC)))
        and "input_mtok" not in vars(info.get_prices(datetime.now(UTC)))
    )
    assert price(f"openai:{hours.id}", Usage(10, 10)) is None


def test_a_call_in_which_another_model_took_part_has_no_price():
    assert price("openai:gpt-5-mini", MixedUsage(1000, 1000)) is None
    assert price("openai:mine", MixedUsage(1000, 1000), MINE) is None
    assert price("scripted:x", MixedUsage(1000, 1000)) == 0


def test_a_usage_that_nobody_reported_is_no_zero():
    assert price("openai:gpt-5-mini", Usage()) is None
    assert worst_price("openai:gpt-5-mini", 0, 0) == 0


# -- the worst case


@given(st.sampled_from(SPECIAL + LISTED[::50]), usages(), st.booleans())
@settings(deadline=None)
def test_no_call_costs_more_than_its_worst_case(listed, usage, media):
    provider, info = listed
    if not media:
        usage = Usage(
            usage.input,
            usage.output,
            min(usage.cached, usage.input),
            usage.reasoning,
            usage.cache_write,
            usage.cache_write_1h,
        )
    model = f"{provider.id}:{info.id}"
    cost = price(model, usage)
    if cost is not None:
        assert worst_price(model, usage.input, usage.output, media=media) >= cost


def test_the_worst_case_is_rounded_up_and_knows_no_discount():
    own = {"openai:mine": {"input": 0.1, "output": 0.1, "cached": 0.01, "request": 0.000001}}
    assert worst_price("openai:mine", 1, 0, own) == 2
    assert worst_price("openai:mine", 0, 0, own) == 1
    assert worst_price("openai:mine", -5, -5, own) == 1
    info = next(each for each in providers if each.id == "google").find_model("gemini-2.5-pro")
    dollars = vars(info.get_prices(datetime.now(UTC)))["input_mtok"]
    assert worst_price("google:gemini-2.5-pro", 1000, 0) == -(-1000 * dollars.tiers[-1].price // 1)


# -- answers


USED = Usage(1000, 100)


def answer(usage=USED, cost=None):
    return Completion(text_message("assistant", "Hi"), "openai:mine", usage, cost=cost)


def test_an_answer_costs_what_it_says_and_else_its_price():
    model = OpenAIModel("mine", base_url="https://llm.example.com/v1", key="")
    assert cost_of(model, answer(cost=7), MINE) == 7
    assert cost_of(model, answer(cost=0), MINE) == 0
    assert cost_of(model, answer(), MINE) == 2250
    assert cost_of(model, answer()) is None
    assert cost_of(model, answer(Usage()), MINE) is None
    assert cost_of(OpenAIModel("gpt-5-mini", base_url="http://127.0.0.1:1/v1"), answer()) == 0
    assert cost_of(OpenAIModel("gpt-5-mini"), answer()) == price(
        "openai:gpt-5-mini", Usage(1000, 100)
    )
    assert cost_of(Scripted("x"), answer()) == 0


def test_prices_load_late_and_ask_nobody():
    script = """
import sys
sys.addaudithook(lambda event, args: event == "socket.connect" and sys.exit("connected"))
from onrecord.messages import Usage
from onrecord.models.prices import price
price("embedded:minilm", Usage(1))
price("openai:mine", Usage(1), {"openai:mine": {"input": 1}})
price("openai:mine", Usage(1), {}, "http://127.0.0.1/v1")
print(sorted({"genai_prices", "httpx", "numpy", "pydantic"} & set(sys.modules)))
import genai_prices.data_snapshot as snapshot
snapshot.set_custom_snapshot(snapshot.DataSnapshot(providers=[], from_auto_update=True))
print(price("openai:gpt-5-mini", Usage(1000)) is not None)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["[]", "True"]
