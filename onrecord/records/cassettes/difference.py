"""What differs between two values on record, told to a person; and which of many is the nearest.

    messages[1].parts[0].text
      recorded  "How many days of leave do I have?"
      asked     "How many weeks of leave do I have?"

Everything here is for error messages: bounded in length and in time, and it never fails.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any, NamedTuple

from onrecord.records.record import pack, plain


def difference(before: Any, after: Any, *, labels: tuple[str, str] = ("recorded", "asked")) -> str:
    """What differs between two plain JSON values: each path, and what stood and stands there.

    Long texts are compared line by line. Equal values give "". At most about 60 lines; what does
    not fit is counted.
    """
    changes = list(_changes(plain(before), plain(after), "", 0))
    lines: list[str] = []
    for told, change in enumerate(changes):
        if told == _MOST_CHANGES or len(lines) >= _MOST_LINES:
            lines.append(f"… and {len(changes) - told} more differences")
            break
        lines += [change.path or "the value itself", *_told(change, labels)]
    return "\n".join(lines)


def nearest(asked: Any, candidates: Sequence[Any]) -> int | None:
    """The index of the candidate that shares most words with `asked`; None if there is none.

    Of equally near ones the first.
    """
    if not candidates:
        return None
    words = _words(asked)
    shares = [_share(words, _words(candidate)) for candidate in candidates]
    return shares.index(max(shares))


class _Change(NamedTuple):
    path: str
    before: Any
    after: Any


class _Missing:
    """Stands where there is no value."""


_MISSING = _Missing()


def _changes(before: Any, after: Any, path: str, depth: int) -> Iterator[_Change]:
    if _equal(before, after):
        return
    if depth < _DEEPEST and type(before) is type(after) is dict:
        for key in [*before, *(key for key in after if key not in before)]:
            here, there = before.get(key, _MISSING), after.get(key, _MISSING)
            yield from _changes(here, there, path + _step(key, path), depth + 1)
    elif depth < _DEEPEST and type(before) is type(after) is list:
        for old, new in _aligned(before, after):
            yield from _changes(
                _MISSING if old is None else before[old],
                _MISSING if new is None else after[new],
                f"{path}{_place(old, new)}",
                depth + 1,
            )
    else:
        yield _Change(path, before, after)


def _equal(before: Any, after: Any) -> bool:
    if before is _MISSING or after is _MISSING:
        return before is after
    if type(before) is type(after) is float:
        return repr(before) == repr(after)  # all that is not a number is NaN
    # 1, 1.0 and True are equal to Python and different questions to a model.
    return pack(before) == pack(after)


def _aligned(before: list[Any], after: list[Any]) -> Iterator[tuple[int | None, int | None]]:
    """Which item of one list became which of the other, so that an item put in first does not make
    all that follow look changed."""
    if len(before) == len(after) or max(len(before), len(after)) > _MOST_ITEMS:
        yield from zip_longest(range(len(before)), range(len(after)))
        return
    items = [pack(item) for item in before], [pack(item) for item in after]
    matcher = difflib.SequenceMatcher(None, *items, autojunk=False)
    for _, old, old_end, new, new_end in matcher.get_opcodes():
        yield from zip_longest(range(old, old_end), range(new, new_end))


def _step(key: str, path: str) -> str:
    if not _NAME.fullmatch(key):
        return f"[{_clipped(_shown(key), 0)}]"
    return f".{key}" if path else key


def _place(old: int | None, new: int | None) -> str:
    if old is None or new is None or old == new:
        return f"[{new if old is None else old}]"
    return f"[{old} -> {new}]"


def _told(change: _Change, labels: tuple[str, str]) -> Iterator[str]:
    before, after = change.before, change.after
    if type(before) is type(after) is str and "\n" in before.strip() + after.strip():
        yield f"  --- {labels[0]}"
        yield f"  +++ {labels[1]}"
        yield from _line_changes(before, after)
        return
    width = max(map(len, labels))
    for label, shown in zip(labels, _shown_pair(before, after), strict=True):
        yield f"  {label:{width}}  {shown}"


def _line_changes(before: str, after: str) -> Iterator[str]:
    """The lines that differ between two texts, with the line around them, as diff shows them."""
    ours, theirs = _lines(before), _lines(after)
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    lines = (
        line
        for group in matcher.get_grouped_opcodes(1)
        for line in ["  @@ line " + str(group[0][1] + 1), *_hunk(group, ours, theirs)]
    )
    yield from islice(lines, _MOST_LINES_OF_A_TEXT)
    left = sum(1 for _ in lines)
    if left:
        yield f"  … and {left} more lines"


def _hunk(
    group: list[tuple[str, int, int, int, int]], ours: list[str], theirs: list[str]
) -> Iterator[str]:
    for tag, old, old_end, new, new_end in group:
        if tag == "equal":
            yield from (f"    {_clipped(line, 0)}" for line in ours[old:old_end])
            continue
        pairs = list(zip_longest(ours[old:old_end], theirs[new:new_end]))
        shown = [_shown_lines(one, other) for one, other in pairs]
        yield from (f"  - {one}" for one, _ in shown if one is not None)
        yield from (f"  + {other}" for _, other in shown if other is not None)


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if len(lines) > _MOST_LINES_COMPARED:  # comparing takes the square of it
        rest = "\n".join(lines[_MOST_LINES_COMPARED:])
        lines = [*lines[:_MOST_LINES_COMPARED], rest]
    return lines


def _shown_lines(before: str | None, after: str | None) -> tuple[str | None, str | None]:
    if before is None or after is None:
        return before and _clipped(before, 0), after and _clipped(after, 0)
    if _look_alike(before, after):
        before, after = ascii(before), ascii(after)
    return _clipped_pair(before, after)


def _shown_pair(before: Any, after: Any) -> tuple[str, str]:
    alike = type(before) is type(after) is str and _look_alike(before, after)
    return _clipped_pair(*(_shown(each, ensure_ascii=alike) for each in (before, after)))


def _shown(value: Any, *, ensure_ascii: bool = False) -> str:
    return "(not there)" if value is _MISSING else json.dumps(value, ensure_ascii=ensure_ascii)


def _look_alike(before: str, after: str) -> bool:
    """Whether an eye may see no difference where there is one."""
    one, other = (unicodedata.normalize("NFKC", text).strip() for text in (before, after))
    return one == other


def _visible(text: str) -> str:
    """Without what would move a terminal's cursor, or could not be written to it."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _clipped_pair(one: str, other: str) -> tuple[str, str]:
    """The parts of two texts around the first place where they differ."""
    same, end = 0, min(len(one), len(other))
    while same < end:
        middle = (same + end + 1) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            end = middle - 1
    return _clipped(one, same), _clipped(other, same)


def _clipped(text: str, at: int) -> str:
    """The part of a text around a place in it."""
    begin = max(0, at - _WIDTH // 3) if len(text) > _WIDTH else 0
    part = _visible(text[begin : begin + _WIDTH])
    return f"{'…' * (begin > 0)}{part}{'…' * (begin + _WIDTH < len(text))}"


def _words(value: Any) -> Counter[str]:
    """The words of a value, and its fields with their short values."""
    words: Counter[str] = Counter()
    left = _MOST_CHARACTERS
    todo = [("", plain(value))]
    while todo and left > 0:
        name, each = todo.pop()
        if isinstance(each, dict):
            todo += reversed(each.items())
        elif isinstance(each, list):
            todo += ((name, item) for item in reversed(each))
        elif isinstance(each, str):
            words.update(_WORD.findall(each[:left]))
            left -= len(each)
        else:
            words[f"{name} {each}"] += 1
            left -= _COST_OF_A_FIELD
    return words


def _share(one: Counter[str], other: Counter[str]) -> float:
    """How much of two bags of words is in both, in [0, 1] (Dice, 1945)."""
    both = one.total() + other.total()
    return 2 * (one & other).total() / both if both else 1.0


_NAME = re.compile(r"[^\W\d][\w-]*")
_WORD = re.compile(r"\w+|[^\w\s]")
_DEEPEST = 30
_MOST_CHANGES = 20
_MOST_LINES = 60
_MOST_LINES_OF_A_TEXT = 30
_MOST_LINES_COMPARED = 1000
_MOST_ITEMS = 300
_WIDTH = 160
_MOST_CHARACTERS = 50_000
_COST_OF_A_FIELD = 10
