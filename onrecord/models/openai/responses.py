"""OpenAI's Responses API as data: what is sent, and what its events add up to.

It is spoken where a server says that it takes the tools of a request over this API alone, as
OpenAI's does of its models that think (from gpt-5.6 on). Nothing is kept on the server (`store`):
every request holds the whole conversation, but for what the model thought.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from onrecord.errors import ModelRefusedError
from onrecord.messages import (
    Completion,
    Finish,
    Media,
    Message,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)
from onrecord.models.http.events import NO_REASON
from onrecord.models.http.sending import check_tool_choice, unsendable
from onrecord.models.model import Parameters, Request
from onrecord.models.openai.wire import file_name, is_strict
from onrecord.models.usage import reported_cost, usage_of


class Responses(NamedTuple):
    """How requests are written for one model. `where` is said in errors."""

    model: str
    where: str

    @property
    def path(self) -> str:
        """Where such requests go, behind the server's address."""
        return "responses"

    def body(self, request: Request) -> dict[str, Any]:
        """What is sent. Raises ModelRefusedError for what cannot be done, before it is sent."""
        check_tool_choice(request, self.where)
        body: dict[str, Any] = {
            "model": self.model,
            "input": [item for each in request.messages for item in self._items(each)],
            "stream": True,
            "store": False,
            **self._parameters(request.parameters),
        }
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": is_strict(tool.parameters),
                }
                for tool in request.tools
            ]
            choice: Any = request.tool_choice
            if choice not in ("auto", "none", "required"):
                choice = {"type": "function", "name": choice}
            body["tool_choice"] = choice
        if request.schema is not None:
            form = {"type": "json_schema", "name": "answer", "schema": request.schema}
            body["text"] = {"format": {**form, "strict": is_strict(request.schema)}}
        return body

    def answer(self) -> ResponsesAnswer:
        """An answer to which nothing was added yet."""
        return ResponsesAnswer()

    def _parameters(self, parameters: Parameters) -> dict[str, Any]:
        wire = {name: getattr(parameters, name) for name in parameters.__struct_fields__}
        sent = {_SENT[name]: wire.pop(name) for name in _SENT}
        for name, value in wire.items():
            if value not in (None, ()) and (name, value) != ("num_beams", 1):
                raise self._refused(name, "it takes the tools of this model, and no such parameter")
        return {name: value for name, value in sent.items() if value is not None}

    def _items(self, message: Message) -> Iterator[dict[str, Any]]:
        """One message of ours is one of theirs, and an item for each call and result in it."""
        for part in message.parts:
            if isinstance(part, ToolResult):
                yield {"type": "function_call_output", "call_id": part.id, "output": part.text}
        said = [part for part in message.parts if isinstance(part, Text | Media)]
        if said:
            role = "user" if message.role == "tool" else message.role
            yield {"role": role, "content": self._content(said)}
        for part in message.parts:
            if isinstance(part, ToolCall):
                call = {"call_id": part.id, "name": part.name, "arguments": part.arguments}
                yield {"type": "function_call", **call}

    def _content(self, parts: list[Text | Media]) -> str | list[dict[str, Any]]:
        if not any(isinstance(part, Media) for part in parts):
            return "".join(part.text for part in parts if isinstance(part, Text))
        return [
            {"type": "input_text", "text": part.text}
            if isinstance(part, Text)
            else self._media(part)
            for part in parts
        ]

    def _media(self, part: Media) -> dict[str, Any]:
        kind = part.media_type.lower().partition("/")[0]
        if kind in ("audio", "video"):
            raise self._refused(part.media_type, "it takes images and files")
        if kind == "image":
            return {"type": "input_image", "image_url": part.url, "detail": "auto"}
        if part.url.startswith("data:"):
            return {"type": "input_file", "filename": file_name(part), "file_data": part.url}
        return {"type": "input_file", "file_url": part.url}

    def _refused(self, name: str, why: str) -> ModelRefusedError:
        return unsendable(name, f"the server's Responses API is asked, and {why}", self.where)


class ResponsesAnswer:
    """What the events of one answer (or one whole response) add up to.

    The last event holds all of it; the ones before it are for whoever streams.
    """

    def __init__(self) -> None:
        self._items: list[Mapping[str, Any]] = []
        self._whole: Mapping[str, Any] = {}
        self._usage: Usage | None = None
        self._cost: int | None = None
        self._begun = False

    @property
    def finished(self) -> bool:
        """Whether the server has said that this is all."""
        return bool(self._whole)

    @property
    def empty(self) -> bool:
        """Whether nothing came."""
        return not (self._begun or self._whole)

    @property
    def usage(self) -> Usage | None:
        """The tokens that the server has reported; None where it has reported none."""
        return self._usage

    def add(self, event: Mapping[str, Any]) -> str:
        """Take one event in; returns its words. Events that nobody knows say nothing."""
        kind = event.get("type")
        if event.get("object") == "response":  # a server that does not stream
            self._end(event)
            return "".join(part.text for part in self._parts() if isinstance(part, Text))
        if kind in _WORDS:
            self._begun = True
            return _text(event, "delta")
        if kind == "response.output_item.done":
            self._begun = True
            self._items.append(_object(event.get("item")))
        elif kind in _ENDS:
            self._end(_object(event.get("response")))
        return ""

    def failure_in(self, event: Mapping[str, Any]) -> object:
        """What an event says of a failure; None where it says nothing."""
        if event.get("type") == "error":
            return event.get("error") or event
        response = event if event.get("object") == "response" else _object(event.get("response"))
        if response.get("status") == "failed":
            return response.get("error") or {"message": "it did not say why"}
        return event.get("error")

    def completion(
        self, model: str, *, warnings: tuple[str, ...] = (), logprobs: bool = False
    ) -> Completion:
        """The whole answer; this API is never asked for log-probabilities."""
        parts = self._parts()
        why = _text(_object(self._whole.get("incomplete_details")), "reason")
        end: Finish = "unknown" if self._whole.get("status") == "incomplete" else "stop"
        finish: Finish = _FINISHES.get(why, end)
        if finish == "unknown":
            warnings = (*warnings, NO_REASON)
        if self._refused():
            finish = "refused"
        elif finish == "stop" and any(isinstance(part, ToolCall) for part in parts):
            finish = "tool_calls"
        usage = self._usage or Usage()
        return Completion(
            Message("assistant", parts), model, usage, finish, self._cost, (), warnings
        )

    def _end(self, response: Mapping[str, Any]) -> None:
        self._whole = response
        if isinstance(response.get("usage"), dict):
            self._usage, self._cost = usage_of(response), reported_cost(response)

    def _output(self) -> list[Mapping[str, Any]]:
        return _objects(self._whole.get("output")) or self._items

    def _parts(self) -> tuple[Part, ...]:
        return tuple(part for item in self._output() for part in _parts_of(item))

    def _refused(self) -> bool:
        contents = (each for item in self._output() for each in _objects(item.get("content")))
        return any(each.get("type") == "refusal" for each in contents)


def _parts_of(item: Mapping[str, Any]) -> Iterator[Part]:
    kind = item.get("type")
    if kind == "function_call":
        yield ToolCall(_text(item, "call_id"), _text(item, "name"), _text(item, "arguments"))
    elif kind == "message":
        contents = _objects(item.get("content"))
        if words := "".join(_text(each, "text") or _text(each, "refusal") for each in contents):
            yield Text(words)
    elif kind == "reasoning":
        thoughts = (_text(each, "text") for each in _objects(item.get("summary")))
        if thought := "\n\n".join(filter(None, thoughts)):
            yield Thinking(thought)


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


# What it takes of our parameters, by its own names.
_SENT = {"max_tokens": "max_output_tokens", "temperature": "temperature", "top_p": "top_p"}
_WORDS = ("response.output_text.delta", "response.refusal.delta")
_ENDS = ("response.completed", "response.incomplete", "response.failed")
_FINISHES: dict[str, Finish] = {"max_output_tokens": "length", "content_filter": "refused"}
