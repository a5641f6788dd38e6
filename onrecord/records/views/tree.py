"""A run as a tree: who called whom, which calls of many are shown, and the tree as plain text.

    records -> Tree (children by parent) -> outline: rows, a long fan-out folded into one -> lines

Nothing here recurses: a chain of calls may be as long as a run.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from onrecord.messages import Usage
from onrecord.records.record import Record
from onrecord.records.views.wording import dollars, duration, flat, shortened


class Tree:
    """The calls of a run by who called them.

    `roots` are the calls without a parent among `records`. A circle of parents, which only a
    damaged import can hold, is cut open at its first call, so that every call has its place.
    `later` sums up the calls of a very large run that are not among `records`.
    """

    def __init__(self, records: Iterable[Record], later: Sequence[Hidden] = ()) -> None:
        self.later = later
        ordered = sorted(records, key=_id)
        self.records = {record.id: record for record in ordered}
        """Every call by its id, in the order they started."""
        self.roots: list[Record] = []
        self.children: defaultdict[str, list[Record]] = defaultdict(list)
        known, ascends = self.records, True
        for record in known.values():
            parent = record.parent
            if parent is None or parent not in known:
                self.roots.append(record)
            else:
                self.children[parent].append(record)
                # Where every child is younger than its parent, there is no circle.
                ascends = ascends and parent < record.id
        if not ascends:
            self._cut_circles()

    @property
    def sums(self) -> Sums:
        """What all calls took together."""
        return sum((each.sums for each in self.later), Sums.of(self.records.values()))

    def __len__(self) -> int:
        """How many calls there are."""
        return len(self.records) + sum(each.calls for each in self.later)

    def below(self, records: Iterable[Record]) -> Iterator[Record]:
        """Every call made inside of `records`, at any depth."""
        children = self.children
        waiting = [record for record in records if record.id in children]
        while waiting:
            inside = children[waiting.pop().id]
            yield from inside
            waiting.extend(record for record in inside if record.id in children)

    def _cut_circles(self) -> None:
        placed = {record.id for record in (*self.roots, *self.below(self.roots))}
        for record in self.records.values():
            if record.id not in placed:
                siblings = self.children[record.parent or ""]
                siblings[:] = [each for each in siblings if each is not record]
                self.roots.append(record)
                placed |= {record.id, *(each.id for each in self.below([record]))}
        self.roots.sort(key=_id)


class Sums(NamedTuple):
    """What calls took together; `states` counts them. `unpriced`: how many of unknown cost."""

    input: int
    output: int
    cost: int
    unpriced: int
    states: Mapping[str, int]

    @classmethod
    def of(cls, calls: Collection[Record]) -> Sums:
        """The sums of calls."""
        # A list for each column: twice as fast as a loop over 100,000 calls.
        costs = [call.cost for call in calls]
        used = [usage for call in calls if (usage := call.usage) is not NOTHING_USED]
        return cls(
            input=sum([usage.input for usage in used]),
            output=sum([usage.output for usage in used]),
            cost=sum(filter(None, costs)),
            unpriced=costs.count(None),
            states=Counter([call.state for call in calls]),
        )

    def __add__(self, other: object) -> Sums:
        """Both together."""
        if not isinstance(other, Sums):
            return NotImplemented
        return Sums(
            self.input + other.input,
            self.output + other.output,
            self.cost + other.cost,
            self.unpriced + other.unpriced,
            Counter(self.states) + Counter(other.states),
        )


class Hidden(NamedTuple):
    """Calls of one parent that are counted instead of shown.

    `name` is "kind name", empty where they are of several; `inside` counts the calls below them.
    `sums` are of both together; `p50` is the median time in seconds of those that ended. `later`:
    they are somewhere in the rest of a very large run, and their `p50` was found from some of them.
    """

    name: str
    calls: int
    inside: int
    p50: float | None
    sums: Sums
    begin_ns: int
    end_ns: int
    later: bool = False


class Row(NamedTuple):
    """A line of a drawn tree. `lead` stands before it, `rest` before what else is said of it."""

    what: Record | Hidden
    depth: int
    lead: str
    rest: str


def outline(tree: Tree, most: int | None = 400) -> list[Row]:
    """The rows of a tree, from the top; about `most` of them, None for all.

    Of many calls of one name under one parent, the first and some that did not end well are shown;
    where the rows run out, the upper levels and what did not end well come first. Every other call
    is counted in a row of its own.
    """
    chosen: dict[str, list[Record | Hidden]] = {}
    top = _chosen(tree, tree.roots, most)
    room = math.inf if most is None else most - len(top)
    troubled: deque[Record] = deque()
    calm: deque[Record] = deque()

    def enqueue(shown: list[Record | Hidden]) -> None:
        for each in shown:
            if isinstance(each, Record) and each.id in tree.children:
                (calm if each.state == "done" else troubled).append(each)

    enqueue(top)
    while troubled or calm:
        parent = (troubled or calm).popleft()
        inside = tree.children[parent.id]
        shown = _chosen(tree, inside, most)
        if len(shown) > room and inside:
            shown = [_hidden(tree, inside)]
        room -= len(shown)
        chosen[parent.id] = shown
        enqueue(shown)
    if tree.later:
        first = tree.roots[0].id if tree.roots else ""
        (chosen.setdefault(first, []) if first in tree.children else top).extend(tree.later)
    return list(_rows(top, chosen))


def drawn(records: Iterable[Record], details: bool = False) -> Iterator[str]:
    """The tree of `records` as plain text, a line for every call; with `details` also what went in
    and what came out.

    A record whose parent is not among `records` is drawn as a root.
    """
    tree = Tree(records)
    for row in outline(tree, most=None):
        if isinstance(row.what, Record):
            yield row.lead + line(row.what)
            if details:
                bar = "│  " if tree.children.get(row.what.id) else "   "
                for label, value in (("in", row.what.input), ("out", row.what.output)):
                    if value is not None:
                        yield f"{row.rest}{bar}{label:<4}{shortened(value)}"


def line(record: Record) -> str:
    """One call in one line: kind, name, state, time, tokens, cost, and where it was taken from."""
    words = [f"{record.kind} {shortened(record.name, LONGEST_NAME)}", _state(record)]
    if record.usage.input or record.usage.output:
        words.append(f"{record.usage.input:,} → {record.usage.output:,} tokens")
    if record.cost != 0:
        words.append(dollars(record.cost))
    if (origin := origin_of(record)) is not None:
        words.append(origin)
    return "  ".join(words)


def origin_of(record: Record) -> str | None:
    """Where the output of a call that was not made comes from, in words; None if it was made."""
    if record.source is None:
        return None
    if is_attempt(record):
        return "goes on with the run"
    return f"from record {record.source}"


def is_attempt(record: Record) -> bool:
    """Whether a call is not one that the run made, but a later go at the run as a whole."""
    return record.kind == "flow" and record.source == record.parent == record.run


def question_of(record: Record) -> str | None:
    """What a call that is paused asks a person; None for every other, and without bodies."""
    if record.state != "paused":
        return None
    asked = record.output if isinstance(record.output, Mapping) else record.input
    if not isinstance(asked, Mapping):
        return None
    text, options = asked.get("text", asked.get("question")), asked.get("options")
    if not isinstance(text, str):
        return None
    listed = " / ".join(map(str, options)) if isinstance(options, list) else ""
    return f"“{flat(text)}”" + (f" ({flat(listed)})" if listed else "")


def total_cost(records: Iterable[Record]) -> int | None:
    """The cost of records together, in integer micro-dollars; None if that of one is not known."""
    total = 0
    for record in records:
        if record.cost is None:
            return None
        total += record.cost
    return total


def _chosen(tree: Tree, calls: Sequence[Record], most: int | None) -> list[Record | Hidden]:
    """Which of the calls of one parent are shown, in their order, each group's others behind it."""
    if most is None or len(calls) <= _MANY:
        return list(calls)
    groups: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for call in calls:
        groups[call.kind, call.name].append(call)
    if len(groups) > _MANY:  # a name for every call: no group is worth its row
        return [*calls[:_FEW], _hidden(tree, calls[_FEW:])]
    behind: dict[str, Hidden] = {}
    shown: list[Record] = []
    for group in groups.values():
        if len(group) <= _MANY:
            shown += group
            continue
        telling, others = group[:_FEW], list[Record]()
        for call in group[_FEW:]:
            keep = call.state != "done" and len(telling) < _FEW + _TROUBLED
            (telling if keep else others).append(call)
        shown += telling
        behind[telling[-1].id] = _hidden(tree, others)
    rows: list[Record | Hidden] = []
    for call in sorted(shown, key=_id):
        rows.append(call)
        if (others_ := behind.get(call.id)) is not None:
            rows.append(others_)
    return rows


def _hidden(tree: Tree, calls: Sequence[Record]) -> Hidden:
    inside = list(tree.below(calls))
    everything = [*calls, *inside]
    first = calls[0]
    alike = all(each.name == first.name and each.kind == first.kind for each in calls)
    times = sorted([each.ended_ns - each.started_ns for each in calls if each.ended_ns])
    sums = Sums.of(everything)
    ends = [max([each.ended_ns for each in everything]), max([each.started_ns for each in calls])]
    return Hidden(
        name=f"{first.kind} {shortened(first.name, LONGEST_NAME)}" if alike else "",
        calls=len(calls),
        inside=len(inside),
        p50=max(times[(len(times) - 1) // 2], 0) / 1e9 if times else None,
        sums=sums,
        begin_ns=min([each.started_ns for each in everything]),
        end_ns=max(ends),
    )


def _rows(top: list[Record | Hidden], chosen: Mapping[str, list[Record | Hidden]]) -> Iterator[Row]:
    waiting = [Row(each, 0, "", "") for each in reversed(top)]
    while waiting:
        row = waiting.pop()
        yield row
        inside = chosen.get(row.what.id, []) if isinstance(row.what, Record) else []
        depth = row.depth + 1
        for at in range(len(inside) - 1, -1, -1):
            last = at + 1 == len(inside)
            if depth > _DEEPEST:  # no further to the right: there it would leave the screen
                lead, rest = f"{row.rest}{depth} deep ", row.rest
            else:
                lead = row.rest + ("└─ " if last else "├─ ")
                rest = row.rest + ("   " if last else "│  ")
            waiting.append(Row(inside[at], depth, lead, rest))


def _id(record: Record) -> str:
    return record.id


def _state(record: Record) -> str:
    if record.state == "done":
        return duration(record.seconds)
    if record.state == "failed":
        why = f": {flat(record.error)}" if record.error else ""
        return f"failed after {duration(record.seconds)}{why}"
    return record.state


LONGEST_NAME = 80
"""The characters of a name in a line; whoever wants all of it asks for the record."""
NOTHING_USED = Usage()
"""The usage of calls that used nothing: whoever makes many records shares it."""
_MANY = 20  # calls of one name under one parent that are all shown
_FEW = 10  # how many are shown of more
_TROUBLED = 5  # and how many that did not end well
_DEEPEST = 16
