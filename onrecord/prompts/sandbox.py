"""Jinja2's sandbox with bounds: on the products and ranges of a template, and on its loops."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST = 4_000_000
"""Characters of a text, about a million tokens: more than any model reads."""
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
    """Jinja's sandbox, with a bound on what one operator may make."""

    intercepted_binops = frozenset(["*", "**"])

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        """The product of two values. Raises OverflowError."""
        sizes = [len(side) if hasattr(side, "__len__") else abs(side) for side in (left, right)]
        if operator == "**" or sizes[0] * sizes[1] > LONGEST:
            raise OverflowError(f"the result of '{operator}' may be too large for a prompt")
        return super().call_binop(context, operator, left, right)


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


@jinja2.pass_context
def _counted(context: jinja2.runtime.Context, values: Iterable[Any]) -> Iterator[Any]:
    return cast("Turns", context.resolve(TURNS)).of(values)


_COUNTED = "counted turns"
_MOST_TURNS = 1_000_000
