"""Models that speak by the turn, so that a resumed run hears what it heard before."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from onrecord.messages import Completion, Message, TextDelta, ToolCall, Usage, text_message
from onrecord.models.model import Event, Request, Way

Reply = str | Completion | Callable[[Request], "str | Completion"]


class ByTurn:
    """The n-th reply to a conversation with n - 1 answers in it; the last one for ever."""

    name, version = "scripted:turns", "1"

    def __init__(
        self, *replies: Reply, structures: tuple[Way, ...] = ("tool", "prompted"), cost: int = 0
    ) -> None:
        self.replies = replies
        self.structures = structures
        self.cost = cost
        self.requests: list[Request] = []

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        self.requests.append(request)
        turn = sum(each.role == "assistant" for each in request.messages)
        reply = self.replies[min(turn, len(self.replies) - 1)]
        said = reply(request) if callable(reply) else reply
        if isinstance(said, str):
            message = text_message("assistant", said)
            said = Completion(message, self.name, Usage(10, 5), cost=self.cost)
        if said.text:
            yield TextDelta(said.text)
        yield said


def calls(*wanted: tuple[str, Any], words: str = "") -> Completion:
    """A turn that calls tools: each a name and arguments, JSON text as it is."""
    parts: Sequence[Any] = [
        ToolCall(f"c{at}", name, given if isinstance(given, str) else json.dumps(given))
        for at, (name, given) in enumerate(wanted)
    ]
    said = text_message("assistant", words).parts if words else ()
    message = Message("assistant", (*said, *parts))
    return Completion(message, "scripted:turns", Usage(10, 5), finish="tool_calls", cost=0)
