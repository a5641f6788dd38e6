"""Tools: typed functions that act on the world outside, on the record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, overload

from onrecord.programs.flow import Decorator, Recorded

P = ParamSpec("P")
R = TypeVar("R")


@overload
def tool(function: Callable[P, Awaitable[R]], /) -> Recorded[P, R]: ...
@overload
def tool(function: Callable[P, R], /) -> Recorded[P, R]: ...
@overload
def tool(*, idempotent: bool = True) -> Decorator: ...
def tool(function: Callable[..., Any] | None = None, /, *, idempotent: bool = True) -> Any:
    """Make a function a tool: a recorded function that does something outside of the program.

    `@on.tool(idempotent=False)` for what must not happen twice (a refund, a mail): where a flow
    stopped after such a tool was begun and before its end was on record, resuming it asks a person
    whether it happened, and never makes it again by itself. A time-out or any other exception is
    such a case too: it does not tell whether the other side has acted. In a flow it raises
    StorageError, and does nothing, while its start cannot be recorded (a full disk).
    """
    made = Decorator("tool", idempotent)
    return made if function is None else made(function)
