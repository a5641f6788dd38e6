"""Records from spans: our own come back as they were, those of other tracers by the same table.

A record that comes from elsewhere gets an id that begins with its time, as all ids do, and goes on
with a hash of its trace and span: reading the same span twice gives the same record. Its run is the
id of the outermost span of its trace that is there; a span whose parent is not there begins a run.
Give the files of one trace together, then. What no field of a record holds is kept in the
input, under `attributes`, the ids of the trace and span among it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, get_args

import msgspec

from onrecord.records.exchange import conventions
from onrecord.records.exchange.chat import from_message, from_messages, gathered
from onrecord.records.exchange.conventions import Form, Row
from onrecord.records.exchange.otlp import Skipped
from onrecord.records.exchange.span import Span, is_hex
from onrecord.records.record import Kind, Record, pack, question_key, simplified

Plain = dict[str, Any]


class Traces:
    """Which spans there are, so that each finds its parent and its run.

    `add` every span first, then ask for records: 100 bytes or so are kept of each.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], _Place] = {}

    def add(self, span: Span) -> None:
        """Take note of a span."""
        ours = _is_ours(span)
        id = span.attributes[conventions.ID] if ours else _derived_id(span)
        run = _run_of_ours(span) if ours else None
        self._places[span.trace, span.id] = _Place(id, span.parent, run)

    def record(self, span: Span) -> Record:
        """The record of a span that was added. Raises ValueError where it makes none."""
        if _is_ours(span):
            return _ours(span)
        parent = self._places.get((span.trace, span.parent)) if span.parent else None
        place = self._places[span.trace, span.id]
        run = self._run(span.trace, place)
        return _Reading(span).record(place.id, run, parent.id if parent else None)

    def _run(self, trace: str, place: _Place) -> str:
        seen = set()
        while place.run is None and place.parent is not None and place.id not in seen:
            seen.add(place.id)
            above = self._places.get((trace, place.parent))
            if above is None:
                break
            place = above
        return place.run or place.id


def records_of(
    spans: Callable[[], Iterable[Span | Skipped]], skipped: Callable[[Skipped], None]
) -> Iterator[Record]:
    """The records of spans, which are gone through twice. What cannot be read goes to `skipped`."""
    traces = Traces()
    for span in spans():
        if isinstance(span, Span):
            traces.add(span)
    for span in spans():
        if isinstance(span, Skipped):
            skipped(span)
            continue
        try:
            yield traces.record(span)
        except ValueError as error:  # msgspec's errors among them
            skipped(Skipped(f"span {span.id} of trace {span.trace}", str(error)))


class _Place(NamedTuple):
    id: str
    parent: str | None
    run: str | None


def _derived_id(span: Span) -> str:
    rest = hashlib.blake2b(f"{span.trace}{span.id}".encode(), digest_size=10).hexdigest()
    return f"{min(span.started_ns // 1_000_000, 2**48 - 1):012x}{rest}"


# Our own


def _is_ours(span: Span) -> bool:
    id, kind = span.attributes.get(conventions.ID), span.attributes.get("onrecord.kind")
    return is_hex(id, 32) and kind in _KIND_NAMES


def _run_of_ours(span: Span) -> str:
    run = span.attributes.get("onrecord.run")
    return run if isinstance(run, str) else span.trace


def _ours(span: Span) -> Record:
    found = span.attributes
    fields: Plain = {"parent": None, "usage": {}, "cost": None, "tags": ()}
    for row in _PLAIN_ROWS:
        value = _parsed(found.get(row.attribute), row.form)
        if value is None:
            continue
        field, _, below = row.field.partition(".")
        if below:
            fields[field][below] = value
        else:
            fields[field] = value
    input, whole_input = _body(found, conventions.INPUT)
    output, whole_output = _body(found, conventions.OUTPUT)
    kind = fields["kind"]
    if kind == "tool":
        input = _given(found, conventions.ARGUMENTS, input)
        output = _given(found, conventions.RESULT, output)
    elif kind == "model":
        if conventions.MESSAGES in found:
            input = _put(input, "messages", _said(found[conventions.MESSAGES]))
        if answers := _said(found.get(conventions.ANSWER)):
            output = _put(output, "message", answers[0])
    ended_ns = found.get("onrecord.ended_ns", span.ended_ns)
    cut = not (whole_input and whole_output)
    fields |= {"input": input, "output": output, "run": _run_of_ours(span)}
    fields |= {"started_ns": span.started_ns, "ended_ns": ended_ns}
    fields["redacted"] = bool(fields.get("redacted")) or cut
    fields.setdefault("key", "")
    return _checked(fields)


def _body(found: Plain, name: str) -> tuple[Any, bool]:
    """A body from its JSON text, and whether it is whole: collectors may cut long attributes."""
    text = found.get(name)
    if not isinstance(text, str):
        return text, True
    try:
        return msgspec.json.decode(text), True
    except (msgspec.DecodeError, RecursionError):
        return text, False


def _given(found: Plain, name: str, body: Any) -> Any:
    return body if body is not None or name not in found else _body(found, name)[0]


def _said(text: Any) -> list[Plain]:
    return [message for message, _ in map(from_message, _listed(_unfolded(text)))]


def _put(body: Any, name: str, value: Any) -> Any:
    """Back into a body what the conventions' attributes said instead of it."""
    if not isinstance(body, dict) or name in body:
        return body
    return {name: value, **body}


# Everybody else's


class _Reading:
    """One span of another tracer, while its attributes are read: `used` are those that found their
    place in the record."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._found = dict(span.attributes)
        self._used: set[str] = set()
        self._spoken: list[Plain] = []
        self._answers: list[Plain] = []
        self._events = [event for event in span.events if not self._take_event(event)]

    def record(self, id: str, run: str, parent: str | None) -> Record:
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
        return _checked(
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

    def _take_event(self, event: Any) -> bool:
        """Whether an event found its place: messages were events once, and errors still are."""
        if event.name in conventions.SPOKEN:
            role = conventions.SPOKEN[event.name]
            said = {name: _unfolded(value) for name, value in event.attributes.items()}
            said.pop("gen_ai.system", None)
            said.pop("gen_ai.provider.name", None)
            message, whole = from_message(said, role or "assistant")
            (self._spoken if role else self._answers).append(message)
            return whole
        if event.name == "exception":
            self._found.setdefault("exception.type", event.attributes.get("exception.type"))
            self._found.setdefault("exception.message", event.attributes.get("exception.message"))
            return self._span.failed
        if event.name.startswith(("gen_ai.client.inference", "gen_ai.content.")):
            for name, value in event.attributes.items():
                self._found.setdefault(name, value)
            return True
        return False

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
            provider = self._text(_PROVIDER_ROW)
            if named is not None:
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
            value = _parsed(self._found.get(name), row.form)
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
        elif row.field.startswith("input.parameters."):
            if (value := self._value(row)) is not None:
                fields["parameters"][path[2]] = value
        elif row.field in ("output.model", "output.finish"):
            value = self._value(row)
            fields[path[1]] = row.read(value) if row.read and value is not None else value

    def _bodies(self, kind: Kind, fields: Plain) -> tuple[Any, Any]:
        if kind == "model":
            return self._asked(fields), self._answered(fields)
        if kind == "search":
            return self._query(), self._passages()
        return self._first(conventions.INPUTS), self._first(conventions.OUTPUTS)

    def _asked(self, fields: Plain) -> Any:
        messages = self._messages(conventions.MESSAGES, 0) or self._spoken
        if not messages:
            given = self._peek(conventions.INPUTS)
            messages, whole = _conversation(given[1], "messages")
            if whole:
                self._used.add(given[0])
        told, whole = from_message(
            {"role": "system", "parts": _unfolded(self._found.get("gen_ai.system_instructions"))}
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
        answers = self._messages(conventions.ANSWER, 1) or self._answers
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
            "model": fields.get("model") or asked or "",
            "usage": fields["usage"],
            "finish": fields.get("finish") or "stop",
            "cost": None,
        }

    def _messages(self, attribute: str, which: int) -> list[Plain]:
        """Messages from the attribute of today, or from those that spread them out."""
        if attribute in self._found:
            value = _unfolded(self._found[attribute])
            messages, whole = from_messages(value)
            if whole and not (which and len(messages) > 1):
                self._used.add(attribute)
            return messages
        for prefix in conventions.SPREAD[which][1]:
            spread = gathered(self._found, prefix)
            if not spread:
                continue
            messages, whole = from_messages([_unfolded(each) for each in spread])
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
        k = _parsed(self._found.get("gen_ai.request.top_k"), "double")
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
                return name, _unfolded(self._found[name])
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
        self._used |= {*_ERROR_TYPES, "exception.message"}
        if not message:
            return kind or "failed"
        return message if not kind or message.startswith(kind) else f"{kind}: {message}"

    def _cost(self, kind: Kind) -> int | None:
        for name in conventions.COSTS:
            dollars = _parsed(self._found.get(name), "double")
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
        if self._events:
            rest["otel.events"] = [msgspec.to_builtins(event) for event in self._events]
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


# Both


def _checked(fields: Plain) -> Record:
    """Raises ValueError where a field has not its type."""
    for name in _TEXTS:
        if isinstance(text := fields.get(name), str):
            fields[name] = text.replace("\0", "\ufffd")  # PostgreSQL holds none
    fields["tags"] = tuple(tag.replace("\0", "\ufffd") for tag in fields["tags"])
    for name in ("started_ns", "ended_ns", "cost"):
        number = fields.get(name)
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            raise ValueError(f"its {name} has more than 64 bits")
    return msgspec.convert(fields, Record)


def _parsed(value: Any, form: Form) -> Any:
    """A value in the form that a row has, None where it has not."""
    if value is None:
        return None
    match form:
        case "text":
            return value if isinstance(value, str) else None
        case "int":
            return _whole(value)
        case "double":
            return _number(value)
        case "bool":
            return value if isinstance(value, bool) else None
        case "texts":
            value = _unfolded(value)
            value = [value] if isinstance(value, str) else value
            texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
            return value if texts else None
        case "json":
            return _unfolded(value)


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and len(value) < 24 and value.strip().lstrip("-").isdecimal():
        return int(value)
    if isinstance(value, float) and abs(value) < 2**53:
        return int(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None
    return None if isinstance(value, bool) else number


def _unfolded(value: Any) -> Any:
    """What a text says that is JSON of more than a scalar; everything else as it is."""
    if isinstance(value, str) and value[:1] in _OPENING:
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


_STEP: Kind = "step"
_OPENING = ("{", "[")
_KIND_NAMES = frozenset(get_args(Kind))
_PLAIN_ROWS = [
    row
    for row in conventions.TABLE
    if (row.field.startswith("usage.") or "." not in row.field)
    and row.attribute not in (conventions.INPUT, conventions.OUTPUT)
    and (row.write is None or row.field.startswith(("usage.", "tags")))
    and (
        row.attribute.startswith("onrecord.")
        or row.field in ("session", "user")
        or row.field.startswith("usage.")
    )
]
_ROW = {row.attribute: row for row in conventions.TABLE}
_PROVIDER_ROW = _ROW["gen_ai.provider.name"]
_MODEL_ROWS = (_ROW["gen_ai.request.model"], _ROW["gen_ai.response.model"])
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
_TEXTS = ("name", "error", "session", "user", "release", "tenant", "version", "key", "source")
