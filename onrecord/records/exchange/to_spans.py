"""A record as a span, by the table of `conventions.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args

from onrecord.records.exchange import conventions
from onrecord.records.exchange.chat import as_json, from_messages, to_message, to_messages
from onrecord.records.exchange.conventions import EVALUATION, Form, Row
from onrecord.records.exchange.span import CLIENT, INTERNAL, Event, Span, span_id, trace_id
from onrecord.records.exchange.verdict import Verdict
from onrecord.records.record import Kind, Record


def spans_of(records: Iterable[Record], *, bodies: bool = True) -> Iterator[Span]:
    """Each record as a span; without `bodies`, no inputs, outputs or messages of errors."""
    for record in records:
        yield span_of(record, bodies=bodies)


def span_of(record: Record, *, bodies: bool = True) -> Span:
    """One record as a span of the trace that is its run."""
    failed = record.state in ("failed", "interrupted")
    ended_ns = max(record.ended_ns, record.started_ns)
    attributes = attributes_of(record, bodies=bodies)
    if ended_ns != record.ended_ns:
        attributes["onrecord.ended_ns"] = record.ended_ns
    problem = record.error or record.state
    if not bodies:
        problem = str(attributes.get("error.type", record.state))
    return Span(
        trace=trace_id(record.run),
        id=span_id(record.id),
        parent=None if record.parent is None else span_id(record.parent),
        name=_name(record),
        started_ns=record.started_ns,
        ended_ns=ended_ns,
        attributes=attributes,
        kind=_kind(record),
        failed=failed,
        problem=problem if failed else "",
        events=_events(record, ended_ns, bodies),
    )


def attributes_of(record: Record, *, bodies: bool = True) -> dict[str, Any]:
    """The attributes of a record's span, in the order of the table. What has no value is left out,
    and so is what is as it always is (no tenant, not redacted)."""
    found: dict[str, Any] = {}
    operation = conventions.OPERATIONS.get(record.kind)
    if operation is not None:
        found[conventions.OPERATION] = operation
    for row, value_of, form in _ROWS.get(record.kind, ()):
        if not bodies and row.attribute in _CONTENT:
            continue
        value = value_of(record)
        if value is None or (row.attribute in _USUAL and value == _USUAL[row.attribute]):
            continue
        if row.write is not None:
            value = row.write(value)
        value = None if value is None else form(value)
        if value is not None:
            found[row.attribute] = value
    if trace_id(record.run) == record.run:
        del found["onrecord.run"]
    if bodies:
        _shorten(record, found)
    return found


def _shorten(record: Record, found: dict[str, Any]) -> None:
    """Say once what the conventions' attributes say already, where they say exactly the same."""
    if record.kind == "tool":
        for ours, theirs in (
            (conventions.INPUT, conventions.ARGUMENTS),
            (conventions.OUTPUT, conventions.RESULT),
        ):
            if theirs in found:
                del found[ours]
    elif record.kind == "model":
        if conventions.MESSAGES in found:
            messages = record.input["messages"]
            if from_messages(to_messages(messages))[0] == _listed(messages):
                found[conventions.INPUT] = _without(record.input, "messages")
        if conventions.ANSWER in found:
            message = record.output["message"]
            if from_messages([to_message(message)])[0] == _listed([message]):
                found[conventions.OUTPUT] = _without(record.output, "message")


def _listed(messages: Any) -> Any:
    return [{**message, "parts": list(message["parts"])} for message in messages]


def _without(body: dict[str, Any], name: str) -> str:
    return as_json({key: value for key, value in body.items() if key != name})


def _name(record: Record) -> str:
    operation = conventions.OPERATIONS.get(record.kind)
    if operation is None:
        return record.name
    about = record.name
    if record.kind in ("model", "embed"):
        about = conventions.model(about) or about
    return f"{operation} {about}"


def _kind(record: Record) -> int:
    if record.kind not in ("model", "embed"):
        return INTERNAL
    return INTERNAL if record.name.partition(":")[0] in _IN_PROCESS else CLIENT


def _events(record: Record, ended_ns: int, bodies: bool) -> tuple[Event, ...]:
    if record.kind not in ("score", "feedback") or not bodies:
        return ()
    verdict = Verdict(record)
    attributes: dict[str, Any] = {"gen_ai.evaluation.name": record.name}
    value = verdict.value
    if isinstance(value, bool):
        attributes["gen_ai.evaluation.score.label"] = "pass" if value else "fail"
        value = int(value)
    if isinstance(value, int | float):
        attributes["gen_ai.evaluation.score.value"] = _double(value)
    elif isinstance(value, str):
        attributes["gen_ai.evaluation.score.label"] = value
    if verdict.reason:
        attributes["gen_ai.evaluation.explanation"] = verdict.reason
    return (Event(EVALUATION, ended_ns, attributes),)


def _getter(field: str) -> Callable[[Record], Any]:
    head, *rest = field.split(".")

    def value_of(record: Record) -> Any:
        value = getattr(record, head)
        for name in rest:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    if head == "usage":
        name = rest[0]
        return lambda record: getattr(record.usage, name)
    return value_of if rest else lambda record: getattr(record, head)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _double(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _texts(value: Any) -> list[str] | None:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        return None
    return list(value) or None


_IN_PROCESS = {"embedded", "hf", "scripted"}
_CONTENT = {
    conventions.MESSAGES,
    conventions.ANSWER,
    conventions.ARGUMENTS,
    conventions.RESULT,
    conventions.INPUT,
    conventions.OUTPUT,
    "gen_ai.retrieval.query.text",
    "gen_ai.retrieval.documents",
    "onrecord.error",
}
_USUAL: dict[str, Any] = {"onrecord.version": "", "onrecord.redacted": False}
_FORMS: dict[Form, Callable[[Any], Any]] = {
    "text": _text,
    "int": _int,
    "double": _double,
    "bool": bool,
    "texts": _texts,
    "json": as_json,
}


def _rows_of(kind: Kind) -> list[tuple[Row, Callable[[Record], Any], Callable[[Any], Any]]]:
    return [
        (row, _getter(row.field), _FORMS[row.form])
        for row in conventions.TABLE
        if not row.kinds or kind in row.kinds
    ]


_ROWS = {kind: _rows_of(kind) for kind in get_args(Kind)}
