"""`onrecord models compare`, as a user meets it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.cli.terminal import on_terminal
from tests.cli.test_bad_input import refused
from tests.cli.test_commands import onrecord, printed

COMPARE = ("models", "compare", "scripted:echo", "scripted:demo", "--data", "cases.jsonl")


@pytest.fixture(autouse=True)
def cases(project: Path) -> Path:
    path = project / "cases.jsonl"
    lines = [{"input": f"word {n}", "expected": f"Word {n}."} for n in range(24)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_table_and_how_far_the_others_are() -> None:
    done = onrecord(*COMPARE)
    assert done.returncode == 0, done.stderr
    lines = [re.sub(r"[\d.]+ (µs|ms|s)", "T", line) for line in done.stdout.splitlines()]
    assert lines[0].split() == ["model", "F1", "exact", "p50", "p95", "cost", "tokens"]
    assert lines[1].split()[:6] == ["scripted:echo", "1.000", "1.000", "T", "T", "$0.00"]
    assert lines[1].endswith("48 → 48")
    assert lines[2].split()[:3] == ["scripted:demo", "0.000", "0.000"]
    assert lines[4] == "best: scripted:echo. Beside it, on the same 24 cases:"
    assert lines[6].split() == [
        *("scripted:demo", "F1", "-1.000", "-1.000", "-1.000", "worse"),
    ]
    assert lines[-1].startswith("24 cases, 4 at once. Every request: onrecord records show ")
    assert done.stderr == ""
    shown = onrecord(*lines[-1].split()[-3:])
    assert shown.returncode == 0 and "flow compare_models" in shown.stdout


def test_json() -> None:
    found = printed(*COMPARE, "--concurrent", 2, "--prompt", "Repeat: {input}")
    assert found["dataset"]["cases"] == 24 and found["concurrent"] == 2
    assert found["best"] == {"model": "scripted:echo", "ask": "words"}
    echo = found["models"][0]
    assert echo["cases"][0]["prediction"] == "Repeat: word 0"
    assert echo["quality"] == {"token_f1": pytest.approx(0.8), "exact_match": 0}
    assert echo["memory_bytes"] is None and echo["cost_usd"] == 0
    assert {each["verdict"] for each in found["differences"]} == {"worse", "inconclusive"}


def test_resume_asks_only_the_rest() -> None:
    printed(*COMPARE)
    again = printed(*COMPARE[:2], "scripted:echo", *COMPARE[4:], "--resume")
    assert all(case["reused"] for case in again["models"][0]["cases"])
    assert again["notes"] == [
        "scripted:echo: 24 of 24 answers were on record; their times and costs are those of then"
    ]


def test_a_task_with_the_labels_that_are_expected(project: Path) -> None:
    (project / "tone.jsonl").write_text(
        '{"input": "A delight, wonderful.", "expected": "good"}\n'
        '{"input": "Awful, a bore.", "expected": "bad"}\n'
    )
    found = printed(
        *("models", "compare", "embedded:extractive", "--data", "tone.jsonl", "--task", "classify")
    )
    (result,) = found["models"]
    assert result["ask"] == "classify" and result["failed"] == 0
    assert {case["prediction"] for case in result["cases"]} <= {"good", "bad"}
    assert result["memory_bytes"] > 0


def test_a_model_without_a_key_fails_in_words() -> None:
    environment = {name: value for name, value in os.environ.items() if "OPENAI" not in name}
    done = onrecord(*COMPARE[:2], "openai:gpt-6-luna", *COMPARE[3:], env=environment)
    assert done.returncode == 0
    assert re.search(r"openai:gpt-6-luna +– +– +– +– .* 24$", done.stdout, re.MULTILINE)
    assert "24 of 24 cases without an answer. The first: there is no key" in done.stderr


def test_a_refusal_of_one_case_is_a_row(project: Path) -> None:
    (project / "tone.jsonl").write_text(
        '{"input": "A delight, wonderful.", "expected": "good"}\n'
        '{"input": " ", "expected": "bad"}\n'
    )
    task = ("--data", "tone.jsonl", "--task", "classify", "--concurrent", 1)
    done = onrecord("models", "compare", "embedded:extractive", *task)
    assert done.returncode == 0
    assert "1 of 2 cases without an answer; they count 0. The first: the text is" in done.stderr
    assert "failed" in done.stdout.splitlines()[0]


def test_where_nothing_was_answered_the_status_says_so() -> None:
    # It quotes passages; here there are none.
    done = onrecord(*COMPARE[:2], "embedded:extractive", *COMPARE[4:], "--json")
    assert done.returncode == 5 and "Traceback" not in done.stderr
    (result,) = json.loads(done.stdout)["models"]
    assert result["failed"] == 24 and "can only quote" in result["cases"][0]["error"]


def test_options_of_a_task(project: Path) -> None:
    (project / "people.jsonl").write_text(
        '{"input": "Ada, 36", "expected": {"name": "Ada", "age": "36"}}\n'
    )
    done = onrecord(
        *("models", "compare", "scripted:demo", "--data", "people.jsonl", "--json"),
        *("--task", "extract", "--fields", "name,age", "--instruction", "Be brief."),
    )
    assert done.returncode == 5  # it says the same to all, and never an object
    asked = onrecord("records", "show", json.loads(done.stdout)["run"], "--json").stdout
    assert "Be brief." in asked and "age" in asked


def test_input_that_a_task_does_not_take(project: Path) -> None:
    (project / "odd.jsonl").write_text('{"input": {"txt": "Hm."}, "expected": "a"}\n')
    odd = (*COMPARE[:5], "odd.jsonl", "--task", "summarize")
    assert "the task takes text" in refused(2, "does not fit: missing a required argument", *odd)


def test_a_budget_ends_it_and_says_how_to_go_on() -> None:
    openai = {name: value for name, value in os.environ.items() if "OPENAI" not in name}
    openai["OPENAI_API_KEY"] = "sk-of-nobody"  # nothing is sent: the budget is asked first
    command = (*COMPARE[:2], "scripted:echo", "openai:gpt-6-luna", *COMPARE[4:], "--usd", "0.00001")
    message = refused(7, "the call could take $", *command, env=openai)
    assert "the same command with --resume goes on" in message


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_into_a_terminal(columns: int) -> None:
    task = ("--task", "classify", "--labels", "a,b")
    lines = on_terminal(columns, *COMPARE, "embedded:extractive", *task)
    table = lines[: lines.index("")]
    assert "memory" in table[0] and "failed" in table[0]
    assert max(map(len, table)) <= columns


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--prompt", "no place"), "does not say where a case's input goes"),
        (("--prompt", "{who}"), "names {who}"),
        (("--task", "clasify"), "Did you mean 'classify'?"),
        (("--task", "summarize", "--prompt", "{input}"), "a task brings its own words"),
        (("--task", "summarize", "--labels", "a"), "has no option 'labels'"),
        (("--labels", "a,b"), "--labels is an option of tasks"),
        (("--task", "translate"), "into which language"),
        (("--task", "translate", "--fields", "a"), "has no option 'fields'"),
        (("--temperature", "nan"), "--temperature"),
        (("--usd", "-1"), "--usd"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], message: str) -> None:
    refused(2, message, *COMPARE, *arguments)


def test_bad_data(project: Path) -> None:
    (project / "bad.jsonl").write_text('{"inptu": 1}\n')
    refused(3, "line 1 is no case", *COMPARE[:5], "bad.jsonl")
