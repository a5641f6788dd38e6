"""The OpenAI protocol as data: what is sent, and what comes back.

Nothing here opens a connection; `openai_api.py` does.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from typing import Any

from onrecord.errors import ModelUnavailableError
from onrecord.messages import (
    Completion,
    Finish,
    Media,
    Message,
    Part,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from onrecord.models.model import Parameters, Request
from onrecord.models.usage import merged, reported_cost, usage_of


def payload(model: str, request: Request, *, newest: bool) -> dict[str, Any]:
    """The body of a chat completion. `newest`: the server is OpenAI's own."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [wire for message in request.messages for wire in _messages(message)],
        "stream": True,
        "stream_options": {"include_usage": True},
        **_parameters(request.parameters, newest),
    }
    if request.schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {
                "name": "answer",
                "schema": request.schema,
                "strict": _is_strict(request.schema),
            },
        }
    return body


def _parameters(parameters: Parameters, newest: bool) -> dict[str, Any]:
    # OpenAI's reasoning models refuse `max_tokens`; Ollama and older servers ignore its successor.
    limit = "max_completion_tokens" if newest else "max_tokens"
    wire = {
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        limit: parameters.max_tokens,
        "stop": list(parameters.stop) or None,
        "seed": parameters.seed,
    }
    return {name: value for name, value in wire.items() if value is not None}


def _messages(message: Message) -> Iterator[dict[str, Any]]:
    """One message of ours is one of theirs, but for tool results: each of those is its own."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for result in results:
        yield {"role": "tool", "tool_call_id": result.id, "content": result.text}
    calls = [_call(part) for part in message.parts if isinstance(part, ToolCall)]
    said = [part for part in message.parts if isinstance(part, Text | Media)]
    if not (said or calls) and results:
        return
    role = "user" if message.role == "tool" else message.role
    wire: dict[str, Any] = {"role": role, "content": _content(said)}
    if calls:
        wire["tool_calls"] = calls
        wire["content"] = wire["content"] or None
    yield wire


def _content(parts: list[Text | Media]) -> str | list[dict[str, Any]]:
    # Plain words go as a plain string: many servers read nothing else.
    if not any(isinstance(part, Media) for part in parts):
        return "".join(part.text for part in parts if isinstance(part, Text))
    return [
        {"type": "text", "text": part.text}
        if isinstance(part, Text)
        else {"type": "image_url", "image_url": {"url": part.url}}
        for part in parts
    ]


def _call(part: ToolCall) -> dict[str, Any]:
    return {
        "id": part.id,
        "type": "function",
        "function": {"name": part.name, "arguments": part.arguments},
    }


def _is_strict(schema: object) -> bool:
    """Whether every object of a schema is closed and complete, as the strict mode demands."""
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False
        or set(schema.get("required", ())) != set(schema.get("properties", ()))
    ):
        return False
    return all(_is_strict(value) for key, value in schema.items() if key not in ("enum", "const"))


class EventDecoder:
    """Server-sent events, from bytes cut anywhere to the data of each event.

    Only `data` fields are kept. Line ends are those of the standard (CR, LF, both) and no others:
    JSON may hold U+2028.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._line = ""
        self._data: list[str] = []

    def feed(self, received: bytes, last: bool = False) -> list[str]:
        """The data of the events that these bytes complete; `last` also ends what is open."""
        text = self._line + self._decode(received, last)
        # A CR at the very end may be half of a CR LF.
        held = "\r" if text.endswith("\r") and not last else ""
        *lines, rest = _LINE_END.split(text[: len(text) - len(held)])
        self._line = rest + held
        if len(self._line) > _LONGEST_LINE:
            raise ModelUnavailableError("the server sent a line without end")
        if last:
            lines += [self._line, ""]
            self._line = ""
        return [event for line in lines for event in self._take(line)]

    def _take(self, line: str) -> Iterator[str]:
        if not line and self._data:
            yield "\n".join(self._data)
            self._data = []
        elif line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))


class Answer:
    """What the chunks of one answer add up to.

    The cost is the one that the server reports; where it reports none, prices are others' business
    (`prices.cost_of`).
    """

    def __init__(self) -> None:
        self._words: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[object, dict[str, str]] = {}
        self._usage: Usage | None = None
        self._cost: int | None = None
        self._finish = ""

    @property
    def finished(self) -> bool:
        """Whether the server has said why it stopped."""
        return bool(self._finish)

    @property
    def usage(self) -> Usage | None:
        """The tokens that the server has reported so far; None where it has reported none."""
        return self._usage

    def add(self, chunk: Mapping[str, Any]) -> str:
        """Take one chunk (or one whole answer) in; returns its words."""
        if isinstance(chunk.get("usage"), dict) or "x_groq" in chunk:
            self._add_usage(chunk)
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else {}
        if not isinstance(choice, dict):
            return ""
        self._finish = _text(choice.get("finish_reason")) or self._finish
        delta = choice.get("delta") or choice.get("message") or {}
        if not isinstance(delta, dict):
            return ""
        words, refusal = _text(delta.get("content")), _text(delta.get("refusal"))
        self._words.append(words)
        self._refusal.append(refusal)
        for at, call in enumerate(_dicts(delta.get("tool_calls"))):
            self._add_call(call, at)
        return words or refusal

    def completion(self, model: str) -> Completion:
        """The whole answer."""
        refusal = "".join(self._refusal)
        text = "".join(self._words) + refusal
        parts: list[Part] = [Text(text)] if text else []
        parts += [
            ToolCall(call["id"] or f"call_{at}", call["name"], call["arguments"])
            for at, call in enumerate(self._calls.values(), 1)
        ]
        finish: Finish = "refused" if refusal else _FINISHES.get(self._finish, "stop")
        if self._calls and finish == "stop":
            finish = "tool_calls"
        usage = self._usage or Usage()
        return Completion(Message("assistant", tuple(parts)), model, usage, finish, self._cost)

    def _add_usage(self, chunk: Mapping[str, Any]) -> None:
        reported = usage_of(chunk)
        if reported != Usage():
            self._usage = merged(self._usage or Usage(), reported)
        if (cost := reported_cost(chunk)) is not None:
            self._cost = cost

    def _add_call(self, delta: dict[str, Any], at: int) -> None:
        index = delta.get("index")
        call = self._calls.setdefault(
            index if isinstance(index, int) else at, {"id": "", "name": "", "arguments": ""}
        )
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        call["id"] = call["id"] or _text(delta.get("id"))
        call["name"] += _text(function.get("name"))
        call["arguments"] += _text(function.get("arguments"))


def _text(value: object) -> str:
    """Words, also where a server sends them as a list of parts."""
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in _dicts(value))
    return value if isinstance(value, str) else ""


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


_FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "refused",
}
_LINE_END = re.compile(r"\r\n|\r|\n")
_LONGEST_LINE = 4_000_000
