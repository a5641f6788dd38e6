"""classify and sentiment: one label for a text, and what shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from onrecord.errors import UsageError
from onrecord.models.model import Embedder, Model
from onrecord.programs.flow import flow, step
from onrecord.programs.tasks.few_shot import Head, fit
from onrecord.programs.tasks.fine_tuned import by_head
from onrecord.programs.tasks.labels import Label, Labels, labels_of, ranked
from onrecord.programs.tasks.long_inputs import Span, cut, map_parts, room
from onrecord.programs.tasks.results import Evidence, LabelResult, dropped, joined, quoted
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
from onrecord.programs.tasks.zero_shot import shares
from onrecord.prompts.prompt import Prompt, prompt
from onrecord.prompts.untrusted import untrusted


class Classifying(msgspec.Struct, frozen=True, kw_only=True):
    """Gives a text one of some labels.

    `labels`: names, or names with what they are for; examples and hf: heads bring their own.
    `examples`: for a generating model they stand in the prompt, else a head is fitted to them.
    `window`: how many tokens of a long text one request to a generating model may hold.
    """

    model: str | Model | None = None
    embedder: str | Embedder | None = None
    labels: Labels = ()
    examples: Examples = None
    instruction: str = ""
    window: int | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        settle_examples(self)
        self.known()

    @flow
    async def classify(self, text: str) -> LabelResult:
        """The label of a text. Raises UsageError, ModelError."""
        return await labelled(self, checked(text))

    def known(self) -> tuple[Label, ...]:
        """The labels with their descriptions, of the examples where none are named."""
        found = self.shown()
        labels = labels_of(self.labels) or self.usual(found)
        return labels or labels_of(dict.fromkeys(str(example.output) for example in found))

    def usual(self, examples: tuple[Example, ...]) -> tuple[Label, ...]:
        """The labels of this task where none are named, and the examples need no other ones."""
        return ()

    def shown(self) -> tuple[Example, ...]:
        """The examples, each with one of the labels. Raises UsageError."""
        found = examples_of(self.examples)
        names = [label.name for label in labels_of(self.labels) or self.usual(found)]
        if found and not names and len({str(example.output) for example in found}) == 1:
            raise UsageError(
                f"all examples have the label '{found[0].output}'",
                cure="Give examples of at least two labels.",
            )
        for example in found:
            if not isinstance(example.output, str) or (names and example.output not in names):
                raise UsageError(
                    f"an example has the label '{example.output}', which is none of the labels",
                    cure=f"The labels are {', '.join(names) or 'texts'}.",
                )
        return found


class Feeling(Classifying, frozen=True, kw_only=True):
    """Tells whether a text is positive, negative or neutral; other labels where they are named.

    A similarity of descriptions tells no sentiment, so without examples it takes a model.
    """

    @flow
    async def sentiment(self, text: str) -> LabelResult:
        """The sentiment of a text. Raises UsageError, ModelError."""
        return await labelled(self, checked(text))

    def usual(self, examples: tuple[Example, ...]) -> tuple[Label, ...]:
        """Positive, negative and neutral."""
        fits = all(example.output in _SENTIMENTS for example in examples)
        return labels_of(_SENTIMENTS) if fits else ()


async def labelled(asked: Classifying, text: str) -> LabelResult:
    """The label of a text in the way that the model asks for."""
    way = await way_of(asked.model, asked.embedder, asked.max_tokens)
    if isinstance(way, Headed):
        if asked.examples is not None:
            raise UsageError(
                "a model that was fine-tuned to label texts takes no examples",
                where=way.name,
                cure="Leave the examples or the model out.",
            )
        return await by_head(labels_of(asked.labels), way, text)
    if isinstance(way, Generating):
        return await _by_prompt(asked, way, text)
    if asked.examples is not None:
        return await _by_examples(asked, way, text)
    if isinstance(asked, Feeling):
        raise OptionError(
            "sentiment needs a model or examples: comparing meanings does not tell it",
            cure="Name a model ({model}), or give examples ({examples}).",
        )
    return await _by_description(asked, way, text)


async def _by_description(asked: Classifying, way: Embedded, text: str) -> LabelResult:
    labels = _wanted(asked)
    spans, left = _sentences(text)
    texts = [text, *(label.words for label in labels), *(text[slice(*span)] for span in spans)]
    vectors = await vectors_of(way.embedder, texts, "texts")
    described = vectors[1 : 1 + len(labels)]
    found = shares(vectors[0] @ described.T)
    sentences = shares(vectors[1 + len(labels) :] @ described.T)
    scores = ranked([label.name for label in labels], found)
    label = next(iter(scores))
    best = next(at for at, each in enumerate(labels) if each.name == label)
    return LabelResult(
        label,
        scores[label],
        scores,
        _shown_by(text, spans, sentences[:, best]),
        way.name,
        joined(
            "The confidence is the label's share among these labels, and calibrated to nothing.",
            left,
            doubts(text, way.embedder),
        ),
    )


async def _by_examples(asked: Classifying, way: Embedded, text: str) -> LabelResult:
    head = await _fitted(asked.shown(), way.embedder)
    spans, left = _sentences(text)
    texts = [text, *(text[slice(*span)] for span in spans)]
    vectors = await vectors_of(way.embedder, texts, "texts")
    found = head.probabilities(vectors)
    scores = ranked(head.labels, found[0])
    label = next(iter(scores))
    evidence = _shown_by(text, spans, found[1:, head.labels.index(label)])
    note = joined(head.said, left, doubts(text, way.embedder))
    return LabelResult(label, scores[label], scores, evidence, way.name, note)


async def _fitted(examples: tuple[Example, ...], embedder: Embedder) -> Head:
    """The head of these examples, fitted once a process for an embedder."""
    key = (embedder.name, embedder.version, tuple((e.text, e.output) for e in examples))
    head = _HEADS.get(key)
    if head is None:

        @step
        async def fit_head(examples: tuple[Example, ...]) -> dict[str, Any]:
            vectors = await vectors_of(embedder, [e.text for e in examples], "examples")
            made = await asyncio.to_thread(fit, vectors, [e.output for e in examples])
            _HEADS[key] = made
            while len(_HEADS) > MOST_HEADS:
                _HEADS.pop(next(iter(_HEADS)))
            return {"labels": list(made.labels), "accuracy": made.accuracy}

        await fit_head(examples)
        head = _HEADS.get(key)
        if head is None:  # the step was on record already, and a record holds no weights
            vectors = await vectors_of(embedder, [e.text for e in examples], "examples")
            head = _HEADS[key] = fit(vectors, [e.output for e in examples])
    return head


class Found(msgspec.Struct, frozen=True):
    """What a model said of a text, or of a part of it: a label, and what shows it."""

    label: str
    evidence: list[str]
    tokens: int


async def _by_prompt(asked: Classifying, way: Generating, text: str) -> LabelResult:
    labels = _wanted(asked)
    asking = _prompt_of(tuple(label.name for label in labels)).using(way.model)
    most = room(way, asked.window)
    spans = await cut(text, most, way.count)

    async def one(part: str) -> Found:
        said = await asking(
            text=part,
            labels=[{"name": label.name, "description": label.description} for label in labels],
            examples=list(asked.shown()),
            instruction=asked.instruction,
        )
        return Found(said.label, said.evidence, way.count(part))

    if len(spans) == 1:
        said = await one(text)
        evidence, missing = quoted(said.evidence, text)
        return LabelResult(said.label, None, {}, evidence, way.name, dropped(missing))
    found = await map_parts([text[slice(*span)] for span in spans], one, Found)
    scores = ranked([label.name for label in labels], _shares(await weigh_parts(found), labels))
    label = next(iter(scores))
    evidence, missing = _evidence(label, found, spans, text)
    note = (
        f"The text was read in {len(spans)} parts of at most {most:,} tokens. The label is that of "
        "most of the text, and the scores are the shares of it that were given each label."
    )
    return LabelResult(label, None, scores, evidence, way.name, joined(note, dropped(missing)))


@step
async def weigh_parts(parts: list[Found]) -> dict[str, float]:
    """The share of a text that was given each label, by the tokens of its parts."""
    total = sum(each.tokens for each in parts) or len(parts)
    shares: dict[str, float] = dict.fromkeys((each.label for each in parts), 0.0)
    for each in parts:
        shares[each.label] += each.tokens / total
    return shares


def _shares(found: Mapping[str, float], labels: Sequence[Label]) -> list[float]:
    return [found.get(label.name, 0.0) for label in labels]


def _evidence(
    label: str, found: Sequence[Found], spans: Sequence[Span], text: str
) -> tuple[tuple[Evidence, ...], list[str]]:
    """What shows the label in the parts that were given it, with its places in the whole text."""
    evidence, missing = list[Evidence](), list[str]()
    for said, (start, end) in zip(found, spans, strict=True):
        if said.label == label:
            here, not_here = quoted(said.evidence, text[start:end])
            evidence += [each.moved(start) for each in here]
            missing += not_here
    return tuple(evidence), missing


def _prompt_of(names: tuple[str, ...]) -> Prompt[..., Any]:
    """The prompt for these labels: its type allows no other ones."""
    said = msgspec.defstruct(
        "Said", [("evidence", list[str]), ("label", Literal[names])], frozen=True
    )

    async def classify_text(
        text: str, labels: list[dict[str, str]], examples: list[Example], instruction: str
    ) -> Any:
        """Label the text."""

    classify_text.__annotations__["return"] = said
    return prompt(untrusted=untrusted("text", max_chars=1_000_000))(classify_text)


def _wanted(asked: Classifying) -> tuple[Label, ...]:
    labels = asked.known()
    if not labels:
        raise OptionError(
            "there are no labels to choose from", cure="Name them: {labels}, or {described}."
        )
    return labels


def _sentences(text: str) -> tuple[list[Span], str]:
    """Where the sentences are that may show a label, and a sentence about those left out."""
    spans = sentences_of(text, 2)
    if len(spans) <= MOST_SENTENCES:
        return spans, ""
    left = f"Evidence was looked for in the first {MOST_SENTENCES} of {len(spans):,} sentences."
    return spans[:MOST_SENTENCES], left


def _shown_by(text: str, spans: list[tuple[int, int]], scores: Any) -> tuple[Evidence, ...]:
    """The sentences that speak most for the label, the best first; of a single one, none: it is
    the text itself."""
    if len(spans) < 2:
        return ()
    best = np.argsort(-np.asarray(scores), kind="stable")[:MOST_SHOWN]
    chosen = [(*spans[at], round(float(scores[at]), 6)) for at in best]
    return tuple(Evidence(text[start:end], start, end, score) for start, end, score in chosen)


_SENTIMENTS = {
    "positive": "the writer is pleased",
    "negative": "the writer is displeased",
    "neutral": "neither, or as much of one as of the other",
}
_HEADS: dict[Any, Head] = {}
MOST_HEADS = 8
MOST_SENTENCES = 256
MOST_SHOWN = 2
