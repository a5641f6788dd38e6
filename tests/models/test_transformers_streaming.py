"""Tokens to words while they come: no half characters, and stop texts are never sent."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from onrecord.messages import TextDelta
from onrecord.models.transformers.batching import Job, Room
from onrecord.models.transformers.decoding import Decoding
from onrecord.models.transformers.streaming import Row, Words
from tests.models.tiny_models import tokenizer

END = 2
BPE: Tokenizer = tokenizer(64, chat=False).backend_tokenizer
TEXTS = st.text(st.sampled_from("ab é東🙂½\n שthecatsmon"), max_size=30)


def decode(tokens):
    return BPE.decode(list(tokens), skip_special_tokens=True)


def row(tokens, **asked):
    """What a row sends for these tokens: its deltas and its answer."""
    sent = []
    job = Job(
        [1], Decoding(min_tokens=asked.pop("min_tokens", 0)), asked.pop("limit", 999), LOOP, **asked
    )
    job.send = sent.append
    made = Row(job, decode, {END})
    for token in tokens:
        if made.done:
            break
        made.add(token)
    made.close()
    *deltas, answer = sent
    assert all(isinstance(delta, TextDelta) and delta.text for delta in deltas)
    assert "".join(delta.text for delta in deltas) == answer.text
    return [delta.text for delta in deltas], answer


LOOP = asyncio.new_event_loop()


@pytest.fixture(scope="module", autouse=True)
def _closed():
    yield
    LOOP.close()


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_deltas_are_the_text_and_never_half_a_character(text):
    tokens = BPE.encode(text, add_special_tokens=False).ids
    deltas, answer = row([*tokens, END])
    assert answer.text == text
    assert answer.finish == "stop"
    assert answer.tokens == len(tokens) + 1
    assert not any("\ufffd" in delta for delta in deltas)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(5, 399), max_size=30))
def test_any_tokens_come_out_as_the_tokenizer_reads_them(tokens):
    words = Words(decode)
    assert "".join([*map(words.add, tokens), words.rest()]) == decode(tokens)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.lists(st.text("thecat é🙂", min_size=1, max_size=4), max_size=3))
def test_the_answer_ends_before_the_first_stop_text(text, stops):
    tokens = BPE.encode(text, add_special_tokens=False).ids
    _, answer = row([*tokens, END], stop=tuple(stops))
    places = [place for place in map(text.find, stops) if place >= 0]
    if not places:
        assert answer.text == text
        return
    # Both may end within one token: then the one that begins first counts.
    assert text.startswith(answer.text)
    assert len(answer.text) in places
    assert not any(stop in answer.text for stop in stops)


def test_a_limit_is_a_length_and_a_forced_end_too():
    tokens = BPE.encode("the cat sat", add_special_tokens=False).ids
    _, answer = row(tokens, limit=2)
    assert (answer.finish, answer.tokens, answer.text) == ("length", 2, decode(tokens[:2]))


def test_a_half_character_at_the_end_is_shown_as_one():
    tokens = BPE.encode("🙂", add_special_tokens=False).ids
    assert len(tokens) > 1
    _, answer = row(tokens[:-1], limit=len(tokens) - 1)
    assert answer.text == "\ufffd"


def test_room_is_for_rows_tokens_and_positions():
    def job(size, limit, beams=1):
        return Job([1] * size, Decoding(num_beams=beams), limit, LOOP)

    assert Room(rows=2).holds([job(5, 5), job(9, 5)])
    assert not Room(rows=2).holds([job(5, 5)] * 3)
    assert not Room(rows=4).holds([job(5, 5, beams=3)] * 2)
    assert not Room(tokens=30).holds([job(5, 20), job(9, 5)])
    assert not Room(positions=20).holds([job(15, 5), job(5, 15)])
    assert Room(rows=1, tokens=1, positions=1).holds([job(9, 9, beams=9)])
