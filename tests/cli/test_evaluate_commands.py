"""`onrecord evaluate` and `onrecord experiments`, as processes."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from onrecord.cli.objects import named
from tests.cli.terminal import on_terminal

APP = """
import onrecord as on

@on.step
async def search(question: str) -> list[str]:
    return ["leave.md"] if "leave" in question else ["travel.md"]

@on.flow
async def ask(question: str) -> str:
    found = await search(question)
    return "twenty-eight" if found == ["leave.md"] else "first class"

@on.flow
async def worse(question: str) -> str:
    if "leave" in question:
        raise ValueError("the index is gone")
    return "second class"

def short(trial: on.Trial) -> bool:
    return len(trial.answer) < 20
"""
CASES = [
    {
        "id": "paid",
        "input": "How many days of leave?",
        "expected": "twenty-eight",
        "metadata": {"topic": "leave"},
    },
    {
        "id": "class",
        "input": "Which class?",
        "expected": "second class",
        "metadata": {"topic": "travel", "steps": {"search": ["trains.md"]}},
    },
]


@pytest.fixture(autouse=True)
def files(project: Path) -> Path:
    (project / "app.py").write_text(APP)
    (project / "cases.jsonl").write_text("".join(json.dumps(each) + "\n" for each in CASES))
    return project


def onrecord(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "onrecord", *words], capture_output=True, text=True, timeout=120
    )


def evaluated(*words: str, app: str = "app.py:ask") -> subprocess.CompletedProcess[str]:
    return onrecord("evaluate", app, "--data", "cases.jsonl", *words)


def test_an_experiment_is_made_listed_shown_and_compared(files: Path) -> None:
    first = evaluated(
        "--scorer", "exact_match", "--scorer", "app.py:short", "--scorer", 'contains("twenty")',
        "--save", "out/report.json", "--html", "out/report.html", "--markdown", "out/report.md",
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    assert "ask on cases" in first.stdout and "exact_match" in first.stdout
    assert {path.name for path in (files / "out").iterdir()} == {
        "report.json", "report.html", "report.md",
    }  # fmt: skip
    second = json.loads(
        evaluated("--json", "--baseline", "out/report.json", app="app.py:worse").stdout
    )
    assert second["measures"]["error"]["mean"] == 0.5
    assert second["changes"]["measures"]["exact_match"]["broke"] == ["paid"]
    assert second["changes"]["measures"]["exact_match"]["mended"] == ["class"]

    listed = json.loads(onrecord("experiments", "list", "--json").stdout)
    assert [each["application"] for each in listed] == ["worse", "ask"]
    assert "worse" in onrecord("experiments", "list").stdout

    run = listed[1]["run"]
    shown = onrecord("experiments", "show", run, "--html", "again.html")
    assert "Worst by exact_match" in shown.stdout and (files / "again.html").exists()
    part = json.loads(
        onrecord("experiments", "show", run, "-w", 'topic = "leave"', "--json").stdout
    )
    assert [each["case"] for each in part["rows"]] == ["paid"]

    steps = onrecord("experiments", "show", run, "--case", "class").stdout
    assert "✗   step search   ← the first that went wrong" in steps and "trains.md" in steps
    told = json.loads(onrecord("experiments", "show", run, "--case", "class", "--json").stdout)
    assert told[0]["first_wrong"]["record"]["name"] == "search"

    compared = onrecord("experiments", "compare", run, listed[0]["run"], "--margin", "0.1")
    assert "exact_match: 1 broke: paid" in compared.stdout
    assert compared.returncode == 0


def test_a_gate_ends_with_its_reasons() -> None:
    held = evaluated("--gate", "exact_match >= 0.5 and p95 < 30")
    assert held.returncode == 0 and "The gate holds" in held.stdout
    broken = evaluated("--gate", "exact_match >= 0.9")
    assert broken.returncode == 11
    assert "exact_match >= 0.9: does not hold (exact_match is 0.5)" in broken.stdout
    assert "error: the gate does not hold: exact_match >= 0.9" in broken.stderr
    document = json.loads(evaluated("--json", "--gate", "exact_match >= 0.9").stdout)
    assert document["gate"]["passed"] is False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("evaluate", "nofile.py:ask", "-d", "cases.jsonl"), "there is no file nofile.py"),
        (("evaluate", "app.py", "-d", "cases.jsonl"), "names nothing in a module"),
        (("evaluate", "app.py:aks", "-d", "cases.jsonl"), "Did you mean 'ask'"),
        (("evaluate", "app.py:ask", "-d", "none.jsonl"), "none.jsonl"),
        (("evaluate", "app.py:ask", "-d", "nothing"), "there is no dataset 'nothing'"),
        (
            ("evaluate", "app.py:ask", "-d", "cases.jsonl", "-s", "exct"),
            "there is no scorer 'exct'",
        ),
        (("evaluate", "app.py:ask", "-d", "cases.jsonl", "-s", "contains("), "cannot be read"),
        (
            ("evaluate", "app.py:ask", "-d", "cases.jsonl", "-s", "contains(1, 2, 3, 4)"),
            "cannot be made",
        ),
        (
            ("evaluate", "app.py:ask", "-d", "cases.jsonl", "-s", "exact_match(1)"),
            "takes no options",
        ),
        (("evaluate", "app.py:ask", "-d", "cases.jsonl", "--gate", "exct > 1"), "is no measure"),
        (
            ("evaluate", "app.py:ask", "-d", "cases.jsonl", "--gate", "not worse(baseline)"),
            "--baseline",
        ),
        (("evaluate", "app.py:ask", "-d", "cases.jsonl", "--baseline", "ffff"), "no record has"),
        (("evaluate", "app.py:ask", "-d", "cases.jsonl", "-w", "topc = 1"), "topc"),
        (("evaluate", "broken.py:ask", "-d", "cases.jsonl"), "cannot be loaded: NameError"),
        (
            ("evaluate", "syntax.py:ask", "-d", "cases.jsonl"),
            "syntax.py cannot be loaded: SyntaxError",
        ),
        (("evaluate", "app.py:ask", "-d", "cases.jsonl", "--usd", "0"), "the limit usd=0.0 is not"),
        (("evaluate", "two.py:ask", "-d", "two.jsonl"), "Did you mean 'context'?"),
        (
            ("evaluate", "app.py:ask", "-d", "cases.jsonl", "--save", "cases.jsonl/x"),
            "cannot be written",
        ),
        (("experiments", "show", "ffff"), "no record has"),
        (("experiments", "compare", "ffff", "eeee"), "no record has"),
    ],
)
def test_mistakes_are_one_sentence(files: Path, words: tuple[str, ...], said: str) -> None:
    (files / "broken.py").write_text("nothing_here\n")
    (files / "syntax.py").write_text("\ndef ask(question: return 1\n")
    (files / "two.py").write_text("def ask(question, context='c'): pass\n")
    (files / "two.jsonl").write_text('{"id": "a", "input": {"question": "q", "contxt": "c"}}\n')
    done = onrecord(*words)
    assert done.returncode not in (0, 1), done.stdout
    assert said in done.stderr and "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1


UNKNOWN_KEY = ("-s", "rouge", "--gate", "rouge.rougel > 1")
"""A gate on what a scorer of several does not give: that is known only when it has."""


def test_a_gate_that_cannot_be_decided_costs_nothing(files: Path) -> None:
    for gate, said in (
        ("exact_match >=", "cannot be read"),
        ("not worse(baseline)", "--baseline"),
        ("-" * 900 + "1 < 2", "nested too deeply"),
        ("exact_mach >= 0.8", "Did you mean 'exact_match'?"),
        ("error == 0 and low(f1) > 0", "There will be error, exact_match, token_f1, p50"),
    ):
        done = evaluated("--gate", gate)
        assert done.returncode == 2 and said in done.stderr, done.stderr
    assert json.loads(onrecord("experiments", "list", "--json").stdout) == []


def test_what_was_paid_is_saved_before_anything_else_may_fail(files: Path) -> None:
    done = evaluated(*UNKNOWN_KEY, "--save", "report.json")
    assert done.returncode == 2 and (files / "report.json").exists()


def test_an_application_that_exits_is_a_failure(files: Path) -> None:
    (files / "app.py").write_text("import sys\ndef ask(question): sys.exit(3)\n")
    done = evaluated("--json")
    assert done.returncode == 5 and json.loads(done.stdout)["measures"]["error"]["mean"] == 1


def test_a_file_named_like_a_library_takes_nobodys_place(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (files / "statistics.py").write_text("def ask(question): return question\n")
    assert named("statistics.py:ask")("x") == "x"
    assert statistics.mean([1, 3]) == 2 and sys.modules["statistics"] is statistics


SLOW = """
import time
def ask(question):
    time.sleep(0.2)
    with open("asked", "a") as file:
        file.write(question + "\\n")
    return question
"""


def test_an_interrupt_keeps_what_was_answered(files: Path) -> None:
    (files / "app.py").write_text(SLOW)
    questions = [{"id": str(at), "input": f"question {at}"} for at in range(40)]
    (files / "cases.jsonl").write_text("".join(json.dumps(each) + "\n" for each in questions))
    command = [sys.executable, "-m", "onrecord", "evaluate", "app.py:ask", "-d", "cases.jsonl"]
    process = subprocess.Popen([*command, "-j", "1"], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (files / "asked").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume goes on" in complaint
    assert "not kept" not in complaint
    assert "Traceback" not in complaint
    assert evaluated("--resume", "-j", "20").returncode == 0
    asked = (files / "asked").read_text().split("\n")[:-1]
    assert len(set(asked)) == 40 and len(asked) <= 41  # what was under way may be asked again


def test_no_experiments_yet() -> None:
    assert "No experiments yet" in onrecord("experiments", "list").stdout
    assert json.loads(onrecord("experiments", "list", "--json").stdout) == []


ENDLESS = """
import onrecord as on

def plain(question):
    while question == "Which class?":
        pass
    return "twenty-eight"

@on.flow
def flow(question: str) -> str:
    return plain(question)
"""


@pytest.mark.parametrize("name", ["plain", "flow"])
def test_a_plain_function_that_never_ends_holds_nobody_up(files: Path, name: str) -> None:
    (files / "app.py").write_text(ENDLESS)
    gated = ("--seconds", "0.5", "--gate", "exact_match >= 0.9")
    done = evaluated(*gated, app=f"app.py:{name}")
    assert done.returncode == 11 and "does not hold" in done.stdout
    assert "error: the gate does not hold" in done.stderr
    assert name == "flow" or "plain is still running, in case class" in done.stderr
    states = json.loads(onrecord("experiments", "list", "--json").stdout)
    assert [each["state"] for each in states] == ["done"]


ASLEEP = """
import time
def ask(question):
    open("asked", "a").close()
    time.sleep(50)
"""
SPINNING = """
async def ask(question):
    open("asked", "a").close()
    while True:
        pass
"""


@pytest.mark.parametrize(("code", "number"), [(ASLEEP, signal.SIGTERM), (SPINNING, signal.SIGINT)])
def test_a_command_that_is_stopped_says_one_thing(files: Path, code: str, number: int) -> None:
    (files / "app.py").write_text(code)
    command = [sys.executable, "-m", "onrecord", "evaluate", "app.py:ask", "-d", "cases.jsonl"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (files / "asked").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(number)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "interrupted" in complaint and "--resume goes on" in complaint
    assert "not kept" not in complaint and "Traceback" not in complaint


def test_a_baseline_that_cannot_be_compared_costs_nothing(files: Path) -> None:
    assert evaluated("--save", "base.json").returncode == 0
    other = json.dumps({**CASES[0], "id": "other"})
    (files / "cases.jsonl").write_text(f"{json.dumps(CASES[1])}\n{other}\n")
    done = evaluated("--baseline", "base.json")
    assert done.returncode == 2 and "not of the same cases" in done.stderr
    for words in (("--margin", "-1"), ("--margin", "2"), ("--gate", "better(baseline, rouge)")):
        assert evaluated("--baseline", "base.json", *words).returncode == 2
    assert len(json.loads(onrecord("experiments", "list", "--json").stdout)) == 1
    assert evaluated("--baseline", "base.json", "--intersection").returncode == 0


def test_what_was_paid_is_told_and_written_before_an_error_is(files: Path) -> None:
    done = evaluated(*UNKNOWN_KEY, "--html", "r.html", "--markdown", "r.md")
    assert done.returncode == 2 and "Did you mean 'rouge.rougeL'?" in done.stderr
    assert "rouge.rouge1" in done.stdout and "\nrun " in done.stdout
    assert (files / "r.html").exists() and (files / "r.md").exists()
    assert "measures" in json.loads(evaluated("--json", *UNKNOWN_KEY).stdout)


def test_what_failed_is_told_with_its_count(files: Path) -> None:
    (files / "app.py").write_text(
        "def ask(question): raise ValueError('the index is gone')\n"
        "def well(question): return 'yes'\n"
        "def judge(trial): raise ConnectionError('judge server is down')\n"
    )
    done = evaluated("--markdown", "r.md", "--html", "r.html")
    assert done.returncode == 5 and "failed on every case" in done.stderr
    assert "2 failed: ValueError: the index is gone" in done.stdout
    said = "2 not scorable: ConnectionError: judge server is down"
    done = evaluated(
        "-s", "app.py:judge", "--markdown", "r.md", "--html", "r.html", app="app.py:well"
    )
    assert f"judge: {said}" in done.stdout and done.returncode == 0
    assert said in (files / "r.md").read_text() and said in (files / "r.html").read_text()


DYING = """
import os
def ask(question):
    if question == "Which class?":
        os._exit(7)
    return "twenty-eight"
"""


def test_an_experiment_that_was_killed_says_so(files: Path) -> None:
    (files / "app.py").write_text(DYING)
    more = {"id": "more", "input": "What else?"}
    with (files / "cases.jsonl").open("a") as file:
        file.write(json.dumps(more) + "\n")
    assert evaluated("-j", "1").returncode == 7
    (listed,) = json.loads(onrecord("experiments", "list", "--json").stdout)
    shown = onrecord("experiments", "show", listed["run"], "--html", "r.html")
    assert "interrupted: 2 of 3 were not answered" in shown.stdout
    assert "begun and not ended: class" in shown.stdout
    assert "interrupted: 2 of 3" in (files / "r.html").read_text()
    one = onrecord("experiments", "show", listed["run"], "--case", "class")
    assert one.returncode == 2 and "begun and not ended" in one.stderr
    skipped = evaluated("-j", "1", "--resume", "--skip", "class")
    assert skipped.returncode == 0 and "skipped" in skipped.stdout


def test_the_worst_are_said_by_what_and_have_something_wrong(files: Path) -> None:
    evaluated("-s", "exact_match", "-s", "app.py:short")
    (listed,) = json.loads(onrecord("experiments", "list", "--json").stdout)
    shown = onrecord("experiments", "show", listed["run"]).stdout
    worst = shown[shown.index("Worst by exact_match") :]
    assert "class" in worst and "paid" not in worst and "Worst by short" not in worst


def test_an_error_in_the_users_file_names_its_line(files: Path) -> None:
    (files / "syntax.py").write_text("\ndef ask(question: return 1\n")
    (files / "missing.py").write_text("\nimport nothing_like_that\n")
    for name, line in (("syntax.py", 2), ("missing.py", 2)):
        done = evaluated(app=f"{name}:ask")
        assert f"{name}, line {line})" in done.stderr and "frozen" not in done.stderr


TALKING = """
print("it is loaded")
def ask(question):
    print("it was asked")
    return "twenty-eight"
def talking(trial):
    print("it is scored")
    return True
"""


def test_with_json_nothing_else_is_on_stdout(files: Path) -> None:
    (files / "app.py").write_text(TALKING)
    done = evaluated("--json", "-s", "app.py:talking", "--gate", "talking == 1")
    assert json.loads(done.stdout)["gate"]["passed"] is True
    for said in ("it is loaded", "it was asked", "it is scored"):
        assert said in done.stderr
    assert "it was asked" in evaluated("-s", "app.py:talking").stdout


LOSING = """
import pathlib, shutil
def ask(question):
    for each in pathlib.Path.cwd().rglob("journal"):
        shutil.rmtree(each, ignore_errors=True)
    return "twenty-eight"
"""


@pytest.mark.parametrize(("gate", "status"), [("exact_match >= 0.5", 4), ("exact_match > 0.9", 4)])
def test_a_verdict_is_told_where_it_cannot_be_kept(files: Path, gate: str, status: int) -> None:
    (files / "app.py").write_text(LOSING)
    done = evaluated("-j", "1", "--gate", gate)
    assert done.returncode == status, done.stderr
    assert f"{gate}: " in done.stdout and "exact_match is 0.5" in done.stdout
    assert "the verdict cannot be put on record" in done.stderr
    assert ("error: the gate does not hold" in done.stderr) is (gate == "exact_match > 0.9")


def test_an_interrupted_experiment_is_listed_as_such(files: Path) -> None:
    (files / "app.py").write_text(ASLEEP)
    command = [sys.executable, "-m", "onrecord", "evaluate", "app.py:ask", "-d", "cases.jsonl"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (files / "asked").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    (listed,) = json.loads(onrecord("experiments", "list", "--json").stdout)
    assert listed["state"] == "interrupted"


def test_nothing_to_resume_is_said(files: Path) -> None:
    done = evaluated("--resume")
    assert done.returncode == 0
    assert "ask begins anew: no experiment like this was interrupted" in done.stderr


def test_the_baselines_file_and_the_margin_are_those_of_the_gate_too(files: Path) -> None:
    many = [{"id": f"c{at}", "input": "leave", "expected": "twenty-eight"} for at in range(200)]
    (files / "cases.jsonl").write_text("".join(json.dumps(each) + "\n" for each in many))
    assert evaluated("--save", "base.json").returncode == 0
    gate = "equivalent(baseline, exact_match)"
    lacking = evaluated("--baseline", "base.json", "--gate", gate)
    assert lacking.returncode == 2 and "--margin" in lacking.stderr
    done = evaluated("--baseline", "base.json", "--gate", gate, "--margin", "0.05")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "file base.json" in done.stdout and f"The gate holds: {gate}" in done.stdout


def test_a_summary_may_go_to_a_device(files: Path) -> None:
    done = evaluated("--markdown", "/dev/stdout", "--html", "/dev/null")
    assert done.returncode == 0 and "### ask on cases" in done.stdout
    assert Path("/dev/null").is_char_device()


def test_on_a_terminal_no_line_is_broken_within_a_word(files: Path) -> None:
    gate = "exact_match >= 0.1 and " + " and ".join(["token_f1 >= 0.1"] * 3)
    words = ("evaluate", "app.py:ask", "--data", "cases.jsonl", "--gate", gate)
    lines = on_terminal(60, *words)
    assert max(map(len, lines)) <= 60 and any("exact_match" in each for each in lines)
    assert any(each.startswith("    ") for each in lines)  # what was too long goes on there
