"""Long conversations: what is older than the newest turns is summed up by the model itself.

    the task, turn, turn, …, turn, turn       longer than the memory's tokens
    summary, the task, …, turn, turn          the newest `keep` turns stay as they are

The summary is a recorded call of its own. Where the newest turns alone are too long, the results of
their tools are cut, the oldest first, and the text says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from onrecord.errors import UsageError
from onrecord.messages import Message, Part, Text, ToolCall, ToolResult, text_message
from onrecord.models.model import Model, Request
from onrecord.prompts.prompt import prompt
from onrecord.prompts.untrusted import untrusted


class Memory(msgspec.Struct, frozen=True):
    """How much of a conversation a model is shown: about so many `tokens` (a token is counted as
    four bytes). What is older is summed up, but for the newest `keep` turns. Raises UsageError."""

    tokens: int
    keep: int = 4

    def __post_init__(self) -> None:
        for name, least in (("tokens", _FEWEST), ("keep", 1)):
            if type(value := getattr(self, name)) is not int or value < least:
                raise UsageError(f"{name}={value!r} is too little", cure=f"Give {least:,} or more.")


@prompt(untrusted=untrusted("conversation", max_chars=1_000_000))
async def sum_up_conversation(conversation: str, earlier: str, words: int) -> str:
    """What an agent has to know of a conversation."""
    raise AssertionError("a prompt's body is never run")


class Compaction:
    """Keeps one agent's conversation within its memory. `task` is what stays as it is."""

    def __init__(self, model: Model, memory: Memory, task: Message) -> None:
        self._sum_up = sum_up_conversation.using(model)
        self._memory = memory
        self._task = task

    async def __call__(self, messages: list[Message], request: Request) -> list[Message]:
        """The conversation as it will be shown. `request` is what would be asked with all of it."""
        around = tokens_of(request.messages) - tokens_of(messages) + _tools(request)
        room = max(self._memory.tokens - around, _FEWEST)
        if tokens_of(messages) <= room:
            return messages
        head, tail = self._divided(messages)
        if any(each != self._task and not _is_summary(each) for each in head):
            task = [] if self._task in tail else [self._task]
            head = [text_message("user", await self._summary(head, room)), *task]
        return _cut([*head, *tail], room)

    def _divided(self, messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
        """What is summed up, and what stays: a turn begins with what the model says, so that no
        result is parted from its call."""
        turns = [at for at, each in enumerate(messages) if each.role == "assistant"]
        if not turns:
            return [], list(messages)
        begin = turns[-self._memory.keep] if len(turns) > self._memory.keep else turns[0]
        return list(messages[:begin]), list(messages[begin:])

    async def _summary(self, messages: Sequence[Message], room: int) -> str:
        words = max(room // 6, 50)
        earlier = ""
        for part in _parts(messages, room * 2):
            earlier = await self._sum_up(part, earlier, words)
        return f"{_SUMMARY}\n\n{_shortened(earlier, room * 2)}"


def tokens_of(messages: Sequence[Message]) -> int:
    """About how many tokens messages are: one for four bytes."""
    return sum(_length(part) for each in messages for part in each.parts) // 4


def _length(part: object) -> int:
    words = getattr(part, "text", "") or getattr(part, "arguments", "") or ""
    return len(words.encode("utf-8", "replace")) + _AROUND


def _tools(request: Request) -> int:
    return len(msgspec.json.encode(request.tools)) // 4 if request.tools else 0


def _is_summary(message: Message) -> bool:
    return message.role == "user" and message.text.startswith(_SUMMARY)


def _parts(messages: Sequence[Message], characters: int) -> Iterator[str]:
    """The conversation as text, in parts of about so many characters."""
    part: list[str] = []
    length = 0
    for each in messages:
        text = _told(each, characters)
        if part and length + len(text) > characters:
            yield "\n\n".join(part)
            part, length = [], 0
        part.append(text)
        length += len(text)
    if part:
        yield "\n\n".join(part)


def _told(message: Message, most: int) -> str:
    said = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            said.append(f"[calls {part.name} with {part.arguments}]")
        elif isinstance(part, ToolResult):
            said.append(f"[{part.name} {'failed' if part.failed else 'gave'}: {part.text}]")
        elif isinstance(part, Text):
            said.append(part.text)
    return _shortened(f"{message.role}: {' '.join(said)}", most)


def _cut(messages: list[Message], room: int) -> list[Message]:
    """The messages, with the results of tools cut, the oldest first, until they fit."""
    cut = list(messages)
    for at, message in enumerate(cut):
        over = tokens_of(cut) - room
        if over <= 0:
            break
        parts = [each for each in message.parts if isinstance(each, ToolResult)]
        if parts:
            most = max(sum(len(each.text) for each in parts) - over * 4, _SHORTEST) // len(parts)
            cut[at] = Message(message.role, tuple(_shorter(each, most) for each in message.parts))
    return cut


def _shorter(part: Part, most: int) -> Part:
    if not isinstance(part, ToolResult):
        return part
    return msgspec.structs.replace(part, text=_shortened(part.text, most))


def _shortened(text: str, most: int) -> str:
    left_out = len(text) - most
    return f"{text[:most]}\n[Cut here: {left_out:,} more characters.]" if left_out > 0 else text


_SUMMARY = "Summary of our conversation so far:"
_AROUND = 16
_FEWEST = 200
_SHORTEST = 200
