"""What a filter says, as frozen values, and its way back to text. The language: `filters`."""

from __future__ import annotations

import datetime

import msgspec

Value = str | int | float | bool | datetime.date


class Compare(msgspec.Struct, frozen=True):
    """`field operator value`; the operator is one of = != < <= > >=."""

    field: str
    operator: str
    value: Value


class In(msgspec.Struct, frozen=True):
    """`field in (values)`, all of one kind."""

    field: str
    values: tuple[Value, ...]


class Contains(msgspec.Struct, frozen=True):
    """`field contains "text"`."""

    field: str
    text: str


class IsNull(msgspec.Struct, frozen=True):
    """`field is null`."""

    field: str


class Not(msgspec.Struct, frozen=True):
    """`not term`."""

    term: Expression


class And(msgspec.Struct, frozen=True):
    """`term and term ...`, two or more."""

    terms: tuple[Expression, ...]


class Or(msgspec.Struct, frozen=True):
    """`term or term ...`, two or more."""

    terms: tuple[Expression, ...]


Expression = Compare | In | Contains | IsNull | Not | And | Or


def written(expression: Expression) -> str:
    """The filter as text that parses to an equal expression."""
    match expression:
        case Compare(field, operator, value):
            return f"{field} {operator} {_literal(value)}"
        case In(field, values):
            return f"{field} in ({', '.join(map(_literal, values))})"
        case Contains(field, text):
            return f"{field} contains {_literal(text)}"
        case IsNull(field):
            return f"{field} is null"
        case Not(term):
            return f"not {_inner(term)}"
        case And(terms):
            return " and ".join(map(_inner, terms))
        case Or(terms):
            return " or ".join(map(_inner, terms))


def _inner(term: Expression) -> str:
    return f"({written(term)})" if isinstance(term, And | Or) else written(term)


def _literal(value: Value) -> str:
    if isinstance(value, str):
        return '"' + "".join(_ESCAPED.get(character, character) for character in value) + '"'
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime.date) else repr(value)


_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
