"""What a call costs, in integer micro-dollars (1,000,000 = 1 USD).

Prices are those of the settings, else those that the installed `genai-prices` ships: nothing is
asked of the network. Known limits: they are the list prices of a provider's standard tier for
words, sound and images. Batch and priority tiers, searches and other tools that a provider runs,
taxes and discounts are not in them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import inf, lcm
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from onrecord.errors import SettingsError
from onrecord.messages import Completion, Usage
from onrecord.models.http.addresses import is_here, is_local
from onrecord.models.usage import MixedUsage

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, TieredPrices

    from onrecord.models.model import Model

Prices = Mapping[str, Mapping[str, float]]
Stated: TypeAlias = "Mapping[str, Decimal | TieredPrices | None]"
NO_PRICES: Prices = MappingProxyType({})


def price(model: str, usage: Usage, prices: Prices = NO_PRICES, server: str = "") -> int | None:
    """Micro-dollars, rounded half up; None where the price, or what was used, is not known.

    `model` is our name of it (`openai:gpt-6-luna`), `server` the address that answered. `prices`
    are the settings' and win: of the exact name, else of the longest beginning with a `*` behind
    it. Embedded, scripted and `hf:` models cost nothing, nor does a server on this machine,
    whatever it may forward to. Another one on the own network may be a gateway to anybody: it has
    no price but the settings', nor has an address that `genai-prices` does not know. A usage
    without a token is one that nobody reported. Raises SettingsError on prices that are none.
    """
    tiers = _tiers(model, prices, server)
    if tiers is None:
        return None
    rates = _tier(tiers, usage.input)
    unknown = isinstance(usage, MixedUsage) or not (usage.input or usage.output)
    if unknown and not rates.flat:
        return None
    cost = rates.cost(usage)
    return None if cost is None else (2 * cost + rates.scale) // (2 * rates.scale)


def worst_price(
    model: str,
    input_tokens: int,
    output_tokens: int,
    prices: Prices = NO_PRICES,
    server: str = "",
    *,
    media: bool = False,
) -> int | None:
    """The most that a call of so many tokens can cost, in micro-dollars, rounded up.

    Every tier counts and no token is taken to be cached already: each may be written to the
    cache, or spent on thinking. `media`: sound and images may go in or come out, which cost more
    than words. None where the price is not known. Raises SettingsError.
    """
    tiers = _tiers(model, prices, server)
    if tiers is None:
        return None
    worst = [rates.worst(input_tokens, output_tokens, media) for _, rates in tiers]
    known = [each for each in worst if each is not None]
    return max(known) if len(known) == len(worst) else None


def cost_of(model: Model, completion: Completion, prices: Prices = NO_PRICES) -> int | None:
    """What an answer cost: what the model itself reports, else its `price`.

    Raises SettingsError.
    """
    if completion.cost is not None:
        return completion.cost
    return price(model.name, completion.usage, prices, model.version)


def check_prices(prices: Prices) -> None:
    """Raises SettingsError if prices of the settings cannot be used: better before a call."""
    for name, entry in prices.items():
        if ":" not in name and not name.endswith("*"):
            raise SettingsError(
                f"{name!r} is no model's name",
                where=f'[prices."{name}"]',
                cure="Models are named like openai:gpt-6-luna; a * at the end stands for the rest.",
            )
        _checked(name, entry.items())


class _Rates(msgspec.Struct, frozen=True):
    """Prices of one tier: micro-dollars a token (`request`: a call), times `scale`.

    Whole numbers, so that sums are exact whatever the decimal context of the caller.
    """

    scale: int
    input: int | None
    output: int | None
    cached: int
    cache_write: int
    cache_write_1h: int
    audio_input: int
    cached_audio: int
    image_input: int
    reasoning: int
    audio_output: int
    image_output: int
    request: int

    @property
    def flat(self) -> bool:
        """Whether tokens make no difference."""
        return not any(getattr(self, field) for field in _TOKEN_FIELDS) and None not in (
            self.input,
            self.output,
        )

    def cost(self, usage: Usage) -> int | None:
        """The exact cost, times `scale`; None where tokens were used that have no price."""
        if (self.input is None and usage.input) or (self.output is None and usage.output):
            return None
        # Each token is in one share only; an image from the cache is charged as cached.
        sound = max(0, usage.audio_input - usage.cached_audio)
        rest = max(0, usage.input - usage.cached - usage.cache_write - sound)
        images = min(usage.image_input, rest)
        said = max(0, usage.output - usage.audio_output - usage.image_output)
        thought = min(usage.reasoning, said)
        return (
            (rest - images) * (self.input or 0)
            + max(0, usage.cached - usage.cached_audio) * self.cached
            + usage.cached_audio * self.cached_audio
            + max(0, usage.cache_write - usage.cache_write_1h) * self.cache_write
            + usage.cache_write_1h * self.cache_write_1h
            + sound * self.audio_input
            + images * self.image_input
            + (said - thought) * (self.output or 0)
            + thought * self.reasoning
            + usage.audio_output * self.audio_output
            + usage.image_output * self.image_output
            + self.request
        )

    def worst(self, input_tokens: int, output_tokens: int, media: bool) -> int | None:
        """Micro-dollars, rounded up, if every token is of the dearest kind."""
        into, out = max(0, input_tokens), max(0, output_tokens)
        if (self.input is None and into) or (self.output is None and out):
            return None
        asked = [self.input or 0, self.cached, self.cache_write, self.cache_write_1h]
        answered = [self.output or 0, self.reasoning]
        if media:
            asked += [self.audio_input, self.cached_audio, self.image_input]
            answered += [self.audio_output, self.image_output]
        return -(-(into * max(asked) + out * max(answered) + self.request) // self.scale)


# For each tier the number of input tokens above which it holds, ascending from -1.
_Tiers = tuple[tuple[int, _Rates], ...]


def _tier(tiers: _Tiers, input_tokens: int) -> _Rates:
    """The dearest step that this many input tokens reach; it holds for all of them."""
    return next((rates for start, rates in reversed(tiers) if input_tokens > start), tiers[0][1])


def _tiers(model: str, prices: Prices, server: str) -> _Tiers | None:
    name = _override(model, prices)
    if name is not None:
        items = tuple(prices[name].items())
        try:
            return _overridden(name, items, tuple(type(value) for _, value in items))
        except TypeError:  # a list or table where a number belongs cannot be looked up
            return ((-1, _checked(name, items)),)
    listed = _listed(model, server)
    return listed.tiers() if isinstance(listed, _Listed) else listed


def _override(model: str, prices: Prices) -> str | None:
    """The name in the settings that stands for a model."""
    if model in prices:
        return model
    wild = [name for name in prices if name.endswith("*") and model.startswith(name[:-1])]
    return max(wild, key=len, default=None)


@functools.lru_cache(maxsize=1024)
def _overridden(name: str, items: tuple[tuple[str, float], ...], types: tuple[type, ...]) -> _Tiers:
    # By types too: True is no price, and equals 1.
    return ((-1, _checked(name, items)),)


def _checked(name: str, items: Iterable[tuple[str, object]]) -> _Rates:
    """The prices of the settings for one model. Raises SettingsError."""
    given: dict[str, Fraction] = {}
    for field, dollars in items:
        where = f'[prices."{name}"] {field}'
        if field not in _FALLBACKS:
            raise SettingsError(
                f"there is no price called {field!r}",
                where=where,
                cure=f"There are {', '.join(_FALLBACKS)}.",
            )
        if (
            isinstance(dollars, bool)
            or not isinstance(dollars, int | float)
            or not 0 <= dollars < inf  # which is false of NaN too
        ):
            raise SettingsError(
                f"{dollars!r} is no price",
                where=where,
                cure="Prices are dollars a million tokens (`request`: a call), from 0 up.",
            )
        given[field] = Fraction(repr(dollars))
    if "request" in given:
        given["request"] *= 1_000_000
        if len(given) == 1:  # a price a call and none a token: tokens are free
            given["input"] = given["output"] = Fraction(0)
    found = {
        field: next((given[each] for each in (field, *others) if each in given), None)
        for field, others in _FALLBACKS.items()
    }
    return _rates(found)


def _rates(values: Mapping[str, Fraction | None]) -> _Rates:
    """Of micro-dollars a token (a dollar a million tokens is one of them)."""
    scale = lcm(*(value.denominator for value in values.values() if value is not None))
    whole = {field: None if v is None else int(v * scale) for field, v in values.items()}
    must = {field: whole[field] or 0 for field in whole if field not in ("input", "output")}
    return _Rates(scale=scale, input=whole["input"], output=whole["output"], **must)


class _Listed:
    """A model that `genai-prices` lists, with its prices made ready."""

    def __init__(self, info: ModelInfo) -> None:
        self._info = info
        self._ready: dict[int, _Tiers | None] = {}

    def tiers(self) -> _Tiers | None:
        """The prices of this moment: some change by date or by the hour. None: it states none."""
        now = self._info.get_prices(datetime.now(UTC))
        # The package keeps its prices for as long as the process: an address stays whose it is.
        if id(now) not in self._ready:
            self._ready[id(now)] = _compiled(vars(now))
        return self._ready[id(now)]


def _compiled(stated: Stated) -> _Tiers | None:
    """Tiers of a `ModelPrice`: each price is a Decimal, or has a base and steps of its own.

    A test compares them with the package's own calculation, for every model it lists. That one
    takes 60 to 130 microseconds a call, this a tenth.
    """
    if stated.get("input_mtok") is None and stated.get("output_mtok") is None:
        return None
    from genai_prices.types import TieredPrices

    stepped = [value for value in stated.values() if isinstance(value, TieredPrices)]
    starts = {-1, *(step.start for value in stepped for step in value.tiers)}
    return tuple((start, _rates(_at(stated, start))) for start in sorted(starts))


def _at(stated: Stated, start: int) -> dict[str, Fraction | None]:
    """The prices above `start` input tokens."""
    from genai_prices.types import TieredPrices

    found: dict[str, Fraction | None] = {}
    for field, names in _LISTED_AS.items():
        value = next((stated[name] for name in names if stated.get(name) is not None), None)
        if isinstance(value, TieredPrices):
            reached = [step.price for step in value.tiers if step.start <= start]
            value = reached[-1] if reached else value.base
        found[field] = None if value is None else Fraction(value)
    if (requests := found["request"]) is not None:
        found["request"] = requests * 1000  # it is in dollars a thousand requests
    return found


@functools.lru_cache(maxsize=4096)
def _listed(model: str, server: str) -> _Listed | _Tiers | None:
    """Whose prices hold for a model: nobody's (it is free), a listed one's, or not known."""
    provider, _, name = model.partition(":")
    addressed = server.startswith(("http://", "https://"))
    if provider in _OURS or (addressed and is_here(server)):
        return _FREE
    if addressed and is_local(server):
        return None
    snapshot = _snapshot()
    try:
        found = snapshot.find_provider(
            None,
            None if addressed else _provider_id(provider, snapshot),
            server if addressed else None,
        )
    except LookupError:
        return None
    name = name.removeprefix("models/").removeprefix("google/") if found.id == "google" else name
    info = found.find_model(name, all_providers=snapshot.providers)
    return None if info is None else _Listed(info)


def _provider_id(provider: str, snapshot: DataSnapshot) -> str:
    """The id of a provider there. Only names that say it: a package's own may contain another."""
    known = _ALIASES.get(provider, provider)
    if not any(each.id == known for each in snapshot.providers):
        raise LookupError(provider)
    return known


@functools.cache
def _snapshot() -> DataSnapshot:
    """The prices that were installed; whoever else in this process updates theirs, not ours."""
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    return DataSnapshot(providers=providers, from_auto_update=False)


_OURS = frozenset({"embedded", "scripted", "hf"})
_ALIASES = {"gemini": "google", "vertex": "google", "xai": "x-ai", "bedrock": "aws"}
# What can be priced, and what holds instead where it is not.
_FALLBACKS: dict[str, tuple[str, ...]] = {
    "input": (),
    "output": (),
    "cached": ("input",),
    "cache_write": ("input",),
    "cache_write_1h": ("cache_write", "input"),
    "audio_input": ("input",),
    "cached_audio": ("audio_input", "cached", "input"),
    "image_input": ("input",),
    "reasoning": ("output",),
    "audio_output": ("output",),
    "image_output": ("output",),
    "request": (),
}
_TOKEN_FIELDS = tuple(field for field in _FALLBACKS if field != "request")
_LISTED_AS: dict[str, tuple[str, ...]] = {
    "input": ("input_mtok",),
    "output": ("output_mtok",),
    "cached": ("cache_read_mtok", "input_mtok"),
    "cache_write": ("cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "audio_input": ("input_audio_mtok", "input_mtok"),
    "cached_audio": (
        "cache_audio_read_mtok",
        "input_audio_mtok",
        "cache_read_mtok",
        "input_mtok",
    ),
    "image_input": ("input_image_mtok", "input_mtok"),
    "reasoning": ("output_reasoning_mtok", "output_mtok"),
    "audio_output": ("output_audio_mtok", "output_mtok"),
    "image_output": ("output_image_mtok", "output_mtok"),
    "request": ("requests_kcount",),
}
_FREE: _Tiers = ((-1, _Rates(1, *[0] * len(_FALLBACKS))),)
