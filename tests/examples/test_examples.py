"""The examples as a user runs them: offline, in a fresh folder, and with a real (tiny) model."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_commands import onrecord

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/app.py"))


def ran(example: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / example / "app.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.models import tiny_models

    return tiny_models.causal(
        tmp_path_factory.mktemp("models") / "tiny", context=4096, max_new_tokens=8
    )


def test_there_are_examples_and_each_is_whole() -> None:
    assert {"article_desk", "paper_tags", "research_desk", "shopbot"} <= set(FOLDERS)
    for name in FOLDERS:
        for part in ("README.md", "cases.jsonl", "prompts"):
            assert (EXAMPLES / name / part).exists(), f"{name}/{part}"


@pytest.mark.parametrize("example", FOLDERS)
def test_help(example: str) -> None:
    done = ran(example, "--help")
    assert done.returncode == 0 and "--model" in done.stdout and done.stderr == ""


@pytest.mark.parametrize("example", FOLDERS)
def test_the_commands_of_a_readme(example: str, project: Path) -> None:
    (project / "examples").symlink_to(EXAMPLES)
    text = (EXAMPLES / example / "README.md").read_text(encoding="utf-8")
    lines = [line for block in FENCE.findall(text) for line in block.splitlines()]
    assert lines
    for line in lines:
        program, rest = line.split(" ", 1)
        command = f"{sys.executable} {'-m onrecord ' if program == 'onrecord' else ''}{rest}"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("example", FOLDERS)
def test_the_code_of_a_readme_is_that_of_the_application(example: str) -> None:
    def lines(text: str) -> list[str]:
        return [line.strip() for line in text.splitlines() if line.strip()]

    app = lines((EXAMPLES / example / "app.py").read_text(encoding="utf-8"))
    for block in PYTHON.findall((EXAMPLES / example / "README.md").read_text(encoding="utf-8")):
        heads = [line for line in lines(block) if line.startswith(("@", "class ", "async def "))]
        assert heads and set(heads) <= set(app)


@pytest.mark.parametrize("example", FOLDERS)
def test_links_of_a_readme_lead_somewhere(example: str) -> None:
    folder = EXAMPLES / example
    for target in re.findall(r"\]\(([^)]+)\)", (folder / "README.md").read_text(encoding="utf-8")):
        assert (folder / target).exists(), target


def compared(*arguments: object) -> Any:
    done = ran("paper_tags", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout[done.stdout.index("{") :])


def test_tags_of_two_prompts_and_two_models() -> None:
    found = compared()
    assert [(each["ask"], each["model"]) for each in found["models"]] == [
        ("tags_plain", "scripted:eager"),
        ("tags_plain", "scripted:shy"),
        ("tags_careful", "scripted:eager"),
        ("tags_careful", "scripted:shy"),
    ]
    assert found["best"] == {"model": "scripted:eager", "ask": "tags_careful"}
    assert all(each["failed"] == 0 for each in found["models"])
    quality = {(each["ask"], each["model"]): each["quality"] for each in found["models"]}
    assert quality["tags_careful", "scripted:eager"]["tag_f1"] > 0.9
    shown = onrecord("records", "show", found["run"], "--json").stdout
    assert "Datasets, benchmarks, libraries and institutions are no models." in shown
    assert "I found no models in this abstract." in shown  # the answer that was repaired


def test_the_output_says_that_doubles_are_doubles() -> None:
    for example in FOLDERS:
        assert "double" in ran(example).stdout.splitlines()[0]


def test_resumed_tags_ask_nobody() -> None:
    compared()
    again = compared("--resume")
    assert all(case["reused"] for each in again["models"] for case in each["cases"])


def test_one_abstract() -> None:
    text = "We present Quillon-7B, which beats Harrow-13B on the LitBench benchmark."
    done = ran("paper_tags", "--abstract", text)
    assert json.loads(done.stdout) == {"models": ["Quillon-7B", "Harrow-13B"]}


def test_every_article_has_its_time_and_cost() -> None:
    done = ran("article_desk")
    assert done.returncode == 0, done.stderr
    each = re.findall(
        r"^  (positive|negative|neutral) · .+ · \$0\.00 · \d+ tokens$", done.stdout, re.M
    )
    assert len(each) == 12 and set(each) == {"positive", "negative", "neutral"}
    total = re.search(r"^12 articles: .+, \$0\.00, ([\d,]+) tokens$", done.stdout, re.M)
    tokens = re.findall(r"· (\d+) tokens$", done.stdout, re.M)
    assert total and int(total[1].replace(",", "")) == sum(map(int, tokens))


def test_articles_of_ones_own_and_a_finished_run_again(project: Path) -> None:
    words = "\ufeff# A good day\n\nWe won. All are happy.\n"  # as some editors begin a file
    (project / "news.txt").write_text(words)
    first = ran("article_desk", "news.txt")
    assert "\nA good day\n  We won.\n  positive" in first.stdout, first.stderr
    run = first.stdout.split()[-1]
    again = ran("article_desk", "--resume", run)
    assert "A good day\n  We won.\n  positive" in again.stdout, again.stderr


@pytest.mark.parametrize("example", FOLDERS)
def test_a_mistake_is_one_sentence(example: str) -> None:
    done = ran(example, "--model", "openal:gpt-6-luna")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: there is no model 'openal:gpt-6-luna'")


def test_a_real_model_that_writes_nonsense_is_compared_and_scores_nothing(
    tiny: Path, project: Path
) -> None:
    lines = (EXAMPLES / "paper_tags" / "cases.jsonl").read_text().splitlines()[:1]
    (project / "one.jsonl").write_text("\n".join(lines))
    found = compared("--model", f"hf:{tiny}", "--data", "one.jsonl")
    for each in found["models"]:
        assert each["failed"] == 1 and each["quality"] == {}
        assert all("does not fit its type" in case["error"] for case in each["cases"])
        assert each["usage"]["output"] > 0 and each["memory_bytes"] >= 0


def test_an_article_that_fails_keeps_its_line_and_the_others_go_on(project: Path) -> None:
    (project / "news.txt").write_text("# A good day\n\nWe won. All are happy.\n")
    (project / "more.txt").write_text("# Rain\n\nIt rained.\n")
    done = ran("article_desk", "news.txt", "more.txt", "--model", "scripted:demo")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr == "2 of 2 could not be done: their lines say why\n"
    failed = re.findall(r"^  failed: .+ · .+ m?s · \$0\.00 · \d+ tokens$", done.stdout, re.M)
    assert len(failed) == 2
    shown = onrecord("records", "show", "@1", "--json").stdout
    assert shown.count("Thank you for asking.") >= 4  # every answer can be read


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["binary.txt"], "error: binary.txt: this is no text in UTF-8\n"),
        (["empty.txt"], "error: empty.txt: there is no title in it\n"),
        (["marks.txt"], "error: marks.txt: there is no title in it\n"),
        (["gone.txt"], "error: gone.txt: No such file or directory\n"),
        (["--concurrent", "0"], "--concurrent is at least 1\n"),
        (["--concurrent", "-1"], "--concurrent is at least 1\n"),
    ],
)
def test_mistakes_at_the_desk(arguments: list[str], said: str, project: Path) -> None:
    (project / "binary.txt").write_bytes(b"\xff\xfe\x00\xd0")
    (project / "empty.txt").write_text(" \n")
    (project / "marks.txt").write_text("#\n\n")
    done = ran("article_desk", *arguments)
    assert done.returncode in (1, 2) and done.stderr.endswith(said)
    assert "Traceback" not in done.stderr


def test_a_cost_that_nobody_knows_is_not_called_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = importlib.util.spec_from_file_location("desk", EXAMPLES / "article_desk" / "app.py")
    assert where is not None and where.loader is not None
    desk = importlib.util.module_from_spec(where)
    sys.modules["desk"] = desk  # a dataclass looks for its module
    try:
        where.loader.exec_module(desk)
        desk.show(desk.Line("News", "It rained.", "neutral", 0.5, None, 12))
    finally:
        del sys.modules["desk"]
    told = capsys.readouterr().out
    assert told == "News\n  It rained.\n  neutral · 500 ms · cost unknown · 12 tokens\n"
