"""Half an answer as half a value: what is shown while the rest is being written."""

from __future__ import annotations

import contextlib
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.errors import ModelUnavailableError
from onrecord.messages import Cited, Partial, Passage, Result, TextDelta
from onrecord.models.calling import complete
from onrecord.models.scripted import Scripted
from onrecord.programs.flow import flow
from onrecord.prompts.partial import Growing, half_json
from onrecord.prompts.prompt import prompt
from onrecord.prompts.structured import NOTHING


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONRECORD_RECORD", "false")


def partials(stream):
    return [event.value for event in stream if isinstance(event, Partial)]


@prompt
async def listed(text: str) -> list[str]:
    """List them."""


@prompt
async def cited(text: str, passages: list[Passage]) -> Cited[str]:
    """Answer."""


@prompt
async def mapped(text: str) -> dict[str, int]:
    """Count them."""


@prompt(reasoning=True)
async def considered(text: str) -> str:
    """Answer."""


def test_the_value_grows_and_its_wrapping_is_not_shown():
    model = Scripted('{"value": ["one two", "three"]}')
    events = list(listed.using(model).stream("x"))
    assert [event.value for event in events if isinstance(event, Partial)] == [
        ["one"],
        ["one two"],
        ["one two", "three"],
    ]
    assert "".join(each.text for each in events if isinstance(each, TextDelta)).startswith('{"val')
    assert events[-1] == Result(["one two", "three"])


def test_of_a_cited_answer_the_answer_grows():
    wire = '{"answer": "25 days off", "quotes": ["25"], "refused": false, "reason": ""}'
    passages = [Passage("a", "A", "You have 25 days.", 0, 17, 1.0)]
    stream = cited.using(Scripted(wire)).stream("x", passages)
    # What ends in a number may go on; a string that does is shown with the next words.
    assert partials(stream)[-2:] == ["25 days", "25 days off"]


def test_behind_reasoning_only_the_answer_grows():
    model = Scripted("<reasoning>I think so.</reasoning> It is so.")
    assert partials(considered.using(model).stream("x")) == ["It", "It is", "It is so."]


def test_an_unfinished_number_is_not_shown():
    assert partials(mapped.using(Scripted('{"a": 12 , "b": 3}')).stream("x")) == [
        {},
        {"a": 12},
        {"a": 12, "b": 3},
    ]


def test_plain_text_has_no_partials():
    @prompt
    async def plain(text: str) -> str:
        """Say."""

    assert partials(plain.using(Scripted("one two")).stream("x")) == []


def test_an_answer_that_is_repaired_grows_anew():
    model = Scripted(['{"value": ["a", 3]}', '{"value": ["a", "b"]}'])
    assert partials(listed.using(model).stream("x"))[-1] == ["a", "b"]


def test_whoever_streams_the_flow_around_it_hears_them():
    @flow
    async def outer(text: str) -> list[str]:
        return await listed.using(Scripted('{"value": ["a", "b"]}'))(text)

    assert partials(outer.stream("x")) == [["a"], ["a", "b"]]


class Breaking(Scripted):
    """Fails behind its last words."""

    async def stream(self, request):
        async for event in super().stream(request):
            if isinstance(event, TextDelta):
                yield event
        raise ModelUnavailableError("the server ended its answer in the middle")


class Second:
    """A wrapper that asks the next model when one fails."""

    name, version = "second", "1"

    def __init__(self, *wrapped):
        self.wrapped = wrapped

    async def stream(self, request):
        for model in self.wrapped:
            with contextlib.suppress(ModelUnavailableError):
                yield await complete(model, request)
                return


def test_the_words_of_a_failed_attempt_are_no_part_of_the_next():
    model = Second(Breaking('{"value": ["a", "b'), Scripted('{"value": ["c", "d"]}'))
    assert partials(listed.using(model).stream("x")) == [["a"], ["a", "b"], ["c"], ["c", "d"]]


@pytest.mark.parametrize(
    ("text", "half"),
    [
        ("", NOTHING),
        ("Sure:", NOTHING),
        ('Sure:\n```json\n{"a": "b', {"a": "b"}),
        ('<think>maybe {"x": 0}', NOTHING),
        ('<think>maybe {"x": 0}</think>{"x": 1,', {"x": 1}),
        ('In {braces}: {"x": [1, 2', {"x": [1]}),
        ('{"a": tru', {}),
        ('{"a": -1.', {}),
        ('{"a": "room 1', {"a": "room "}),
        ('{"a": {"b": [{"c": "d"', {"a": {"b": [{"c": "d"}]}}),
        ('{"a": 1} and so on {', {"a": 1}),
        ('{"a": NaN', NOTHING),
        ('{"a": "\\ud8', {"a": ""}),
        ("[1, 2", NOTHING),
        ("{" * 5_000, NOTHING),
        ('{"a":' * 5_000, NOTHING),
        ('{"a": "\ud800', {"a": "?"}),
    ],
)
def test_half_an_object(text, half):
    assert half_json(text) == half


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\{}1 é', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


def is_part(half, whole):
    """Whether every sign of a half value stands in the whole one, at the same place."""
    if isinstance(whole, dict) and isinstance(half, dict):
        return all(key in whole and is_part(each, whole[key]) for key, each in half.items())
    if isinstance(whole, list) and isinstance(half, list):
        return len(half) <= len(whole) and all(map(is_part, half, whole))
    if isinstance(whole, str) and isinstance(half, str):
        return whole.startswith(half)
    return type(half) is type(whole) and half == whole


@given(st.dictionaries(st.text("abc", max_size=3), JSON, max_size=5), st.data())
@settings(deadline=None, max_examples=150)
def test_every_half_is_a_part_of_the_whole(value, data):
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    for end in range(1, len(text) + 1):
        assert is_part(half_json(text[:end]), value), text[:end]
    assert half_json(text) == value


@given(
    st.dictionaries(st.text("abc", max_size=3), JSON, max_size=5),
    st.lists(st.integers(1, 40), min_size=1),
)
@settings(deadline=None)
def test_however_it_is_cut_the_last_is_the_whole_and_none_comes_twice(value, sizes):
    text = json.dumps(value)
    growing = Growing(half_json, lambda found: found)
    seen, at, turn = [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        seen.append(growing.add(text[at : at + size]))
        at, turn = at + size, turn + 1
    seen.append(growing.rest())
    seen = [each for each in seen if each is not NOTHING]
    assert seen[-1] == value
    assert all(one != other for one, other in itertools.pairwise(seen))


@given(st.text('{}[]":,0a\\ \n-`tru', max_size=80) | st.text())
@settings(deadline=None)
def test_any_text_has_a_half_or_none(text):
    found = half_json(text)
    assert found is NOTHING or isinstance(found, dict)


def test_the_work_grows_with_the_length_and_not_with_its_square():
    read = []

    def half(text):
        read.append(len(text))
        return text

    growing = Growing(half, len)
    for _ in range(20_000):
        growing.add("word ")
    assert growing.rest() is NOTHING or growing._seen == 100_000
    assert sum(read) < 150 * 100_000
    assert len([each for each in read if each <= 125]) == 25
