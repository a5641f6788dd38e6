"""The file format of cassettes: text that a reviewer reads, with secrets removed.

    {"cassette": 1, "salt": "5f0c…", "redact": ["cards", "fields", "ibans", "keys"]}
    {"kind": "model", "name": "openai:m", "input": {…}, "output": {…}, "version": "http://…"}
    {"kind": "embed", "name": "openai:e", "input": {…}, "output": {…}, "vectors": {…}}

JSON Lines, one call a line after the header. There is no time and no id in it, fields and keys have
a fixed order, and a line that is on the cassette already is never rewritten: recording again
changes only what was answered differently.

`input` is what was asked, and all that decides whether a call is that call again: edit it, and
the edited question is the one that is answered. Only where the input does not say everything (an
`ingest` shows how many texts it embedded, and not the texts) a `key` stands beside it. `version` is
that of the server, the encoder or the tool's code; `usage` and `cost` (integer micro-dollars, null
where not known) stand there where the output does not hold them. A call that failed has an `error`
instead of an `output`. Vectors are the base64 of little-endian float32 numbers, shape (n, d).

Secrets are replaced by pseudonyms, equal ones for equal secrets. They are made with the `salt` of
the cassette and not with the project's own key, so that a cassette answers on every machine.
Whoever has the cassette can therefore try values out: that finds no provider's key, but a telephone
number is one of few. Removed is what the project's settings say, and at least the default rules.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from onrecord.errors import ReplayError, StorageError, UsageError
from onrecord.records.cassettes.line import Answer, Asked, Line, line_of, written
from onrecord.records.record import pack, unpacked
from onrecord.records.redaction.redactor import RULES, Redactor
from onrecord.settings import Settings


class Entry:
    """A line of a cassette, and how it is written there."""

    def __init__(self, line: Line, text: str, question: str) -> None:
        self.line = line
        self.text = text
        self.question = question

    @cached_property
    def output(self) -> bytes:
        """The output, packed: who gets it gets a value of his own."""
        return pack(self.line.output)


class Cassette:
    """What is on a cassette, and the rules that remove secrets from it."""

    def __init__(self, salt: str, rules: Sequence[str], fields: Sequence[str]) -> None:
        self.salt = salt
        self.rules = tuple(rules)
        self.fields = tuple(fields)
        self.entries: list[Entry] = []
        self.cleaned = False
        """Whether something was removed from it that is still in the file."""
        self._versions: dict[str, str] = {"": ""}
        self._redactor = Redactor(self.rules, self.fields, key=salt.encode())

    @classmethod
    def new(cls) -> Cassette:
        """An empty one, under the rules of the project's settings."""
        return cls(secrets.token_hex(16), *_rules())

    @classmethod
    def read(cls, path: Path) -> Cassette:
        """The cassette at `path`. Raises ReplayError where that is none, UsageError for a folder.

        Lines and fields may stand in any order, and be laid out in any way that is JSON.
        """
        text = _text(path)
        values = list(_values(text, path))
        heads = [value for _, _, value in values if isinstance(value, dict) and _HEAD in value]
        if not heads:
            raise ReplayError(
                "this is no cassette: it has no line that begins with " + '{"cassette": 1',
                where=str(path),
                cure=RECORD,
            )
        header = _header(heads[0], path)
        cassette = cls(header.salt, *_rules(header.redact, header.redact_fields))
        for at, shown, value in values:
            if not (isinstance(value, dict) and _HEAD in value):
                cassette._add(_line(value, path, text, at), shown)
        return cassette

    def line(self, asked: Asked, answer: Answer | None = None) -> Line:
        """A call as it stands on this cassette."""
        answer = answer or Answer()
        return Line(
            asked.kind,
            asked.name,
            self._redacted(asked.input),
            None if answer.output is None else self._redacted(answer.output),
            None if answer.error is None else self._redactor.redact_text(answer.error)[0],
            answer.usage,
            answer.cost,
            self._redacted_version(asked.version),
            asked.key,
            answer.vectors,
        )

    def entry(self, asked: Asked, answer: Answer) -> Entry:
        """A call that was made, to be added to the entries."""
        line = self.line(asked, answer)
        return Entry(line, line.text, line.question)

    @property
    def text(self) -> str:
        """The whole file."""
        header = {_HEAD: _VERSION, "salt": self.salt, "redact": self.rules}
        if self.fields:
            header["redact_fields"] = self.fields
        return "".join(f"{text}\n" for text in (written(header), *(e.text for e in self.entries)))

    def _add(self, line: Line, text: str) -> None:
        """Add a line as it was read, and remove what an earlier Onrecord, fewer rules or a person
        left in it."""
        clean = msgspec.structs.replace(
            line,
            input=self._redacted(pack(line.input)),
            output=self._redacted(pack(line.output)),
            error=line.error and self._redactor.redact_text(line.error)[0],
            version=self._redacted_version(line.version),
        )
        if pack(clean) != pack(line):
            line, text = clean, clean.text
            self.cleaned = True
        self.entries.append(Entry(line, text, line.question))

    def _redacted(self, packed: bytes) -> Any:
        value = unpacked(packed)
        return self._redactor.redact(value)[0] if self._redactor.suspicious(packed) else value

    def _redacted_version(self, version: str) -> str:
        if version not in self._versions:
            self._versions[version] = self._redactor.redact_text(version)[0]
        return self._versions[version]


RECORD = "Record it with `pytest --record`, or with replay(…, record=True)."


class _Header(msgspec.Struct, frozen=True):
    salt: str
    redact: tuple[str, ...] = ()
    redact_fields: tuple[str, ...] = ()


_HEAD = "cassette"
_VERSION = 1
_BLANK = re.compile(r"\s*")


def _rules(
    rules: tuple[str, ...] = (), fields: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rules of a cassette and those of the project, together.

    A cassette names no function: it would be a file that has code run.
    """
    settings = Settings.load()
    named = {rule for rule in rules if rule in RULES}
    return (
        tuple(sorted({*named, *Settings().redact, *settings.redact})),
        tuple(sorted({*fields, *settings.redact_fields})),
    )


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ReplayError("there is no such cassette", where=str(path), cure=RECORD) from None
    except IsADirectoryError:
        raise UsageError(
            "a cassette is a file, and this is a folder", where=str(path), cure="Name a file in it."
        ) from None
    except UnicodeDecodeError:
        raise ReplayError("this is no cassette: it is not text", where=str(path)) from None
    except OSError as error:
        raise StorageError(
            f"the cassette cannot be read: {error.strerror or error}", where=str(path)
        ) from None
    if not text.strip():
        raise ReplayError("the cassette is empty", where=str(path), cure=RECORD)
    return text


def _values(text: str, path: Path) -> Iterator[tuple[int, str, Any]]:
    """Every JSON value of a text: where it begins, how it is written, and what it is."""
    decoder = json.JSONDecoder()
    at = _after_blank(text, 0)
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise ReplayError(
                f"line {_number(text, at)} of the cassette is not JSON: {error.msg}, line "
                f"{error.lineno} column {error.colno}",
                where=str(path),
                cure="Mend or delete the line; `pytest --record` makes a deleted call again.",
            ) from None
        except RecursionError:
            raise ReplayError(
                f"line {_number(text, at)} of the cassette is nested too deeply", where=str(path)
            ) from None
        yield at, text[at:end], value
        at = _after_blank(text, end)


def _after_blank(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _number(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _header(value: dict[str, Any], path: Path) -> _Header:
    version = value[_HEAD]
    if isinstance(version, int) and version > _VERSION:
        raise ReplayError(
            f"the cassette was recorded by a newer Onrecord (its format is {version}, this one "
            f"reads {_VERSION})",
            where=str(path),
            cure="Upgrade Onrecord, or record it anew with `pytest --record=all`.",
        )
    try:
        if version != _VERSION:
            raise msgspec.ValidationError(f"there is no format {version!r}")
        return msgspec.convert(value, _Header)
    except msgspec.ValidationError as error:
        raise ReplayError(
            f"the cassette's header cannot be read: {error}", where=str(path)
        ) from None


def _line(value: Any, path: Path, text: str, at: int) -> Line:
    try:
        return line_of(value)
    except (msgspec.ValidationError, ValueError) as error:
        raise ReplayError(
            f"the cassette has a line that cannot be read: {error}",
            where=f"{path}, line {_number(text, at)}",
            cure="Mend or delete the line; `pytest --record` makes a deleted call again.",
        ) from None
