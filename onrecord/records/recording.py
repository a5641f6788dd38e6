"""Recording: the call under way, who looks on, and what is known already.

`with call("model", name, input) as this:` opens a record, makes it the parent of every call inside
(across tasks, because the current call is a context variable), and closes it with what was put into
`this.output`, or with the error that left the block.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from onrecord.calling import emit, listening
from onrecord.errors import UsageError
from onrecord.messages import Usage
from onrecord.records.attending import Attendant
from onrecord.records.frames import End, Start, key_of
from onrecord.records.journal import Journal
from onrecord.records.keeping import Keeper, journal_of
from onrecord.records.record import (
    Kind,
    Record,
    State,
    counted,
    identity,
    new_id,
    pack,
    question_key,
    unpacked,
    without,
)
from onrecord.records.tree import drawn, total_cost
from onrecord.settings import Settings

T = TypeVar("T")


class Found(NamedTuple):
    """An output that is on record: plain JSON values, and the record they come from, if one does.

    Where the caller got more than the record holds (vectors), `whole` is that.
    """

    output: Any
    source: str | None = None
    whole: Any = None


class Recall(Protocol):
    """Where outputs come from that are known already: a cassette, a run that is resumed."""

    def find(self, call: Call) -> Found | None:
        """The output of this call, or None where it has to be made. May raise OnrecordError."""

    def keep(self, call: Call) -> None:
        """The call was made, and its output is there."""


class Context(msgspec.Struct, frozen=True):
    """On whose behalf calls are made: the part of a record that the code does not know."""

    user: str | None = None
    session: str | None = None
    tenant: str | None = None
    release: str | None = None
    tags: tuple[str, ...] = ()


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
        self._scope = scope = _scope.get()
        id = new_id()
        if parent is None:
            self._keeper = keeper = _keeper_here()
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
            _left(_current, self._token)

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
        and (scope := _scope.get()).recall is None
        and not scope.recordings
        and not listening()
    ):
        return _OFF
    return Call(kind, name, input, version, also, fences)


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

    def _repr_html_(self) -> str:
        """What a notebook shows: the tree with time bars, inputs and outputs."""
        from onrecord.records.page import run_page

        return run_page(self.records)


@contextmanager
def recording() -> Iterator[Recording]:
    """Look on: `with on.recording() as run:` collects the records of every call inside."""
    watcher = Recording()
    scope = _scope.get()
    with _scoped(scope._replace(recordings=(*scope.recordings, watcher))):
        yield watcher


@contextmanager
def context(
    *,
    user: str | None = None,
    session: str | None = None,
    tenant: str | None = None,
    release: str | None = None,
    tags: Iterable[str] = (),
) -> Iterator[None]:
    """Say on whose behalf: `with on.context(user="u-17", session="s-4", tags=("beta",)):`.

    Every call inside has it on its record. What an inner block does not name stays as it was;
    tags add up. Cached answers are never given across users and tenants, and `onrecord records
    erase --user u-17` finds them all.
    """
    if isinstance(tags, str):
        raise UsageError("tags are several texts, not one", cure=f"Write tags=({tags!r},).")
    if not isinstance(tags, Iterable):
        raise UsageError(
            f"tags are several texts, not {tags!r}", cure="Leave them out to add none."
        )
    scope = _scope.get()
    outer = scope.context
    inner = Context(
        user=outer.user if user is None else identity(user),
        session=outer.session if session is None else identity(session),
        tenant=outer.tenant if tenant is None else identity(tenant),
        release=outer.release if release is None else identity(release),
        tags=tuple(dict.fromkeys((*outer.tags, *map(identity, tags)))),
    )
    with _scoped(scope._replace(context=inner)):
        yield


@contextmanager
def recalling(recall: Recall) -> Iterator[Recall | None]:
    """Ask `recall` for every output inside the block before it is made.

    Yields the one that was asked until here: what `recall` does not know, that one may.
    """
    scope = _scope.get()
    with _scoped(scope._replace(recall=recall)):
        yield scope.recall


def asked_key(kind: Kind, name: str, input: Any, version: str, fences: tuple[str, ...] = ()) -> str:
    """The key under which such a call would be on record if it were made here."""
    packed, parent = pack(input), _current.get()
    keeper = parent._keeper if parent is not None else _keeper_here()
    asked = without(packed, fences)
    if keeper is None:
        return question_key(kind, name, version, asked, None)
    return keeper.key(kind, name, version, asked, None, keeper.body(packed)[1])


def settings_here() -> Settings:
    """The settings that hold in the working folder, read once a process and folder."""
    return _settings(os.getcwd(), *map(os.environb.get, _VARIABLES))  # noqa: PTH109  # twice as fast


def here() -> Context:
    """On whose behalf a call made here would be."""
    return _scope.get().context


def current() -> Call | None:
    """The call under way, or None outside of every call."""
    return _current.get()


def joined(start: Start, end: End | None) -> Record:
    """The record of a call from its two frames; without an end the call is still open."""
    record = Record(
        id=start.id,
        run=start.run,
        parent=start.parent,
        kind=start.kind,
        name=start.name,
        input=unpacked(bytes(start.input)),
        key=key_of(start),
        started_ns=start.started_ns,
        release=start.release,
        session=start.session,
        user=start.user,
        tags=start.tags,
        tenant=start.tenant,
        version=start.version,
    )
    if end is None:
        return record
    return msgspec.structs.replace(
        record,
        output=unpacked(bytes(end.output)),
        error=end.error,
        ended_ns=end.ended_ns,
        usage=end.usage or Usage(),
        cost=end.cost,
        state=end.state,
        source=end.source,
        redacted=end.redacted,
    )


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


class _Scope(NamedTuple):
    context: Context
    recordings: tuple[Recording, ...] = ()
    recall: Recall | None = None


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
_NOBODY = _Scope(Context())
_scope: contextvars.ContextVar[_Scope] = contextvars.ContextVar("onrecord_scope", default=_NOBODY)


@contextmanager
def _scoped(scope: _Scope) -> Iterator[None]:
    token = _scope.set(scope)
    try:
        yield
    finally:
        _left(_scope, token)


def _left(variable: contextvars.ContextVar[T], token: contextvars.Token[T]) -> None:
    """Give a variable its value back. A generator that nobody reads to its end is closed in another
    context, where there is nothing to give back."""
    with suppress(ValueError):
        variable.reset(token)


def _keeper_here() -> Keeper | None:
    # Asked for at every outermost call: these are all that the answer depends on, except for
    # onrecord.toml, which is read once a process and folder.
    return _keeper(os.getcwd(), *map(os.environb.get, _VARIABLES))  # noqa: PTH109  # twice as fast


_VARIABLES = (b"ONRECORD_HOME", b"ONRECORD_RECORD")
_journals: dict[Path, Journal] = {}
_journals_lock = threading.RLock()  # a signal's handler may make a call, too


@functools.lru_cache(maxsize=64)
def _settings(folder: str, *variables: bytes | None) -> Settings:
    return Settings.load(Path(folder))


@functools.lru_cache(maxsize=64)
def _keeper(folder: str, *variables: bytes | None) -> Keeper | None:
    settings = _settings(folder, *variables)
    if not settings.record:
        return None
    with _journals_lock:  # one writer a process and home; each project has rules of its own
        journal = _journals.get(settings.home)
        if journal is None:
            journal = _journals.setdefault(settings.home, journal_of(settings))
        elif settings.fsync:  # what one project of a home asks for holds for all of them
            journal.fsync = True
    keeper = Keeper(settings, journal)
    if settings.fold_seconds > 0:
        keeper.attend = Attendant(settings).attend
    return keeper


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
