"""Wiping: frames in the journal's segments become nothing, in place.

A wiped frame keeps its length: its writer, which may be alive, only ever appends. What a call that
is under way will say at its end does not stand there yet. The ids of such calls are kept beside
the segments, in `.erased`, and their ends are wiped when they are folded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

from onrecord.records import whole_file
from onrecord.records.frames import (
    HEAD,
    MAGIC,
    READABLE,
    End,
    Frame,
    Start,
    erased,
    read_frames,
)
from onrecord.records.journal import Segment, segments


def wipe(segment: Segment, ids: AbstractSet[str]) -> int:
    """Overwrite the frames of these calls in a segment, on the disk; how many there were."""
    data = segment.path.read_bytes()
    begin, count = len(MAGIC) if data.startswith(READABLE) else 0, 0
    file = os.open(segment.path, os.O_WRONLY)
    try:
        for frame, end in read_frames(data, begin, segment.writer):
            if isinstance(frame, Start | End) and frame.id in ids:
                while (behind := _behind(data, begin)) < end:  # frames that nobody here knows
                    begin = behind
                os.pwrite(file, erased(end - begin), begin)
                count += 1
            begin = end
        if count:
            os.fsync(file)
    finally:
        os.close(file)
    return count


def wipe_ends(journal: Path, segment: Segment, frames: Iterable[Frame]) -> None:
    """Of frames that are being folded: wipe the ends of calls erased while they were under way."""
    ids = erased_under_way(journal)
    if ids and any(isinstance(each, End) and each.id in ids for each in frames):
        wipe(segment, ids)


def erased_under_way(journal: Path) -> frozenset[str]:
    """The ids of calls that were erased before they ended."""
    try:
        return frozenset((journal / _NAME).read_text().split())
    except FileNotFoundError:
        return frozenset()


def expect_ends(journal: Path, ids: AbstractSet[str]) -> None:
    """Keep the ids of calls that are erased now and have not ended yet."""
    if ids:
        # The middle of an id is its process, and that of a segment's name as well.
        alive = {each.writer[12:22] for each in segments(journal)}
        still = {each for each in erased_under_way(journal) if each[12:22] in alive}
        text = "".join(f"{each}\n" for each in sorted(still | ids))
        whole_file.write(journal / _NAME, text)


def _behind(data: bytes, begin: int) -> int:
    """Where the frame ends that begins here."""
    return begin + HEAD.size + int(HEAD.unpack_from(data, begin)[0])


_NAME = ".erased"
