"""Which records a command is about: the options that commands of `onrecord records` share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import msgspec
import typer

from onrecord.errors import UsageError
from onrecord.records.query import Query, moment
from onrecord.records.record import Kind, State

if TYPE_CHECKING:
    from onrecord.records.store import Store

C = TypeVar("C", bound=Callable[..., None])


def _filter(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Which records", show_default=False)


Kinds = Annotated[list[str] | None, _filter(f"One of: {', '.join(get_args(Kind))}.")]
States = Annotated[list[str] | None, _filter(f"One of: {', '.join(get_args(State))}.")]
Failed = Annotated[bool, _filter("The same as --state failed.", "--failed")]
Name = Annotated[str | None, _filter("The name of the function, model or collection.")]
Since = Annotated[str | None, _filter("From then on: a date, a time, or an age (30m, 12h, 7d).")]
Until = Annotated[str | None, _filter("Before then.")]
Tags = Annotated[list[str] | None, _filter("With this tag; with all of them, if repeated.")]
Session = Annotated[str | None, _filter("Of this session.")]
User = Annotated[str | None, _filter("Of this user.")]
Tenant = Annotated[str | None, _filter("Of this tenant.")]
Release = Annotated[str | None, _filter("Of this release.")]
Words = Annotated[str | None, _filter("With this in the input, output or error.")]
ErrorWords = Annotated[str | None, _filter("With this in the error.")]
Run = Annotated[str | None, _filter("Of this run: its id, or how it begins.")]


def query_of(
    *,
    kind: Kinds = None,
    name: Name = None,
    state: States = None,
    failed: Failed = False,
    since: Since = None,
    until: Until = None,
    tag: Tags = None,
    session: Session = None,
    user: User = None,
    tenant: Tenant = None,
    release: Release = None,
    text: Words = None,
    error: ErrorWords = None,
) -> Query:
    """The query that the options of a command stand for. Raises UsageError."""
    states = _known("state", state, get_args(State))
    return Query(
        kinds=_known("kind", kind, get_args(Kind)),
        name=name,
        states=(*states, "failed") if failed and "failed" not in states else states,
        since_ns=None if since is None else moment(since),
        until_ns=None if until is None else moment(until),
        tags=tuple(tag or ()),
        session=session,
        user=user,
        tenant=tenant,
        release=release,
        text=text,
        error=error,
    )


def filtered(command: C) -> C:
    """Give a command the options of `query_of`: it gets the Query they make, as `query`."""
    own = inspect.signature(command, eval_str=True).parameters
    options = inspect.signature(query_of, eval_str=True).parameters

    @functools.wraps(command)
    def with_query(**given: Any) -> None:
        query = query_of(**{option: given.pop(option) for option in options})
        command(query=query, **given)

    merged = {name: each for name, each in own.items() if name != "query"} | dict(options)
    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature([each.replace(kind=keyword) for each in merged.values()])
    with_query.__signature__ = signature  # type: ignore[attr-defined]  # typer asks for it
    with_query.__annotations__ = {name: each.annotation for name, each in merged.items()}
    return with_query  # type: ignore[return-value]  # as callable as before, with more options


def within(store: Store, query: Query, run: str | None) -> Query:
    """The query, of one run only: that of the id which begins with `run`. None: as it is.

    Raises UnknownNameError.
    """
    if run is None:
        return query
    from onrecord.records.looking import run_of

    return msgspec.structs.replace(query, run=run_of(store, run))


def _known(noun: str, given: Sequence[str] | None, choices: Sequence[str]) -> tuple[Any, ...]:
    """The names that an option was given, by repeating it or with commas between them."""
    names = [name.strip() for each in given or () for name in each.split(",")]
    for name in names:
        if name not in choices:
            cure = f"Choose from {', '.join(choices)}."
            raise UsageError(f"there is no {noun} '{name}'", cure=cure)
    return tuple(dict.fromkeys(names))
