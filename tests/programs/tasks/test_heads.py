"""answer and extract by `hf:` models that were fine-tuned for it: tiny ones, trained here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import onrecord as on
from onrecord.errors import UsageError

pytest.importorskip("transformers")

from onrecord.models.transformers.reader import HFReader
from onrecord.models.transformers.tagger import HFTagger
from tests.models import tiny_models

TEXT = "It was a quiet day. In Lagos, Chidi sells umbrellas. It was a quiet day."
LONG = "It was a quiet day. " * 30 + TEXT


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("heads")
    tiny_models.reader(folder / "reader")
    tiny_models.tagger(folder / "tagger")
    tiny_models.classifier(folder / "classifier")
    yield folder


def kinds(run: Any) -> list[tuple[str, str]]:
    return [(each.kind, each.name) for each in run.records]


def test_an_answer_is_marked_in_the_text(folders: Path) -> None:
    name = f"hf:{folders / 'reader'}"
    task = on.task("answer", question="where?", model=name)
    with on.recording() as run:
        result = task.run(TEXT)
    assert (result.text, result.model, result.refused) == ("Lagos", name, False)
    (evidence,) = result.evidence
    assert evidence.quote == TEXT[evidence.start : evidence.end] == "Lagos"
    assert evidence.score == result.confidence and 0 < evidence.score <= 1
    assert kinds(run) == [("tool", name), ("flow", "answer")]
    record = run.records[0]
    assert record.input == {"question": "where?", "text": TEXT}
    assert record.usage.input > 0 and record.cost == 0
    assert task.run(LONG).text == "Lagos"
    assert "windows that overlap" in task.run(LONG).note
    refused = on.task("answer", model=HFReader(str(folders / "reader"), threshold=50.0))
    nothing = refused.run(TEXT, "who?")
    assert nothing.refused and nothing.text is None and nothing.evidence == ()
    assert "marks no answer" in nothing.note


def test_entities_are_the_fields(folders: Path) -> None:
    name = f"hf:{folders / 'tagger'}"
    with on.recording() as run:
        every = on.task("extract", model=name).run(TEXT)
    assert every.value == {"PER": ["Chidi"], "LOC": ["Lagos"], "ARTICLE": ["umbrellas"]}
    assert [each.quote for each in every.evidence] == ["Lagos", "Chidi", "umbrellas"]
    assert all(TEXT[each.start : each.end] == each.quote for each in every.evidence)
    assert all(each.score is not None and 0 < each.score <= 1 for each in every.evidence)
    assert kinds(run) == [("tool", name), ("flow", "extract")]
    assert [each["label"] for each in run.records[0].output["entities"]] == [
        "LOC",
        "PER",
        "ARTICLE",
    ]
    some = on.task("extract", fields="ARTICLE,PER", model=HFTagger(str(folders / "tagger")))
    assert some.run(LONG).value == {"ARTICLE": ["umbrellas"], "PER": ["Chidi"]}
    assert some.run("Nothing moved.").value == {"ARTICLE": [], "PER": []}


def test_what_is_on_record_is_not_computed_again(folders: Path) -> None:
    tasks = [
        (on.task("answer", question="who?", model=f"hf:{folders / 'reader'}"), LONG),
        (on.task("extract", model=f"hf:{folders / 'tagger'}"), LONG),
    ]
    with on.replay("cassette.jsonl", record=True):
        first = [task.run(text) for task, text in tasks]
    with on.replay("cassette.jsonl"):
        assert [task.run(text) for task, text in tasks] == first


def test_the_settings_model_may_be_one(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_MODEL", f"hf:{folders / 'tagger'}")
    assert on.task("extract").run(TEXT).value["LOC"] == ["Lagos"]


@pytest.mark.parametrize(
    ("task", "model", "options", "said"),
    [
        ("answer", "tagger", {"question": "who?"}, "marks entities and answers nothing"),
        ("answer", "classifier", {"question": "who?"}, "labels texts and answers nothing"),
        ("answer", "reader", {"question": "who?", "window": 300}, r"reads all .* Leave the window"),
        ("extract", "reader", {"fields": "PER"}, "Ask it with the task 'answer'"),
        ("extract", "classifier", {"fields": "PER"}, "labels texts and extracts nothing"),
        ("extract", "classifier", {}, "does not know what to take out"),
        ("extract", "tagger", {"fields": "PER,name"}, "finds PER, LOC, ARTICLE, and not 'name'"),
        ("extract", "tagger", {"into": dict[str, str]}, "takes no into"),
        ("extract", "tagger", {"instruction": "Be quick."}, "takes no instruction"),
        ("extract", "tagger", {"fields": "PER", "window": 300}, "takes no window"),
        ("extract", "tagger", {"examples": [("x", "y")]}, "takes no examples"),
    ],
)
def test_what_a_head_cannot_do_is_said(
    folders: Path, task: str, model: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        on.task(task, model=f"hf:{folders / model}", **options).run("Ann sells tea.")
