"""From names to models."""

import asyncio
from importlib.metadata import EntryPoint

import pytest

import onrecord as on
from onrecord.errors import UnknownNameError, UsageError
from onrecord.models import names
from onrecord.models.names import choose, embedder, model
from onrecord.models.openai.api import OpenAIModel
from onrecord.models.openai.embedder import OpenAIEmbedder
from onrecord.models.scripted import Scripted


def test_a_name_becomes_a_model_and_a_model_stays_one():
    assert isinstance(model("openai:gpt-5-mini"), OpenAIModel)
    assert model("openai:org/name:tag").name == "openai:org/name:tag"
    assert isinstance(embedder("openai:text-embedding-3-small"), OpenAIEmbedder)
    double = Scripted("x")
    assert model(double) is double
    assert model("scripted:demo").name == "scripted:demo"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpt-5", "Did you mean 'openai:gpt-5'"),
        ("opnai:gpt-5", "Did you mean 'openai:gpt-5'"),
        ("embedded:extractiv", "Did you mean 'embedded:extractive'"),
        (
            "zzz:zzz",
            "There are anthropic:NAME, embedded:extractive, hf:NAME, openai:NAME, scripted:NAME",
        ),
        ("openai:", "there is no model 'openai:'. Did you mean 'openai:NAME'?"),
        ("openai", "there is no model 'openai'. Did you mean 'openai:NAME'?"),
        ("anthropic", "Did you mean 'anthropic:NAME'?"),
        ("hf", "Did you mean 'hf:NAME'?"),
        ("./gpt", "Did you mean 'hf:./gpt'?"),
        ("", "there is no model ''. There are anthropic:NAME"),
        (":", "there is no model ':'"),
        ("scripted:nobody", "scripted:demo"),
    ],
)
def test_an_unknown_name_is_answered_with_those_there_are(name, said, tmp_path, monkeypatch):
    (tmp_path / "gpt").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError) as caught:
        model(name)
    assert said in str(caught.value)


@on.prompt
async def greet(name: str) -> str:
    """Greet the person."""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5, "5 is no model. Give a name such as 'openai:NAME'"),
        (None, "None is no model"),
        (Scripted, "Scripted is a class and no model. Make one: Scripted"),
        (greet, "the function 'greet' is no model"),
    ],
)
@pytest.mark.parametrize(
    "take",
    [
        model,
        on.cached,
        on.retry,
        on.limited,
        lambda value: on.fallback("scripted:demo", value),
        lambda value: on.cascade(value, "scripted:demo"),
    ],
)
def test_what_is_no_model_is_refused_at_every_door(take, value, said):
    with pytest.raises(UsageError) as caught:
        take(value)
    assert said in str(caught.value)


def test_a_provider_alone_is_no_embedder_and_neither_is_a_model():
    with pytest.raises(UnknownNameError, match="Did you mean 'openai:NAME'"):
        embedder("openai")
    with pytest.raises(UsageError, match=r"is no embedder.*`embed`"):
        embedder(Scripted("x"))


def test_options_go_to_the_provider():
    here = model("openai:a", base_url="http://127.0.0.1:1/v1", key="sk-mine", timeout=7)
    there = model("openai:a", base_url="http://127.0.0.1:2/v1")
    assert (here.server.key, here.server.timeout) == ("sk-mine", 7)
    assert (here.version, there.version) == ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
    assert embedder("openai:a", dimensions=3).dimensions == 3
    assert model("anthropic:a", api_version="2023-06-01").server.api.key_header == "x-api-key"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (
            "openai:a",
            {"base_ulr": "x"},
            "openai: takes no option 'base_ulr'. Did you mean 'base_url'? It takes base_url, key,",
        ),
        ("scripted:demo", {"timeout": 3}, "scripted: takes no option 'timeout'. It takes none."),
        ("embedded:extractive", {"key": "k"}, "embedded:extractive takes no option 'key'"),
        (Scripted("x"), {"timeout": 3}, "a model that is made already takes no timeout"),
    ],
)
def test_an_option_that_nobody_takes_is_refused(name, options, said):
    with pytest.raises(UsageError) as caught:
        model(name, **options)
    assert said in str(caught.value)


def test_embedders_have_names_of_their_own():
    with pytest.raises(UnknownNameError, match=r"embedded:minilm, hf:NAME, openai:NAME"):
        embedder("embedded:extractive")


def test_only_names_that_nobody_here_answers_to_are_looked_for_in_packages(monkeypatch):
    """A look at all installed packages takes longer than all the rest of a call."""
    looks = []

    def found(group):
        looks.append(group)
        return [EntryPoint("mine", "onrecord.models.scripted:Scripted", "onrecord.models")]

    monkeypatch.setattr(names, "_PLUGINS", {})
    monkeypatch.setattr(names, "entry_points", found)
    for name in ("openai:x", "anthropic:x", "embedded:extractive", "scripted:demo"):
        assert model(name).name == name
    assert looks == []
    for _ in range(3):
        model("mine:words")
    assert looks == ["onrecord.models"]


def test_packages_add_providers(monkeypatch):
    point = EntryPoint("mine", "onrecord.models.scripted:Scripted", "onrecord.models")
    broken = EntryPoint("broken", "no.such.module:Thing", "onrecord.models")

    def found(group):
        return [point, broken] if group == "onrecord.models" else []

    monkeypatch.setattr(names, "_PLUGINS", {})
    monkeypatch.setattr(names, "entry_points", found)
    assert isinstance(model("mine:words"), Scripted)
    with pytest.raises(UnknownNameError, match="provides 'broken:' failed"):
        model("broken:x")
    with pytest.raises(UnknownNameError, match="mine:NAME"):
        model("min:x")


def test_auto_is_chosen_and_not_loaded():
    with pytest.raises(UsageError, match="choose"):
        model("auto")
    choice = choose.run("scripted:demo")
    assert (choice.model.name, choice.reason) == ("scripted:demo", "scripted:demo, as asked for.")


def test_auto_takes_a_local_server_else_the_embedded_model(monkeypatch):
    async def nobody():
        return None

    async def somebody():
        return OpenAIModel("llama", base_url="http://127.0.0.1:11434/v1", key="")

    monkeypatch.setattr("onrecord.models.local_server.find_local_server", somebody)
    choice = asyncio.run(choose("auto"))
    assert choice.model.name == "openai:llama"
    assert "http://127.0.0.1:11434/v1" in choice.reason

    monkeypatch.setattr("onrecord.models.local_server.find_local_server", nobody)
    monkeypatch.setitem(names._MODELS, "embedded:extractive", "onrecord.models.scripted:_double")
    monkeypatch.setattr("onrecord.models.scripted._double", lambda: Scripted("x"), raising=False)
    assert "no local server was found" in asyncio.run(choose("auto")).reason
