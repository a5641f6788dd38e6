"""One call on a cassette: as it is asked, as it is answered, and as it stands in the file."""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any, Literal, NamedTuple

import msgspec

from onrecord.messages import Completion, Passage
from onrecord.records.record import pack, question_key

Leaf = Literal["model", "embed", "search", "tool"]


class Vectors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an embedder gave: the base64 of float32 numbers, row after row, shape (n, d)."""

    shape: tuple[int, int]
    float32: str

    def array(self) -> Any:
        """As a numpy array of its own. Raises ValueError where text and shape do not agree."""
        import numpy as np

        data = bytearray(base64.b64decode(self.float32, validate=True))
        return np.frombuffer(data, "<f4").reshape(self.shape)


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One call on a cassette; the docstring of cassette.py says what the fields mean."""

    kind: Leaf
    name: str
    input: Any
    output: Any = None
    error: str | None = None
    usage: dict[str, int] = {}
    cost: int | None = 0
    version: str = ""
    key: str = ""
    vectors: Vectors | None = None

    @property
    def question(self) -> str:
        """The hash of what decides whether a call is this call again.

        Not the version of a model, an embedder or a collection: see replay.py. That of a tool is
        its code.
        """
        version = self.version if self.kind == "tool" else ""
        packed = pack(self.input)
        if _FLOAT in packed:
            packed = pack(_whole_numbers(self.input))
        return question_key(self.kind, self.name, version, packed, self.key)

    @property
    def text(self) -> str:
        """As it stands in the file, without the line break."""
        fields: dict[str, Any] = {"kind": self.kind, "name": self.name, "input": self.input}
        if self.error is None:
            fields["output"] = self.output
        for name in ("error", "usage", "cost", "version", "key", "vectors"):
            value = getattr(self, name)
            if value != _DEFAULTS[name]:
                fields[name] = value
        return written(fields)


class Asked(NamedTuple):
    """A call as it is asked, nothing removed. The input is packed.

    `key` is "" where the input is the whole question.
    """

    kind: Leaf
    name: str
    version: str
    input: bytes
    key: str


class Answer(msgspec.Struct, frozen=True):
    """What a call gave, nothing removed. The output is packed; None where the call failed."""

    output: bytes | None = None
    error: str | None = None
    usage: dict[str, int] = {}
    cost: int | None = 0
    vectors: Vectors | None = None


def line_of(value: Any) -> Line:
    """The line that a value of a cassette is.

    Raises ValueError (msgspec's among them), which says what is expected where.
    """
    line = msgspec.convert(value, Line)
    if line.error is None and line.kind in _OUTPUTS:
        try:
            msgspec.convert(line.output, _OUTPUTS[line.kind])
        except msgspec.ValidationError as error:
            raise ValueError(f"its output is not that of a {line.kind} call: {error}") from None
    if line.kind == "embed" and line.error is None and line.vectors is None:
        raise ValueError("an embedding without `vectors`")
    if line.vectors is not None:
        line.vectors.array()
    return line


def answer_of(
    output: Any, usage: Any, cost: int | None, whole: Any, error: str | None = None
) -> Answer:
    """What a call gave, as it is kept until the cassette is written."""
    vectors = None if whole is None else _vectors(whole)
    if isinstance(output, Completion):  # it says itself what it took
        return Answer(pack(_short(output)), vectors=vectors)
    counts = {} if usage is None else _counts(usage)
    return Answer(None if error else pack(output), error, counts, cost, vectors)


def written(value: Any, indent: int | None = None) -> str:
    """A value as JSON that shows everything that is in it."""
    text = json.dumps(value, ensure_ascii=False, default=msgspec.to_builtins, indent=indent)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class _Found(msgspec.Struct):
    """What a search gives: as in retrieval/searching.py."""

    passages: tuple[Passage, ...]
    strategy: dict[str, Any]


# What a tool gives is checked against its own types, when it is called.
_OUTPUTS: dict[Leaf, type] = {"model": Completion, "search": _Found}
_DEFAULTS = msgspec.structs.asdict(Line("model", "", None))
# They cannot be seen, or turn the text around them: a reviewer reads something else than is there.
_UNSEEN = re.compile("[\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_FLOAT = b"\xcb"  # how a float begins in MessagePack; other things may too
_ALWAYS = ("message", "model", "usage", "finish", "cost")  # a reviewer sees them every time
_Completion = msgspec.defstruct(
    "_Completion",
    [
        (each.name, Any) if each.name in _ALWAYS else (each.name, Any, each.default)
        for each in msgspec.structs.fields(Completion)
    ],
    omit_defaults=True,
)


def _whole_numbers(value: Any) -> Any:
    """With 1 for 1.0: whoever lays JSON out anew may write the one for the other."""
    if type(value) is float:
        if value != value:
            return math.nan  # there are many, and JSON has one
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if type(value) is list:
        return [_whole_numbers(item) for item in value]
    if type(value) is dict:
        return {key: _whole_numbers(item) for key, item in value.items()}
    return value


def _vectors(whole: Any) -> Vectors:
    import numpy as np

    array = np.ascontiguousarray(whole, "<f4")
    return Vectors(array.shape, base64.b64encode(array.tobytes()).decode())


def _counts(usage: Any) -> dict[str, int]:
    return {name: count for name, count in msgspec.structs.asdict(usage).items() if count}


def _short(completion: Completion) -> msgspec.Struct:
    """As in messages.py, without the counts that are 0 and the later fields that say nothing."""
    fields = msgspec.structs.asdict(completion)
    return _Completion(**{**fields, "usage": _counts(completion.usage)})
