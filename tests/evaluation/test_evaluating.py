"""An application answers cases, scorers look at the answers, a report says what came out."""

from __future__ import annotations

import asyncio
import enum
import functools
import logging
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

import onrecord as on
from onrecord.errors import (
    FilterError,
    LimitError,
    LoadError,
    StorageError,
    UnknownNameError,
    UsageError,
)
from onrecord.evaluation.dataset import Case, Dataset
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.evaluation.experiments.report import Report
from onrecord.evaluation.experiments.steps import OnStep
from onrecord.evaluation.experiments.stored import experiments, id_of
from onrecord.evaluation.reports.page import page
from onrecord.evaluation.reports.worst import worst
from onrecord.evaluation.scoring import Accepting, Scorers
from onrecord.evaluation.trial import Score, Trial
from onrecord.messages import Completion, Progress, text_message
from onrecord.models.calling import complete
from onrecord.models.model import Request
from onrecord.records.call import call
from onrecord.records.query import Query
from tests.programs.agents.scripts import ByTurn, calls


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
        (["exact_match"], "not the name 'exact_match'"),
        ("exact_match", "not the name 'exact_match'"),
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
        ({"seconds": "x"}, "seconds='x'"),
        ({"skip": ["c7"]}, "no case 'c7' to skip"),
        ({"skip": "c0"}, r"Write skip=\['c0'\]"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 0.5}, r"seed=0\.5"),
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
    with pytest.raises(UsageError, match="it takes no input"):
        evaluate.run(lambda: 3, cases("a"), [right])


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


def test_an_application_that_changes_its_input_changes_nobody_elses() -> None:
    def chat(messages: Any) -> list[str]:
        messages["turns"].append("mine")
        return list(messages["turns"])

    @on.flow
    async def as_flow(messages: Any) -> list[str]:
        return chat(messages)

    def spoiling(trial: Trial) -> bool:
        steps = trial.metadata["steps"]
        for each in (trial.input["turns"], trial.expected, trial.output, steps):
            each.clear()
        return True

    def turns(trial: Trial) -> int:
        return len(trial.input["turns"])

    case = Case("a", {"z": 1, "turns": ["yours"]}, ["right"], {"steps": {"search": 1}})
    dataset = Dataset([case])
    for app in (chat, as_flow):
        report = evaluate.run(app, dataset, [turns, spoiling], repeats=2, concurrent=1)
        assert [each.output for each in report] == [["yours", "mine"]] * 2
        assert report.measure("turns").mean == 1
        assert report.trials[0].input == {"z": 1, "turns": ["yours"]}
        assert list(report.trials[0].input) == ["z", "turns"]
        assert (report.trials[1].expected, report.trials[1].metadata) == (
            ["right"],
            {"steps": {"search": 1}},
        )


def test_repeats_get_seeds_and_clusters() -> None:
    seeds: list[int] = []

    def app(text: str, seed: int) -> str:
        seeds.append(seed)
        return text

    report = evaluate.run(app, cases("a", "b", expected="a"), [right], repeats=3, seed=40)
    assert sorted(seeds) == [40, 40, 41, 41, 42, 42] and report.cases == 2
    interval = report.measure("right").interval
    assert interval is not None and interval.low < 0.05 and interval.high > 0.95  # two cases only


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


def test_without_bodies_it_is_listed_and_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_BODIES", "false")
    made = evaluate.run(upper, cases("a", expected="A"), [right])
    assert [id_of(each) for each in experiments()] == [made.run]
    with pytest.raises(UnknownNameError, match="no experiment"):
        Report.open(made.run)


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


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (np.float64(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("warm"), "warm"),
        (Level.HIGH, 3),
        (10**30, 1e30),
        ("\ud800", "?"),
        (Score(np.float64(0.5)), 0.5),  # type: ignore[arg-type]  # as users give it
    ],
)
def test_a_score_is_a_plain_value(said: Any, value: Any, tmp_path: Path) -> None:
    report = evaluate.run(upper, cases("a", "b"), [lambda trial: said])
    found = report.trials[0].scores["<lambda>"].value
    assert found == value and type(found) is type(value)
    assert Report.read(report.save(tmp_path / "r.json")) == report
    assert "Measures" in page(report)


@pytest.mark.parametrize("said", [10**400, float("nan"), [1], {"a": {"b": 1}}, np.array([1, 2])])
def test_what_no_mean_can_count_is_the_scores_error(said: Any) -> None:
    report = evaluate.run(upper, cases("a"), [lambda trial: said])
    assert all(each.error for each in report.trials[0].scores.values())


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (asyncio.CancelledError(), "CancelledError"),
        (TimeoutError("the database"), "TimeoutError: the database"),
        (Silent(), "Silent: (and its text"),
        (ValueError("\ud800"), "ValueError: ?"),
    ],
)
@pytest.mark.parametrize("in_scorer", [False, True])
def test_whatever_a_row_does_is_one_trial(error: BaseException, said: str, in_scorer: bool) -> None:
    async def app(text: str) -> str:
        if text == "b" and not in_scorer:
            raise error
        return text

    def scorer(trial: Trial) -> bool:
        if trial.input == "b" and in_scorer:
            raise error
        return True

    report = evaluate.run(app, cases("a", "b", "c"), [scorer], seconds=30)
    assert [each.case for each in report] == ["c0", "c1", "c2"]
    found = report.trials[1].scores["scorer"].error if in_scorer else report.trials[1].error
    assert (found or "").startswith(said)
    assert report.measure("scorer").count == (2 if in_scorer else 3)


def test_two_experiments_in_one_flow_are_two_reports() -> None:
    @on.flow
    async def study() -> list[str]:
        made = [await evaluate(each, cases("a", expected="A"), [right]) for each in (upper, lower)]
        return [each.run for each in made]

    runs = study.run()
    assert [Report.open(each).measure("right").mean for each in runs] == [1.0, 0.0]
    assert sorted(id_of(each) for each in experiments()) == sorted(runs)
    store = on.Store.open()
    (outer,) = store.runs()
    store.close()
    with pytest.raises(UnknownNameError, match="holds 2 experiments"):
        Report.open(outer.run)


def lower(text: str) -> str:
    return text.lower()


def test_a_users_own_flow_of_that_name_is_no_experiment() -> None:
    @on.flow
    async def evaluate(asked: str) -> str:
        return asked

    evaluate.run("x")
    assert experiments() == []


def test_what_scoring_cost_and_the_order_come_from_the_records() -> None:
    async def judge(trial: Trial) -> bool:
        with call("model", "priced", {}) as this:
            this.cost = 7
        return True

    report = evaluate.run(slow, cases(*"9876543210"), [judge], concurrent=5)
    again = Report.open(report.run)
    assert report.scoring_cost == again.scoring_cost == 70
    assert again.trials == report.trials


def test_another_version_begins_anew_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    model = on.Scripted(["x"] * 20)

    async def app(text: str) -> str:
        return (await complete(model, Request((text_message("user", text),)))).text

    first = app

    async def app(text: str) -> str:  # type: ignore[no-redef]  # it was changed
        return (await complete(model, Request((text_message("user", text),)))).text + "!"

    with pytest.raises(LimitError), on.budget(on.Limits(calls=1)):
        evaluate.run(first, cases("a", "b"), [right], concurrent=1)
    with caplog.at_level(logging.WARNING, "onrecord"):
        evaluate.run(app, cases("a", "b"), [right], resume=True)
    assert "app begins anew" in caplog.text and "application was other" in caplog.text


def test_versions_of_partials() -> None:
    def times(text: str, much: int) -> str:
        return text * much

    found = {
        evaluate.run(functools.partial(times, much=n), cases("a"), []).application
        for n in (2, 2, 3)
    }
    assert len(found) == 2 and {each.name for each in found} == {"times"}


def test_a_scorer_of_several_says_which_way_is_up_of_each() -> None:
    class Both:
        name = "both"
        better: ClassVar = {"length": "lower"}

        def __call__(self, trial: Trial) -> dict[str, Any]:
            return {"length": len(trial.answer), "right": True}

    def app(text: str) -> str:
        return text if text != "c" else str(1 / 0)

    report = evaluate.run(app, cases("aa", "b", "c"), [Both()])
    length, rights = report.measure("both.length"), report.measure("both.right")
    assert (length.better, length.count, length.failed) == ("lower", 2, 0)
    assert (rights.better, rights.count, rights.failed) == ("higher", 3, 1)
    assert report.worst("both.length", 2)[1].case == "c0"
    assert Report.open(report.run).measures == report.measures


@pytest.mark.parametrize(
    ("names", "said"),
    [(["error"], "cannot be called 'error'"), (["cited", "cited.precision"], "of one name")],
)
def test_names_that_nobody_could_tell_apart(names: list[str], said: str) -> None:
    def named(name: str) -> Any:
        def scorer(trial: Trial) -> bool:
            return True

        scorer.name = name  # type: ignore[attr-defined]
        return scorer

    with pytest.raises(UsageError, match=said):
        Scorers([named(each) for each in names])


def test_what_is_no_dataset_nor_scorers() -> None:
    with pytest.raises(UsageError, match="not a dataset"):
        evaluate.run(upper, [Case("a", "b")], [])  # type: ignore[arg-type]
    assert set(evaluate.run(upper, cases("a", expected="A")).measures) == {
        "error", "exact_match", "token_f1",
    }  # fmt: skip
    with pytest.raises(UsageError, match="scorers are several"):
        evaluate.run(upper, cases("a"), 3)  # type: ignore[arg-type]
    assert "right" in evaluate.run(upper, cases("a"), (each for each in [right])).measures  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="better is 'up'"):
        right_up = functools.partial(right)
        right_up.better = "up"  # type: ignore[attr-defined]
        Scorers([right_up])


def test_scores_that_are_all_the_same_are_not_certain() -> None:
    few = evaluate.run(upper, cases("a", "b", "c"), [lambda trial: 1.0]).measure("<lambda>")
    assert few.interval is not None and few.interval.high == 1.0
    assert few.interval.low == pytest.approx(0.025 ** (1 / 3), abs=0.03)
    again = evaluate.run(upper, cases("a", "b", "c"), [lambda trial: True], repeats=9)
    interval = again.measure("<lambda>").interval
    assert interval is not None and interval.low == few.interval.low  # of 3 cases, not of 27


def test_a_rate_with_a_worst_of_its_own() -> None:
    def half(trial: Trial) -> bool:
        return True

    half.worst = 0.5  # type: ignore[attr-defined]

    def app(text: str) -> str:
        return text if text != "b" else str(1 / 0)

    assert evaluate.run(app, cases("a", "b"), [half]).measure("half").mean == 0.75


def test_a_report_that_cannot_be_written_or_opened(tmp_path: Path) -> None:
    report = evaluate.run(upper, cases("a"), [])
    path = report.save(tmp_path / "new" / "folder" / "report.json")
    assert Report.open(str(path)) == Report.read(path)
    with pytest.raises(StorageError, match="the report cannot be written"):
        report.save(path / "below.json")
    with pytest.raises(UnknownNameError, match="no record has"):
        Report.open("x" * 5_000)


def test_a_saved_report_of_another_form(tmp_path: Path) -> None:
    path = evaluate.run(upper, cases("a"), [right]).save(tmp_path / "report")
    assert Report.open(str(path)).measure("right").mean == 0  # a file, whatever it is called
    path.write_text(path.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(LoadError, match="has the format 7"):
        Report.read(path)


def test_odd_ids_and_many_cases() -> None:
    ids = ["../x", "a" * 10_000, "\n", "<b>"]
    dataset = Dataset([Case(each, "q", expected="Q") for each in ids])
    report = evaluate.run(upper, dataset, [right])
    assert [each.case for each in Report.open(report.run)] == ids
    assert len(page(report)) < 60_000 and "<b>" not in page(report)
    with pytest.raises(UsageError, match="only the report before") as refused:
        on.compare(report, msgspec.structs.replace(report, trials=report.trials[:1]))
    assert len(str(refused.value)) < 500


def test_numbers_among_labels_are_not_lost() -> None:
    def mixed(trial: Trial) -> Any:
        return {"a": "unsure", "b": 1, "c": True}[trial.input]

    measure = evaluate.run(upper, cases("a", "b", "c"), [mixed]).measure("mixed")
    assert measure.labels == {"1": 1, "True": 1, "unsure": 1} and measure.missing == 0


def test_a_report_that_was_edited_by_hand(tmp_path: Path) -> None:
    path = evaluate.run(upper, cases("a"), [lambda trial: 77]).save(tmp_path / "r.json")
    path.write_text(path.read_text().replace("77", "7" * 400))
    with pytest.raises(LoadError, match="no number to count with"):
        Report.read(path)
    empty = msgspec.structs.replace(Report.open(experiments()[0].run), trials=())
    assert empty.measure("error").mean is None and "Measures" in page(empty) + str(empty)


def test_plain_functions_that_never_end_take_no_place_of_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    end = threading.Event()

    def app(text: str) -> str:
        if text == "stuck":
            end.wait()
        return text

    report = evaluate.run(app, cases(*["stuck"] * 40, "a"), [], concurrent=40, seconds=0.2)
    end.set()
    assert len(report.failures) == 40 and report.trials[-1].output == "a"
    assert "app is still running, in cases c0, c1, c2 and 37 more" in caplog.text


def test_a_thread_that_has_its_answer_is_not_running(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Lingering(threading.Thread):
        def run(self) -> None:
            super().run()
            time.sleep(0.2)

    monkeypatch.setattr(threading, "Thread", Lingering)
    assert evaluate.run(upper, cases("a"), []).trials[0].output == "A"
    assert "still running" not in caplog.text


def test_a_plain_function_may_call_an_asynchronous_one() -> None:
    report = evaluate.run(lambda text: slow(text), cases("9", expected="9"), [right])
    assert report.measure("right").mean == 1


def test_a_skipped_case_is_a_failure() -> None:
    report = evaluate.run(upper, cases("a", "b", expected="B"), [right], skip=["c0"])
    assert [each.error for each in report] == ["skipped: it was not asked", None]
    assert report.measure("right").mean == 0.5


def test_a_step_that_nobody_called_is_told(caplog: pytest.LogCaptureFixture) -> None:
    @on.step
    async def search(text: str) -> str:
        return text

    @on.flow
    async def app(text: str) -> str:
        return await search(text)

    evaluate.run(app, cases("a"), [OnStep("search", right)])
    assert "no step was called" not in caplog.text
    evaluate.run(app, cases("a"), [OnStep("serach", right)])
    assert "no step was called 'serach': did you mean 'search'?" in caplog.text


def test_many_labels_and_errors_are_told_in_short() -> None:
    def label(trial: Trial) -> str:
        return f"label {trial.case}"

    def broken(trial: Trial) -> bool:
        raise ConnectionError("down" if trial.case != "c3" else "up")

    report = evaluate.run(upper, cases(*"abcdefghijkl"), [label, broken])
    said = str(report)
    assert "and 4 more" in said and "label c0 1" in said
    assert "broken: 12 not scorable, 11 of them: ConnectionError: down" in said
    assert "ConnectionError: down" in page(report) and "ConnectionError: down" in report.markdown()


def test_the_worst_have_something_wrong(tmp_path: Path) -> None:
    report = evaluate.run(upper, cases("a", "b", expected="A"), [right])
    assert [each.case for _, trials in worst(report, 5, failures=True) for each in trials] == ["c1"]
    fine = evaluate.run(upper, cases("a", expected="A"), [right])
    assert not list(worst(fine, 5, failures=True)) and "Worst trials" not in page(fine)
    assert "by right" in report.html(tmp_path / "r.html").read_text()


def test_the_answer_of_an_agent_is_its_value(project: Path) -> None:
    @on.tool(approve=True)
    def pay(euros: int) -> str:
        """Pays."""
        return "paid"

    asks = calls(("pay", {"euros": 3}))

    def turn(request: Request) -> str | Completion:
        return {"pay": asks, "loop": calls(("look", {}))}.get(request.messages[-1].text, "Rome")

    agent = on.Agent(ByTurn(turn), tools=[pay], limits=on.Limits(steps=1))
    cases = [on.Case(each, each, "Rome") for each in ("capital", "pay", "loop")]
    report = on.evaluate.run(agent, on.Dataset(cases), [on.scorers.exact_match])
    done, waits, stopped = report
    assert done.output == "Rome" and done.scores["exact_match"].value is True
    assert "it waits for a person: “May the agent call pay(euros=3)?”" in str(waits.error)
    assert "the agent was stopped (steps)" in str(stopped.error)
    assert report.measures["exact_match"].mean == pytest.approx(1 / 3)
