"""From what the Hub says of a model, in JSON, to its facts. Nothing is trusted to be there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onrecord.models.hub.card import ModelFacts, counted, date, filed, stated, whole, word, words
from onrecord.models.hub.names import LANGUAGES


def entry_facts(entry: object, source: str) -> ModelFacts | None:
    """The facts of one entry, as lists and pages of models have them; None if it has no name."""
    if not isinstance(entry, Mapping):
        return None
    name = word(entry.get("id")) or word(entry.get("modelId"))
    if name is None:
        return None
    tags = _tags(entry.get("tags"))
    weights = counted(_inside(entry, "safetensors").get("parameters"))
    card = stated(_inside(entry, "cardData"))
    relation, bases = _bases(tags)
    sizes = dict(_sizes(entry.get("siblings")))
    gated = entry.get("gated")
    facts: dict[str, Any] = {
        "task": word(entry.get("pipeline_tag")),
        "license": next(_after("license:", tags), None),
        "languages": tuple(tag for tag in tags if tag in LANGUAGES and tag != "code"),
        "datasets": tuple(_after("dataset:", tags)),
        "base_models": bases,
        "library": word(entry.get("library_name")),
        **card,
        "base_relation": relation or card.get("base_relation"),
        "parameters": _parameters(entry, sum(each.parameters for each in weights)),
        "weights": weights,
        "files": filed(sizes),
        "architecture": _architecture(entry),
        "context": whole(_inside(entry, "gguf").get("context_length")),
        "gated": gated in ("auto", "manual", True) if gated is not None else None,
        "downloads": whole(entry.get("downloads")),
        "likes": whole(entry.get("likes")),
        "created": date(entry.get("createdAt")),
        "updated": date(entry.get("lastModified")),
    }
    return ModelFacts(name=name, source=source, **facts)


def _parameters(entry: Mapping[str, Any], added: int) -> int | None:
    """How many there are: the Hub's total of the safetensors files, else of the GGUF file."""
    total = whole(_inside(entry, "safetensors").get("total"))
    return total or added or whole(_inside(entry, "gguf").get("total")) or None


def _architecture(entry: Mapping[str, Any]) -> str | None:
    several = words(_inside(entry, "config").get("architectures"))
    return several[0] if several else word(_inside(entry, "gguf").get("architecture"))


def _bases(tags: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """How a model came from which others, by tags `base_model:NAME`, `base_model:finetune:NAME`."""
    plain: list[str] = []
    for tag in _after("base_model:", tags):
        relation, colon, _ = tag.partition(":")
        if colon and relation in ("finetune", "quantized", "adapter", "merge"):
            same = tuple(_after(f"base_model:{relation}:", tags))
            return relation, tuple(dict.fromkeys(same))
        plain.append(tag)
    # The plain tags come first, and the Hub gives each base both ways.
    return None, tuple(dict.fromkeys(plain))


def _sizes(siblings: object) -> Iterator[tuple[str, int | None]]:
    for each in siblings if isinstance(siblings, list) else ():
        if isinstance(each, Mapping) and (path := word(each.get("rfilename"))):
            yield path, whole(each.get("size"))


def _tags(value: object) -> tuple[str, ...]:
    return tuple(tag for tag in value if word(tag)) if isinstance(value, list) else ()


def _after(beginning: str, tags: Sequence[str]) -> Iterator[str]:
    return (tag.removeprefix(beginning) for tag in tags if tag.startswith(beginning))


def _inside(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = entry.get(name)
    return value if isinstance(value, Mapping) else {}
