"""What is wrong with a row of a dataset, and where it stands."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Unit = Literal["line", "row", "case"]
"""What a number counts: lines of JSON Lines, rows of a table, or cases where there is no file."""


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong. `number` counts from 1, and the header of a CSV file is row 1.

    `case` is the id of the case, empty where the row makes none.
    """

    unit: Unit
    number: int
    reason: str
    case: str = ""

    def __str__(self) -> str:
        named = f" (case '{self.case}')" if self.case else ""
        return f"{self.unit} {self.number:,}{named} {self.reason}"


class Places:
    """Where cases stand in the file that they were read from, 8 bytes a case."""

    def __init__(self, unit: Unit, numbers: array[int]) -> None:
        self.unit = unit
        self.numbers = numbers

    @classmethod
    def counted(cls, count: int) -> Places:
        """Those of cases that come from no file."""
        return cls("case", array("q", range(1, count + 1)))

    def chosen(self, at: Iterable[int]) -> Places:
        """Those of the cases at these indexes."""
        return Places(self.unit, array("q", (self.numbers[each] for each in at)))


def and_more(problems: Sequence[Problem], count: int) -> str:
    """How many more rows are wrong than the first, and which; "" where it is the only one.

    `problems` are the first ones, `count` says how many there are.
    """
    if count < 2:
        return ""
    unit = problems[0].unit
    which = ", ".join(f"{each.number:,}" for each in problems[1:_NAMED])
    more = ", …" if count > _NAMED else ""
    others = f"1 more {unit} is" if count == 2 else f"{count - 1:,} more {unit}s are"
    return f"; {others} wrong: {which}{more}"


_NAMED = 6
