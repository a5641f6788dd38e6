"""Anthropic's Messages API, spoken with a real server; its own client is asked for its opinion."""

import asyncio
import json
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.errors import (
    ContextLengthError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
)
from onrecord.messages import (
    Completion,
    Media,
    Message,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    ToolSchema,
    Usage,
    text_message,
)
from onrecord.models.anthropic.answer import Answer
from onrecord.models.anthropic.api import AnthropicModel
from onrecord.models.anthropic.schema import Inexpressible, enforced
from onrecord.models.anthropic.wire import Dialect
from onrecord.models.model import Parameters, Request, structures
from onrecord.models.names import model as named
from tests.servers.model_server import reply, serving, stream

KEY = "sk-ant-test-abcdefghijklmnop"
HELLO = Request((text_message("user", "Hello?"),))
GOLDEN = Path(__file__).parent / "usage"
FIND = ToolSchema("find", "Looks it up.", {"type": "object", "properties": {}})
START = {
    "type": "message_start",
    "message": {
        **{"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []},
        **{"stop_reason": None, "stop_sequence": None},
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1},
    },
}
END = {"type": "message_stop"}


def block(index, opened, *deltas):
    return [
        {"type": "content_block_start", "index": index, "content_block": opened},
        *({"type": "content_block_delta", "index": index, "delta": each} for each in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text(*words, index=0):
    deltas = [{"type": "text_delta", "text": each} for each in words]
    return block(index, {"type": "text", "text": ""}, *deltas)


def stop(reason="end_turn", **more):
    usage = {"output_tokens": 20, "output_tokens_details": {"thinking_tokens": 12}}
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None, **more},
        "usage": usage,
    }


def said(*events, **how):
    """Events as Anthropic sends them: named, without a mark at the end of the stream."""
    return stream(*events, done=False, **how)


def answering(*words, reason="end_turn"):
    return said(START, {"type": "ping"}, *text(*words), stop(reason), END)


def failed(status, kind, message, **headers):
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"}
    return reply(status, error, **headers)


def broken(kind, message=""):
    return {"type": "error", "error": {"type": kind, "message": message}}


async def collect(model, request=HELLO):
    return [event async for event in model.stream(request)]


def ask(*replies, request=HELLO, key=KEY, timeout=20.0, **how):
    """The deltas, the completion and the server."""
    with serving(*replies) as server:
        base = server.url.removesuffix("/v1")
        model = AnthropicModel("m", base_url=base, key=key, timeout=timeout, **how)
        *deltas, completion = asyncio.run(collect(model, request))
        assert not server.replies
    assert isinstance(completion, Completion)
    return [delta.text for delta in deltas], completion, server


def error_of(*replies, kind=ModelError, **how):
    with pytest.raises(ModelError) as caught:
        ask(*replies, **how)
    sentence = str(caught.value)
    assert type(caught.value) is kind
    assert KEY not in sentence and "\n" not in sentence
    assert "anthropic:m at http://127.0.0.1" in sentence
    return caught.value


def body_of(request, *, samples=False):
    return Dialect("m", samples, "here").body(request)


def refusal_of(request, **how):
    with pytest.raises(ModelRefusedError) as caught:
        body_of(request, **how)
    assert (caught.value.sent, caught.value.where) == (False, "here")
    return str(caught.value)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


# -- answers


@pytest.mark.parametrize("pieces", [1, 7, 1_000_000])
def test_an_answer_is_streamed_and_then_whole(pieces):
    events = (START, {"type": "ping"}, *text("Grüß ", "Gott 🙂"), stop(), END)
    deltas, completion, server = ask(said(*events, pieces=pieces))
    assert deltas == ["Grüß ", "Gott 🙂"]
    assert completion.text == "Grüß Gott 🙂"
    assert completion.usage == Usage(input=15, output=20, cached=5, reasoning=12)
    assert (completion.model, completion.finish, completion.warnings) == ("anthropic:m", "stop", ())
    ((path, body),) = server.asked
    assert path == "/v1/messages"
    assert body == {
        "model": "m",
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}],
        "stream": True,
    }
    headers = server.headers[0]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["anthropic-version"] == "2026-10-21"


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "refused"),
        ("something_new", "stop"),
        (None, "unknown"),
    ],
)
def test_reasons_to_stop(reason, meant):
    assert ask(answering("x", reason=reason))[1].finish == meant


def test_a_limit_that_nobody_asked_for_is_told_where_it_was_reached():
    (warning,) = ask(answering("x", reason="max_tokens"))[1].warnings
    assert "cut off at 32,000 tokens" in warning
    bounded = Request(HELLO.messages, Parameters(max_tokens=5))
    _, completion, server = ask(answering("x", reason="max_tokens"), request=bounded)
    assert (completion.warnings, server.asked[0][1]["max_tokens"]) == ((), 5)
    (warning,) = ask(answering("x", reason="model_context_window_exceeded"))[1].warnings
    assert "where the model's context ended" in warning
    assert "paused" in ask(answering("x", reason="pause_turn"))[1].warnings[0]


def test_a_refusal_says_why():
    details = {"type": "refusal", "category": "bio", "explanation": "Not this."}
    _, completion, _ = ask(said(START, stop("refusal", stop_details=details), END))
    assert (completion.finish, completion.text) == ("refused", "")
    assert completion.warnings == ("The model declined: bio: Not this.",)


def test_thinking_is_kept_apart_from_the_words():
    thought = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Hm, text."},
        {"type": "signature_delta", "signature": "abc"},
    )
    hidden = block(1, {"type": "redacted_thinking", "data": "xyz"})
    deltas, completion, _ = ask(said(START, *thought, *hidden, *text("Yes.", index=2), stop(), END))
    assert (deltas, completion.text, completion.usage.reasoning) == (["Yes."], "Yes.", 12)
    thoughts = (Thinking("Hm, text.", "abc"), Thinking("", "xyz", redacted=True))
    assert completion.message.parts == (*thoughts, Text("Yes."))
    again = Request((*HELLO.messages, completion.message, *HELLO.messages))
    assert body_of(again)["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm, text.", "signature": "abc"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Yes."},
    ]
    unsigned = Message("assistant", (Thinking("Another's."), Text("x")))
    assert [each["type"] for each in body_of(Request((unsigned,)))["messages"][0]["content"]] == [
        "text"
    ]


def test_tool_calls_are_put_together_from_their_pieces():
    def call(index, id, *pieces, **more):
        deltas = [{"type": "input_json_delta", "partial_json": each} for each in pieces]
        opened = {"type": "tool_use", "id": id, "name": "find", "input": {}, **more}
        return block(index, opened, *deltas)

    events = [
        *text("Let me see."),
        *call(1, "t1", "", '{"q":', ' "x', '"}'),
        *call(2, "t2"),
        *call(3, "t3", input={"a": 1}),
        *call(4, "t4", '{"half'),
    ]
    _, completion, _ = ask(said(START, *events, stop("tool_use"), END))
    assert completion.message.parts == (
        Text("Let me see."),
        ToolCall("t1", "find", '{"q": "x"}'),
        ToolCall("t2", "find", "{}"),
        ToolCall("t3", "find", '{"a": 1}'),
        ToolCall("t4", "find", '{"half'),
    )
    assert completion.finish == "tool_calls"


def test_a_server_that_does_not_stream_is_understood():
    content = [
        {"type": "text", "text": "Whole."},
        {"type": "tool_use", "id": "t", "name": "find", "input": {"q": 1}},
    ]
    message = {**START["message"], "content": content, "stop_reason": "tool_use"}
    deltas, completion, _ = ask(reply(200, message))
    assert deltas == ["Whole."]
    assert completion.message.parts == (Text("Whole."), ToolCall("t", "find", '{"q": 1}'))
    assert completion.usage.input == 15


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("anthropic*.json")), ids=lambda path: path.stem)
def test_the_usage_of_each_known_payload_is_read(path):
    case = json.loads(path.read_text())
    events = case["payload"] if isinstance(case["payload"], list) else [case["payload"]]
    answer = Answer()
    for event in events:
        answer.add(event)
    usage = answer.completion("m", limit=None).usage
    expected = Usage(**case["expected"])
    assert all(getattr(usage, name) == getattr(expected, name) for name in Usage.__struct_fields__)


def test_unknown_events_and_blocks_say_nothing():
    odd = [
        {"type": "brand_new", "text": "no"},
        *block(0, {"type": "server_tool_use", "id": "s", "name": "web", "input": {}}),
        {"type": "content_block_delta", "index": 9, "delta": {"type": "citations_delta"}},
    ]
    deltas, completion, _ = ask(said(START, *odd, *text("x", index=1), stop(), END))
    assert (deltas, completion.message.parts) == (["x"], (Text("x"),))


# -- requests


def test_every_part_of_a_conversation_is_sent():
    request = Request(
        (
            text_message("system", "Be kind."),
            text_message("system", "Be brief."),
            Message("user", (Text("What?"), Media("image/png", "data:image/png;base64,AA"))),
            Message("assistant", (Text(""), ToolCall("c:1", "find", '{"q": 1}'))),
            Message("tool", (ToolResult("c:1", "find", "a cat"),)),
            Message("assistant", (ToolCall("c2", "find", "{no"),)),
            Message("tool", (Text("Sorry."), ToolResult("c2", "find", "bad", failed=True))),
            text_message("assistant", ""),
        ),
        Parameters(max_tokens=9, stop=("END",)),
        tools=(FIND,),
    )
    body = body_of(request)
    assert body["system"] == "Be kind.\n\nBe brief."
    user, call, result, wrong, again = body["messages"]
    assert user["content"][1] == {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "AA"},
    }
    use = {"type": "tool_use", "id": "c_1", "name": "find", "input": {"q": 1}}
    assert call == {"role": "assistant", "content": [use]}
    found = {"type": "tool_result", "tool_use_id": "c_1", "content": "a cat"}
    assert result == {"role": "user", "content": [found]}
    assert wrong["content"][0]["input"] == {"not_a_json_object": "{no"}
    assert [each["type"] for each in again["content"]] == ["tool_result", "text"]
    assert again["content"][0]["is_error"] is True
    assert (body["max_tokens"], body["stop_sequences"]) == (9, ["END"])
    assert body["tools"] == [
        {"name": "find", "description": "Looks it up.", "input_schema": FIND.parameters}
    ]
    assert "tool_choice" not in body


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ("find", {"type": "tool", "name": "find"}),
    ],
)
def test_the_choice_of_a_tool(choice, wire):
    request = Request(HELLO.messages, tools=(FIND,), tool_choice=choice)
    assert body_of(request)["tool_choice"] == wire


def test_a_choice_that_there_is_not_is_refused():
    for tools in ((), (FIND,)):
        request = Request(HELLO.messages, tools=tools, tool_choice="now")
        assert "tool_choice cannot be sent: it asks for 'now'" in refusal_of(request)
    assert "tool_choice" in refusal_of(Request(HELLO.messages, tool_choice="required"))


@pytest.mark.parametrize(
    "name",
    "temperature top_p top_k seed min_p min_tokens num_beams length_penalty repetition_penalty"
    " presence_penalty frequency_penalty logprobs".split(),
)
def test_what_the_api_does_not_take_is_refused_before_it_is_sent(name):
    request = Request(HELLO.messages, Parameters(**{name: 0}))
    assert refusal_of(request).startswith(f"{name} cannot be sent: Anthropic's API does not take")
    with serving() as server:
        model = AnthropicModel("m", base_url=server.url, key=KEY)
        with pytest.raises(ModelRefusedError, match=name):
            asyncio.run(collect(model, request))
        assert not server.asked


def test_the_older_api_takes_how_to_sample():
    request = Request(HELLO.messages, Parameters(temperature=0.5, top_p=0.9, top_k=4, num_beams=1))
    _, _, server = ask(answering("x"), request=request, api_version="2023-06-01")
    body = server.asked[0][1]
    assert (body["temperature"], body["top_p"], body["top_k"]) == (0.5, 0.9, 4)
    headers = server.headers[0]
    assert (headers["anthropic-version"], headers["x-api-key"]) == ("2023-06-01", KEY)
    assert "Authorization" not in headers
    assert "seed" in refusal_of(Request((), Parameters(seed=1)), samples=True)


@pytest.mark.parametrize(
    ("media_type", "url", "wire"),
    [
        (
            "image/webp",
            "https://a.example/b",
            {"type": "image", "source": {"type": "url", "url": "https://a.example/b"}},
        ),
        (
            "application/pdf",
            "https://a.example/b",
            {"type": "document", "source": {"type": "url", "url": "https://a.example/b"}},
        ),
        (
            "application/pdf",
            "data:application/pdf;base64,QQ==",
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
            },
        ),
        (
            "text/plain",
            "data:text/plain;base64,R3LDvMOf",
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "Grüß"},
            },
        ),
        (
            "text/plain",
            "data:text/plain,a%20b",
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "a b"},
            },
        ),
    ],
)
def test_images_and_documents_are_passed_on(media_type, url, wire):
    request = Request((Message("user", (Media(media_type, url),)),))
    assert body_of(request)["messages"][0]["content"] == [wire]


@pytest.mark.parametrize(
    ("media_type", "url"),
    [
        ("audio/wav", "data:audio/wav;base64,QQ=="),
        ("audio/wav", "https://a.example/b"),
        ("image/tiff", "data:image/tiff;base64,QQ=="),
        ("image/png", "data:image/png,raw"),
    ],
)
def test_media_that_it_cannot_read_are_refused(media_type, url):
    assert media_type in refusal_of(Request((Message("user", (Media(media_type, url),)),)))


def test_half_a_surrogate_pair_is_sent_as_it_is():
    request = Request((text_message("user", "\ud800"),))
    assert ask(answering("x"), request=request)[2].asked[0][1]["messages"][0]["content"]


# -- schemas

ORDER = {
    "type": "object",
    "title": "Order",
    "properties": {
        "id": {"type": "string", "pattern": "^o", "description": "Its id."},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "when": {"type": "string", "format": "date"},
        "rate": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "kind": {"enum": ["a", "b"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "minItems": 2},
    },
    "required": ["id"],
    "additionalProperties": False,
    "$defs": {
        "Line": {"type": "object", "properties": {"x": {"type": "boolean"}}, "required": ["x"]}
    },
}


def test_a_schema_is_sent_as_far_as_it_is_enforced_and_told_beyond():
    format = body_of(Request(HELLO.messages, schema=ORDER))["output_config"]["format"]
    assert format["type"] == "json_schema"
    sent = format["schema"]
    assert sent["properties"]["id"] == {
        "type": "string",
        "description": 'Its id.\n\n(pattern: "^o")',
    }
    assert sent["properties"]["count"]["description"] == "(minimum: 1, maximum: 9)"
    assert sent["properties"]["when"] == {"type": "string", "format": "date"}
    assert sent["properties"]["lines"]["items"] == {"$ref": "#/$defs/Line"}
    assert sent["$defs"]["Line"]["additionalProperties"] is False
    assert enforced({"type": ["string", "null"], "maxLength": 3})["anyOf"][1]["type"] == "null"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object"},
        {"type": "object", "properties": {"x": {}}},
        {"type": "array"},
    ],
)
def test_a_schema_that_cannot_be_enforced_is_refused_in_words_that_say_so(schema):
    assert "the JSON schema cannot be sent" in refusal_of(Request(HELLO.messages, schema=schema))


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "string", "maxLength": 3},
            {"type": "integer", "minimum": 0},
            {"type": "null"},
            {"enum": ["a", 1]},
            {"const": "x", "title": "X"},
        ]
    ),
    lambda inner: (
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least},
                  inner, st.integers(0, 3))
        | st.builds(lambda some: {"anyOf": some}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(
            lambda some: {"type": "object", "properties": some, "required": list(some)},
            st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        )
    ),
    max_leaves=8,
)  # fmt: skip


@given(SCHEMAS)
@settings(deadline=None)
def test_schemas_are_those_that_anthropics_client_makes(schema):
    anthropic = pytest.importorskip("anthropic")

    def bare(value):
        if isinstance(value, list):
            return [bare(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            name: bare(each)
            for name, each in value.items()
            if name != "description" or not isinstance(each, str)
        }

    assert bare(enforced(schema)) == bare(anthropic.transform_schema(schema))


NO_SCHEMAS = st.recursive(
    st.none() | st.just(True) | st.sampled_from(["object", "array", "string", "#/$defs/x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "type properties required items minItems anyOf $ref $defs enum format".split()
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(NO_SCHEMAS)
@settings(deadline=None, max_examples=200)
def test_a_schema_is_enforced_or_said_to_be_none(schema):
    try:
        assert isinstance(enforced(schema), dict)
    except Inexpressible as error:
        assert str(error)


# -- errors


@pytest.mark.parametrize(
    ("answer", "kind", "words", "sent"),
    [
        (failed(401, "authentication_error", f"invalid x-api-key {KEY}"),
            ModelRefusedError, "ANTHROPIC_API_KEY", False),
        (failed(403, "permission_error", "no"), ModelRefusedError, "does not accept", False),
        (failed(402, "billing_error", "pay"), ModelRefusedError, "quota", False),
        (failed(404, "not_found_error", "model: m"), ModelRefusedError, "the model's name", False),
        (failed(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000"),
            ContextLengthError, "shorter", False),
        (failed(413, "request_too_large", "Request exceeds the maximum size"),
            ContextLengthError, "shorter", False),
        (failed(429, "rate_limit_error", "slow down", Retry_After="7"),
            ModelUnavailableError, "in 7 seconds", False),
        (failed(500, "api_error", "boom"), ModelUnavailableError, "status 500: boom", True),
        (failed(529, "overloaded_error", "busy"), ModelUnavailableError, "status 529", False),
        (reply(307, "", Location="https://evil.example/v1/messages"),
            ModelRefusedError, "to another host, https://evil.example/v1/messages", False),
        (reply(200, "<html>", "text/html"), ModelUnavailableError, "a web page", True),
        (reply(200, "x", "text/plain"), ModelUnavailableError, "no answer, but text/plain", True),
        (reply(200, "[1]"), ModelUnavailableError, "not its protocol", True),
        (reply(200, f"no key like {KEY}"), ModelUnavailableError, "no key like [key]", True),
        (said("{nonsense"), ModelUnavailableError, "broken JSON, or half of an answer", True),
        (said(START, *text("x"), '{"type":'), ModelUnavailableError, "half of an answer", True),
        (failed(400, "invalid_request_error", "Your credit balance is too low to go on."),
            ModelRefusedError, "billing", False),
        (failed(409, "conflict_error", "locked"), ModelUnavailableError, "status 409", False),
        (said(START, END), ModelUnavailableError, "an answer without any content", True),
        (said(START, *text("x")), ModelUnavailableError, "in the middle", True),
        (said(START, *text("x"), cut=True), ModelUnavailableError, "broke", True),
        (said(broken("overloaded_error")), ModelUnavailableError, "status 529", False),
        (said(START, broken("overloaded_error")), ModelUnavailableError, "status 529", True),
        (said(broken("invalid_request_error", "no")), ModelRefusedError, "400: no", False),
        (said(broken("new_error", "what")), ModelUnavailableError, "server failed: what", True),
    ],
)  # fmt: skip
def test_a_failure_says_what_where_and_what_to_do(answer, kind, words, sent):
    error = error_of(answer, kind=kind)
    assert words in str(error)
    assert error.sent is sent


def test_what_was_counted_before_it_broke_is_known():
    error = error_of(said(START, *text("x"), cut=True), kind=ModelUnavailableError)
    assert error.usage == Usage(15, 1, 5)


def test_the_wait_that_is_asked_for_is_known():
    refused = failed(429, "rate_limit_error", "x", Retry_After="2.5")
    assert error_of(refused, kind=ModelUnavailableError).retry_after == 2.5


def test_no_key_for_anthropic_is_said_before_anything_is_sent():
    with pytest.raises(ModelRefusedError, match=r"no key for Anthropic.*Set ANTHROPIC_API_KEY"):
        asyncio.run(collect(named("anthropic:claude-sonnet-5-5")))
    with pytest.raises(ModelRefusedError, match="Set ANTHROPIC_BASE_URL to something like"):
        AnthropicModel("m", base_url="localhost:1")


def test_the_environment_names_server_and_key(monkeypatch):
    with serving(answering("x"), answering("x")) as server:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        for url in (server.url, server.url.removesuffix("/v1") + "/"):
            monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
            model = named("anthropic:m")
            asyncio.run(collect(model))
            assert KEY not in repr(model) + repr(model.server) + model.version + model.name
        assert [path for path, _ in server.asked] == ["/v1/messages"] * 2
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert structures(model) == ("schema", "tool", "prompted")


def test_nobody_there_and_nobody_who_speaks():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        model = AnthropicModel("m", base_url=f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(ModelUnavailableError, match="check ANTHROPIC_BASE_URL") as caught:
            asyncio.run(collect(model))
        assert caught.value.sent is False
    ended = threading.Event()
    try:
        slow = error_of(lambda _: ended.wait(60), timeout=0.05, kind=ModelUnavailableError)
    finally:
        ended.set()
    assert "no sign of life for 0.05 seconds" in str(slow)
    assert slow.sent is True


# -- whatever comes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "message index delta content_block content type text partial_json input usage"
                " stop_reason stop_details".split()
            ),
            inner | st.sampled_from("message text_delta tool_use input_json_delta".split()),
            max_size=5,
        )
    ),
    max_leaves=20,
)
TYPES = st.sampled_from(
    "message message_delta content_block_start content_block_delta message_stop".split()
)


@given(st.lists(st.tuples(TYPES, JSON), max_size=4))
@settings(deadline=None, max_examples=100)
def test_no_event_whatever_its_shape_breaks_the_answer(events):
    answer = Answer()
    for kind, event in events:
        answer.add({**event, "type": kind} if isinstance(event, dict) else {"type": kind})
    assert isinstance(answer.completion("m", limit=None), Completion)


# -- the other side's own client


def test_anthropics_client_reads_our_server_as_we_do():
    anthropic = pytest.importorskip("anthropic")
    call = block(
        1,
        {"type": "tool_use", "id": "t1", "name": "find", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"q": 1}'},
    )
    answer = said(START, *text("Let ", "me."), *call, stop("tool_use"), END)
    request = Request(HELLO.messages, Parameters(max_tokens=9, stop=("END",)), tools=(FIND,))

    async def theirs(server):
        client = anthropic.AsyncAnthropic(
            base_url=server.url.removesuffix("/v1"), api_key=KEY, max_retries=0
        )
        async with client:
            body = {name: each for name, each in body_of(request).items() if name != "stream"}
            async with client.messages.stream(**body) as events:
                return await events.get_final_message()

    with serving(answer) as server:
        message = asyncio.run(theirs(server))
        their_path, their_body = server.asked[0]
        their_headers = server.headers[0]
    _, completion, our_server = ask(answer, request=request)
    our_path, our_body = our_server.asked[0]
    assert (our_path, our_body) == (their_path, their_body)
    for header in ("anthropic-version", "Authorization"):
        assert our_server.headers[0][header] == their_headers[header]
    words, use = message.content
    assert completion.message.parts == (
        Text(words.text),
        ToolCall(use.id, use.name, json.dumps(use.input)),
    )
    assert message.usage.output_tokens == completion.usage.output


def test_anthropics_client_knows_all_that_we_send():
    pytest.importorskip("anthropic")
    from typing import get_type_hints

    from anthropic.types import message_create_params as theirs
    from pydantic import TypeAdapter

    messages = (
        *HELLO.messages,
        Message("assistant", (Thinking("Hm.", "s"), Text("x"), ToolCall("t", "find", "{}"))),
        Message("tool", (ToolResult("t", "find", "y", failed=True),)),
        Message("user", (Media("image/png", "data:image/png;base64,QQ=="),)),
        text_message("system", "Still there?"),
    )
    parameters = Parameters(max_tokens=9, stop=("END",))
    request = Request(messages, parameters, ORDER, tools=(FIND,), tool_choice="find")
    body = body_of(request)
    params = theirs.MessageCreateParamsStreaming
    assert body.keys() <= get_type_hints(params).keys()
    TypeAdapter(params).validate_python(body)
