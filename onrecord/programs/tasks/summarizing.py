"""summarize: by a model that writes, or by the sentences at the centre of the text."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from onrecord.errors import UsageError
from onrecord.models.model import Embedder, Model
from onrecord.programs.flow import flow, step
from onrecord.programs.tasks.centrality import central, centrality
from onrecord.programs.tasks.long_inputs import (
    Long,
    Span,
    cut,
    map_reduce,
    refine,
    room,
)
from onrecord.programs.tasks.prefixes import prefix_of, written
from onrecord.programs.tasks.results import Evidence, TextResult, joined
from onrecord.programs.tasks.spelling import OptionError
from onrecord.programs.tasks.texts import (
    Example,
    Examples,
    checked,
    doubts,
    examples_of,
    sentences_of,
    settle_examples,
    vectors_of,
)
from onrecord.programs.tasks.ways import Embedded, Generating, Headed, way_of
from onrecord.prompts.prompt import prompt
from onrecord.prompts.untrusted import untrusted
from onrecord.retrieval.splitting.markup import markup_blocks


class Summarizing(msgspec.Struct, frozen=True, kw_only=True):
    """Says in a few sentences what a text says.

    `long`: what is done with a text that is longer than the model reads; `window`: how many tokens
    of it one request may hold. `prefix`: what is put before the text for an encoder-decoder model
    (default: what its files say). Without a model, `sentences` of the text itself are chosen.
    """

    model: str | Model | None = None
    embedder: str | Embedder | None = None
    sentences: int = 3
    instruction: str = ""
    examples: Examples = None
    long: Long = "map-reduce"
    window: int | None = None
    max_tokens: int | None = None
    prefix: str | None = None

    def __post_init__(self) -> None:
        settle_examples(self)
        if not 1 <= self.sentences <= MOST:
            raise OptionError(
                f"{self.sentences} is out of range", cure=f"{{sentences:alone}} may be 1 to {MOST}."
            )

    @flow
    async def summarize(self, text: str) -> TextResult:
        """The summary of a text. Raises UsageError, ModelError."""
        way = await way_of(self.model, self.embedder, self.max_tokens)
        if isinstance(way, Headed):
            raise UsageError(
                "this model labels texts and cannot summarize one",
                where=way.name,
                cure="Name one that writes, or none: then sentences of the text are chosen.",
            )
        if isinstance(way, Embedded):
            return await _chosen(checked(text), self.sentences, way.embedder)
        return await _written(self, way, checked(text))


async def _chosen(text: str, most: int, embedder: Embedder) -> TextResult:
    spans = await asyncio.to_thread(_sentences, text)
    note = "Sentences of the text itself, chosen by how central they are; nothing is written."
    if len(spans) > TOGETHER:
        blocks = [spans[at : at + TOGETHER] for at in range(0, len(spans), TOGETHER)]
        several = max(most, TOGETHER // len(blocks))

        @step
        async def map_block(block: list[Span]) -> list[Evidence]:
            return await _ranked(text, block, several, embedder)

        found = [each for block in blocks for each in await map_block(block)]
        spans = [(each.start, each.end) for each in found][: 2 * TOGETHER]
        note += f" In two rounds: first within {len(blocks)} blocks of sentences."
    evidence = await _ranked(text, spans, most, embedder)
    words = " ".join(" ".join(each.quote.split()) for each in evidence)
    note = joined(note, doubts(text, embedder))
    return TextResult(words, None, tuple(evidence), embedder.name, note)


def _sentences(text: str) -> list[Span]:
    """The sentences of its prose; all of them, where most of a text is code, tables and titles."""
    spans = sentences_of(text, LEAST_WORDS)
    prose = [b for b in markup_blocks(text, "markdown") if b.kind in ("prose", "item")]
    starts = [block.start for block in prose]
    kept = []
    for start, end in spans:
        at = bisect_right(starts, start) - 1
        if at >= 0 and start < prose[at].end:
            kept.append((start, end))
    return kept if 2 * len(kept) >= len(spans) else spans


async def _ranked(
    text: str, spans: Sequence[Span], most: int, embedder: Embedder
) -> list[Evidence]:
    """The most central sentences, in the order of the text."""
    vectors = await vectors_of(embedder, [text[slice(*span)] for span in spans], "sentences")
    scores = centrality(vectors)
    return [
        Evidence(text[slice(*spans[at])], *spans[at], round(float(scores[at]), 6))
        for at in sorted(central(vectors, scores, most))
    ]


async def _written(asked: Summarizing, way: Generating, text: str) -> TextResult:
    most = room(way, asked.window, alone=way.trained is not None)
    spans = await cut(text, most, way.count)

    async def one(part: str) -> str:
        if way.trained is not None:
            return await written(way.model, prefix_of(way, "summarize", asked.prefix) + part)
        return await summarize_text.using(way.model)(
            part, asked.sentences, list(examples_of(asked.examples)), asked.instruction
        )

    async def combine(summaries: str) -> str:
        if way.trained is not None:  # it knows one thing: to summarize
            return await one(summaries)
        return await combine_summaries.using(way.model)(
            summaries, asked.sentences, asked.instruction
        )

    async def carry(summary: str, part: str) -> str:
        if way.trained is not None:
            return await one(f"{summary}\n\n{part}")
        return await refine_summary.using(way.model)(
            summary, part, asked.sentences, asked.instruction
        )

    if len(spans) == 1:
        return TextResult(await one(text), None, (), way.name)
    if asked.long == "refine":
        made = await refine(text, spans, one, carry)
    else:
        made = await map_reduce(text, spans, most, way.count, one, combine)
    note = f"The text was read in {len(spans)} parts of at most {most:,} tokens ({asked.long})."
    return TextResult(made, None, (), way.name, note)


@prompt(untrusted=untrusted("text", max_chars=1_000_000))
async def summarize_text(
    text: str, sentences: int, examples: list[Example], instruction: str
) -> str:
    """Summarize the text."""
    raise AssertionError("a prompt's body is never run")


@prompt(untrusted=untrusted("summaries", max_chars=1_000_000))
async def combine_summaries(summaries: str, sentences: int, instruction: str) -> str:
    """Make one summary of the summaries of the parts."""
    raise AssertionError("a prompt's body is never run")


@prompt(untrusted=untrusted("summary", "text", max_chars=1_000_000))
async def refine_summary(summary: str, text: str, sentences: int, instruction: str) -> str:
    """Carry the summary on over the next part."""
    raise AssertionError("a prompt's body is never run")


MOST = 100
# A heading or a caption is no sentence of a summary, where there are others.
LEAST_WORDS = 5
# Sentences that are compared with each other at once: 8 MB, and some seconds of embedding.
TOGETHER = 1_000
