"""`embedded:extractive`: answers by quoting. It writes nothing, and says when nothing fits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from onrecord.errors import UsageError
from onrecord.messages import Completion, Passage, TextDelta, text_message
from onrecord.models.extractive import Quotation, best_quotation
from onrecord.models.minilm import MiniLM
from onrecord.models.model import Embedder, Event, Request


class Extractive:
    """A model that answers a question with whole sentences of the passages, or refuses.

    It reads the typed inputs of a request (a question and passages), not its messages, and can do
    nothing else: no instruction is followed and no word is its own.
    """

    name = "embedded:extractive"

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._embedder = embedder or MiniLM()

    @property
    def version(self) -> str:
        """That of its rules and of its embedder."""
        return f"1 {self._embedder.version}"

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Quote. Raises UsageError for a request without a question and passages."""
        question, passages = _question_and_passages(request.inputs)
        quotation = await best_quotation(question, passages, self._embedder)
        text = _answer(quotation, passages)
        yield TextDelta(text)
        yield Completion(text_message("assistant", text), self.name, cost=0)


def _question_and_passages(inputs: Mapping[str, Any]) -> tuple[str, Sequence[Passage]]:
    texts = [value for value in inputs.values() if isinstance(value, str)]
    lists = [value for value in inputs.values() if _are_passages(value)]
    if not texts or not lists:
        raise UsageError(
            "embedded:extractive can only quote: it needs a question and a list of passages",
            cure="Give the prompt such arguments, or name a model that writes.",
        )
    return texts[0], lists[0]


def _are_passages(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, Passage) for item in value)


def _answer(quotation: Quotation, passages: Sequence[Passage]) -> str:
    """In the form that every model is asked for: an answer, its quotes, or a refusal."""
    texts = [passages[span.passage].text[span.start : span.end] for span in quotation.spans]
    quotes = [
        {"passage": span.passage + 1, "quote": text}
        for span, text in zip(quotation.spans, texts, strict=True)
    ]
    answer = {
        "answer": None if quotation.refused else " ".join(texts),
        "quotes": [] if quotation.refused else quotes,
        "refused": quotation.refused,
        "reason": quotation.reason if quotation.refused else "",
    }
    return msgspec.json.encode(answer).decode()
