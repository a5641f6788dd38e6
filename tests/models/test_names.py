"""From names to models."""

import asyncio
from importlib.metadata import EntryPoint

import pytest

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
        ("openai:", "there is no model 'openai:'"),
        ("", "there is no model ''"),
        (":", "there is no model ':'"),
        ("scripted:nobody", "scripted:demo"),
    ],
)
def test_an_unknown_name_is_answered_with_those_there_are(name, said):
    with pytest.raises(UnknownNameError) as caught:
        model(name)
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
