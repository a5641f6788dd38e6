"""What the database refuses: frames that are put aside, so that all others come in.

A text too long for an index, a number of more than 64 bits: such a frame would stop every later
fold. It goes into `journal/refused/`, into a file in the format of a segment, with all frames of
its call that came with it. Only an erasure takes calls out of these files again. One that is moved
into `journal/` is tried again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from onrecord.records import whole_file
from onrecord.records.database.engine import is_refused, reason_of
from onrecord.records.folding.rows import take_in
from onrecord.records.frames import MAGIC, End, Erased, Frame, Gap, Start, framed, read_frames
from onrecord.records.journal import Segment, segments
from onrecord.records.query import Query


class Refused(msgspec.Struct, frozen=True):
    """A file of frames that the database refused, and how many calls it holds."""

    path: str
    calls: int


class Refusal(NamedTuple):
    """The frames of one call that the database refused, and what it said."""

    frames: Sequence[Frame]
    reason: str


def take_what_fits(
    connection: sa.Connection, frames: Sequence[Frame], writer: str, known: Iterable[str] = ()
) -> list[Refusal]:
    """Bring frames into the tables, those of one call together; what was refused.

    `known`: calls of which earlier frames were refused.
    """
    refused = set(known)
    calls: dict[object, list[Frame]] = {}
    for frame in frames:
        calls.setdefault(frame.id if isinstance(frame, Start | End) else object(), []).append(frame)
    behind = [Refusal(calls.pop(id), _EARLIER) for id in refused & calls.keys()]
    return [*behind, *_take_halves(connection, list(calls.values()), writer)]


def put_aside(journal: Path, segment: Segment, refusals: Iterable[Refusal]) -> Path:
    """Keep refused frames, on the disk; those that are there already once."""
    path = journal / "refused" / f"{_MARK}{segment.path.name.removeprefix(_MARK)}"
    path.parent.mkdir(exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))  # for its owner's eyes only
    frames = [*_frames(path), *(frame for refusal in refusals for frame in refusal.frames)]
    whole_file.write_bytes(path, b"".join([MAGIC, *dict.fromkeys(map(framed, frames))]))
    return path


def refused(journal: Path) -> list[Refused]:
    """The files of refused frames."""
    found = segments(journal / "refused")
    return [Refused(str(each.path), len(_ids(each.path))) for each in found]


def refused_calls(journal: Path, writer: str) -> set[str]:
    """The ids of a writer's calls that were refused."""
    found, mark = segments(journal / "refused"), f"{_MARK}{writer.removeprefix(_MARK)}"
    return {id for each in found if each.writer == mark for id in _ids(each.path)}


def refused_of(journal: Path, query: Query) -> set[str]:
    """The ids of the refused calls that a query asks for.

    None where it asks for states, or words of bodies and errors: those are not looked into.
    """
    if query.states or query.error is not None or query.text is not None:
        return set()
    return {
        frame.id
        for each in segments(journal / "refused")
        for frame in _frames(each.path)
        if isinstance(frame, Start) and _fits(frame, query)
    }


def clear(journal: Path) -> None:
    """Delete the files of which everything has been erased."""
    for each in segments(journal / "refused"):
        if all(isinstance(frame, Erased) for frame in _frames(each.path)):
            each.path.unlink()


def _fits(start: Start, query: Query) -> bool:
    exact = ("run", "name", "session", "user", "tenant", "release")
    wanted = [(getattr(query, name), getattr(start, name)) for name in exact]
    return (
        all(value is None or value == there for value, there in wanted)
        and (not query.kinds or start.kind in query.kinds)
        and (query.ids is None or start.id in query.ids)
        and (query.since_ns is None or start.started_ns >= query.since_ns)
        and (query.until_ns is None or start.started_ns < query.until_ns)
        and set(query.tags) <= set(start.tags)
    )


# These files have a writer of their own: tried again, they say nothing of the one that is alive.
_MARK = "refused-"
_EARLIER = "the beginning of the call was refused"


def _take_halves(connection: sa.Connection, calls: list[list[Frame]], writer: str) -> list[Refusal]:
    if not calls:
        return []
    frames = [frame for call in calls for frame in call]
    try:
        with connection.begin_nested():
            take_in(connection, frames, writer)
        return []
    except Exception as error:
        if not is_refused(error):
            raise
        if len(calls) == 1:
            return [Refusal(frames, reason_of(error))]
    middle = len(calls) // 2
    return [
        *_take_halves(connection, calls[:middle], writer),
        *_take_halves(connection, calls[middle:], writer),
    ]


def _frames(path: Path) -> list[Frame]:
    if not path.exists():
        return []
    found = read_frames(path.read_bytes(), len(MAGIC))
    return [frame for frame, _ in found if not isinstance(frame, Gap)]


def _ids(path: Path) -> set[str]:
    return {frame.id for frame in _frames(path) if isinstance(frame, Start | End)}
