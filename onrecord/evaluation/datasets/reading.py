"""Reading a dataset: every row is a case, or a problem with the number of its row."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from onrecord.errors import LoadError, UsageError
from onrecord.evaluation.datasets.case import Case, Provenance
from onrecord.evaluation.datasets.columns import OTHER_NAMES, Columns, Fields, Layout, named_columns
from onrecord.evaluation.datasets.formats import BadRow, Row, lines, table
from onrecord.evaluation.datasets.problem import Places, Problem, Unit, and_more
from onrecord.records.record import content_key


def read(path: Path, columns: Columns | None = None) -> tuple[list[Case], Places]:
    """The cases of a file, and where each stands. All of them, or a LoadError that names the first
    row that is wrong and says how many more are. Raises StorageError, MissingExtraError, too."""
    found, numbers = list[Case](), array("q")
    problems, count, cure = list[Problem](), 0, ""
    reading = Reading(path, columns)
    for number, each in reading:
        if isinstance(each, Case):
            if not count:
                found.append(each)
                numbers.append(number)
            continue
        count += 1
        cure = cure or each.cure
        if count <= _REMEMBERED:
            problems.append(Problem(reading.unit, number, each.reason))
    if count:
        raise LoadError(
            f"{problems[0]}{and_more(problems, count)}",
            where=str(path),
            cure=cure,
        )
    return found, Places(reading.unit, numbers)


class Survey(NamedTuple):
    """The cases of a file and where each stands, every row that is no case, and what would mend the
    first of these."""

    cases: list[Case]
    places: Places
    wrong: list[Problem]
    cure: str


def surveyed(path: Path, columns: Columns | None = None) -> Survey:
    """All that a file holds; that it holds no case is a problem, too. Raises LoadError where it is
    no table at all."""
    found, numbers, wrong, cure = list[Case](), array("q"), list[Problem](), ""
    reading = Reading(path, columns)
    for number, each in reading:
        if isinstance(each, Case):
            found.append(each)
            numbers.append(number)
        else:
            cure = cure or each.cure
            wrong.append(Problem(reading.unit, number, each.reason))
    if not found and not wrong:
        first = 1 if reading.unit == "line" else 2  # below the header
        wrong.append(Problem(reading.unit, first, "is not there: the file holds no case"))
    return Survey(found, Places(reading.unit, numbers), wrong, cure)


class Wrong(NamedTuple):
    """Why a row is no case, and what would help."""

    reason: str
    cure: str


class Reading:
    """The rows of a file, one after the other: cases, and what is no case."""

    def __init__(self, path: Path, columns: Columns | None) -> None:
        self._path = path
        self._columns = columns
        self._table = table(path)
        self.unit: Unit = "line" if self._table is None else "row"

    def __iter__(self) -> Iterator[tuple[int, Case | Wrong]]:
        at: dict[str, int] = {}
        asked: dict[str, int] = {}
        for number, row in self._rows():
            if isinstance(row, Wrong):
                yield number, row
                continue
            id = _id(row, at, asked)
            if id in at:
                reason = f"has the id '{id}' of {self.unit} {at[id]:,}"
                yield number, Wrong(reason, "Give each case an id of its own, or none at all.")
                continue
            at[id] = number
            yield number, _case(id, row)

    def _rows(self) -> Iterator[tuple[int, _Line | Wrong]]:
        if self._table is not None:
            return self._of_table()
        return self._of_lines() if self._columns is None else self._of_named_lines(self._columns)

    def _of_table(self) -> Iterator[tuple[int, _Line | Wrong]]:
        assert self._table is not None
        if not self._table.names:
            return  # an empty file
        layout = Layout(self._columns, self._table.names, str(self._path))
        for number, row in self._table.rows(layout.needed()):
            yield number, _laid_out(layout, row)

    def _of_lines(self) -> Iterator[tuple[int, _Line | Wrong]]:
        for number, text in lines(self._path):
            if not text.strip():
                continue
            try:
                row = _decode(text)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                yield number, _no_line(_reason(error), text)
                continue
            yield number, row if row.input is not None else _no_case("its input is null")

    def _of_named_lines(self, columns: Columns) -> Iterator[tuple[int, _Line | Wrong]]:
        """JSON Lines whose fields have other names than those of a case."""
        unseen = set(named_columns(columns))
        named = sorted(unseen)
        layouts: dict[tuple[str, ...], Layout] = {}
        for number, text in lines(self._path):
            if not text.strip():
                continue
            try:
                row: dict[str, Any] = _decode_object(text)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                yield number, _no_line(_reason(error), text)
                continue
            for name in named:
                outer = name.split(".")[0]
                if name in row or outer in row:
                    unseen.discard(name)
                else:
                    row[outer] = None  # as an empty cell of a table
            names = tuple(row)
            if names not in layouts:
                layouts[names] = Layout(columns, names, str(self._path))
            yield number, _laid_out(layouts[names], row)
        if layouts and unseen:
            raise LoadError(
                f"no line has a field '{min(unseen)}'",
                where=str(self._path),
                cure="The columns that you name are the keys of the lines' objects.",
            )


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A case as people write it down."""

    input: Any
    id: str | int | None = None
    expected: Any = None
    metadata: dict[str, Any] = {}
    provenance: Provenance | None = None


def _laid_out(layout: Layout, row: Row | BadRow) -> _Line | Wrong:
    if isinstance(row, BadRow):
        return Wrong(row.reason, "A row has a cell for every column.")
    try:
        fields: Fields = layout.case(row)
        return msgspec.convert(fields, _Line)
    except (msgspec.ValidationError, ValueError) as error:
        return _no_case(_reason(error))


def _case(id: str, row: _Line) -> Case | Wrong:
    try:
        return Case(id, row.input, row.expected, row.metadata, row.provenance)
    except UsageError as error:
        return Wrong(f"is no case: {error.what}", error.cure or _CURE)


def _no_line(reason: str, text: bytes) -> Wrong:
    """Why a line is no case; one with other fields than a case has is told how they are named."""
    bare = _TEXT.sub(b"", text) if reason.startswith("JSON is malformed") else b""
    if b"NaN" in bare or b"Infinity" in bare:
        return Wrong(f"is no case: {reason}", "JSON has no NaN and no Infinity: write null.")
    other = "unknown field" in reason or "lacks the field `input`" in reason
    return Wrong(f"is no case: {reason}", f"{_CURE} {OTHER_NAMES}" if other else _CURE)


def _no_case(reason: str) -> Wrong:
    return Wrong(f"is no case: {reason}", _CURE)


def _id(read: _Line, taken: Mapping[str, int], asked: dict[str, int]) -> str:
    """The id of a case; one that has none is named by its input. `asked`: how often that was."""
    if read.id is not None:
        return str(read.id)
    made = key = content_key(read.input)
    while made in taken:  # the same input may be asked twice, on purpose
        asked[key] = asked.get(key, 1) + 1
        made = f"{key}-{asked[key]}"
    return made


def _reason(error: Exception) -> str:
    reason = str(error) or type(error).__name__
    for theirs, ours in _OBJECTS.items():
        if reason.startswith(theirs):
            return reason.replace(theirs, ours, 1)
    return reason


_CURE = (
    "A case is a JSON object with 'input', and if you like 'id', 'expected' and 'metadata'; in a "
    "table these are columns."
)
_OBJECTS = {
    "Object missing required field": "it lacks the field",
    "Object contains unknown field": "it has the unknown field",
    "Object": "it",
}
"""What msgspec says of an object, and what we say."""
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"')
_REMEMBERED = 10
_decode = msgspec.json.Decoder(_Line).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
