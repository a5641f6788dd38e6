"""The command line as a user meets it: processes, exit statuses, standard output and error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LEAVE = """# Leave

Every employee has twenty-eight days of paid leave a year. Leave that is not taken by the end of
March expires.
"""


def onrecord(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "onrecord", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def printed(*arguments: object) -> Any:
    """The one JSON document on standard output."""
    done = onrecord(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def handbook(project: Path) -> Path:
    folder = project / "handbook"
    folder.mkdir()
    (folder / "leave.md").write_text(LEAVE)
    (folder / "note.md").write_text("---\nstatus: Final\n---\n# Trains\n\nTrains are second class.")
    assert onrecord("ingest", folder).returncode == 0
    return folder


def test_ingest(handbook: Path) -> None:
    done = printed("ingest", handbook)
    assert list(done) == [
        "added",
        "changed",
        "removed",
        "unchanged",
        "failed",
        "chunks",
        "embedded",
        "seconds",
    ]
    assert (done["unchanged"], done["embedded"]) == (2, 0)
    (handbook / "broken.docx").write_bytes(b"PK\x03\x04 not a document")
    failing = onrecord("ingest", handbook)
    assert failing.returncode == 3
    assert "broken.docx" in failing.stderr and "Traceback" not in failing.stderr
    assert "2 unchanged, 1 failed" in failing.stdout
    failed = json.loads(onrecord("ingest", handbook, "--json").stdout)["failed"]
    assert set(failed[0]) == {"path", "reason"}


def test_search(handbook: Path) -> None:
    found = printed("search", "How many days of leave?", "-k", 2)
    assert set(found) == {"passages", "strategy", "seconds", "run"}
    first = found["passages"][0]
    assert set(first) == {"document_id", "title", "text", "start", "end", "score", "metadata"}
    assert first["document_id"] == "handbook/leave.md"
    filtered = printed("search", "leave", "--where", 'status = "Final"')
    assert [passage["title"] for passage in filtered["passages"]] == ["Trains"]
    shown = onrecord("search", "leave").stdout
    assert "1. Leave" in shown and "handbook/leave.md, characters 0-" in shown


def test_ask(handbook: Path) -> None:
    answer = printed("ask", "How many days of paid leave does an employee have?")
    assert list(answer) == [
        "answer",
        "refused",
        "reason",
        "citations",
        "model",
        "seconds",
        "cost_usd",
        "run",
    ]
    assert "twenty-eight days" in answer["answer"] and not answer["refused"]
    (citation, *_) = answer["citations"]
    text = (handbook / "leave.md").read_text()
    assert text[citation["start"] : citation["end"]] == citation["quote"]
    assert answer["model"] == "embedded:extractive" and answer["cost_usd"] == 0
    refused = printed("ask", "Who won the football World Cup in 1998?")
    assert refused["refused"] and refused["answer"] is None and refused["reason"]
    assert refused["citations"] == []
    assert "No answer:" in onrecord("ask", "Who won the football World Cup in 1998?").stdout


def test_ask_with_a_scripted_model_and_with_auto(handbook: Path) -> None:
    failed = onrecord("ask", "How many days of leave?", "--model", "scripted:demo")
    assert failed.returncode == 5 and "does not fit its type" in failed.stderr
    unknown = onrecord("ask", "How many days?", "--model", "openia:gpt")
    assert unknown.returncode == 2 and "Did you mean 'openai:gpt'?" in unknown.stderr


def test_records(handbook: Path) -> None:
    run = printed("ask", "How many days of paid leave does an employee have?")["run"]
    listed = printed("records")
    assert listed["runs"][0]["id"] == run
    assert printed("records", "list", "--limit", 1)["runs"] == listed["runs"][:1]
    kinds = {record["kind"] for record in printed("records", "show", run)["records"]}
    assert kinds == {"flow", "search", "embed", "step", "model"}
    tree = onrecord("records", "show", run).stdout
    assert tree.startswith("flow ask") and "model embedded:extractive" in tree
    assert "twenty-eight" in tree and "tokens, $0.00" in tree
    missing = onrecord("records", "show", "nonsense")
    assert missing.returncode == 2 and "no record has an id" in missing.stderr


def test_help_and_usage() -> None:
    shown = onrecord("--help")
    assert shown.returncode == 0
    for command in ("ingest", "search", "ask", "records", "demo"):
        assert command in shown.stdout
        assert onrecord(command, "--help").returncode == 0
    assert onrecord("--version").stdout.startswith("onrecord 0.")
    wrong = onrecord("serach")
    assert wrong.returncode == 2 and wrong.stderr.splitlines() == [
        "error: no such command 'serach'. Did you mean 'search'? See `python -m onrecord --help`."
    ]
    assert "Traceback" not in wrong.stderr


def test_output_into_a_closed_pipe_is_no_error(handbook: Path) -> None:
    command = f"{sys.executable} -m onrecord records --json | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == ""
