"""Who answers: the two protocols of this folder, and the one place where a model is called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol, TypeGuard

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.messages import Completion, Message, TextDelta, Usage


class Parameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to answer. None leaves the choice to the model."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


class Request(msgspec.Struct, frozen=True):
    """One question to a model.

    `messages` is exactly what a generating model is sent. `inputs` holds the typed values that the
    messages were written from: a model that works on values and not on words (the extractive one)
    reads them instead. `schema` is the JSON schema the answer has to fit, or None for plain text.
    """

    messages: tuple[Message, ...]
    parameters: Parameters = Parameters()
    schema: dict[str, Any] | None = None
    inputs: Mapping[str, Any] = {}


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

        Raises ModelError (and nothing else on purpose) when there is no answer.
        """


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
