"""The OpenAI protocol, spoken with a real server. Nothing inside httpx is replaced."""

import asyncio
import gc
import json
import socket
import threading
import warnings
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.errors import (
    ContextLengthError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
    OnrecordError,
    UsageError,
)
from onrecord.messages import (
    Completion,
    Media,
    Message,
    Text,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
    text_message,
)
from onrecord.models import local_server
from onrecord.models.http import connections
from onrecord.models.http.events import EventDecoder
from onrecord.models.http.failures import retry_after
from onrecord.models.http.refusals import refusal
from onrecord.models.local_server import find_local_server
from onrecord.models.model import Parameters, Request
from onrecord.models.openai.answer import Answer
from onrecord.models.openai.api import OpenAIModel
from onrecord.models.openai.server import OPENAI
from onrecord.models.openai.wire import Chat
from tests.servers.model_server import failed, reply, serving, stream

KEY = "sk-test-abcdefghijklmnop"
HELLO = Request((text_message("user", "Hello?"),))


def words(*texts, finish="stop"):
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
    return [*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}]


USAGE = {
    "choices": [],
    "usage": {
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 3},
    },
}


async def collect(model, request=HELLO):
    return [event async for event in model.stream(request)]


def ask(*replies, request=HELLO, key=KEY, timeout=20.0):
    """The deltas, the completion and what the server was asked."""
    with serving(*replies) as server:
        model = OpenAIModel("m", base_url=server.url, key=key, timeout=timeout)
        *deltas, completion = asyncio.run(collect(model, request))
        assert not server.replies
    assert isinstance(completion, Completion)
    return [delta.text for delta in deltas], completion, server


def error_of(*replies, kind=None, **how):
    with pytest.raises(ModelError) as caught:
        ask(*replies, **how)
    said = str(caught.value)
    assert KEY not in said
    assert "\n" not in said
    assert kind in (None, type(caught.value))
    assert "openai:m at http://127.0.0.1" in said
    return said


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


# -- answers


@pytest.mark.parametrize("pieces", [1, 7, 1_000_000])
def test_an_answer_is_streamed_and_then_whole(pieces):
    deltas, completion, server = ask(stream(*words("Grüß ", "Gott 🙂"), USAGE, pieces=pieces))
    assert deltas == ["Grüß ", "Gott 🙂"]
    assert completion.text == "Grüß Gott 🙂"
    assert completion.usage == Usage(input=12, output=5, cached=8, reasoning=3)
    assert (completion.model, completion.finish) == ("openai:m", "stop")
    ((path, body),) = server.asked
    assert path == "/v1/chat/completions"
    assert body["messages"] == [{"role": "user", "content": "Hello?"}]
    assert body["stream_options"] == {"include_usage": True}
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("length", "length"),
        ("content_filter", "refused"),
        ("model_length", "length"),
        ("tool_calls", "tool_calls"),
        ("eos", "stop"),
    ],
)
def test_reasons_to_stop(said, meant):
    assert ask(stream(*words("x", finish=said)))[1].finish == meant


@pytest.mark.parametrize(
    "answer",
    [
        stream(*words("x", "y")[:-1]),
        stream(*words("x", "y", finish=None)),
        reply(200, {"choices": [{"message": {"content": "xy"}}]}),
    ],
)
def test_an_answer_that_ends_without_a_reason_is_not_called_whole(answer):
    completion = ask(answer)[1]
    assert (completion.text, completion.finish) == ("xy", "unknown")
    assert completion.warnings == (
        "The server did not say why its answer ended: it may be cut off.",
    )


def test_a_refusal_is_marked_as_one():
    chunk = {"choices": [{"delta": {"refusal": "I cannot."}, "finish_reason": "stop"}]}
    deltas, completion, _ = ask(stream(chunk))
    assert (deltas, completion.text, completion.finish) == (["I cannot."], "I cannot.", "refused")


def test_tool_calls_are_put_together_from_their_pieces():
    def piece(index, arguments, **more):
        function = {"arguments": arguments, **({"name": more.pop("name")} if more else {})}
        call = {"index": index, "function": function, **more}
        return {"choices": [{"delta": {"tool_calls": [call]}}]}

    _, completion, _ = ask(
        stream(
            piece(0, "", name="find", id="c1"),
            piece(0, '{"q":'),
            piece(1, "{}", name="now", id="c2"),
            piece(0, "1}"),
            *words(finish="tool_calls"),
        )
    )
    assert completion.message.parts == (
        ToolCall("c1", "find", '{"q":1}'),
        ToolCall("c2", "now", "{}"),
    )
    assert completion.finish == "tool_calls"


def test_a_server_that_does_not_stream_is_understood():
    message = {"role": "assistant", "content": "Whole."}
    body = {"choices": [{"message": message, "finish_reason": "stop"}], **USAGE, "object": "x"}
    body["choices"] = [{"message": message, "finish_reason": "stop"}]
    deltas, completion, _ = ask(reply(200, body))
    assert (deltas, completion.usage.input) == (["Whole."], 12)


def test_the_cost_is_the_one_that_the_server_reports():
    assert ask(stream(*words("x"), USAGE))[1].cost is None
    reported = {"choices": [], "usage": {**USAGE["usage"], "cost": 0.00095}}
    assert ask(stream(*words("x"), reported))[1].cost == 950


def test_a_server_that_counts_as_it_goes_is_counted_once():
    so_far = [
        {**chunk, "usage": {"prompt_tokens": 7, "completion_tokens": at}}
        for at, chunk in enumerate(words("a", "b"))
    ]
    assert ask(stream(*so_far))[1].usage == Usage(7, 2)
    groq = {"choices": [], "x_groq": {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}}
    assert ask(stream(*words("x"), groq))[1].usage == Usage(7, 3)


def test_every_part_of_a_message_is_sent():
    request = Request(
        (
            text_message("system", "Be kind."),
            Message(
                "user", (Text("What is this?"), Media("image/png", "data:image/png;base64,AA"))
            ),
            Message("assistant", (ToolCall("c1", "look", "{}"),)),
            Message("tool", (ToolResult("c1", "look", "a cat"), ToolResult("c2", "x", "y"))),
        ),
        Parameters(temperature=0.0, top_p=0.5, max_tokens=9, stop=("END",), seed=1),
        {"type": "object"},
    )
    body = ask(stream(*words("x")), request=request)[2].asked[0][1]
    system, user, assistant, first, second = body["messages"]
    assert system == {"role": "system", "content": "Be kind."}
    assert user["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,AA"},
    }
    assert assistant["tool_calls"][0]["function"] == {"name": "look", "arguments": "{}"}
    assert (first["role"], first["tool_call_id"], second["content"]) == ("tool", "c1", "y")
    wanted = {"temperature": 0.0, "top_p": 0.5, "max_tokens": 9, "stop": ["END"], "seed": 1}
    assert {name: body[name] for name in wanted} == wanted
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert body["response_format"]["json_schema"]["strict"] is False


def test_openai_itself_is_given_its_newer_limit():
    request = Request((), Parameters(max_tokens=9))
    body = Chat("m", True, "here").body(request)
    assert body["max_completion_tokens"] == 9
    assert "max_tokens" not in body


def test_half_a_surrogate_pair_is_sent_as_it_is():
    request = Request((text_message("user", "\ud800"),))
    assert ask(stream(*words("x")), request=request)[2].asked[0][1]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "This response_format type is unavailable now"),
        (500, "json_schema is not supported by this grammar backend"),
    ],
)
def test_a_schema_that_a_server_does_not_take_is_not_left_out(status, said):
    """Whoever asked decides how to go on: the refusal speaks of the schema, and cost nothing."""
    request = Request(HELLO.messages, schema={"type": "object"})
    words_of_it = error_of(failed(status, said), request=request, kind=ModelRefusedError)
    assert "does not take a JSON schema (response_format): " + said in words_of_it
    assert "response_format" not in error_of(failed(400, "no idea"), kind=ModelRefusedError)


def test_a_model_that_samples_as_it_likes_is_asked_without_the_wishes(caplog):
    request = Request(HELLO.messages, Parameters(temperature=0.0, max_tokens=5, stop=("x",)))
    _, completion, server = ask(
        failed(400, "Unsupported value: 'temperature' does not support 0 with this model."),
        failed(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        stream(*words("x")),
        request=request,
    )
    last = server.asked[-1][1]
    assert "temperature" not in last and "max_tokens" not in last
    assert (last["max_completion_tokens"], last["stop"]) == (5, ["x"])
    assert "without temperature" in caplog.text
    (warning,) = completion.warnings  # the other one is renamed, which is no loss
    assert warning.startswith("The server refused temperature: Unsupported value")


# -- errors


def test_no_key_for_openai_is_said_before_anything_is_sent():
    with pytest.raises(ModelRefusedError, match="Set OPENAI_API_KEY"):
        asyncio.run(collect(OpenAIModel("gpt-5")))


def test_a_server_of_ones_own_needs_no_key():
    server = ask(stream(*words("x")), key="")[2]
    assert "Authorization" not in server.headers[0]
    said = error_of(failed(401, "no"), key="", kind=ModelRefusedError)
    assert "accepts no request without a key" in said


def test_the_environment_names_server_and_key(monkeypatch):
    with serving(stream(*words("x"))) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        model = OpenAIModel("m")
        asyncio.run(collect(model))
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
        assert KEY not in repr(model) + repr(model.server) + model.version + model.name


def test_a_bad_address_or_key_is_refused_in_words():
    with pytest.raises(ModelRefusedError, match="not an http URL"):
        OpenAIModel("m", base_url="localhost:8000")
    with pytest.raises(ModelRefusedError, match=r"'localhost:8998/v1'\. Set OPENAI_BASE_URL"):
        OpenAIModel("m", base_url="me:pass@localhost:8998/v1?key=x")
    for port in (0, 65536, "x"):
        with pytest.raises(ModelRefusedError, match="has no port from 1 to 65535"):
            OpenAIModel("m", base_url=f"http://localhost:{port}/v1")
    with pytest.raises(ModelRefusedError, match="is not a text: 5"):
        OpenAIModel("m", base_url=5)
    with pytest.raises(ModelRefusedError, match="not an http URL"):
        OpenAIModel("m", base_url="http://[")
    for key in ("sk-a\nb", "sk-a ", " sk-a", "sk-ä"):
        model = OpenAIModel("m", base_url="http://127.0.0.1:1/v1", key=key)
        with pytest.raises(ModelRefusedError, match="characters that no key has") as caught:
            asyncio.run(collect(model))
        assert "sk-" not in str(caught.value)
    assert "secret" not in repr(OpenAIModel("m", base_url="http://me:secret@host/v1"))


@pytest.mark.parametrize("timeout", ["5", -1, 0, True, None, float("nan")])
def test_a_time_out_that_is_none_is_refused(timeout):
    with pytest.raises(UsageError, match="is no time to wait"):
        OpenAIModel("m", timeout=timeout)


def test_a_query_in_the_address_goes_with_every_request_and_is_never_shown(monkeypatch):
    """Azure's servers, and gateways, want one."""
    secret = "qs-abcdef"
    refused = failed(404, f"no /v1/chat/completions?api-version=2024-10-21&api-key={secret}")
    with serving(stream(*words("x")), refused, reply(200, f"{{{secret}")) as server:
        address = f"{server.url}/?api-version=2024-10-21&api-key={secret}"
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        model = OpenAIModel("m")
        asyncio.run(collect(model))
        path = "/v1/chat/completions?api-version=2024-10-21&api-key="
        assert server.asked[0][0] == path + secret
        told = [repr(model), model.version, repr(model.server)]
        for _ in range(2):
            with pytest.raises(ModelError) as caught:
                asyncio.run(collect(model))
            told.append(str(caught.value))
        assert model.version == server.url
        assert secret not in "".join(told) and "api-version=2024-10-21" in told[3]


def test_the_query_goes_along_where_a_local_server_is_looked_for(monkeypatch):
    def at(handler):
        assert handler.path == "/v1/models?code=abcd"
        models("mine")(handler)

    with serving(at) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}?code=abcd")
        assert found(monkeypatch).name == "openai:mine"


def test_an_address_that_is_none_is_said_where_a_server_is_looked_for(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:99999/v1")
    with pytest.raises(ModelRefusedError, match="no port"):
        found(monkeypatch)


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        model = OpenAIModel("m", base_url=f"http://127.0.0.1:{port}/v1")
        with pytest.raises(ModelUnavailableError, match="no connection to the model's server"):
            asyncio.run(collect(model))


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (failed(401, f"Incorrect API key provided: {KEY}"), ModelRefusedError, "[key]"),
        (failed(401, "bad: sk-test-****mnop"), ModelRefusedError, "bad: [key]"),
        (failed(404, "model 'm' not found"), ModelRefusedError, "Check the model's name"),
        (reply(404, "<html>", "text/html"), ModelRefusedError, "OPENAI_BASE_URL"),
        (failed(400, "temperature is out of range"), ModelRefusedError, "temperature is out"),
        (reply(429, {}, Retry_After="20"), ModelUnavailableError, "in 20 seconds, or use"),
        (reply(429, {}, Retry_After="1"), ModelUnavailableError, "in 1 second, or use on.retry("),
        (reply(429, {}, Retry_After="Wed, 21 Oct"), ModelUnavailableError, "Try again later"),
        (failed(429, "pay", code="insufficient_quota"), ModelRefusedError, "quota"),
        (failed(500, "boom"), ModelUnavailableError, "status 500: boom"),
        (reply(503, "<html>down</html>", "text/html"), ModelUnavailableError, "status 503 ("),
        (reply(302, "", Location="/x"), ModelRefusedError, "to another address, http://127"),
        (failed(400, "no", code="context_length_exceeded"), ContextLengthError, "shorter"),
        (failed(500, "no", type="exceed_context_size_error"), ContextLengthError, "shorter"),
        (failed(400, "This model's maximum context length is 9"), ContextLengthError, "is 9"),
        (reply(413, "<html>", "text/html"), ContextLengthError, "shorter"),
        (failed(400, "Your credit balance is too low."), ModelRefusedError, "billing"),
        (failed(408, "too slow"), ModelUnavailableError, "status 408: too slow"),
        (failed(409, "locked"), ModelUnavailableError, "status 409: locked"),
        (failed(418, "teapot"), ModelRefusedError, "Change what it complains of, or check OPENAI"),
        (reply(422, {"detail": [{"msg": "extra"}]}), ModelRefusedError, "extra"),
        (reply(200, "<html>", "text/html"), ModelUnavailableError, "a web page (text/html)"),
        (reply(200, "[1]"), ModelUnavailableError, "not its protocol"),
        (reply(200, f"no key like {KEY}"), ModelUnavailableError, "no key like [key]"),
        (stream(f"no key like {KEY}"), ModelUnavailableError, "no key like [key]"),
        (stream("{nonsense"), ModelUnavailableError, "broken JSON, or half of an answer"),
        (reply(200, '{"choices": [{"mess'), ModelUnavailableError, "Try again; if it stays so"),
        (stream(words("x")[0], '{"cho', done=False), ModelUnavailableError, "half of an answer"),
        (stream("[" * 100_000), ModelUnavailableError, "not its protocol"),
        (stream({"error": {"message": "lost", "code": 503}}), ModelUnavailableError, "lost"),
        (stream({"error": "lost"}), ModelUnavailableError, "the server failed: lost"),
        (stream({"error": {"code": "insufficient_quota"}}), ModelRefusedError, "quota"),
        (stream({"choices": [{"error": {"message": "down", "code": 502}}]}),
            ModelUnavailableError, "status 502: down"),
        (stream(*words("x", finish="error")), ModelUnavailableError, "for the reason 'error'"),
        (stream(*words("x", finish="abort")), ModelUnavailableError, "for the reason 'abort'"),
        (reply(200, {"object": "error", "message": "no model m", "code": 404}),
            ModelRefusedError, "no such model or address: no model m"),
        (reply(200, {"detail": "Not Found"}), ModelUnavailableError, "failed: Not Found"),
        (stream({"error": {"code": "context_length_exceeded"}}), ContextLengthError, "longer"),
        (stream(words("x")[0], done=False), ModelUnavailableError, "in the middle"),
        (stream(words("x")[0], done=False, cut=True), ModelUnavailableError, "broke"),
    ],
)  # fmt: skip
def test_a_failure_says_what_where_and_what_to_do(answer, kind, said):
    assert said in error_of(answer, kind=kind)


def known_of(error):
    return error.sent, error.usage, error.retry_after


def failure_of(*replies, **how):
    with pytest.raises(ModelError) as caught:
        ask(*replies, **how)
    return known_of(caught.value)


@pytest.mark.parametrize(
    ("answer", "sent", "usage"),
    [
        (failed(400, "temperature is out of range"), False, None),
        (failed(401, "no"), False, None),
        (reply(429, {}), False, None),
        (failed(503, "busy"), False, None),
        (failed(500, "boom"), True, None),
        (failed(504, "gateway"), True, None),
        (reply(200, "<html>", "text/html"), True, None),
        (stream("{nonsense"), True, None),
        (stream({"error": {"message": "lost", "code": 503}}), True, None),
        (stream({"error": {"code": "context_length_exceeded"}}), False, None),
        # Said in the middle of an answer, no refusal means that nothing was made.
        (stream(words("x")[0], {"error": {"message": "filtered", "code": 400}}), True, None),
        (stream(words("x")[0], "x" * 4_100_000), True, None),
        (stream(words("x")[0], done=False), True, None),
        (stream(words("x")[0], done=False, cut=True), True, None),
        (stream(words("x")[0], USAGE, done=False), True, Usage(12, 5, 8, 3)),
        (stream(words("x")[0], USAGE, done=False, cut=True), True, Usage(12, 5, 8, 3)),
        (stream(USAGE, {"error": "lost"}), True, Usage(12, 5, 8, 3)),
        (stream(USAGE, *words("x", finish="error")), True, Usage(12, 5, 8, 3)),
        (stream({**USAGE, **words(finish="error")[0]}), True, Usage(12, 5, 8, 3)),
        (failed(408, "too slow"), False, None),
    ],
)
def test_a_failure_says_what_it_may_have_cost(answer, sent, usage):
    assert failure_of(answer)[:2] == (sent, usage)


@pytest.mark.parametrize("key", ["", "kéy"])
def test_a_request_without_a_usable_key_is_not_sent(key):
    model = OpenAIModel("m", base_url="https://api.openai.com/v1", key=key)
    with pytest.raises(ModelRefusedError) as caught:
        asyncio.run(collect(model))
    assert known_of(caught.value)[:2] == (False, None)


def test_a_request_that_reached_nobody_cost_nothing():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        model = OpenAIModel("m", base_url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")
        with pytest.raises(ModelUnavailableError) as caught:
            asyncio.run(collect(model))
    assert known_of(caught.value)[:2] == (False, None)
    stop = threading.Event()
    try:
        assert failure_of(lambda _: stop.wait(60), timeout=0.05)[0] is True
    finally:
        stop.set()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "20"}, 20.0),
        ({"Retry_After": "0.5"}, 0.5),
        ({"Retry_After": "1", "Retry_After_Ms": "250"}, 0.25),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry_After": "Wed, 21 Oct"}, None),
        ({"Retry_After": "-1"}, None),
        ({"Retry_After": "nan"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_a_server_asks_for_is_known(headers, seconds):
    assert failure_of(reply(429, {}, **headers))[2] == seconds
    assert failure_of(reply(503, {}, **headers))[2] == seconds


def test_a_wait_until_a_date_is_counted_from_now():
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3500 < retry_after({"retry-after": date}) <= 3600


@given(st.text(max_size=40) | st.datetimes().map(str))
@settings(deadline=None)
def test_no_wait_raises(said):
    for name in ("retry-after", "retry-after-ms"):
        seconds = retry_after({name: said})
        assert seconds is None or 0 <= seconds < float("inf")


def test_an_answer_that_ended_is_whole_without_the_last_mark():
    assert ask(stream(*words("x"), done=False))[1].text == "x"


def test_a_slow_server_is_not_waited_for_forever():
    stop = threading.Event()
    try:
        said = error_of(lambda _: stop.wait(60), timeout=0.05, kind=ModelUnavailableError)
    finally:
        stop.set()
    assert "no sign of life for 0.05 seconds" in said
    assert "allow it more time: on.model(..., timeout=1)." in said


# -- connections


def test_each_loop_has_a_client_of_its_own_and_closes_it():
    model = None
    gc.collect()
    before = set(connections._clients)
    with serving(*[stream(*words("x")) for _ in range(5)]) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        model = OpenAIModel("m", base_url=server.url, key="")

        async def three():
            clients = set()
            for _ in range(3):
                await collect(model)
                clients.add(await connections.client())
            return clients

        (client,) = asyncio.run(three())
        assert client.is_closed
        assert len(server.connections) == 1  # kept alive between calls
        for _ in range(2):
            asyncio.run(collect(model))
        assert len(server.connections) == 3
        gc.collect()
    assert set(connections._clients) <= before


def test_a_client_can_be_closed_and_another_one_opens():
    async def twice():
        first = await connections.client()
        await connections.close()
        await connections.close()
        return first, await connections.client()

    first, second = asyncio.run(twice())
    assert first.is_closed and first is not second


def test_leaving_a_stream_early_is_fine():
    with serving(stream(*words(*"abc"))) as server:
        model = OpenAIModel("m", base_url=server.url, key="")

        async def first():
            events = model.stream(HELLO)
            try:
                return await anext(events)
            finally:
                await events.aclose()

        assert asyncio.run(first()) == TextDelta("a")


# -- decoding


@given(st.binary(max_size=300), st.lists(st.integers(1, 20)))
@settings(deadline=None)
def test_events_do_not_depend_on_where_the_bytes_are_cut(data, cuts):
    def decoded(pieces):
        decoder = EventDecoder()
        return [e for piece in pieces for e in decoder.feed(piece)] + decoder.feed(b"", last=True)

    pieces, at = [], 0
    for cut in cuts:
        pieces.append(data[at : at + cut])
        at += cut
    assert decoded([*pieces, data[at:]]) == decoded([data])


LINES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)


@given(
    st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=5),
    st.sampled_from(["\n", "\r", "\r\n"]),
)
@settings(deadline=None)
def test_every_event_comes_out_as_it_went_in(events, end):
    text = "".join(
        f": a comment{end}event: x{end}"
        + "".join(f"data: {line}{end}" for line in event)
        + f"id: 1{end}{end}"
        for event in events
    )
    decoder = EventDecoder()
    decoded = decoder.feed(text.encode()) + decoder.feed(b"", last=True)
    assert decoded == ["\n".join(event) for event in events]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "choices delta message content tool_calls function index usage error code"
                " logprobs token logprob top_logprobs reasoning arguments".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=4))
@settings(deadline=None, max_examples=50)
def test_no_chunk_whatever_its_shape_breaks_the_answer(chunks):
    answer = Answer()
    for chunk in chunks:
        if isinstance(chunk, dict):
            answer.add(chunk)
    completion = answer.completion("m", logprobs=True)
    assert msgspec.json.decode(msgspec.json.encode(completion), type=Completion) == completion


@given(
    st.just(0) | st.integers(300, 599),
    st.binary(max_size=200) | JSON.map(lambda v: json.dumps(v).encode()),
)
@settings(deadline=None)
def test_every_refusal_is_one_sentence_without_the_key(status, body):
    error = refusal(status, body + KEY.encode(), where="here", key=KEY, names=OPENAI.names)
    assert isinstance(error, OnrecordError)
    assert KEY not in str(error) and "\n" not in str(error) and len(str(error)) < 700


def test_a_mark_of_the_byte_order_is_no_part_of_an_answer():
    said = [*words("x"), "[DONE]"]
    body = "".join(f"data: {each if each == '[DONE]' else json.dumps(each)}\n\n" for each in said)
    assert ask(reply(200, "\ufeff" + body, "text/event-stream"))[1].text == "x"
    whole = {"choices": [{"message": {"content": "y"}, "finish_reason": "stop"}]}
    assert ask(reply(200, "\ufeff" + json.dumps(whole)))[1].text == "y"


# -- a local server


def models(*names):
    return reply(200, {"object": "list", "data": [{"id": name} for name in names]})


def found(monkeypatch, *servers):
    monkeypatch.setattr(local_server, "_PORTS", tuple(each.server_port for each in servers))
    return asyncio.run(find_local_server(seconds=10))


def test_a_local_server_is_found_and_is_not_given_the_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    listed = models("nomic-embed-text", "BAAI/bge-m3", "llama3.2:3b")
    with serving(listed, stream(*words("x"))) as server:
        model = found(monkeypatch, server)
        assert (model.name, model.version) == ("openai:llama3.2:3b", server.url)
        asyncio.run(collect(model))
        assert all("Authorization" not in headers for headers in server.headers)


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, "<html>a web page</html>", "text/html"),
        reply(200, {"models": []}),
        reply(200, {"object": "list", "data": None}),
        reply(200, {"object": "list", "data": [{"name": "x"}, 3, {"id": 4}, {"id": ""}]}),
        reply(200, [1]),
        reply(401, {}),
        models("text-embedding-3-small"),
    ],
)
def test_whoever_does_not_speak_the_protocol_is_not_believed(monkeypatch, answer):
    with serving(answer) as server:
        assert found(monkeypatch, server) is None


def test_the_named_server_is_looked_at_first_if_it_is_near(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(models("mine")) as mine, serving(models("other")) as other:
        monkeypatch.setenv("OPENAI_BASE_URL", mine.url)
        assert found(monkeypatch, other).name == "openai:mine"
        assert mine.headers[0]["Authorization"] == f"Bearer {KEY}"
    with serving(models("other")) as other:
        monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.com/v1")
        assert found(monkeypatch, other).name == "openai:other"


def test_a_silent_port_is_given_up(monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(local_server, "_PORTS", (silent.getsockname()[1],))
        assert asyncio.run(find_local_server(seconds=0.05)) is None
