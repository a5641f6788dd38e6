"""What is kept of an experiment, and what it comes to when it is read again or goes on."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onrecord as on
from onrecord.errors import LimitError, UsageError
from onrecord.evaluation.dataset import Case, Dataset
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.evaluation.experiments.report import Report
from onrecord.evaluation.experiments.stored import experiments
from onrecord.evaluation.scoring import Scorers
from onrecord.evaluation.trial import Trial
from onrecord.messages import text_message
from onrecord.models.calling import complete
from onrecord.models.model import Request


def cases(*inputs: Any, **fields: Any) -> Dataset:
    return Dataset([Case(f"c{at}", each, **fields) for at, each in enumerate(inputs)], name="cases")


def right(trial: Trial) -> bool:
    return bool(trial.answer == trial.expected)


@pytest.fixture
def little_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_MAX_BODY_MB", "0.01")


def long(text: str) -> str:
    return "y" * 20_000 if text == "b" else "x"


@pytest.mark.usefixtures("little_is_kept")
def test_the_scores_of_an_output_that_is_too_large_are_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    report = evaluate.run(long, cases(*"abcd", expected="x"), [right])
    assert [len(each.output) for each in report] == [1, 20_000, 1, 1] and not report.not_kept
    again = Report.open(report.run)
    assert again.measures == report.measures and again.measure("right").mean == 0.75
    (large,) = again.not_kept
    assert large.case == "c1" and large.not_kept > 20_000 and "not kept" in large.output
    assert "1 output was too large to be kept (setting max_body_mb)" in caplog.text
    assert "c1 (20," in caplog.text


@pytest.mark.usefixtures("little_is_kept")
def test_a_trial_whose_input_is_too_large_is_no_trial_less() -> None:
    report = evaluate.run(len, cases("a", "b" * 20_000, expected=1), [right])
    again = Report.open(report.run)
    assert [each.case for each in again] == ["c0", "c1"]
    assert again.measures == report.measures


@pytest.mark.usefixtures("little_is_kept")
def test_a_reason_that_is_too_long_is_cut_and_the_score_kept() -> None:
    def wordy(trial: Trial) -> on.Score:
        return on.Score(1.0, "because " * 10_000)

    report = evaluate.run(long, cases("a"), [wordy])
    assert len(report.trials[0].scores["wordy"].reason) <= 10_000


@pytest.mark.usefixtures("little_is_kept")
def test_an_output_that_is_too_large_is_not_asked_for_again() -> None:
    model = on.Scripted(["x"] * 20)
    asked: list[str] = []

    async def app(text: str) -> str:
        asked.append(text)
        await complete(model, Request((text_message("user", text),)))
        return long(text)

    dataset = cases(*"abcd", expected="x")
    with pytest.raises(LimitError), on.budget(on.Limits(calls=3)):
        evaluate.run(app, dataset, [right], concurrent=1)
    report = evaluate.run(app, dataset, [right], concurrent=1, resume=True)
    assert asked.count("b") == 1 and report.measure("right").mean == 0.75
    assert [each.case for each in report.not_kept] == ["c1"]


def test_seconds_are_the_same_when_it_is_read_again() -> None:
    report = evaluate.run(long, cases("a", "b"), [right])
    assert Report.open(report.run).seconds == report.seconds > 0


KILLED = """
import os, time
import onrecord as on

async def app(text):
    if text == "b":
        os.kill(os.getpid(), 9)
    return text

on.evaluate.run(app, on.Dataset([on.Case(each, each) for each in "ab"]), concurrent=1)
"""


def test_an_experiment_that_was_killed_took_some_time(project: Path) -> None:
    (project / "app.py").write_text(textwrap.dedent(KILLED))
    assert subprocess.run([sys.executable, "app.py"], timeout=60).returncode == -9
    (found,) = experiments()
    report = Report.open(found.run)
    assert found.state == "interrupted" and len(report) == 1
    assert report.seconds >= report.trials[0].seconds > 0


def test_one_that_was_cancelled_is_interrupted_as_one_that_was_killed() -> None:
    def app(text: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate.run(app, cases("a"), [])
    assert [each.state for each in experiments()] == ["interrupted"]


def test_nothing_to_go_on_with_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "onrecord"):
        done = evaluate.run(long, cases("a"), [right], resume=True)
        assert "long begins anew: no experiment like this was interrupted" in caplog.text
        evaluate.run(long, cases("a"), [right], resume=True)
    assert f"run {done.run}, has come to its end" in caplog.text


def distance(trial: Trial) -> float:
    return -float(len(trial.answer))


def failing(text: str) -> str:
    return text if text != "a" else str(1 / 0)


def test_a_failure_is_no_better_than_the_lowest_score() -> None:
    report = evaluate.run(failing, cases("a", "bbbb", "cc"), [distance])
    measure = report.measure("distance")
    assert (measure.mean, measure.failed, measure.lowest) == (-10 / 3, 1, -4)
    assert measure.note == "a failed trial counts -4, the lowest that any got"
    assert measure.note in str(report)
    assert Report.open(report.run).measures == report.measures


def test_of_two_reports_a_failure_counts_the_lowest_of_both() -> None:
    report = evaluate.run(failing, cases("a", "bbbb", "cc"), [distance])
    worse = evaluate.run(lambda text: "x" * 9, cases("a", "bbbb", "cc"), [distance])
    assert [value for _, value in report.counted("distance", worse)] == [-9, -4, -2]
    assert [value for _, value in report.counted("distance")] == [-4, -4, -2]


def test_what_a_scorer_says_of_failures_itself_holds() -> None:
    def said(trial: Trial) -> float:
        return distance(trial)

    said.worst = 0.0  # type: ignore[attr-defined]
    measure = evaluate.run(failing, cases("a", "bb"), [said]).measure("said")
    assert (measure.mean, measure.note) == (-1, "")
    assert Scorers([said]).facts[0].worst == 0
    positive = evaluate.run(failing, cases("a", "bb"), [lambda trial: 3.0]).measure("<lambda>")
    assert (positive.mean, positive.note) == (1.5, "")


def test_the_report_in_a_list_is_one_line() -> None:
    report = evaluate.run(long, cases("a"), [])
    assert repr([report]) == f"[<Report of long on cases: 1 trial, run {report.run}>]"


@pytest.mark.parametrize(
    ("input", "said"),
    [
        ({"question": "q", "contxt": "c"}, r"case 'c0'.*'contxt'.*Did you mean 'context'\?"),
        ({"question": "q", "Context": "c"}, r"Did you mean 'context'\?"),
    ],
)
def test_an_argument_that_is_misspelt_is_named_before_anything_is_asked(
    input: dict[str, str], said: str
) -> None:
    seen: list[Any] = []

    def app(question: Any, context: str = "c") -> None:
        seen.append(question)

    with pytest.raises(UsageError, match=said):
        evaluate.run(app, cases(input), [])
    assert not seen
    for whole in ({"question": "q", "year": 3}, {"query": "q", "contxt": "c"}):
        evaluate.run(app, cases(whole), [])
    assert seen == [{"question": "q", "year": 3}, {"query": "q", "contxt": "c"}]


def test_a_gate_on_an_experiment_that_was_interrupted_is_not_known() -> None:
    report = evaluate.run(long, cases("a", expected="x"), [right])
    part = msgspec.structs.replace(report, unanswered=20)
    verdict = on.gate("right >= 0.5 and error == 0", part)
    assert not verdict and "20 of 21 trials were not answered" in " ".join(verdict.reasons)
    assert not on.gate("not right < 0.5", part)
    assert on.gate("right >= 0.5 and unanswered <= 20", part)
    assert not on.gate("right >= 0.5 and unanswered == 0", part)
    assert on.gate("unanswered == 0", report)


def test_a_gate_says_of_how_many_a_measure_is() -> None:
    def once(trial: Trial) -> float | None:
        return 1.0 if trial.case == "c0" else None

    report = evaluate.run(long, cases(*"abcdefghij"), [once])
    assert on.gate("once >= 0.9", report).reasons == ("once >= 0.9: holds (once is 1, of 1 of 10)",)
    assert "of 1 of 10" in on.gate("once + 1 > trials", report).reasons[0]
    assert "of 1 of 10" not in on.gate("errors(once) == 0", report).reasons[0]
