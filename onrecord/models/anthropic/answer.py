"""What the events of Anthropic's Messages API add up to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from onrecord.messages import Completion, Finish, Message, Part, Text, Thinking, ToolCall, Usage
from onrecord.models.http.events import NO_REASON
from onrecord.models.usage import merged, reported_cost, usage_of


class Answer:
    """What the events of one answer (or one whole message) add up to.

    Thinking is a part of the message, counted in `usage.reasoning`, and no part of the words.
    """

    def __init__(self) -> None:
        self._blocks: dict[object, _Block] = {}
        self._usage: Usage | None = None
        self._cost: int | None = None
        self._stop = ""
        self._declined = ""
        self.ended = False

    @property
    def finished(self) -> bool:
        """Whether the server has said why it stopped."""
        return bool(self._stop)

    @property
    def empty(self) -> bool:
        """Whether nothing came: no block, no reason for the end."""
        return not (self._blocks or self._stop)

    @property
    def usage(self) -> Usage | None:
        """The tokens that the server has reported so far; None where it has reported none."""
        return self._usage

    def add(self, event: Mapping[str, Any]) -> str:
        """Take one event in; returns its words. Events that nobody knows say nothing."""
        self._add_usage(event)
        kind = event.get("type")
        if kind == "content_block_start":
            return self._open(event.get("index"), _object(event.get("content_block")))
        if kind == "content_block_delta":
            return self._extend(event.get("index"), _object(event.get("delta")))
        if kind == "message_delta":
            self._close(_object(event.get("delta")))
        elif kind == "message_stop":
            self.ended = True
        elif kind == "message":  # a server that does not stream
            self._close(event)
            blocks = event.get("content")
            found = enumerate(blocks if isinstance(blocks, list) else [])
            return "".join([self._open(at, _object(each)) for at, each in found])
        return ""

    def completion(self, model: str, *, limit: int | None) -> Completion:
        """The whole answer. `limit`: the one that was sent although the request named none."""
        parts = [part for block in self._blocks.values() if (part := block.part()) is not None]
        finish: Finish = _FINISHES.get(self._stop, "stop" if self._stop else "unknown")
        if finish == "stop" and any(isinstance(part, ToolCall) for part in parts):
            finish = "tool_calls"
        warnings = []
        if self._stop == "max_tokens" and limit is not None:
            warnings.append(
                f"The answer was cut off at {limit:,} tokens: the request named no max_tokens, and"
                " the API demands a limit."
            )
        if finish == "unknown":
            warnings.append(NO_REASON)
        if self._stop in _WARNINGS:
            warnings.append(_WARNINGS[self._stop])
        if self._declined:
            warnings.append(f"The model declined: {self._declined}")
        return Completion(
            Message("assistant", tuple(parts)),
            model,
            self._usage or Usage(),
            finish,
            self._cost,
            warnings=tuple(warnings),
        )

    def _open(self, index: object, block: Mapping[str, Any]) -> str:
        opened = self._blocks[_place(index)] = _Block(block)
        return opened.words

    def _extend(self, index: object, delta: Mapping[str, Any]) -> str:
        block = self._blocks.setdefault(
            _place(index), _Block({"type": _OF.get(_text(delta, "type"))})
        )
        words = _text(delta, "text")
        block.words += words
        block.input += _text(delta, "partial_json")
        block.thoughts += _text(delta, "thinking")
        block.signature += _text(delta, "signature")
        return words

    def _close(self, delta: Mapping[str, Any]) -> None:
        self._stop = _text(delta, "stop_reason") or self._stop
        details = _object(delta.get("stop_details"))
        said = (_text(details, "category"), _text(details, "explanation"))
        self._declined = ": ".join(filter(None, said)) or self._declined

    def _add_usage(self, event: Mapping[str, Any]) -> None:
        message = _object(event.get("message"))
        if not (isinstance(event.get("usage"), dict) or isinstance(message.get("usage"), dict)):
            return
        reported = usage_of(event)
        if reported != Usage():
            self._usage = merged(self._usage or Usage(), reported)
        if (cost := reported_cost(event)) is not None:
            self._cost = cost


class _Block:
    """A block of an answer that may not be whole yet."""

    def __init__(self, block: Mapping[str, Any]) -> None:
        self.kind = _text(block, "type")
        self.id, self.name = _text(block, "id"), _text(block, "name")
        self.words = _text(block, "text")
        self.input = ""
        self.thoughts = _text(block, "thinking")
        self.signature = _text(block, "signature") or _text(block, "data")
        self._whole = block.get("input")

    def part(self) -> Part | None:
        if self.kind == "tool_use":
            given = self.input or json.dumps(self._whole if isinstance(self._whole, dict) else {})
            return ToolCall(self.id, self.name, given)
        if self.kind in ("thinking", "redacted_thinking"):
            return Thinking(self.thoughts, self.signature, self.kind == "redacted_thinking")
        return Text(self.words) if self.words else None


def _text(block: Mapping[str, Any], name: str) -> str:
    value = block.get(name)
    return value if isinstance(value, str) else ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _place(index: object) -> object:
    return index if isinstance(index, int) else 0


_OF = {
    "text_delta": "text",
    "input_json_delta": "tool_use",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
}
_FINISHES: dict[str, Finish] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refused",
}
_WARNINGS = {
    "model_context_window_exceeded": "The answer was cut off where the model's context ended.",
    "pause_turn": "The server paused its turn, and this is what it said until then.",
}
