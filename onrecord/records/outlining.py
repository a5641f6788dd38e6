"""The outline of an object that has no plain form: its type and what its attributes say of it.

Two objects of one class must not look alike on record where their attributes differ: a method of
one would be given the answer of the other. An object may lead to everything that a program holds,
so the outline has bounds; beyond them stands "…", and such objects may look alike.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
from collections.abc import Iterator
from typing import Any


def outline(value: Any) -> Any:
    """The outline of an object whose text is only its address: plain values.

    Of the attributes in its `__dict__` the public ones count, and private ones that are texts:
    other private ones (counters, connections, caches) change without making it another object.
    Where there are none, it is the name of its class.
    """
    return _Outline().of_object(value, 0)


class _Outline:
    """One outline in the making, with what room is left for it."""

    def __init__(self) -> None:
        self._left = _MOST
        self._seen: set[int] = set()

    def of_object(self, value: Any, depth: int) -> Any:
        if callable(value) and isinstance(named := getattr(value, "__qualname__", None), str):
            return named  # a function
        kind = type(value).__qualname__
        if depth == _DEEPEST or id(value) in self._seen:
            return kind
        self._seen.add(id(value))
        told = {name: self._of(each, depth + 1) for name, each in _attributes(value)}
        return {"type": kind, **told} if told else kind

    def _of(self, value: Any, depth: int) -> Any:
        if self._left == 0:
            return "…"
        self._left -= 1
        if value is None or isinstance(value, int | float):
            return value
        if isinstance(value, str):
            return _cut(value)
        if isinstance(value, enum.Enum):
            return str(value)
        if isinstance(value, dict | list | tuple | set | frozenset):
            return self._of_many(value, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = (field.name for field in dataclasses.fields(value))
            return self._of_many({name: getattr(value, name, None) for name in fields}, depth)
        return self._of_other(value, depth)

    def _of_many(self, value: Any, depth: int) -> Any:
        if depth == _DEEPEST:
            return "…"
        if isinstance(value, dict):
            return {
                _cut(str(key)): self._of(each, depth + 1)
                for key, each in list(value.items())[: self._left + 1]
            }
        if isinstance(value, set | frozenset):  # their order is another one in every process
            value = sorted(value, key=repr) if len(value) <= _MOST else ()
        return [self._of(each, depth + 1) for each in value[: self._left + 1]]

    def _of_other(self, value: Any, depth: int) -> Any:
        name, version = getattr(value, "name", None), getattr(value, "version", None)
        if isinstance(name, str) and isinstance(version, str):
            return {"name": name, "version": version}
        text = repr(value)
        return self.of_object(value, depth) if " at 0x" in text else _cut(text)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    found = getattr(value, "__dict__", {}).items()
    # Single values first: there is always room for them.
    for name, each in sorted(found, key=lambda item: (not isinstance(item[1], _SINGLE), item[0])):
        if name.startswith("_") and not isinstance(each, str):
            continue
        # Filled in when somebody asks for it: before and after that it is the same object.
        if not isinstance(getattr(type(value), name, None), functools.cached_property):
            yield name, each


def _cut(text: str) -> str:
    """A text, or the beginning of a long one and its hash."""
    if len(text) <= _LONGEST:
        return text
    whole = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{text[:_LONGEST]}… ({whole})"


_SINGLE = (str, int, float, type(None))
_MOST = 200  # values in an outline
_DEEPEST = 4
_LONGEST = 1000
