"""Which columns of a table are a case's input, id and what is expected.

    {"input": "question", "expected": "answer", "id": "qid"}
    {"input": ["question", "context"]}                  an object with these two
    {"input": {"question": "Frage"}}                    an object; its fields under other names
    {"expected": {"any_of": ["answer_1", "answer_2"]}}  several acceptable answers
    {"expected": {"any_of": "answers.text"}}            a field inside a column
    {"metadata": ["topic"]}                             no other column is kept

Without a mapping the columns are named `input`, `expected`, `id`, `metadata` and `provenance`, and
all others are metadata, each under its own name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onrecord.errors import LoadError, UsageError

Source = str | Sequence[str] | Mapping[str, Any]
Columns = Mapping[str, Source]
Fields = dict[str, Any]


class Layout:
    """How the fields of a row become those of a case. `columns`: the names that rows have."""

    def __init__(self, columns: Columns | None, names: Sequence[str], where: str) -> None:
        given = dict(columns or {})
        for part in given:
            if part not in PARTS:
                close = difflib.get_close_matches(part, PARTS, 1)
                raise UsageError(
                    f"a case has no part '{part}'",
                    cure=f"Did you mean '{close[0]}'?" if close else f"It has {', '.join(PARTS)}.",
                )
        self._names = list(names)
        self._where = where
        self._parts: dict[str, Source] = {
            part: given.get(part, part) for part in PARTS[:3] if part in given or part in names
        }
        for source in self._parts.values():
            for name in _named(source):
                self._check(name)
        if "input" not in self._parts:
            raise self._without_input()
        self._metadata = self._kept(given)
        self._own = [
            part for part in ("metadata", "provenance") if part in names and part not in given
        ]

    def needed(self) -> list[str]:
        """The columns that are read at all."""
        names = [self._column(name) for each in self._parts.values() for name in _named(each)]
        kept = [self._column(name) for name in self._metadata.values()]
        return list(dict.fromkeys([*names, *kept, *self._own]))

    def case(self, row: Mapping[str, Any]) -> Fields:
        """The fields of a case; without those that are missing. Raises ValueError with the reason
        where there is no input."""
        made: Fields = {
            part: value
            for part, source in self._parts.items()
            if (value := self._value(row, source)) is not None
        }
        if "input" not in made:
            wanted = " and ".join(f"'{name}'" for name in _named(self._parts["input"]))
            raise ValueError(f"nothing stands in {wanted}")
        metadata = {
            key: value
            for key, name in self._metadata.items()
            if (value := self._value(row, name)) is not None
        }
        for part in self._own:
            if not _is_missing(row[part]):
                made[part] = row[part]
        if metadata:
            own = made.get("metadata")
            if own is not None and not isinstance(own, Mapping):
                raise ValueError("'metadata' is no object")
            made["metadata"] = metadata if own is None else {**own, **metadata}
        return made

    def _value(self, row: Mapping[str, Any], source: Source) -> Any:
        if isinstance(source, str):
            if source not in row:
                return self._inside(row, source)
            value = row[source]
            return None if _is_missing(value) else value
        if not isinstance(source, Mapping):
            source = {name: name for name in source}
        if set(source) == {"any_of"}:
            return self._any_of(row, source["any_of"])
        values = {key: self._value(row, each) for key, each in source.items()}
        there = {key: value for key, value in values.items() if value is not None}
        return there or None

    def _any_of(self, row: Mapping[str, Any], source: Source) -> Any:
        if isinstance(source, str):
            value = self._value(row, source)
            several = value if isinstance(value, list) or value is None else [value]
        else:
            several = [each for name in source if (each := self._value(row, name)) is not None]
        if several is None or (not several and not isinstance(source, str)):
            return None
        # The same answer of three annotators is one answer.
        return {"any_of": [each for at, each in enumerate(several) if each not in several[:at]]}

    def _inside(self, row: Mapping[str, Any], name: str) -> Any:
        """A field inside a column: `answers.text`."""
        column = self._column(name)
        value: Any = row[column]
        for step in name.removeprefix(f"{column}.").split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        return None if _is_missing(value) else value

    def _column(self, name: str) -> str:
        """The column of a name: the column itself, or the one that a field is inside of."""
        if name in self._names:
            return name
        steps = name.split(".")
        beginnings = (".".join(steps[:count]) for count in range(len(steps) - 1, 0, -1))
        return next((each for each in beginnings if each in self._names), "")

    def _check(self, name: str) -> None:
        if not self._column(name):
            close = difflib.get_close_matches(name, self._names, 1)
            raise LoadError(
                f"there is no column '{name}'",
                where=self._where,
                cure=f"Did you mean '{close[0]}'?"
                if close
                else f"There are {_listed(self._names)}.",
            )

    def _kept(self, given: Mapping[str, Source]) -> dict[str, str]:
        """The columns that become metadata, by the names that they get."""
        if "metadata" in given:
            chosen = given["metadata"]
            if isinstance(chosen, str):
                chosen = [chosen]
            pairs = chosen if isinstance(chosen, Mapping) else {name: name for name in chosen}
            for name in pairs.values():
                self._check(name)
            return dict(pairs)
        used = {self._column(name) for each in self._parts.values() for name in _named(each)}
        return {name: name for name in self._names if name not in used and name not in PARTS[3:]}

    def _without_input(self) -> LoadError:
        return LoadError(
            f"no column is named 'input'; there are {_listed(self._names)}",
            where=self._where,
            cure=OTHER_NAMES,
        )


def named_columns(columns: Columns) -> list[str]:
    """The columns that a mapping names."""
    return [name for source in columns.values() for name in _named(source)]


OTHER_NAMES = (
    "Where they have other names, say which is which: on.Dataset.read(PLACE, "
    'columns={"input": "NAME"}), or --input NAME of `onrecord dataset`; `onrecord dataset save '
    "PLACE NEW.jsonl --input NAME` writes a file that every command reads."
)
"""What to do where columns or fields are not called as those of a case."""
PARTS = ("input", "expected", "id", "metadata", "provenance")


def _named(source: Source) -> Iterator[str]:
    """The columns that a source names."""
    if isinstance(source, str):
        yield source
        return
    for each in source.values() if isinstance(source, Mapping) else source:
        yield from _named(each)


def _is_missing(value: Any) -> bool:
    """A table has no other word for nothing than an empty cell, null or NaN (unequal to itself)."""
    return value is None or value == "" or value != value


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown or "none"


_SHOWN = 12
