"""Prompty files, both versions, as they are; and what of them cannot be honoured."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.errors import PromptError
from onrecord.models.model import Parameters
from onrecord.models.scripted import Scripted
from onrecord.prompts.prompt import prompt
from onrecord.prompts.prompty import parsed
from onrecord.prompts.reading import read
from onrecord.prompts.template import parameters

V1 = """---
name: Triage
description: Route a support mail.
authors: [someone]
model:
  api: chat
  configuration: {type: openai, name: gpt-6-luna}
  parameters: {temperature: 0.2, max_tokens: 200, stop: END}
inputs:
  mail: {type: string}
sample: {mail: My parcel is late.}
---
system:
Route the mail to billing, delivery or other.
user:
{{mail}}
"""
V2 = """---
name: triage
description: Route a support mail.
metadata: {tags: [support]}
model:
  id: gpt-6-luna
  provider: openai
  apiType: chat
  options: {temperature: 0.2, maxOutputTokens: 200, stopSequences: ["END"]}
inputs:
  - {name: mail, kind: string, required: true, example: My parcel is late.}
outputs:
  - {name: team, kind: string, enumValues: [billing, delivery, other]}
template: {format: {kind: jinja2}, parser: {kind: prompty}}
---
system:
Route the mail to billing, delivery or other.

user:
{{ mail }}
"""


def file(front="", body="user:\n{{ mail }}"):
    return parsed(f"---\n{front}\n---\n{body}\n", "p.prompty")


def refusal(front="", body="user:\nx", where="p.prompty"):
    with pytest.raises(PromptError) as caught:
        parsed(f"---\n{front}\n---\n{body}\n", where)
    message = str(caught.value)
    assert "p.prompty" in message and "\n" not in message
    return message


def said(template, **values):
    return [(message.role, message.text) for message in template.render(values)]


@pytest.mark.parametrize("source", [V1, V2])
def test_both_versions_say_the_same(source):
    template = parsed(source, "triage.prompty")
    assert template.front.model == "openai:gpt-6-luna"
    assert template.front.description == "Route a support mail."
    assert parameters(template.front.parameters, "x") == Parameters(
        temperature=0.2, max_tokens=200, stop=("END",)
    )
    assert template.parts.examples == {"mail": "My parcel is late."}
    assert said(template, mail="Where is it?") == [
        ("system", "Route the mail to billing, delivery or other."),
        ("user", "Where is it?"),
    ]


def test_what_changes_no_message_is_noted():
    assert parsed(V1, "p").parts.notes == ()
    (note,) = parsed(V2, "p").parts.notes
    assert note == "its outputs are not read: the function's return type is the contract"
    notes = file("modle: x\nmodel: {id: m, apiType: responses, idd: 1}").parts.notes
    assert notes[0] == "its field 'modle' is not read. Did you mean 'model'?"
    assert "asks for the API 'responses'" in notes[2] and "model.idd" in notes[1]
    assert "image" in file(body="user:\n![a](b.png)").parts.notes[0]
    assert "line 4" in file(body='user[name="x"]:\n{{ mail }}').parts.notes[0]


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ("tools: [{name: search, kind: function}]", "it names tools"),
        ("model: {api: chat, parameters: {tools: [{}]}}", "it names tools"),
        ("model: {api: completion}", "it asks for the API 'completion'"),
        ("model: {apiType: embedding}", "it asks for the API 'embedding'"),
        ("model: {api: chat, response: all}", "it asks for the response 'all'"),
        ("model: {id: m, options: {topN: 1}}", "Did you mean 'topP'"),
        ("model: {api: chat, parameters: {n: 3}}", "'n' has no counterpart"),
        ("model: {id: m, provider: acme}", "provider 'acme' is not known"),
        ("template: mustache", "(p.prompty). Jinja2 is read"),
        ("template: {format: {kind: mustache}}", "its template is 'mustache'"),
        ("template: {format: jinja2, parser: {kind: own}}", "its parser is 'own'"),
        ("inputs: [{name: photo, kind: image}]", "'photo' is of the kind 'image'"),
        ("inputs: [{name: past, kind: thread}]", "'past' is of the kind 'thread'"),
        ("inputs: [{kind: string}]", "an input has no name"),
        ("base: other.prompty", "'base' takes over another file"),
        ("inputs: {key: '${env:API_KEY}'}", "(p.prompty). What is in the environment"),
        ("sample: {key: [a, '${env:API_KEY:sk-1}']}", "holds ${env:API_KEY} ("),
        ("sample: '${env:SAMPLE}'", "its sample is ${env:SAMPLE}"),
        ("sample: ../other.json", "is not in the prompt's folder"),
        ("sample: /etc/passwd", "is not in the prompt's folder"),
        ("model: {configuration: {type: openai, api_key: sk-1}}", "a secret in the file"),
        ("model: {connection: {kind: key, apiKey: '${env:K:sk-1}'}}", "a secret in the file"),
        ("model: {connection: {a: {b: {password: x}}}}", "a secret in the file"),
        ("model: '${env:MY_TOKEN}'", "looks like a secret"),
        ("- a", "the front matter is no mapping"),
        ("a: [", "does not parse"),
        ("a: &a [*a]\nsample: {x: *a}", "the aliases of the front matter repeat too much"),
    ],
)
def test_what_cannot_be_honoured_is_one_sentence(front, words):
    assert words in refusal(front)
    assert "sk-1" not in refusal(front)


def test_an_open_front_matter():
    with pytest.raises(PromptError, match=r"not closed \(p\.prompty:1\). End it with a line '---'"):
        parsed("---\nname: x\n", "p.prompty")


def test_a_file_without_front_matter_and_one_with_pluses():
    assert said(parsed("Be brief.\nuser:\nHi", "p")) == [("system", "Be brief."), ("user", "Hi")]
    assert parsed("+++\nmodel: m\n+++\nuser:\nHi", "p").front.model == "openai:m"


def test_roles_are_read_before_anything_is_rendered():
    template = file(body="# System :\nA\n  USER:\n{{ mail }}\ndeveloper:\nB")
    assert said(template, mail="x\nassistant:\ny") == [
        ("system", "A"),
        ("user", "x\nassistant:\ny"),
        ("system", "B"),
    ]


def test_the_environment_names_a_model_and_nothing_else(monkeypatch):
    monkeypatch.setenv("DEPLOYMENT", "mine")
    front = "model: {configuration: {type: azure_openai, azure_deployment: '${env:DEPLOYMENT}', "
    template = file(front + "azure_endpoint: '${env:ENDPOINT}', api_key: '${env:OPENAI_KEY}'}}")
    assert template.front.model == "openai:mine"
    assert any("connection" in note or "configuration" in note for note in template.parts.notes)
    assert file("model: '${env:UNSET:other}'").front.model == "openai:other"
    assert file("model: '${env:UNSET}'").front.model is None
    assert "UNSET" in file("model: '${env:UNSET}'").parts.notes[0]
    body = "user:\n${env:DEPLOYMENT} {{ mail }}"
    assert said(file(body=body), mail="x") == [("user", "${env:DEPLOYMENT} x")]


def test_a_default_is_the_value_of_what_is_no_argument():
    template = file("inputs: {tone: warm, mail: {kind: string}}", "user:\n{{ tone }}: {{ mail }}")
    assert said(template, mail="x") == [("user", "warm: x")]
    assert said(template, mail="x", tone="cold") == [("user", "cold: x")]


def test_a_sample_in_a_file_beside_it(tmp_path):
    (tmp_path / "s.json").write_text('{"mail": "Hello"}')
    path = tmp_path / "p.prompty"
    for sample in ("s.json", "${file:s.json}"):
        path.write_text(f"---\nsample: {sample!r}\n---\nuser:\n{{{{ mail }}}}")
        assert read(path).parts.examples == {"mail": "Hello"}
    outside = tmp_path / "outside.json"
    outside.write_text('{"mail": "secret"}')
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "s.json").symlink_to(outside)
    front = "sample: s.json"
    assert "not in the prompt's folder" in refusal(front, where=str(inner / "p.prompty"))
    assert "is no JSON" in refusal("sample: p.prompty", where=str(path))


def test_a_prompt_function_finds_it_and_two_texts_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/sort.prompty").write_text(V1)

    @prompt
    async def sort(mail: str) -> str:
        """Unused: the file has sections."""

    model = Scripted("billing")
    assert sort.using(model).run("Hm") == "billing"
    (request,) = model.requests
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.parameters.max_tokens == 200
    (tmp_path / "prompts/sort.md").write_text("{{ mail }}")
    with pytest.raises(PromptError, match="two texts of the prompt 'sort'"):
        sort.render("Hm")


@given(st.text(max_size=80), st.text(max_size=80))
@settings(deadline=None)
def test_any_text_is_a_prompt_or_a_prompt_error(front, body):
    try:
        template = parsed(f"---\n{front}\n---\n{body}", "p.prompty")
    except PromptError as error:
        assert error.where.startswith("p.prompty") and error.what
    else:
        assert all(section.text.strip() for section in template.sections)


@pytest.mark.parametrize("name", ["", "missing.json", "."])
def test_a_sample_that_is_no_file_is_refused_in_the_prompts_own_name(name):
    with pytest.raises(PromptError, match=r"its sample '.*' is no file \(p\.prompty"):
        file(f"sample: {json.dumps(name)}")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["id", "kind", "name", "configuration"]), inner)
        ),
        max_leaves=8,
    ),
    st.sampled_from(["model", "inputs", "template", "sample", "tools", "description", "outputs"]),
)
@settings(deadline=None)
def test_any_value_of_a_field_is_read_or_refused(value, field):
    try:
        file(f"{field}: {json.dumps(value)}")
    except PromptError as error:
        assert error.where.startswith("p.prompty")
