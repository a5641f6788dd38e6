"""When in a run a call happened: places between 0 and 1, idle time cut out.

A run that waited three days for a person's answer would be two specks on a ruler of three days.
Time in which no call was under way is therefore left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from onrecord.records.record import Record


class Span(NamedTuple):
    """Where a bar begins and ends, between 0 and 1."""

    begin: float
    end: float


class Timeline:
    """The time that a run took. `now_ns` ends what is still under way; `also` are beginnings and
    ends of what is not among `records`, in nanoseconds since 1970."""

    def __init__(
        self, records: Iterable[Record], now_ns: int, also: Iterable[tuple[int, int]] = ()
    ) -> None:
        self.now_ns = now_ns
        busy = _joined(sorted([*_stretches(records, now_ns), *also]))
        self._begins = [begin for begin, _ in busy]
        self._before = [0]  # the busy time before each stretch, in nanoseconds
        for begin, end in busy:
            self._before.append(self._before[-1] + end - begin)
        self.seconds = self._before[-1] / 1e9
        """The time in which something was under way."""
        self.cuts = tuple(self._share(each) for each in self._before[1:-1])
        """Where idle time was left out, between 0 and 1."""

    def span(self, begin_ns: int, end_ns: int) -> Span:
        """Where a bar of this time belongs."""
        return Span(self._place(begin_ns), self._place(max(end_ns, begin_ns)))

    def of(self, record: Record) -> Span:
        """Where the bar of a call belongs; one that never ended has a beginning only."""
        return self.span(record.started_ns, ended(record, self.now_ns))

    def _place(self, ns: int) -> float:
        at = bisect_right(self._begins, ns) - 1
        if at < 0:
            return 0.0
        busy = self._before[at] + ns - self._begins[at]
        return self._share(min(busy, self._before[at + 1]))

    def _share(self, busy_ns: int) -> float:
        return busy_ns / self._before[-1] if self._before[-1] else 0.0


def ended(record: Record, now_ns: int) -> int:
    """When a call ended, in nanoseconds since 1970: now, where it is under way; its start, where
    nobody knows."""
    if record.ended_ns:
        return max(record.ended_ns, record.started_ns)
    return max(now_ns, record.started_ns) if record.state == "open" else record.started_ns


def _stretches(records: Iterable[Record], now_ns: int) -> list[tuple[int, int]]:
    """When calls were under way; those inside of the one before are left out."""
    stretches: list[tuple[int, int]] = []
    begin, end = 0, -1
    for record in records:
        started, over = record.started_ns, record.ended_ns
        if begin <= started <= over <= end:
            continue  # as nearly all of 100,000 calls
        over = ended(record, now_ns)
        if started < begin or over > end:
            begin, end = started, over
            stretches.append((begin, end))
    return stretches


def _joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those that touch each other, as one. A short breath is no idle time: it is kept."""
    busy = sum(end - begin for begin, end in stretches)
    joined: list[tuple[int, int]] = []
    for begin, end in stretches:
        if joined and begin - joined[-1][1] <= busy // 4:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined
