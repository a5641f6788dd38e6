"""When in a run a call happened: places between 0 and 1, idle time cut out.

A run that waited three days for a person's answer would be two specks on a ruler of three days.
Time in which no call was under way is therefore left out.

When a call ended whose process was killed is on no record. It lasted at least until the last thing
that its process recorded in the run, and that is where its bar is drawn to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
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
        self, records: Collection[Record], now_ns: int, also: Iterable[tuple[int, int]] = ()
    ) -> None:
        self.now_ns = now_ns
        self._least = _least_ends(records)
        busy = _joined(sorted([*_stretches(records, now_ns, self._least), *also]))
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
        """Where the bar of a call belongs."""
        end = self._least.get(record.id) or ended(record, self.now_ns)
        return self.span(record.started_ns, end)

    @property
    def open_ended(self) -> Collection[str]:
        """The ids of the calls that lasted longer than is known: their processes were killed."""
        return self._least.keys()

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


def _least_ends(records: Collection[Record]) -> dict[str, int]:
    """Until when, at least, the interrupted calls lasted, by id: until the last thing that their
    process or a call inside of them did."""
    cut_off = [each for each in records if each.state == "interrupted" and not each.ended_ns]
    if not cut_off:
        return {}
    alive: dict[str, int] = {}  # by process
    for record in records:
        process = record.id[_PROCESS]
        alive[process] = max(alive.get(process, 0), record.started_ns, record.ended_ns)
    least = {each.id: max(alive[each.id[_PROCESS]], each.started_ns) for each in cut_off}
    for each in sorted(cut_off, key=lambda each: each.id, reverse=True):
        if each.parent in least:
            least[each.parent] = max(least[each.parent], least[each.id])
    return least


def _stretches(
    records: Iterable[Record], now_ns: int, least: Mapping[str, int]
) -> list[tuple[int, int]]:
    """When calls were under way; those inside of the one before are left out."""
    stretches: list[tuple[int, int]] = []
    begin, end = 0, -1
    for record in records:
        started, over = record.started_ns, record.ended_ns
        if begin <= started <= over <= end:
            continue  # as nearly all of 100,000 calls
        over = least.get(record.id) or ended(record, now_ns)
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


_PROCESS = slice(12, 22)  # the part of an id that is its process's; see `new_id`
