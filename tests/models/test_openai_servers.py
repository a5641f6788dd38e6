"""Servers that answer badly, from afar, or many at once."""

import asyncio
import json

import pytest

from onrecord.errors import ModelRefusedError, ModelUnavailableError
from onrecord.messages import Completion, TextDelta, text_message
from onrecord.models.model import Request
from onrecord.models.openai.api import OpenAIModel
from tests.models.test_openai_api import (
    KEY,
    ask,
    clean_environment,
    collect,
    error_of,
    failure_of,
    words,
)
from tests.servers.model_server import reply, serving, stream

__all__ = ["clean_environment"]  # a fixture

MANY = 256


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_refused_and_the_key_stays(status):
    with serving(stream(*words("stolen"))) as other:
        there = other.url.replace("127.0.0.1", "localhost")
        there = there.replace("://", "://me:secret@") + "?token=secret"
        said = error_of(reply(status, "", Location=there), kind=ModelRefusedError)
        assert "sends the request on to another host, http://localhost" in said
        assert "secret" not in said
        assert "Set OPENAI_BASE_URL to the address that is meant" in said
        assert not other.headers
        assert "/[key]/" in error_of(reply(status, "", Location=f"{other.url}/{KEY}/x"))
        assert failure_of(reply(status, "", Location=there))[0] is False


@pytest.mark.parametrize("there", ["http://[", "//", "", "ftp://a.example", "http://a.example:x/"])
def test_a_redirect_to_nowhere_is_an_error_like_any_other(there):
    said = error_of(reply(307, "", Location=there))
    assert "which is not followed" in said or "Invalid URL in location header" in said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply(200, "<html>", "text/html; charset=utf-8"), "a web page (text/html) and no answer"),
        (reply(200, '{"choices": []}', "text/plain"), "but text/plain without an event"),
        (reply(200, "x", ""), "but something of no content type without an event"),
        (reply(200, {"choices": []}), "an answer without any content"),
        (reply(200, {"object": "list"}), "an answer without any content"),
        (stream({"choices": []}), "an answer without any content"),
        (stream({"choices": [{}]}), "an answer without any content"),
        (stream({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}), "without any"),
        (stream({"choices": [{"message": None}]}), "an answer without any content"),
        (stream(), "an answer without any content"),
    ],
)
def test_an_answer_with_nothing_in_it_is_none(answer, said):
    error = error_of(answer, kind=ModelUnavailableError)
    assert said in error and "OPENAI_BASE_URL" in error


def test_a_model_that_says_nothing_has_answered():
    _, completion, _ = ask(stream(*words(finish="length")))
    assert (completion.text, completion.finish, completion.message.parts) == ("", "length", ())


def test_events_of_another_content_type_are_read():
    for content_type in ("text/plain", "application/octet-stream"):
        assert ask(stream(*words("x"), content_type=content_type))[1].text == "x"


def test_a_server_that_answers_in_drops_is_waited_for():
    """Each sign of life counts; the whole may take longer than the time-out."""
    drops = [{"choices": [{"delta": {"content": "x"}}]}] * 20
    _, completion, _ = ask(stream(*drops, *words(), pieces=3), timeout=5.0)
    assert completion.text == "x" * 20


class Crowd:
    """A server that says its first word only when so many ask at once, and its next word only when
    all of them have heard the first."""

    def __init__(self, many):
        self.asking = asyncio.Barrier(many)
        self.heard = asyncio.Barrier(many)

    async def __call__(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
            asked = json.loads(await reader.readexactly(length))
            name = asked["messages"][0]["content"]
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
            )
            await self.asking.wait()
            await self._say(writer, {"delta": {"content": name}})
            await self.heard.wait()
            await self._say(writer, {"delta": {"content": "!"}, "finish_reason": "stop"})
            writer.write(b"data: [DONE]\n\n")
            await writer.drain()
        finally:
            writer.close()

    async def _say(self, writer, choice):
        writer.write(b"data: %s\n\n" % json.dumps({"choices": [choice]}).encode())
        await writer.drain()


def test_so_many_streams_at_once_and_none_waits_for_another():
    async def one(model, number, first):
        events = []
        async for event in model.stream(Request((text_message("user", str(number)),))):
            events.append(event)
            if len(events) == 1:
                await first.wait()  # nobody goes on before all have their first word
        return events

    async def all_of_them():
        crowd, first = Crowd(MANY), asyncio.Barrier(MANY)
        server = await asyncio.start_server(crowd, "127.0.0.1", 0, backlog=MANY)
        async with server:
            port = server.sockets[0].getsockname()[1]
            model = OpenAIModel("m", base_url=f"http://127.0.0.1:{port}/v1", key=KEY)
            return await asyncio.gather(*(one(model, each, first) for each in range(MANY)))

    for number, events in enumerate(asyncio.run(all_of_them())):
        *deltas, completion = events
        assert deltas == [TextDelta(str(number)), TextDelta("!")]
        assert isinstance(completion, Completion) and completion.text == f"{number}!"


def test_leaving_early_and_all_at_once_leaves_nothing_open():
    async def first_only(model):
        events = model.stream(Request((text_message("user", "x"),)))
        try:
            return await anext(events)
        finally:
            await events.aclose()

    async def twice(model):
        await asyncio.gather(*(first_only(model) for _ in range(5)))
        return (await collect(model))[-1].text

    with serving(*[stream(*words("a", "b"))] * 6) as server:
        model = OpenAIModel("m", base_url=server.url, key="")
        assert asyncio.run(twice(model)) == "ab"
