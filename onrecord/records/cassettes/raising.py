"""From the text of an error on record back to the error."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from typing import Any

from onrecord import errors
from onrecord.errors import OnrecordError


def made_again(text: str) -> Exception | None:
    """The error that a record tells as `Class: message`: of that class, and with that message.

    The class is one of Onrecord's, of Python's, or any that is imported; nothing is imported for
    it. None where no such class takes its message as its only argument.
    """
    name, _, message = text.partition(": ")
    for kind in _classes(name):
        for arguments in _arguments(message):
            try:
                error = kind(*arguments)
                if str(error) == message:
                    return error
            except Exception:  # a class of somebody's: it may want other arguments
                continue
    return None


def _classes(name: str) -> Iterator[type[Exception]]:
    """The classes of exceptions of that name: ours, Python's, and whichever is loaded."""
    for module in (errors, builtins):
        kind = getattr(module, name, None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            yield kind
    todo: list[type[Exception]] = [Exception]
    seen = {Exception}
    while todo:
        for kind in todo.pop().__subclasses__():
            if kind not in seen:
                seen.add(kind)
                todo.append(kind)
                if kind.__name__ == name and not issubclass(kind, OnrecordError):
                    yield kind


def _arguments(text: str) -> Iterator[tuple[Any, ...]]:
    if not text:
        yield ()
    yield (text,)
    try:
        yield (ast.literal_eval(text),)  # a KeyError shows its key as Python writes it
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return
