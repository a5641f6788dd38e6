"""What happened: one recorded call, as a value."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import time
from typing import Any, Literal

import msgspec

from onrecord.messages import Usage

Kind = Literal["flow", "step", "model", "embed", "search", "ingest", "tool", "guard", "score"]
State = Literal["open", "done", "failed", "interrupted"]


class Record(msgspec.Struct, frozen=True):
    """One call: who asked what, what came back, how long it took and what it cost.

    `id`, `run` and `parent` are 32 hexadecimal digits (16 bytes); ids made by one process ascend
    with time. `input` and `output` hold plain JSON values. `key` is equal for equal questions.
    `cost` is in integer micro-dollars, times are nanoseconds since 1970. `ended_ns` is 0 until the
    call ends.
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
    cost: int = 0
    state: State = "open"
    release: str | None = None
    session: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long the call took; 0.0 while it is open."""
        return max(self.ended_ns - self.started_ns, 0) / 1e9


def new_id() -> str:
    """A time-ordered id: 6 bytes of milliseconds, 5 random bytes of this process, a counter."""
    global _process
    if _process[0] != os.getpid():  # a forked child must not count on with its parent's numbers
        _process = (os.getpid(), os.urandom(5).hex(), itertools.count())
    return f"{time.time_ns() // 1_000_000:012x}{_process[1]}{next(_process[2]) & 0xFFFFFFFFFF:010x}"


def content_key(*parts: Any) -> str:
    """The hash of everything that determines an output; equal for equal values, in any process."""
    try:
        values = msgspec.to_builtins(parts, order="deterministic", **_PLAIN)
    except TypeError:  # a set of things that have no order among each other
        values = plain(parts)
    packed = pack(values)
    return hashlib.blake2b(packed, digest_size=16).hexdigest()


def plain(value: Any) -> Any:
    """`value` as plain JSON values (None, bool, int, float, str, list, dict with str keys)."""
    return msgspec.to_builtins(value, **_PLAIN)


def pack(value: Any) -> bytes:
    """`value` as MessagePack; half surrogate pairs, which UTF-8 does not have, become U+FFFD."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_whole(plain(value)))


def _plain_other(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "tolist"):  # numpy
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    # A value with an address in its repr would make an equal question look like a new one.
    text = repr(value)
    return type(value).__qualname__ if " at 0x" in text else text


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(item) for name, item in value.items()}
    return value


_PLAIN: dict[str, Any] = {"enc_hook": _plain_other, "str_keys": True, "builtin_types": ()}
_encode = msgspec.msgpack.Encoder(enc_hook=_plain_other).encode
_process: tuple[int, str, itertools.count[int]] = (0, "", itertools.count())
