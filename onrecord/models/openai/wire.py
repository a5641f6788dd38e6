"""The OpenAI protocol as data: what is sent. What comes back is in `openai/answer.py`.

Nothing here opens a connection; `openai/api.py` does.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from typing import Any, NamedTuple

from onrecord.errors import ModelRefusedError
from onrecord.messages import Media, Message, Text, ToolCall, ToolResult, ToolSchema
from onrecord.models.http.sending import check_tool_choice, unsendable
from onrecord.models.model import Parameters, Request
from onrecord.models.openai.answer import Answer


class Chat(NamedTuple):
    """How chat completions are written for one model on one server.

    `newest`: the server is OpenAI's own, which refuses what it does not know; others may know more.
    `where` is said in errors.
    """

    model: str
    newest: bool
    where: str

    @property
    def path(self) -> str:
        """Where such requests go, behind the server's address."""
        return "chat/completions"

    def answer(self) -> Answer:
        """An answer to which nothing was added yet."""
        return Answer()

    def body(self, request: Request) -> dict[str, Any]:
        """What is sent. Raises ModelRefusedError for what cannot be done, before it is sent."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [wire for each in request.messages for wire in self._messages(each)],
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._parameters(request.parameters),
            **self._tools(request),
        }
        if request.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {
                    "name": "answer",
                    "schema": request.schema,
                    "strict": is_strict(request.schema),
                },
            }
        return body

    def warnings(self, parameters: Parameters) -> tuple[str, ...]:
        """What may not be done as asked, although it was sent."""
        beyond = [name for name in _BEYOND if getattr(parameters, name) is not None]
        if not beyond:
            return ()
        names, verb = (beyond[0], "is") if len(beyond) == 1 else (", ".join(beyond), "are")
        return (
            f"{names} {verb} not part of the OpenAI protocol: a server that does not know"
            f" {'it ignores it' if verb == 'is' else 'them ignores them'}.",
        )

    def _parameters(self, parameters: Parameters) -> dict[str, Any]:
        if parameters.num_beams not in (None, 1):
            raise self._refused("num_beams", "beam search is not part of the OpenAI protocol")
        if parameters.length_penalty is not None:
            raise self._refused("length_penalty", "beam search is not part of the OpenAI protocol")
        for name in _BEYOND if self.newest else ():
            if getattr(parameters, name) is not None:
                raise self._refused(name, "OpenAI's server does not take it")
        if self.newest and (parameters.logprobs or 0) > _MOST_LOGPROBS:
            raise self._refused("logprobs", f"OpenAI's server gives at most {_MOST_LOGPROBS}")
        # OpenAI's reasoning models refuse `max_tokens`; Ollama and older servers ignore its
        # successor.
        limit = "max_completion_tokens" if self.newest else "max_tokens"
        wire = {
            "temperature": parameters.temperature,
            "top_p": parameters.top_p,
            limit: parameters.max_tokens,
            "stop": list(parameters.stop) or None,
            "seed": parameters.seed,
            "presence_penalty": parameters.presence_penalty,
            "frequency_penalty": parameters.frequency_penalty,
            "logprobs": None if parameters.logprobs is None else True,
            "top_logprobs": parameters.logprobs or None,
            **{name: getattr(parameters, name) for name in _BEYOND},
            "repeat_penalty": parameters.repetition_penalty,  # its name in llama.cpp, LM Studio
        }
        return {name: value for name, value in wire.items() if value is not None}

    def _tools(self, request: Request) -> dict[str, Any]:
        check_tool_choice(request, self.where)
        choice = request.tool_choice
        if not request.tools:
            return {}
        if choice in [tool.name for tool in request.tools]:
            # The protocol has an object for this, which llama.cpp takes for "auto" without a word
            # and Ollama passes over. One tool alone, and a call required, means the same.
            tools = [tool for tool in request.tools if tool.name == choice]
            return {"tools": [self._tool(tool) for tool in tools], "tool_choice": "required"}
        wire: dict[str, Any] = {"tools": [self._tool(tool) for tool in request.tools]}
        return wire if choice == "auto" else {**wire, "tool_choice": choice}

    def _tool(self, tool: ToolSchema) -> dict[str, Any]:
        function: dict[str, Any] = {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        }
        if self.newest and is_strict(tool.parameters):
            function["strict"] = True
        return {"type": "function", "function": function}

    def _messages(self, message: Message) -> Iterator[dict[str, Any]]:
        """One message of ours is one of theirs, but for tool results: each of those is its own."""
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        for result in results:
            yield {"role": "tool", "tool_call_id": result.id, "content": result.text}
        calls = [_call(part) for part in message.parts if isinstance(part, ToolCall)]
        said = [part for part in message.parts if isinstance(part, Text | Media)]
        if not (said or calls) and results:
            return
        role = "user" if message.role == "tool" else message.role
        wire: dict[str, Any] = {"role": role, "content": self._content(said)}
        if calls:
            wire["tool_calls"] = calls
            wire["content"] = wire["content"] or None
        yield wire

    def _content(self, parts: list[Text | Media]) -> str | list[dict[str, Any]]:
        # Plain words go as a plain string: many servers read nothing else.
        if not any(isinstance(part, Media) for part in parts):
            return "".join(part.text for part in parts if isinstance(part, Text))
        return [
            {"type": "text", "text": part.text} if isinstance(part, Text) else self._media(part)
            for part in parts
        ]

    def _media(self, part: Media) -> dict[str, Any]:
        kind, _, format = part.media_type.lower().partition("/")
        held = part.url.partition(",")[2] if part.url.startswith("data:") else None
        if kind == "image":
            return {"type": "image_url", "image_url": {"url": part.url}}
        if kind == "audio" and held is not None:
            format = _SOUNDS.get(format, format)
            return {"type": "input_audio", "input_audio": {"data": held, "format": format}}
        if kind in ("audio", "video"):
            if self.newest:
                what = "sound by its address" if kind == "audio" else "video"
                raise self._refused(part.media_type, f"OpenAI's server does not take {what}")
            return {"type": f"{kind}_url", f"{kind}_url": {"url": part.url}}
        if held is None:
            raise self._refused(
                part.media_type,
                "the protocol takes files only whole: send the bytes as a data: URL",
            )
        return {"type": "file", "file": {"filename": file_name(part), "file_data": part.url}}

    def _refused(self, name: str, why: str) -> ModelRefusedError:
        return unsendable(name, why, self.where)


def _call(part: ToolCall) -> dict[str, Any]:
    return {
        "id": part.id,
        "type": "function",
        "function": {"name": part.name, "arguments": part.arguments},
    }


def file_name(part: Media) -> str:
    """A name for a file that came without one: its ending says what it is."""
    return f"file{mimetypes.guess_extension(part.media_type) or ''}"


def is_strict(schema: object) -> bool:
    """Whether every object of a schema is closed and complete, as the strict mode demands."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False
        or set(schema.get("required", ())) != set(schema.get("properties", ()))
    ):
        return False
    return all(is_strict(value) for key, value in schema.items() if key not in ("enum", "const"))


# What OpenAI's own server does not know, by the names that vLLM, SGLang and others gave it.
_BEYOND = ("top_k", "min_p", "min_tokens", "repetition_penalty")
_MOST_LOGPROBS = 20
_SOUNDS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "x-flac": "flac"}
