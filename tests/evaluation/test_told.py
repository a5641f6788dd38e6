"""What a report tells besides its numbers, and what a failure counts where no scorer says."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onrecord as on
from onrecord.errors import UsageError
from onrecord.evaluation.dataset import Case, Dataset
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.evaluation.experiments.report import Report
from onrecord.evaluation.experiments.steps import OnStep
from onrecord.evaluation.reports.markdown import markdown, write_markdown
from onrecord.evaluation.reports.page import page, section
from onrecord.evaluation.scorers.described import Described, described
from onrecord.evaluation.scoring import LOWEST, Scorers
from onrecord.evaluation.trial import Score, Trial


def below(trial: Trial) -> float:
    """A scorer that gives numbers below 0, and does not say what a failure counts."""
    return -float(len(str(trial.answer)))


def app(text: str) -> str:
    if text == "fail":
        raise ValueError("no")
    return text


def cases(*inputs: str, **metadata: Any) -> Dataset:
    every = [Case(f"c{at}", each, each, metadata) for at, each in enumerate(inputs)]
    return Dataset(every, name="cases")


class Below(Described):
    def __call__(self, trial: Trial) -> float:
        return below(trial)


class Told(Below):
    worst = -7.0


@pytest.mark.parametrize(
    ("scorer", "worst"),
    [
        (Below("below"), LOWEST),
        (Told("told"), -7.0),
        (described()(below), LOWEST),
        (described(worst=-7.0)(below), -7.0),
        (described(worst=None)(below), None),
        (described(better="lower")(below), None),
        (described(better="lower", worst=9.0)(below), 9.0),
        (OnStep("search", below), LOWEST),
        (OnStep("search", Told("told")), -7.0),
        (OnStep("search", described(better="lower")(below)), None),
        (on.scorers.rouge, LOWEST),
    ],
)
def test_a_scorer_has_a_worst_only_where_it_says_one(scorer: Any, worst: object) -> None:
    assert Scorers([scorer]).facts[0].worst == worst


def test_a_failure_counts_the_lowest_that_any_got_of_a_described_scorer() -> None:
    report = evaluate.run(app, cases("four", "fail", "ab"), [Below("below")])
    assert [value for _, value in report.counted("below")] == [-4.0, -4.0, -2.0]


def test_importing_steps_first_works() -> None:
    code = "from onrecord.evaluation.experiments.steps import OnStep"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@on.step
async def search(text: str) -> str:
    return text


@on.flow
async def searching(text: str) -> str:
    return text if text == "plain" else await search(text)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelno == logging.WARNING]


def test_a_step_of_a_case_that_nothing_was_called_by_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    evaluate.run(searching, cases("a", "b", "c", steps={"serach": "x"}), [below])
    said = "nothing was called 'serach', as the steps of 3 trials say: did you mean 'search'?"
    assert warnings(caplog) == [said]
    caplog.clear()
    evaluate.run(searching, cases("a", steps={"serach": "x"}), [OnStep("serach", below)])
    assert len(warnings(caplog)) == 1 and "as the steps of a case say" in warnings(caplog)[0]


def test_a_step_that_some_trial_called_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    evaluate.run(searching, cases("plain", "a", steps={"search": "x"}), [below])
    assert warnings(caplog) == []


def test_nothing_is_said_of_steps_where_nothing_is_recorded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONRECORD_RECORD", "false")
    evaluate.run(searching, cases("a", steps={"search": "x"}), [below])
    assert not [each for each in warnings(caplog) if "nothing was called" in each]


def test_cases_from_an_empty_file_are_named_by_their_file(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(UsageError, match=r"none\.jsonl"):
        evaluate.run(app, Dataset.read(tmp_path / "none.jsonl"), [below])


def several(trial: Trial) -> dict[str, bool] | None:
    if trial.case == "c0":
        raise ValueError("no words")
    return {"one": True, "two": False} if trial.case == "c1" else None


def test_a_scorer_of_several_is_no_measure_beside_its_own() -> None:
    report = evaluate.run(app, cases("a", "b", "c"), [several])
    assert list(report.measures) == ["error", "several.one", "several.two"]
    assert "several: 1 not scorable: ValueError: no words" in str(report)
    assert report.measure("several.one").errors == 1
    assert report.measure("several.one").missing == 1
    assert on.gate("errors(several) == 1 and errors(several) / trials < 0.5", report)
    assert not on.gate("errors(several) == 0", report)
    with pytest.raises(UsageError, match=r"several\.one, several\.two"):
        on.gate("several > 0.5", report)
    alone = evaluate.run(app, cases("a"), [several])
    assert list(alone.measures) == ["error", "several"]


def test_one_is_not_told_as_several() -> None:
    def mixed(trial: Trial) -> Any:
        return True if trial.case == "c0" else 0.5

    report = evaluate.run(app, cases("a", "b", "c"), [mixed])
    assert "gave 1 flag and 2 numbers" in report.measure("mixed").note


def test_without_scorers_there_is_no_table() -> None:
    report = evaluate.run(app, cases("a", "b"), [])
    for told in (str(report), markdown(report), page(report), section(report)):
        assert "95 % interval" not in told and "cases" in told


def test_outputs_that_were_not_kept_are_told_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_MAX_BODY_MB", "0.01")
    report = evaluate.run(lambda text: text * 20_000, cases("a", "b"), [below])
    assert not report.not_kept  # here they are whole
    again = Report.open(report.run)
    for told in (str(again), page(again), markdown(again).replace("\\", "")):
        assert "2 outputs were too large to be kept (max_body_mb): c0 (" in told


def test_a_saved_report_has_the_number_of_every_repeat(tmp_path: Path) -> None:
    report = evaluate.run(app, cases("a"), [below], repeats=2)
    saved = json.loads(report.save(tmp_path / "r.json").read_bytes())
    assert [each["repeat"] for each in saved["trials"]] == [0, 1]
    assert Report.read(tmp_path / "r.json").measures == report.measures
    del saved["trials"][0]["repeat"]  # as they were written before
    (tmp_path / "old.json").write_text(json.dumps(saved))
    assert [each.repeat for each in Report.read(tmp_path / "old.json")] == [0, 1]


def test_markdown_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = evaluate.run(app, cases("a"), [below])
    place = tmp_path / "summary.md"
    place.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(on.OnrecordError, match=r"cannot be written: No space left"):
        write_markdown(place, report)
    assert place.read_text() == "before" and list(tmp_path.glob("*summary*")) == [place]
    monkeypatch.undo()
    assert write_markdown(place, report).read_text() == report.markdown()


def test_a_score_that_does_not_apply_is_still_a_row_where_there_is_no_other() -> None:
    report = evaluate.run(app, cases("a"), [lambda trial: Score(None, "not here")])
    assert msgspec.to_builtins(report.measures["<lambda>"])["missing"] == 1
