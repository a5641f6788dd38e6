"""Models with a head for a task, in this process: the labels of a text, with probabilities."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from onrecord.errors import ContextLengthError, ModelUnavailableError, UsageError
from onrecord.models.http.failures import note
from onrecord.models.transformers.loading import (
    Device,
    Source,
    choose_device,
    context_of,
    refusal,
)


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


class HFClassifier:
    """A transformers model for sequence classification, from a folder or the Hub.

    `name`, `revision`, `device` and `dtype` are those of HFModel. The probabilities are a softmax
    over the labels; each label's own (a sigmoid) where the model is made for several labels a text.

    Raises MissingExtraError without the extra `hf`, UnknownNameError for a folder that is not there
    or lacks a file. One instance may be used from any number of threads and event loops.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch: int = 32,
    ) -> None:
        self.name = f"hf:{name}"
        self.source = Source(name, revision=revision)
        self._asked = device, dtype
        self._batch = batch
        self._lock = threading.Lock()

    @functools.cached_property
    def version(self) -> str:
        """The folder's files or the Hub's commit, with the device and number format asked for."""
        return "-".join([self.source.version, *(each for each in self._asked if each)])

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

    def __repr__(self) -> str:
        return f"HFClassifier({self.source.name!r})"

    def _loaded(self) -> _Head:
        with self._lock:
            if "_head" not in vars(self):
                self._head = _load(self.source, *self._asked)
            return self._head

    def _classify(self, texts: list[str], beside: list[str] | None) -> list[Labelled]:
        import torch

        if beside is not None and len(beside) != len(texts):
            raise UsageError(f"{len(texts)} texts stand beside {len(beside)} others")
        if not texts:
            return []
        head = self._loaded()
        found: dict[int, Labelled] = {}
        with self._lock, torch.inference_mode():
            encoded = head.encode(texts, beside, self.name)
            for places in by_length([len(each["input_ids"]) for each in encoded], self._batch):
                rows = head.run([encoded[place] for place in places], self.name)
                for place, row in zip(places, rows, strict=True):
                    ranked = sorted(
                        zip(head.labels, row, strict=True), key=lambda pair: (-pair[1], pair[0])
                    )
                    size = len(encoded[place]["input_ids"])
                    found[place] = Labelled(dict(ranked), size, head.exclusive)
        return [found[place] for place in range(len(texts))]


class _Head(msgspec.Struct, frozen=True):
    model: Any
    tokenizer: Any
    device: Device
    labels: tuple[str, ...]
    exclusive: bool
    context: int | None

    def encode(
        self, texts: list[str], beside: list[str] | None, where: str
    ) -> list[dict[str, list[int]]]:
        """The tokens of each text; markers in a text are words. Raises ContextLengthError."""
        pairs = [clean(text) for text in beside] if beside is not None else None
        encoded = self.tokenizer(
            [clean(text) for text in texts], pairs, split_special_tokens=True, truncation=False
        )
        rows = [{name: encoded[name][place] for name in encoded} for place in range(len(texts))]
        for place, row in enumerate(rows):
            size = len(row["input_ids"])
            if not size:
                raise refusal(f"text {place + 1} holds nothing", where)
            if self.context is not None and size > self.context:
                raise note(
                    ContextLengthError(
                        f"text {place + 1} has {size} tokens, and the model reads {self.context}",
                        where=where,
                        cure="Send it in parts: nothing was cut off.",
                    ),
                    sent=False,
                )
        return rows

    def run(self, rows: list[dict[str, list[int]]], where: str) -> list[list[float]]:
        """The probabilities of the labels, in the order of `labels`."""
        given = self.tokenizer.pad(rows, return_tensors="pt").to(self.device.name)
        try:
            logits = self.model(**given).logits.float()
        except (RuntimeError, MemoryError) as error:
            raise ModelUnavailableError(
                f"the model failed: {type(error).__name__}: {str(error)[:200]}", where=where
            ) from error
        shares = logits.softmax(-1) if self.exclusive else logits.sigmoid()
        return [[float(value) for value in row] for row in shares.tolist()]


def by_length(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places of texts in batches of at most `most`, those of like length together."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    for start in range(0, len(order), most):
        yield order[start : start + most]


def clean(text: str) -> str:
    """A text that UTF-8 can hold: half a surrogate pair is legal in a str."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _load(source: Source, device: str | None, dtype: str | None) -> _Head:
    from transformers import AutoModelForSequenceClassification

    place = choose_device(device, dtype)
    config = source.load_config()
    if config.problem_type == "regression":
        raise refusal("this model gives a number and no labels", source.where)
    tokenizer = source.load_tokenizer(padding_side="right")
    model = source.load_weights(AutoModelForSequenceClassification, place)
    several = config.problem_type == "multi_label_classification" or config.num_labels == 1
    labels = tuple(str(model.config.id2label[at]) for at in range(model.config.num_labels))
    context = context_of(config, tokenizer)
    return _Head(model, tokenizer, place, labels, not several, context)
