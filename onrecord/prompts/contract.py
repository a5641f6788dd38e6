"""What a prompt function's types say: its arguments, which of them are passages, its output."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_args, get_type_hints

from onrecord.errors import PromptError
from onrecord.messages import Passage
from onrecord.prompts.passages import Passages
from onrecord.prompts.structured import Output, output_of
from onrecord.prompts.untrusted import Untrusted, marked


class Contract:
    """The types of one function, read when first needed: they may name what is defined later."""

    def __init__(self, function: Callable[..., Any]) -> None:
        original = inspect.unwrap(getattr(function, "func", function))
        self._signature = inspect.signature(function)
        self._names = _positional(self._signature)
        self._hints = _hints(original)
        if "return" not in self._hints:
            raise PromptError(
                f"the prompt '{original.__name__}' does not say what it returns",
                where=original.__module__,
                cure="Annotate its result: '-> str' for plain text.",
            )
        self._where = f"prompt {original.__name__}"
        self._outputs: dict[bool, Output] = {}
        self.output()
        self.arguments = tuple(self._signature.parameters)
        self.types = ", ".join(
            f"{name}: {inspect.formatannotation(self._hints.get(name, Any))}"
            for name in [*self._signature.parameters, "return"]
        )

    def output(self, reasoning: bool = False) -> Output:
        """What the answer has to be, with the reasoning before it if it is asked for."""
        if reasoning not in self._outputs:
            try:
                self._outputs[reasoning] = output_of(self._hints["return"], reasoning=reasoning)
            except PromptError as error:
                raise PromptError(error.what, where=self._where, cure=error.cure) from None
        return self._outputs[reasoning]

    def untrusted(self) -> dict[str, Untrusted]:
        """The arguments whose types are marked as untrusted."""
        marks = {name: marked(self._hints.get(name)) for name in self.arguments}
        return {name: mark for name, mark in marks.items() if mark is not None}

    def hint(self, name: str) -> Any:
        """The type of an argument."""
        return self._hints.get(name, Any)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name, defaults included. Raises TypeError as any call would."""
        # The common case; `bind` takes ten times as long.
        if self._names is not None and not kwargs and len(args) == len(self._names):
            return dict(zip(self._names, args, strict=True))
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def passages(self, inputs: dict[str, Any]) -> dict[str, Passages]:
        """The arguments that are passages, numbered through all of them."""
        found: dict[str, Passages] = {}
        first = 1
        for name, value in inputs.items():
            several = _passages(value, self._hints.get(name))
            if several is not None:
                found[name] = Passages.numbered(several, first)
                first += len(several)
        return found


def _positional(signature: inspect.Signature) -> tuple[str, ...] | None:
    """The parameters' names, where each takes exactly one argument by its place; else None."""
    kinds = {each.kind for each in signature.parameters.values()}
    by_place = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return tuple(signature.parameters) if kinds <= by_place else None


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    closure = inspect.getclosurevars(function).nonlocals if inspect.isfunction(function) else {}
    try:
        return get_type_hints(function, localns=dict(closure), include_extras=True)
    except NameError as error:
        raise PromptError(
            f"the types of the prompt '{function.__name__}' cannot be read: {error}",
            where=function.__module__,
            cure="Define or import them at the top of the module.",
        ) from None


def _passages(value: object, hint: Any) -> Sequence[Passage] | None:
    """The passages in an argument; None if it is something else. The hint decides if empty."""
    if isinstance(value, Passage):
        return [value]
    if isinstance(value, str) or not isinstance(value, Sequence):
        return None
    if value and all(isinstance(each, Passage) for each in value):
        return value
    return value if not value and _holds_passages(hint) else None


def _holds_passages(hint: Any) -> bool:
    """Whether a type is one of passages, wherever in it: `Annotated[list[Passage] | None, …]`."""
    return hint is Passage or any(map(_holds_passages, get_args(hint)))
