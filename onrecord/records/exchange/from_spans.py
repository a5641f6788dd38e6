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
from onrecord.records.exchange.chat import from_message
from onrecord.records.exchange.foreign import Reading
from onrecord.records.exchange.otlp import Skipped
from onrecord.records.exchange.parsing import checked, listed, parsed, unfolded
from onrecord.records.exchange.span import Span, is_hex
from onrecord.records.record import Kind, Record

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
        return Reading(span).record(place.id, run, parent.id if parent else None)

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
        value = parsed(found.get(row.attribute), row.form)
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
    return checked(fields)


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
    return [message for message, _ in map(from_message, listed(unfolded(text)))]


def _put(body: Any, name: str, value: Any) -> Any:
    """Back into a body what the conventions' attributes said instead of it."""
    if not isinstance(body, dict) or name in body:
        return body
    return {name: value, **body}


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
