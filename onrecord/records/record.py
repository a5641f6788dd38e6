"""What happened: one recorded call, as a value."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import os
import time
from typing import Any, Literal

import msgspec
from msgspec.structs import astuple

from onrecord.messages import Usage
from onrecord.records.outlining import outline

Kind = Literal[
    "flow",
    "step",
    "model",
    "embed",
    "search",
    "ingest",
    "tool",
    "guard",
    "score",
    "pause",
    "feedback",
]
State = Literal["open", "done", "failed", "interrupted", "paused"]


class Record(msgspec.Struct, frozen=True):
    """One call: who asked what, what came back, how long it took and what it cost.

    `id`, `run` and `parent` are 32 hexadecimal digits (16 bytes); ids made by one process ascend
    with time. `input` and `output` hold plain JSON values. `key` is equal for equal questions.
    `cost` is in integer micro-dollars, None where it is not known. Times are nanoseconds
    since 1970; `ended_ns` is 0 until the call ends. `source` is the record that the output was
    taken from, where the call was not made again (a cache hit, a resumed step). Where `redacted`,
    the output is not what the caller got, and nobody can be given it again.
    """

    id: str
    run: str
    parent: str | None
    kind: Kind
    name: str
    input: Any
    key: str
    started_ns: int
    output: Any = None
    error: str | None = None
    ended_ns: int = 0
    usage: Usage = Usage()
    cost: int | None = 0
    state: State = "open"
    release: str | None = None
    session: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    tenant: str | None = None
    version: str = ""
    source: str | None = None
    redacted: bool = False

    @property
    def seconds(self) -> float:
        """How long the call took; 0.0 while it is open."""
        return max(self.ended_ns - self.started_ns, 0) / 1e9


def new_id() -> str:
    """A time-ordered id: 6 bytes of milliseconds, 5 random bytes of this process, a counter.

    Ids of one process ascend even when its clock is set back.
    """
    global _latest
    now = time.time_ns() // 1_000_000
    beginning = _latest
    if now > beginning[0]:
        _latest = beginning = (now, f"{now:012x}{_process}")
    return f"{beginning[1]}{next(_numbers) & 0xFFFFFFFFFF:010x}"


def question_key(kind: str, name: str, version: str, packed_input: bytes, also: object) -> str:
    """The key of a call: the hash of everything that determines its output.

    `packed_input` is `pack(input)`; `also` is what determines the output beside the input.
    """
    hashed = _begun(kind, name, version).copy()
    hashed.update(packed_input)
    if also is not None:
        hashed.update(pack(also))
    return hashed.hexdigest()


@functools.lru_cache(maxsize=4096)
def _begun(kind: str, name: str, version: str) -> hashlib.blake2b:
    """The hash that all calls of a function begin with."""
    text = f"{kind}\0{name}\0{version}\0"
    return _blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)


def content_key(*parts: Any) -> str:
    """The hash of values; equal for equal values, in any process."""
    return _blake2b(pack(parts), digest_size=16).hexdigest()


def plain(value: Any) -> Any:
    """`value` as plain JSON values (None, bool, int, float, str, list, dict with str keys).

    Never fails: what has no such form is told in words.
    """
    try:
        return msgspec.to_builtins(value, **_PLAIN)
    except Exception:
        return simplified(value)


def pack(value: Any) -> bytes:
    """`value` as MessagePack, equal for equal values (dict keys and sets are sorted).

    What MessagePack cannot hold is `simplified`.
    """
    try:
        return _encode(value)
    except Exception:  # among others, a set of things that have no order among each other
        return _encode(simplified(value))


def without(packed: bytes, fences: tuple[str, ...]) -> bytes:
    """A packed value with digits in the place of random texts, as many bytes as before."""
    for at, fence in enumerate(fences):
        wanted = fence.encode()
        packed = packed.replace(wanted, b"%d" % (at % 10) * len(wanted))
    return packed


def identity(value: object) -> str:
    """The text that stands for a user, session, tenant, release or tag: a number that names a user
    is a name, too; half a surrogate pair is no text; and what is too long for a database's index is
    its beginning and its hash."""
    text = str(simplified(str(value))).replace("\0", "\ufffd")
    if len(text) <= _LONGEST_NAME:
        return text
    hash = _blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{text[: _LONGEST_NAME - len(hash) - 1]}…{hash}"


def counted(usage: Usage) -> Usage:
    """The usage, where its counts are numbers that somebody can have counted; else no tokens."""
    if all(type(count) is int and 0 <= count <= _MOST_TOKENS for count in astuple(usage)):
        return usage
    return _NOTHING_USED


def unpacked(packed: bytes) -> Any:
    """The plain JSON values that `pack` packed."""
    try:
        return plain(_decode(packed))
    except RecursionError:  # it was packed with fewer calls around it than there are here
        return "<nested too deeply>"


def simplified(value: Any) -> Any:
    """The slow way to plain values, for what msgspec refuses: keys that are no text, numbers over
    64 bits, half surrogate pairs, cycles, objects that fail when they are looked at.

    What holds itself is told in words there, and so is what is behind a million values.
    """
    return _simplified(value, [], [_MOST])


def _simplified(value: Any, around: list[int], left: list[int]) -> Any:
    """`around`: the ids of what holds this value, outermost first; `left`: how many values more."""
    left[0] -= 1
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return value
        # Python writes out no more than 4,300 digits.
        bits = value.bit_length()
        return str(value) if bits < 10_000 else f"<a whole number of {bits:,} bits>"
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if len(around) == _DEEPEST or left[0] < 0:
        return "…"
    if id(value) in around:
        return f"<the {type(value).__qualname__} around this>"
    around.append(id(value))
    try:
        return _simplified_inside(value, around, left)
    except Exception:
        return f"<{type(value).__qualname__}>"
    finally:
        around.pop()


def _simplified_inside(value: Any, around: list[int], left: list[int]) -> Any:
    if isinstance(value, dict):
        kept: dict[str, Any] = {}
        for name, item in value.items():
            text = str(_simplified(name, around, left))
            while text in kept:  # 1 and "1" are two keys
                text += "'"
            kept[text] = _simplified(item, around, left)
        return kept
    if isinstance(value, list | tuple | set | frozenset):
        return [_simplified(item, around, left) for item in value]
    return _simplified(_plain_other(value), around, left)


def _plain_other(value: Any) -> Any:
    kind: Any = type(value)
    if _is_opaque(kind):
        return _named(value) or outline(value)
    if isinstance(value, type):
        return value.__qualname__
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "tolist"):  # numpy
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if (named := _named(value)) is not None:
        return named
    # A value with an address in its repr would make an equal question look like a new one.
    text = repr(value)
    return outline(value) if " at 0x" in text else text


def _named(value: Any) -> dict[str, str] | None:
    """What stands for a model, a collection, a prompt."""
    name = getattr(value, "name", None)
    if not isinstance(name, str):
        return None
    version = getattr(value, "version", None)
    return {"name": name, "version": version} if isinstance(version, str) else None


@functools.lru_cache(maxsize=1024)
def _is_opaque(kind: Any) -> bool:
    """Whether objects of a class have no plain form for certain: a user's own, mostly."""
    if kind.__repr__ is not object.__repr__ or issubclass(
        kind, type | msgspec.Struct | os.PathLike
    ):
        return False
    forms = ("model_dump", "tolist", "__dataclass_fields__", "__getattr__", "__getattribute__")
    return not any(name in vars(each) for each in kind.__mro__[:-1] for name in forms)


def _begin_anew() -> None:
    """A forked child must not count on with its parent's numbers."""
    global _process, _numbers, _latest
    _process, _numbers = os.urandom(5).hex(), itertools.count()
    _latest = (_latest[0], f"{_latest[0]:012x}{_process}")


_DEEPEST = 30
_MOST = 1_000_000
_LONGEST_NAME = 400
_MOST_TOKENS = 10**12
_NOTHING_USED = Usage()
_PLAIN: dict[str, Any] = {"enc_hook": _plain_other, "str_keys": True, "builtin_types": ()}
_encode = msgspec.msgpack.Encoder(enc_hook=_plain_other, order="deterministic").encode
_decode = msgspec.msgpack.Decoder().decode
_blake2b = hashlib.blake2b
_process, _numbers = os.urandom(5).hex(), itertools.count()
_latest = (0, f"{0:012x}{_process}")  # milliseconds, and how the ids of now begin
os.register_at_fork(after_in_child=_begin_anew)
