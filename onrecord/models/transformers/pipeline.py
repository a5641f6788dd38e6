"""Sequence classification: the labels of a text with their probabilities, by an `hf:` model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from onrecord.errors import ContextLengthError, UsageError
from onrecord.models.http.failures import note
from onrecord.models.transformers.loading import refusal
from onrecord.models.transformers.resident import Network, Resident, Row, clean, load_network


class Labelled(msgspec.Struct, frozen=True):
    """What a classifier said of one text: each label's probability, the likeliest first, and the
    tokens that were read for it. `exclusive`: the probabilities sum up to 1."""

    probabilities: dict[str, float]
    tokens: int
    exclusive: bool = True

    @property
    def label(self) -> str:
        """The likeliest label."""
        return next(iter(self.probabilities))

    @property
    def confidence(self) -> float:
        """Its probability."""
        return next(iter(self.probabilities.values()))


class HFClassifier(Resident["_Head"]):
    """A transformers model for sequence classification. The arguments are those of every Resident.

    The probabilities are a softmax over the labels; each label's own (a sigmoid) where the model is
    made for several labels a text.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it knows; loads the model."""
        return self._loaded().labels

    async def classify(
        self, texts: Sequence[str], beside: Sequence[str] | None = None
    ) -> list[Labelled]:
        """The labels of each text, in order. `beside` holds a second text for each, for models that
        compare two (does the first one entail the second?).

        Nothing is cut: a text that the model cannot read whole raises ContextLengthError. Raises
        ModelError.
        """
        others = None if beside is None else list(beside)
        return await asyncio.to_thread(self._classify, list(texts), others)

    def _load(self) -> _Head:
        from transformers import AutoModelForSequenceClassification

        if self.source.load_config().problem_type == "regression":
            raise refusal("this model gives a number and no labels", self.name)
        network = load_network(self.source, AutoModelForSequenceClassification, *self._asked)
        config = network.model.config
        several = config.problem_type == "multi_label_classification" or config.num_labels == 1
        labels = tuple(str(config.id2label[at]) for at in range(config.num_labels))
        return _Head(network, labels, not several)

    def _classify(self, texts: list[str], beside: list[str] | None) -> list[Labelled]:
        if beside is not None and len(beside) != len(texts):
            raise UsageError(f"{len(texts)} texts stand beside {len(beside)} others")
        if not texts:
            return []
        head = self._loaded()
        found: dict[int, Labelled] = {}
        with self._lock:
            rows = head.encode(texts, beside, self.name)
            for places, output, _ in head.network.outputs(rows, self._batch, self.name):
                logits = output.logits.float()
                shares = logits.softmax(-1) if head.exclusive else logits.sigmoid()
                for place, row in zip(places, shares.tolist(), strict=True):
                    ranked = sorted(
                        zip(head.labels, row, strict=True), key=lambda pair: (-pair[1], pair[0])
                    )
                    size = len(rows[place]["input_ids"])
                    found[place] = Labelled(dict(ranked), size, head.exclusive)
        return [found[place] for place in range(len(texts))]


class _Head(msgspec.Struct, frozen=True):
    network: Network
    labels: tuple[str, ...]
    exclusive: bool

    def encode(self, texts: list[str], beside: list[str] | None, where: str) -> list[Row]:
        """The tokens of each text; markers in a text are words. Raises ContextLengthError."""
        pairs = [clean(text) for text in beside] if beside is not None else None
        encoded = self.network.tokenizer(
            [clean(text) for text in texts], pairs, split_special_tokens=True, verbose=False
        )
        rows = [{name: encoded[name][place] for name in encoded} for place in range(len(texts))]
        context = self.network.context
        for place, row in enumerate(rows):
            size = len(row["input_ids"])
            if not size:
                raise refusal(f"text {place + 1} holds nothing", where)
            if context is not None and size > context:
                raise note(
                    ContextLengthError(
                        f"text {place + 1} has {size} tokens, and the model reads {context}",
                        where=where,
                        cure="Send it in parts: nothing was cut off.",
                    ),
                    sent=False,
                )
        return list(rows)
