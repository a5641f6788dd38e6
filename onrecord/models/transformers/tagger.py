"""Token classification: the entities that a text names, and where, by an `hf:` model.

A word has the label of its first token, as models are fine-tuned (the other tokens of a word are
left out of the training). Words of one entity stand together: `I-` goes on with what `B-` or `I-`
of the same kind began, and so does the same label without such a prefix.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from onrecord.models.transformers.loading import refusal
from onrecord.models.transformers.resident import Network, Resident, load_network
from onrecord.models.transformers.windows import Token, windows


class Entity(msgspec.Struct, frozen=True):
    """`text[start:end]` of a text is a `label`; `score`: the mean of its words' probabilities."""

    label: str
    start: int
    end: int
    score: float


class Tagged(msgspec.Struct, frozen=True):
    """The entities of a text, in their order; `tokens` of it were read, in `windows` windows."""

    entities: tuple[Entity, ...]
    tokens: int
    windows: int = 1


class Labels(NamedTuple):
    """The labels of a model, a place each: as its files name them, and as kinds of entities."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    begins: tuple[bool, ...]

    @classmethod
    def of(cls, names: Sequence[str]) -> Labels:
        """Those of a scheme like B-PER, I-PER, O; or names that stand for themselves."""
        marked = any(name.startswith(("B-", "I-")) for name in names)
        found = [_MARKED.match(name) if marked else None for name in names]
        kinds = tuple(
            each["kind"] if each else name for each, name in zip(found, names, strict=True)
        )
        begins = tuple(bool(each and each["mark"] in "BSU") for each in found)
        return cls(tuple(names), kinds, begins)


class HFTagger(Resident[tuple[Network, Labels]]):
    """A transformers model for token classification. The arguments are those of every Resident."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The kinds of entities that it knows; loads the model."""
        kinds = self._loaded()[1].kinds
        return tuple(dict.fromkeys(kind for kind in kinds if kind != OUTSIDE))

    async def tag(self, text: str) -> Tagged:
        """The entities of a text. One that is longer than the model reads is read in windows that
        overlap; each token counts where most stands around it. Raises ModelError."""
        return await asyncio.to_thread(self._tag, text)

    def _load(self) -> tuple[Network, Labels]:
        from transformers import AutoModelForTokenClassification

        network = load_network(
            self.source, AutoModelForTokenClassification, *self._asked, offsets=True
        )
        config = network.model.config
        names = [str(config.id2label[at]) for at in range(config.num_labels)]
        if all(re.fullmatch(r"LABEL_\d+", name) for name in names):
            raise refusal(
                f"the model's config.json does not name its labels ({', '.join(names[:3])}, …)",
                self.name,
                "Say there what each one is (id2label), or name another model.",
            )
        return network, Labels.of(names)

    def _tag(self, text: str) -> Tagged:
        network, labels = self._loaded()
        with self._lock:
            tokens, parts = windows(network, text, self.name)
            rows = [part.row for part in parts]
            found: list[tuple[int, float]] = [(0, 0.0)] * len(tokens)
            for places, output, _ in network.outputs(rows, self._batch, self.name):
                values, names = output.logits.float().softmax(-1).max(-1)
                for at, place in enumerate(places):
                    part = parts[place]
                    here = slice(*(part.at + n - part.tokens.start for n in _ends(part.own)))
                    found[slice(*_ends(part.own))] = zip(
                        names[at, here].tolist(), values[at, here].tolist(), strict=True
                    )
        read = sum(len(row["input_ids"]) for row in rows)
        return Tagged(tuple(entities(text, tokens, found, labels)), read, len(rows))


def entities(
    text: str, tokens: Sequence[Token], found: Sequence[tuple[int, float]], labels: Labels
) -> list[Entity]:
    """The entities of a text by the label (its place in `labels`) and the probability of each
    token."""
    groups: list[list[_Word]] = []
    before = None
    for word in _words(text, tokens, found):
        kind = labels.kinds[word.label]
        if kind != before or labels.begins[word.label]:
            groups.append([])
        groups[-1].append(word)
        before = kind
    return [
        Entity(
            labels.kinds[group[0].label],
            group[0].start,
            group[-1].end,
            sum(word.score for word in group) / len(group),
        )
        for group in groups
        if labels.kinds[group[0].label] != OUTSIDE
    ]


class _Word(NamedTuple):
    start: int
    end: int
    label: int
    score: float


def _words(text: str, tokens: Sequence[Token], found: Sequence[tuple[int, float]]) -> list[_Word]:
    """The words of a text, each with the label and the probability of its first token."""
    words: list[_Word] = []
    number: Any = None
    for token, (label, score) in zip(tokens, found, strict=True):
        quote = text[token.start : token.end]
        start = token.start + len(quote) - len(quote.lstrip())
        end = token.start + len(quote.rstrip())
        if start >= end:  # a space that is a token of its own
            continue
        last = words[-1] if words else None
        if last is not None and token.word == number and _one_word(text, last.end, start):
            words[-1] = last._replace(end=max(last.end, end))
        else:
            words.append(_Word(start, end, label, score))
        number = token.word
    return words


def _one_word(text: str, end: int, start: int) -> bool:
    """Whether what ends before `end` and what begins at `start` are of one word: some tokenizers
    count all that stands between two spaces as one, punctuation and whole Chinese sentences too."""
    if start < end:  # bytes of one character
        return True
    sides = text[end - 1 : end] + text[start : start + 1]
    return start == end and sides.isalnum() and not _UNSPACED.search(sides)


def _ends(numbers: range) -> tuple[int, int]:
    return numbers.start, numbers.stop


OUTSIDE = "O"
_MARKED = re.compile(r"(?P<mark>[BIESLU])-(?P<kind>.+)")
# Scripts that put no spaces between words: Thai to Myanmar, Khmer, kana and Chinese characters.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
