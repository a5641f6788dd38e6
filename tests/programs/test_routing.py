from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import onrecord as on
from onrecord.errors import OutputError, UsageError
from onrecord.models.names import model as model_named
from tests.programs.agents.scripts import ByTurn, calls

WORDS = {"sums": "mathematics, numbers, equations", "law": "contracts, courts, law"}


def models() -> dict[on.Scripted, str]:
    return {on.Scripted(name, name=f"scripted:{name}"): words for name, words in WORDS.items()}


@on.tool
def look(text: str) -> str:
    """Looks."""
    return text


def test_a_model_chooses_by_the_descriptions(project: Path) -> None:
    chooser = on.Scripted(['{"value": 2}', '{"value": 1}'])
    routed = on.router(models(), by=chooser)
    agent = on.Agent(routed)
    with on.recording() as run:
        first = agent.run("May I sublet my flat?")
    assert isinstance(first, on.Done) and first.value == "law"
    names = [each.name for each in run.records if each.kind == "model"]
    assert names == ["scripted:test", "scripted:law", routed.name]
    assert "1. mathematics" in chooser.requests[0].messages[-1].text
    second = agent.run("What is 3 + 4?")
    assert isinstance(second, on.Done) and second.value == "sums"


def test_without_one_the_nearest_description_does(project: Path) -> None:
    agent = on.Agent(on.router(models()))
    said = [agent.run(task) for task in ("Solve the equation 3x = 12", "Can I break the contract?")]
    assert [each.value for each in said if isinstance(each, on.Done)] == ["sums", "law"]


def test_a_task_stays_with_its_model(project: Path) -> None:
    chooser = on.Scripted(['{"value": 1}'])
    turns = ByTurn(calls(("look", {"text": "law and contracts"})), "Done.")
    routed = on.router({turns: "everything", on.Scripted("no"): "nothing"}, by=chooser)
    outcome = on.Agent(routed, tools=[look], speaks="native").run("Look")
    assert isinstance(outcome, on.Done) and outcome.value == "Done."
    assert len(chooser.requests) == 1 and len(turns.requests) == 2


@pytest.mark.parametrize("speaks", ["native", "react"])
def test_a_repair_is_no_new_task(project: Path, speaks: Any) -> None:
    chooser = on.Scripted(['{"value": 1}', '{"value": 2}'])
    answers = ByTurn("Thought: what?" if speaks == "react" else "", "Good.")
    routed = on.router({answers: "all", on.Scripted("Bad."): "nothing"}, by=chooser)
    outcome = on.Agent(routed, speaks=speaks).run("Go")
    assert isinstance(outcome, on.Done) and outcome.value == "Good."


def test_a_choice_that_is_none_is_an_error(project: Path) -> None:
    routed = on.router(models(), by=on.Scripted('{"value": 7}'))
    with pytest.raises(OutputError):
        on.Agent(routed).run("Hi")


def test_what_cannot_be_a_router_is_told() -> None:
    with pytest.raises(UsageError, match="two models or more"):
        on.router({"scripted:demo": "all"})
    with pytest.raises(UsageError, match="no description"):
        on.router({"scripted:demo": "all", "scripted:echo": " "})
    assert "router" in repr(on.router({"scripted:demo": "a", "scripted:echo": "b"}))
    assert model_named(on.router({"scripted:demo": "a", "scripted:echo": "b"}))
