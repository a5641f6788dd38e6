"""Validation: does every case have the form that it should have, or that the others have?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from onrecord.evaluation.datasets.case import Case
from onrecord.evaluation.datasets.problem import Places, Problem
from onrecord.evaluation.measuring.schema import schema_errors
from onrecord.prompts.schemas import Unfit, codec_of


def validate(cases: Sequence[Case], places: Places, forms: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with each case. `forms`: by "input", "expected", "metadata" a type, a JSON
    Schema, or None for the form that most cases have."""
    checks = [_check(part, form, cases) for part, form in forms.items()]
    return [
        Problem(places.unit, number, f"does not fit: {reason}", case.id)
        for case, number in zip(cases, places.numbers, strict=True)
        for check in checks
        for reason in check(case)
    ]


def _check(part: str, form: Any, cases: Sequence[Case]) -> Any:
    if form is not None:
        return _Form(part, form)
    return _Fields(cases) if part == "metadata" else _Kind(part, cases)


class _Form:
    """A type or a JSON Schema that a part of each case has to fit."""

    def __init__(self, part: str, form: Any) -> None:
        self._part = part
        is_struct = isinstance(form, type) and issubclass(form, msgspec.Struct)
        self._codec = codec_of(form) if is_struct else None
        self._form = form

    def __call__(self, case: Case) -> Iterator[str]:
        for value in _values(self._part, case):
            for error in self._errors(value):
                yield f"{self._part}: {error}"

    def _errors(self, value: Any) -> list[str]:
        if self._codec is None:
            return schema_errors(value, self._form, parse=False)
        try:
            self._codec.validate(value)
        except Unfit as error:
            return [str(error).rstrip(".")]
        return []


class _Kind:
    """The kind of value that a part is in most cases, and of objects the keys that most have."""

    def __init__(self, part: str, cases: Sequence[Case]) -> None:
        self._part = part
        kinds: Counter[str] = Counter()
        keys: Counter[frozenset[str]] = Counter()
        for case in cases:
            for value in _values(part, case):
                kinds[_kind(value)] += 1
                if isinstance(value, Mapping):
                    keys[frozenset(value)] += 1
        self._usual = _most(kinds) or ""
        self._keys = _most(keys) or frozenset()

    def __call__(self, case: Case) -> Iterator[str]:
        for value in _values(self._part, case):
            kind = _kind(value)
            if kind != self._usual:
                yield f"{self._part}: it is {kind}, and in most cases {self._usual}"
            elif isinstance(value, Mapping):
                for key in sorted(self._keys - value.keys()):
                    yield f"{self._part}: it has no '{key}', as most have"
            elif self._part == "input" and isinstance(value, str) and not value.strip():
                yield "input: it is blank"


class _Fields:
    """The kind of value that each metadata field has in most of the cases that have it."""

    def __init__(self, cases: Sequence[Case]) -> None:
        kinds: dict[str, Counter[str]] = {}
        for case in cases:
            for name, value in case.metadata.items():
                if value is not None:
                    kinds.setdefault(name, Counter())[_kind(value)] += 1
        self._usual = {name: _most(counts) for name, counts in kinds.items()}

    def __call__(self, case: Case) -> Iterator[str]:
        for name, value in case.metadata.items():
            if name in _OF_SCORERS and isinstance(value, str | list | tuple | Mapping):
                continue
            if value is not None and (kind := _kind(value)) != (usual := self._usual[name]):
                yield f"metadata.{name}: it is {kind}, and in most cases {usual}"


def _values(part: str, case: Case) -> Sequence[Any]:
    value = getattr(case, part)
    if part != "expected":
        return (value,)
    if isinstance(value, Mapping) and set(value) == {"any_of"}:
        several = value["any_of"]
        return several if isinstance(several, list) else (several,)
    return () if value is None else (value,)


def _kind(value: Any) -> str:
    for kind, name in _KINDS:
        if isinstance(value, kind):
            return name
    return "nothing"


def _most(counts: Counter[Any]) -> Any:
    """What there is most of; of several, the one that came first."""
    return max(counts, key=lambda each: counts[each]) if counts else None


_OF_SCORERS = frozenset({"relevant", "citations", "tools", "sources"})
"""What scorers read in more than one form: one of them, a list, none at all, grades by name."""
_KINDS = (
    (bool, "true or false"),
    (int | float, "a number"),
    (str, "a text"),
    (Mapping, "an object"),
    (list | tuple, "a list"),
)
