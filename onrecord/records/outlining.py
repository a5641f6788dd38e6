"""The outline of an object that has no plain form: its type, and a hash of what its attributes say.

Two objects of one class must not look alike on record where their attributes differ: a method of
one would be given the answer of the other. Telling them apart needs none of their words, and what
an object holds (a password, a table of customers) is nobody's question: no word of it is recorded.

The hash is equal on every machine, for a cassette is read on others; so it has no key, and whoever
has a guess could try it. Private attributes are therefore left out, and so is whatever redaction
would remove.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import re
from collections.abc import Hashable, Iterator
from typing import Any

import msgspec

from onrecord.records.redaction.redactor import RULES, Redactor


def outline(value: Any) -> Any:
    """The outline of an object whose text is only its address: `{"type": …, "is": …}`.

    Of the attributes in its `__dict__` the public ones count that are texts, bytes, numbers, flags,
    members of enums, or tuples of texts and numbers; of texts and bytes over 1,000 characters, the
    length and the ends. No code of theirs is run. Where there are none: the name of its class.
    """
    if callable(value) and isinstance(named := getattr(value, "__qualname__", None), str):
        return named  # a function
    kind: Any = type(value)
    found = getattr(value, "__dict__", None)
    if type(found) is not dict or not found:
        return kind.__qualname__
    filled_in = _filled_in(kind)
    told: dict[str, Any] = {}
    for name, each in found.copy().items():  # another thread may add to it
        simple = type(each)
        if simple not in _SIMPLE:
            if (each := _simple(each)) is None:
                continue
        elif (simple is str or simple is bytes) and len(each) > _LONGEST:
            each = _ends(each)
        if type(name) is str and name[:1] != "_" and name not in filled_in:
            told[name] = each
            if len(told) == _MOST:
                break
    if not told or not (packed := _packed(told)):
        return kind.__qualname__
    return {"type": kind.__qualname__, "is": hashed(packed, 6)}


def hashed(content: bytes, size: int) -> str:
    """A hash of `size` bytes in letters: no digits that look like a number of somebody's."""
    return hashlib.blake2b(content, digest_size=size).hexdigest().translate(_LETTERS)


def without_secrets(told: dict[str, Any]) -> dict[str, Any]:
    """Values by their names, without those that redaction would remove, or that are no text."""
    if _packed_harmless(told) is not None:
        return told
    return {name: each for name, each in told.items() if _is_harmless(name, each)}


def as_before(now: Any, before: Any) -> Any:
    """Plain values with the outlines of `before` where both have one of the same class.

    Objects change while a program runs, without becoming others.
    """
    if isinstance(now, dict) and isinstance(before, dict):
        if _class_of(now) is not None and _class_of(now) == _class_of(before):
            return before
        if now.keys() == before.keys():
            return {name: as_before(each, before[name]) for name, each in now.items()}
    elif isinstance(now, list) and isinstance(before, list) and len(now) == len(before):
        return [as_before(*both) for both in zip(now, before, strict=True)]
    # One of them may have had no attributes that count.
    same = (_class_of(now) or now) == (_class_of(before) or before)
    return before if same else now


def without_outlines(value: Any) -> Any:
    """Plain values with the names of their classes in the place of outlines."""
    if isinstance(value, dict):
        kind = _class_of(value)
        if kind is not None:
            return kind
        return {name: without_outlines(each) for name, each in value.items()}
    return [without_outlines(each) for each in value] if isinstance(value, list) else value


def _class_of(value: Any) -> str | None:
    """The class that an outline names; None for all other values."""
    if isinstance(value, dict) and value.keys() == {"type", "is"}:
        kind, mark = value["type"], value["is"]
        if isinstance(kind, str) and isinstance(mark, str) and _MARK.fullmatch(mark):
            return kind
    return None


def _simple(value: Any) -> Any:
    """What counts of a value that is no text, number, flag or bytes; None where nothing does."""
    if isinstance(value, enum.Enum):
        return value._name_
    if type(value) is tuple and len(value) <= _MOST:
        texts = _SIMPLE - {bytes}
        parts = [_ends(each) if type(each) in texts else None for each in value]
        return None if None in parts else parts
    return None


def _ends(value: Any) -> Any:
    if type(value) in (str, bytes) and len(value) > _LONGEST:
        return [len(value), value[: _LONGEST // 2], value[-_LONGEST // 2 :]]
    return value


def _packed(told: dict[str, Any]) -> bytes:
    if (packed := _packed_harmless(told)) is not None:
        return packed
    left = without_secrets(told)
    return _encode(left) if left else b""


def _packed_harmless(told: dict[str, Any]) -> bytes | None:
    """Packed values; None if each has to be looked at."""
    try:
        packed = _encode(told)
    except Exception:  # half a surrogate pair, a number over 64 bits
        return None
    # The quick look is for texts: it does not see what the name of bytes says.
    if _redactor().suspicious(packed) or bytes in map(type, told.values()):
        return None
    return packed


def _is_harmless(name: str, value: Any) -> bool:
    try:
        _encode({name: value})
    except Exception:
        return False
    if type(value) is bytes:
        value = value.decode("latin-1")
    return _redactor().redact({name: value})[1] == 0


@functools.lru_cache(maxsize=1024)
def _filled_in(kind: Hashable) -> frozenset[str]:
    """The attributes that are filled in when somebody asks for them: before and after that it is
    the same object."""
    return frozenset(_cached(kind))


def _cached(kind: Any) -> Iterator[str]:
    for each in kind.__mro__:
        for name, attribute in vars(each).items():
            if isinstance(attribute, functools.cached_property):
                yield name


@functools.cache
def _redactor() -> Redactor:
    return Redactor(RULES)


_SIMPLE = frozenset((str, int, float, bool, bytes))  # and nothing derived from them
_MOST = 200  # attributes
_LONGEST = 1000
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_MARK = re.compile("[a-p]{12}")
_encode = msgspec.msgpack.Encoder(order="deterministic").encode
