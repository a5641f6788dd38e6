"""The call under way: a record from its first frame to its last.

`with call("model", name, input) as this:` opens a record, makes it the parent of every call inside
(across tasks, because the current call is a context variable), and closes it with what was put into
`this.output`, or with the error that left the block.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from onrecord.calling import emit, listening
from onrecord.messages import Usage
from onrecord.records.frames import End, Start, joined, key_of
from onrecord.records.project import keeper_here, settings_here
from onrecord.records.record import Kind, State, counted, new_id, pack, question_key, without
from onrecord.records.scope import Found, left, scope_here
from onrecord.settings import Settings


class Call:
    """A call under way. Set `output`, `usage` and `cost` before the block ends."""

    __slots__ = (
        "_began_ns",
        "_keeper",
        "_scope",
        "_token",
        "_written",
        "also",
        "cost",
        "error",
        "fences",
        "input",
        "output",
        "redacted",
        "source",
        "start",
        "usage",
        "whole",
    )

    def __init__(
        self,
        kind: Kind,
        name: str,
        input: Any,
        version: str,
        also: object,
        fences: tuple[str, ...] = (),
    ) -> None:
        parent = _current.get()
        self._scope = scope = scope_here()
        id = new_id()
        if parent is None:
            self._keeper = keeper = keeper_here()
            run, parent_id = id, None
        else:
            self._keeper = keeper = parent._keeper
            run, parent_id = parent.start.run, parent.start.id
        # The clock may be set while a call is under way: its length comes from another one.
        started_ns, self._began_ns = time.time_ns(), time.monotonic_ns()
        self.input = input
        packed = pack(input)
        if keeper is not None:
            body, changed = keeper.body(packed)
        else:
            body, changed = msgspec.Raw(packed), False
        if fences:
            packed = without(packed, fences)
        # Where the frame holds all that the key is made of, it is made when somebody asks for it.
        if keeper is not None and changed:
            key = keeper.key(kind, name, version, packed, also, changed)
        elif also is not None or scope.recall is not None or fences:
            key = question_key(kind, name, version, packed, also)
        else:
            key = ""
        self.also = also
        self.fences = fences
        context = scope.context
        tags = context.tags
        if tags and keeper is not None:
            tags = keeper.tags(tags)
        self.start: Start = Start(
            id,
            run,
            parent_id,
            kind,
            name,
            key,
            started_ns,
            body,
            context.release,
            context.session,
            context.user,
            tags,
            context.tenant,
            version,
        )
        self.output: Any = None
        self.whole: Any = None
        self.error: str | None = None
        self.usage: Usage | None = None
        self.cost: int | None = 0
        self.source: str | None = None
        self.redacted = False

    @property
    def id(self) -> str:
        """The id of its record."""
        return self.start.id

    @property
    def run(self) -> str:
        """The id of the run it belongs to: that of the outermost call."""
        return self.start.run

    @property
    def key(self) -> str:
        """Equal for equal questions."""
        return key_of(self.start)

    @property
    def settings(self) -> Settings:
        """The settings that held where its run began."""
        return self._keeper.settings if self._keeper is not None else settings_here()

    @property
    def home(self) -> Path | None:
        """The folder that its record is kept under; None where none is kept."""
        return self._keeper.home if self._keeper is not None else None

    @property
    def is_lost(self) -> bool:
        """Whether it is under way without a record: its start could not be written."""
        return self._keeper is not None and not self._written

    def recall(self) -> Found | None:
        """The output of this call where it is known already; the call need not be made then."""
        recall = self._scope.recall
        if recall is None:
            return None
        found = recall.find(self)
        if found is not None:
            self.source = found.source
        return found

    def rejoin(self, run: str, root: str) -> None:
        """Make this call an attempt to go on with a run that began with the call `root`; the tag
        tells it from a call that `root` itself made. Before the block is entered."""
        tags = (*self.start.tags, RESUMED)
        self.start = msgspec.structs.replace(self.start, run=run, parent=root, tags=tags)
        self.source = root

    def remember_source(self, text: str) -> None:
        """Keep the source code that the call's version stands for."""
        if self._keeper is not None:
            self._keeper.source(self.start.version, text)

    def remember_type(self, name: str) -> None:
        """Keep that the code of this version has returned an object of a type it does not name."""
        if self._keeper is not None:
            self._keeper.source(type_note(self.start.version), name)

    def __enter__(self) -> Call:
        keeper = self._keeper
        if keeper is not None:
            self._written = keeper.write(self.start)
            keeper.attend()
        self._token = _current.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ended_ns = self.start.started_ns + time.monotonic_ns() - self._began_ns
        try:
            self._end(ended_ns, error)
        finally:
            left(_current, self._token)

    def _end(self, ended_ns: int, error: BaseException | None) -> None:
        state: State = "done"
        if error is not None:
            state, self.error = _state(error), _described(error)
        keeper, scope = self._keeper, self._scope
        packed = pack(self.output)
        if keeper is not None:
            body, self.redacted = keeper.body(packed)
            if self.error is not None:
                self.error = keeper.text(self.error)
        else:
            body = msgspec.Raw(packed)
        if self.usage is not None:
            self.usage = counted(self.usage)
        end = End(
            self.start.id,
            ended_ns,
            body,
            self.error,
            self.usage,
            self.cost,
            state,
            self.source,
            self.redacted,
        )
        if keeper is not None and self._written:
            keeper.write(end)
        if scope.recall is not None and error is None and self.source is None:
            scope.recall.keep(self)
        if scope.recordings or listening():
            record = joined(self.start, end)
            for recording in scope.recordings:
                recording.records.append(record)
            emit(record)


def call(
    kind: Kind,
    name: str,
    input: Any,
    *,
    version: str = "",
    also: object = None,
    fences: tuple[str, ...] = (),
) -> Call | Off:
    """A call to be recorded, to be used as `with call(...) as this:`.

    `version` is that of the code or model that answers; `also` is what determines the output beside
    them and the input, so that it belongs into the key. `fences` are random texts in the input that
    do not. Where nothing is recorded and nobody looks on, what comes back takes everything and does
    nothing.
    """
    parent = _current.get()
    if (
        parent is not None
        and parent._keeper is None
        and (scope := scope_here()).recall is None
        and not scope.recordings
        and not listening()
    ):
        return _OFF
    return Call(kind, name, input, version, also, fences)


def asked_key(kind: Kind, name: str, input: Any, version: str, fences: tuple[str, ...] = ()) -> str:
    """The key under which such a call would be on record if it were made here."""
    packed, parent = pack(input), _current.get()
    keeper = parent._keeper if parent is not None else keeper_here()
    asked = without(packed, fences)
    if keeper is None:
        return question_key(kind, name, version, asked, None)
    return keeper.key(kind, name, version, asked, None, keeper.body(packed)[1])


def current() -> Call | None:
    """The call under way, or None outside of every call."""
    return _current.get()


RESUMED = "resumed"
"""The tag of a flow's call that goes on with an earlier run."""


def type_note(version: str) -> str:
    """What `Call.remember_type` keeps its note under, among the sources of versions."""
    return f"{version} returns"


class PauseSignal(BaseException):
    """Leaves the flow that waits for a person; not an Exception, so that no handler of the flow's
    own takes it for a failure."""


def is_pause(error: BaseException | None) -> bool:
    """Whether what left a block is a pause and nothing else: a TaskGroup makes groups of them."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_pause, error.exceptions))
    return isinstance(error, PauseSignal)


class Off:
    """A call that is not recorded: it takes everything and keeps nothing."""

    __slots__ = ()

    id = run = key = ""
    home = None
    start = input = source = error = None
    is_lost = False

    @property
    def settings(self) -> Settings:
        """The settings that hold in the working folder."""
        return settings_here()

    def recall(self) -> None:
        """Nothing is known."""

    def remember_source(self, text: str) -> None:
        """Nothing is kept."""

    def remember_type(self, name: str) -> None:
        """Nothing is kept."""

    def __enter__(self) -> Off:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        pass

    def _forget(self, value: object) -> None:
        pass

    output = property(None, _forget)
    whole = property(None, _forget)
    usage = property(None, _forget)
    cost = property(None, _forget)


_OFF = Off()


_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar(
    "onrecord_call", default=None
)


def _state(error: BaseException) -> State:
    return "paused" if is_pause(error) else "failed"


def _described(error: BaseException) -> str | None:
    if is_pause(error):
        return None
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return "cancelled"
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # an error that cannot be told must not hide itself
        return type(error).__name__
