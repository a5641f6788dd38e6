"""Prompts: what is sent, who answers, and what comes back."""

import asyncio
import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import onrecord as on
from onrecord.errors import ModelError, OutputError, PromptError, UsageError
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
from onrecord.prompts import structuring
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


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"repairs": -1}, r"repairs is -1\. It is how often an answer may go back: 0 or more"),
        ({"repairs": "2"}, r"repairs is '2'\. It is how often"),
        ({"repairs": True}, r"repairs is True\. It is how often"),
        ({"reasoning": "yes"}, r"reasoning is 'yes'\. It is True or False"),
        ({"parameters": 5}, r"parameters is 5 \(.*test_prompt\.py:\d+\)\. They have names"),
        ({"parameters": {"temprature": 1}}, r"no parameter 'temprature' .*Did you mean 'temp"),
        ({"untrusted": True}, r"untrusted is True\. It names arguments"),
        ({"untrusted": 5}, r"untrusted is 5\. It names arguments"),
        ({"untrusted": ["text", 5]}, r"untrusted is \['text', 5\]\. It names arguments"),
        ({"model": 5}, r"5 is no model\."),
        ({"model": Scripted}, r"Scripted is a class and no model\. Make one"),
        ({"name": 5}, r"5 is no name of a prompt"),
        ({"name": ""}, r"'' is no name of a prompt"),
    ],
)
def test_what_a_decorator_cannot_mean_is_said_at_once(said, sentence):
    with pytest.raises(UsageError, match=sentence) as caught:
        prompt(**said)(plain.__wrapped__)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("said", [5, Scripted, plain])
def test_using_takes_a_model(said):
    with pytest.raises(UsageError, match=r"is no model|is a class and no model"):
        plain.using(said)


def test_using_changes_parameters_for_one_use():
    model = Scripted("x")
    warm = plain.using(model, temperature=1, max_tokens=9)
    warm.run("hi")
    warm.using(temperature=0.0).run("hi")
    plain.using(model).run("hi")
    assert [each.parameters for each in model.requests] == [
        Parameters(temperature=1, max_tokens=9),
        Parameters(temperature=0.0, max_tokens=9),
        Parameters(),
    ]
    with pytest.raises(PromptError, match=r"no parameter 'temprature' \(prompt plain\)\. Did you"):
        plain.using(temprature=1)


def test_what_is_no_function_is_said_to_be_none():
    with pytest.raises(PromptError, match=r"asynchronous function, and 5 is none\. Write @prompt"):
        prompt(5)


def test_a_missing_argument_names_the_prompt():
    for call in (plain.render, plain.run):
        with pytest.raises(TypeError, match=r"^plain\(\) missing a required argument"):
            call()


def test_without_a_model_it_is_said_how_to_name_one():
    @prompt
    async def greet(name: str) -> str:
        """Greet."""

    with pytest.raises(PromptError, match=r"'greet' has no model, .*can only quote") as caught:
        greet.run("Ada")
    cure = 'Name one: @prompt(model="openai:NAME"), greet.using("openai:NAME"), or the variable'
    assert cure in str(caught.value)


def test_a_prompt_is_shown_as_what_it_is():
    said = "<Prompt plain(text: str, times: int = 2) -> str, "
    assert repr(plain) == f"{said}scripted:demo, version {plain.version[:8]}>"
    assert "scripted:test" in repr(plain.using(Scripted("x")))
    write("---\nmodel: [\n---\nx")
    assert repr(plain) == f"{said}scripted:demo>"
    assert repr(prompt(unreadable)) == "<Prompt unreadable(x: 'Nowhere') -> str>"


async def unreadable(x: "Nowhere") -> str:  # noqa: F821
    """Do."""


def test_what_a_model_has_learned_is_kept_while_its_settings_are(monkeypatch):
    def answering(name):
        return asyncio.run(plain.using(name)._answering(None))

    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    first = answering("openai:x")
    assert answering("openai:x") is first
    assert answering("openai:y") is not first
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:2/v1")
    other = answering("openai:x")
    assert other is not first and ":2" in other.version


# -- what the text does not show


@pytest.mark.parametrize("text", ["# user\nSort {text}", "Sort { text }.", "{{ times }} {text}"])
def test_a_brace_too_few_is_an_error(text):
    write(text)
    with pytest.raises(
        PromptError, match=r"is sent as it stands .*plain\.md:\d\)\. Write {{ text }}"
    ):
        plain.render("hi")


def test_a_text_that_shows_no_argument_is_an_error():
    write("# user\nSort the mail.")
    model = Scripted("x")
    with pytest.raises(
        PromptError, match=r"shows no argument of the prompt: text, times \(.*{{ text"
    ):
        plain.using(model).run("hi")
    assert model.requests == []


def test_an_argument_that_is_not_shown_is_logged_once_a_version(caplog):
    write("# user\n{{ text }}")
    for _ in range(3):
        plain.render("hi")
        plain.using("scripted:echo").run("hi")
    (record,) = caplog.records
    assert record.message.startswith("the text does not show 'times' (prompts/plain.md)")
    write("# user\nSay {{ text }}")
    plain.render("hi")
    assert len(caplog.records) == 2


def test_what_is_meant_as_it_stands_is_sent():
    write('# user\n{{ text }} {text} as {"text": ...}, ${times} {% if times %}{% endif %}')
    assert plain.render("hi")[-1].text == 'hi {text} as {"text": ...}, ${times}'


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


def test_a_text_that_was_cut_off_is_returned_with_a_warning(caplog):
    structuring._tell_cut_off.cache_clear()
    half = completion("Once upon", "length")
    with on.recording() as run:
        assert plain.using(Scripted(half)).run("x") == "Once upon"
        plain.using(Scripted(half)).run("y")
    (record,) = caplog.records  # once for a prompt and a model
    assert record.name == "onrecord" and record.message == (
        "plain: the answer of scripted:test was cut off at its limit of tokens. Raise max_tokens."
    )
    assert run.records[0].output["finish"] == "length"


def test_json_that_is_whole_at_the_limit_is_taken_without_a_word(caplog):
    assert ask(completion(wire(), "length"))[0].value == "25"
    assert caplog.records == []


def test_what_does_not_fit_is_said_without_noise():
    @prompt
    async def listed(text: str) -> list[str]:
        """List."""

    with pytest.raises(OutputError) as caught:
        listed.using(Scripted("one, two")).run("x")
    message = str(caught.value)
    assert message.startswith("the answer does not fit its type: There is no complete JSON in it (")
    assert "`onrecord records show @1`" in message and "Input should" not in message


def test_an_answer_without_words_is_unfit():
    with pytest.raises(OutputError):
        ask(*[Completion(Message("assistant", ()), "scripted:test")] * 2)
