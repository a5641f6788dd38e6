"""OpenAI's Responses API, which a server asks for where a model that thinks is given tools."""

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.errors import ContextLengthError, ModelError, ModelRefusedError, ModelUnavailableError
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
from onrecord.models.model import Parameters, Request
from onrecord.models.openai.api import OpenAIModel
from onrecord.models.openai.responses import Responses, ResponsesAnswer
from tests.models.test_openai_api import HELLO, KEY, clean_environment, collect, words
from tests.servers.model_server import failed, reply, serving, stream

__all__ = ["clean_environment"]  # a fixture

CLOSED = {
    "type": "object",
    "properties": {"q": {"type": "string"}},
    "required": ["q"],
    "additionalProperties": False,
}
FIND = ToolSchema("find", "Looks it up.", CLOSED)
NOW = ToolSchema("now", "Tells the time.", {"type": "object", "properties": {}})
THINKS = (
    "Function tools with reasoning_effort are not supported for m in /v1/chat/completions. To use"
    " function tools, use /v1/responses or set reasoning_effort to 'none'."
)
USAGE = {
    "input_tokens": 12,
    "output_tokens": 9,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens_details": {"reasoning_tokens": 3},
}


def asking(*messages, parameters=None, **more):
    return Request(messages or HELLO.messages, parameters or Parameters(), **more)


def body_of(request):
    return Responses("m", "here").body(request)


def whole(*output, status="completed", **more):
    """A response as its last event holds it."""
    return {"object": "response", "status": status, "output": output, "usage": USAGE, **more}


def said(*texts, type="output_text"):
    name = "refusal" if type == "refusal" else "text"
    return {"type": "message", "content": [{"type": type, name: each} for each in texts]}


def called(id, name, arguments):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}


def delta(words, kind="output_text"):
    return {"type": f"response.{kind}.delta", "delta": words}


def ended(response, how="completed"):
    return {"type": f"response.{how}", "response": response}


def saying(*events):
    return stream({"type": "response.created", "response": {"status": "queued"}}, *events,
                  done=False)  # fmt: skip


def ask(*replies, request=None):
    """What comes of a request with tools, of which the first answer asks for the other API."""
    with serving(failed(400, THINKS, param="reasoning_effort"), *replies) as server:
        model = OpenAIModel("m", base_url=server.url, key=KEY)
        *deltas, completion = asyncio.run(collect(model, request or asking(tools=(FIND, NOW))))
        assert not server.replies
    return [each.text for each in deltas], completion, server


def error_of(*replies, kind):
    with pytest.raises(ModelError) as caught:
        ask(*replies)
    assert type(caught.value) is kind
    assert KEY not in str(caught.value) and "openai:m at http://127.0.0.1" in str(caught.value)
    return caught.value


def test_a_server_that_takes_tools_over_it_alone_is_asked_over_it():
    answer = saying(
        delta("Let "),
        delta("me."),
        {"type": "response.function_call_arguments.delta", "delta": '{"q"'},
        ended(whole(said("Let me."), called("c1", "find", '{"q": "x"}'))),
    )
    deltas, completion, server = ask(answer)
    assert deltas == ["Let ", "me."]
    assert completion.message.parts == (Text("Let me."), ToolCall("c1", "find", '{"q": "x"}'))
    assert (completion.finish, completion.model, completion.warnings) == (
        "tool_calls",
        "openai:m",
        (),
    )
    assert completion.usage == Usage(12, 9, 8, 3)
    (first, _), (path, body) = server.asked
    assert (first, path) == ("/v1/chat/completions", "/v1/responses")
    assert body == {
        "model": "m",
        "input": [{"role": "user", "content": "Hello?"}],
        "stream": True,
        "store": False,
        "tools": [
            {"type": "function", "name": "find", "description": "Looks it up.",
             "parameters": CLOSED, "strict": True},
            {"type": "function", "name": "now", "description": "Tells the time.",
             "parameters": NOW.parameters, "strict": False},
        ],
        "tool_choice": "auto",
    }  # fmt: skip


def test_it_is_remembered_for_requests_with_tools():
    answer = saying(delta("x"), ended(whole(said("x"))))
    with serving(failed(400, THINKS), answer, answer, stream(*words("y"))) as server:
        model = OpenAIModel("m", base_url=server.url, key=KEY)

        async def three():
            for request in (asking(tools=(FIND,)), asking(tools=(FIND,)), asking()):
                yield (await collect(model, request))[-1].text

        async def every():
            return [text async for text in three()]

        assert asyncio.run(every()) == ["x", "x", "y"]
        chat, responses = "/v1/chat/completions", "/v1/responses"
        assert [path for path, _ in server.asked] == [chat, responses, responses, chat]


def test_a_server_without_it_refuses():
    assert "no such model or address" in str(error_of(failed(404, "?"), kind=ModelRefusedError))


def test_a_whole_conversation_is_sent():
    request = asking(
        text_message("system", "Be kind."),
        Message("user", (Text("What?"), Media("image/png", "data:image/png;base64,AA"),
                         Media("application/pdf", "data:application/pdf;base64,QQ"),
                         Media("application/pdf", "https://a.example/b.pdf"))),
        Message("assistant", (Thinking("Hm."), Text("See."), ToolCall("c1", "find", "{no"))),
        Message("tool", (ToolResult("c1", "find", "a cat"), Text("And?"))),
        parameters=Parameters(max_tokens=9, temperature=0.5, top_p=0.9, num_beams=1),
        schema=CLOSED, tools=(FIND,), tool_choice="find",
    )  # fmt: skip
    body = body_of(request)
    assert body["input"] == [
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What?"},
                {
                    "type": "input_image",
                    "image_url": "data:image/png;base64,AA",
                    "detail": "auto",
                },
                {
                    "type": "input_file",
                    "filename": "file.pdf",
                    "file_data": "data:application/pdf;base64,QQ",
                },
                {"type": "input_file", "file_url": "https://a.example/b.pdf"},
            ],
        },
        {"role": "assistant", "content": "See."},
        {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{no"},
        {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
        {"role": "user", "content": "And?"},
    ]
    assert (body["max_output_tokens"], body["temperature"], body["top_p"]) == (9, 0.5, 0.9)
    assert body["tool_choice"] == {"type": "function", "name": "find"}
    assert body["text"]["format"] == {
        "type": "json_schema",
        "name": "answer",
        "schema": CLOSED,
        "strict": True,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("stop", ("x",)), ("seed", 1), ("logprobs", 0), ("top_k", 4), ("presence_penalty", 0.0),
     ("num_beams", 2)],
)  # fmt: skip
def test_a_parameter_that_it_does_not_know_is_refused(name, value):
    with pytest.raises(ModelRefusedError, match=f"^{name} cannot be sent: .*Responses API") as it:
        body_of(asking(parameters=Parameters(**{name: value}), tools=(FIND,)))
    assert not it.value.sent


@pytest.mark.parametrize("kind", ["audio/wav", "video/mp4"])
def test_media_that_it_does_not_take_are_refused(kind):
    message = Message("user", (Media(kind, f"data:{kind};base64,QQ"),))
    with pytest.raises(ModelRefusedError, match=f"{kind} cannot be sent"):
        body_of(asking(message, tools=(FIND,)))


def test_a_choice_that_there_is_not_is_refused():
    with pytest.raises(ModelRefusedError, match="tool_choice cannot be sent"):
        body_of(asking(tools=(FIND,), tool_choice="now"))


@pytest.mark.parametrize(
    ("events", "parts", "finish"),
    [
        ((delta("No."), ended(whole(said("No.")))), (Text("No."),), "stop"),
        ((delta("No"), ended(whole(said("No"), incomplete_details={"reason": "max_output_tokens"}),
                             "incomplete")), (Text("No"),), "length"),
        ((ended(whole(said("N"), status="incomplete"), "incomplete"),), (Text("N"),), "unknown"),
        ((ended(whole(incomplete_details={"reason": "content_filter"}), "incomplete"),),
            (), "refused"),
        ((delta("I cannot.", "refusal"), ended(whole(said("I cannot.", type="refusal")))),
            (Text("I cannot."),), "refused"),
        ((ended(whole({"type": "reasoning", "summary": [{"text": "Hm."}]}, said("Yes."))),),
            (Thinking("Hm."), Text("Yes.")), "stop"),
        # A last event that repeats nothing: what came before it counts.
        (({"type": "response.output_item.done", "item": called("c", "now", "{}")}, ended(whole())),
            (ToolCall("c", "now", "{}"),), "tool_calls"),
    ],
)  # fmt: skip
def test_how_answers_end(events, parts, finish):
    _, completion, _ = ask(saying(*events))
    assert (completion.message.parts, completion.finish) == (parts, finish)


def test_a_server_that_does_not_stream_is_understood():
    deltas, completion, _ = ask(reply(200, whole(said("Whole."))))
    assert (deltas, completion.text, completion.usage.input) == (["Whole."], "Whole.", 12)


@pytest.mark.parametrize(
    ("answer", "kind", "words", "sent"),
    [
        (saying(delta("x")), ModelUnavailableError, "in the middle", True),
        (saying(), ModelUnavailableError, "no answer", True),
        (saying({"type": "error", "message": "lost"}), ModelUnavailableError, "failed: lost", True),
        (saying(ended(whole(status="failed", error={"message": "boom"}), "failed")),
            ModelUnavailableError, "failed: boom", True),
        (saying(ended(whole(status="failed"), "failed")), ModelUnavailableError, "why", True),
        (saying({"type": "error", "code": "context_length_exceeded", "message": "9"}),
            ContextLengthError, "shorter", True),
        (failed(429, "slow", code="rate_limit_exceeded"), ModelUnavailableError, "slow", False),
        (failed(400, "Invalid schema for function 'find'"), ModelRefusedError, "tools", False),
    ],
)  # fmt: skip
def test_a_failure_says_what_where_and_what_to_do(answer, kind, words, sent):
    error = error_of(answer, kind=kind)
    assert words in str(error) and error.sent is sent


def test_what_was_counted_before_it_failed_is_known():
    error = error_of(saying(ended(whole(status="failed"), "failed")), kind=ModelUnavailableError)
    assert error.usage == Usage(12, 9, 8, 3)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "object status response output item content type text summary arguments call_id"
                " delta usage error incomplete_details reason".split()
            ),
            inner | st.sampled_from("response message function_call refusal reasoning".split()),
            max_size=5,
        )
    ),
    max_leaves=20,
)
TYPES = st.sampled_from(
    "response.completed response.failed response.output_text.delta error"
    " response.output_item.done".split()
)


@given(st.lists(st.tuples(TYPES, JSON), max_size=4))
@settings(deadline=None, max_examples=100)
def test_no_event_whatever_its_shape_breaks_the_answer(events):
    answer = ResponsesAnswer()
    for kind, event in events:
        shaped = {**event, "type": kind} if isinstance(event, dict) else {"type": kind}
        answer.add(shaped)
        answer.failure_in(shaped)
    completion = answer.completion("m")
    assert msgspec.json.decode(msgspec.json.encode(completion), type=Completion) == completion
