"""Cases from what is on record: which calls make one, and what is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onrecord.evaluation.datasets.case import Case, provenance_of
from onrecord.evaluation.picking import (
    Feedback,
    Said,
    is_named_as_own,
    is_of_experiment,
    newest_first,
)
from onrecord.records.call import RESUMED, type_note
from onrecord.records.query import Query
from onrecord.records.record import Record, content_key

if TYPE_CHECKING:
    from onrecord.records.store import Store


class Gathering:
    """Cases from the records of a query, and the count of what makes none."""

    def __init__(self, store: Store, query: Query, outermost: bool) -> None:
        self._store = store
        self._query = query
        self._outermost = outermost
        self._feedback = Feedback(store)
        self._cases: dict[str, Case] = {}
        self.left_out: dict[str, int] = {}
        self._returns: dict[str, str | None] = {}  # types of objects, by version of the function
        self._code: dict[str, bool] = {}  # whether it is kept, by version

    def cases(self) -> list[Case]:
        """The cases, oldest first."""
        for page in newest_first(self._store, self._query):
            for record in page:
                if not self._outermost or _is_outermost(record):
                    self._take(record)
        return sorted(self._cases.values(), key=_made)

    def _take(self, record: Record) -> None:
        if self._is_own(record):
            return self._leave("made by Onrecord, to measure or to generate")
        said = self._feedback.on(record.id)
        if said == Said() and _is_outermost(record):
            said = self._feedback.on(record.run)  # on the run, however often it was resumed
        if record.redacted and (not said.corrected or record.input is None):
            return self._leave("redacted: the output on record is not what was given")
        if not said.corrected and self._is_outline(record):
            return self._leave("an object: the output on record only names it")
        if said.rejected:
            return self._leave("called bad by feedback, without a correction")
        if record.input is None:
            return self._leave("the input is not on record")
        case = _case(record, said)
        there = self._cases.get(case.id)
        if there is not None:
            self._leave("an equal question")
            if not said.corrected or _corrected(there):
                return
        self._cases[case.id] = case

    def _is_outline(self, record: Record) -> bool:
        """Whether an output stands for an object that has no plain form: no other answer could
        equal it."""
        output = record.output
        named = output.get("type") if isinstance(output, dict) else output
        if not isinstance(named, str):
            return False
        if record.version not in self._returns:
            self._returns[record.version] = self._store.source(type_note(record.version))
        returned = self._returns[record.version]
        return returned is not None and named in (returned, f"<{returned}>")

    def _is_own(self, record: Record) -> bool:
        """Whether it is an experiment, a trial and the like: no call of an application's."""
        if not is_named_as_own(record.kind, record.name):
            return is_of_experiment(record)
        if record.version not in self._code:
            self._code[record.version] = self._store.source(record.version) is not None
        return not self._code[record.version]

    def _leave(self, reason: str) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


def _is_outermost(record: Record) -> bool:
    """Whether a call began a run, or went on with one."""
    return record.parent is None or (record.parent == record.run and RESUMED in record.tags)


def _case(record: Record, said: Said) -> Case:
    metadata: dict[str, Any] = {"name": record.name}
    if record.release is not None:
        metadata["release"] = record.release
    if tags := [tag for tag in record.tags if tag != RESUMED or record.parent is None]:
        metadata["tags"] = tags
    if said.good is not None:
        metadata["good"] = said.good
    return Case(
        id=content_key(record.kind, record.name, record.input),
        input=record.input,
        expected=said.correction if said.corrected else record.output,
        metadata=metadata,
        provenance=provenance_of(record, said.corrected),
    )


def _made(case: Case) -> str:
    return case.provenance.record if case.provenance else ""


def _corrected(case: Case) -> bool:
    return bool(case.provenance and case.provenance.feedback)
