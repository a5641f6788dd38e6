"""How an audit says counts, shares and days."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from onrecord.evaluation.audit.calls import Calls


def amount(number: int, noun: str) -> str:
    """A count with its noun: "1 call", "2,000 calls"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def share(number: int, total: int) -> str:
    """A count of a total: "3 of 120 (2.5 %)"."""
    return f"{number:,} of {total:,} ({100 * number / total:.1f} %)" if total else "none"


def day(ns: int) -> str:
    """The day of a point in time, here."""
    return f"{datetime.datetime.fromtimestamp(ns / 1e9):%Y-%m-%d}"


def from_to(found: Sequence[Calls]) -> str:
    """The days of the first and last of calls."""
    first = day(min(each.first_ns for each in found))
    last = day(max(each.last_ns for each in found))
    return f"on {first}" if first == last else f"{first} to {last}"


def several(number: int, noun: str) -> str:
    """A remark on more than one: ", 3 versions in all"."""
    return f", {amount(number, noun)} in all" if number > 1 else ""


def short(version: str) -> str:
    """The beginning of a version that is a hash."""
    return version[:8] if len(version) == 32 else version
