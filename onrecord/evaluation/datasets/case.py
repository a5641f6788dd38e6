"""A case of a dataset: one input, what is expected, and where it comes from."""

from __future__ import annotations

import difflib
from typing import Any

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.datasets.plainness import objection
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

    `id` is the case's own, a text; a whole number becomes one. Of a case from records it is the
    hash of the call's name and input, so that a later dataset has the same question under the same
    id. Raises UsageError for what is no case.
    """

    id: str
    input: Any
    expected: Any = None
    metadata: dict[str, Any] = {}
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        if type(self.id) is not str:
            msgspec.structs.force_setattr(self, "id", _text_of(self.id))
        if self.input is None:
            raise UsageError(f"the case '{self.id}' has no input", cure=_CURE)
        if not isinstance(self.metadata, dict):
            raise UsageError(
                f"the metadata of case '{self.id}' are no object: {self.metadata!r:.80}",
                cure='Write metadata={"topic": "leave"}.',
            )
        expected = self.expected
        # There may be a million of them: texts are not looked into.
        if type(self.input) is not str:
            self._check("input", self.input)
        if type(expected) is not str and expected is not None:
            self._check("expected", expected)
            if type(expected) is dict:
                _check_several(self.id, expected)
        if self.metadata:
            self._check("metadata", self.metadata)

    def _check(self, part: str, value: Any) -> None:
        if (reason := objection(value)) is not None:
            raise UsageError(f"the case '{self.id}' cannot be kept: its {part} {reason}")


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


def _text_of(id: Any) -> str:
    if isinstance(id, str) or (isinstance(id, int) and not isinstance(id, bool)):
        return str(id)
    raise UsageError(f"the id of a case is a text, and {id!r:.80} is none", cure=_CURE)


def _check_several(id: str, expected: dict[str, Any]) -> None:
    """Raises UsageError for what was surely meant to be `{"any_of": […]}`."""
    for key, value in expected.items():
        is_list = isinstance(value, list | tuple)
        if key == _SEVERAL:
            if len(expected) > 1:
                others = ", ".join(repr(each) for each in expected if each != key)
                raise UsageError(
                    f"the case '{id}' expects an object with 'any_of' and {others:.80}",
                    cure="'any_of' stands alone; notes belong into the metadata. " + _itself("…"),
                )
            if value is None:
                raise UsageError(
                    f"the case '{id}' expects any of nothing: 'any_of' is null",
                    cure='Write {"any_of": ["one", "other"]}; {"any_of": []} says that only a '
                    "refusal is right.",
                )
        elif len(expected) == 1 and is_list and _is_near(key):
            raise UsageError(
                f"the case '{id}' expects an object with the key '{key}'",
                cure="Did you mean 'any_of'? " + _itself(f'"{key}": […]'),
            )


def _itself(inside: str) -> str:
    return f'Of an object that is the answer itself, write {{"any_of": [{{{inside}}}]}}.'


def _is_near(key: str) -> bool:
    said = key.lower().replace("-", "_").replace(" ", "_")
    return bool(difflib.get_close_matches(said, [_SEVERAL], 1, 0.8))


_SEVERAL = "any_of"
_CURE = 'Write on.Case("1", "How long is the notice?", "four weeks", {"topic": "leave"}).'
