"""Demos: read with their lines, checked against the types, chosen for a question, shown."""

import asyncio
import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import PromptError
from onrecord.messages import Cited, Passage
from onrecord.models.scripted import Scripted
from onrecord.prompts.demos import marginal
from onrecord.prompts.prompt import prompt
from onrecord.records.replay import replay
from onrecord.records.scope import recording

MAILS = {
    "My bill is wrong": "billing",
    "The parcel has not arrived": "delivery",
    "I was charged twice on my card": "billing",
    "The courier left the package outside": "delivery",
    "How do I reset my password?": "other",
}


@prompt
async def triage(mail: str) -> Literal["billing", "delivery", "other"]:
    """Which desk is this mail for?"""


@pytest.fixture(autouse=True)
def folder(project, monkeypatch):
    monkeypatch.chdir(project)
    Path("prompts").mkdir()
    return project


def write_demos(*demos, name="triage"):
    lines = [each if isinstance(each, str) else json.dumps(each) for each in demos]
    Path(f"prompts/{name}.demos.jsonl").write_text("\n".join(lines) + "\n")


def usual():
    write_demos(*({"inputs": {"mail": mail}, "output": desk} for mail, desk in MAILS.items()))


def front(text, body="# system\nSort.\n# user\n{{ mail }}", name="triage"):
    Path(f"prompts/{name}.md").write_text(f"---\n{text}\n---\n{body}\n")


def words(messages):
    return [(message.role, message.text) for message in messages]


def shown(mail="Where is my package?"):
    """The mails of the demos, in the order they are shown."""
    messages = triage.render(mail)
    assert messages[-1].text.endswith(mail) or mail in messages[-1].text
    asked = [each.text for each in messages if each.role == "user"][:-1]
    return [next(mail for mail in MAILS if mail in text) for text in asked]


def refusal(*demos, of=triage):
    write_demos(*demos, name=of.name)
    with pytest.raises(PromptError) as caught:
        of.render("x")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_prompt_without_a_file_shows_them_before_the_question():
    write_demos({"inputs": {"mail": "My bill is wrong"}, "output": "billing"})
    system, question, answer, last = words(triage.render("Where is it?"))
    assert system[1].startswith("Which desk")
    assert question == ("user", "<mail>\nMy bill is wrong\n</mail>")
    assert answer == ("assistant", '{"value": "billing"}')
    assert last == ("user", "<mail>\nWhere is it?\n</mail>")


def test_what_is_rendered_is_what_is_sent():
    usual()
    front("demos: {select: similar, k: 2}")
    model = Scripted('"other"')
    assert triage.using(model).run("Where is my package?") == "other"
    (request,) = model.requests
    assert request.messages == triage.using(model).render("Where is my package?")
    assert len(request.messages) == 1 + 2 * 2 + 1


def test_the_version_follows_the_demos():
    plain = triage.version
    usual()
    first = triage.version
    write_demos({"inputs": {"mail": "a"}, "output": "billing"})
    assert len({plain, first, triage.version}) == 3
    front("demos: [{inputs: {mail: a}, output: billing}]")
    inline = triage.version
    front("demos: [{inputs: {mail: a}, output: other}]")
    assert triage.version != inline


def test_fixed_ones_are_shown_in_their_order():
    usual()
    assert shown() == list(MAILS)
    front("demos: {k: 2}")
    assert shown() == list(MAILS)[:2]


def test_the_most_similar_stands_next_to_the_question():
    usual()
    front("demos: {select: similar, k: 2}")
    assert shown("I have been charged two times") == [
        "My bill is wrong",
        "I was charged twice on my card",
    ]
    assert shown("I forgot my password")[-1] == "How do I reset my password?"


def test_diverse_ones_are_not_all_alike():
    write_demos(
        {"inputs": {"mail": "My bill is wrong"}, "output": "billing"},
        {"inputs": {"mail": "My bill is wrong"}, "output": "billing"},
        {"inputs": {"mail": "The parcel has not arrived"}, "output": "delivery"},
    )
    front("demos: {select: similar, k: 2}")
    assert shown("Is my bill wrong?") == ["My bill is wrong"] * 2
    front("demos: {select: diverse, k: 2}")
    assert shown("Is my bill wrong?") == ["My bill is wrong", "The parcel has not arrived"]


def test_a_budget_of_tokens_passes_over_what_does_not_fit():
    write_demos(
        {"inputs": {"mail": "My bill is wrong " * 20}, "output": "billing"},
        {"inputs": {"mail": "The parcel has not arrived"}, "output": "delivery"},
        {"inputs": {"mail": "How do I reset my password?"}, "output": "other"},
    )
    front("demos: {tokens: 15}")
    assert shown() == ["The parcel has not arrived"]
    front("demos: {tokens: 1}")
    assert shown() == []


def test_marks_around_untrusted_inputs_are_those_of_the_call():
    usual()
    front("untrusted: mail\ndemos: {k: 1}")
    _, demo, _, question = triage.render("Where is it?")
    mark = question.text.partition("\n")[0]
    assert mark.startswith("<untrusted-") and demo.text.startswith(mark)


def test_passages_and_quotations():
    @prompt
    async def answer(question: str, passages: list[Passage]) -> Cited[str]:
        """Answer from the passages."""

    quote = {"passage": 1, "quote": "28 days"}
    good = {"answer": "28 days", "quotes": [quote]}
    inputs = {"question": "How long?", "passages": ["Leave is 28 days."]}
    write_demos({"inputs": inputs, "output": good}, name="answer")
    passage = Passage("a", "A", "Text.", 0, 5, 1.0)
    _, demo, said, _ = answer.render("Why?", [passage])
    assert "Leave is 28 days." in demo.text and 'number="1"' in demo.text
    assert json.loads(said.text) == {"refused": False, "reason": "", **good}
    bad = {"answer": "40 days", "quotes": [{"passage": 1, "quote": "40 days"}]}
    write_demos(
        {"inputs": inputs, "output": good}, {"inputs": inputs, "output": bad}, name="answer"
    )
    with pytest.raises(PromptError, match=r"no passage holds these words.*answer\.demos\.jsonl:2"):
        answer.render("Why?", [passage])


def test_reasoning_is_shown_where_it_is_asked_for():
    @prompt(reasoning=True)
    async def think(mail: str) -> Literal["billing", "other"]:
        """Which desk?"""

    @prompt(reasoning=True)
    async def speak(mail: str) -> str:
        """Which desk?"""

    demo = {"inputs": {"mail": "a"}, "output": "billing", "reasoning": "It is about money."}
    for function in (think, speak):
        write_demos(demo, name=function.name)
    said = json.loads(think.render("x")[2].text)
    assert said == {"reasoning": "It is about money.", "answer": "billing"}
    text = speak.render("x")[2].text
    assert text == "<reasoning>\nIt is about money.\n</reasoning>\nbilling"
    write_demos(demo)
    assert triage.render("x")[2].text == '{"value": "billing"}'
    del demo["reasoning"]
    assert "the demo has no reasoning" in refusal(demo, of=think)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "the demo is no JSON: Expecting property name"),
        ("[1]", "the demo has no inputs"),
        ('{"inputs": {"mail": "a"}}', "the demo has no output"),
        ('{"inputs": {"mail": "a"}, "output": "a", "ouput": 1}', "an unknown field 'ouput'"),
        ('{"inputs": {"mial": "a"}, "output": "other"}', "Did you mean 'mail'? There are mail."),
        ('{"inputs": {"mail": [1]}, "output": "other"}', "the demo's input 'mail' does not fit"),
        ('{"inputs": {}, "output": "other"}', "missing a required argument: 'mail'"),
        ('{"inputs": {"mail": "a"}, "output": "sales"}', "the demo's output does not fit"),
        ('{"inputs": {"mail": "a"}, "output": "a", "reasoning": 1}', "the reasoning of the demo"),
        ("[" * 100_000, "the demo is no JSON"),
    ],
)
def test_a_wrong_line_is_one_sentence_with_its_number(line, message):
    good = {"inputs": {"mail": "a"}, "output": "other"}
    said = refusal(good, "", line)
    assert message in said
    assert "triage.demos.jsonl:3" in said


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "demos: {selct: fixed}",
            "unknown field 'selct' (prompts/triage.md). Did you mean 'select'",
        ),
        ("demos: {select: best}", "Invalid enum value 'best'"),
        ("demos: {k: 0}", "whole numbers from 1"),
        ("demos: 3", "the front matter does not fit"),
        (
            "demos: {file: none.jsonl}",
            "is not there (prompts/none.jsonl). prompts/triage.md names it",
        ),
        ("demos: [{inputs: {mail: a}}]", "demo 1 has no output"),
        ("demos: [{inputs: {1: a}, output: other}]", "demo 1 has an input whose name is 1"),
        ('demos: {file: "a\\0b"}', "the character NUL in its name (prompts/triage.md)"),
        ("demos: [{inputs: {mail: a}, output: sales}]", "the demo's output does not fit"),
    ],
)
def test_a_wrong_front_matter_is_one_sentence(said, message):
    front(said)
    with pytest.raises(PromptError) as caught:
        triage.render("x")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_an_empty_file_and_a_prompt_without_a_question():
    write_demos()
    with pytest.raises(PromptError, match="there is no demo in the file"):
        triage.render("x")
    usual()
    front("repairs: 1", body="# system\nSort {{ mail }}.")
    with pytest.raises(PromptError, match="no user message to show them before"):
        triage.render("x")


def test_the_vectors_of_demos_are_computed_once():
    usual()
    front("demos: {select: similar, k: 1}")
    model = Scripted(['"other"'] * 9)
    asked = triage.using(model)

    async def several():
        return await asyncio.gather(*(asked(f"Mail {number}") for number in range(8)))

    with recording() as run:
        assert asyncio.run(several()) == ["other"] * 8
    embedded = [record.input["texts"] for record in run.records if record.kind == "embed"]
    assert sorted(map(len, embedded)) == [1] * 8 + [5]


def test_a_replay_gives_the_same_demos_whatever_was_called_before(tmp_path):
    usual()
    front("demos: {select: similar, k: 2}")
    cassette = tmp_path / "c.jsonl"
    asked = triage.using(Scripted('"other"'))
    triage.render("something first")  # the demos' vectors are there already
    with replay(cassette, record="all"):
        assert asked.run("Where is my package?") == "other"
    front("demos: {select: similar, k: 2}\n")  # read anew, as another process would
    with replay(cassette, record=False):
        assert asked.run("Where is my package?") == "other"


@given(st.integers(0, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_marginal_relevance_takes_each_once_and_begins_with_the_nearest(count, most, seed):
    vectors = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    similar = vectors[:, 0] if count else np.zeros(0, np.float32)
    places = marginal(similar, vectors @ vectors.T, most)
    assert len(places) == len(set(places)) == min(count, most)
    if places:
        assert places[0] == int(np.argmax(similar))
