"""An application answers cases, scorers look at the answers, a report says what came out."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onrecord as on
from onrecord.errors import FilterError, LimitError, LoadError, UnknownNameError, UsageError
from onrecord.evaluation.dataset import Case, Dataset
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.evaluation.experiments.report import Report
from onrecord.evaluation.experiments.stored import experiments
from onrecord.evaluation.scoring import Accepting, Scorers
from onrecord.evaluation.trial import Score, Trial
from onrecord.messages import Progress, text_message
from onrecord.models.calling import complete
from onrecord.models.model import Request
from onrecord.records.query import Query


class Order(msgspec.Struct):
    id: int
    items: list[str] = []


def cases(*inputs: Any, **fields: Any) -> Dataset:
    return Dataset([Case(f"c{at}", each, **fields) for at, each in enumerate(inputs)], name="cases")


def right(trial: Trial) -> bool:
    return bool(trial.answer == trial.expected)


def upper(text: str) -> str:
    return text.upper()


async def slow(text: str) -> str:
    await asyncio.sleep(0.001 * (10 - int(text)))
    return text


def test_every_case_is_answered_and_scored_in_order() -> None:
    dataset = Dataset([Case(str(n), str(n), expected=str(n % 7)) for n in range(10)], name="n")
    report = evaluate.run(slow, dataset, [right])
    assert [trial.case for trial in report] == [str(n) for n in range(10)]
    assert [trial.output for trial in report] == [str(n) for n in range(10)]
    measure = report.measure("right")
    assert (measure.kind, measure.count, measure.mean) == ("rate", 10, 0.7)
    assert measure.interval is not None and measure.interval.low < 0.7 < measure.interval.high
    assert report.application.name == "slow" and report.dataset.version == dataset.version


@pytest.mark.parametrize("concurrent", [1, 3, 50])
def test_neither_order_nor_number_at_once_change_a_report(concurrent: int) -> None:
    dataset = cases(*"0123456789", expected="3")
    report = evaluate.run(slow, dataset, [right], concurrent=concurrent, repeats=2)
    assert [(t.case, t.repeat) for t in report] == [(f"c{n}", r) for n in range(10) for r in (0, 1)]
    assert report.measure("right").mean == 0.1


def test_inputs_are_given_by_name_typed_or_as_the_one_argument() -> None:
    seen: list[Any] = []

    def by_name(question: str, order: Order, much: float = 0.5) -> str:
        seen.append((question, order, much))
        return "x"

    def whole(case: dict[str, Any]) -> str:
        seen.append(case)
        return "y"

    evaluate.run(by_name, cases({"question": "q", "order": {"id": 3}}), [])
    evaluate.run(whole, cases({"question": "q", "other": 1}), [])
    assert seen == [("q", Order(3), 0.5), {"question": "q", "other": 1}]


@pytest.mark.parametrize(
    ("input", "said"),
    [
        ({"question": "q", "order": 1}, "missing a required argument: 'count'"),
        ({"question": "q", "count": "many"}, "'count' does not fit its type"),
        (3, "'question' does not fit its type"),
    ],
)
def test_a_case_that_does_not_fit_is_named_before_anything_is_asked(input: Any, said: str) -> None:
    asked = []

    def app(question: str, count: int) -> None:
        asked.append(question)

    good = {"question": "q", "count": 1}
    with pytest.raises(UsageError, match=said if said.startswith("'") else "case 'c1'"):
        evaluate.run(app, cases(good, input), [])
    assert not asked


def test_a_prompt_a_task_and_a_flow_are_applications() -> None:
    @on.prompt(model=on.Scripted(['{"value": 7}'] * 2))
    async def number(text: str) -> int:
        """The number."""

    report = evaluate.run(number, cases("a", expected=7), [right])
    assert (report.trials[0].output, report.measure("right").mean) == (7, 1.0)
    assert report.application.version == number.version

    task = on.task("classify", labels=["billing", "other things"])
    report = evaluate.run(task, cases("The billing is wrong", expected="billing"), [right])
    assert report.trials[0].output["value"] == report.trials[0].answer == "billing"

    @on.flow
    async def cited(question: str) -> on.Cited[str]:
        return on.Cited("", (), True, "nothing fits")

    report = evaluate.run(cited, cases("q"), [lambda trial: trial.refused])
    assert report.trials[0].refused and report.trials[0].answer == ""


def test_an_application_that_fails_is_a_trial_and_counts() -> None:
    @on.flow
    async def app(text: str) -> str:
        if text == "wait":
            await on.pause("May I?", options=["yes", "no"])
        if text == "late":
            await asyncio.sleep(20)
        return str(10 // int(text))

    report = evaluate.run(
        app,
        cases("5", "0", "wait", "late", "2", expected="2"),
        [right, lambda trial: None],
        seconds=0.2,
    )
    errors = [trial.error for trial in report]
    assert errors[0] is None and errors[4] is None
    assert errors[1] == "ZeroDivisionError: integer division or modulo by zero"
    assert errors[2] == "it waits for a person: “May I?”"
    assert errors[3] == "it took longer than 0.2 s"
    assert report.measure("error").mean == 0.6 and len(report.failures) == 3
    measure = report.measure("right")
    assert (measure.count, measure.failed, measure.mean) == (5, 3, 0.2)
    nothing = report.measure("<lambda>")
    assert (nothing.count, nothing.failed, nothing.missing) == (3, 3, 2)


def test_a_measure_that_is_better_lower_leaves_failures_out_and_says_so() -> None:
    class Length:
        name, better = "length", "lower"

        def __call__(self, trial: Trial) -> int:
            return len(trial.answer)

    def app(text: str) -> str:
        return text if text != "c" else str(1 / 0)

    measure = evaluate.run(app, cases("aa", "bbbb", "c"), [Length()]).measure("length")
    assert (measure.count, measure.failed, measure.missing, measure.mean) == (2, 0, 1, 3.0)


def test_scorers_give_numbers_labels_several_reasons_or_nothing() -> None:
    async def several(trial: Trial) -> dict[str, Any]:
        return {"length": len(trial.answer), "sure": Score(True, "it says so"), "none": None}

    def label(trial: Trial) -> str:
        return "long" if len(trial.answer) > 1 else "short"

    def broken(trial: Trial) -> float:
        return float(trial.answer)

    report = evaluate.run(upper, cases("a", "bb", "3"), [several, label, broken])
    assert list(report.measures) == [
        "error", "several.length", "several.sure", "several.none", "label", "broken",
    ]  # fmt: skip
    assert report.measure("several.length").mean == pytest.approx(4 / 3)
    assert report.measure("several.sure").kind == "rate"
    assert report.trials[0].scores["several.sure"].reason == "it says so"
    assert report.measure("label").labels == {"short": 2, "long": 1}
    measure = report.measure("broken")
    assert (measure.count, measure.errors, measure.mean) == (1, 2, 3.0)
    assert "could not convert" in (report.trials[0].scores["broken"].error or "")


@pytest.mark.parametrize(
    ("scorers", "said"),
    [
        ([right, right], "two scorers have the name 'right'"),
        (right, "scorers are several"),
        ([3], "is no scorer"),
        ([lambda prediction, expected: 1.0], "Accepting"),
        ([lambda: 1.0], "cannot be called with a trial"),
    ],
)
def test_what_is_no_scorer_is_refused(scorers: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        evaluate.run(upper, cases("a"), scorers)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"repeats": 0}, "repeats=0"),
        ({"concurrent": True}, "concurrent=True"),
        ({"seconds": -1}, "seconds=-1"),
    ],
)
def test_what_cannot_be_done_is_refused(options: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        evaluate.run(upper, cases("a"), [right], **options)


def test_no_cases_and_no_application() -> None:
    with pytest.raises(UsageError, match="no cases"):
        evaluate.run(upper, Dataset([]), [right])
    with pytest.raises(UsageError, match="no application"):
        evaluate.run(3, cases("a"), [right])


def test_a_metric_takes_the_best_accepted_answer() -> None:
    scorer = Accepting(lambda prediction, expected: float(prediction == expected), name="em")

    def said(output: Any, expected: Any) -> Any:
        return scorer(Trial(case="c", input="", output=output, expected=expected))

    assert said("b", {"any_of": ["a", "b"]}) == 1.0
    assert said("c", {"any_of": ["a", "b"]}) == 0.0
    assert said("c", None) is None
    assert said("", {"any_of": []}) is True and said("x", {"any_of": []}) is False
    assert said({"value": "b", "refused": False}, "b") == 1.0
    assert said({"value": "b"}, {"value": "b"}) == 1.0


def test_repeats_get_seeds_and_clusters() -> None:
    seeds: list[int] = []

    def app(text: str, seed: int) -> str:
        seeds.append(seed)
        return text

    report = evaluate.run(app, cases("a", "b", expected="a"), [right], repeats=3, seed=40)
    assert sorted(seeds) == [40, 40, 41, 41, 42, 42] and report.cases == 2
    interval = report.measure("right").interval
    assert interval is not None and (interval.low, interval.high) == (0.0, 1.0)  # two cases only


def test_what_it_took_is_the_applications_and_not_the_judges() -> None:
    asked = on.Scripted(["x"] * 4)

    async def ask(text: str) -> str:
        return (await complete(asked, Request((text_message("user", text),)))).text

    async def judge(trial: Trial) -> bool:
        return (await ask(trial.answer)) == "x"

    report = evaluate.run(ask, cases("a", "b"), [judge])
    assert report.usage.input > 0 and report.trials[0].steps == ()
    assert report.usage == sum((t.usage for t in report.trials), type(report.usage)())
    store = on.Store.open()
    judged = store.records(Query(run=report.run, kinds=("score",)), 10)
    assert [r.output["judge"]["value"] for r in judged] == [True, True]
    assert {r.name for r in judged} == {"judge"}
    store.close()


def test_scorers_see_the_records_inside() -> None:
    @on.step
    async def search(text: str) -> list[str]:
        return [text]

    @on.flow
    async def app(text: str) -> str:
        return (await search(text))[0]

    seen = []

    def scorer(trial: Trial) -> bool:
        seen.append([record.name for record in trial.steps])
        return True

    evaluate.run(app, cases("a"), [scorer])
    assert seen == [["search", "app"]]


def test_a_report_is_there_again_from_its_records_and_from_a_file(tmp_path: Path) -> None:
    report = evaluate.run(upper, cases("a", "b", expected="A"), [right], repeats=2)
    again = Report.open(report.run[:30])
    assert again.trials == report.trials and again.measures == report.measures
    (listed,) = experiments()
    assert listed.run == report.run
    path = report.save(tmp_path / "report.json")
    assert Report.open(str(path)) == report
    with pytest.raises(LoadError, match="cannot be read"):
        Report.read(tmp_path / "none.json")
    (tmp_path / "no.json").write_text('{"a": 1}')
    with pytest.raises(LoadError, match="this is no report"):
        Report.read(tmp_path / "no.json")


def test_a_run_that_is_no_experiment() -> None:
    @on.flow
    async def other(text: str) -> str:
        return text

    other.run("a")
    with pytest.raises(UnknownNameError, match="no experiment"):
        Report.open(experiments_or_runs()[0])


def experiments_or_runs() -> list[str]:
    store = on.Store.open()
    try:
        return [each.run for each in store.runs()]
    finally:
        store.close()


def test_slices_and_the_worst() -> None:
    dataset = Dataset(
        [
            Case(str(n), str(n), "0", {"topic": "even" if n % 2 == 0 else "odd", "n": n})
            for n in range(6)
        ]
    )
    report = evaluate.run(lambda text: text, dataset, [lambda trial: int(trial.answer)])
    part = report.where('topic = "odd" and n > 1')
    assert [trial.case for trial in part] == ["3", "5"] and part.measure("<lambda>").mean == 4
    assert [trial.case for trial in report.worst("<lambda>", 2)] == ["0", "1"]
    with pytest.raises(FilterError, match="topc"):
        report.where('topc = "odd"')
    with pytest.raises(UsageError, match="no case fits"):
        report.where("n > 100")
    with pytest.raises(UsageError, match="no measure 'rigth'"):
        report.measure("rigth")


def test_progress_is_told() -> None:
    def app(text: str) -> str:
        return text if text != "b" else str(1 / 0)

    events = list(evaluate.stream(app, cases("a", "b"), [right]))
    told = [event for event in events if isinstance(event, Progress)]
    assert (told[0].done, told[0].total) == (0, 2) and (told[-1].done, told[-1].total) == (2, 2)
    assert "1 failed" in told[-1].stage
    assert isinstance(events[-1].value, Report)


def test_a_budget_ends_it_and_resume_goes_on() -> None:
    model = on.Scripted(["x"] * 20)
    asked: list[str] = []

    async def app(text: str) -> str:
        asked.append(text)
        return (await complete(model, Request((text_message("user", text),)))).text

    dataset = cases(*"abcdef", expected="x")
    with pytest.raises(LimitError), on.budget(on.Limits(calls=3)):
        evaluate.run(app, dataset, [right], concurrent=1)
    first = list(asked)
    asked.clear()
    report = evaluate.run(app, dataset, [right], concurrent=1, resume=True)
    assert report.measure("right").mean == 1.0 and len(report) == 6
    assert "a" not in asked and first[:3] == ["a", "b", "c"]
    assert evaluate.run(app, dataset, [right], resume=True).run != report.run  # that one is done


SCRIPT = """
import os, sys
import onrecord as on
from onrecord.evaluation.dataset import Case, Dataset
from onrecord.evaluation.experiments.experiment import evaluate

@on.step(idempotent=False)
async def paid(text: str) -> str:
    with open("paid", "a") as file:
        file.write(text + "\\n")
    return text

@on.flow
async def app(text: str) -> str:
    answer = await paid(text)
    if text == sys.argv[1]:
        os.kill(os.getpid(), 9)
    return answer

def right(trial):
    return trial.answer == trial.expected

report = evaluate.run(
    app, Dataset([Case(str(n), str(n), str(n)) for n in range(20)]), [right],
    concurrent=1, resume=True,
)
print(report.measure("right").mean, len(report))
"""


def test_killed_it_goes_on_without_paying_twice(project: Path) -> None:
    (project / "app.py").write_text(textwrap.dedent(SCRIPT))

    def run(kill_at: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "app.py", kill_at], capture_output=True, text=True, timeout=60
        )

    assert run("7").returncode == -9
    assert run("13").returncode == -9
    done = run("never")
    assert (done.returncode, done.stdout) == (0, "1.0 20\n"), done.stderr
    assert (project / "paid").read_text().split() == [str(n) for n in range(20)]


def test_without_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_RECORD", "false")
    report = evaluate.run(upper, cases("a", expected="A"), [right])
    assert report.measure("right").mean == 1.0 and report.run == ""
    with pytest.raises(UsageError, match="nothing to go on from"):
        evaluate.run(upper, cases("a"), [right], resume=True)


def test_plain_functions_run_beside_the_loop() -> None:
    threads = set()

    def app(text: str) -> str:
        threads.add(threading.get_ident())
        return text

    evaluate.run(app, cases("a"), [])
    assert threading.get_ident() not in threads


def test_scorers_keep_their_own_facts() -> None:
    class Judge:
        name, version, better, worst = "judge", "7", None, None

        def __call__(self, trial: Trial) -> str:
            return "fine"

    (facts,) = Scorers([Judge()]).facts
    assert (facts.name, facts.version, facts.better, facts.worst) == ("judge", "7", None, None)
