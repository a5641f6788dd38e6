"""A trial: one case, answered once. It is what scorers see, and what a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from onrecord.messages import Usage
from onrecord.records.record import Record

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
    nothing is recorded, and in a report that was read again.
    """

    case: str
    input: Any
    output: Any = None
    expected: Any = None
    metadata: dict[str, Any] = {}
    repeat: int = 0
    error: str | None = None
    seconds: float = 0.0
    cost: int | None = 0
    usage: Usage = Usage()
    record: str = ""
    steps: tuple[Record, ...] = ()
    scores: dict[str, Score] = {}

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
        if isinstance(self.expected, Mapping) and set(self.expected) == {"any_of"}:
            several = self.expected["any_of"]
            return tuple(several) if isinstance(several, list | tuple) else (several,)
        return (self.expected,)

    @property
    def refused(self) -> bool:
        """Whether the application said that it cannot answer: `refused` of a `Cited`, or nothing at
        all."""
        if isinstance(self.output, Mapping) and "refused" in self.output:
            return bool(self.output["refused"])
        return self.error is None and (self.output is None or self.output == "")


def _has_value(output: Any) -> bool:
    return isinstance(output, Mapping) and "value" in output
