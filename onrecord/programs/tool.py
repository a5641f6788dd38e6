"""Tools: typed functions that act on the world outside, on the record, and that a model may call.

    @on.tool
    async def order_status(order_id: str) -> Order:
        "Look an order up by its id."

    @on.tool(approve=True, idempotent=False)
    async def refund(order_id: str, amount: Decimal) -> str:
        "Refund an order."

What a model is told of a tool is its `schema`: the name, the docstring, and the JSON schema of its
arguments. `read(text)` makes arguments of what a model writes.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec, TypeVar, overload

from onrecord.errors import UsageError
from onrecord.messages import ToolSchema
from onrecord.programs.arguments import Arguments, Foreign, Typed, decoded, said_of
from onrecord.programs.flow import Recorded
from onrecord.programs.functions import asynchronous
from onrecord.programs.trying import Trying
from onrecord.records.record import content_key

P = ParamSpec("P")
R = TypeVar("R")

Approve = bool | Callable[..., bool]
"""Whether a person has to approve a call that a model asks for; or a function of the arguments that
says so."""


class Tool(Recorded[P, R]):
    """A recorded function that a model may call. Made by `tool`, or by `described`."""

    def __init__(
        self,
        function: Callable[P, Awaitable[R]],
        *,
        approve: Approve = False,
        idempotent: bool = True,
        trying: Trying = Trying(),  # noqa: B008  # frozen
    ) -> None:
        super().__init__(function, "tool", idempotent=idempotent, trying=trying)
        self.approve = approve
        self.seconds = trying.seconds
        self._described: Described | None = None

    @property
    def version(self) -> str:
        """Changes with the code of the function itself, and with how somebody else describes it."""
        if self._described is None:
            return super().version
        return content_key(super().version, self._described.schema)

    @functools.cached_property
    def schema(self) -> ToolSchema:
        """What a model is told of it. Raises UsageError where its arguments have no JSON schema."""
        if self._described is not None:
            return self._described.schema
        words, said = said_of(self._code.function)
        return ToolSchema(checked_name(self.name), words, self._typed.described(said))

    def read(self, text: str) -> dict[str, Any]:
        """The arguments by name that a model wrote as JSON. Raises Unfit, whose words tell the
        model what is wrong with them."""
        takes: Arguments = self._typed if self._described is None else self._described.arguments
        return takes.read(decoded(text))

    async def called(self, arguments: Mapping[str, Any]) -> R:
        """Call it with the arguments that `read` gave."""
        if self._described is not None:
            return await self(arguments)  # type: ignore[call-arg, arg-type]  # it takes them as one
        args, kwargs = self._typed.passed(arguments)
        return await self(*args, **kwargs)

    def needs_approval(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a person has to approve a call with these arguments."""
        return bool(self.approve(**arguments)) if callable(self.approve) else self.approve

    @functools.cached_property
    def _typed(self) -> Typed:
        parameters = dict(self.signature.parameters)
        owner = getattr(self._function, "args", ())
        for name in list(parameters)[: len(owner)]:
            del parameters[name]  # of a method: the object that it is bound to
        if not owner and next(iter(parameters), "") == "self" and "self" not in self._code.hints:
            raise UsageError(
                f"the tool '{self.name}' is a method, and of no object",
                cure=f"Give the one of an object: tools=[shop.{self.name}].",
            )
        return Typed(self.name, parameters, self._code.hints)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        bound = super().__get__(instance, owner)
        if bound is not self:
            for each in ("schema", "_typed"):
                vars(bound).pop(each, None)
        return bound


class Described:
    """A tool as somebody else describes it."""

    def __init__(self, schema: ToolSchema) -> None:
        self.schema = schema
        self.arguments = Foreign(schema.parameters)


def described(
    schema: ToolSchema,
    function: Callable[[Mapping[str, Any]], Awaitable[Any]],
    *,
    approve: Approve = False,
    idempotent: bool = True,
    seconds: float | None = None,
) -> Tool[..., Any]:
    """A tool that somebody else describes (an MCP server, an OpenAPI document): `function` takes
    its arguments as one mapping. Raises UsageError for a schema that is none."""

    async def called(arguments: Mapping[str, Any]) -> Any:
        return await function(arguments)

    called.__name__ = called.__qualname__ = schema.name
    called.__doc__ = schema.description
    trying = Trying(seconds)
    made: Tool[..., Any] = Tool(called, approve=approve, idempotent=idempotent, trying=trying)
    made._described = Described(schema)
    return made


def checked_name(name: Any, whose: str = "a tool") -> str:
    """A name that a model may call. Raises UsageError for another one."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r:.80} is no name of {whose}",
            cure="Use up to 64 letters, digits, - and _, the first a letter or _.",
        )
    return name


@overload
def tool(function: Callable[P, Awaitable[R]], /) -> Tool[P, R]: ...
@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    approve: Approve = False,
    idempotent: bool = True,
    seconds: float | None = None,
    retries: int = 0,
) -> ToolDecorator: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    approve: Approve = False,
    idempotent: bool = True,
    seconds: float | None = None,
    retries: int = 0,
) -> Any:
    """Make a function a tool: a recorded function that does something outside of the program, and
    that a model may call.

    `approve=True`: a person is asked before a call that a model wants is made; also a function of
    the arguments that says whether. Code that calls the tool itself is not asked. `seconds` and
    `retries` as of a step.

    `idempotent=False` for what must not happen twice (a refund, a mail): where a flow stopped after
    such a tool was begun and before its end was on record, resuming it asks a person whether it
    happened, and never makes it again by itself. A time-out or any other exception is such a case
    too: it does not tell whether the other side has acted (but what an agent's model was told of
    stays the failure that it was). In a flow it raises StorageError, and does nothing, while its
    start cannot be recorded (a full disk).
    """
    made = ToolDecorator(approve, idempotent, Trying(seconds, retries))
    return made if function is None else made(function)


class ToolDecorator:
    """Makes functions tools."""

    def __init__(self, approve: Approve, idempotent: bool, trying: Trying) -> None:
        trying.check(idempotent)
        if inspect.iscoroutinefunction(approve):
            raise UsageError(
                "whether a person has to approve is decided by a plain function",
                cure="Write approve=lambda …, or def; ask whatever takes time inside of the tool.",
            )
        if not callable(approve) and not isinstance(approve, bool):
            raise UsageError(
                f"approve={approve!r:.40} does not say whether a person has to approve",
                cure="Give True, False or a function of the arguments.",
            )
        self._approve = approve
        self._idempotent = idempotent
        self._trying = trying

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> Tool[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Tool[P, R]: ...
    def __call__(self, function: Callable[P, Any], /) -> Tool[P, Any]:
        """Make `function` one."""
        made = asynchronous(function)
        return Tool(made, approve=self._approve, idempotent=self._idempotent, trying=self._trying)


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
