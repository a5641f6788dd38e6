"""A run, drawn as text: one line a call, children indented under their parent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from onrecord.records.record import Record


def drawn(records: Sequence[Record], details: bool = False) -> Iterator[str]:
    """Lines of the tree of `records`; with `details` each call's input and output below it.

    A record whose parent is not among `records` is drawn as a root.
    """
    known = {record.id for record in records}
    children: dict[str | None, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.id):
        children[record.parent if record.parent in known else None].append(record)
    for root in children[None]:
        yield from _branch(root, children, details, "", "")


def line(record: Record) -> str:
    """One call in one line: kind, name, state, time, tokens, cost."""
    words = [f"{record.kind} {record.name}"]
    words.append(_state(record))
    if record.usage.input or record.usage.output:
        words.append(f"{record.usage.input} → {record.usage.output} tokens")
    if record.cost != 0:
        words.append(dollars(record.cost))
    return "  ".join(words)


def total_cost(records: Iterable[Record]) -> int | None:
    """The cost of records together, in integer micro-dollars; None if that of one is not known."""
    total = 0
    for record in records:
        if record.cost is None:
            return None
        total += record.cost
    return total


def dollars(cost: int | None) -> str:
    """Integer micro-dollars as dollars: 1500 -> "$0.0015"; None -> "cost unknown"."""
    if cost is None:
        return "cost unknown"
    text = f"{cost / 1e6:.6f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"${whole}.{fraction:0<2}"


def duration(seconds: float) -> str:
    """A time for people: "0.4 ms", "35 ms", "1.20 s"."""
    if seconds < 0.001:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _branch(
    record: Record,
    children: dict[str | None, list[Record]],
    details: bool,
    lead: str,
    rest: str,
) -> Iterator[str]:
    yield lead + line(record)
    below = children[record.id]
    if details:
        bar = "│  " if below else "   "
        for label, value in (("in", record.input), ("out", record.output)):
            if value is not None:
                yield f"{rest}{bar}{label:<4}{_shortened(value)}"
    for child in below:
        last = child is below[-1]
        yield from _branch(
            child,
            children,
            details,
            rest + ("└─ " if last else "├─ "),
            rest + ("   " if last else "│  "),
        )


def _state(record: Record) -> str:
    if record.state == "done":
        return duration(record.seconds)
    if record.state == "failed":
        return f"failed after {duration(record.seconds)}: {record.error}"
    return record.state


def _shortened(value: object, limit: int = 160) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
