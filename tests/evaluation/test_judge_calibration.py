"""Judges beside people: how often they agree, and what their rates then mean."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onrecord as on
from benchmarks.judges import coverage
from onrecord.errors import LoadError, UsageError
from onrecord.evaluation.dataset import Case, Dataset
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.evaluation.experiments.report import Report
from onrecord.evaluation.judges.calibration import Calibration, Unlabelled
from onrecord.evaluation.judges.correction import (
    Alone,
    Carried,
    Confusion,
    Counts,
    Double,
    independent,
    measured,
)
from onrecord.evaluation.judges.judge import Judge
from onrecord.evaluation.trial import Trial
from onrecord.models.model import Request
from onrecord.records.query import Query
from onrecord.records.store import Store


def verdict(request: Request) -> str:
    """A double of a judge that passes what is marked with a plus."""
    word = "pass" if "+" in request.messages[-1].text else "fail"
    return json.dumps({"reason": f"It is a {word}.", "verdict": word})


def judge_by(reply: Any = verdict, **how: Any) -> tuple[Judge, on.Scripted]:
    model = on.Scripted(reply)
    return on.judge("Good?", model=model, **how), model


def answers(count: int, passing: int = 2, fails: int = 0, **how: Any) -> Report:
    """Answers of which every `passing`-th passes the double; the last `fails` are failures."""
    dataset = Dataset([Case(f"c{at}", at) for at in range(count)], name="n")

    def app(at: int) -> str:
        if at >= count - fails:
            raise ValueError("no")
        return f"{at} +" if at % passing == 0 else f"{at} -"

    return evaluate.run(app, dataset, how.pop("scorers", []), **how)


def people(report: Report, wrong: int = 10) -> dict[str, bool]:
    """Labels that differ from the double's verdict in every `wrong`-th case."""
    return {
        each.case: ("+" in each.output) is not (at % wrong == 3)
        for at, each in enumerate(report)
        if each.error is None
    }


def some(labels: dict[str, bool], count: int) -> dict[str, bool]:
    return dict(list(labels.items())[:count])


# -- what comes out


def test_a_judge_is_calibrated_by_labels_of_a_report() -> None:
    judge, model = judge_by()
    report = answers(200, scorers=[judge])
    asked = len(model.requests)
    labels = some(people(report), 100)
    found = judge.calibrate.run(labels, report)
    assert len(model.requests) == asked == 200  # what the report has is not asked for again
    assert found.confusion == Confusion(50, 0, 10, 40)
    assert (found.version, found.inside, found.unanswered) == (judge.version, True, 0)
    assert found.tpr.mean == pytest.approx(50 / 60) and found.tnr.mean == 1.0
    assert found.tpr.low < 50 / 60 < found.tpr.high and found.tnr.low < 0.96
    assert found.rate is not None and found.uncorrected is not None
    assert found.rate.mean == pytest.approx(0.6) and found.rate.low < 0.6 < found.rate.high
    assert found.uncorrected.mean == 0.5
    assert len(found.disagreements) == 10 and len(found.unlabelled) == 100
    first = found.disagreements[0]
    assert (first.case, first.label, first.verdict) == ("c3", True, False)
    assert first.reason == "It is a fail."
    said = str(found)
    assert "against 100 labels: TPR 83.3%" in said and "people would pass 60.0%" in said
    assert "More labels would narrow that from ±" in said and "which(50) draws" in said


def test_a_report_of_which_little_is_left_says_what_more_labels_would_do() -> None:
    judge, _ = judge_by()
    report = answers(30)
    some_left = str(judge.calibrate.run(some(people(report), 22), report))
    assert "8 to ±" in some_left and "50 to ±" not in some_left and "which(8) draws" in some_left
    all_labelled = str(judge.calibrate.run(people(report), report))
    assert "Every answer is labelled: only more answers" in all_labelled
    assert "More labels" not in all_labelled


def test_labels_of_trials_alone_give_tpr_tnr_and_kappa() -> None:
    judge, model = judge_by()
    report = answers(60)
    pairs = [(trial, people(report)[trial.case]) for trial in report]
    found = judge.calibrate.run(pairs)
    assert len(model.requests) == 60
    assert (found.rate, found.uncorrected, found.inside) == (None, None, False)
    assert found.confusion == Confusion(30, 0, 6, 24)
    assert (found.tpr.mean, found.tnr.mean) == (pytest.approx(30 / 36), 1.0)
    assert 0 < found.width(100) < found.width()
    with pytest.raises(UsageError, match="no report to draw from"):
        found.which(10)


def test_labels_from_elsewhere_are_carried_over() -> None:
    judge, _ = judge_by()
    old, new = answers(100), answers(300, passing=3)
    pairs = [(trial, people(old)[trial.case]) for trial in old]
    found = judge.calibrate.run(pairs, new)
    assert not found.inside and found.rate is not None
    tpr, tnr = 50 / 60, 1.0
    assert found.rate.mean == pytest.approx((100 / 300 + tnr - 1) / (tpr + tnr - 1))
    assert "TPR and TNR carried over" in str(found)


def test_it_is_all_on_one_record() -> None:
    judge, _ = judge_by()
    report = answers(30)
    judge.calibrate.run(people(report), report)
    with contextlib.closing(Store.open()) as store:
        (flow,) = store.records(Query(kinds=("flow",), name="calibrate"), 5)
        run = store.run(flow.run)
    assert flow.output["confusion"]["pass_pass"] == 15
    assert flow.input["judge"]["model"] == "scripted:test" and len(flow.input["labels"]) == 30
    assert sum(each.kind == "model" for each in run) == 30


def test_a_calibrated_judge_reports_the_corrected_rate_of_other_answers() -> None:
    judge, _ = judge_by(name="good")
    report = answers(200, scorers=[judge])
    found = judge.calibrate.run(some(people(report), 100), report)
    corrected = judge.corrected_by(found)
    other = answers(200, passing=4, scorers=[corrected])
    measure = other.measure("good.corrected")
    assert measure.interval is not None and measure.kind == "overall"
    assert measure.mean == pytest.approx(0.25 / (50 / 60))
    assert measure.interval.low < 0.25 / (50 / 60) < measure.interval.high
    assert corrected.version != judge.version
    assert "corrected" not in answers(20, scorers=[judge]).measures
    with pytest.raises(UsageError, match="calibration is of another judge"):
        judge_by(parameters={"temperature": 0})[0].corrected_by(found)
    with pytest.raises(UsageError, match=r"'polite\.json' is no calibration.*Calibration\.read"):
        judge.corrected_by("polite.json")  # type: ignore[arg-type]  # what people write


def test_failures_of_the_application_are_no_passes() -> None:
    judge, model = judge_by()
    report = answers(120, fails=20)
    labels = people(report)
    found = judge.calibrate.run({**some(labels, 50), "c110": False}, report)
    assert (found.left_out, len(model.requests)) == (1, 100)
    assert found.rate is not None
    whole = judge.calibrate.run(some(labels, 50), answers(100)).rate
    assert whole is not None and found.rate.mean == pytest.approx(whole.mean * 100 / 120)


def test_a_scale_and_a_criterion_are_calibrated_from_a_point_on() -> None:
    def say(request: Request) -> str:
        stars = 4 if "+" in request.messages[-1].text else 2
        one = {"reason": "r", "verdict": stars}
        return json.dumps({"good": one, "short": {"reason": "r", "verdict": 1}})

    judge = on.judge(rubric={"good": "G.", "short": "S."}, scale=(1, 5), model=on.Scripted(say))
    report = answers(40)
    found = judge.calibrate.run(people(report), report, of="good", at_least=4)
    assert (found.of, found.confusion.labels) == ("good", 40)
    assert "judge.good against 40 labels" in str(found)
    with pytest.raises(UsageError, match="has 2 criteria"):
        judge.calibrate.run(people(report), report, at_least=4)
    with pytest.raises(UsageError, match="no criterion 'kind'"):
        judge.calibrate.run(people(report), report, of="kind", at_least=4)
    with pytest.raises(UsageError, match="nobody said which pass"):
        judge.calibrate.run(people(report), report, of="good")


def test_a_judge_that_says_the_same_of_everything_is_found_out() -> None:
    always = json.dumps({"reason": "Fine.", "verdict": "pass"})
    judge, _ = judge_by(always)
    report = answers(100)
    found = judge.calibrate.run(some(people(report), 60), report)
    assert (found.tpr.mean, found.tnr.mean, found.kappa.mean) == (1.0, 0.0, 0.0)
    assert "hardly tells what people pass" in str(found)
    assert found.rate is not None and found.rate.mean == pytest.approx(36 / 60)
    elsewhere = found.carried(evaluate.run(lambda at: "x", Dataset([Case("a", 1)]), [judge]).trials)
    assert elsewhere.high - elsewhere.low > 0.9  # of other answers it knows nothing


def test_cases_with_equal_answers_and_other_verdicts_are_named() -> None:
    replies = [verdict_of(at % 7 != 0) for at in range(60)]
    judge = on.judge("Good?", model=on.Scripted(replies))
    report = evaluate.run(
        lambda at: "+", Dataset([Case(f"c{at}", at) for at in range(20)]), [judge],
        repeats=3, concurrent=1,
    )  # fmt: skip
    pairs = [(each, bool(at % 3)) for at, each in enumerate(report)]
    found = judge.calibrate.run(pairs, report)
    assert set(found.wavering) and "different verdicts on equal answers" in str(found)
    assert found.factor == pytest.approx(1 / 3)


def verdict_of(passes: bool) -> str:
    return json.dumps({"reason": "r", "verdict": "pass" if passes else "fail"})


def test_a_calibration_is_saved_and_read(project: Path) -> None:
    judge, _ = judge_by()
    report = answers(40)
    found = judge.calibrate.run(some(people(report), 20), report)
    again = Calibration.read(found.save("judge.json"))
    assert again == found and again.rate == found.rate and again.which(5) == found.which(5)
    assert judge.corrected_by(again).calibration == found
    Path("broken.json").write_text("{}")
    for name, said in (("broken.json", "this is no calibration"), ("none.json", "cannot be read")):
        with pytest.raises(LoadError, match=said):
            Calibration.read(name)


# -- how many more, and which


def test_more_labels_narrow_the_interval_and_their_number_is_told() -> None:
    judge, _ = judge_by()
    report = answers(1000, scorers=[judge])
    found = judge.calibrate.run(some(people(report), 50), report)
    widths = [found.width(more) for more in (0, 50, 100, 200, 400)]
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.7 * widths[0]
    needed = found.needed(widths[2])
    assert needed is not None and 85 <= needed <= 115
    assert found.needed(0.001) is None and found.needed(0.9) == 0
    with pytest.raises(UsageError, match="is no width"):
        found.needed(0)


def test_labels_that_would_help_most_are_where_the_judge_errs() -> None:
    judge, _ = judge_by()
    report = answers(400, scorers=[judge])
    found = judge.calibrate.run(some(people(report), 100), report)  # it fails what people pass
    chosen = found.which(40)
    labelled = set(some(people(report), 100))
    assert len({each.case for each in chosen}) == 40 and not {e.case for e in chosen} & labelled
    assert sum(not each.verdict for each in chosen) > 30
    assert found.which(40) == chosen != found.which(40, seed=1)
    assert len(found.which(10_000)) == 300
    by_both = {each.case: people(report)[each.case] for each in chosen}
    more = judge.calibrate.run({**some(people(report), 100), **by_both}, report)
    assert more.rate is not None and found.rate is not None
    assert more.rate.high - more.rate.low < found.rate.high - found.rate.low


# -- refused


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"c1": "yes"}, "the label of case 'c1' is 'yes', and a label is True or False"),
        ({"c1": 1}, "the label of case 'c1' is 1"),
        ({"c1": None}, "the label of case 'c1' is None"),
        ({"x1": True, "x2": True, "x3": True, "x4": False}, "no case 'x1', 'x2', 'x3' and 1 more"),
    ],
)
def test_labels_that_are_none_are_refused(change: Any, said: str) -> None:
    judge, model = judge_by()
    report = answers(20)
    with pytest.raises(UsageError, match=said):
        judge.calibrate.run({**people(report), **change}, report)
    assert not model.requests


def test_too_few_labels_and_labels_of_one_kind_are_refused() -> None:
    judge, model = judge_by()
    report = answers(50)
    calibrate = judge.calibrate.run
    with pytest.raises(UsageError, match="9 labels of answers are too few to calibrate") as caught:
        calibrate(some(people(report), 9), report)
    assert str(caught.value).count(".") == 2  # what, and what to do
    with pytest.raises(UsageError, match="all 50 labels of answers say pass"):
        calibrate(dict.fromkeys(people(report), True), report)
    with pytest.raises(UsageError, match="0 labels of answers are too few"):
        calibrate({}, report)
    with pytest.raises(UsageError, match="labels by case need the report"):
        calibrate(people(report))
    with pytest.raises(UsageError, match="label 1 is no pair of a trial and a verdict"):
        calibrate([("c1", True)])
    with pytest.raises(UsageError, match="'c0' is labelled twice"):
        calibrate([(report.trials[0], True), (report.trials[0], False)] * 10, report)
    repeated = answers(10, repeats=2)
    with pytest.raises(UsageError, match="'c0' was answered 2 times"):
        calibrate(people(repeated), repeated)
    assert not model.requests


def test_a_judge_without_verdicts_is_refused_with_its_error() -> None:
    judge, _ = judge_by("I do not know.")
    report = answers(20)
    with pytest.raises(UsageError, match=r"a verdict on none of 20 .*first error: OutputError"):
        judge.calibrate.run(people(report), report)
    mostly, _ = judge_by([*["No."] * 30, *[verdict_of(True)] * 5])
    with pytest.raises(UsageError, match="5 labels with a verdict of the judge are too few"):
        mostly.calibrate.run(people(report), report, concurrent=1)


def test_labels_are_those_of_numpy_as_well() -> None:
    judge, _ = judge_by()
    report = answers(20)
    labels = {case: np.bool_(each) for case, each in people(report).items()}
    assert judge.calibrate.run(labels, report).confusion.labels == 20  # type: ignore[arg-type]  # np.bool_ is no bool to a type checker


def test_a_judge_that_gives_labels_is_not_calibrated() -> None:
    @on.prompt(model=on.Scripted('{"value": "warm"}'))
    async def tone(answer: str) -> Literal["warm", "cold"]:
        """Which tone?"""

    report = answers(20)
    with pytest.raises(UsageError, match=r"gives labels \('warm'\)"):
        on.judge(tone).calibrate.run(people(report), report)


# -- the arithmetic


def test_the_rates_are_those_of_the_textbooks() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    draw = random.Random(5)
    said = [(draw.random() < 0.6, draw.random() < 0.3) for _ in range(200)]
    people_said = [a for a, _ in said]
    judge_said = [a ^ b for a, b in said]
    counted = Confusion(
        *(
            sum((j, p) == each for j, p in zip(judge_said, people_said, strict=True))
            for each in ((True, True), (True, False), (False, True), (False, False))
        )
    )
    alone = Alone.of(counted)
    kappa = measured(alone, "kappa", 200)
    assert kappa.mean == pytest.approx(sklearn.cohen_kappa_score(people_said, judge_said), abs=1e-9)
    assert measured(alone, "tpr", 200).mean == sklearn.recall_score(people_said, judge_said)
    # Where all are labelled, nothing is left to correct.
    judged = Counts(counted.pass_pass + counted.pass_fail, counted.fail_pass + counted.fail_fail)
    double = Double(
        judged,
        Counts(counted.pass_pass, counted.pass_fail),
        Counts(counted.fail_pass, counted.fail_fail),
    )
    for known in (double, Carried(alone, judged)):
        assert measured(known, "rate", 200).mean == pytest.approx(sum(people_said) / 200)
    assert measured(double, "tpr", 200).mean == pytest.approx(measured(alone, "tpr", 200).mean)
    assert measured(double, "kappa", 200).mean == pytest.approx(kappa.mean)


@given(*[st.integers(0, 60)] * 4, *[st.integers(1, 500)] * 2)
@settings(max_examples=40, deadline=None)
def test_intervals_hold_their_point_and_stay_in_bounds(
    a: int, b: int, c: int, d: int, passed: int, failed: int
) -> None:
    judged = Counts(passed, failed)
    for known in (
        Double(judged, Counts(a, b), Counts(c, d)),
        Carried(Alone.of(Confusion(a, b, c, d)), judged),
    ):
        for name, least in (("rate", 0), ("tpr", 0), ("tnr", 0), ("kappa", -1)):
            found = measured(known, name, 1)
            assert least <= found.low <= found.mean <= found.high <= 1 + 1e-9


def test_answers_of_repeated_cases_count_as_what_they_tell() -> None:
    assert independent([("a", True), ("b", False), ("c", True)]) == Counts(2, 1)
    same = [(f"c{at}", at % 2 == 0) for at in range(40) for _ in range(5)]
    counts = independent(same)  # five times the same answer
    assert counts.share == 0.5 and sum(counts) == pytest.approx(40, rel=0.03)
    draw = random.Random(1)
    mixed = independent([(f"c{at}", draw.random() < 0.5) for at in range(40) for _ in range(5)])
    assert 100 < sum(mixed) <= 200


@pytest.mark.parametrize(("rate", "tpr", "tnr"), [(0.3, 0.9, 0.8), (0.7, 0.8, 0.95)])
def test_the_interval_holds_the_truth_as_often_as_it_says(
    rate: float, tpr: float, tnr: float
) -> None:
    """500 draws with 100 labels; `python -m benchmarks.judges` prints more of them."""
    found = coverage(rate, tpr, tnr, 500)
    assert 0.93 <= found["double"] <= 0.97 and 0.93 <= found["carried"] <= 0.97
    assert found["uncorrected"] < 0.8
    assert found["width double"] < found["width carried"]


def test_the_choice_of_labels_does_not_bend_the_rate() -> None:
    """Labels where the judge errs most, weighed as what they are: right on average."""
    draw = np.random.default_rng(3)
    rates, uncorrected = [], []
    for _ in range(60):
        good = draw.random(600) < 0.6
        passed = draw.random(600) < np.where(good, 0.95, 0.4)
        start = Calibration(
            judge="j",
            version="",
            confusion=count(good[:40], passed[:40]),
            judged=Counts(int(passed.sum()), int((~passed).sum())),
            answered=Counts(600, 0),
            inside=True,
            unlabelled=tuple(Unlabelled(str(at), 0, bool(passed[at])) for at in range(40, 600)),
        )
        more = [int(each.case) for each in start.which(60, seed=7)]
        at = np.array([*range(40), *more])
        known = Double(
            Counts(int(passed.sum()), int((~passed).sum())),
            *(
                Counts(int((good & group)[at].sum()), int((~good & group)[at].sum()))
                for group in (passed, ~passed)
            ),
        )
        rates.append(float(known.plain().rate))
        uncorrected.append(passed.mean())
    assert np.mean(rates) == pytest.approx(0.6, abs=0.015)
    assert np.mean(uncorrected) > 0.7


def count(good: Any, passed: Any) -> Confusion:
    return Confusion(
        int((passed & good).sum()),
        int((passed & ~good).sum()),
        int((~passed & good).sum()),
        int((~passed & ~good).sum()),
    )


def test_trials_without_a_verdict_are_not_carried() -> None:
    judge, _ = judge_by()
    report = answers(30)
    found = judge.calibrate.run(people(report), report)
    with pytest.raises(UsageError, match="none of these 1 trials has a verdict"):
        found.carried([Trial(case="a", input=1, output="+")])
