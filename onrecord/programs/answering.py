"""Ask your documents: search, then answer from what was found, with verified quotations."""

from __future__ import annotations

from onrecord.messages import Cited, Passage
from onrecord.models.model import Model
from onrecord.programs.flow import flow
from onrecord.prompts.prompt import prompt
from onrecord.retrieval.collection import Collection


@prompt
async def answer(question: str, passages: list[Passage]) -> Cited[str]:
    """Answer only from the passages. Quote the words that support each claim."""
    raise AssertionError("a prompt's body is never run")


@flow
async def ask(
    question: str,
    collection: Collection | str,
    *,
    model: str | Model | None = None,
    k: int = 6,
    where: str | None = None,
) -> Cited[str]:
    """Answer a question from the `k` passages of a collection (or its name) that fit it best.

    Every citation was found character by character in its document. `model` defaults to the
    settings': `embedded:extractive`, which writes nothing; its answer is the best quotation, or a
    refusal. Raises UsageError for an empty question, and ModelError when there is no answer.
    """
    if isinstance(collection, str):
        collection = Collection.open(collection)
    passages = await collection.search(question, k, where=where)
    answering = answer if model is None else answer.using(model)
    return await answering(question, passages)
