"""`onrecord prompts` as a user meets it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_bad_input import refused
from tests.cli.test_commands import onrecord, printed

APP = '''
from typing import Literal

import onrecord as on


@on.prompt(untrusted=("mail",))
async def triage(mail: str, urgent: bool = False) -> Literal["billing", "delivery"]:
    """Which desk?"""


@on.prompt(model="scripted:echo")
async def bare(mail: str) -> str:
    """Say it."""


if __name__ == "__main__":
    triage.using(on.Scripted('"billing"')).run("My bill")
    bare.run("x")
'''
TEXT = """---
model: openai:gpt-6-luna
parameters: {temperature: 0}
description: Sorts mails.
---
# system
Sort the mail{% if urgent %}, quickly{% endif %}.
# user
{{ mail }}
"""
DEMOS = '{"inputs": {"mail": "I was charged twice"}, "output": "billing"}\n'


@pytest.fixture
def app(project: Path) -> Path:
    (project / "app.py").write_text(APP)
    (project / "prompts").mkdir()
    (project / "prompts/triage.md").write_text(TEXT)
    (project / "prompts/triage.demos.jsonl").write_text(DEMOS)
    return project


@pytest.fixture
def called(app: Path) -> Path:
    subprocess.run([sys.executable, "app.py"], check=True)
    return app


def test_list(called: Path) -> None:
    done = onrecord("prompts", "list")
    assert done.returncode == 0 and done.stderr == ""
    heads, bare, triage = done.stdout.splitlines()
    assert heads.split()[:4] == ["prompt", "file", "version", "model"]
    assert bare.split()[:2] == ["bare", "(docstring)"] and bare.split()[-1] == "$0.00"
    assert triage.split()[:2] == ["triage", "prompts/triage.md"]
    assert triage.split()[3:6] == ["openai:gpt-6-luna", "1", "1"]
    first, second = printed("prompts", "list")["prompts"]
    assert (first["name"], first["file"], first["model"]) == ("bare", None, "scripted:echo")
    assert (second["calls"], second["failed"], second["versions"]) == (1, 0, 1)


def test_list_from_a_folder_inside_and_of_nothing(called: Path, tmp_path: Path) -> None:
    inner = called / "inner"
    inner.mkdir()
    assert "prompts/triage.md" in onrecord("prompts", "list", cwd=inner).stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    assert onrecord("prompts", "list", cwd=empty).stdout.startswith("No prompts yet.")
    assert list(empty.iterdir()) == []


def test_a_broken_file_is_a_note_and_the_others_are_listed(called: Path) -> None:
    (called / "prompts/broken.md").write_text("---\nmodle: x\n---\nHi")
    done = onrecord("prompts", "list")
    assert "triage" in done.stdout and done.returncode == 0
    assert done.stderr.startswith("note: the front matter has an unknown field 'modle'")
    assert "Did you mean 'model'?" in done.stderr
    refused(2, "unknown field 'modle'", "prompts", "show", "broken")


def test_show(called: Path) -> None:
    done = onrecord("prompts", "show", "triage")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("triage  ")
    assert "  model         openai:gpt-6-luna" in lines
    assert "  inputs        urgent, mail" in lines
    assert "  demos         1" in lines
    assert TEXT.strip() in done.stdout and DEMOS.strip() in done.stdout
    facts = printed("prompts", "show", "triage")
    assert facts["front"]["description"] == "Sorts mails." and facts["current"] is True
    assert facts["types"].startswith("triage(mail: str, urgent: bool")
    assert printed("prompts", "show", "bare")["text"] == "Say it."


def test_show_says_which_arguments_the_text_does_not_show(app: Path) -> None:
    (app / "prompts/triage.md").write_text("# user\n{{ mail }}\n")
    subprocess.run([sys.executable, "app.py"], check=True, capture_output=True)
    done = onrecord("prompts", "show", "triage")
    assert "note: the text does not show 'urgent'" in done.stderr


def test_prompts_of_onrecord_itself_are_told_from_docstrings(app: Path) -> None:
    summarize = (
        "import onrecord as on; model = on.Scripted('Short.', name='scripted:s');"
        "on.task('summarize', model=model).run('A text. ' * 9)"
    )
    subprocess.run([sys.executable, "-c", summarize], check=True)
    rows = [line for line in onrecord("prompts", "list").stdout.splitlines() if "summarize" in line]
    assert rows and all("(Onrecord's own)" in row for row in rows)
    assert {each["name"]: each["built_in"] for each in printed("prompts", "list")["prompts"]} == {
        "summarize_text": True,
        "triage": False,
    }


def test_render_without_the_function(app: Path) -> None:
    done = onrecord(
        "prompts", "render", "triage", "--input", "mail=My bill = wrong", "-i", "urgent=1"
    )
    assert done.stdout == (
        "# system\nSort the mail, quickly.\n\n# user\nI was charged twice\n\n"
        "# assistant\nbilling\n\n# user\nMy bill = wrong\n\n"
    )
    assert "--from app.py imports it" in done.stderr
    assert not (app / ".onrecord").exists()


def test_render_with_the_function_is_exact(app: Path) -> None:
    (app / "in.json").write_text('{"mail": "Late", "urgent": true}')
    shown = printed("prompts", "render", "triage", "--inputs", "in.json", "--from", "app")
    texts = [each["parts"][0]["text"] for each in shown["messages"]]
    assert "quickly" in texts[0] and "JSON schema" in texts[0]
    assert texts[1].startswith("<untrusted-") and texts[2] == '{"value": "billing"}'
    assert shown["notes"] == []
    for place in ("app:triage", "app.py", "app.py:triage"):
        same = ("prompts", "render", "triage", "--input", "mail=x", "--from", place)
        assert onrecord(*same).returncode == 0


def test_render_a_file_of_front_matter_alone(app: Path) -> None:
    (app / "prompts/triage.md").write_text("---\nmodel: scripted:demo\n---\n")
    done = onrecord("prompts", "render", "triage", "-i", "mail=x", "-i", "urgent=1")
    assert done.stdout.endswith("# user\n<mail>\nx\n</mail>\n\n<urgent>\n1\n</urgent>\n\n")
    assert "the function's docstring are sent" in done.stderr


def test_render_a_docstring_that_was_called(called: Path) -> None:
    done = onrecord("prompts", "render", "bare", "--input", "mail=x")
    assert done.stdout == "# system\nSay it.\n\n# user\n<mail>\nx\n</mail>\n\n"


def test_history_and_diff(called: Path) -> None:
    (called / "prompts/triage.md").write_text(TEXT.replace("Sort the", "Route this"))
    done = onrecord("prompts", "history", "triage")
    _, current, before = done.stdout.splitlines()
    assert "the file" in current and "the records" in before
    assert "note: without git: " in done.stderr
    difference = onrecord("prompts", "diff", "triage").stdout
    assert "\n-Sort the mail{% if urgent" in difference
    assert "\n+Route this mail{% if urgent" in difference
    new, old = (each["version"] for each in printed("prompts", "history", "triage")["versions"])
    lines = printed("prompts", "diff", "triage", new, old)["lines"]
    assert lines[:2] == [f"--- {new}", f"+++ {old}"]
    assert (
        onrecord("prompts", "diff", "triage", new, new).stdout == f"{new} and {new} say the same.\n"
    )
    assert printed("prompts", "show", "triage", old[:5])["current"] is False
    older = onrecord(
        "prompts", "render", "triage", "--version", old, "-i", "mail=x", "-i", "urgent="
    )
    assert older.stdout.startswith("# system\nSort the mail.")


def test_diff_is_in_colour_where_a_person_looks_on(called: Path) -> None:
    (called / "prompts/triage.md").write_text(TEXT.replace("Sort", "Route"))
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "onrecord", "prompts", "diff", "triage"]
    subprocess.run(command, stdout=theirs, env=environment, check=True)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "\x1b[31m-Sort" in shown and "\x1b[32m+Route" in shown


@pytest.mark.parametrize(
    ("sentence", "arguments"),
    [
        ("no prompt 'triag'. Did you mean 'triage'?", ("show", "triag")),
        ("no version of 'triage' begins with 'ffff'", ("show", "triage", "ffff")),
        ("one version of 'triage' only, and nothing to compare it with", ("diff", "triage")),
        ("the input 'mail' is missing (", ("render", "triage", "-i", "urgent=1")),
        ("'mail' has no name. Write --input name=text.", ("render", "triage", "-i", "mail")),
        ("the inputs cannot be read: ", ("render", "triage", "--inputs", "none.json")),
        ("the inputs are no JSON: ", ("render", "triage", "--inputs", "app.py")),
        ("nothing cannot be loaded: ModuleNotFound", ("render", "triage", "--from", "nothing")),
        ("there is no 'triage' in json", ("render", "triage", "--from", "json")),
        ("there is no 'triage' in other.py", ("render", "triage", "--from", "other.py")),
        ("json:dumps is no prompt. Decorate", ("render", "triage", "--from", "json:dumps")),
        ("app.py:bare is named 'bare'", ("render", "triage", "--from", "app.py:bare")),
        ("there is no file no.py", ("render", "triage", "--from", "no.py")),
        ("exits.py cannot be loaded: SystemExit: 3", ("render", "triage", "--from", "exits.py")),
        ("input 'mial' is no argument", ("render", "triage", "-i", "mial=x", "--from", "app")),
        ("missing a required argument: 'mail'", ("render", "triage", "--from", "app")),
        ("input 'urgent' does not fit", ("render", "triage", "-i", "mail=x", "-i", "urgent=maybe",
                                         "--from", "app")),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(app: Path, sentence: str, arguments: tuple[str, ...]) -> None:
    (app / "exits.py").write_text("import sys\nsys.exit(3)")
    (app / "other.py").write_text("x = 1")
    message = refused(2, sentence, "prompts", *arguments)
    assert len(message.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("---\nmodle: x\n---\nHi", "unknown field 'modle'"),
        ("---\nparameters: {temprature: 1}\n---\nHi {{ mail }}", "Did you mean 'temperature'"),
        ("{% for a in [1] %}{{ self.x() }}", "the template does not parse"),
        ("{% include 'triage.md' %}", "cannot include, extend or import another one"),
        ("# usr\n{{ mail }}", "Did you mean '# user'?"),
        ("---\ndemos: {file: no.jsonl}\n---\n{{ mail }}", "the file of the demos is not there"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "the template cannot be rendered"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ mail.__init__.__globals__ }}", "unsafe"),
        ("{% for a in range(9999999) %}x{% endfor %}", "the template cannot be rendered"),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "its loops go round more than 1,000,000 times",
        ),
        ("---\ndemos: &a [*a]\n---\n", "the aliases of the front matter repeat too much"),
        ("---\noutput: json\n---\n{{ mail }}", "Invalid enum value 'json'"),
        ("# user\n", "says nothing"),
        ("{{ mial }}", "the input 'mial' is missing"),
    ],
)
def test_texts_that_cannot_be_used(app: Path, text: str, sentence: str) -> None:
    (app / "prompts/triage.demos.jsonl").unlink()
    (app / "prompts/triage.md").write_text(text)
    (app / "in.json").write_text('{"mail": "x"}')
    for more in ((), ("--from", "app")):
        done = onrecord("prompts", "render", "triage", "--inputs", "in.json", *more)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        if not more:
            assert sentence in done.stderr
        lines = done.stderr.strip().splitlines()
        assert len([line for line in lines if "does not show" not in line]) == 1


def test_a_wrong_demo_line(app: Path) -> None:
    (app / "prompts/triage.demos.jsonl").write_text(DEMOS + "{oops\n")
    message = refused(2, "triage.demos.jsonl:2", "prompts", "render", "triage", "-i", "mail=x")
    assert "the demo is no JSON" in message


def test_names_cannot_command_the_terminal(app: Path) -> None:
    (app / "prompts/\x1b[31mred\u202e.md").write_text("\x1b[2J{{ x }}")
    for arguments in (("list",), ("show", "\x1b[31mred\u202e"), ("history", "\x1b[31mred\u202e")):
        done = onrecord("prompts", *arguments)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout + done.stderr and "\u202e" not in done.stdout


def test_help_shows_examples() -> None:
    for command in ("list", "show", "diff", "render", "history"):
        assert "onrecord prompts" in onrecord("prompts", command, "--help").stdout
