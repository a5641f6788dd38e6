"""`onrecord experiments`: repeats, names that nothing was called by, lines on a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import onrecord as on
from onrecord.cli.paragraphs import broken
from onrecord.evaluation.experiments.report import Report
from tests.cli.terminal import on_terminal


@pytest.fixture
def run(project: Path) -> str:
    """An experiment with two repeats, of a case whose steps name one that is never called."""

    @on.step
    async def search(question: str, seed: int) -> list[str]:
        return [f"page {seed}"]

    @on.flow
    async def ask(question: str, seed: int) -> str:
        return (await search(question, seed))[0]

    metadata = {"steps": {"serach": ["page 0"], "plan": "x"}}
    cases = on.Dataset([on.Case("c1", {"question": "Where?"}, "page 1", metadata)], name="pages")
    return on.evaluate.run(ask, cases, repeats=2).run


def onrecord(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "onrecord", *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stderr
    return done


def test_each_repeat_of_a_case_is_named_and_can_be_shown_alone(run: str) -> None:
    both = onrecord("experiments", "show", run, "--case", "c1").stdout
    assert "case c1 (repeat 1 of 2)" in both and "case c1 (repeat 2 of 2)" in both
    one = onrecord("experiments", "show", run, "--case", "c1", "--repeat", "2").stdout
    assert "(repeat 1 of 2)" not in one and "answered  page 1" in one
    command = ("experiments", "show", run, "--case", "c1", "--json")
    told = json.loads(onrecord(*command).stdout)
    assert [each["trial"]["repeat"] for each in told] == [0, 1]
    (alone,) = json.loads(onrecord(*command, "--repeat", "1").stdout)
    assert alone["trial"]["repeat"] == 0
    rows = json.loads(onrecord("experiments", "show", run, "--json").stdout)["rows"]
    assert [each["repeat"] for each in rows] == [0, 1]


def test_a_repeat_that_is_not_there(run: str) -> None:
    missing = onrecord("experiments", "show", run, "--case", "c1", "--repeat", "3", status=2)
    assert "case 'c1' has no repeat 3. There are 1, 2." in missing.stderr
    alone = onrecord("experiments", "show", run, "--repeat", "1", status=2)
    assert "Name the case with --case ID" in alone.stderr


def test_steps_that_are_never_called_are_named(run: str) -> None:
    shown = onrecord("experiments", "show", run, "--case", "c1", "--repeat", "1").stdout
    assert "nothing was called 'serach', as the case's steps say; did you mean 'search'?" in shown
    assert "nothing was called 'plan', as the case's steps say\n" in shown


def test_a_saved_report_is_named_where_it_is_compared_with(run: str) -> None:
    Report.open(run).save("base.json")
    told = onrecord("experiments", "compare", "base.json", run).stdout
    assert "file base.json" in told and "the same report twice" in told


def test_lines_are_broken_between_words(run: str) -> None:
    lines = on_terminal(60, "experiments", "compare", run, run)
    assert all(len(line) <= 60 for line in lines)
    assert "    " in {line[:4] for line in lines}
    words = "\n".join(lines).split()
    assert "same" in words and "report" in words and "twice:" in words


def test_a_line_is_broken_where_it_is_too_long() -> None:
    line = "exact_match: " + "inconclusive " * 10
    found = list(broken(line.strip(), 40))
    assert all(len(each) <= 40 for each in found)
    assert " ".join(" ".join(found).split()) == line.strip()
    assert list(broken("short  line", 40)) == ["short  line"]
    assert all(len(each) <= 20 for each in broken("長" * 60, 40))
