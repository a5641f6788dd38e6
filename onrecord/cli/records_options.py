"""Which records a command is about: the options that commands of `onrecord records` share.

    @options(which=which_of)
    def cost(which: Which, by: By = None) -> None: ...

A function makes one value of a group of options; a command that takes the value has the options.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, get_args

import msgspec
import typer

from onrecord.errors import UsageError
from onrecord.records.query import Query, moment
from onrecord.records.record import Kind, State

if TYPE_CHECKING:
    from onrecord.records.store import Store

C = TypeVar("C", bound=Callable[..., Any])


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
RUN = "A run: @1 is the newest, @2 the one before; or an id, its beginning, or a piece of it"
Run = Annotated[str | None, _filter(f"{RUN}.")]


def examples(*commands: str) -> str:
    """What stands below the options of a command: how it is called."""
    lines = "\n\n".join(f"`onrecord {each}`" for each in commands)
    return f"Example{'s' * (len(commands) != 1)}:\n\n{lines}"


def options(**groups: Callable[..., Any]) -> Callable[[C], C]:
    """Give a command the options of the functions in `groups`; what each function makes of them is
    the command's parameter of that name."""

    def decorate(command: C) -> C:
        own = inspect.signature(command, eval_str=True).parameters
        of_groups = {
            name: inspect.signature(make, eval_str=True).parameters for name, make in groups.items()
        }

        @functools.wraps(command)
        def with_values(**given: Any) -> Any:
            for name, make in groups.items():
                given[name] = make(**{option: given.pop(option) for option in of_groups[name]})
            return command(**given)

        merged = {name: each for name, each in own.items() if name not in groups}
        for of_group in of_groups.values():
            merged |= of_group
        keyword = inspect.Parameter.KEYWORD_ONLY
        signature = inspect.Signature([each.replace(kind=keyword) for each in merged.values()])
        with_values.__signature__ = signature  # type: ignore[attr-defined]  # typer asks for it
        with_values.__annotations__ = {name: each.annotation for name, each in merged.items()}
        return with_values  # type: ignore[return-value]  # as callable as before, with more options

    return decorate


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


class Which(NamedTuple):
    """The records that the options of a command name."""

    query: Query
    run: str | None

    def of(self, store: Store) -> Query:
        """As one query: of the run that `run` points at, if any. Raises UnknownNameError."""
        if self.run is None:
            return self.query
        from onrecord.records.pointing import run_of

        return msgspec.structs.replace(self.query, run=run_of(store, self.run))


@options(query=query_of)
def which_of(query: Query, run: Run = None) -> Which:
    """The records that the options of a command name: those of `query_of`, and --run."""
    return Which(query, run)


def _known(noun: str, given: Sequence[str] | None, choices: Sequence[str]) -> tuple[Any, ...]:
    """The names that an option was given, by repeating it or with commas between them."""
    names = [name.strip() for each in given or () for name in each.split(",")]
    for name in names:
        if name not in choices:
            cure = f"Choose from {', '.join(choices)}."
            raise UsageError(f"there is no {noun} '{name}'", cure=cure)
    return tuple(dict.fromkeys(names))
