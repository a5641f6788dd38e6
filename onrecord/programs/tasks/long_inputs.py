"""Texts that are longer than a model reads: cut at their seams, done in parts, on the record.

map-reduce   each part for itself, at the same time; then what came of them together, in as
             many rounds as it takes. Parts do not know of each other.
refine       one part after the other, each with what came of those before it. Slower; the
             first part has been carried through all calls at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from onrecord.calling import emit, listening, overhearing
from onrecord.errors import OutputError, UsageError
from onrecord.messages import Progress
from onrecord.models.model import Embedder
from onrecord.models.names import embedder as embedder_of
from onrecord.programs.flow import step
from onrecord.programs.tasks.ways import Count, Generating
from onrecord.retrieval.document import Document
from onrecord.retrieval.splitting.structure import Structure

Long = Literal["map-reduce", "refine"]
Span = tuple[int, int]


def check_long(long: str) -> None:
    """Raises UsageError for a strategy that there is not."""
    if long not in ("map-reduce", "refine"):
        raise UsageError(
            f"long='{long}' is neither 'map-reduce' nor 'refine'",
            cure="Choose how a text is done that is longer than the model reads.",
        )


def room(way: Generating, asked: int | None) -> int:
    """How many tokens of text one request may hold.

    What is asked for; else half of what the model reads, where that is known (the other half is
    for the instruction and the answer; an encoder-decoder model has only the first to share); else
    `UNKNOWN`.
    """
    if asked is not None:
        if asked < LEAST:
            raise UsageError(f"window={asked} is out of range", cure=f"Give {LEAST} or more.")
        return asked
    if way.window is None:
        return UNKNOWN
    share = way.window * 4 // 5 if way.trained is not None else way.window // 2
    return max(share, LEAST)


async def cut(
    text: str, most: int, count: Count | None = None, encoder: Embedder | None = None
) -> list[Span]:
    """Spans of a text of at most `most` tokens each, as `count` counts; in order.

    The retrieval's splitter finds the seams (headings, paragraphs, sentences); neighbours are put
    together while they fit.
    """
    encoder = encoder or embedder_of("embedded:minilm")
    count = count or (lambda words: len(encoder.tokens(words)))
    return await asyncio.to_thread(_cut, text, most, count, encoder)


def _cut(text: str, most: int, count: Count, encoder: Embedder) -> list[Span]:
    if count(text) <= most:
        return [(0, len(text))]
    size = max(min(most // 2, encoder.max_tokens), LEAST)
    splitter = Structure(encoder, max_tokens=size)
    spans: list[Span] = []
    for chunk in splitter.split(Document("text", "", text)):
        start = spans[-1][0] if spans else 0
        if spans and count(text[start : chunk.end]) <= most:
            spans[-1] = (start, chunk.end)
        else:
            spans.append((chunk.start, chunk.end))
    return spans


async def map_parts(parts: Sequence[str], do: Callable[[str], Awaitable[str]]) -> list[str]:
    """What comes of each part, in order; at most `TOGETHER` at the same time, a step each."""
    done = 0
    gate = asyncio.Semaphore(TOGETHER)

    @step
    async def map_part(number: int, part: str) -> str:
        with overhearing(_nobody):  # the words of the parts are not those of the result
            return await do(part)

    async def one(number: int, part: str) -> str:
        nonlocal done
        async with gate:
            made = await map_part(number, part)
        done += 1
        emit(Progress("parts", done, len(parts)))
        return made

    return list(await asyncio.gather(*(one(at, part) for at, part in enumerate(parts, 1))))


async def map_reduce(
    text: str,
    spans: Sequence[Span],
    most: int,
    count: Count,
    do: Callable[[str], Awaitable[str]],
    combine: Callable[[str], Awaitable[str]],
) -> str:
    """Each part by `do`; what came of them, together, by `combine`. Raises OutputError where the
    parts do not get shorter."""
    made = await map_parts([text[slice(*span)] for span in spans], do)

    @step
    async def reduce_parts(parts: list[str]) -> str:
        return await combine("\n\n".join(parts))

    size = count("\n\n".join(made))
    while size > most:
        before, groups = size, _groups(made, most, count)
        if len(groups) < len(made):
            made = await map_parts(["\n\n".join(group) for group in groups], combine)
        size = count("\n\n".join(made))
        if size >= before:
            raise OutputError(
                "what the model makes of the parts does not get shorter than the parts",
                where="map-reduce",
                cure="Ask for fewer sentences, or name a model that reads more.",
            )
    return await reduce_parts(made)


async def refine(
    text: str,
    spans: Sequence[Span],
    do: Callable[[str], Awaitable[str]],
    carry: Callable[[str, str], Awaitable[str]],
) -> str:
    """The first part by `do`, each other one by `carry` with what there is so far."""

    @step
    async def refine_part(number: int, so_far: str, part: str) -> str:
        if number == 1:
            return await do(part)
        return await carry(so_far, part)

    listener, made = listening(), ""
    for number, span in enumerate(spans, 1):
        last = number == len(spans)
        with overhearing(listener if last and listener else _nobody):
            made = await refine_part(number, made, text[slice(*span)])
        emit(Progress("parts", number, len(spans)))
    return made


def _groups(texts: Sequence[str], most: int, count: Count) -> list[list[str]]:
    """Neighbours together while they fit."""
    groups: list[list[str]] = []
    for text in texts:
        if groups and count("\n\n".join([*groups[-1], text])) <= most:
            groups[-1].append(text)
        else:
            groups.append([text])
    return groups


def _nobody(event: object) -> None:
    pass


# Where nobody knows how much a model reads: every current one reads this.
UNKNOWN = 3_000
LEAST = 16
TOGETHER = 4
