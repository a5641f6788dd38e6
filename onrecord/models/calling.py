"""The one place where a model is called, and an embedder: on the record, within the limits.

known already (a cassette, a resumed run)? -> given again
a budget around? -> the worst case is reserved, else LimitError before anything is sent
asked -> what it took is settled, priced and recorded; a failure is settled and recorded, too
"""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.calling import emit, listening
from onrecord.errors import ModelError
from onrecord.messages import Completion, Media, TextDelta, Thinking, ToolCall, ToolResult, Usage
from onrecord.models.model import Embedder, Event, Model, Request, counts, pieces, wraps
from onrecord.models.prices import Prices, check_prices, cost_of, price, worst_price
from onrecord.records.call import Call, Off, call
from onrecord.records.ledger import Hold, held, longest_answer
from onrecord.records.limits import Worst


async def complete(model: Model, request: Request) -> Completion:
    """Ask a model, and record the question, the answer, the tokens and the cost.

    Deltas go to whoever streams the call under way, the answer's warnings to the log "onrecord",
    each once of a model. Raises ModelError, and LimitError where the call does not fit into a
    budget around it. Where a budget needs a bound of the answer and the
    request names none, the budget's is sent along, and is part of the question on record.
    """
    bound = longest_answer()
    request = _bounded(request, bound)
    with call("model", model.name, request, version=model.version, fences=request.fences) as this:
        if (known := this.recall()) is not None:
            this.output = again = msgspec.convert(known.output, Completion)
            for words in pieces(again.text):
                emit(TextDelta(words))
            return again
        if wraps(model):  # what it asks for is on records of its own
            this.output = completion = await _drained(model.stream(request), model)
            _tell(completion)
            return completion
        prices = _prices(this)
        async with held(_worst(model, request, bound, prices)) as hold:
            with _Bill(this, hold, model, prices) as bill:
                answer = await _drained(model.stream(request), model)
                cost = cost_of(model, answer, prices)
                bill.settle(answer.usage, cost)
        this.output = completion = msgspec.structs.replace(answer, cost=cost)
        _tell(completion)
        return completion


async def embed(
    embedder: Embedder, texts: Sequence[str], *, shown: Any = None
) -> NDArray[np.float32]:
    """Embed texts, on the record. Shape (len(texts), dimensions), unit length.

    The vectors themselves are not kept: equal texts of an equal version give them again. `shown`
    stands on the record instead of the texts, where those must not be on it.
    """
    also = texts if shown is not None else None
    shown = {"texts": list(texts)} if shown is None else shown
    with call("embed", embedder.name, shown, version=embedder.version, also=also) as this:
        if (known := this.recall()) is not None and known.whole is not None:
            this.output = known.output
            return np.asarray(known.whole, dtype=np.float32)
        prices = _prices(this)
        async with held(_worst_embedding(embedder, texts, prices)) as hold:
            with _Bill(this, hold, embedder, prices) as bill:
                if counts(embedder):
                    vectors, usage = await embedder.embed_counted(texts)
                else:
                    vectors, usage = await embedder.embed(texts), Usage()
                bill.settle(usage, price(embedder.name, usage, prices, embedder.version))
        this.whole = vectors
        this.output = {"shape": list(vectors.shape)}
        return vectors


class _Bill:
    """What a call took: on its record, and settled in the budgets around it."""

    def __init__(
        self, this: Call | Off, hold: Hold, asked: Model | Embedder, prices: Prices
    ) -> None:
        self._this = this
        self._hold = hold
        self._asked = asked
        self._prices = prices

    def settle(self, usage: Usage, cost: int | None) -> None:
        self._this.usage, self._this.cost = usage, cost
        tokens = usage.input + usage.output
        # A free server that counts nothing has taken tokens all the same; what is embedded, none.
        known = tokens > 0 or self._asked.name.startswith("embedded:")
        self._hold.settle(tokens if known else None, cost)

    def __enter__(self) -> _Bill:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        name, server = self._asked.name, self._asked.version
        if isinstance(error, ModelError):
            self._this.usage = error.usage
            if not error.sent:  # it took what it says, and counts as a call: every attempt does
                if error.usage is None:
                    self._hold.settle(0, 0)
                else:
                    self.settle(error.usage, price(name, error.usage, self._prices, server))
                return
        # It was sent, and nobody knows what was charged for it: the worst case stays spent.
        self._this.cost = 0 if worst_price(name, 1, 1, self._prices, server) == 0 else None


async def _drained(events: AsyncIterator[Event], model: Model) -> Completion:
    """The last event of an answer; the deltas before it go to whoever listens."""
    completion: Completion | None = None
    listener = listening()
    async for event in events:
        if isinstance(event, TextDelta):
            if listener is not None:
                listener(event)
        else:
            completion = event
    if completion is None:
        raise ModelError("the model ended its answer without completing it", where=model.name)
    return completion


def _tell(completion: Completion) -> None:
    """Whoever asked gets the value, and not the completion that its warnings stand on."""
    for warning in completion.warnings:
        _tell_once(completion.model, warning)


@functools.lru_cache(maxsize=1000)
def _tell_once(model: str, warning: str) -> None:
    _log.warning("%s: %s", model, warning)


def _prices(this: Call | Off) -> Prices:
    prices = this.settings.prices
    if prices:
        check_prices(prices)
    return prices


def _bounded(request: Request, bound: int | None) -> Request:
    """The request with an end to its answer, where a worst case needs one."""
    if bound is None or request.parameters.max_tokens is not None:
        return request
    parameters = msgspec.structs.replace(request.parameters, max_tokens=bound)
    return msgspec.structs.replace(request, parameters=parameters)


def _worst(model: Model, request: Request, bound: int | None, prices: Prices) -> Worst:
    if bound is None:  # nothing limits tokens or money
        return _UNLIMITED
    longest = request.parameters.max_tokens or bound
    most, media = _most_tokens(request)
    cost = worst_price(model.name, most, longest, prices, model.version, media=media)
    return Worst(cost, most + longest)


def _worst_embedding(embedder: Embedder, texts: Sequence[str], prices: Prices) -> Worst:
    if longest_answer() is None:
        return _UNLIMITED
    most = sum(len(text.encode("utf-8", "replace")) + _AROUND for text in texts)
    return Worst(worst_price(embedder.name, most, 0, prices, embedder.version), most)


def _most_tokens(request: Request) -> tuple[int, bool]:
    """As many tokens as a request can be, and whether it holds more than words.

    A tokenizer makes at most one token of a byte. A server writes a few around each message, and
    may begin with a system message of its own, and with how to call tools.
    """
    most = _TEMPLATE + (len(msgspec.json.encode(request.schema)) if request.schema else 0)
    if request.tools:
        most += _TOOLS + len(msgspec.json.encode(request.tools))
    media = False
    for message in request.messages:
        most += _AROUND
        for part in message.parts:
            if isinstance(part, Media):
                most, media = most + _MEDIA, True
            elif isinstance(part, ToolCall):
                most += len(part.arguments.encode("utf-8", "replace")) + len(part.name) + _AROUND
            else:
                most += len(part.text.encode("utf-8", "replace"))
                most += _AROUND if isinstance(part, ToolResult) else 0
                most += len(part.signature) if isinstance(part, Thinking) else 0
    return most, media


_log = logging.getLogger("onrecord")
_UNLIMITED = Worst(None, 0)
_AROUND = 16
_TEMPLATE = 256
_TOOLS = 1024
# Tokens of an image: gpt-4o-mini counts 2,833 and 5,667 for each of at most 8 tiles, which is
# 48,169. They are for the bill alone, and may be more than the model's context holds. Of sound
# (Gemini, 32 a second) it is 26 minutes.
_MEDIA = 50_000
