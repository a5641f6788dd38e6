"""Answering and extracting by `hf:` models that were fine-tuned for it: found by what their files
say, and heard on the record."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from onrecord.errors import UsageError
from onrecord.messages import Usage
from onrecord.models.model import Model
from onrecord.models.transformers.loading import Shelf, Source
from onrecord.models.transformers.reader import HFReader, Reading
from onrecord.models.transformers.tagger import HFTagger, Tagged
from onrecord.records.call import call
from onrecord.settings import Settings


async def reader_of(asked: str | Model | None) -> HFReader | None:
    """The reader of a model's name (default: the settings'), None where it names another kind.

    Raises UsageError for a tagger, and what loading an hf: model's files does.
    """
    head = await _head(asked)
    if isinstance(head, HFTagger):
        raise UsageError("this model marks entities and answers nothing", where=head.name)
    return head


async def tagger_of(asked: str | Model | None) -> HFTagger | None:
    """The tagger of a model's name (default: the settings'), None where it names another kind.

    Raises UsageError for a reader, and what loading an hf: model's files does.
    """
    head = await _head(asked)
    if isinstance(head, HFReader):
        raise UsageError(
            "this model answers questions: it finds one thing, and no fields",
            where=head.name,
            cure="Ask it with the task 'answer'.",
        )
    return head


async def read(head: HFReader, question: str, text: str) -> Reading:
    """What a reader finds, on the record: as a tool's call, for a model's is a completion."""
    version = await asyncio.to_thread(lambda: head.version)
    shown = {"question": question, "text": text}
    with call("tool", head.name, shown, version=version) as this:
        if (known := this.recall()) is not None:
            this.output = known.output
            return msgspec.convert(known.output, Reading)
        this.output = found = await head.read(question, text)
        this.usage, this.cost = Usage(input=found.tokens), 0
        return found


async def tag(head: HFTagger, text: str) -> Tagged:
    """What a tagger finds, on the record: as a tool's call, like `read`."""
    version = await asyncio.to_thread(lambda: head.version)
    with call("tool", head.name, {"text": text}, version=version) as this:
        if (known := this.recall()) is not None:
            this.output = known.output
            return msgspec.convert(known.output, Tagged)
        this.output = found = await head.tag(text)
        this.usage, this.cost = Usage(input=found.tokens), 0
        return found


async def _head(asked: str | Model | None) -> HFReader | HFTagger | None:
    asked = Settings.load().model if asked is None else asked
    if isinstance(asked, HFReader | HFTagger):
        return asked
    if not isinstance(asked, str) or not asked.startswith("hf:"):
        return None
    return await asyncio.to_thread(_named, asked.removeprefix("hf:"))


def _named(name: str) -> HFReader | HFTagger | None:
    kinds = tuple(Source(name).load_config().architectures or ())
    for endings, shelf in _HEADS.items():
        if any(kind.endswith(endings) for kind in kinds):
            head: HFReader | HFTagger = shelf(name)
            return head
    return None


# One a name, so that its weights are loaded once; by how the names of their architectures end.
_HEADS: dict[tuple[str, ...], Shelf[Any]] = {
    ("ForQuestionAnswering", "ForQuestionAnsweringSimple"): Shelf(HFReader),
    ("ForTokenClassification",): Shelf(HFTagger),
}
