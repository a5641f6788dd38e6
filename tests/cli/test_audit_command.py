"""`onrecord audit`: what it prints and writes, and with which exit status it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import onrecord as on
from tests.cli.terminal import on_terminal


def onrecord(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onrecord", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def used() -> None:
    @on.prompt(model="scripted:demo")
    async def answer(question: str) -> str:
        """Answer: {{ question }}"""

    @on.flow
    async def ask(question: str) -> str:
        return await answer(question)

    ask.run("How many days?")


def test_an_empty_project_has_gaps_and_that_is_no_failure(project: Path) -> None:
    done = onrecord("audit")
    assert done.returncode == 0, done.stderr
    assert "nothing" not in done.stderr
    assert "✗ Who answers for these applications" in done.stdout
    assert list(project.iterdir()) == []
    strict = onrecord("audit", "--strict")
    assert strict.returncode == 11
    assert strict.stderr.startswith("error: the audit has ")


@pytest.mark.usefixtures("used")
def test_it_writes_the_whole_audit(project: Path) -> None:
    done = onrecord("audit", "--out", "reports/audit.html", "--markdown", "audit.md")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Written: reports/audit.html\nWritten: audit.md\n")
    page, told = (project / "reports/audit.html").read_text(), (project / "audit.md").read_text()
    for subject in ("organisation", "scripted:demo", "project", "ask"):
        assert subject in page
        assert subject in told
    assert "10.1007/s43681-023-00289-2" in page
    document = json.loads(onrecord("audit", "--json").stdout)
    assert [each["name"] for each in document["layers"]] == [
        "governance",
        "models",
        "applications",
    ]
    assert document["gap"] > 0


@pytest.mark.usefixtures("used")
def test_the_questions(project: Path) -> None:
    done = onrecord("audit", "--init")
    assert done.returncode == 0, done.stderr
    text = (project / "audit.toml").read_text()
    assert '[applications."ask"]\n# What is it for, and who uses it?\nintended_use = ""' in text
    again = onrecord("audit", "--init")
    assert again.returncode == 2
    assert "stays as it is" in again.stderr
    (project / "audit.toml").write_text(text.replace('responsible = ""', 'responsible = "Ada"'))
    assert " 1 stated" in onrecord("audit").stdout
    both = onrecord("audit", "--init", "--strict")
    assert both.returncode == 2
    assert "audits nothing" in both.stderr


@pytest.mark.usefixtures("used")
def test_eighty_columns() -> None:
    lines = on_terminal(80, "audit")
    assert max(map(len, lines)) <= 80
    assert any("ask: " in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--since", "yesterday"), 2, "is no point in time"),
        (("--answers", "missing.toml"), 2, "the answers cannot be read"),
        (("--out", "."), 4, "the audit cannot be written"),
    ],
)
def test_what_cannot_be_done(arguments: tuple[str, ...], status: int, said: str) -> None:
    done = onrecord("audit", *arguments)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_file_of_answers(project: Path) -> None:
    (project / "audit.toml").write_text("[organisation\n")
    done = onrecord("audit")
    assert done.returncode == 2
    assert "audit.toml" in done.stderr
    assert "not valid TOML" in done.stderr


def test_a_store_that_cannot_be_read(project: Path) -> None:
    (project / ".onrecord").write_text("")
    done = onrecord("audit")
    assert done.returncode == 4
    assert done.stderr.startswith("error: ")
