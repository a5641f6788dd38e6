"""What an OpenAI-compatible server is asked for, and what is refused before it is asked."""

import asyncio

import pytest
from msgspec.structs import astuple

from onrecord.errors import ModelRefusedError
from onrecord.messages import (
    Media,
    Message,
    Text,
    Thinking,
    TokenProbability,
    ToolCall,
    ToolSchema,
)
from onrecord.models.model import Parameters, Request, structures
from onrecord.models.openai.api import OpenAIModel
from onrecord.models.openai.wire import Chat
from tests.models.test_openai_api import HELLO, ask, clean_environment, collect, stream, words
from tests.servers.model_server import failed, reply, serving

__all__ = ["clean_environment"]  # a fixture

CLOSED = {
    "type": "object",
    "properties": {"q": {"type": "string"}},
    "required": ["q"],
    "additionalProperties": False,
}
FIND = ToolSchema("find", "Looks it up.", CLOSED)
NOW = ToolSchema("now", "Tells the time.", {"type": "object", "properties": {}})


def asking(parameters=None, **more):
    return Request(HELLO.messages, parameters or Parameters(), **more)


def body_of(request, *, newest=False):
    return Chat("m", newest, "here").body(request)


def refusal_of(request, *, newest=False):
    with pytest.raises(ModelRefusedError) as caught:
        body_of(request, newest=newest)
    assert (caught.value.sent, caught.value.where) == (False, "here")
    return str(caught.value)


# -- tools


def test_tools_are_sent_and_their_call_comes_back():
    piece = {"index": 0, "id": "c1", "function": {"name": "find", "arguments": '{"q": "x"}'}}
    chunk = {"choices": [{"delta": {"tool_calls": [piece]}, "finish_reason": "stop"}]}
    _, completion, server = ask(stream(chunk), request=asking(tools=(FIND, NOW)))
    body = server.asked[0][1]
    assert [tool["function"]["name"] for tool in body["tools"]] == ["find", "now"]
    assert body["tools"][0] == {
        "type": "function",
        "function": {"name": "find", "description": "Looks it up.", "parameters": CLOSED},
    }
    assert "tool_choice" not in body
    assert completion.message.parts == (ToolCall("c1", "find", '{"q": "x"}'),)
    assert completion.finish == "tool_calls"


@pytest.mark.parametrize("choice", ["none", "required"])
def test_a_choice_of_tools_is_sent(choice):
    body = body_of(asking(tools=(FIND, NOW), tool_choice=choice))
    assert (body["tool_choice"], len(body["tools"])) == (choice, 2)


def test_a_named_tool_is_the_only_one_sent_and_has_to_be_called():
    """llama.cpp takes the protocol's object for "auto"."""
    body = body_of(asking(tools=(FIND, NOW), tool_choice="now"))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["now"]
    assert body["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("tools", "choice"), [((), "required"), ((), "find"), ((NOW,), "find"), ((NOW,), "Now")]
)
def test_a_choice_that_there_is_not_is_refused(tools, choice):
    said = refusal_of(asking(tools=tools, tool_choice=choice))
    assert f"tool_choice cannot be sent: it asks for '{choice}'" in said
    assert "none" in body_of(asking(tools=(NOW,), tool_choice="none"))["tool_choice"]
    assert "tools" not in body_of(asking(tool_choice="none"))


def test_openai_is_told_which_tools_are_strict():
    tools = body_of(asking(tools=(FIND, NOW)), newest=True)["tools"]
    assert [tool["function"].get("strict") for tool in tools] == [True, None]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, "tools param requires --jinja flag"),
        (400, "registry.ollama.ai/library/m:latest does not support tools"),
        (400, '"auto" tool choice requires --enable-auto-tool-choice'),
        (404, "No endpoints found that support tool use."),
    ],
)
def test_a_server_without_tools_refuses_in_words_that_say_so(status, said):
    with pytest.raises(ModelRefusedError, match="the server does not take tools: ") as caught:
        ask(failed(status, said), request=asking(tools=(FIND,)))
    assert said.rstrip(".") in str(caught.value)


def test_calls_that_all_have_the_first_place_are_told_apart():
    def piece(id, name, arguments):
        call = {"index": 0, "id": id, "function": {"name": name, "arguments": arguments}}
        return {"choices": [{"delta": {"tool_calls": [call]}}]}

    pieces = [piece("a", "find", '{"q"'), piece("a", "find", ": 1}"), piece("b", "find", "{}")]
    _, completion, _ = ask(stream(*pieces, *words(finish="tool_calls")))
    assert completion.message.parts == (
        ToolCall("a", "find", '{"q": 1}'),
        ToolCall("b", "find", "{}"),
    )


@pytest.mark.parametrize("index", [0, None])
@pytest.mark.parametrize("name", ["find", "now"])
def test_calls_of_one_place_and_without_ids_are_told_apart(index, name):
    """Gemini's and Ollama's way of old: each call whole, none with a number or an id of its own."""

    def piece(name, arguments):
        call = {"index": index, "id": "", "function": {"name": name, "arguments": arguments}}
        return {"choices": [{"delta": {"tool_calls": [call]}}]}

    pieces = [piece("find", '{"q": 1}'), piece(name, '{"q": 2}'), piece("", "")]
    _, completion, _ = ask(stream(*pieces, *words(finish="tool_calls")))
    assert completion.message.parts == (
        ToolCall("call_1", "find", '{"q": 1}'),
        ToolCall("call_2", name, '{"q": 2}'),
    )


def test_a_name_with_every_piece_is_one_call():
    def piece(arguments):
        function = {"name": "find", "arguments": arguments}
        return {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": function}]}}]}

    pieces = [piece(""), piece('{"q"'), piece(": {}"), piece("}"), piece("")]
    _, completion, _ = ask(stream(*pieces, *words(finish="tool_calls")))
    assert completion.message.parts == (ToolCall("call_1", "find", '{"q": {}}'),)


def test_arguments_that_are_no_text_and_no_json_are_kept_as_they_came():
    calls = [
        {"function": {"name": "find", "arguments": {"q": 1}}},
        {"function": {"name": "find", "arguments": '{"q": '}},
    ]
    message = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]}
    parts = ask(reply(200, message))[1].message.parts
    assert [part.arguments for part in parts] == ['{"q": 1}', '{"q": ']
    assert [part.id for part in parts] == ["call_1", "call_2"]


def test_the_ways_to_a_form_are_said():
    model = OpenAIModel("m", base_url="http://127.0.0.1:1/v1")
    assert structures(model) == ("schema", "tool", "prompted")


# -- parameters


def test_every_parameter_is_sent_to_a_server_that_may_know_it():
    wanted = Parameters(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        max_tokens=9,
        min_tokens=2,
        stop=("END",),
        seed=1,
        num_beams=1,
        repetition_penalty=1.1,
        presence_penalty=0.2,
        frequency_penalty=0.3,
        logprobs=2,
    )
    _, completion, server = ask(stream(*words("x")), request=asking(wanted))
    body = server.asked[0][1]
    sent = {
        **{"temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "max_tokens": 9},
        **{"min_tokens": 2, "stop": ["END"], "seed": 1, "repetition_penalty": 1.1},
        **{"repeat_penalty": 1.1, "presence_penalty": 0.2, "frequency_penalty": 0.3},
        **{"logprobs": True, "top_logprobs": 2},
    }
    assert {name: body.get(name) for name in sent} == sent
    assert "num_beams" not in body
    beyond, missing = completion.warnings
    assert beyond.startswith("top_k, min_p, min_tokens, repetition_penalty are not part of the")
    assert missing == "The server sent no log-probabilities."


def test_nothing_is_warned_of_where_all_is_in_the_protocol():
    assert ask(stream(*words("x")))[1].warnings == ()
    one = ask(stream(*words("x")), request=asking(Parameters(top_k=1)))[1].warnings
    assert one == (
        "top_k is not part of the OpenAI protocol: a server that does not know it ignores it.",
    )


@pytest.mark.parametrize("name", ["top_k", "min_p", "min_tokens", "repetition_penalty"])
def test_what_openai_does_not_take_is_refused_before_it_is_sent(name):
    said = refusal_of(asking(Parameters(**{name: 1})), newest=True)
    assert said.startswith(f"{name} cannot be sent: OpenAI's server does not take it")
    model = OpenAIModel("m", base_url="https://api.openai.com/v1", key="sk-a")
    with pytest.raises(ModelRefusedError, match=name):
        asyncio.run(collect(model, asking(Parameters(**{name: 1}))))


@pytest.mark.parametrize("parameters", [{"num_beams": 2}, {"length_penalty": 1.0}])
def test_beam_search_is_refused(parameters):
    (name,) = parameters
    for newest in (True, False):
        assert name in refusal_of(asking(Parameters(**parameters)), newest=newest)


def test_more_alternatives_than_openai_gives_are_refused():
    assert "at most 20" in refusal_of(asking(Parameters(logprobs=21)), newest=True)
    assert body_of(asking(Parameters(logprobs=20)), newest=True)["top_logprobs"] == 20
    assert body_of(asking(Parameters(logprobs=21)))["top_logprobs"] == 21


@pytest.mark.parametrize(
    ("parameters", "said", "field"),
    [
        ({"seed": 1}, "Unknown parameter: 'seed'", "seed"),
        ({"presence_penalty": 1}, "presence_penalty is not supported", "presence_penalty"),
        ({"logprobs": 2}, "logprobs are not supported with reasoning models", "logprobs"),
        ({"logprobs": 0}, "property 'logprobs' is unsupported", "logprobs"),
    ],
)
def test_what_a_server_refused_stands_in_the_warnings(parameters, said, field):
    replies = (failed(400, said), stream(*words("x")))
    _, completion, server = ask(*replies, request=asking(Parameters(**parameters)))
    assert completion.text == "x"
    assert completion.warnings[0] == f"The server refused {field}: {said}."
    assert not {field, "top_logprobs"} & set(server.asked[1][1])


def test_a_field_beyond_the_protocol_is_not_left_out():
    """Its refusal names it: nobody is given another answer than the one asked for."""
    refused = failed(422, "property 'top_k' is unsupported")
    with pytest.raises(ModelRefusedError, match="property 'top_k' is unsupported"):
        ask(refused, request=asking(Parameters(top_k=1)))
    replies = (failed(400, "Unrecognized: repeat_penalty"), stream(*words("x")))
    _, completion, server = ask(*replies, request=asking(Parameters(repetition_penalty=2.0)))
    assert server.asked[1][1]["repetition_penalty"] == 2.0
    assert len(completion.warnings) == 1


# -- log-probabilities


def token(text, logprob, *top):
    others = [{"token": each, "logprob": value, "bytes": None} for each, value in top]
    return {"token": text, "logprob": logprob, "bytes": [1], "top_logprobs": others}


def test_log_probabilities_come_with_their_alternatives():
    chunks = [
        {
            "choices": [
                {
                    "delta": {"content": "Hi"},
                    "logprobs": {"content": [token("Hi", -0.1, ("Hi", -0.1), ("Ho", -2))]},
                }
            ]
        },
        {"choices": [{"delta": {}, "logprobs": None, "finish_reason": "stop"}]},
    ]
    _, completion, _ = ask(stream(*chunks), request=asking(Parameters(logprobs=2)))
    assert completion.logprobs == (TokenProbability("Hi", -0.1, (("Hi", -0.1), ("Ho", -2.0))),)
    assert completion.warnings == ()
    assert ask(stream(*chunks))[1].logprobs == ()  # nobody asked


def test_log_probabilities_are_numbers_that_json_holds():
    odd = '{"choices": [{"delta": {"content": "x"}, "logprobs": {"content": ['
    odd += '{"token": "a", "logprob": -Infinity}, {"token": "b", "logprob": NaN},'
    odd += '{"token": "c", "logprob": 0.0001}, {"token": "d"}, 7,'
    odd += '{"token": "e", "logprob": ' + "9" * 400 + '}]}, "finish_reason": "stop"}]}'
    _, completion, _ = ask(stream(odd), request=asking(Parameters(logprobs=0)))
    assert [each[:2] for each in map(astuple, completion.logprobs)] == [
        ("a", -9999.0),
        ("c", 0.0),
        ("e", 0.0),
    ]


# -- media


def content_of(media_type, url, *, newest=False):
    message = Message("user", (Text("Look:"), Media(media_type, url)))
    return body_of(Request((message,)), newest=newest)["messages"][0]["content"][1]


def test_images_sounds_and_files_are_passed_on():
    assert content_of("image/png", "https://a.example/b.png") == {
        "type": "image_url",
        "image_url": {"url": "https://a.example/b.png"},
    }
    for newest in (True, False):
        assert content_of("audio/mpeg", "data:audio/mpeg;base64,QUJD", newest=newest) == {
            "type": "input_audio",
            "input_audio": {"data": "QUJD", "format": "mp3"},
        }
        assert content_of("application/pdf", "data:application/pdf;base64,QQ", newest=newest) == {
            "type": "file",
            "file": {"filename": "file.pdf", "file_data": "data:application/pdf;base64,QQ"},
        }
    assert content_of("video/mp4", "https://a.example/b.mp4") == {
        "type": "video_url",
        "video_url": {"url": "https://a.example/b.mp4"},
    }
    assert content_of("audio/wav", "https://a.example/b.wav")["type"] == "audio_url"


@pytest.mark.parametrize(
    ("media_type", "url", "newest"),
    [
        ("video/mp4", "data:video/mp4;base64,QQ", True),
        ("audio/wav", "https://a.example/b.wav", True),
        ("application/pdf", "https://a.example/b.pdf", False),
    ],
)
def test_media_that_the_server_cannot_read_are_refused(media_type, url, newest):
    message = Message("user", (Media(media_type, url),))
    assert media_type in refusal_of(Request((message,)), newest=newest)


def test_thinking_is_kept_apart_from_the_words():
    for field in ("reasoning", "reasoning_content"):
        thought = {"choices": [{"delta": {field: "Hm."}}]}
        deltas, completion, _ = ask(stream(thought, *words("Yes.")))
        assert (deltas, completion.text) == (["Yes."], "Yes.")
        assert completion.message.parts == (Thinking("Hm."), Text("Yes."))
        wire = body_of(Request((completion.message,)))["messages"]
        assert wire == [{"role": "assistant", "content": "Yes."}]


def test_nothing_is_sent_of_a_request_that_is_refused():
    with serving() as server:
        model = OpenAIModel("m", base_url=server.url)
        with pytest.raises(ModelRefusedError, match="num_beams"):
            asyncio.run(collect(model, asking(Parameters(num_beams=4))))
        assert not server.asked
