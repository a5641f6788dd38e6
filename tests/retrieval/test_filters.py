"""Filters: what is read, what it means, and what is refused with a finger on the column."""

import datetime
import json
import operator
import re
import sqlite3

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from onrecord.errors import FilterError
from onrecord.retrieval.filter_sql import to_sql
from onrecord.retrieval.filter_tree import And, Compare, Contains, In, IsNull, Not, Or, written
from onrecord.retrieval.filters import DEEPEST, FIELDS_SQL, LONGEST, parse

FIELDS = {
    "status": {"text", "null"},
    "created": {"text"},
    "year": {"integer", "real"},
    "tags": {"array"},
    "draft": {"true", "false"},
}


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("year = 2020", Compare("year", "=", 2020)),
        ("Year >= -2.5e1", Compare("year", ">=", -25.0)),
        ("created <2020-01-31", Compare("created", "<", datetime.date(2020, 1, 31))),
        ("draft != TRUE", Compare("draft", "!=", True)),
        (r"status = 'it\'s \"x\"\n'", Compare("status", "=", 'it\'s "x"\n')),
        ("year in (1, 2.5)", In("year", (1, 2.5))),
        ("year NOT IN (1)", Not(In("year", (1,)))),
        ('tags contains "a"', Contains("tags", "a")),
        ('not tags not contains "a"', Not(Not(Contains("tags", "a")))),
        ("status is null", IsNull("status")),
        ("status is not null", Not(IsNull("status"))),
        (
            "year=1 or year=2 and not year=3",
            Or(
                (
                    Compare("year", "=", 1),
                    And((Compare("year", "=", 2), Not(Compare("year", "=", 3)))),
                )
            ),
        ),
        (
            "(year=1 or year=2) and year=3",
            And(
                (
                    Or((Compare("year", "=", 1), Compare("year", "=", 2))),
                    Compare("year", "=", 3),
                )
            ),
        ),
        ("id = 'x'", Compare("id", "=", "x")),
    ],
)
def test_parse(text, expression):
    assert parse(text, FIELDS) == expression


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "expected the name of a field"),
        ("status =", 9, "expected a value"),
        ("status = Final", 10, "Put a text in quotes"),
        ("status = null", 10, "Write `status is null`"),
        ("status != null", 11, "Write `status is not null`"),
        ("status == 'x'", 8, "Write = for equality"),
        ("status <> 'x'", 8, "Write != for inequality"),
        ("status = “Final”", 10, "straight quotes"),
        ("status = 'Final", 10, "no closing quote"),
        (r"status = 'a\q'", 12, r"unknown escape \q"),
        ("statsu = 'Final'", 1, "Did you mean `status`"),
        ("zzz = 1", 1, "There are: created, draft, id, status, tags, title, year"),
        ("year = '2020'", 8, "`year` holds numbers, and this is a text"),
        ("status = 3", 10, "holds text, and this is a number"),
        ("tags = 'a'", 8, "Use `contains`"),
        ("year contains 'a'", 15, "contain no text"),
        ("title > 3", 9, "holds text"),
        ("draft < true", 9, "no order"),
        ("year in ()", 10, "expected a value"),
        ("year in (1, 'a')", 13, "and this is a text"),
        ("created = 2020-02-30", 11, "no such day"),
        ("created = 2020-01-01T10:00", 11, "in quotes"),
        ("year = 1e999", 8, "too large"),
        ("year = 1 year = 2", 10, "expected `and`, `or` or the end"),
        ("(year = 1", 10, "`)`"),
        ("year = 1)", 9, "expected `and`"),
        ("year = 1; drop table document", 9, "unexpected ;"),
        ("status = 'a\0b'", 10, "no closing quote"),
        ("year is 3", 9, "expected `null`"),
        ("year like 'a'", 6, "expected an operator"),
        ("and = 1", 1, "expected the name of a field"),
        ("(" * 60 + "year = 1" + ")" * 60, DEEPEST + 1, "levels"),
        ("not " * 60 + "year = 1", 4 * DEEPEST + 1, "levels"),
    ],
)
def test_errors_point_at_the_column(text, column, words):
    with pytest.raises(FilterError) as caught:
        parse(text, FIELDS)
    message = str(caught.value)
    assert f"(column {column} of the filter)" in message
    assert words in message
    line, caret = message.splitlines()[-2:]
    pointed = len(caret) - 1
    assert caret[pointed] == "^"
    rest = text[column - 1 : column + 5].replace("\0", "?")
    assert line[pointed:].startswith(rest.rstrip() if rest else "")


def test_too_long():
    with pytest.raises(FilterError, match="characters"):
        parse("year = " + "1" * LONGEST)


def test_kinds_of_a_list_without_known_fields():
    with pytest.raises(FilterError, match="a list of numbers holds only those"):
        parse("year in (1, 'a')")


# --- against an evaluation in Python ------------------------------------------------------------

NAMES = st.sampled_from(["status", "created", "year", "tags", "draft", "a.b", "id", "title"])
TEXTS = st.sampled_from(["Final", "final", "Draft", "", "é", "2020-01-01", "2020", "\U0001f600"])
TEXTS |= st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=4)
NUMBERS = st.integers(-3, 3) | st.sampled_from([2020, 2**62, -0.5, 2.0, 1e300])
DAYS = st.dates(datetime.date(2019, 12, 30), datetime.date(2020, 1, 3))
VALUES = TEXTS | NUMBERS | DAYS | st.booleans()
ORDERS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


def _testable(test):
    return test.operator in ("=", "!=") or not isinstance(test.value, bool)


def _readable(test):
    return test.field not in ("id", "title") or isinstance(
        test.values[0] if isinstance(test, In) else test.value, str | datetime.date
    )


LEAVES = (
    st.builds(Compare, NAMES, ORDERS, VALUES).filter(_testable).filter(_readable)
    | st.one_of(
        st.builds(In, NAMES, st.lists(kind, min_size=1, max_size=3).map(tuple))
        for kind in (TEXTS, NUMBERS, DAYS, st.booleans())
    ).filter(_readable)
    | st.builds(Contains, NAMES, TEXTS)
    | st.builds(IsNull, NAMES)
)


def _compound(inner):
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, inner) | st.builds(And, several) | st.builds(Or, several)


EXPRESSIONS = st.recursive(LEAVES, _compound, max_leaves=8)
MOMENTS = DAYS.map(str) | DAYS.map(lambda day: f"{day}T18:30:00Z")
METADATA = st.dictionaries(
    NAMES.filter(lambda name: name not in ("id", "title")),
    TEXTS | MOMENTS | NUMBERS | st.booleans() | st.none() | st.lists(TEXTS, max_size=3),
)
DOCUMENTS = st.lists(st.tuples(TEXTS, METADATA), min_size=1, max_size=4)


def oracle(expression, document):
    """Kleene's three values: True, False, None."""
    match expression:
        case Not(term):
            value = oracle(term, document)
            return None if value is None else not value
        case And(terms):
            values = [oracle(term, document) for term in terms]
            return False if False in values else None if None in values else True
        case Or(terms):
            values = [oracle(term, document) for term in terms]
            return True if True in values else None if None in values else False
        case IsNull(field):
            return document.get(field) is None
        case Contains(field, text):
            held = document.get(field)
            if isinstance(held, list):
                return text in held
            return _ascii_lower(text) in _ascii_lower(held) if isinstance(held, str) else None
        case In(field, values):
            tests = [_compared(document.get(field), "=", value) for value in values]
            return None if None in tests else any(tests)
        case Compare(field, order, value):
            return _compared(document.get(field), order, value)


def _compared(held, order, value):
    if isinstance(value, datetime.date):
        if not (isinstance(held, str) and re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", held)):
            return None
        held, value = held[:10], value.isoformat()
    same = (isinstance(held, str) and isinstance(value, str)) or (
        isinstance(held, int | float)
        and isinstance(value, int | float)
        and isinstance(held, bool) == isinstance(value, bool)
    )
    return _ORDERS[order](held, value) if same else None


def _ascii_lower(text):
    return re.sub("[A-Z]", lambda match: match.group().lower(), text)


_ORDERS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def table(documents):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE document(id TEXT, title TEXT, metadata TEXT)")
    rows = [(f"{at}", title, json.dumps(fields)) for at, (title, fields) in enumerate(documents)]
    connection.executemany("INSERT INTO document VALUES (?, ?, ?)", rows)
    return connection


def selected(connection, expression):
    sql, parameters = to_sql(expression)
    rows = connection.execute(f"SELECT id FROM document WHERE {sql}", parameters)
    return {int(id) for (id,) in rows}


@given(EXPRESSIONS)
def test_written_parses_to_the_same(expression):
    assert parse(written(expression)) == expression


@settings(max_examples=300)
@given(EXPRESSIONS, DOCUMENTS)
def test_sql_means_what_the_oracle_means(expression, documents):
    connection = table(documents)
    expected = {
        at
        for at, (title, fields) in enumerate(documents)
        if oracle(expression, {**fields, "id": f"{at}", "title": title}) is True
    }
    assert selected(connection, expression) == expected
    connection.close()


PIECES = st.sampled_from(
    "year status = != < in not and or ( ) , 'a' \" 1 1.5 2020-01-01 null is contains true"
    " \\ ; --".split()
)


@settings(max_examples=500)
@given(st.text() | st.lists(PIECES, max_size=12).map(" ".join))
@example("\ud800")
@example("status = '\ud800'")
@example("'" * 2000)
@example("\\" * 2000)
def test_any_text_is_read_or_refused(text):
    try:
        expression = parse(text)
    except FilterError as error:
        assert str(error)
        return
    assert parse(written(expression)) == expression
    connection = table([("a", {"year": 1})])
    selected(connection, expression)
    connection.close()


@pytest.mark.parametrize("value", ["'; DROP TABLE document; --", '" OR 1=1 --', "x' OR 'a'='a"])
def test_nothing_written_reaches_the_sql(value):
    for expression in (
        Compare("status", "=", value),
        In("status", (value,)),
        Contains("status", value),
    ):
        sql, parameters = to_sql(parse(written(expression)))
        assert value not in sql and value in parameters
        connection = table([("a", {"status": "Final"}), ("b", {"status": value})])
        assert selected(connection, expression) == {1}
        assert connection.execute("SELECT count(*) FROM document").fetchone() == (2,)


def test_the_longest_filters_run():
    connection = table([("a", {"a": 2})])
    for word in ("or", "and"):
        terms = LONGEST // len(f"a = 2 {word} ") - 1
        assert selected(connection, parse(f" {word} ".join(["a = 2"] * terms))) == {0}
    nested = "(" * (DEEPEST // 2) + "not " * (DEEPEST // 2) + "a = 1" + ")" * (DEEPEST // 2)
    assert selected(connection, parse(nested)) in (set(), {0})
    many = parse("a in (" + ",".join(["2"] * (LONGEST // 2 - 10)) + ")")
    assert selected(connection, many) == {0}


def test_fields_are_gathered_from_the_documents():
    connection = table([("a", {"year": 1, "tags": ["x"]}), ("b", {"year": 2.5, "draft": None})])
    fields = {}
    for key, type in connection.execute(FIELDS_SQL):
        fields.setdefault(key, set()).add(type)
    assert fields == {"year": {"integer", "real"}, "tags": {"array"}, "draft": {"null"}}
    assert selected(connection, parse("year > 1 and draft is null", fields)) == {1}
