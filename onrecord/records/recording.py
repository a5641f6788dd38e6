"""Recording: the call under way, and who looks on.

`with call("model", name, input, key) as this:` opens a record, makes it the parent of every call
inside (across tasks, because the current call is a context variable), and closes it with what was
put into `this.output`, or with the error that left the block.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from onrecord.calling import emit, listening
from onrecord.messages import Usage
from onrecord.records.journal import End, Journal, Start
from onrecord.records.record import Kind, Record, content_key, new_id, plain
from onrecord.records.tree import drawn, total_cost
from onrecord.settings import Settings


class Call:
    """A call under way. Set `output`, `usage` and `cost` before the block ends."""

    __slots__ = (
        "_journal",
        "_recordings",
        "_start",
        "_token",
        "cost",
        "error",
        "output",
        "usage",
    )

    def __init__(self, kind: Kind, name: str, input: Any, key: str | None = None) -> None:
        parent = _current.get()
        id = new_id()
        self._journal: Journal | None = parent._journal if parent is not None else _journal_here()
        self._start = Start(
            id=id,
            run=parent.run if parent is not None else id,
            parent=parent.id if parent is not None else None,
            kind=kind,
            name=name,
            key=key if key is not None else content_key(kind, name, input),
            started_ns=time.time_ns(),
            input=input,
        )
        self.output: Any = None
        self.error: str | None = None
        self.usage = Usage()
        self.cost: int | None = 0

    @property
    def id(self) -> str:
        """The id of its record."""
        return self._start.id

    @property
    def run(self) -> str:
        """The id of the run it belongs to: that of the outermost call."""
        return self._start.run

    def __enter__(self) -> Call:
        if self._journal is not None:
            self._journal.append(self._start)
        self._recordings = _recordings.get()
        self._token = _current.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _current.reset(self._token)
        if error is not None:
            self.error = _described(error)
        end = End(self.id, time.time_ns(), self.output, self.error, self.usage, self.cost)
        if self._journal is not None:
            self._journal.append(end)
        if self._recordings or listening():
            record = joined(self._start, end)
            for recording in self._recordings:
                recording.records.append(record)
            emit(record)


class Recording:
    """What was recorded inside a `with on.recording()` block, in the order in which calls ended."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    @property
    def usage(self) -> Usage:
        """The tokens of all model and embedding calls together."""
        return sum((record.usage for record in self.records), Usage())

    @property
    def cost(self) -> int | None:
        """The cost of all calls together, in integer micro-dollars; None if one is not known."""
        return total_cost(self.records)

    def tree(self) -> str:
        """The calls as an indented tree with their time, tokens and cost, one line each."""
        return "\n".join(drawn(self.records))


@contextmanager
def recording() -> Iterator[Recording]:
    """Look on: `with on.recording() as run:` collects the records of every call inside."""
    watcher = Recording()
    token = _recordings.set((*_recordings.get(), watcher))
    try:
        yield watcher
    finally:
        _recordings.reset(token)


def joined(start: Start, end: End | None) -> Record:
    """The record of a call from its two frames; without an end the call is still open."""
    record = Record(
        id=start.id,
        run=start.run,
        parent=start.parent,
        kind=start.kind,
        name=start.name,
        input=plain(start.input),
        key=start.key,
        started_ns=start.started_ns,
        release=start.release,
        session=start.session,
        user=start.user,
        tags=start.tags,
    )
    if end is None:
        return record
    return msgspec.structs.replace(
        record,
        output=plain(end.output),
        error=end.error,
        ended_ns=end.ended_ns,
        usage=end.usage,
        cost=end.cost,
        state="done" if end.error is None else "failed",
    )


_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar(
    "onrecord_call", default=None
)
_recordings: contextvars.ContextVar[tuple[Recording, ...]] = contextvars.ContextVar(
    "onrecord_recordings", default=()
)


def _journal_here() -> Journal | None:
    environ = os.environ
    return _journal(str(Path.cwd()), environ.get("ONRECORD_HOME"), environ.get("ONRECORD_RECORD"))


@functools.lru_cache(maxsize=64)
def _journal(folder: str, home: str | None, record: str | None) -> Journal | None:
    # Asked for at every outermost call: the arguments are all that the answer depends on, except
    # for onrecord.toml, which is read once a process and folder.
    settings = Settings.load(Path(folder))
    return _journal_of(settings.home) if settings.record else None


@functools.lru_cache(maxsize=64)
def _journal_of(home: Path) -> Journal:
    return Journal(home / "journal")


def _described(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return "cancelled"
    return f"{type(error).__name__}: {error}"
