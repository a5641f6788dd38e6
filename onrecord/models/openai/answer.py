"""What the chunks of an OpenAI-compatible server's answer add up to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from onrecord.messages import (
    Completion,
    Finish,
    Message,
    Part,
    Text,
    Thinking,
    TokenProbability,
    ToolCall,
    Usage,
)
from onrecord.models.http.events import NO_REASON
from onrecord.models.usage import merged, reported_cost, usage_of


class Answer:
    """What the chunks of one answer add up to.

    The cost is the one that the server reports; where it reports none, prices are others' business
    (`prices.cost_of`). Thinking, which some servers send beside the words, is a part of its own.
    """

    def __init__(self) -> None:
        self._words: list[str] = []
        self._refusal: list[str] = []
        self._calls: list[_Call] = []
        self._logprobs: list[TokenProbability] = []
        self._thoughts: list[str] = []
        self._usage: Usage | None = None
        self._cost: int | None = None
        self._finish = ""

    @property
    def finished(self) -> bool:
        """Whether the server has said why it stopped."""
        return bool(self._finish)

    @property
    def empty(self) -> bool:
        """Whether nothing came: no word, no thought, no call, no reason for the end."""
        said = any(self._words) or any(self._refusal) or self._calls or any(self._thoughts)
        return not (said or self._finish)

    @property
    def usage(self) -> Usage | None:
        """The tokens that the server has reported so far; None where it has reported none."""
        return self._usage

    def add(self, chunk: Mapping[str, Any]) -> str:
        """Take one chunk (or one whole answer) in; returns its words."""
        if isinstance(chunk.get("usage"), dict) or "x_groq" in chunk:
            self._add_usage(chunk)
        choice = _choice(chunk)
        self._finish = _text(choice.get("finish_reason")) or self._finish
        if isinstance(found := choice.get("logprobs"), dict):
            self._add_logprobs(found)
        delta = choice.get("delta") or choice.get("message") or {}
        if not isinstance(delta, dict):
            return ""
        words, refusal = _text(delta.get("content")), _text(delta.get("refusal"))
        self._words.append(words)
        self._refusal.append(refusal)
        self._thoughts.append(
            next(filter(None, (_text(delta.get(each)) for each in _THOUGHTS)), "")
        )
        for at, call in enumerate(_dicts(delta.get("tool_calls"))):
            self._add_call(call, at)
        return words or refusal

    def failure_in(self, chunk: Mapping[str, Any]) -> object:
        """What a chunk says of a failure: as an error, instead of an answer, or as the reason for
        its end. None where it says nothing."""
        choice = _choice(chunk)
        if failure := chunk.get("error") or choice.get("error"):
            return failure
        if "choices" not in chunk and any(isinstance(chunk.get(each), str) for each in _COMPLAINTS):
            return chunk
        if (end := choice.get("finish_reason")) in _FAILURES:
            return {"message": f"it ended its answer for the reason {end!r}"}
        return None

    def completion(
        self, model: str, *, warnings: tuple[str, ...] = (), logprobs: bool = False
    ) -> Completion:
        """The whole answer. `logprobs`: whether they were asked for."""
        refusal = "".join(self._refusal)
        text = "".join(self._words) + refusal
        thoughts = "".join(self._thoughts)
        parts: list[Part] = [Thinking(thoughts)] if thoughts else []
        parts += [Text(text)] if text else []
        parts += [
            ToolCall(call.id or f"call_{at}", call.name, call.arguments)
            for at, call in enumerate(self._calls, 1)
        ]
        end: Finish = "stop" if self._finish else "unknown"
        finish: Finish = "refused" if refusal else _FINISHES.get(self._finish, end)
        if self._calls and finish == "stop":
            finish = "tool_calls"
        if finish == "unknown":
            warnings = (*warnings, NO_REASON)
        if logprobs and text and not self._logprobs:
            warnings = (*warnings, "The server sent no log-probabilities.")
        return Completion(
            Message("assistant", tuple(parts)),
            model,
            self._usage or Usage(),
            finish,
            self._cost,
            tuple(self._logprobs) if logprobs else (),
            warnings,
        )

    def _add_usage(self, chunk: Mapping[str, Any]) -> None:
        reported = usage_of(chunk)
        if reported != Usage():
            self._usage = merged(self._usage or Usage(), reported)
        if (cost := reported_cost(chunk)) is not None:
            self._cost = cost

    def _add_call(self, delta: dict[str, Any], at: int) -> None:
        index, id = delta.get("index"), _text(delta.get("id"))
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        name = _text(function.get("name"))
        place = index if isinstance(index, int) else at
        arguments = _arguments(function.get("arguments"))
        call = next((each for each in reversed(self._calls) if each.place == place), None)
        if call is None or (name and call.is_followed_by(id, name, arguments)):
            call = _Call(place)
            self._calls.append(call)
        call.id = call.id or id
        if name != call.name:  # some send the whole name with each piece
            call.name += name
        call.arguments += arguments

    def _add_logprobs(self, found: dict[str, Any]) -> None:
        for each in (*_dicts(found.get("content")), *_dicts(found.get("refusal"))):
            logprob = _logprob(each.get("logprob"))
            if logprob is None:
                continue
            top = (
                (_text(other.get("token")), _logprob(other.get("logprob")))
                for other in _dicts(each.get("top_logprobs"))
            )
            kept = tuple((token, value) for token, value in top if value is not None)
            self._logprobs.append(TokenProbability(_text(each.get("token")), logprob, kept))


class _Call:
    """A tool call that may not be whole yet."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.id = self.name = self.arguments = ""

    def is_followed_by(self, id: str, name: str, arguments: str) -> bool:
        """Whether a piece with a name in the same place begins another call: some servers count
        every call as the first one, and some of those give no ids."""
        if id and self.id:
            return id != self.id
        if name != self.name:
            return bool(self.arguments)
        return bool(arguments) and _is_object(self.arguments)


def _choice(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """The first choice of a chunk; an empty one where there is none."""
    choices = chunk.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _is_object(text: str) -> bool:
    """Whether a text is a whole JSON object."""
    if not text.rstrip().endswith("}"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _arguments(value: object) -> str:
    """The JSON text of arguments, also where a server sends them as an object."""
    return json.dumps(value) if isinstance(value, dict) else _text(value)


def _logprob(value: object) -> float | None:
    """A logarithm that JSON can hold: minus infinity is OpenAI's own -9999."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None  # the last of them: not a number
    return float(max(min(value, 0.0), _IMPOSSIBLE))


def _text(value: object) -> str:
    """Words, also where a server sends them as a list of parts."""
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in _dicts(value))
    return value if isinstance(value, str) else ""


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


_THOUGHTS = ("reasoning", "reasoning_content")
_IMPOSSIBLE = -9999.0
_FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "refused",
    "model_length": "length",  # Mistral: the end of the context
}
# OpenRouter and Mistral, vLLM and SGLang, DeepSeek
_FAILURES = ("error", "abort", "insufficient_system_resource")
_COMPLAINTS = ("detail", "message")
