"""A run's logic, made of its records: which call was made where, and what came of it.

A run that was interrupted is one tree of records, with one subtree for every attempt. Here it
becomes the tree of its logic: a `Node` is a call at its place (inside which call, which question,
for which time), whatever attempt made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onrecord.errors import ResumeError
from onrecord.records.call import RESUMED
from onrecord.records.frames import Start
from onrecord.records.outlining import without_outlines
from onrecord.records.record import Record, pack


class Node:
    """A call at its place in a run's logic. `records`: what each attempt made of it, in order."""

    __slots__ = ("by_key", "by_name", "claimed", "parent", "records")

    def __init__(self, parent: Node | None = None) -> None:
        self.parent = parent
        self.records: list[Record] = []
        self.by_key: dict[str, list[Node]] = {}
        self.by_name: dict[tuple[str, str], list[Node]] = {}
        self.claimed = False
        """Whether the flow, run again, has come here."""

    @property
    def finished(self) -> Record | None:
        """The record whose output can be given again."""
        done = (each for each in reversed(self.records) if each.state == "done")
        return next((each for each in done if not each.redacted), None)

    def finished_as(self, key: str) -> Record | None:
        """The record whose output can be given to a call of this question: where it was asked in
        these words, it is one of those."""
        asked = [each for each in self.records if each.key == key] or self.records
        done = (each for each in reversed(asked) if each.state == "done")
        return next((each for each in done if not each.redacted), None)

    @property
    def made(self) -> Record | None:
        """The record of the last time that the call began."""
        return self.records[-1] if self.records else None

    @property
    def children(self) -> Iterator[Node]:
        """The calls made inside."""
        for nodes in self.by_name.values():
            yield from nodes

    def below(self) -> Iterator[Node]:
        """Every call made inside, at any depth."""
        waiting = list(self.children)
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.children)

    def is_done(self) -> bool:
        """Whether it has finished once, even if its output cannot be given again."""
        return any(each.state == "done" for each in self.records)


class History:
    """The logic of a run, made of all its records. Raises ResumeError if its beginning is gone."""

    def __init__(self, records: Sequence[Record]) -> None:
        roots = [each for each in records if each.id == each.run]
        if not roots:
            raise ResumeError("the record of the run's first call is gone")
        self.root = root = roots[0]
        inside: dict[str, list[Record]] = {}
        again = []
        known = {each.id for each in records}
        self.strays: list[Record] = []
        """Calls made inside of calls whose records are gone: nobody knows their places."""
        for record in sorted(records, key=lambda each: each.id):
            if _is_attempt(record, root):
                again.append(record)
            elif record.parent is not None and not _never_began(record):
                inside.setdefault(record.parent, []).append(record)
                if record.parent not in known and record.kind != "feedback":
                    self.strays.append(record)
        self.attempts = [root, *again]
        self.top = Node()
        self.of: dict[str, Node] = {}
        """The node of each record."""
        self.by_key: dict[str, list[Node]] = {}
        self.by_name: dict[tuple[str, str], list[Node]] = {}
        self._concurrent: dict[str, set[str]] = {}
        for attempt in self.attempts:
            self._join(self.top, attempt)
            self._walk(attempt, inside)
        self._sort_in(Node(), self.strays)
        for stray in self.strays:
            self._walk(stray, inside)

    def origin(self, record: Record) -> str:
        """The id of the call that really made a record's output."""
        return record.source if record.source in self.of else record.id

    def is_certain(self, node: Node) -> bool:
        """Whether the order in which a call was made says something: nothing ran beside it."""
        record = node.made
        if record is None or record.parent is None or node.parent is None:
            return True
        if record.parent not in self._concurrent:
            siblings = [
                each
                for other in node.parent.children
                for each in other.records
                if each.parent == record.parent
            ]
            self._concurrent[record.parent] = _overlapping(siblings)
        return record.id not in self._concurrent[record.parent]

    def in_order(self, same: Sequence[Node]) -> list[Node]:
        """Calls of one question as they are to be given again, when they are asked for again.

        One after the other they were tries: the one that has finished is the answer. Beside each
        other they may be calls on behalf of two objects that look alike on record: what one of
        them was given is not for the other, and they are told apart by their order.
        """
        if _overlapping([each.records[0] for each in same]):
            return list(same)
        return sorted(same, key=lambda each: each.finished is None)

    def _walk(self, record: Record, inside: Mapping[str, list[Record]]) -> None:
        """Find the nodes of all calls inside of a call whose node is known."""
        waiting = [record]
        while waiting:
            parent = waiting.pop()
            below = inside.get(parent.id, [])
            self._sort_in(self.of[parent.id], below)
            waiting.extend(reversed(below))

    def _sort_in(self, node: Node, records: list[Record]) -> None:
        """Find the nodes of the calls that one attempt made inside of a call."""
        known_before = list(node.children)
        unfinished: dict[bytes, list[Node]] | None = None
        taken: set[int] = set()
        rest = []
        for record in records:
            # What was taken from a record stands where that record stood.
            known = self.of.get(record.source) if record.source is not None else None
            if known is not None and known.parent is node and _stands_for(known.records[0], record):
                taken.add(id(known))
                self._join(known, record)
            else:
                rest.append(record)
        waiting: dict[str, Iterator[Node]] = {}
        for record in rest:
            same = node.by_key.setdefault(record.key, [])
            unseen = waiting.setdefault(record.key, iter(list(same)))
            free = next((each for each in unseen if id(each) not in taken), None)
            if free is None:
                if unfinished is None:
                    unfinished = alike(each for each in known_before if not each.is_done())
                free = self._resembling(unfinished, record, taken)
            if free is None:
                free = Node(node)
                same.append(free)
                node.by_name.setdefault((record.kind, record.name), []).append(free)
                self.by_key.setdefault(record.key, []).append(free)
                self.by_name.setdefault((record.kind, record.name), []).append(free)
            taken.add(id(free))
            self._join(free, record)

    def _resembling(
        self, unfinished: dict[bytes, list[Node]], record: Record, taken: set[int]
    ) -> Node | None:
        """The unfinished call that this one was made in the place of: nothing but what objects, or
        the function, hold has changed. `Resumption` decided so."""
        same = unfinished.get(likeness(record, record.input), [])
        left = [each for each in same if id(each) not in taken]
        if not left or (len(same) > 1 and not all(map(self.is_certain, left))):
            return None
        return left[0]

    def _join(self, node: Node, record: Record) -> None:
        node.records.append(record)
        self.of[record.id] = node
        if node.parent is None or record.key == node.records[0].key:
            return
        for by_key in (node.parent.by_key, self.by_key):
            same = by_key.setdefault(record.key, [])
            if not any(each is node for each in same):
                same.append(node)


FUNCTIONS = ("flow", "step", "tool")
"""The kinds of calls whose keys are made of what objects and functions hold, too."""


def _stands_for(known: Record, record: Record) -> bool:
    """Whether what was taken from `known` was taken as the same call, made again."""
    if known.key == record.key:
        return True
    same = (known.kind, known.name, known.version) == (record.kind, record.name, record.version)
    return same and record.kind in FUNCTIONS


def likeness(record: Record | Start, input: Any) -> bytes:
    """Equal for calls that differ in nothing but in what their objects, or functions, hold; empty
    for calls whose keys are not made of that."""
    if record.kind not in FUNCTIONS:
        return b""
    return pack((record.kind, record.name, record.version, without_outlines(input)))


def alike(nodes: Iterable[Node]) -> dict[bytes, list[Node]]:
    """Calls by their likeness, in their order."""
    found: dict[bytes, list[Node]] = {}
    for node in nodes:
        if node.records and (like := likeness(node.records[-1], node.records[-1].input)):
            found.setdefault(like, []).append(node)
    return found


def _is_attempt(record: Record, root: Record) -> bool:
    return record.parent == root.id and RESUMED in record.tags and record.name == root.name


def _never_began(record: Record) -> bool:
    """Whether a call was only asked about, or refused: then it has an output and yet no end."""
    return record.state in ("paused", "failed") and record.output is not None


def _overlapping(records: list[Record]) -> set[str]:
    """The ids of calls that others were under way beside."""
    found: set[str] = set()
    beside: list[Record] = []
    until = 0.0
    for record in sorted(records, key=lambda each: each.started_ns):
        if record.started_ns >= until:
            beside, until = [], 0.0
        beside.append(record)
        if len(beside) > 1:
            found.update(each.id for each in beside[-2:])
        # Starts are told by the wall clock and lengths by another one: they may differ a little.
        took = record.ended_ns - record.started_ns
        ends = record.started_ns + took * 0.999 if record.ended_ns else float("inf")
        until = max(until, ends)
    return found
