"""What differs is told completely where it is short, in part where it is long, and never fails."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.records.cassettes.difference import difference, nearest
from onrecord.records.record import pack

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def request(question: str, system: str = "Be brief.", **parameters: object) -> dict[str, object]:
    messages = [{"role": "system", "text": system}, {"role": "user", "text": question}]
    return {"messages": messages, "parameters": parameters}


def test_a_change_is_told_by_its_path() -> None:
    told = difference(request("How many days?"), request("How many weeks?"))
    assert told.splitlines() == [
        "messages[1].text",
        '  recorded  "How many days?"',
        '  asked     "How many weeks?"',
    ]


def test_what_came_and_what_went() -> None:
    told = difference({"a": 1, "odd key": 2}, {"a": 1, "b": None}, labels=("before", "now"))
    assert told.splitlines() == [
        '["odd key"]',
        "  before  2",
        "  now     (not there)",
        "b",
        "  before  (not there)",
        "  now     null",
    ]


def test_an_item_put_in_first_leaves_the_rest_equal() -> None:
    one, two = {"role": "user", "text": "one"}, {"role": "user", "text": "two"}
    assert difference([one, two], ["new", one, two]).splitlines()[0] == "[0]"
    changed = difference([one, two], ["new", one, {"role": "user", "text": "three"}])
    assert "[1 -> 2].text" in changed and '"new"' in changed and '"one"' not in changed


def test_long_texts_are_compared_line_by_line() -> None:
    before = "\n".join(f"Rule {number}." for number in range(50))
    told = difference({"text": before}, {"text": before.replace("Rule 20.", "Rule twenty.")})
    assert told.splitlines() == [
        "text",
        "  --- recorded",
        "  +++ asked",
        "  @@ line 20",
        "    Rule 19.",
        "  - Rule 20.",
        "  + Rule twenty.",
        "    Rule 21.",
    ]


@pytest.mark.parametrize("separator", [" ", "\n"])
def test_the_changed_part_of_a_long_line_is_shown(separator: str) -> None:
    words = [f"word{number}" for number in range(3000)]
    asked = [*words[:2500], "CHANGED", *words[2501:]]
    told = difference(separator.join(words), separator.join(asked))
    assert "CHANGED" in told and "word2500" in told
    assert len(told) < 2000


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (1, 1.0),
        (1, True),
        ("a b", "a\u00a0b"),
        ("café", "cafe\u0301"),
        ("line\nend ", "line\nend"),
        ("one\r\ntwo", "one\ntwo"),
        ("a", "a\u200b"),
        (0.1 + 0.2, 0.3),
    ],
)
def test_what_looks_the_same_is_shown_to_differ(before: object, after: object) -> None:
    lines = difference(before, after).splitlines()
    told = {line.replace("recorded", "").replace("asked", "").strip("+- ") for line in lines}
    assert len(told) >= 3, lines


def test_a_terminal_is_safe_from_it() -> None:
    told = difference({"\x1b[2J": "\x1b[31m"}, {"a": "x\ny\x07\u202e"})
    assert all(line.isprintable() for line in told.splitlines())


def test_it_is_bounded() -> None:
    told = difference({f"k{n}": n for n in range(500)}, {f"k{n}": -n - 1 for n in range(500)})
    assert "more differences" in told and len(told.splitlines()) < 80
    text = difference("\n".join(map(str, range(5000))), "\n".join(map(str, range(5000, 0, -1))))
    assert "more lines" in text and len(text.splitlines()) < 80


@given(PLAIN, PLAIN)
def test_it_is_empty_for_equal_values_only(before: object, after: object) -> None:
    told = difference(before, after)
    one, other = (pack(json.loads(json.dumps(value))) for value in (before, after))
    assert (told == "") == (one == other)
    assert len(told.splitlines()) < 120
    assert all(line.isprintable() for line in told.split("\n"))
    told.encode()


@given(PLAIN)
def test_nothing_differs_from_its_own_json(value: object) -> None:
    assert difference(value, json.loads(json.dumps(value))) == ""


@given(st.lists(PLAIN, max_size=4), PLAIN)
def test_the_nearest_is_one_of_them(candidates: list[object], asked: object) -> None:
    at = nearest(asked, candidates)
    assert (at is None) == (not candidates)
    assert at is None or 0 <= at < len(candidates)


def test_the_nearest_shares_most() -> None:
    asked = request("How many days of leave do I have?", temperature=0.2)
    candidates = [
        request("Who approves travel?"),
        request("How many weeks of leave do I have?", temperature=0.2),
        request("How many weeks of leave do I have?", temperature=0.9),
    ]
    assert nearest(asked, candidates) == 1
    assert nearest(asked, [*candidates, asked]) == 3
    assert nearest(asked, []) is None


def test_of_equally_near_ones_the_first() -> None:
    assert nearest("a b", ["a c", "a d"]) == 0
