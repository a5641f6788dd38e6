"""A run as a Mermaid diagram: a node for each function, and how often it was called from where."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from onrecord.records.record import Record, State
from onrecord.records.views.tree import Tree
from onrecord.records.views.wording import duration, flat


def mermaid(tree: Tree, most: int = 200) -> str:
    """The calls of a run as a Mermaid flowchart of at most `most` nodes.

    Calls of one name under the same node are one node; an arrow with a number stands for that many
    calls. From left to right, siblings are in the order of their first calls.
    """
    lines = ["flowchart TD"]
    drawn, left_out = 0, 0
    waiting = deque(_Node(None, group) for group in _groups(tree.roots))
    while waiting:
        node = waiting.popleft()
        if drawn == most:
            left_out += len(node.calls)
            left_out += sum(1 for _ in tree.below(node.calls))
            continue
        name = f"n{drawn}"
        drawn += 1
        lines.extend(_written(name, node))
        inside = [child for call in node.calls for child in tree.children.get(call.id, ())]
        waiting.extend(_Node(name, group) for group in _groups(inside))
    if left_out:
        lines.append(f'    more["… {left_out:,} more calls"]')
    lines.append("    classDef failed stroke:#c33,stroke-width:2px")
    lines.append("    classDef waiting stroke:#b80,stroke-width:2px,stroke-dasharray:4")
    return "\n".join(lines)


class _Node(NamedTuple):
    caller: str | None
    calls: Sequence[Record]


def _groups(calls: Sequence[Record]) -> Iterator[list[Record]]:
    groups: dict[tuple[str, str], list[Record]] = {}
    for call in calls:
        groups.setdefault((call.kind, call.name), []).append(call)
    yield from groups.values()


def _written(name: str, node: _Node) -> Iterator[str]:
    first, number = node.calls[0], len(node.calls)
    ended = [call.seconds for call in node.calls if call.ended_ns]
    states = Counter(call.state for call in node.calls)
    failed = states["failed"]
    facts = [f"{number:,} calls" if number > 1 else "", duration(sum(ended)) if ended else ""]
    facts.append(f"{failed:,} failed" if failed else "")
    for state, said in _UNENDED.items():
        if some := states[state]:
            facts.append(f"{some:,} {said}" if number > 1 else said)
    label = f"{first.kind} {_escaped(first.name)}<br>{', '.join(filter(None, facts))}"
    left, right = _SHAPES.get(first.kind, ("[", "]"))
    style = ""
    if failed:
        style = ":::failed"
    elif any(call.state != "done" for call in node.calls):
        style = ":::waiting"
    yield f'    {name}{left}"{label}"{right}{style}'
    if node.caller is not None:
        often = f"|{number:,}|" if number > 1 else ""
        yield f"    {node.caller} -->{often} {name}"


def _escaped(text: str) -> str:
    """A name as Mermaid takes it inside of quotes: what has a meaning there, as an entity."""
    return "".join(
        character if character.isalnum() or character in " _-.:/" else f"#{ord(character)};"
        for character in flat(text)[:80]
    )


_UNENDED: dict[State, str] = {"interrupted": "interrupted", "paused": "paused", "open": "under way"}
_SHAPES = {
    "flow": ("([", "])"),
    "model": ("{{", "}}"),
    "embed": ("{{", "}}"),
    "search": ("[(", ")]"),
    "ingest": ("[(", ")]"),
    "pause": ("[/", "/]"),
}
