"""Prompts: what is sent, who answers, and what comes back."""

import asyncio
import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from onrecord.errors import ModelError, OutputError, PromptError
from onrecord.messages import (
    Cited,
    Completion,
    Message,
    Passage,
    Result,
    TextDelta,
    text_message,
)
from onrecord.models.model import Parameters
from onrecord.models.scripted import Scripted
from onrecord.prompts.prompt import Prompt, prompt

PASSAGES = [
    Passage("a.md", "A", "You have 25 days of leave.", 100, 126, 0.9),
    Passage("b.md", "B", "Carry over 5.", 0, 13, 0.5),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONRECORD_RECORD", "false")


@prompt
async def answer(question: str, passages: list[Passage]) -> Cited[str]:
    """Answer only from the passages."""


@prompt(model="scripted:demo")
async def plain(text: str, times: int = 2) -> str:
    """Say it.

    Then say it again.
    """


def wire(answer="25", quotes=("25 days",), refused=False, reason=""):
    return json.dumps(
        {"answer": answer, "quotes": list(quotes), "refused": refused, "reason": reason}
    )


def words(messages):
    return [(message.role, message.text) for message in messages]


def write(text, name="plain", folder="prompts"):
    Path(folder).mkdir(exist_ok=True)
    (Path(folder) / f"{name}.md").write_text(text, encoding="utf-8")


# -- what is sent


def test_without_a_file_the_docstring_instructs_and_the_arguments_are_laid_out():
    assert words(plain.render("hi")) == [
        ("system", "Say it.\n\nThen say it again."),
        ("user", "<text>\nhi\n</text>\n\n<times>\n2\n</times>"),
    ]


def test_what_is_rendered_is_what_is_sent():
    model = Scripted(wire())
    answer.using(model).run("How many?", PASSAGES)
    (request,) = model.requests
    assert request.messages == answer.render("How many?", passages=PASSAGES)
    assert request.inputs == {"question": "How many?", "passages": PASSAGES}
    assert set(request.schema["properties"]) == {"answer", "quotes", "refused", "reason"}
    assert '<passage number="2" title="B" document="b.md">' in request.messages[1].text


def test_a_file_in_the_working_folder_is_the_text_and_is_read_anew():
    write("---\nmodel: scripted:echo\nparameters: {temperature: 0.5, seed: 1}\n---\n{{ text }}!")
    assert words(plain.render("hi"))[1:] == [("user", "hi!")]
    before = plain.version
    write("# user\n{{ text }}?\n")
    assert words(plain.render("hi")) == [("user", "hi?")]
    assert plain.version != before
    write("{{ txt }}")
    with pytest.raises(PromptError, match=r"Did you mean 'text'\? There are text, times"):
        plain.render("hi")


def test_a_file_beside_the_module_comes_first(tmp_path):
    source = tmp_path / "app" / "module.py"
    source.parent.mkdir()
    source.write_text("async def plain(text: str) -> str: 'Doc.'")
    names = {"__name__": "module"}
    exec(compile(source.read_text(), str(source), "exec"), names)
    write("# user\nhere: {{ text }}")
    write("# user\nbeside: {{ text }}", folder=source.parent / "prompts")
    assert words(prompt(names["plain"]).render("x")) == [("user", "beside: x")]


def test_several_arguments_of_passages_are_numbered_through():
    @prompt
    async def compare(
        first: Passage, others: tuple[Passage, ...], none: list[Passage]
    ) -> Cited[str]:
        """Compare."""

    user = compare.render(PASSAGES[0], (PASSAGES[1],), [])[1].text
    assert 'number="1" title="A"' in user and 'number="2" title="B"' in user
    assert user.endswith("(no passages)")


def test_the_version_follows_text_and_types():
    def made(annotation, doc="Do."):
        async def same(x): ...

        same.__doc__ = doc
        same.__annotations__ = {"x": str, "return": annotation}
        return prompt(same).version

    assert made(str) == made(str)
    assert len({made(str), made(int), made(str, "Do it."), made(list[int])}) == 4


def test_what_cannot_be_a_prompt_is_refused_in_words():
    with pytest.raises(PromptError, match="Write 'async def'"):
        prompt(lambda: 1)

    @prompt
    async def nothing(x: str) -> str: ...

    with pytest.raises(PromptError, match=r"Give it a docstring, or write .*nothing\.md"):
        nothing.render("x")

    @prompt
    async def untyped(x):
        """Do."""

    with pytest.raises(PromptError, match="does not say what it returns"):
        untyped.render("x")

    @prompt
    async def unknown(x: "Nowhere") -> str:  # noqa: F821
        """Do."""

    with pytest.raises(PromptError, match="cannot be read: name 'Nowhere'"):
        unknown.render("x")
    with pytest.raises(TypeError, match="missing a required argument"):
        plain.render()


@pytest.mark.parametrize("name", ["../plain", "a/b", "a\\b", "..", "a\0b"])
def test_a_name_leads_into_no_other_folder(name):
    with pytest.raises(PromptError, match=r"is no name of a prompt.*the folder prompts"):
        prompt(name=name)(plain.__wrapped__)


def test_repairs_are_a_number_from_nought():
    with pytest.raises(PromptError, match=r"repairs is -1\. It is how often"):
        prompt(repairs=-1)(plain.__wrapped__)


def test_a_file_of_front_matter_alone_leaves_the_words_to_the_docstring():
    before = words(plain.render("hi"))
    version = plain.version
    write("---\nmodel: scripted:echo\nparameters: {temperature: 0.5}\n---\n")
    assert words(plain.render("hi")) == before
    assert plain.version != version
    model = Scripted("yes")
    plain.using(model).run("hi")
    assert model.requests[0].parameters.temperature == 0.5


def test_a_file_that_says_nothing_is_an_error_before_anything_is_sent():
    write("# user\n{% if times > 2 %}{{ text }}{% endif %}\n")
    model = Scripted("yes")
    with pytest.raises(PromptError, match=r"the prompt says nothing \(.*plain\.md"):
        plain.using(model).run("hi")
    assert model.requests == []
    assert plain.using(model).run("hi", 3) == "yes"


def test_types_of_the_enclosing_function_are_seen():
    class Local(str): ...

    @prompt
    async def local(x: Local) -> "list[int]":
        """Do."""

    assert local.using(Scripted("[1]")).run(Local("x")) == [1]


# -- who answers


def test_using_wins_over_the_decorator_and_that_over_the_file():
    write("---\nmodel: scripted:nobody\nparameters: {temperature: 0.5, seed: 1}\n---\n{{ text }}")
    assert plain.run("hi").startswith("Thank you")
    assert plain.using("scripted:echo").run("hi") == "hi"
    with pytest.raises(ModelError, match="1 replies"):
        other = plain.using(Scripted(["x"]))
        other.run("a"), other.run("b")

    model = Scripted("x")

    @prompt(model=model, name="plain", parameters={"temperature": 0.1})
    async def other_name(text: str) -> str:
        """Say."""

    other_name.run("hi")
    assert model.requests[0].parameters == Parameters(temperature=0.1, seed=1)
    assert other_name.name == "plain"


def test_it_is_a_function_that_keeps_its_name_and_its_parameters():
    assert isinstance(plain, Prompt)
    assert (plain.__name__, plain.__doc__.splitlines()[0]) == ("plain", "Say it.")
    assert list(inspect.signature(plain.__wrapped__).parameters) == ["text", "times"]


def test_it_is_awaited_run_and_streamed():
    echo = plain.using("scripted:echo")
    assert "<text>" in asyncio.run(echo("hi"))
    deltas, results = [], []
    for event in echo.stream("hi"):
        if isinstance(event, TextDelta):
            deltas.append(event.text)
        if isinstance(event, Result):
            results.append(event.value)
    assert results == ["".join(deltas)]


def test_a_method_is_a_prompt_too():
    class Desk:
        @prompt(model="scripted:echo")
        async def reply(self, text: str) -> str:
            """Reply."""

    assert Desk().reply.run("hi") == "<text>\nhi\n</text>"
    assert words(Desk().reply.render(text="x"))[1] == ("user", "<text>\nx\n</text>")
    assert SimpleNamespace(reply=Desk.reply).reply.name == "reply"


# -- what comes back


def ask(*replies, repairs=None):
    model = Scripted(list(replies))
    asked = answer.using(model)
    asked._repairs = repairs
    return asked.run("How many?", PASSAGES), model.requests


def test_a_good_answer_is_taken_at_once():
    value, requests = ask(wire())
    assert (value.value, value.reason, len(requests)) == ("25", "", 1)
    (citation,) = value.citations
    assert (citation.document_id, citation.quote) == ("a.md", "25 days")
    assert (citation.start, citation.end) == (109, 116)


def test_a_quotation_that_is_not_there_goes_back_once_and_is_then_dropped():
    value, requests = ask(wire(quotes=["25 days", "26 days"]), wire(quotes=["25 days"]))
    assert (len(value.citations), value.reason) == (1, "")
    assert requests[1].messages[:2] == requests[0].messages
    assert requests[1].messages[2].role == "assistant"
    assert "“26 days”" in requests[1].messages[3].text

    value, requests = ask(wire(quotes=["25 days", "26 days"]), wire(quotes=["27 days"]))
    assert [citation.quote for citation in value.citations] == ["25 days"]
    assert "26 days" in value.reason and len(requests) == 2


def test_a_usable_answer_without_a_verified_quotation_is_kept_and_says_so():
    value, requests = ask(wire(quotes=[]), "sorry?")
    assert (value.value, value.citations, value.refused) == ("25", (), False)
    assert value.reason == "No quotation supports this answer."
    assert len(requests) == 2


def test_a_repair_may_end_in_a_refusal():
    value, _ = ask(wire(quotes=["no"]), wire(None, [], True, "Not in the passages."))
    assert value == Cited(None, (), True, "Not in the passages.")


def test_bad_json_goes_back_once_and_is_then_an_error():
    value, requests = ask("I think 25", wire())
    assert value.value == "25"
    assert "There is no complete JSON in it." in requests[1].messages[-1].text
    with pytest.raises(OutputError, match=r"does not fit its type: .* \(prompt answer, scripted:"):
        ask("no", "no")
    with pytest.raises(OutputError):
        ask("no", repairs=0)
    assert len(ask("no", "no", "no", wire(), repairs=3)[1]) == 4


def completion(text, finish):
    return Completion(text_message("assistant", text), "scripted:test", finish=finish)


def test_a_refusal_by_the_provider_is_one():
    assert ask(completion("", "refused"))[0] == Cited(None, (), True, "The model declined.")
    with pytest.raises(OutputError, match="declined to answer: I cannot"):
        plain.using(Scripted(completion("I cannot", "refused"))).run("x")


def test_an_answer_that_was_cut_off_is_said_to_be():
    _, requests = ask(completion('{"answer":', "length"), wire())
    assert "cut off at the limit of tokens" in requests[1].messages[-1].text
    with pytest.raises(OutputError, match="Raise max_tokens"):
        plain.using(Scripted(completion("", "length"))).run("x")


def test_an_answer_without_words_is_unfit():
    with pytest.raises(OutputError):
        ask(*[Completion(Message("assistant", ()), "scripted:test")] * 2)
