"""From a name to a model: `provider:name`.

Built-in providers are in the tables below; others come from installed packages, by the entry point
groups `onrecord.models` and `onrecord.embedders`. An entry point is named after its provider and
gives a callable that takes the part behind the colon.
"""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

import msgspec

from onrecord.calling import Operation
from onrecord.errors import OnrecordError, UnknownNameError, UsageError
from onrecord.models.model import Embedder, Model


class Choice(msgspec.Struct, frozen=True):
    """A model, and one sentence that says why it answers."""

    model: Model
    reason: str


def model(name: str | Model) -> Model:
    """The model of a name such as `openai:gpt-6-luna`; a model is handed back as it is.

    Raises UnknownNameError with the closest name there is. `auto` needs a look around: use
    `choose`.
    """
    if not isinstance(name, str):
        return name
    if name == "auto":
        raise UsageError(
            "'auto' is a choice between models and not one of them",
            cure="Use onrecord.models.names.choose('auto'), or name a model.",
        )
    return cast("Model", _load(name, "model", _MODELS, "onrecord.models"))


def embedder(name: str | Embedder) -> Embedder:
    """The embedder of a name such as `embedded:minilm`; an embedder is handed back as it is.

    Raises UnknownNameError with the closest name there is.
    """
    if not isinstance(name, str):
        return name
    return cast("Embedder", _load(name, "embedder", _EMBEDDERS, "onrecord.embedders"))


@Operation
async def choose(name: str | Model) -> Choice:
    """The model of a name, and why. `auto`: a local server's model, else embedded:extractive."""
    if name != "auto":
        chosen = model(name)
        return Choice(chosen, f"{chosen.name}, as asked for.")
    from onrecord.models.local_server import find_local_server

    found = await find_local_server()
    if found is not None:
        return Choice(found, f"{found.name}, from the server found at {found.version}.")
    return Choice(
        model("embedded:extractive"),
        "embedded:extractive, because no local server was found: it quotes, it does not write.",
    )


def _load(name: str, noun: str, built_in: dict[str, str], group: str) -> object:
    provider, colon, rest = name.partition(":")
    if name in built_in:
        return _shared(built_in[name])
    if rest and provider in built_in:
        return _import(built_in[provider])(rest)
    plugin = _plugin(group, provider) if colon and rest else None
    if plugin is None:
        others = (point.name for point in entry_points(group=group))
        raise _unknown(name, noun, {*built_in, *others})
    try:
        return plugin.load()(rest)
    except OnrecordError:
        raise
    except Exception as error:  # in whatever way; the user has to learn which package it was
        raise UnknownNameError(
            f"the package that provides '{provider}:' failed: {type(error).__name__}: {error}",
            where=plugin.value,
        ) from error


def _plugin(group: str, provider: str) -> EntryPoint | None:
    """The entry point of a provider. A look at all installed packages takes milliseconds, so it is
    looked for where no built-in provider has the name, and kept once it was found."""
    known = (group, provider)
    if known not in _PLUGINS:
        found = {point.name: point for point in entry_points(group=group)}
        if provider not in found:
            return None
        _PLUGINS[known] = found[provider]
    return _PLUGINS[known]


@functools.cache
def _shared(path: str) -> object:
    """What has no settings is made once a process: an embedded model holds its weights."""
    return _import(path)()


def _import(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    return cast("Callable[..., Any]", getattr(importlib.import_module(module), name))


def _unknown(name: str, noun: str, known: Iterable[str]) -> UnknownNameError:
    there = sorted(each if ":" in each else f"{each}:NAME" for each in known)
    if ":" not in name:
        hint = f"openai:{name}"
    else:
        provider, _, rest = name.partition(":")
        whole = difflib.get_close_matches(name, [each for each in known if ":" in each], 1)
        close = difflib.get_close_matches(provider, [each for each in known if ":" not in each], 1)
        hint = whole[0] if whole else f"{close[0]}:{rest or 'NAME'}" if close else ""
    suggestion = f"Did you mean '{hint}'? " if hint else ""
    return UnknownNameError(
        f"there is no {noun} '{name}'", cure=f"{suggestion}There are {', '.join(there)}."
    )


_PLUGINS: dict[tuple[str, str], EntryPoint] = {}
# A whole name is called without arguments, a provider with the part behind the colon.
_MODELS = {
    "anthropic": "onrecord.models.anthropic.api:AnthropicModel",
    "embedded:extractive": "onrecord.models.embedded:Extractive",
    "hf": "onrecord.models.transformers.model:named",
    "openai": "onrecord.models.openai.api:OpenAIModel",
    "scripted": "onrecord.models.scripted:named",
}
_EMBEDDERS = {
    "embedded:minilm": "onrecord.models.minilm:MiniLM",
    "hf": "onrecord.models.transformers.embedder:named",
    "openai": "onrecord.models.openai.embedder:OpenAIEmbedder",
}
