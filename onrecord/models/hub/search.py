"""Choosing a model: search the Hub, and the facts of one model before it is used.

    found = search.run(Filters(task="summarization", max_params="500M"))
    facts.run("google-t5/t5-small"); facts.run("./my-model"); facts.run("embedded:minilm")

Answers are kept in `.onrecord/hub/`. Where the Hub cannot be reached, the kept answer to the same
question is given, and says so in `cached` and `as_of`. What is asked is not a call of a model, and
leaves no record; the token is sent to the Hub and goes nowhere else.
"""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import msgspec

from onrecord.calling import Operation
from onrecord.errors import ModelUnavailableError, OnrecordError, UnknownNameError, UsageError
from onrecord.models.hub.cache import HubCache
from onrecord.models.hub.card import ModelFacts, read_card, training
from onrecord.models.hub.entries import entry_facts
from onrecord.models.hub.filters import Filters, checked, checked_name, query
from onrecord.models.hub.folder import folder_facts
from onrecord.models.hub.names import KNOWN, Noun, closest
from onrecord.models.hub.requests import Hub, NotThereError, connected, hub_endpoint
from onrecord.records.query import moment
from onrecord.settings import Settings

SECONDS = 30.0
"""How long a search, or the facts of a model, may take unless something else is said."""


class Listing(msgspec.Struct, frozen=True):
    """The models that were found, in the order asked for.

    `as_of` is when the Hub was asked; `cached` says why it was not asked anew, and is empty where
    it was. `notes` are sentences on what the list leaves out.
    """

    models: tuple[ModelFacts, ...]
    source: str
    as_of: datetime
    cached: str = ""
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[ModelFacts]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)


@Operation
async def search(
    filters: Filters, *, offline: bool = False, seconds: float = SECONDS, home: Path | None = None
) -> Listing:
    """Find models on the Hub; `filters` says which.

    `offline` gives the kept answer and asks nobody; `home` is the folder of kept answers' parent
    (default: the settings'). The Hub is `HF_ENDPOINT`'s.

    Raises UsageError for a filter that makes no sense, UnknownNameError with the closest name for
    a task, licence or language that does not exist, ModelRefusedError where the Hub refuses, and
    ModelUnavailableError where it cannot be reached within `seconds` and no answer is kept.
    """
    filters = checked(filters)
    cache, question = _cache(home), ("search", hub_endpoint(), filters)
    try:
        if offline:
            raise ModelUnavailableError("the Hub was not asked, as you wished")
        async with connected(seconds) as hub:
            notes = await _check_names(hub, filters)
            found = await _listing(hub, filters, notes)
    except ModelUnavailableError as error:
        kept = cache.find(question, Listing)
        if kept is None:
            raise _nothing_kept(error, "search", _did_you_mean(filters)) from None
        return msgspec.structs.replace(kept, cached=error.what)
    trouble = cache.keep(question, found)
    return msgspec.structs.replace(found, notes=(*found.notes, trouble)) if trouble else found


@Operation
async def facts(
    name: str, *, offline: bool = False, seconds: float = SECONDS, home: Path | None = None
) -> ModelFacts:
    """The facts of one model: of `OWNER/NAME` on the Hub, of a folder, of `embedded:minilm`.

    An `hf:` in front is allowed. Options and errors are those of `search`; UnknownNameError names
    the closest models there are.
    """
    here = await asyncio.to_thread(_local, name)
    if here is not None:
        return here
    return await _hub_facts(checked_name(_bare(name)), offline, seconds, _cache(home))


def _local(name: str) -> ModelFacts | None:
    """The facts of what is on this machine: an embedded model, a folder; None for other names."""
    provider, colon, _ = name.partition(":")
    if name.startswith("embedded:"):
        return _embedded(name)
    folder = Path(os.path.expanduser(_bare(name)))  # noqa: PTH111  # leaves ~nobody as it is
    try:
        if folder.is_dir():
            return folder_facts(folder)
        is_file = folder.is_file()
    except (OSError, ValueError):  # longer than a path can be, or with a NUL in it
        is_file = False
    if is_file:
        raise UsageError(
            f"'{_bare(name)}' is a file, and a model is a folder",
            cure="Name the folder that holds it.",
        )
    if _bare(name).startswith(("/", "./", "../", "~")):
        raise UsageError(
            f"there is no folder '{_bare(name)[:120]}'", cure="Check how it is written."
        )
    if colon and provider != "hf":
        raise UsageError(
            f"what '{name[:120]}' is, only its provider knows",
            cure="Facts are there for models on the Hub (OWNER/NAME), folders and embedded:minilm.",
        )
    return None


def _bare(name: str) -> str:
    """A name without the provider that uses models of the Hub and of folders."""
    return name.removeprefix("hf:")


async def _hub_facts(name: str, offline: bool, seconds: float, cache: HubCache) -> ModelFacts:
    question = ("facts", hub_endpoint(), name)
    try:
        if offline:
            raise ModelUnavailableError("the Hub was not asked, as you wished")
        async with connected(seconds) as hub:
            found = await _page(hub, name)
    except ModelUnavailableError as error:
        kept = cache.find(question, ModelFacts) or await asyncio.to_thread(_downloaded, name)
        if kept is None:
            raise _nothing_kept(error, "model", "") from None
        return msgspec.structs.replace(kept, cached=error.what)
    trouble = cache.keep(question, found)
    warnings = (*found.warnings, trouble)
    return msgspec.structs.replace(found, warnings=warnings) if trouble else found


async def _page(hub: Hub, name: str) -> ModelFacts:
    """A model's facts, from the Hub's page of it and from its card's text."""
    try:
        page = await hub.page(f"/api/models/{name}", {"blobs": "true"})
    except NotThereError as error:
        near = await _near(hub, name)
        hint = f"Did you mean {', '.join(near)}? " if near else ""
        raise UnknownNameError(
            f"there is no model '{name}' that {hub.shown} shows you",
            cure=f"{hint}If it is private or gated, set HF_TOKEN."
            if error.what.endswith("(401)")
            else hint.strip(),
        ) from None
    found = entry_facts(page.value, hub.address)
    if found is None:
        raise ModelUnavailableError(
            f"what {hub.shown} says of '{name}' cannot be read", cure=_NO_HUB
        )
    said = ""
    warnings: tuple[str, ...] = ()
    try:
        said = training(read_card(await hub.text(found.name, "README.md")).text)
    except NotThereError:
        warnings = ("there is no card (README.md)",)
    except OnrecordError as error:
        warnings = (f"the card's text could not be read: {error.what}",)
    return msgspec.structs.replace(
        found, training=said, warnings=warnings, as_of=datetime.now(UTC).replace(microsecond=0)
    )


async def _listing(hub: Hub, filters: Filters, notes: list[str]) -> Listing:
    """Pages until there are enough models; what the Hub has no filter for is sorted out here."""
    models: dict[str, ModelFacts] = {}
    looked = 0
    async for found in _entries(hub, filters):
        looked += 1
        if _is_past(found, filters):
            break
        if _fits(found, filters):
            models.setdefault(found.name, found)
        if len(models) == filters.limit:
            break
        if looked == _MOST_LOOKED_AT:
            notes.append(
                f"the first {looked:,} models were looked through, and others may fit; sort by "
                "what you filter by, or filter by more"
            )
            break
    if filters.min_params is not None or filters.max_params is not None:
        notes.append("models whose size the Hub does not know are left out")
    asked = datetime.now(UTC).replace(microsecond=0)
    return Listing(tuple(models.values()), hub.address, asked, notes=tuple(notes))


async def _entries(hub: Hub, filters: Filters) -> AsyncIterator[ModelFacts]:
    # Where the Hub does the filtering, it need not send more than is wanted.
    sifted = filters.min_downloads or filters.min_likes or filters.updated_since
    asked: Any = query(filters, page=100 if sifted else min(filters.limit, 100))
    for _ in range(_MOST_PAGES):
        page = await hub.page("/api/models", asked)
        if not isinstance(page.value, list):
            raise ModelUnavailableError(
                f"{hub.shown} did not answer with a list of models", cure=_NO_HUB
            )
        for entry in page.value:
            if (found := entry_facts(entry, hub.address)) is not None:
                yield found
        if page.following is None or not page.value:
            return
        asked = page.following


def _fits(found: ModelFacts, filters: Filters) -> bool:
    """Whether a model is as asked for, in what the Hub may not have looked at."""
    least, most = filters.min_params, filters.max_params
    size = found.parameters
    if (least is not None or most is not None) and size is None:
        return False
    return (
        (least is None or size is None or size >= int(least))
        and (most is None or size is None or size <= int(most))
        and (found.downloads or 0) >= (filters.min_downloads or 0)
        and (found.likes or 0) >= (filters.min_likes or 0)
        and not _is_old(found, filters)
    )


def _is_past(found: ModelFacts, filters: Filters) -> bool:
    """Whether, in this order, no model from here on can fit."""
    return (
        (filters.sort == "downloads" and _below(found.downloads, filters.min_downloads))
        or (filters.sort == "likes" and _below(found.likes, filters.min_likes))
        or (filters.sort == "updated" and found.updated is not None and _is_old(found, filters))
    )


def _below(value: int | None, least: int | None) -> bool:
    return value is not None and least is not None and value < least


def _is_old(found: ModelFacts, filters: Filters) -> bool:
    if filters.updated_since is None:
        return False
    return found.updated is None or found.updated.timestamp() * 1e9 < moment(filters.updated_since)


async def _check_names(hub: Hub, filters: Filters) -> list[str]:
    """Refuse names that neither we nor the Hub know. Sentences on what could not be checked."""
    notes = []
    for noun, name in _names(filters):
        if name in KNOWN[noun]:
            continue
        there = await _names_there(hub, noun)
        if there is None:
            notes.append(f"whether there is a {noun} '{name}' could not be checked")
        elif name not in there:
            near = closest(noun, name, {*KNOWN[noun], *there})
            hint = f"Did you mean {near}? " if near else ""
            raise UnknownNameError(
                f"the Hub has no {noun} '{name[:120]}'",
                cure=f"{hint}Its names are at {hub.shown}/models.",
            )
    return notes


async def _names_there(hub: Hub, noun: Noun) -> frozenset[str] | None:
    """The names that the Hub itself has, None where it does not tell."""
    kind = "pipeline_tag" if noun == "task" else noun
    try:
        table = (await hub.page("/api/models-tags-by-type", {"type": kind})).value
    except OnrecordError:
        return None
    entries = table.get(kind) if isinstance(table, dict) else None
    if not isinstance(entries, list):
        return None
    ids = (each.get("id") for each in entries if isinstance(each, dict))
    return frozenset(id.removeprefix(f"{kind}:") for id in ids if isinstance(id, str))


def _names(filters: Filters) -> Iterator[tuple[Noun, str]]:
    if filters.task is not None:
        yield "task", filters.task
    if filters.license is not None:
        yield "license", filters.license
    for language in filters.languages:
        yield "language", language


def _did_you_mean(filters: Filters) -> str:
    """For a search that cannot be answered: names in it that look mistyped."""
    near = (
        closest(noun, name, KNOWN[noun])
        for noun, name in _names(filters)
        if name not in KNOWN[noun]
    )
    return " ".join(f"Did you mean {each}?" for each in near if each)


async def _near(hub: Hub, name: str) -> list[str]:
    """The models there are whose names are closest to one there is not, three at most."""
    owner, slash, last = name.rpartition("/")
    questions = [{"search": last[: max(3, len(last) * 2 // 3)]}]
    if slash:
        questions.append({"author": owner})
    names: set[str] = set()
    for question in questions:
        try:
            page = await hub.page("/api/models", {**question, "sort": "downloads", "limit": "100"})
        except OnrecordError:
            continue
        entries: Iterable[object] = page.value if isinstance(page.value, list) else ()
        read = (entry_facts(each, hub.address) for each in entries)
        names.update(each.name for each in read if each is not None)
    by_last = {each.rpartition("/")[2].lower(): each for each in sorted(names)}
    near = difflib.get_close_matches(name, names, 3, 0.7)
    ends = difflib.get_close_matches(last.lower(), by_last, 3, 0.7)
    return list(dict.fromkeys([*near, *(by_last[each] for each in ends)]))[:3]


def _embedded(name: str) -> ModelFacts:
    folders = {"embedded:minilm": "data/minilm"}
    if name not in folders:
        raise UnknownNameError(
            f"there is no card of '{name}'",
            cure="Of the embedded models embedded:minilm has one: the others have no weights.",
        )
    with as_file(files("onrecord") / folders[name]) as folder:
        found = folder_facts(folder, name=name, source="embedded")
    return msgspec.structs.replace(found, updated=None)  # its files' dates are the installation's


def _downloaded(name: str) -> ModelFacts | None:
    """The facts of a model that huggingface_hub has downloaded before; None if it has not."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    if not isinstance(found, str):
        return None
    read = folder_facts(Path(found).parent, name=name)
    return msgspec.structs.replace(read, as_of=None, updated=None)  # the dates of the download


def _nothing_kept(error: ModelUnavailableError, what: str, hint: str) -> ModelUnavailableError:
    new = ModelUnavailableError(
        f"{error.what}, and no answer about this {what} is kept from before",
        cure=" ".join(filter(None, [hint, error.cure or "Try it again with the network."])),
    )
    new.retry_after = error.retry_after
    return new


def _cache(home: Path | None) -> HubCache:
    return HubCache((home or Settings.load().home) / "hub")


_NO_HUB = "Check that HF_ENDPOINT, if you set it, is a Hub."
_MOST_LOOKED_AT = 2000
_MOST_PAGES = 40
