"""Whose a model is, and what is known of it outside of the records: provider, card, price, end."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from onrecord.errors import ModelUnavailableError, OnrecordError
from onrecord.evaluation.audit.calls import Calls
from onrecord.messages import Usage
from onrecord.models.http.addresses import is_local
from onrecord.models.hub.card import ModelFacts
from onrecord.models.prices import price
from onrecord.settings import Settings

WRAPPERS = frozenset({"cached", "cascade", "fallback", "limited", "retry"})
"""The beginnings of names that stand for what Onrecord does around a model."""
OURS = frozenset({"embedded", "scripted"})
"""The providers whose models are a part of Onrecord."""
IN_PROCESS = OURS | {"hf"}
"""The providers whose models run in the process that asks: nothing is sent anywhere."""


class Known(msgspec.Struct, frozen=True):
    """What is known of one model outside of the records. `card` is None where none is at hand, and
    `without` says why. `priced`: a price is known (a free one, too). `deprecated`: the provider is
    said to be giving it up; None where nobody says."""

    card: ModelFacts | None = None
    without: str = ""
    priced: bool = False
    deprecated: bool | None = None


def provider_of(model: str) -> str:
    """The part before the colon."""
    return model.partition(":")[0]


def is_wrapper(model: str) -> bool:
    """Whether a name stands for what is done around a model, and not for a model."""
    return provider_of(model) in WRAPPERS


def addresses(uses: Iterable[Calls]) -> tuple[str, ...]:
    """Where the models of a provider answered: their servers' addresses."""
    return tuple(sorted({each.version for each in uses if "://" in each.version}))


def leaves(provider: str, servers: Iterable[str]) -> bool:
    """Whether what its models are asked leaves this machine and its network, as far as is known:
    where no address says that it does not, it does."""
    if provider in IN_PROCESS:
        return False
    known = list(servers)
    return not known or not all(map(is_local, known))


async def known_of(model: str, version: str, settings: Settings) -> Known:
    """What is known of a model. Nobody is asked over a network."""
    card, without = await _card(model, settings)
    try:
        rate = price(model, Usage(1000, 1000), settings.prices, version)
    except OnrecordError:
        rate = None
    return Known(card, without, rate is not None, _deprecated(model))


async def _card(model: str, settings: Settings) -> tuple[ModelFacts | None, str]:
    if provider_of(model) not in ("hf", "embedded"):
        return None, "the provider publishes what it says of it; Onrecord keeps no card of it"
    from onrecord.models.hub.search import facts

    try:
        return await facts(model, offline=True, home=settings.home), ""
    except ModelUnavailableError:
        return None, "no answer of the Hub's about it is kept, and it was not downloaded"
    except OnrecordError as error:
        return None, error.what


def _deprecated(model: str) -> bool | None:
    """None, too, of a provider of whose models none is marked: nobody keeps that list for it."""
    from genai_prices.data import providers

    provider, _, name = model.partition(":")
    known = next((each for each in providers if each.id == provider), None)
    found = known.find_model(name, all_providers=providers) if known is not None else None
    if known is None or found is None:
        return None
    is_kept = any(each.deprecated for each in known.models)
    return bool(found.deprecated) if found.deprecated or is_kept else None
