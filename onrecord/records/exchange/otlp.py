"""OTLP's JSON form: spans as bytes, and bytes as spans.

As the protocol's specification has it: ids in hexadecimal, 64-bit numbers as text, kinds and status
codes as numbers. Reading takes more than that: both spellings of names (`traceId`, `trace_id`),
ids in base64 (what a general protobuf converter writes), names of enumerations.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from onrecord.records.exchange import conventions
from onrecord.records.exchange.span import CLIENT, INTERNAL, Event, Span, is_hex
from onrecord.records.record import simplified


class Skipped(NamedTuple):
    """Something that could not be read: where it stands, and why."""

    where: str
    reason: str


def encode_span(span: Span) -> bytes:
    """One span as JSON."""
    value: dict[str, Any] = {
        "traceId": span.trace,
        "spanId": span.id,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.started_ns),
        "endTimeUnixNano": str(span.ended_ns),
        "attributes": _attributes(span.attributes),
        "status": {"code": _ERROR, "message": span.problem} if span.failed else _WELL,
    }
    if span.parent is not None:
        value["parentSpanId"] = span.parent
    if span.events:
        value["events"] = [
            {
                "name": event.name,
                "timeUnixNano": str(event.time_ns),
                "attributes": _attributes(event.attributes),
            }
            for event in span.events
        ]
    try:
        return _encode(value)
    except UnicodeEncodeError:  # half of a surrogate pair
        return _encode(simplified(value))


def request(spans: Iterable[bytes], resource: Mapping[str, Any]) -> bytes:
    """An ExportTraceServiceRequest of spans that are encoded already."""
    from onrecord import __version__

    scope = {
        "name": "onrecord",
        "version": __version__,
        "attributes": _attributes({"onrecord.conventions": conventions.VERSION}),
    }
    head = b'{"resourceSpans":[{"resource":%s,"scopeSpans":[{"scope":%s,"spans":['
    tail = b'],"schemaUrl":%s}]}]}'
    return (
        head % (_encode({"attributes": _attributes(resource)}), _encode(scope))
        + b",".join(spans)
        + tail % _encode(conventions.SCHEMA_URL)
    )


def read_request(data: Any, where: str = "") -> Iterator[Span | Skipped]:
    """The spans of a decoded request, or of anything else: what is no span is told as Skipped."""
    groups = _items(_get(data, "resourceSpans", "resource_spans"))
    if groups is None:
        yield Skipped(where, "there are no resourceSpans in it")
        return
    for group in groups:
        resource = read_attributes(_get(_get(group, "resource"), "attributes"))
        scopes = _get(group, "scopeSpans", "scope_spans", "instrumentationLibrarySpans")
        for scoped in _items(scopes) or ():
            scope = _get(scoped, "scope", "instrumentationLibrary")
            of = {f"resource.{name}": value for name, value in resource.items()}
            of |= {f"otel.scope.{name}": text for name in _SCOPE if (text := _get(scope, name))}
            spans = _items(_get(scoped, "spans"))
            if spans is None:
                yield Skipped(where, "a group of spans has no list of them")
            for at, span in enumerate(spans or ()):
                try:
                    yield _span(span, of)
                except ValueError as error:
                    yield Skipped(f"{where}, span {at + 1}".lstrip(", "), str(error))


def read_attributes(data: Any) -> dict[str, Any]:
    """The attributes of a span; `data` is a list of keys and values, or the dict it stands for."""
    if isinstance(data, dict):
        return {str(name): value for name, value in data.items()}
    found = {}
    for item in _items(data) or ():
        name = _get(item, "key")
        if isinstance(name, str):
            found[name] = _any_value(_get(item, "value"))
    return found


def _span(data: Any, of: dict[str, Any]) -> Span:
    """Raises ValueError with the reason where it is none."""
    if not isinstance(data, dict):
        raise ValueError("it is no object")
    parent = _get(data, "parentSpanId", "parent_span_id")
    status = _get(data, "status")
    code = _get(status, "code")
    started = _time(data, "startTimeUnixNano", "start_time_unix_nano")
    attributes = read_attributes(_get(data, "attributes"))
    rest = {f"otel.{name}": data[key] for key, name in _KEPT.items() if data.get(key)}
    message = _get(status, "message")
    name = _get(data, "name")
    kind = _get(data, "kind")
    kind = _KINDS.get(kind) if isinstance(kind, int | str) else None
    return Span(
        trace=_id(_get(data, "traceId", "trace_id"), 16, "traceId"),
        id=_id(_get(data, "spanId", "span_id"), 8, "spanId"),
        parent=_parent(parent),
        name=name if isinstance(name, str) else "",
        started_ns=started,
        ended_ns=_time(data, "endTimeUnixNano", "end_time_unix_nano", missing=0),
        attributes=attributes,
        kind=kind if isinstance(kind, int) else INTERNAL,
        failed=code in (_ERROR, "STATUS_CODE_ERROR", "ERROR"),
        problem=message if isinstance(message, str) else "",
        events=tuple(_event(each, started) for each in _items(_get(data, "events")) or ()),
        of=of | rest,
    )


def _event(data: Any, started_ns: int) -> Event:
    name = _get(data, "name")
    try:
        time_ns = _time(data, "timeUnixNano", "time_unix_nano", missing=started_ns)
    except ValueError:
        time_ns = started_ns
    attributes = read_attributes(_get(data, "attributes"))
    return Event(name if isinstance(name, str) else "", time_ns, attributes)


def _parent(value: Any) -> str | None:
    if value in (None, "", "0" * 16):
        return None
    try:
        return _id(value, 8, "parentSpanId")
    except ValueError:
        # A general protobuf converter writes the id "none" as zeros, in base64.
        if isinstance(value, str) and not value.strip("A="):
            return None
        raise


def _id(value: Any, size: int, name: str) -> str:
    """Hexadecimal as OTLP has it, or base64 as protobuf has it."""
    text = value.lower() if isinstance(value, str) else ""
    if is_hex(text, 2 * size):
        return text
    if isinstance(value, str) and len(value) == _BASE64[size]:
        try:
            decoded = base64.b64decode(value, validate=True).hex()
        except (binascii.Error, ValueError):
            decoded = ""
        if is_hex(decoded, 2 * size):
            return decoded
    raise ValueError(f"its {name} is not {size} bytes in hexadecimal")


def _time(data: Any, *names: str, missing: int | None = None) -> int:
    value = _get(data, *names)
    if value is None or value == "":
        if missing is None:
            raise ValueError(f"it has no {names[0]}")
        return missing
    try:
        time_ns = int(value) if isinstance(value, int | str) and len(str(value)) < 24 else -1
    except ValueError:
        time_ns = -1
    if not 0 <= time_ns < 2**63:
        raise ValueError(f"its {names[0]} is no time")
    return time_ns


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        fits = -(2**63) <= value < 2**63
        return {"intValue" if fits else "stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _not_finite(value)}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_value(each) for each in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _attributes(value)}}
    return {} if value is None else {"stringValue": str(value)}


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _any_value(data: Any, depth: int = 0) -> Any:
    if not isinstance(data, dict) or not data or depth > _DEEPEST:
        return None
    name, value = next(iter(data.items()))
    match name:
        case "intValue" | "int_value":
            try:
                return int(value) if len(str(value)) < 24 else value
            except (ValueError, TypeError):
                return None
        case "doubleValue" | "double_value":
            try:
                return float(value)
            except (ValueError, TypeError, OverflowError):
                return None
        case "arrayValue" | "array_value":
            return [_any_value(each, depth + 1) for each in _items(_get(value, "values")) or ()]
        case "kvlistValue" | "kvlist_value":
            pairs = _items(_get(value, "values")) or ()
            return {
                name: _any_value(_get(pair, "value"), depth + 1)
                for pair in pairs
                if isinstance(name := _get(pair, "key"), str)
            }
    return value


def _get(data: Any, *names: str) -> Any:
    if isinstance(data, dict):
        for name in names:
            if name in data:
                return data[name]
    return None


def _items(data: Any) -> list[Any] | None:
    return data if isinstance(data, list) else None


_WELL, _ERROR = {"code": 1}, 2
_DEEPEST = 50
_BASE64 = {8: 12, 16: 24}
_SCOPE = ("name", "version")
_KINDS = {
    2: 2,
    CLIENT: CLIENT,
    4: 4,
    5: 5,
    "SPAN_KIND_SERVER": 2,
    "SPAN_KIND_CLIENT": CLIENT,
    "SPAN_KIND_PRODUCER": 4,
    "SPAN_KIND_CONSUMER": 5,
}
_KEPT = {"links": "links", "traceState": "trace_state", "trace_state": "trace_state"}
_encode = msgspec.json.Encoder().encode
