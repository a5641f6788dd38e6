"""From a name to a model: `provider:name`.

Built-in providers are in the tables below; others come from installed packages, by the entry point
groups `onrecord.models` and `onrecord.embedders`. An entry point is named after its provider and
gives a callable that takes the part behind the colon.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

import msgspec

from onrecord.arguments import closest
from onrecord.calling import Operation
from onrecord.errors import OnrecordError, UnknownNameError, UsageError
from onrecord.models.model import Embedder, Model


class Choice(msgspec.Struct, frozen=True):
    """A model, and one sentence that says why it answers."""

    model: Model
    reason: str


def model(
    name: str | Model,
    *,
    base_url: str | None = None,
    key: str | None = None,
    timeout: float | None = None,
    **options: Any,
) -> Model:
    """The model of a name such as `openai:gpt-6-luna`; a model is handed back as it is.

    `base_url`, `key` and `timeout` (seconds between two signs of life) are the server's, of
    `openai:` and `anthropic:`: without them the environment's, and 120 seconds. Other `options` are
    those that the provider takes (`api_version` of `anthropic:`). Two servers at once:

        here = on.model("openai:qwen3", base_url="http://localhost:11434/v1", timeout=600)
        model = on.fallback(here, "openai:gpt-6-luna")

    Raises UnknownNameError with the closest name there is, UsageError for an option that the
    provider does not take and for what is no model. `auto` needs a look around: use `choose`.
    """
    given = _given(base_url=base_url, key=key, timeout=timeout, **options)
    if not isinstance(name, str):
        return cast("Model", _made(name, "model", "stream", given))
    if name == "auto":
        raise UsageError(
            "'auto' is a choice between models and not one of them",
            cure="Use onrecord.models.names.choose('auto'), or name a model.",
        )
    return cast("Model", _load(name, "model", _MODELS, "onrecord.models", given))


def embedder(
    name: str | Embedder,
    *,
    base_url: str | None = None,
    key: str | None = None,
    timeout: float | None = None,
    **options: Any,
) -> Embedder:
    """The embedder of a name such as `embedded:minilm`; an embedder is handed back as it is.

    The options are those of `model`; `openai:` also takes `dimensions` and `max_tokens`. Raises
    UnknownNameError with the closest name there is, UsageError.
    """
    given = _given(base_url=base_url, key=key, timeout=timeout, **options)
    if not isinstance(name, str):
        return cast("Embedder", _made(name, "embedder", "embed", given))
    return cast("Embedder", _load(name, "embedder", _EMBEDDERS, "onrecord.embedders", given))


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


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _made(value: object, noun: str, method: str, options: dict[str, Any]) -> object:
    """A model or an embedder that somebody has made. Its version is not asked: that may read a
    folder. A prompt has a name and a stream, too."""
    usable = isinstance(getattr(value, "name", None), str) and callable(
        getattr(value, method, None)
    )
    if isinstance(value, type):
        raise UsageError(
            f"{value.__name__} is a class and no {noun}", cure=f"Make one: {value.__name__}(...)."
        )
    if isinstance(value, Operation) or not usable:
        what = repr(value)
        if isinstance(value, Operation):
            what = f"the function '{getattr(value, '__name__', '')}'"
        raise UsageError(
            f"{what:.80} is no {noun}",
            cure=f"Give a name such as 'openai:NAME', or an object with `name`, `version` and"
            f" `{method}`.",
        )
    if options:
        raise UsageError(
            f"a {noun} that is made already takes no {', '.join(options)}",
            cure="Give them where it is made.",
        )
    return value


def _load(
    name: str, noun: str, built_in: dict[str, str], group: str, options: dict[str, Any]
) -> object:
    provider, _, rest = name.partition(":")
    if rest and name in built_in:
        if options:
            return _called(_import(built_in[name]), (), options, name)
        return _shared(built_in[name])
    if rest and provider in built_in:
        return _called(_import(built_in[provider]), (rest,), options, f"{provider}:")
    plugin = _plugin(group, provider) if rest else None
    if plugin is None:
        others = (point.name for point in entry_points(group=group))
        raise _unknown(name, noun, {*built_in, *others})
    try:
        return _called(plugin.load(), (rest,), options, f"{provider}:")
    except OnrecordError:
        raise
    except Exception as error:  # in whatever way; the user has to learn which package it was
        raise UnknownNameError(
            f"the package that provides '{provider}:' failed: {type(error).__name__}: {error}",
            where=plugin.value,
        ) from error


def _called(
    make: Callable[..., Any], args: tuple[str, ...], options: dict[str, Any], whose: str
) -> object:
    """What a provider makes of a name. Raises UsageError for an option that it does not take."""
    if options:
        parameters = list(inspect.signature(make).parameters.values())[len(args) :]
        takes = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
        for option in options:
            if option not in takes and len(takes) == len(parameters):
                there = f"It takes {', '.join(takes)}." if takes else "It takes none."
                raise UsageError(
                    f"{whose} takes no option '{option}'", cure=closest(option, takes) + there
                )
    return make(*args, **options)


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


def _unknown(name: str, noun: str, known: Collection[str]) -> UnknownNameError:
    there = sorted(each if ":" in each else f"{each}:NAME" for each in known)
    hint = _meant(name, known)
    suggestion = f"Did you mean '{hint}'? " if hint else ""
    return UnknownNameError(
        f"there is no {noun} '{name:.200}'", cure=f"{suggestion}There are {', '.join(there)}."
    )


def _meant(name: str, known: Collection[str]) -> str:
    """The name that may have been meant; empty where nobody can tell."""
    provider, colon, rest = name.partition(":")
    if not provider.strip():
        return ""
    whole = difflib.get_close_matches(name, [each for each in known if ":" in each], 1)
    close = difflib.get_close_matches(provider, [each for each in known if ":" not in each], 1)
    if whole or close:
        return whole[0] if whole else f"{close[0]}:{rest or 'NAME'}"
    if colon:
        return ""
    return f"hf:{name}" if _is_folder(name) else f"openai:{name}"


def _is_folder(name: str) -> bool:
    try:
        return Path(name).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):  # no path at all, or of nobody's home
        return False


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
