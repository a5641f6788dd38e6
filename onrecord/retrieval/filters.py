"""Filters by metadata: a small expression language, read safely and turned into SQL.

    status = "Final" and created >= 2020-01-01
    topic in ("typing", "packaging") and not title contains 'draft'
    (year > 2019 or year is null) and tags contains "python"

    expression  =  term ("or" term)*
    term        =  factor ("and" factor)*
    factor      =  "not" factor  |  "(" expression ")"  |  test
    test        =  field ("=" | "!=" | "<" | "<=" | ">" | ">=") value
                |  field ["not"] "in" "(" value ("," value)* ")"
                |  field ["not"] "contains" text
                |  field "is" ["not"] "null"
    value       =  text in single or double quotes  |  number  |  date YYYY-MM-DD  |  true  |  false

What it means:
- Fields are the keys of a document's metadata, and `id` and `title`. Case does not matter in names
and words. - A test of a field that a document lacks, or that holds another kind of value, is
neither true nor false, as in
  SQL: `status != "Final"` and `not status = "Final"` find only documents that have a status. Ask
  for the others with `status is null`, which is also true where the field holds a null.
- Text compares by code points, upper case before lower. Numbers compare by value. Booleans know
only = and !=. - A date compares with the day that an ISO 8601 text begins with: `created <=
2020-01-01` holds for
  "2020-01-01T18:30:00Z". A text that begins with no date is another kind of value.
- `contains` finds a text in a list, exactly, or in a text, there ignoring the case of ASCII
letters.
"""

from __future__ import annotations

import datetime
import difflib
import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Literal, NoReturn

import msgspec

from onrecord.errors import FilterError
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

Kind = Literal["text", "number", "boolean", "date"]
Fields = Mapping[str, Collection[str]]


def parse(text: str, fields: Fields | None = None) -> Expression:
    """Read a filter.

    `fields` maps each field that exists to the types of its values, as SQLite's `json_type` names
    them ("text", "integer", "real", "true", "false", "array", "null"): names and kinds are then
    checked too; `FIELDS_SQL` gathers them. Raises FilterError, whose message points at the column.
    """
    if len(text) > LONGEST:
        raise FilterError(
            f"the filter has {len(text):,} characters, and {LONGEST:,} are read at most",
            cure="Shorten it, or use several searches",
        )
    return _Parser(text, fields).whole()


class _Token(msgspec.Struct, frozen=True):
    """A word of the filter: what sort, its characters, and the column of the first, from 0."""

    sort: str
    text: str
    at: int


class _Parser:
    """Recursive descent, one method a rule of the grammar."""

    def __init__(self, text: str, fields: Fields | None) -> None:
        self._text, self._fields = text, fields
        self._tokens = list(self._read())
        self._next = self._depth = 0

    def whole(self) -> Expression:
        expression = self._expression()
        if self._token.sort != "end":
            self._fail("expected `and`, `or` or the end", self._token.at)
        return expression

    def _expression(self) -> Expression:
        terms = [self._term()]
        while self._took("or"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _term(self) -> Expression:
        factors = [self._factor()]
        while self._took("and"):
            factors.append(self._factor())
        return factors[0] if len(factors) == 1 else And(tuple(factors))

    def _factor(self) -> Expression:
        opening = self._token
        if not (self._took("not") or self._took("(")):
            return self._test()
        self._depth += 1
        if self._depth > DEEPEST:
            self._fail(f"more than {DEEPEST} levels of parentheses and `not`", opening.at)
        factor: Expression
        if opening.text == "(":
            factor = self._expression()
            self._expect(")", "expected `and`, `or` or `)`")
        else:
            factor = Not(self._factor())
        self._depth -= 1
        return factor

    def _test(self) -> Expression:
        field = self._field()
        if self._took("is"):
            negated = self._took("not")
            self._expect("null", "expected `null`")
            return Not(IsNull(field)) if negated else IsNull(field)
        if self._took("not"):
            return Not(self._membership(field))
        if self._token.sort == "operator":
            return self._comparison(field)
        return self._membership(field)

    def _comparison(self, field: str) -> Expression:
        operator, at = self._advance().text, self._token.at
        if self._token.text.lower() == "null":
            cure = f"{field} is {'not ' if operator == '!=' else ''}null"
            self._fail("nothing compares with null", at, f"Write `{cure}`")
        value = self._value(field)
        if isinstance(value, bool) and operator not in ("=", "!="):
            self._fail("true and false have no order", at, "Use = or !=")
        return Compare(field, operator, value)

    def _membership(self, field: str) -> Expression:
        if self._took("contains"):
            return Contains(field, self._contained(field))
        self._expect("in", "expected an operator (= != < <= > >= in contains is)")
        self._expect("(", "expected `(` and a list of values")
        at = self._token.at
        values = [self._value(field)]
        while self._took(","):
            at = self._token.at
            values.append(self._value(field))
            if _kind(values[-1]) != _kind(values[0]):
                self._fail(f"a list of {_PLURAL[_kind(values[0])]} holds only those", at)
        self._expect(")", "expected `,` or `)`")
        return In(field, tuple(values))

    def _contained(self, field: str) -> str:
        token = self._token
        if token.sort != "text":
            self._fail("expected a text in quotes", token.at)
        kinds = self._kinds(field)
        if kinds and not kinds & {"text", "list"}:
            self._fail(f"`{field}` holds {_listed(kinds)}, which contain no text", token.at)
        return self._unquoted(self._advance())

    def _field(self) -> str:
        token = self._token
        if token.sort != "name" or token.text.lower() in _WORDS:
            self._fail("expected the name of a field", token.at)
        name = self._advance().text.lower()
        if self._fields is not None and name not in (known := {*self._fields, *_BUILT_IN}):
            close = difflib.get_close_matches(name, sorted(known), n=3)
            cure = f"Did you mean {_either(close)}?" if close else f"There are: {_some(known)}"
            self._fail(f"there is no field `{name}`", token.at, cure)
        return name

    def _value(self, field: str) -> Value:
        token = self._token
        value = self._read_value()
        kind, kinds = _kind(value), self._kinds(field)
        if kinds and ("text" if kind == "date" else kind) not in kinds:
            cure = "Use `contains`" if kinds == {"list"} else ""
            what = f"`{field}` holds {_listed(kinds)}, and this is a {kind}"
            self._fail(what, token.at, cure)
        return value

    def _read_value(self) -> Value:
        token = self._token
        if token.sort == "text":
            return self._unquoted(self._advance())
        if token.sort == "date":
            try:
                return datetime.date.fromisoformat(self._advance().text)
            except ValueError:
                self._fail("there is no such day", token.at)
        if token.sort == "number":
            return self._number(self._advance())
        if token.text.lower() in ("true", "false"):
            return self._advance().text.lower() == "true"
        cure = "Put a text in quotes" if token.sort == "name" else ""
        self._fail("expected a value (text in quotes, number, date, true, false)", token.at, cure)

    def _number(self, token: _Token) -> int | float:
        if token.text.lstrip("+-").isdigit() and abs(int(token.text)) < 2**63:
            return int(token.text)
        number = float(token.text)
        if not math.isfinite(number):
            self._fail("this number is too large", token.at)
        return number

    def _unquoted(self, token: _Token) -> str:
        def meant(escape: re.Match[str]) -> str:
            character = _ESCAPES.get(escape[1])
            if character is None:
                at = token.at + 1 + escape.start()
                self._fail(f"unknown escape \\{escape[1]}", at, "Write \\\\ for a backslash")
            return character

        return re.sub(r"\\(.)", meant, token.text[1:-1], flags=re.DOTALL)

    def _kinds(self, field: str) -> set[str]:
        """The kinds of values that a field is known to hold; empty when nothing is known."""
        if field in _BUILT_IN:
            return {"text"}
        types = self._fields.get(field, ()) if self._fields is not None else ()
        return {_JSON_KINDS[type] for type in types if type in _JSON_KINDS}

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _advance(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _took(self, word: str) -> bool:
        if self._token.sort in ("name", "mark") and self._token.text.lower() == word:
            self._next += 1
            return True
        return False

    def _expect(self, word: str, otherwise: str) -> None:
        if not self._took(word):
            self._fail(otherwise, self._token.at)

    def _read(self) -> Iterator[_Token]:
        at = 0
        while at < len(self._text):
            found = _TOKEN.match(self._text, at)
            if found is None or found.lastgroup is None:
                self._unreadable(at)
            if found.lastgroup != "blank":
                yield _Token(found.lastgroup, found.group(), at)
            at = found.end()
        yield _Token("end", "", at)

    def _unreadable(self, at: int) -> NoReturn:
        character = self._text[at]
        if character in "\"'":
            self._fail("this text has no closing quote", at)
        if character in "0123456789":
            cure = "Write a date as YYYY-MM-DD, and a moment as text in quotes"
            self._fail("neither a number nor a date", at, cure)
        wrong = next((wrong for wrong in _CURES if self._text.startswith(wrong, at)), "")
        shown = character if character.isprintable() else f"U+{ord(character):04X}"
        self._fail(f"unexpected {wrong or shown}", at, _CURES.get(wrong, ""))

    def _fail(self, what: str, at: int, cure: str = "") -> NoReturn:
        start = max(0, at - _SHOWN)
        line = self._text[start : at + _SHOWN]
        line = "".join(each if each.isprintable() else "?" for each in re.sub(r"\s", " ", line))
        pointer = f"\n    {line}\n    {' ' * (at - start)}^"
        where = f"column {at + 1} of the filter"
        raise FilterError(what, where=where, cure=cure + pointer)


def _kind(value: Value) -> Kind:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "boolean"
    return "date" if isinstance(value, datetime.date) else "number"


def _listed(kinds: set[str]) -> str:
    return " and ".join(_PLURAL[kind] for kind in sorted(kinds))


def _either(names: list[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def _some(names: set[str]) -> str:
    rest = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(sorted(names)[:_MOST_NAMES]) + rest


LONGEST, DEEPEST = 4_000, 50

# Every field there is with the types of its values: rows (key, type), for `parse`.
FIELDS_SQL = (
    "SELECT DISTINCT field.key, field.type FROM document, json_each(document.metadata) AS field"
)

_BUILT_IN = ("id", "title")
_WORDS = frozenset({"and", "or", "not", "in", "contains", "is", "null", "true", "false"})
_JSON_KINDS = {
    "text": "text",
    "integer": "number",
    "real": "number",
    "true": "boolean",
    "false": "boolean",
    "array": "list",
}
_PLURAL = {
    "text": "text",
    "number": "numbers",
    "boolean": "true and false",
    "date": "dates",
    "list": "lists",
}
# Neither NUL nor half a surrogate pair can be stored or compared in SQLite; both stop the
# tokenizer.
_TOKEN = re.compile(
    r"""(?P<blank>\s+)
    | (?P<text>"(?:[^"\\\0\ud800-\udfff]|\\[^\0\ud800-\udfff])*"
              |'(?:[^'\\\0\ud800-\udfff]|\\[^\0\ud800-\udfff])*')
    | (?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}(?![\w.:-]))
    | (?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.:-]))
    | (?P<name>[A-Za-z_][A-Za-z0-9_.]*)
    | (?P<operator>!=|<=|>=|<(?!>)|>|=(?!=))
    | (?P<mark>[(),])""",
    re.VERBOSE,
)
_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
_CURES = {
    "==": "Write = for equality",
    "<>": "Write != for inequality",
    "&&": "Write `and`",
    "||": "Write `or`",
    "!": "Write `not`",
    "“": 'Use straight quotes: "text"',
    "”": 'Use straight quotes: "text"',
    "‘": "Use straight quotes: 'text'",
    "’": "Use straight quotes: 'text'",
    "`": "Names need no quotes, texts take \" or '",
}
_SHOWN, _MOST_NAMES = 40, 12
