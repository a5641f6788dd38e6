"""Who does a task, and in which of the three ways: found out from a model's name.

embedded     no model, an embedder: sentences are chosen, labels compared, answers quoted
generating   a model that writes is asked with a prompt, or with the words that an
             encoder-decoder model was trained on before a text ("summarize: ")
head         an `hf:` model that was fine-tuned to label texts
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from onrecord.errors import UsageError
from onrecord.models.model import Embedder, Model
from onrecord.models.names import choose, embedder, model
from onrecord.programs.tasks.bounded import Bounded
from onrecord.programs.tasks.spelling import OptionError
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.models.transformers.pipeline import HFClassifier

Count = Callable[[str], int]


class Embedded(msgspec.Struct, frozen=True):
    """Done without a model that writes, by an embedder."""

    embedder: Embedder

    @property
    def name(self) -> str:
        """The embedder's."""
        return self.embedder.name


class Generating(msgspec.Struct, frozen=True):
    """Done by a model that writes.

    `window`: how many tokens it reads, None where nobody knows; `count` counts them, with the
    model's own tokenizer or the embedder's. `trained`: for an encoder-decoder model what its files
    say of the tasks it was trained for; None for others.
    """

    model: Model
    count: Count
    window: int | None = None
    trained: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The model's."""
        return (self.model.wrapped[0] if isinstance(self.model, Bounded) else self.model).name


class Headed(msgspec.Struct, frozen=True):
    """Done by a model that was fine-tuned to label texts.

    `window`: how many tokens it reads, None where its files do not say; `count` counts them.
    """

    head: HFClassifier
    count: Count
    window: int | None = None

    @property
    def name(self) -> str:
        """The model's."""
        return self.head.name


Way = Embedded | Generating | Headed


async def way_of(
    asked: str | Model | None, vectors: str | Embedder | None, max_tokens: int | None = None
) -> Way:
    """The way of a model, or of its name (default: the settings'). `max_tokens`: how long an answer
    of one that writes may get.

    Raises UnknownNameError, UsageError for an encoder, and what loading an hf: model's files does.
    """
    way = await _found(asked, vectors)
    if max_tokens is None or not isinstance(way, Generating):
        return way
    return msgspec.structs.replace(way, model=Bounded(way.model, max_tokens))


async def _found(asked: str | Model | None, vectors: str | Embedder | None) -> Way:
    settings = Settings.load()
    asked = settings.model if asked is None else asked
    if asked == "auto":
        choice = await choose("auto")
        _log.warning("%s", choice.reason)  # nothing falls back silently
        asked = choice.model
    encoder = await asyncio.to_thread(embedder, vectors or settings.embedder)
    name = asked if isinstance(asked, str) else getattr(asked, "name", "")
    if name == "embedded:extractive":
        return Embedded(encoder)
    if isinstance(asked, str) and name.startswith("embedded:"):
        return Embedded(await asyncio.to_thread(embedder, name))
    if name.startswith("hf:"):
        return await asyncio.to_thread(_local, asked, encoder)
    return Generating(model(asked), counter(encoder))


def counter(encoder: Embedder) -> Count:
    """Counts tokens as an embedder does: near enough to what other models count in English."""
    return lambda text: len(encoder.tokens(text))


def _local(asked: str | Model, encoder: Embedder) -> Way:
    from onrecord.models.transformers.loading import Source, context_of
    from onrecord.models.transformers.pipeline import HFClassifier

    source = getattr(asked, "source", None)
    if not isinstance(source, Source):
        if not isinstance(asked, str):
            return Generating(asked, counter(encoder))
        source = Source(asked.partition(":")[2])
    config = source.load_config()
    kinds = tuple(config.architectures or ())
    for ending, (does, cure) in _OTHERS.items():
        if kinds and all(kind.endswith(ending) for kind in kinds):
            raise UsageError(
                f"this model {does}, and neither writes nor labels texts",
                where=source.where,
                cure=cure,
            )
    if kinds and all(map(_only_reads, kinds)):
        raise OptionError(
            "this model is an encoder: it neither writes nor labels",
            where=source.where,
            cure="Name it as the embedder of a task ({embedder}).",
        )
    words = source.load_tokenizer()
    window = context_of(config, words)

    def count(text: str) -> int:
        return len(words(text, truncation=False, verbose=False)["input_ids"])

    if isinstance(asked, HFClassifier):
        return Headed(asked, count, window)
    if any(kind.endswith("ForSequenceClassification") for kind in kinds):
        return Headed(_classifiers()(source.name), count, window)
    trained = None
    if config.is_encoder_decoder:
        trained = {
            "kind": config.model_type,
            **(getattr(config, "task_specific_params", None) or {}),
        }
    return Generating(model(asked), count, window, trained)


def _only_reads(kind: str) -> bool:
    """Whether a model of this class gives vectors alone. GPT-2 (GPT2LMHeadModel) and Marian
    (MarianMTModel) write, and are called models."""
    return kind.endswith(("Model", "ForMaskedLM", "Encoder")) and not kind.endswith(
        ("LMHeadModel", "MTModel", "DoubleHeadsModel")
    )


@functools.cache
def _classifiers() -> Any:
    """A classifier a name, so that its weights are loaded once."""
    from onrecord.models.transformers.loading import Shelf
    from onrecord.models.transformers.pipeline import HFClassifier

    return Shelf(HFClassifier)


_OTHERS = {
    "ForQuestionAnswering": ("finds answers in a text", "Name it for the task 'answer'."),
    "ForTokenClassification": ("marks entities in a text", "Name it for the task 'extract'."),
}
_log = logging.getLogger("onrecord")
