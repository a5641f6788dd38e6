"""Labels by a model that was fine-tuned to give them, or to tell what follows from what.

A text that is longer than such a model reads is read in parts; what it says of the whole is the
mean of what it says of them, weighted by their lengths. Its calls are on record as a tool's: what
it gives is no completion.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from onrecord.errors import ContextLengthError, UsageError
from onrecord.messages import Usage
from onrecord.models.transformers.pipeline import HFClassifier, Labelled
from onrecord.programs.flow import step
from onrecord.programs.tasks.labels import Label, ranked
from onrecord.programs.tasks.long_inputs import LEAST, cut
from onrecord.programs.tasks.results import LabelResult, joined
from onrecord.programs.tasks.ways import Headed
from onrecord.records.call import call


async def by_head(labels: tuple[Label, ...], way: Headed, text: str) -> LabelResult:
    """One of the labels that a head knows, of these where any are named; of labels that it does not
    know, if it tells entailment. Raises UsageError, ContextLengthError."""
    head = way.head
    known = await asyncio.to_thread(lambda: head.labels)
    entailment = next((name for name in known if name.lower() == "entailment"), None)
    named = [label.name for label in labels]
    if named and not set(named) <= set(known) and entailment is None:
        raise UsageError(
            f"this model knows the labels {', '.join(known)}, and not {', '.join(named)}",
            where=head.name,
            cure="Leave the labels out, or name a model for zero-shot classification (one that "
            "knows 'entailment').",
        )
    if entailment is not None and named:
        return await _by_entailment(labels, way, entailment, text)
    read = await _read(way, text)
    (found,) = read.found
    several = "The model gives a text several labels: the scores are each label's own."
    note = joined(read.note, "" if found.exclusive else several)
    if named:
        kept = {name: found.probabilities[name] for name in found.probabilities if name in named}
        found = msgspec.structs.replace(found, probabilities=kept)
    return LabelResult(
        found.label, found.confidence, dict(found.probabilities), (), head.name, note
    )


async def _by_entailment(
    labels: tuple[Label, ...], way: Headed, entailment: str, text: str
) -> LabelResult:
    """Zero-shot by a model that tells whether one sentence follows from another (Yin, Hay and Roth,
    "Benchmarking Zero-shot Text Classification", 2019): shares of the labels' entailment."""
    read = await _read(way, text, [f"This text is about {label.words}." for label in labels])
    entailed = np.array([each.probabilities[entailment] for each in read.found])
    total = float(entailed.sum())
    scores = ranked([label.name for label in labels], entailed / total if total else entailed)
    label = next(iter(scores))
    note = "The scores are the labels' shares of the probabilities that the text entails them."
    return LabelResult(label, scores[label], scores, (), way.name, joined(note, read.note))


class _Read(NamedTuple):
    """What a head says of a text (beside each claim), and how it was read."""

    found: list[Labelled]
    note: str = ""


async def _read(way: Headed, text: str, claims: Sequence[str] = ()) -> _Read:
    """What a head says of a text, beside each of the claims if there are any; of one that it cannot
    read whole, the mean of its parts."""
    try:
        return _Read(await _said(way.head, [text], claims))
    except ContextLengthError as error:
        parts = await _parts(way, text, claims, error)
    each_claim = [parts[at :: max(len(claims), 1)] for at in range(max(len(claims), 1))]
    note = (
        f"The text is longer than the model reads: the scores are the mean of its "
        f"{len(each_claim[0])} parts, weighted by length."
    )
    return _Read([_mean(found) for found in each_claim], note)


async def _parts(
    way: Headed, text: str, claims: Sequence[str], error: ContextLengthError
) -> list[Labelled]:
    """What a head says of the parts of a text, the longest that it reads. Raises `error`."""

    @step
    async def map_parts(parts: list[str], claims: list[str]) -> list[Labelled]:
        return await _said(way.head, parts, claims)

    # The texts of its marks count for more than one token where they stand in a text, so that what
    # should fit may not: then smaller parts do.
    most = (way.window or WINDOW) - max(map(way.count, claims), default=0) - AROUND
    while most >= LEAST:
        spans = await cut(text, most, way.count)
        if len(spans) > 1:
            with contextlib.suppress(ContextLengthError):
                return await map_parts([text[slice(*span)] for span in spans], list(claims))
        most //= 2
    raise error


async def _said(head: HFClassifier, parts: Sequence[str], claims: Sequence[str]) -> list[Labelled]:
    """Part by part, and for each part claim by claim."""
    if not claims:
        return await _heard(head, parts)
    beside = [claim for _ in parts for claim in claims]
    return await _heard(head, [part for part in parts for _ in claims], beside)


def _mean(found: Sequence[Labelled]) -> Labelled:
    tokens = sum(each.tokens for each in found)
    mean = {
        name: sum(each.probabilities[name] * each.tokens for each in found) / tokens
        for name in found[0].probabilities
    }
    return _likeliest_first(Labelled(mean, tokens, found[0].exclusive))


async def _heard(
    head: HFClassifier, texts: Sequence[str], beside: Sequence[str] | None = None
) -> list[Labelled]:
    """What a head says of texts, on the record."""
    version = await asyncio.to_thread(lambda: head.version)
    shown = {"texts": list(texts), "beside": beside and list(beside)}
    with call("tool", head.name, shown, version=version) as this:
        if (known := this.recall()) is not None:
            this.output = known.output
            return [
                _likeliest_first(each) for each in msgspec.convert(known.output, list[Labelled])
            ]
        this.output = found = await head.classify(texts, beside)
        this.usage, this.cost = Usage(input=sum(each.tokens for each in found)), 0
        return found


def _likeliest_first(found: Labelled) -> Labelled:
    """A record keeps no order of names."""
    in_order = sorted(found.probabilities.items(), key=lambda pair: (-pair[1], pair[0]))
    return msgspec.structs.replace(found, probabilities=dict(in_order))


WINDOW = 512
# The marks of a pair of texts.
AROUND = 4
