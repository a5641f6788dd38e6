"""A recorded model call as a conversation, in the words that chat templates know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from onrecord.messages import (
    Completion,
    Finish,
    Media,
    Message,
    Text,
    ToolCall,
    ToolResult,
)
from onrecord.records.record import Record

Turn = dict[str, Any]
"""One message as trl and `apply_chat_template` take it."""


class Untrainable(Exception):
    """Why a call makes no training row."""


class Talk(msgspec.Struct, frozen=True):
    """What a model was told, and its answer. `tools`: the tools it was given, as JSON schemas."""

    messages: tuple[Message, ...]
    answer: Message
    finish: Finish
    tools: tuple[Any, ...] = ()

    def continues(self, other: Talk) -> bool:
        """Whether this call went on where another one's answer ended."""
        length = len(other.messages)
        return (
            len(self.messages) > length + 1
            and self.messages[length] == other.answer
            and self.messages[:length] == other.messages
        )

    def said_after(self, other: Talk) -> str:
        """The role of the message that followed the other call's answer."""
        return self.messages[len(other.messages) + 1].role


def talk_of(record: Record) -> Talk:
    """The conversation of a model call. Raises Untrainable where its record holds none."""
    try:
        asked = msgspec.convert(record.input, _Asked)
        answered = msgspec.convert(record.output, Completion)
    except msgspec.ValidationError:
        raise Untrainable("not a conversation in Onrecord's messages") from None
    if not asked.messages:
        raise Untrainable("not a conversation in Onrecord's messages")
    return Talk(asked.messages, answered.message, answered.finish, asked.tools)


def turns(messages: Sequence[Message]) -> list[Turn]:
    """Messages as chat templates take them: plain words, and calls of tools.

    Raises Untrainable for images and sound, and for calls whose arguments are no JSON object.
    """
    return [turn for message in messages for turn in _turns(message)]


def answer_turn(message: Message) -> Turn:
    """The answer as one turn. Raises Untrainable, also for an empty answer."""
    found = turns((message,))
    if len(found) != 1 or not (found[0]["content"].strip() or "tool_calls" in found[0]):
        raise Untrainable("an empty answer")
    return found[0]


class _Asked(msgspec.Struct, frozen=True):
    """What is read of a recorded request."""

    messages: tuple[Message, ...]
    tools: tuple[Any, ...] = ()


def _turns(message: Message) -> Iterator[Turn]:
    if any(isinstance(part, Media) for part in message.parts):
        raise Untrainable("images or sound")
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for result in results:
        yield {
            "role": "tool",
            "tool_call_id": result.id,
            "name": result.name,
            "content": result.text,
        }
    calls = [_call(part) for part in message.parts if isinstance(part, ToolCall)]
    said = any(isinstance(part, Text) for part in message.parts)
    if results and not (said or calls):
        return
    role = "user" if message.role == "tool" else message.role
    # Always a text, never null: the types of a column are guessed from its first values.
    turn: Turn = {"role": role, "content": message.text}
    if calls:
        turn["tool_calls"] = calls
    yield turn


def _call(part: ToolCall) -> Turn:
    try:
        arguments = msgspec.json.decode(part.arguments or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError):
        raise Untrainable("a call of a tool whose arguments are no JSON object") from None
    function = {"name": part.name, "arguments": arguments}
    return {"id": part.id, "type": "function", "function": function}
