"""Jinja2's sandbox with bounds: on what one operator, method or filter makes, and on loops."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from onrecord.prompts.sizes import Size, check_method, of_filters, of_operators

TURNS = "turns of its loops"
"""The value of a template that its loops are counted by. No template can name it."""


class Turns:
    """How often the loops of one rendering have gone round, all of them together."""

    def __init__(self) -> None:
        self.left = _MOST_TURNS

    def of(self, values: Iterable[Any]) -> Iterator[Any]:
        """The values, counted. Raises OverflowError."""
        for value in values:
            self.left -= 1
            if self.left < 0:
                raise OverflowError(f"its loops go round more than {_MOST_TURNS:,} times")
            yield value


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with a bound on what one operator or method may make."""

    intercepted_binops = frozenset(of_operators)

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        """What an operator makes of two values. Raises OverflowError."""
        of_operators[operator](left, right)
        return super().call_binop(context, operator, left, right)

    def call(
        __self, __context: jinja2.runtime.Context, __obj: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """What a call gives; Jinja's names leave all others to the call. Raises OverflowError."""
        if isinstance(__obj, types.BuiltinMethodType):
            check_method(__obj.__self__, __obj.__name__, args, kwargs)
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Jinja's own `str.format`, after a look at its widths."""
        formatted = super().wrap_str_format(value)
        if formatted is None:
            return None

        def bounded(*args: Any, **kwargs: Any) -> str:
            check_method(value.__self__, value.__name__, args, kwargs)
            return formatted(*args, **kwargs)

        return bounded


@functools.cache
def environment(shown: Callable[[object], str]) -> Sandbox:
    """Where templates are compiled; `shown` makes words of what they put in."""
    made = Sandbox(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # what is rendered is words for a model and not HTML
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    del made.globals["lipsum"], made.filters["pprint"]  # neither makes words for a model
    for name, size in of_filters.items():
        made.filters[name] = _bounded(made.filters[name], size)
    made.filters[_COUNTED] = _counted
    return made


def counted(tree: nodes.Template) -> tuple[nodes.Template, bool]:
    """The template with its loops counted, and whether it has any."""
    loops = list(tree.find_all(nodes.For))
    for loop in loops:
        loop.iter = nodes.Filter(
            loop.iter,
            _COUNTED,
            [],
            [],
            None,
            None,
            lineno=loop.lineno,
            environment=tree.environment,
        )
    return tree, bool(loops)


def _bounded(filter: Callable[..., Any], size: Size) -> Callable[..., Any]:
    """A filter that looks at the size of what it would make first."""
    signature = inspect.signature(filter)
    # What Jinja itself hands to some filters before the value.
    first = 1 if hasattr(filter, "jinja_pass_arg") else 0

    @functools.wraps(filter)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        size(*list(given.arguments.values())[first:])
        return filter(*args, **kwargs)

    return bounded


@jinja2.pass_context
def _counted(context: jinja2.runtime.Context, values: Iterable[Any]) -> Iterator[Any]:
    return cast("Turns", context.resolve(TURNS)).of(values)


_COUNTED = "counted turns"
_MOST_TURNS = 1_000_000
