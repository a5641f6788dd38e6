"""A model whose answers may get so long, whichever prompt asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from onrecord.models.calling import complete
from onrecord.models.model import Event, Model, Request
from onrecord.records.record import content_key


class Bounded:
    """A wrapper that asks for answers of at most `max_tokens`."""

    def __init__(self, model: Model, max_tokens: int) -> None:
        self.wrapped = (model,)
        self.name = f"bounded:{model.name}"
        self._most = max_tokens

    @property
    def version(self) -> str:
        """Changes with that of the model, and with the bound."""
        return content_key(self.wrapped[0].version, self._most)

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """The model's answer. Raises ModelError."""
        parameters = msgspec.structs.replace(request.parameters, max_tokens=self._most)
        yield await complete(
            self.wrapped[0], msgspec.structs.replace(request, parameters=parameters)
        )
