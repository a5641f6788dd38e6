"""A span: what tracers and MLflow call a record, whatever the wire it travels on."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

INTERNAL, CLIENT = 1, 3
"""Kinds of a span, with the numbers of the OpenTelemetry protocol."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened at one moment of a span; `time_ns` counts from 1970."""

    name: str
    time_ns: int
    attributes: dict[str, Any] = {}


class Span(msgspec.Struct, frozen=True):
    """One timed operation of a trace.

    `trace` is 32 hexadecimal digits, `id` and `parent` are 16. Times are nanoseconds since 1970.
    The values of `attributes` are plain: text, bool, int, float, list, dict. `problem` says why
    a span failed; it may be empty. `of` are attributes of whatever sent the span.
    """

    trace: str
    id: str
    parent: str | None
    name: str
    started_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    kind: int = INTERNAL
    failed: bool = False
    problem: str = ""
    events: tuple[Event, ...] = ()
    of: dict[str, Any] = {}


def trace_id(run: str) -> str:
    """The trace of a run: the run's id itself, which has the same 16 bytes.

    A run whose id has another form (it came from elsewhere) gets the hash of it.
    """
    return run if is_hex(run, 32) else hashlib.blake2b(_bytes(run), digest_size=16).hexdigest()


def span_id(record: str) -> str:
    """The span of a record: 8 bytes, always the same ones, so that sending again adds nothing.

    They are a hash: the beginning of an id is a time, the end a counter, and neither alone tells
    apart the records of several processes. That two records of one run of 100,000 share a span has
    a probability of 3 in ten thousand million.
    """
    return hashlib.blake2b(_bytes(record), digest_size=8).hexdigest()


def is_hex(text: object, digits: int) -> bool:
    """Whether `text` is that many lower-case hexadecimal digits, not all of them zero."""
    return (
        isinstance(text, str)
        and len(text) == digits
        and not text.strip("0123456789abcdef")
        and bool(text.strip("0"))
    )


def _bytes(id: str) -> bytes:
    return id.encode("utf-8", "surrogatepass")
