"""A case of a dataset: one input, what is expected, and where it comes from."""

from __future__ import annotations

from typing import Any

import msgspec

from onrecord.records.record import Record

GENERATED = "onrecord generate"
"""The name on record of what made cases out of documents: its cases have no more in common."""


class Provenance(msgspec.Struct, frozen=True):
    """The record that a case or a training row was made from; the fields are those of Record.

    `feedback`: the id of the feedback that corrected the output, empty where none did.
    """

    record: str
    run: str
    key: str
    name: str
    version: str = ""
    started_ns: int = 0
    feedback: str = ""


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One input, and what is expected: plain JSON values; None expects nothing.

    `id` is the case's own: of a case from records it is the hash of the call's name and input, so
    that a later dataset has the same question under the same id.
    """

    id: str
    input: Any
    expected: Any = None
    metadata: dict[str, Any] = {}
    provenance: Provenance | None = None


def provenance_of(record: Record, feedback: str = "") -> Provenance:
    """Where something that was made from a record comes from."""
    return Provenance(
        record=record.id,
        run=record.run,
        key=record.key,
        name=record.name,
        version=record.version,
        started_ns=record.started_ns,
        feedback=feedback,
    )
