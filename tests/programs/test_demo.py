"""The demonstration: its corpus, its questions, and the whole of it as a command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from onrecord.programs.demo import own_pages, questions
from onrecord.retrieval.loading.docstrings import standard_library


def test_every_answerable_question_has_an_object_in_this_pythons_library() -> None:
    ids = [document.id for document in standard_library()]
    assert len(ids) == len(set(ids)) > 4000
    asked = questions()
    assert len(asked) >= 60 and sum(not question.objects for question in asked) == 15
    assert len({question.question for question in asked}) == len(asked)
    for question in asked:
        assert not question.objects or set(question.objects) & set(ids), question.question


def test_own_pages_are_found() -> None:
    assert {"onrecord/architecture.md", "onrecord/retrieval.md"} <= {
        page.id for page in own_pages()
    }


def test_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "onrecord", "demo"], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    assert "> How do I make a temporary directory that deletes itself?" in done.stdout
    assert "tempfile.TemporaryDirectory, characters " in done.stdout
    for what in ("hit_at_1", "hit_at_5", "mrr", "refusal.correct", "answered wrongly"):
        assert what in done.stdout
    commands = [line.split("onrecord ")[-1] for line in done.stdout.rstrip().splitlines()[-4:]]
    report = commands.pop()
    assert commands == [
        'ask "How do I copy a folder?" --collection python-docs',
        "ingest PATH-OF-YOUR-OWN-DOCUMENTS",
        "records",
    ]
    shown = subprocess.run(
        [sys.executable, "-m", "onrecord", *report.split()], capture_output=True, text=True
    )
    assert shown.returncode == 0 and "Written: demo.html" in shown.stdout
    assert "hit_at_1" in Path("demo.html").read_text()
