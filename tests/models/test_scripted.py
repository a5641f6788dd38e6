"""The public double."""

import asyncio

import pytest

from onrecord.errors import ModelError, ModelUnavailableError, UnknownNameError, UsageError
from onrecord.messages import Completion, Message, TextDelta, ToolCall, Usage, text_message
from onrecord.models.model import Request
from onrecord.models.scripted import Scripted, named


def ask(model, text="How are you?"):
    async def events():
        return [event async for event in model.stream(Request((text_message("user", text),)))]

    *deltas, completion = asyncio.run(events())
    assert isinstance(completion, Completion)
    assert all(isinstance(delta, TextDelta) for delta in deltas)
    assert "".join(delta.text for delta in deltas) == completion.text
    return completion


def test_it_answers_from_its_script_and_then_says_that_it_is_at_its_end():
    model = Scripted(["one  two\n", lambda request: request.messages[0].text.upper()])
    first = ask(model)
    assert (first.text, first.usage, first.model) == ("one  two\n", Usage(3, 2), "scripted:test")
    assert ask(model).text == "HOW ARE YOU?"
    with pytest.raises(ModelError, match="2 replies and this is request 3"):
        ask(model)
    assert [request.messages[0].text for request in model.requests] == ["How are you?"] * 3


def test_one_reply_answers_every_request():
    model = Scripted("yes")
    assert [ask(model).text for _ in range(3)] == ["yes"] * 3
    assert ask(Scripted("")).text == ""


def test_a_reply_may_be_a_completion_or_an_error():
    whole = Completion(text_message("assistant", "cut"), "scripted:x", finish="length")
    model = Scripted([whole, ModelUnavailableError("down")], name="scripted:x")
    assert ask(model) == whole
    with pytest.raises(ModelUnavailableError, match="down"):
        ask(model)


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        (None, "None is no reply of a script"),
        (5, "5 is no reply"),
        (["x", 5], "5 is no reply"),
        (lambda: "x", "cannot be called with a request"),
    ],
)
def test_what_is_no_reply_is_refused_when_the_script_is_made(replies, said):
    with pytest.raises(UsageError, match=said):
        Scripted(replies)


def test_a_function_that_gives_no_text_is_named():
    with pytest.raises(UsageError, match="a function of the script gave 5 and no text"):
        ask(Scripted(lambda request: 5))


def test_the_version_follows_the_script():
    assert Scripted(["a"]).version == Scripted(["a"]).version != Scripted(["b"]).version
    assert Scripted("a").version != Scripted(["a"]).version


def test_the_built_in_scripts():
    assert "Thank you" in ask(named("demo")).text
    assert ask(named("echo"), "Say this.").text == "Say this."
    with pytest.raises(UnknownNameError, match="scripted:demo and scripted:echo"):
        named("nobody")


def test_a_function_of_the_script_may_call_tools() -> None:
    call = ToolCall("1", "look", "{}")

    def reply(request: Request) -> str | Completion:
        return Completion(Message("assistant", (call,)), "scripted:test", finish="tool_calls")

    async def asked() -> Completion:
        request = Request((text_message("user", "Look."),))
        (completion,) = [each async for each in Scripted(reply).stream(request)]
        assert isinstance(completion, Completion)
        return completion

    assert asyncio.run(asked()).message.parts == (call,)
