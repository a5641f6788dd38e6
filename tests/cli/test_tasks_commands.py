"""`onrecord task` as a user meets it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

INVOICE = "My invoice charges me twice for March. I want the money back. The weather was nice."
SEEN = """text,label
I love it,good
so good,good
wonderful,good
awful,bad
I hate it,bad
worst,bad
"""


def task(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "onrecord", "task", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def test_a_label_with_its_confidence_and_evidence() -> None:
    done = task("classify", INVOICE, "--labels", "billing,technical,shipping")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first.startswith("billing  (confidence 0.")
    assert any(line.startswith("  technical  0.") for line in rest)
    assert "“My invoice charges me twice for March.”" in done.stdout
    assert "characters 0-38" in done.stdout and "embedded:minilm, " in done.stdout


def test_json() -> None:
    done = task("classify", INVOICE, "--labels", "billing,shipping", "--json")
    said = json.loads(done.stdout)
    assert list(said) == [
        "task",
        "label",
        "confidence",
        "scores",
        "evidence",
        "model",
        "note",
        "seconds",
        "cost_usd",
        "run",
    ]
    assert said["evidence"][0]["quote"] == INVOICE[:38] and said["cost_usd"] == 0


@pytest.mark.parametrize("given", ["file", "stdin", "text"])
def test_a_file_a_text_or_standard_input(given: str, project: Path) -> None:
    text = "The pump delivers four litres a minute. The pipe is made of copper."
    (project / "pump.md").write_text(text)
    word = {"file": "pump.md", "stdin": "-", "text": text}[given]
    done = task("answer", word, "-q", "How much does the pump deliver?", input=text)
    assert done.stdout.startswith("The pump delivers four litres a minute."), done.stderr
    refused = task("answer", word, "-q", "Who wrote Hamlet?", input=text)
    assert refused.returncode == 0 and refused.stdout.startswith("No answer: ")


def test_the_other_tasks(project: Path) -> None:
    (project / "seen.csv").write_text(SEEN)
    done = task("sentiment", "wonderful, so good", "--examples", "seen.csv")
    assert done.stdout.startswith("good  (confidence ") and "cross-validated" in done.stdout
    assert task("similar", "a cat", "--candidate", "a kitten").stdout[0] == "0"
    found = task("extract", "Mail a@b.org by 2024-03-05", "--fields", "emails,urls")
    assert "emails: a@b.org" in found.stdout and "urls: –" in found.stdout
    assert task("summarize", INVOICE, "--sentences", 1).stdout.count("“") == 1
    echoed = task("translate", "a cat", "--to", "German", "--model", "scripted:demo")
    assert echoed.stdout.startswith("Thank you for asking.")
    assert task("generate", "a cat", "-m", "scripted:echo").stdout.startswith("a cat\n")


def test_a_batch_goes_on_where_it_stopped(project: Path) -> None:
    (project / "seen.csv").write_text(SEEN)
    (project / "in.csv").write_text("id,text\n1,great\n2,\n3,terrible\n")
    command = ["sentiment", "in.csv", "--examples", "seen.csv", "--batch", "-o", "out.jsonl"]
    done = task(*command)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "out.jsonl: 3 rows, 2 done, 1 failed (their rows say why)."
    assert re.fullmatch(r"This run took \d.* m?s, \$0\.00\.", second)
    assert "1 row failed; --retry" in done.stderr
    again = json.loads(task(*command, "--json").stdout)
    assert (again["rows"], again["already"], again["failed"]) == (3, 3, 1)
    assert again["cost_usd"] == 0 and "cost" not in again and again["seconds"] > 0
    other = task("classify", "in.csv", "--labels", "a,b", "--batch", "-o", "out.jsonl")
    assert other.returncode == 2 and "the output of the task 'sentiment'" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["sumarize", "x"], 2, "Did you mean 'summarize'?"),
        (["similar", "x", "--labels", "a,b"], 2, "no option 'labels'"),
        (["classify", "x", "--labels", "a"], 2, "only the label 'a'"),
        (["classify", "x"], 2, "no labels to choose from"),
        (["sentiment", "x"], 2, "sentiment needs a model or examples"),
        (["translate", "x"], 2, "into which language"),
        (["summarize", ""], 2, "the text is empty"),
        (["summarize", "gone.pdf"], 3, "there is no such file"),
        (["summarize", "."], 3, "this is a folder"),
        (["summarize", "folder/"], 3, "there is no such file"),
        (["summarize", "long.txt", "--batch", "-o", "."], 2, "the output is a folder"),
        (["summarize", "-", "--batch", "-o", "y"], 2, "reads a file and no standard input"),
        (["classify", "x", "--label", "a=one", "--label", "a=two"], 2, "named twice"),
        (["classify", "x", "--label", "=one", "--label", "b"], 2, "a label is empty"),
        (["summarize", "empty.txt"], 3, "empty"),
        (["summarize", "binary.txt"], 3, "binary.txt"),
        (["summarize", "long.txt"], 2, "5,000,000 characters"),
        (["summarize", "x", "--long", "all"], 2, "--long may be 'map-reduce' or 'refine'"),
        (["summarize", "x", "--window", "3"], 2, "--window may be 16 or more"),
        (["summarize", "x", "--sentences", "0"], 2, "--sentences may be 1 to 100"),
        (["summarize", "long.txt", "--batch", "-o", "y", "--together", "0"], 2, "--together may"),
        (
            ["summarize", "x", "--max-tokens", "0"],
            2,
            "0 is too small. --max-tokens may be 1 or more.",
        ),
        (["summarize", "x", "--out", "y"], 2, "belong to --batch"),
        (["summarize", "long.txt", "--batch"], 2, "--out results.jsonl"),
        (["sentiment", "x", "--examples", "one.csv"], 2, "all examples have the label 'a'"),
        (["sentiment", "x", "--examples", "gone.csv"], 2, "no such file of examples"),
        (["summarize", "x", "--model", "nobody:x"], 2, "there is no model 'nobody:x'"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], status: int, said: str, project: Path
) -> None:
    (project / "empty.txt").write_bytes(b"")
    (project / "binary.txt").write_bytes(bytes(range(256)) * 40)
    (project / "long.txt").write_text("x" * 5_000_000)
    (project / "one.csv").write_text("text,label\nx,a\ny,a\n")
    done = task(*arguments)
    assert done.returncode == status, done.stderr
    assert said in done.stderr and done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1


def test_labels_with_what_they_are_for() -> None:
    text = "It charges me twice, and I want the money back."
    done = task("classify", text, "--label", "a=parcels", "--label", "b=invoices and payments")
    assert done.stdout.startswith("b  (confidence "), done.stderr
    plain = task("classify", text, "--label", "parcels", "--labels", "weather,money")
    assert plain.stdout.startswith("money  (confidence "), plain.stderr


def test_ctrl_c_says_that_the_same_command_goes_on(project: Path) -> None:
    (project / "seen.csv").write_text(SEEN)
    (project / "in.txt").write_text("".join(f"a great text, number {n}\n" for n in range(5_000)))
    words = ["sentiment", "in.txt", "--examples", "seen.csv", "--batch", "-o", "out.jsonl"]
    process = subprocess.Popen(
        [sys.executable, "-m", "onrecord", "task", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test that was started in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    out = project / "out.jsonl"
    while process.poll() is None and not (out.exists() and out.read_bytes().count(b"\n") > 5):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, complained = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in complained
    assert "the same command goes on where it stopped" in complained
    lines = out.read_text().splitlines()
    assert 5 < len(lines) < 5_000 and all("result" in json.loads(line) for line in lines)


def test_standard_input_that_is_no_text() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "onrecord", "task", "summarize", "-"],
        input=b"\xff\xfe\x00",
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 3 and b"no UTF-8 text at byte 0" in done.stderr


def test_help_has_an_example() -> None:
    shown = task("--help").stdout
    assert "onrecord task summarize" in shown and "--batch" in shown


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (["classify", "x", "--labels", ""], "Name the labels: --labels a,b."),
        (["classify", "x"], "Name them: --labels a,b, or --label 'a=what it is for'."),
        (["sentiment", "x"], "(--model hf:NAME), or give examples (--examples FILE)."),
        (["extract", "x"], "Say --fields name,date, or into (in Python alone)."),
        (["extract", "x", "--fields", "name"], "Name a model that writes: --model hf:NAME."),
        (["translate", "x"], "Name it: --to German."),
        (["generate", "x"], "Name one: --model hf:NAME."),
        (["answer", "x"], "Ask one: --question TEXT."),
        (["similar", "x"], "Give something: --candidate TEXT."),
        (["similar", "x", "--labels", "a,b"], "It has --candidate, --model, --embedder"),
    ],
)
def test_the_cure_of_a_mistake_names_the_options_of_the_command(
    arguments: list[str], cure: str
) -> None:
    done = task(*arguments)
    assert done.returncode == 2 and cure in done.stderr and "=[" not in done.stderr


def test_an_answer_may_be_bounded(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.models import tiny_models

    name = f"hf:{tiny_models.causal(tmp_path / 'tiny')}"
    done = task("generate", "a pump", "--model", name, "--max-tokens", 3, "--json")
    said = json.loads(done.stdout)
    assert said["model"] == name and "cut off at its longest" in said["note"]
    shown = subprocess.run(
        [sys.executable, "-m", "onrecord", "records", "show", "@1", "--json"],
        capture_output=True,
        text=True,
    ).stdout
    assert '"max_tokens": 3' in shown
