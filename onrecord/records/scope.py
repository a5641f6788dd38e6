"""Around the calls: on whose behalf they are made, who looks on, and what is known already."""

from __future__ import annotations

import contextvars
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import msgspec

from onrecord.errors import UsageError
from onrecord.messages import Usage
from onrecord.records.record import Record, identity
from onrecord.records.views.tree import drawn, total_cost

if TYPE_CHECKING:
    from onrecord.records.call import Call

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
        from onrecord.records.views.page import run_page

        return run_page(self.records)


class Scope(NamedTuple):
    """What is around a call: it holds for every call inside a block."""

    context: Context
    recordings: tuple[Recording, ...] = ()
    recall: Recall | None = None


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


def here() -> Context:
    """On whose behalf a call made here would be."""
    return _scope.get().context


_NOBODY = Scope(Context())


_scope: contextvars.ContextVar[Scope] = contextvars.ContextVar("onrecord_scope", default=_NOBODY)
scope_here = _scope.get
"""What is around a call made here."""


@contextmanager
def _scoped(scope: Scope) -> Iterator[None]:
    token = _scope.set(scope)
    try:
        yield
    finally:
        left(_scope, token)


def left(variable: contextvars.ContextVar[T], token: contextvars.Token[T]) -> None:
    """Give a variable its value back. A generator that nobody reads to its end is closed in another
    context, where there is nothing to give back."""
    with suppress(ValueError):
        variable.reset(token)
