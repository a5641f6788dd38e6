"""A run on a screen: its tree, and to the right of each call its time, tokens, cost and a bar.

    flow ask                         222 ms               ▕██████████████▏
    ├─ search handbook                22 ms               ▕█▌            ▏
    └─ step answer                   200 ms               ▕ ▐████████████▏
       └─ model openai:gpt-6-luna    120 ms  1,204 → 88  $0.0015 …

A line is pieces of text with the name of a style; whoever prints it knows colours and encodings.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec.structs import asdict

from onrecord.records.record import Record
from onrecord.records.views.timeline import Span, Timeline, ended
from onrecord.records.views.tree import (
    LONGEST_NAME,
    Hidden,
    Row,
    Tree,
    is_attempt,
    origin_of,
    outline,
    question_of,
)
from onrecord.records.views.wording import bill, dollars, duration, flat, shortened

Style = Literal["", "dim", "bold", "bad", "warn", "good", "bar"]


class Piece(NamedTuple):
    """Some words of a line, and how they look."""

    text: str
    style: Style = ""


Line = list[Piece]


class Drawing(NamedTuple):
    """A tree that is about to be drawn: what is shown, and on which ruler.

    `whole` are the records of shown calls, by id, where the tree has only their outlines.
    `details` shows inputs and outputs below the calls, `ids` the calls' ids.
    """

    tree: Tree
    rows: Sequence[Row]
    timeline: Timeline
    whole: Mapping[str, Record] = {}
    details: bool = False
    ids: bool = False


def drawing(tree: Tree, most: int | None, now_ns: int | None = None) -> Drawing:
    """A drawing of about `most` rows, None for all."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    later = [(each.begin_ns, each.end_ns) for each in tree.later]
    timeline = Timeline(tree.records.values(), now_ns, later)
    return Drawing(tree, outline(tree, most), timeline)


def draw(picture: Drawing, width: int) -> Iterator[Line]:
    """The lines of a drawing, at most `width` columns wide."""
    cells = [texts_of(row.what, picture.timeline.now_ns) for row in picture.rows]
    columns = [max((wide(each[at]) for each in cells), default=0) for at in range(3)]
    for at in (1, 2):  # on a narrow screen, tokens go first, then the cost
        if _LABEL + sum(column + 2 for column in columns if column) > width:
            columns[at] = 0
    sides = sum(column + 2 for column in columns if column)
    # What is hidden has words across all columns but the bar.
    labels = [
        wide(row.lead + label_of(row.what)) - (sides if isinstance(row.what, Hidden) else 0)
        for row in picture.rows
    ]
    longest = max(labels, default=0)
    least = min(max(longest, _LABEL), 2 * _LABEL, width - sides)
    label = max(min(longest, width - sides - _BAR - 4), least)
    ruler = min(width - label - sides - 4, _LONGEST_BAR)
    for row, texts in zip(picture.rows, cells, strict=True):
        line = [*_left(row, texts, label, columns)]
        yield [*line, *_bar_of(row, picture.timeline, ruler)] if ruler >= _SHORTEST_BAR else line
        if isinstance(row.what, Record):
            yield from _notes(row, picture.whole.get(row.what.id, row.what), picture, width)


def summary(picture: Drawing) -> Iterator[Line]:
    """What a run took together, and whose it is, below its tree."""
    tree, timeline = picture.tree, picture.timeline
    calls = tree.records.values()
    if not calls:
        yield [Piece("nothing was recorded", "dim")]
        return
    sums = tree.sums
    counts = f"{len(tree):,} call{'s' * (len(tree) != 1)}"
    least = "at least " if timeline.open_ended else ""
    pieces = [Piece(f"{least}{duration(timeline.seconds)}, {counts}")]
    attempts = [each for each in calls if is_attempt(each)]
    goes_on = bool(attempts) and attempts[-1].state == "done"
    for state, style in NOT_WELL.items():
        if state == "paused" and goes_on:
            continue  # it has its answer
        if number := sums.states.get(state):
            pieces += [Piece(", "), Piece(f"{number:,} {_SHOWN_STATE.get(state, state)}", style)]
    paid = bill(sums.cost, sums.unpriced)
    yield [*pieces, Piece(f", {sums.input + sums.output:,} tokens, {paid}")]
    if attempts:
        times = "once" if len(attempts) == 1 else f"{len(attempts)} times"
        last = attempts[-1]
        yield [
            Piece(f"Resumed {times}, and now "),
            Piece(_SHOWN_STATE.get(last.state, last.state), NOT_WELL.get(last.state, "good")),
            Piece("."),
        ]
    if timeline.cuts:
        breaks = "a break" if len(timeline.cuts) == 1 else f"{len(timeline.cuts)} breaks"
        known = "nothing is known to have been" if timeline.open_ended else "nothing was"
        yield [Piece(f"The bars leave out {breaks} in which {known} under way (┊).", "dim")]
    if timeline.open_ended:
        yield [
            Piece(
                "How long interrupted calls lasted is not on record; → is where the last ", "dim"
            ),
            Piece("is that their process recorded.", "dim"),
        ]
    first = next(iter(calls))
    first = picture.whole.get(first.id, first)
    words = [f"run {first.run}", f"{moment_of(first.started_ns)}"]
    for name in ("user", "session", "tenant", "release"):
        if (value := getattr(first, name)) is not None:
            words.append(f"{name} {flat(value)}")
    if first.tags:
        words.append(f"tags {', '.join(map(flat, first.tags))}")
    yield [Piece("  ".join(words), "dim")]


def one_line(record: Record, now_ns: int) -> Line:
    """A call in a list: kind, name, time, tokens, cost, and what there is to say of it."""
    took, tokens, cost = texts_of(record, now_ns)
    style = NOT_WELL.get(record.state, "")
    pieces = [
        Piece(f"{record.kind} ", "dim"),
        Piece(shortened(record.name, LONGEST_NAME), "bold"),
        Piece(f"  {took}", style),
    ]
    pieces += [Piece(f"  {text}") for text in (f"{tokens} tokens" if tokens else "", cost) if text]
    if record.state in ("failed", "interrupted") and record.error:
        pieces.append(Piece(f"  {shortened(record.error)}", style))
    if (origin := origin_of(record)) is not None:
        pieces.append(Piece(f"  {origin}", "good"))
    return pieces


def described(record: Record) -> Iterator[Line]:
    """Everything there is to say of one call, but for its input and output."""
    yield one_line(record, time.time_ns())
    usage = ", ".join(f"{name} {count:,}" for name, count in asdict(record.usage).items() if count)
    facts = {
        "name": record.name if len(record.name) > LONGEST_NAME else None,
        "id": record.id,
        "run": record.run,
        "parent": record.parent,
        "started": moment_of(record.started_ns),
        "ended": moment_of(record.ended_ns) if record.ended_ns else None,
        "state": record.state,
        "error": record.error,
        "tokens": usage or None,
        "cost": dollars(record.cost),
        "source": record.source,
        "key": record.key,
        "version": record.version or None,
        "release": record.release,
        "session": record.session,
        "user": record.user,
        "tenant": record.tenant,
        "tags": ", ".join(record.tags) or None,
        "redacted": "what was removed before it was written is not here"
        if record.redacted
        else None,
    }
    for name, value in facts.items():
        if value is not None:
            style: Style = "bad" if name == "error" else ""
            yield [Piece(f"  {name:<9}", "dim"), Piece(flat(value), style)]


def moment_of(ns: int) -> str:
    """A point in time for people, in the local zone; of an impossible one, its number."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ns / 1e9))
    except (OverflowError, ValueError, OSError):
        return f"{ns} ns"


def label_of(what: Record | Hidden) -> str:
    """What a row is: kind and name of a call, or how many are hidden and how they went."""
    if isinstance(what, Record):
        return f"{what.kind} {shortened(what.name, LONGEST_NAME)}"
    number = f"then {what.calls:,}" if what.later else f"{what.calls:,} more"
    words = f"… {number} {shortened(what.name, LONGEST_NAME) or 'calls'}"
    if what.inside:
        words += f" with {what.inside:,} call{'s' * (what.inside != 1)} inside"
    facts = [words]
    if what.p50 is not None:
        facts.append(f"p50 {'about ' * what.later}{duration(what.p50)}")
    sums = what.sums
    if failed := sums.states.get("failed"):
        facts.append(f"{failed:,} failed")
    if sums.input or sums.output:
        facts.append(f"{sums.input:,} → {sums.output:,} tokens")
    if sums.cost or sums.unpriced:
        facts.append(bill(sums.cost, sums.unpriced))
    return ", ".join(facts)


def texts_of(what: Record | Hidden, now_ns: int) -> tuple[str, str, str]:
    """A call's time, tokens and cost; empty where there is nothing to say."""
    if isinstance(what, Hidden):
        return "", "", ""
    took = duration((ended(what, now_ns) - what.started_ns) / 1e9)
    took = {
        "failed": f"✗ {took}",
        "open": f"… {took}",
        "interrupted": "interrupted",
        "paused": "paused",
    }.get(what.state, took)
    usage = what.usage
    tokens = f"{usage.input:,} → {usage.output:,}" if usage.input or usage.output else ""
    return took, tokens, dollars(what.cost) if what.cost != 0 else ""


def bar(span: Span, width: int, shade: str = "█") -> str:
    """A time bar of `width` columns, drawn in eighths of a column. Never empty."""
    cells = [" "] * width
    begin = min(int(span.begin * width * 8), width * 8 - 1)
    end = min(max(round(span.end * width * 8), begin + 1), width * 8)
    first, last = begin // 8, (end - 1) // 8
    for at in range(first, last + 1):
        filled = min(end, (at + 1) * 8) - max(begin, at * 8)
        if filled == 8:
            cells[at] = shade
        elif begin > at * 8 and (end >= (at + 1) * 8 or begin % 8 >= 4):
            # There are blocks for every eighth from the left, but only two from the right.
            cells[at] = shade if filled > 6 else "▐" if filled > 2 else "▕"
        else:
            cells[at] = _EIGHTHS[filled]
    return "".join(cells)


def cut(text: str, width: int) -> str:
    """A text in at most `width` columns."""
    if wide(text) <= width:
        return text
    kept, used = [], 0
    for character in text:
        used += wide(character)
        if used > width - 1:
            break
        kept.append(character)
    return "".join(kept) + "…"


def padded(text: str, width: int, *, right: bool = False) -> str:
    """A text in exactly `width` columns, if it fits."""
    space = " " * (width - wide(text))
    return space + text if right else text + space


def _left(row: Row, texts: Sequence[str], label: int, columns: Sequence[int]) -> Iterator[Piece]:
    """The tree and the columns. What is hidden has words across all of them."""
    what = row.what
    lead = _lead(row, label)
    yield Piece(lead, "dim")
    if isinstance(what, Hidden):
        room = label + sum(column + 2 for column in columns if column) - wide(lead)
        style: Style = "warn" if what.sums.states.get("failed") else "dim"
        yield Piece(padded(cut(label_of(what), room), room), style)
        return
    room = label - wide(lead)
    words = padded(cut(label_of(what), room), room)
    kind, name = words[: len(what.kind)], words[len(what.kind) :]
    yield Piece(kind, "dim")
    yield Piece(name, "bold" if row.depth == 0 else "")
    for at, (text, column) in enumerate(zip(texts, columns, strict=True)):
        if column:
            style = NOT_WELL.get(what.state, "") if at == 0 else ""
            yield Piece("  " + padded(text, column, right=True), style)


def _lead(row: Row, label: int) -> str:
    """What stands before a name: of a deep call the last levels are enough."""
    room = label - min(wide(label_of(row.what)), _NAME)
    if wide(row.lead) <= room:
        return row.lead
    return "…" + row.lead[1 - room :] if room > _BRANCH else ""


def _bar_of(row: Row, timeline: Timeline, width: int) -> Iterator[Piece]:
    what = row.what
    if isinstance(what, Hidden):
        style: Style = "dim"
        text = bar(timeline.span(what.begin_ns, what.end_ns), width, "░")
        text = "".join("░" if character != " " else " " for character in text)
    else:
        style = NOT_WELL.get(what.state, "good" if what.source is not None else "bar")
        text = bar(timeline.of(what), width)
        if what.id in timeline.open_ended:
            end = len(text.rstrip())
            text = f"{text[: end - 1]}→{text[end:]}"
    for cut_at in timeline.cuts:
        at = min(int(cut_at * width), width - 1)
        if text[at] == " ":
            text = f"{text[:at]}┊{text[at + 1 :]}"
    yield Piece("  ▕", "dim")
    yield Piece(text, style)
    yield Piece("▏", "dim")


def _notes(row: Row, record: Record, picture: Drawing, width: int) -> Iterator[Line]:
    """What else there is to say of a call, below it."""
    branch = "│  " if picture.tree.children.get(record.id) else "   "
    lead = row.rest + branch
    if wide(lead) > width // 2:
        lead = "…" + lead[1 - width // 2 :]

    def note(label: str, text: str, style: Style) -> Line:
        room = max(width - wide(lead) - len(label) - 1, _NAME)
        return [Piece(lead, "dim"), Piece(f"{label} ", "dim"), Piece(cut(text, room), style)]

    if picture.ids:
        yield note("id  ", record.id, "")
    if (origin := origin_of(record)) is not None:
        yield note("↺   ", origin, "good")
    for label, value in (("in  ", record.input), ("out ", record.output)):
        if value is not None and picture.details:
            yield note(label, shortened(value, width), "")
    if (question := question_of(record)) is not None:
        yield note("asks", question, "warn")
    if record.error:
        yield note("✗   ", flat(record.error), "bad")


def wide(text: str) -> int:
    """How many columns a text takes on a screen."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(character)
        else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BAR = 16
_SHORTEST_BAR = 4
_LABEL = 12
_BRANCH = 3  # "└─ "
_NAME = 10  # what a name gets at least
_LONGEST_BAR = 60
NOT_WELL: dict[str, Style] = {
    "failed": "bad",
    "interrupted": "warn",
    "paused": "warn",
    "open": "warn",
}
_SHOWN_STATE = {"open": "under way"}
