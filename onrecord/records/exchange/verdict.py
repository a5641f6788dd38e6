"""What a score or a feedback says about a record."""

from __future__ import annotations

from typing import Any

from onrecord.records.record import Record


class Verdict:
    """What a score or a feedback says, whoever made it.

    `about` is the id of the record that is judged: the input's `record` where it names one, else
    the parent. `value` is the output, or its item `value` (`score`, `verdict`); the item `reason`
    (`rationale`, `explanation`, `comment`) says why.
    """

    def __init__(self, record: Record) -> None:
        given = record.input if isinstance(record.input, dict) else {}
        said = record.output if isinstance(record.output, dict) else {}
        about = given.get("record") or said.get("record")
        self.about = about if isinstance(about, str) else record.parent
        value = record.output
        if said:
            value = _first(said, _VALUES)
        elif value is None:
            value = _first(given, _VALUES)
        self.value = value
        why = _first(said, _REASONS) or _first(given, _REASONS)
        self.reason = why if isinstance(why, str) else ""


def _first(values: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)


_VALUES = ("value", "score", "verdict")
_REASONS = ("reason", "rationale", "explanation", "comment")
