"""Spans of other tracers, read as records by the table of `conventions.py`."""

from __future__ import annotations

from typing import Any

import msgspec

from onrecord.records.exchange import conventions
from onrecord.records.exchange.chat import from_message, from_messages, gathered
from onrecord.records.exchange.conventions import Row
from onrecord.records.exchange.parsing import checked, parsed, unfolded
from onrecord.records.exchange.span import Event, Span
from onrecord.records.record import Kind, Record, pack, question_key, simplified

Plain = dict[str, Any]


class Reading:
    """One span of another tracer, while its attributes are read.

    What found its place in the record is `_used`; everything else is kept under `attributes`.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._found = dict(span.attributes)
        self._used: set[str] = set()
        self._said: list[tuple[Event, Plain]] = []
        self._answers: list[tuple[Event, Plain]] = []
        self._events = [event for event in span.events if not self._take_event(event)]

    def record(self, id: str, run: str, parent: str | None) -> Record:
        """The record, with the ids it is to have. Raises ValueError where it makes none."""
        span = self._span
        kind = self._kind(parent)
        name = self._name(kind)
        fields: Plain = {"usage": {}, "parameters": {}, "tags": ()}
        for row in conventions.TABLE:
            if row.attribute.startswith("onrecord.") and not row.older:
                continue
            if not row.kinds or kind in row.kinds:
                self._take(row, fields)
        fields.pop("error", None)
        input, output = self._bodies(kind, fields)
        key = question_key(kind, name, "", pack(input), None)
        error = self._error() if span.failed else None
        rest = self._rest()
        return checked(
            {
                "id": id,
                "run": run,
                "parent": parent,
                "kind": kind,
                "name": name,
                "input": simplified(_with_attributes(input, rest)),
                "key": key,
                "started_ns": span.started_ns,
                "output": simplified(output),
                "error": error,
                "ended_ns": span.ended_ns,
                "usage": fields["usage"],
                "cost": self._cost(kind),
                "state": _state(span),
                "session": fields.get("session"),
                "user": fields.get("user"),
                "tags": fields["tags"],
            }
        )

    def _take_event(self, event: Event) -> bool:
        """Whether all of an event found its place, or is kept to find it: messages were events
        once, and errors still are."""
        found = event.attributes
        if event.name in conventions.SPOKEN:
            role = conventions.SPOKEN[event.name]
            said = {name: unfolded(value) for name, value in found.items()}
            said.pop("gen_ai.system", None)
            said.pop("gen_ai.provider.name", None)
            message, whole = from_message(said, role or "assistant")
            if message["parts"]:
                (self._said if role else self._answers).append((event, message))
            return whole and bool(message["parts"])
        if event.name == "exception":
            names = {"exception.type", "exception.message", "exception.escaped"}
        elif event.name.startswith(("gen_ai.client.inference", "gen_ai.content.")):
            names = set(found)
        else:
            return False
        for name in names & found.keys():
            self._found.setdefault(name, found[name])
        return all(name in names and self._found[name] == found[name] for name in found)

    def _kind(self, parent: str | None) -> Kind:
        said: list[Kind] = []
        for name, kinds in conventions.KINDS.items():
            word = self._found.get(name)
            if isinstance(word, str) and (kind := kinds.get(word.lower())):
                self._used.add(name)
                said.append(kind)
        said += [guess for name, guess in _SIGNS if name in self._found]
        return "flow" if parent is None and said[:1] in ([], ["step"]) else (*said, _STEP)[0]

    def _name(self, kind: Kind) -> str:
        if kind in ("model", "embed"):
            asked = next((row for row in _MODEL_ROWS if self._present(row)), None)
            named = self._text(asked) if asked else None
            if named is not None:
                provider = self._text(_PROVIDER_ROW)
                return f"{conventions.provider_here(provider)}:{named}" if provider else named
        for row in _NAMES.get(kind, ()):
            if (given := self._text(row)) is not None:
                return given
        operation = self._found.get(conventions.OPERATION)
        if isinstance(operation, str) and self._span.name.startswith(f"{operation} "):
            return self._span.name[len(operation) + 1 :]
        return self._span.name or kind

    def _present(self, row: Row) -> bool:
        return any(self._found.get(name) for name in (row.attribute, *row.older))

    def _text(self, row: Row) -> str | None:
        value = self._value(row)
        return value if isinstance(value, str) and value else None

    def _value(self, row: Row) -> Any:
        """The value of a row's attribute, or of the first older one that is there."""
        for name in (row.attribute, *row.older):
            value = parsed(self._found.get(name), row.form)
            if value is not None:
                self._used.add(name)
                return value
        return None

    def _take(self, row: Row, fields: Plain) -> None:
        path = row.field.split(".")
        if path[0] == "usage":
            count = self._value(row)
            fields["usage"][path[1]] = min(count, 2**63 - 1) if count and count > 0 else 0
        elif row.field in ("session", "user"):
            fields[row.field] = fields.get(row.field) or self._value(row)
        elif row.field == "tags":
            fields["tags"] = tuple(self._value(row) or ())
        elif path[:2] == ["input", "parameters"] and (value := self._value(row)) is not None:
            fields["parameters"][path[2]] = value

    def _finish(self, row: Row) -> str | None:
        """Why the model stopped; where we have no word for it, theirs is kept."""
        before = set(self._used)
        reasons = self._value(row)
        ours = conventions.finish_here(reasons)
        if ours is None or (isinstance(reasons, list) and len(reasons) > 1):
            self._used = before
        return ours

    def _bodies(self, kind: Kind, fields: Plain) -> tuple[Any, Any]:
        if kind == "model":
            return self._asked(fields), self._answered(fields)
        if kind == "search":
            return self._query(), self._passages()
        return self._first(conventions.INPUTS), self._first(conventions.OUTPUTS)

    def _asked(self, fields: Plain) -> Any:
        messages = self._messages(conventions.MESSAGES, 0)
        if not messages:
            messages = [message for _, message in self._said]
            self._said = []
        if not messages:
            given = self._peek(conventions.INPUTS)
            messages, whole = _conversation(given[1], "messages")
            if whole:
                self._used.add(given[0])
        told, whole = from_message(
            {"role": "system", "parts": unfolded(self._found.get("gen_ai.system_instructions"))}
        )
        if told["parts"]:
            messages = [told, *messages]
            if whole:
                self._used.add("gen_ai.system_instructions")
        input: Plain = {"messages": messages}
        if not messages and (given := self._first(conventions.INPUTS)) is not None:
            input = {"value": given}
        if fields["parameters"]:
            input["parameters"] = fields["parameters"]
        return input

    def _answered(self, fields: Plain) -> Any:
        answers = self._messages(conventions.ANSWER, 1)
        if not answers and self._answers:
            answers = [self._answers.pop(0)[1]]
        if not answers:
            given = self._peek(conventions.OUTPUTS)
            answers, whole = _conversation(given[1], "choices")
            if not answers:
                return self._first(conventions.OUTPUTS)
            if whole and len(answers) == 1:
                self._used.add(given[0])
        asked = next((self._text(row) for row in _MODEL_ROWS if self._present(row)), None)
        return {
            "message": {**answers[0], "role": "assistant"},
            "model": self._text(_ANSWERED_ROW) or asked or "",
            "usage": fields["usage"],
            "finish": self._finish(_FINISH_ROW) or "stop",
            "cost": None,
        }

    def _messages(self, attribute: str, which: int) -> list[Plain]:
        """Messages from the attribute of today, or from those that spread them out."""
        if attribute in self._found:
            value = unfolded(self._found[attribute])
            messages, whole = from_messages(value)
            if whole and not (which and len(messages) > 1):
                self._used.add(attribute)
            return messages
        for prefix in conventions.SPREAD[which][1]:
            spread = gathered(self._found, prefix)
            if not spread:
                continue
            messages, whole = from_messages([unfolded(each) for each in spread])
            if whole and not (which and len(messages) > 1):
                self._used.update(name for name in self._found if name.startswith(f"{prefix}."))
            return messages
        return []

    def _query(self) -> Any:
        question = self._first(conventions.INPUTS)
        if isinstance(question, dict) and len(question) == 1:
            question = next(iter(question.values()))
        if not isinstance(question, str):
            return question
        k = parsed(self._found.get("gen_ai.request.top_k"), "double")
        if k is None:
            return {"question": question}
        self._used.add("gen_ai.request.top_k")
        return {"question": question, "k": int(k) if k == k and abs(k) < 1e9 else 0}

    def _passages(self) -> Any:
        spread = gathered(self._found, "retrieval.documents")
        if spread:
            self._used.update(name for name in self._found if name.startswith("retrieval.docu"))
            spread = [each.get("document", each) for each in spread]
        documents = spread or self._first(conventions.OUTPUTS)
        if not isinstance(documents, list):
            return documents
        passages = [_passage(each) for each in documents]
        return documents if None in passages else {"passages": passages}

    def _peek(self, names: tuple[str, ...]) -> tuple[str, Any]:
        for name in names:
            if self._found.get(name) is not None:
                return name, unfolded(self._found[name])
        return "", None

    def _first(self, names: tuple[str, ...]) -> Any:
        name, value = self._peek(names)
        if name:
            self._used.add(name)
        return value

    def _error(self) -> str:
        kind = next((t for n in _ERROR_TYPES if isinstance(t := self._found.get(n), str)), "")
        said = self._found.get("exception.message")
        message = self._span.problem or (said if isinstance(said, str) else "")
        self._used |= {name for name in _ERROR_TYPES if self._found.get(name) == kind}
        if said and isinstance(said, str) and said in message:
            self._used.add("exception.message")
        if not message:
            return kind or "failed"
        return message if not kind or message.startswith(kind) else f"{kind}: {message}"

    def _cost(self, kind: Kind) -> int | None:
        for name in conventions.COSTS:
            dollars = parsed(self._found.get(name), "double")
            if dollars is not None and 0 <= dollars < 1e12:
                self._used.add(name)
                micro: int = round(dollars * 1e6)
                return micro
        return None if kind in ("model", "embed") else 0

    def _rest(self) -> Plain:
        """What found no place, and where the span comes from."""
        span = self._span
        rest = {n: v for n, v in self._found.items() if n not in self._used and v is not None}
        rest |= span.of
        left = [event for event, _ in (*self._said, *self._answers) if event not in self._events]
        if events := [*self._events, *left]:
            rest["otel.events"] = [msgspec.to_builtins(event) for event in events]
        rest["otel.name"] = span.name
        rest["otel.trace_id"], rest["otel.span_id"] = span.trace, span.id
        if span.parent:
            rest["otel.parent_span_id"] = span.parent
        return rest


def _conversation(value: Any, name: str) -> tuple[list[Plain], bool]:
    """Messages in what a function that calls a model got or gave back, if they are there."""
    if isinstance(value, dict) and isinstance(value.get(name), list):
        messages, whole = from_messages(value[name])
        return messages, whole and len(value) == 1
    if isinstance(value, str):
        return from_messages(value)
    if isinstance(value, list) or (isinstance(value, dict) and "role" in value):
        messages, whole = from_messages(value)
        return (messages, whole) if messages and whole else ([], False)
    return [], False


def _passage(document: Any) -> Plain | None:
    """A document of a search, in the form of a Passage."""
    if not isinstance(document, dict):
        return None
    metadata = document.get("metadata")
    text = next((document[n] for n in _DOCUMENT_TEXT if isinstance(document.get(n), str)), "")
    id = document.get("document_id", document.get("id"))
    score = document.get("score")
    known = {"document_id", "id", "score", "metadata", "start", "end", "title", *_DOCUMENT_TEXT}
    if id is None or document.keys() - known or not isinstance(metadata, dict | None):
        return None
    start, end = document.get("start"), document.get("end")
    return {
        "document_id": str(id),
        "title": str(document.get("title") or ""),
        "text": text,
        "start": start if isinstance(start, int) else 0,
        "end": end if isinstance(end, int) else len(text),
        "score": score if isinstance(score, int | float) else 0.0,
        "metadata": metadata or {},
    }


def _with_attributes(input: Any, rest: Plain) -> Any:
    if input is None:
        return {"attributes": rest}
    if isinstance(input, dict) and "attributes" not in input:
        return {**input, "attributes": rest}
    return {"value": input, "attributes": rest}


def _state(span: Span) -> str:
    if span.failed:
        return "failed"
    return "done" if span.ended_ns else "interrupted"


_STEP: Kind = "step"
_ROW = {row.attribute: row for row in conventions.TABLE}
_PROVIDER_ROW = _ROW["gen_ai.provider.name"]
_FINISH_ROW = _ROW["gen_ai.response.finish_reasons"]
_ANSWERED_ROW = _ROW["gen_ai.response.model"]
_MODEL_ROWS = (_ROW["gen_ai.request.model"], _ANSWERED_ROW)
_AGENT_ROW = Row("gen_ai.agent.name", "name")
_NAMES: dict[Kind, tuple[Row, ...]] = {
    "search": (_ROW["gen_ai.data_source.id"],),
    "tool": (_ROW["gen_ai.tool.name"],),
    "flow": (_ROW["gen_ai.workflow.name"], _AGENT_ROW),
    "step": (_AGENT_ROW,),
}
_SIGNS: tuple[tuple[str, Kind], ...] = (
    (conventions.MESSAGES, "model"),
    ("gen_ai.prompt.0.content", "model"),
    ("llm.input_messages.0.message.role", "model"),
    ("embedding.model_name", "embed"),
    ("gen_ai.embeddings.dimension.count", "embed"),
    ("gen_ai.request.model", "model"),
    ("llm.model_name", "model"),
    ("gen_ai.retrieval.query.text", "search"),
    ("retrieval.documents.0.document.content", "search"),
    ("gen_ai.tool.name", "tool"),
    ("tool.name", "tool"),
)
_ERROR_TYPES = ("exception.type", "error.type")
_DOCUMENT_TEXT = ("text", "content", "page_content")
