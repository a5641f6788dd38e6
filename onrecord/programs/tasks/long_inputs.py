"""Texts that are longer than a model reads: cut at their seams, done in parts, on the record.

map-reduce   each part for itself, at the same time; then what came of them together, in as
             many rounds as it takes. Parts do not know of each other.
refine       one part after the other, each with what came of those before it. Slower; the
             first part has been carried through all calls at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar, cast

from onrecord.calling import emit, listening, overhearing
from onrecord.errors import OutputError
from onrecord.messages import Progress
from onrecord.models.model import Embedder
from onrecord.models.names import embedder as embedder_of
from onrecord.programs.flow import step
from onrecord.programs.tasks.ways import Count, Generating
from onrecord.retrieval.document import Document
from onrecord.retrieval.splitting.structure import Structure

Long = Literal["map-reduce", "refine"]
Span = tuple[int, int]
T = TypeVar("T")


def room(way: Generating, asked: int | None, *, alone: bool = False) -> int:
    """How many tokens of text one request may hold.

    What is asked for; else half of what the model reads, where that is known (the other half is
    for the instruction and the answer); else `UNKNOWN`. `alone`: nothing but a few words is sent
    with it, and the answer takes no room (an encoder-decoder model, asked as it was trained).
    """
    if asked is not None:
        return asked
    if way.window is None:
        return UNKNOWN
    share = way.window * 4 // 5 if alone else way.window // 2
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
    spans: list[Span] = []
    size = 0
    for start, end in _pieces(text, most, count, encoder, min(most // 2, encoder.max_tokens)):
        # The sum of the pieces: what they are together has a few tokens less, and to count that
        # for each more piece takes the square of the time.
        more = count(text[spans[-1][1] if spans else 0 : end])
        size += more
        if spans and size <= most:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
            size = more
    return spans


def _pieces(text: str, most: int, count: Count, encoder: Embedder, size: int) -> Iterator[Span]:
    """Pieces between the seams of a text, of `size` of the embedder's tokens; smaller ones where
    the model makes more tokens of a text than the embedder does."""
    size = max(size, LEAST)
    for chunk in Structure(encoder, max_tokens=size).split(Document("text", "", text)):
        if size > LEAST and count(chunk.text) > most:
            for start, end in _pieces(chunk.text, most, count, encoder, size // 2):
                yield chunk.start + start, chunk.start + end
        else:
            yield chunk.start, chunk.end


async def map_parts(
    parts: Sequence[str], do: Callable[[str], Awaitable[T]], gives: type[T] | None = None
) -> list[T]:
    """What comes of each part, in order; at most `TOGETHER` at the same time, a step each.

    `gives`: the type of that (default: a text), which a resumed run makes of its record again.
    """
    done = 0
    gate = asyncio.Semaphore(TOGETHER)

    async def map_part(number: int, part: str) -> Any:
        with overhearing(_nobody):  # the words of the parts are not those of the result
            return await do(part)

    map_part.__annotations__["return"] = gives or str
    recorded = step(map_part)

    async def one(number: int, part: str) -> T:
        nonlocal done
        async with gate:
            made = await recorded(number, part)
        done += 1
        emit(Progress("parts", done, len(parts)))
        return cast("T", made)

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
