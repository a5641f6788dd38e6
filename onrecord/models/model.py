"""Who answers: the protocols of this folder, and the values that go in and come out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeGuard

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.messages import Completion, Message, TextDelta, ToolSchema, Usage


class Parameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to answer. None leaves the choice to the model.

    A model that cannot do what a parameter asks for refuses the request, or says in the answer's
    `warnings` what it left out.

        temperature           0: the likeliest token each time (greedy); 1: as the model was
                              trained; above: more surprising
        top_k, top_p, min_p   draw only among the k likeliest tokens; among the likeliest whose
                              probabilities sum up to p; among those at least p times as likely as
                              the likeliest
        max_tokens            how long the answer may get; min_tokens: how long it must
        stop                  texts that end the answer; they are not part of it
        seed                  equal seeds draw equal tokens, as far as the model promises that
        num_beams             follow so many answers at once and give the likeliest (beam search);
                              length_penalty: above 0 longer ones win more often, below 0 shorter
        repetition_penalty    above 1: tokens that were there already get less likely (CTRL, 2019)
        presence_penalty, frequency_penalty    the same as a sum: once, and for each time
        logprobs              ask for the log-probability of each token, and of this many
                              alternatives in its place (0: of the token alone)
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_k: int | None = None
    min_p: float | None = None
    min_tokens: int | None = None
    num_beams: int | None = None
    length_penalty: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: int | None = None


Way = Literal["schema", "tool", "prompted"]
"""How a model is held to the form of its answer: by a JSON schema that its server enforces, by a
call of the one tool `answer`, or by words alone."""


class Request(msgspec.Struct, frozen=True):
    """One question to a model.

    `messages` is exactly what a generating model is sent. `inputs` holds the typed values that the
    messages were written from: a model that works on values and not on words (the extractive one)
    reads them instead. `schema` is the JSON schema the answer has to fit, or None for plain text.
    `tools` are what the model may call; `tool_choice` is "auto", "none", "required" or the name of
    the one that it must call. `fences` are random texts in the messages, new for every call: two
    requests that differ only in them are the same question. `structure` says in which way the
    answer is held to a form, None where it is plain text: a model need not look at it, for `schema`
    and `tools` say the same.
    """

    messages: tuple[Message, ...]
    parameters: Parameters = Parameters()
    schema: dict[str, Any] | None = None
    inputs: Mapping[str, Any] = {}
    tools: tuple[ToolSchema, ...] = ()
    tool_choice: str = "auto"
    fences: tuple[str, ...] = ()
    structure: Way | None = None


Event = TextDelta | Completion


class Model(Protocol):
    """Whatever answers messages. Streaming is the implementation: deltas, then one Completion."""

    @property
    def name(self) -> str:
        """`provider:name`, the name it was asked for by."""

    @property
    def version(self) -> str:
        """Changes whenever equal requests could be answered differently by an equal name."""

    def stream(self, request: Request) -> AsyncIterator[Event]:
        """Answer `request`: zero or more TextDelta, then exactly one Completion.

        Raises ModelError (and nothing else on purpose) when there is no answer. Budgets take the
        worst case of a call that failed, unless the error's `sent` is False: then nothing can have
        been charged for it beyond its `usage`.
        """


class Wrapper(Model, Protocol):
    """A model that answers by asking others: from a cache, again after a failure, the next one.

    It asks them with `onrecord.models.calling.complete` and in no other way. Each of those calls is
    recorded, priced and reserved there, so the wrapper's own call takes nothing from a budget and
    costs nothing.
    """

    @property
    def wrapped(self) -> tuple[Model, ...]:
        """The models that it may ask: at least one."""


class Structuring(Model, Protocol):
    """A model that says how it can be held to the form of its answer. Optional: see `structures`.

    A way that it then cannot go all the same, for one schema or at all, is a ModelRefusedError that
    speaks of the schema or the tools: the next way is tried.
    """

    @property
    def structures(self) -> tuple[Way, ...]:
        """The ways that are worth trying, the best one first."""


class Embedder(Protocol):
    """Whatever turns texts into vectors."""

    @property
    def name(self) -> str:
        """`provider:name`."""

    @property
    def version(self) -> str:
        """Changes whenever an equal text could get another vector."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    @property
    def max_tokens(self) -> int:
        """The longest text, in tokens, that is embedded whole."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of `texts`, shape (len(texts), dimensions), each of unit length, in order."""

    def tokens(self, text: str) -> list[tuple[int, int]]:
        """Character spans (start, end) of the tokens of `text`, ascending."""


class CountingEmbedder(Embedder, Protocol):
    """An embedder that also says how many tokens it took: what its bill is made of."""

    async def embed_counted(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], Usage]:
        """The vectors that `embed` gives, and the tokens that were read for them."""


def counts(embedder: Embedder) -> TypeGuard[CountingEmbedder]:
    """Whether an embedder says how many tokens it took.

    Asks for the one method only: a look at `dimensions` may be a request to a server.
    """
    return callable(getattr(embedder, "embed_counted", None))


def wraps(model: Model) -> TypeGuard[Wrapper]:
    """Whether a model only asks others: its `wrapped` is a tuple of models.

    Whatever else somebody keeps under that name, a client or a list, makes no wrapper: its model is
    paid for like any other.
    """
    wrapped = getattr(model, "wrapped", None)
    return isinstance(wrapped, tuple) and bool(wrapped) and all(map(_is_model, wrapped))


def structures(model: Model) -> tuple[Way, ...]:
    """The ways in which a model can be held to the form of its answer, the best one first.

    What it says itself; of a wrapper that says nothing, the ways that all its models can go; else a
    schema, then words.
    """
    said: tuple[Way, ...] | None = getattr(model, "structures", None)
    if said:
        return said
    if not wraps(model):
        return _USUAL_WAYS
    first, *others = map(structures, model.wrapped)
    return tuple(way for way in first if all(way in each for each in others)) or ("prompted",)


def pieces(text: str) -> list[str]:
    """A text in the pieces in which it is streamed when it is there already: word by word."""
    return _PIECES.findall(text)


def _is_model(value: object) -> bool:
    named = (getattr(value, "name", None), getattr(value, "version", None))
    return all(isinstance(each, str) for each in named) and callable(getattr(value, "stream", None))


_USUAL_WAYS: tuple[Way, ...] = ("schema", "prompted")
_PIECES = re.compile(r"\s*\S+|\s+\Z")
