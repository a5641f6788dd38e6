"""The one place where a model is called, and an embedder: on the record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onrecord.calling import emit
from onrecord.errors import ModelError
from onrecord.messages import Completion, TextDelta
from onrecord.models.model import Embedder, Model, Request
from onrecord.records.record import content_key
from onrecord.records.recording import Call


async def complete(model: Model, request: Request) -> Completion:
    """Ask a model, and record the question, the answer, the tokens and the cost.

    Deltas go to whoever streams the call under way. Raises ModelError.
    """
    key = content_key("model", model.name, model.version, request)
    with Call("model", model.name, request, key) as this:
        completion: Completion | None = None
        async for event in model.stream(request):
            if isinstance(event, TextDelta):
                emit(event)
            else:
                completion = event
        if completion is None:
            raise ModelError("the model ended its answer without completing it", where=model.name)
        this.output, this.usage, this.cost = completion, completion.usage, completion.cost
        return completion


async def embed(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Embed texts, on the record. The vectors themselves are not kept: equal texts of an equal
    version give them again. Shape (len(texts), dimensions), unit length."""
    key = content_key("embed", embedder.name, embedder.version, texts)
    with Call("embed", embedder.name, {"texts": list(texts)}, key) as this:
        vectors = await embedder.embed(texts)
        this.output = {"shape": list(vectors.shape)}
        return vectors
