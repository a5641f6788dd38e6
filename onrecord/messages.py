"""The values that cross module and process borders.

All frozen. They can be added up, read as text and shown in a notebook, and do nothing else.

JSON both ways with `msgspec.json`; the field names are final.
"""

from __future__ import annotations

import operator
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec.structs import astuple

T = TypeVar("T")

Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "length", "tool_calls", "refused", "unknown"]
"""Why an answer ended: it was whole, cut off by a limit, waits for tools, was declined; or nobody
said, and it may be cut off."""


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A part of a message: words."""

    text: str


class Media(msgspec.Struct, frozen=True, tag="media"):
    """A part of a message: an image, sound or file, by URL (a `data:` URL holds the bytes)."""

    media_type: str
    url: str


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """A part of an assistant's message: the model asks for a tool.

    `arguments` is the JSON text exactly as the model wrote it, valid or not.
    """

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """A part of a tool's message: what the tool call with this `id` gave, or why it failed."""

    id: str
    name: str
    text: str
    failed: bool = False


class Thinking(msgspec.Struct, frozen=True, tag="thinking"):
    """A part of an assistant's message: what the model thought, which is no part of its words.

    `text` is as much as its provider shows of it, maybe nothing. `signature` is what the provider
    wants to have back with it, unchanged, when the conversation goes on; `redacted` thinking is
    nothing but that.
    """

    text: str
    signature: str = ""
    redacted: bool = False


Part = Text | Media | ToolCall | ToolResult | Thinking


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation: a role and its parts."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The words of the message, its text parts joined."""
        parts = self.parts
        if len(parts) == 1 and type(part := parts[0]) is Text:  # nearly always
            return part.text
        return "".join(part.text for part in parts if isinstance(part, Text))


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one or more calls, whatever a provider calls them. `+` adds every count.

    `input` is the whole of what went in, `output` the whole of what came out. Every other count is
    a share of one of them; what a provider does not report is 0.

    Shares of `input`: `cached` was read from the provider's cache; `cache_write` was put into it,
    `cache_write_1h` of that for an hour instead of minutes; `audio_input` was sound, `cached_audio`
    of that (and of `cached`) from the cache; `image_input` was images.

    Shares of `output`: `reasoning` was spent on thinking; `audio_output` is sound, `image_output`
    images.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    cached_audio: int = 0
    image_input: int = 0
    audio_output: int = 0
    image_output: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*map(operator.add, astuple(self), astuple(other)))


class ToolSchema(msgspec.Struct, frozen=True):
    """A tool as a model is told of it; `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]


class TokenProbability(msgspec.Struct, frozen=True, array_like=True):
    """A token of an answer, the natural logarithm of its probability, and those of the likeliest
    tokens in its place, where they were asked for."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class Completion(msgspec.Struct, frozen=True):
    """What a model answered.

    `cost` is in integer micro-dollars (1,000,000 = 1 USD); None where it is not known. `logprobs`:
    the tokens of the answer, where `Parameters.logprobs` asked for them and the model gives them.
    `warnings`: what was not done as asked (an input cut to fit, a parameter left out), one sentence
    each.
    """

    message: Message
    model: str
    usage: Usage = Usage()
    finish: Finish = "stop"
    cost: int | None = None
    logprobs: tuple[TokenProbability, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The words of the answer."""
        return self.message.text

    def _repr_html_(self) -> str:
        from onrecord.notebook import completion

        tokens = f"{self.usage.input:,} → {self.usage.output:,} tokens"
        cost = "cost unknown" if self.cost is None else f"${self.cost / 1e6:.6f}"
        return completion(self.text, [self.model, tokens, cost, self.finish])


class Passage(msgspec.Struct, frozen=True):
    """A chunk that a search returned.

    `text == document.text[start:end]` exactly, in characters; `score` is in [0, 1].
    """

    document_id: str
    title: str
    text: str
    start: int
    end: int
    score: float
    metadata: dict[str, Any] = {}

    def _repr_html_(self) -> str:
        from onrecord.notebook import passage

        place = f"{self.document_id}, characters {self.start:,}-{self.end:,}"
        return passage(self.text, self.title, [place, f"score {self.score:.2f}"], self.metadata)


class Citation(msgspec.Struct, frozen=True):
    """A quotation that was found, character by character, in the document it names.

    `quote == document.text[start:end]` exactly.
    """

    document_id: str
    title: str
    quote: str
    start: int
    end: int


class Cited(msgspec.Struct, Generic[T], frozen=True):
    """A value with the verified quotations that support it, or a refusal with its reason.

    A refused answer has no citations; its `value` is None and `reason` says why.
    `reason` also reports quotations that were dropped because no document holds them.
    """

    value: T | None
    citations: tuple[Citation, ...] = ()
    refused: bool = False
    reason: str = ""

    def _repr_html_(self) -> str:
        from onrecord.notebook import answer

        quotations = [
            (
                each.quote,
                f"{each.title}: {each.document_id}, characters {each.start:,}-{each.end:,}",
            )
            for each in self.citations
        ]
        return answer(self.value, quotations, self.refused, self.reason)


class TextDelta(msgspec.Struct, frozen=True, tag="text_delta"):
    """An event of a stream: the next words of a model's answer."""

    text: str


class Partial(msgspec.Struct, frozen=True, tag="partial"):
    """An event of a stream: as much of a typed answer as is there, as plain JSON values."""

    value: Any


class Question(msgspec.Struct, frozen=True):
    """What a paused flow asks a person; `id` is that of the record that waits.

    An "answer" is asked for by `on.pause`: one of `options`, or anything where there are none. A
    "repeat" is asked where it is not known whether a call happened that must not happen twice:
    answered with {"repeat": true}, or {"output": …} if it did happen.
    """

    id: str
    text: str
    options: tuple[str, ...] = ()
    kind: Literal["answer", "repeat"] = "answer"


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """An event of a stream: how far a long piece of work is. `total` is 0 where it is not known."""

    stage: str
    done: int
    total: int


class Result(msgspec.Struct, Generic[T], frozen=True, tag="result"):
    """The last event of a stream: the value that a plain call would have returned."""

    value: T

    def _repr_html_(self) -> str:
        from onrecord.notebook import shown

        return shown(self.value)


def text_message(role: Role, text: str) -> Message:
    """A message of one text part."""
    return Message(role, (Text(text),))
