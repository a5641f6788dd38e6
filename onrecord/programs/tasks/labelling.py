"""classify and sentiment: one label for a text, and what shows it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from onrecord.errors import ContextLengthError, UsageError
from onrecord.messages import Usage
from onrecord.models.model import Embedder, Model
from onrecord.models.transformers.pipeline import HFClassifier, Labelled
from onrecord.programs.flow import flow, step
from onrecord.programs.tasks.few_shot import Head, fit
from onrecord.programs.tasks.long_inputs import cut
from onrecord.programs.tasks.results import Evidence, LabelResult, dropped, quoted
from onrecord.programs.tasks.texts import (
    Example,
    Examples,
    checked,
    examples_of,
    sentences_of,
    settle_examples,
    vectors_of,
)
from onrecord.programs.tasks.ways import Embedded, Generating, Headed, way_of
from onrecord.programs.tasks.zero_shot import shares
from onrecord.prompts.prompt import Prompt, prompt
from onrecord.prompts.untrusted import untrusted
from onrecord.records.call import call

Labels = Sequence[str] | Mapping[str, str]


class Label(NamedTuple):
    """A label, and in words what it is for."""

    name: str
    description: str = ""

    @property
    def words(self) -> str:
        """What is compared with a text."""
        return f"{self.name}: {self.description}" if self.description else self.name


class Classifying(msgspec.Struct, frozen=True, kw_only=True):
    """Gives a text one of some labels.

    `labels`: names, or names with what they are for; examples and hf: heads bring their own.
    `examples`: for a generating model they stand in the prompt, else a head is fitted to them.
    """

    model: str | Model | None = None
    embedder: str | Embedder | None = None
    labels: Labels = ()
    examples: Examples = None
    instruction: str = ""

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
    way = await way_of(asked.model, asked.embedder)
    if isinstance(way, Headed):
        return await _by_head(asked, way.head, text)
    if isinstance(way, Generating):
        return await _by_prompt(asked, way.model, text)
    if asked.examples is not None:
        return await _by_examples(asked, way, text)
    if isinstance(asked, Feeling):
        raise UsageError(
            "sentiment needs a model or examples: comparing meanings does not tell it",
            cure="Name a model (model='hf:NAME'), or give examples=[(text, label), …].",
        )
    return await _by_description(asked, way, text)


def labels_of(given: Labels | Iterable[str]) -> tuple[Label, ...]:
    """Labels with their descriptions. Raises UsageError for what is none."""
    if isinstance(given, str):
        given = [each.strip() for each in given.split(",")]
    pairs = given.items() if isinstance(given, Mapping) else [(each, "") for each in given]
    labels = tuple(Label(name, words or "") for name, words in pairs)
    names = [label.name for label in labels]
    if any(not isinstance(name, str) or not name.strip() for name in names):
        raise UsageError("a label is empty", cure="Name the labels: labels=['a', 'b'].")
    if len(set(names)) < len(names):
        raise UsageError("a label is named twice", cure="Name each label once.")
    if len(names) == 1:
        raise UsageError(f"there is only the label '{names[0]}'", cure="Name two labels or more.")
    return labels


async def _by_description(asked: Classifying, way: Embedded, text: str) -> LabelResult:
    labels = _wanted(asked)
    spans = sentences_of(text, 2)[:MOST_SENTENCES]
    texts = [text, *(label.words for label in labels), *(text[slice(*span)] for span in spans)]
    vectors = await vectors_of(way.embedder, texts, "texts")
    described = vectors[1 : 1 + len(labels)]
    found = shares(vectors[0] @ described.T)
    sentences = shares(vectors[1 + len(labels) :] @ described.T)
    scores = _ranked([label.name for label in labels], found)
    label = next(iter(scores))
    best = next(at for at, each in enumerate(labels) if each.name == label)
    return LabelResult(
        label,
        scores[label],
        scores,
        _shown_by(text, spans, sentences[:, best]),
        way.name,
        "The confidence is the label's share among these labels, and calibrated to nothing.",
    )


async def _by_examples(asked: Classifying, way: Embedded, text: str) -> LabelResult:
    head = await _fitted(asked.shown(), way.embedder)
    spans = sentences_of(text, 2)[:MOST_SENTENCES]
    texts = [text, *(text[slice(*span)] for span in spans)]
    vectors = await vectors_of(way.embedder, texts, "texts")
    found = head.probabilities(vectors)
    scores = _ranked(head.labels, found[0])
    label = next(iter(scores))
    evidence = _shown_by(text, spans, found[1:, head.labels.index(label)])
    return LabelResult(label, scores[label], scores, evidence, way.name, head.said)


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


async def _by_head(asked: Classifying, head: HFClassifier, text: str) -> LabelResult:
    if asked.examples is not None:
        raise UsageError(
            "a model that was fine-tuned to label texts takes no examples",
            where=head.name,
            cure="Leave examples= or model= out.",
        )
    known = await asyncio.to_thread(lambda: head.labels)
    entailment = next((name for name in known if name.lower() == "entailment"), None)
    named = [label.name for label in labels_of(asked.labels)]
    if named and not set(named) <= set(known) and entailment is None:
        raise UsageError(
            f"this model knows the labels {', '.join(known)}, and not {', '.join(named)}",
            where=head.name,
            cure="Leave the labels out, or name a model for zero-shot classification (one that "
            "knows 'entailment').",
        )
    if entailment is not None and named:
        return await _by_entailment(_wanted(asked), head, entailment, text)
    found, note = await _whole_or_parts(head, text)
    if not found.exclusive:
        several = "The model gives a text several labels: the scores are each label's own."
        note = f"{note} {several}".strip()
    if named:
        kept = {name: found.probabilities[name] for name in found.probabilities if name in named}
        found = msgspec.structs.replace(found, probabilities=kept)
    return LabelResult(
        found.label, found.confidence, dict(found.probabilities), (), head.name, note
    )


async def _by_entailment(
    labels: tuple[Label, ...], head: HFClassifier, entailment: str, text: str
) -> LabelResult:
    """Zero-shot by a model that tells whether one sentence follows from another (Yin, Hay and Roth,
    "Benchmarking Zero-shot Text Classification", 2019): shares of the labels' entailment."""
    claims = [f"This text is about {label.words}." for label in labels]
    found = await heard(head, [text] * len(labels), claims)
    entailed = np.array([each.probabilities[entailment] for each in found])
    total = float(entailed.sum())
    scores = _ranked([label.name for label in labels], entailed / total if total else entailed)
    label = next(iter(scores))
    note = "The scores are the labels' shares of the probabilities that the text entails them."
    return LabelResult(label, scores[label], scores, (), head.name, note)


async def _whole_or_parts(head: HFClassifier, text: str) -> tuple[Labelled, str]:
    """What a head says of a text; of one that it cannot read whole, the mean of its parts."""
    try:
        return (await heard(head, [text]))[0], ""
    except ContextLengthError as error:
        found = await _parts(head, text, error)
    tokens = sum(each.tokens for each in found)
    mean = {
        name: sum(each.probabilities[name] * each.tokens for each in found) / tokens
        for name in found[0].probabilities
    }
    ranked = dict(sorted(mean.items(), key=lambda pair: (-pair[1], pair[0])))
    note = (
        f"The text is longer than the model reads: the scores are the mean of its {len(found)} "
        "parts, weighted by length."
    )
    return Labelled(ranked, tokens, found[0].exclusive), note


async def _parts(head: HFClassifier, text: str, error: ContextLengthError) -> list[Labelled]:
    """What a head says of the parts of a text, the longest that it reads. Raises `error`."""

    @step
    async def map_parts(parts: list[str]) -> list[Labelled]:
        return await heard(head, parts)

    for most in PART_TOKENS:
        spans = await cut(text, most)
        if len(spans) > 1:
            with contextlib.suppress(ContextLengthError):
                return await map_parts([text[slice(*span)] for span in spans])
    raise error


async def heard(
    head: HFClassifier, texts: Sequence[str], beside: Sequence[str] | None = None
) -> list[Labelled]:
    """What a head says of texts, on the record: as a tool's call, for a model's is a completion."""
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
    ranked = sorted(found.probabilities.items(), key=lambda pair: (-pair[1], pair[0]))
    return msgspec.structs.replace(found, probabilities=dict(ranked))


async def _by_prompt(asked: Classifying, model: Model, text: str) -> LabelResult:
    labels = _wanted(asked)
    asking = _prompt_of(tuple(label.name for label in labels)).using(model)
    said = await asking(
        text=text,
        labels=[{"name": label.name, "description": label.description} for label in labels],
        examples=list(asked.shown()),
        instruction=asked.instruction,
    )
    evidence, missing = quoted(said.evidence, text)
    return LabelResult(said.label, None, {}, evidence, model.name, dropped(missing))


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
        raise UsageError(
            "there are no labels to choose from",
            cure="Name them: labels=['a', 'b'], or labels={'a': 'what it is for', …}.",
        )
    return labels


def _ranked(names: Sequence[str], scores: Any) -> dict[str, float]:
    pairs = [(name, round(float(score), 6)) for name, score in zip(names, scores, strict=True)]
    return dict(sorted(pairs, key=lambda pair: -pair[1]))


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
# In the embedder's tokens: what a head counts in its own is known when it has refused.
PART_TOKENS = (400, 200, 100, 50, 25)
