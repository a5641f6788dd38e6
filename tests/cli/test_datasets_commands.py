"""`onrecord records rows` and `onrecord records dataset`: files to learn from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from onrecord.cli.datasets import app
from onrecord.errors import StorageError, UnknownNameError, UsageError
from onrecord.evaluation.dataset import Dataset
from onrecord.messages import text_message
from onrecord.models.calling import complete
from onrecord.models.model import Request
from onrecord.models.scripted import Scripted
from onrecord.programs.flow import flow
from onrecord.records.scope import recording


def ran(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def printed(*arguments: object) -> Any:
    return json.loads(ran(*arguments, "--json"))


@pytest.fixture
def run(project: Path) -> str:
    """Two flows, each with a model call, and the same question once more; the last one's run."""

    @flow
    async def ask(question: str) -> str:
        request = Request((text_message("user", question),))
        return (await complete(Scripted("28 days"), request)).text

    for question in ("leave", "arms"):
        ask.run(question)
    with recording() as last:
        ask.run("leave")
    return last.records[-1].run


def test_rows(run: str, project: Path) -> None:
    said = ran("rows", "--out", "train.jsonl")
    assert said.splitlines() == [
        "train.jsonl: 2 rows (chat).",
        "left out: 1 (an equal question)",
    ]
    first, _ = (json.loads(line) for line in Path("train.jsonl").read_text().splitlines())
    assert first["messages"][-1] == {"role": "assistant", "content": "28 days"}
    assert first["provenance"]["run"] == run
    told = printed("rows", "-o", "of-run.jsonl", "--run", run, "--format", "completion")
    assert told == {"rows": 1, "left_out": {}, "path": "of-run.jsonl"}
    assert printed("rows", "-o", "none.jsonl", "--since", "2200-01-01")["rows"] == 0
    assert Path("none.jsonl").read_text() == ""


def test_a_dataset(run: str, project: Path) -> None:
    said = ran("dataset", "leave")
    assert "datasets/leave.jsonl: 2 cases, version " in said
    assert said.splitlines()[1] == "left out: 1 (an equal question)"
    dataset = Dataset.read("leave")
    assert [case.input["question"] for case in dataset] == ["arms", "leave"]
    told = printed("dataset", "cases.jsonl", "--run", run)
    assert (told["cases"], told["path"]) == (1, "cases.jsonl")
    assert told["version"] == Dataset.read("cases.jsonl").version
    assert printed("dataset", "of-models", "--kind", "model")["cases"] == 2


def test_what_cannot_be_asked_for(run: str, project: Path) -> None:
    for arguments, kind, words in (
        (("rows", "-o", "x.jsonl", "--format", "alpaca"), UsageError, "no format 'alpaca'"),
        (("rows", "-o", "x.jsonl", "--kind", "flow"), UsageError, "model calls"),
        (("rows", "-o", "x.jsonl", "--run", "zz"), UnknownNameError, "zz"),
        (("dataset", "a b"), UsageError, "cannot be the name"),
    ):
        with pytest.raises(kind, match=words):
            ran(*arguments)
    assert not Path("x.jsonl").exists()


@pytest.mark.parametrize("command", [["dataset"], ["rows", "-o"]])
def test_a_folder_that_is_not_there_is_named_and_not_made(
    run: str, project: Path, command: list[str]
) -> None:
    with pytest.raises(StorageError, match=f"there is no folder '{project}/nope/deep'"):
        ran(*command, "nope/deep/x.jsonl")
    assert not (project / "nope").exists()
