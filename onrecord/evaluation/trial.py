"""A trial: one case, answered once. It is what scorers see, and what a report is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from onrecord.messages import Usage
from onrecord.records.record import Record
from onrecord.records.views.tree import total_cost

Value = bool | int | float | str
"""What a scorer says of one trial: yes or no, how much, or which."""


class Score(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a scorer said of one trial.

    `value` is None where it does not apply, or where the scorer failed: then `error` says how.
    """

    value: Value | None
    reason: str = ""
    error: str | None = None


class Trial(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One case, answered once.

    `input`, `output` and `expected` are plain JSON values; `output` is None where the application
    failed, and `error` says how. `repeat` counts from 0. `seconds` and `cost` (integer
    micro-dollars, None where it is not known) are the application's alone. `record` is the id of
    its record; `steps` are the records made inside, in the order in which they ended: none where
    nothing is recorded, and in a report that was read again. `not_kept`: the bytes of an output
    that was too large to be kept, in a report from the records; `output` says so, too.
    """

    case: str
    input: Any
    output: Any = None
    expected: Any = None
    metadata: dict[str, Any] = {}
    # By a factory, so that it is written also where it is 0: it is half of what names a trial.
    repeat: int = msgspec.field(default_factory=int)
    error: str | None = None
    seconds: float = 0.0
    cost: int | None = 0
    usage: Usage = Usage()
    record: str = ""
    steps: tuple[Record, ...] = ()
    scores: dict[str, Score] = {}
    not_kept: int = 0

    @classmethod
    def of(
        cls,
        record: Record,
        records: Iterable[Record] = (),
        *,
        expected: Any = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Trial:
        """The trial that a call on record is: so a scorer looks at live traffic as it does at an
        experiment.

        `records`: those of its run, in any order; what was made inside of the call are its steps,
        the call itself the last of them, without scores and feedback. Usage and cost are the sum of
        theirs. The case is the id of the record, and `input` what the call was given: the arguments
        of a flow by name. `expected` where somebody knows it (a correction).
        """
        inside = _inside(record, records)
        return cls(
            case=record.id,
            input=record.input,
            output=record.output if record.state == "done" else None,
            expected=expected,
            metadata=dict(metadata or {}),
            error=None if record.state == "done" else record.error or _UNFINISHED[record.state],
            seconds=record.seconds,
            cost=total_cost(inside),
            usage=sum((each.usage for each in inside), Usage()),
            record=record.id,
            steps=inside,
        )

    @property
    def answer(self) -> Any:
        """What is compared: the output, or its `value` where it is an object that has one (`Cited`,
        the result of a task) and no such object is expected."""
        if not _has_value(self.output):
            return self.output
        expected = self.accepted or ()
        return self.output if any(map(_has_value, expected)) else self.output["value"]

    @property
    def accepted(self) -> tuple[Any, ...] | None:
        """The answers that are right; none of them where only a refusal is, None where nothing is
        expected. `{"any_of": […]}` under `expected` names several."""
        if self.expected is None:
            return None
        if isinstance(self.expected, dict) and self.expected.keys() == _SEVERAL:
            several = self.expected["any_of"]
            return tuple(several) if isinstance(several, list | tuple) else (several,)
        return (self.expected,)

    @property
    def refused(self) -> bool:
        """Whether the application said that it cannot answer: `refused` of a `Cited`, or nothing at
        all."""
        if isinstance(self.output, dict) and "refused" in self.output:
            return bool(self.output["refused"])
        return self.error is None and (self.output is None or self.output == "")


def _inside(record: Record, records: Iterable[Record]) -> tuple[Record, ...]:
    """The call and those made inside of it, in the order in which they ended."""
    kept = {record.id: record}
    for each in sorted(records, key=lambda each: each.id):  # a call's id is above its parent's
        if each.parent in kept and each.kind not in ("score", "feedback"):
            kept.setdefault(each.id, each)
    return tuple(sorted(kept.values(), key=lambda each: (each.ended_ns, each is record)))


_UNFINISHED = {
    "open": "it has not ended yet",
    "interrupted": "it was interrupted",
    "paused": "it waits for a person",
    "failed": "it failed",
}


def _has_value(output: Any) -> bool:
    return isinstance(output, dict) and "value" in output


_SEVERAL = {"any_of"}
