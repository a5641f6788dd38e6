"""Filters as SQL: one condition over the table `document`, and everything the user wrote as
parameters.

Only the words in this file reach the SQL text; names of fields travel as JSON paths, in
parameters. The condition is three-valued as `onrecord.retrieval.filters` describes: NULL where a
test does not apply.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from onrecord.retrieval.filter_tree import (
    And,
    Compare,
    Contains,
    Expression,
    In,
    IsNull,
    Not,
    Or,
    Value,
)

Parameter = str | int | float
Condition = tuple[str, list[Parameter]]


def to_sql(expression: Expression) -> Condition:
    """A condition for WHERE over `document(id TEXT, title TEXT, metadata TEXT)`, and its
    parameters.

    The table may not go by another name in the query; `metadata` holds a JSON object.
    """
    match expression:
        case Compare(field, operator, value):
            return _test(field, value, f"{_OPERATORS[operator]} ?", [_parameter(value)])
        case In(field, values):
            marks = ", ".join("?" * len(values))
            return _test(field, values[0], f"IN ({marks})", list(map(_parameter, values)))
        case Contains(field, text):
            return _contains(field, text)
        case IsNull(field):
            return _is_null(field)
        case Not(term):
            sql, parameters = to_sql(term)
            return f"NOT ({sql})", parameters
        case And(terms):
            return _joined(" AND ", map(to_sql, terms))
        case Or(terms):
            return _joined(" OR ", map(to_sql, terms))


def _test(field: str, value: Value, test: str, values: list[Parameter]) -> Condition:
    """`field <test>` where the field holds the kind of value it is tested against, else NULL."""
    path = _path(field)
    is_text = isinstance(value, str | datetime.date)
    held_by: list[Parameter] = []
    kind_by: list[Parameter] = []
    if field in _COLUMNS:
        # A column is text always; a number would be turned into text by its affinity.
        held, kind = _COLUMNS[field], "1" if is_text else "0"
    else:
        held_by, kind_by = [path], [path]
        held = "json_extract(document.metadata, ?)"
        kind = f"json_type(document.metadata, ?) IN ({_types(value)})"
    if isinstance(value, datetime.date):
        kind, kind_by = f"{kind} AND {held} GLOB '{_DAY}'", [*kind_by, *held_by]
        held = f"substr({held}, 1, 10)"
    return f"CASE WHEN {kind} THEN {held} {test} END", [*kind_by, *held_by, *values]


def _types(value: Value) -> str:
    if isinstance(value, str | datetime.date):
        return "'text'"
    return "'true', 'false'" if isinstance(value, bool) else "'integer', 'real'"


def _contains(field: str, text: str) -> Condition:
    if field in _COLUMNS:
        return f"instr(lower({_COLUMNS[field]}), lower(?)) > 0", [text]
    path = _path(field)
    sql = (
        "CASE json_type(document.metadata, ?)"
        " WHEN 'text' THEN instr(lower(json_extract(document.metadata, ?)), lower(?)) > 0"
        " WHEN 'array' THEN EXISTS (SELECT 1 FROM json_each(document.metadata, ?) AS item"
        " WHERE item.type = 'text' AND item.value = ?) END"
    )
    return sql, [path, path, text, path, text]


def _is_null(field: str) -> Condition:
    if field in _COLUMNS:
        return f"{_COLUMNS[field]} IS NULL", []
    return "json_extract(document.metadata, ?) IS NULL", [_path(field)]


def _joined(word: str, conditions: Iterator[Condition]) -> Condition:
    sqls, parameters = zip(*conditions, strict=True)
    return word.join(f"({sql})" for sql in sqls), [each for some in parameters for each in some]


def _path(field: str) -> str:
    # Names hold letters, digits, "_" and "."; quoted, a dot is a character of the key and no step.
    return f'$."{field}"'


def _parameter(value: Value) -> Parameter:
    return value.isoformat() if isinstance(value, datetime.date) else value


_COLUMNS = {"id": "document.id", "title": "document.title"}
_OPERATORS = {operator: operator for operator in ("=", "!=", "<", "<=", ">", ">=")}
_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
