"""The audit: what is on record is said with its evidence, and whatever is missing is a gap."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import onrecord as on
from onrecord.errors import StorageError, UsageError
from onrecord.evaluation.audit.answers import (
    Answers,
    Application,
    Organisation,
    Provider,
    questions,
    template,
)
from onrecord.evaluation.audit.auditing import audit, questions_of
from onrecord.evaluation.audit.calls import is_idempotent
from onrecord.evaluation.audit.evaluated import experiments
from onrecord.evaluation.audit.findings import Audit, Finding
from onrecord.evaluation.audit.providers import leaves
from onrecord.evaluation.audit.screen import text
from onrecord.evaluation.comparing import compare_models
from onrecord.evaluation.datasets.generating import generate
from onrecord.evaluation.experiments.experiment import evaluate
from onrecord.evaluation.gate import gate
from onrecord.evaluation.gate import keep as keep_verdict
from onrecord.messages import Usage
from onrecord.models.hub.cache import HubCache
from onrecord.models.hub.card import ModelFacts
from onrecord.models.hub.requests import hub_endpoint
from onrecord.models.scripted import Scripted
from onrecord.records.record import Record, new_id
from onrecord.retrieval.document import Document

CASES = on.Dataset([on.Case("a", "x", "late"), on.Case("b", "y", "early")], name="handbook")


PASSES = '{"reason": "so", "verdict": "pass"}'


def exact(trial: Any) -> bool:
    return bool(trial.output == trial.expected)


TEXT = """# Leave

Every employee has twenty-eight days of paid leave in each calendar year.

# Travel

Trains are booked in second class by the office in Hamburg.
"""


class Named:
    """A scorer under a name, whose output looks like the verdict of a gate."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, trial: Any) -> dict[str, Any]:
        return {"passed": True}


@on.tool
async def status(order: str) -> str:
    """Look an order up."""
    return "late"


@on.tool(idempotent=False)
async def refund(order: str) -> str:
    """Refund an order."""
    return "done"


@on.prompt(model="scripted:demo", untrusted=("mail",))
async def triage(mail: str) -> str:
    """Sort this mail: {{ mail }}"""


@on.flow
async def support(question: str) -> str:
    await triage(question)
    return await status(question)


def found(made: Audit, subject: str, question: str) -> list[Finding]:
    return [each for each in made.findings if each.subject == subject and question in each.question]


def one(made: Audit, subject: str, question: str) -> Finding:
    (only,) = found(made, subject, question)
    return only


def keep(*records: Record) -> None:
    store = on.Store.open()
    store.take(records)
    store.close()


def call(name: str, kind: Any = "model", **fields: Any) -> Record:
    id = new_id()
    usual: dict[str, Any] = {"started_ns": 10**18, "ended_ns": 10**18 + 1, "state": "done"}
    return Record(
        **{"id": id, "run": id, "parent": None, "kind": kind, "name": name, "input": {}, "key": "k"}
        | usual
        | fields
    )


def test_an_empty_project_is_one_page_of_gaps(project: Path) -> None:
    made = audit.run()
    assert made.count("stated") == 0
    assert {each.layer for each in made.gaps} == {"governance", "models", "applications"}
    assert one(made, "organisation", "Who answers for").state == "gap"
    assert one(made, "models", "Which models answer?").state == "gap"
    assert one(made, "applications", "Which applications").state == "gap"
    seen = [each for each in made.findings if each.state == "seen"]
    assert [each.evidence[0] for each in seen] == [
        "setting redact = ['fields', 'keys', 'cards', 'ibans']"
    ]
    assert list(project.iterdir()) == [], "who only looks leaves nothing behind"


def test_everything_that_is_on_record_names_its_evidence() -> None:
    support.run("17")
    evaluate.run(support, CASES, [exact])
    made = audit.run()
    for each in made.findings:
        assert each.evidence or each.state == "gap", each.question
        assert each.says, each.question
    for each in made.gaps:
        assert each.says != "" and each.question.endswith(("?", ")")), each


def test_uses_are_counted_without_experiments_and_people_without_names() -> None:
    for user in ("ada", "bob", "bob"):
        with on.context(user=user, tenant="acme"):
            support.run("17")
    support.run("18")
    evaluate.run(support, CASES, [exact])
    made = audit.run()
    assert one(made, "support", "How much is it used?").says.startswith("4 uses, on ")
    people = one(made, "support", "Who uses it?").says
    assert people == "2 users, 1 tenant; 1 of 4 (25.0 %) without a user (counted, not named)"
    assert "ada" not in json.dumps(made.document())
    used = one(made, "scripted:demo", "How much was it used?").says
    assert used.startswith("6 calls, on "), "a model's calls in experiments are calls of it"


def test_failures_and_refusals() -> None:
    @on.flow
    async def ask(question: str) -> on.Cited[str]:
        if question == "no":
            raise ValueError("nothing to say")
        return on.Cited("yes", (), refused=question == "hm", reason="")

    for question in ("a", "b", "hm"):
        ask.run(question)
    with pytest.raises(ValueError, match="nothing"):
        ask.run("no")
    made = audit.run()
    assert one(made, "ask", "How often does it fail?").says == "1 of 4 (25.0 %) failed"
    refuses = one(made, "ask", "How often does it refuse?")
    assert refuses.says == "1 of 3 (33.3 %) of its newest answers"
    support.run("17")
    assert one(audit.run(), "support", "How often does it refuse?").state == "gap"


def test_tools_that_must_not_happen_twice() -> None:
    @on.flow
    async def shop(order: str) -> str:
        await status(order)
        return await refund(order)

    shop.run("17")
    made = audit.run()
    tools = one(made, "shop", "Which tools does it call?")
    assert tools.details == (
        "refund: 1 call, 0 failed, MUST NOT HAPPEN TWICE",
        "status: 1 call, 0 failed",
    )
    agree = one(made, "shop", "Does a person agree")
    assert agree.state == "gap"
    assert "refund" in agree.says
    injection = one(made, "shop", "injection")
    assert injection.details == ("it calls tools that must not happen twice: refund",)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("@on.tool\ndef a(): ...", True),
        ("@tool(idempotent=False)\nasync def a(): ...", False),
        ("    @on.tool(idempotent=True)\n    async def a():\n        ...", True),
        ("@on.tool(idempotent=often)\ndef a(): ...", None),
        ("@on.tool(**options)\ndef a(): ...", None),
        ("@once\ndef a(): ...", None),
        ("def a(): ...", None),
        ("lambda: 1", None),
        ("@on.tool(", None),
        ("", None),
        (None, None),
    ],
)
def test_what_a_decorator_says(source: str | None, said: bool | None) -> None:
    assert is_idempotent(source) is said


@given(st.text(max_size=200))
def test_any_source_can_be_looked_at(source: str) -> None:
    assert is_idempotent(source) in (True, False, None)


def test_inputs_that_are_shown_as_data_from_outside() -> None:
    support.run("17")
    made = audit.run()
    inputs = one(made, "support", "Which inputs are declared")
    assert inputs.state == "seen"
    assert re.fullmatch(r"triage \w{8}: mail", inputs.says)
    assert "triage shows mail as data from outside" in one(made, "support", "injection").details


def test_a_prompt_that_is_called_by_itself_is_an_application() -> None:
    @on.prompt(model="scripted:demo")
    async def greet(name: str) -> str:
        """Greet {{ name }}."""

    greet.run("Ada")
    made = audit.run()
    assert one(made, "greet", "How much is it used?").says.startswith("1 use, on ")
    inputs = one(made, "greet", "Which inputs are declared")
    assert (inputs.state, inputs.says[-23:]) == ("gap", "none in its newest call")


def test_the_version_that_was_evaluated_runs_now() -> None:
    report = evaluate.run(support, CASES, [exact])
    support.run("17")
    made = audit.run()
    same = one(made, "support", "Was the version evaluated")
    assert same.state == "seen"
    assert f"experiment {report.run}" in same.evidence
    good = one(made, "support", "How good is it?")
    assert "exact 50.0 % (95 % interval 9.5 – 90.5 %, 2 trials)" in good.says
    assert "handbook" in good.says
    assert "(2 cases)" in good.says
    able = one(made, "scripted:demo", "able to do?")
    assert able.evidence == (f"experiment {report.run}",)


def test_another_version_runs_now_than_was_evaluated() -> None:
    @on.flow
    async def answer(question: str) -> str:
        return "late"

    evaluate.run(answer, CASES, [exact])

    @on.flow
    async def answer(question: str) -> str:  # a new version of the same
        return await status(question)

    answer.run("17")
    made = audit.run()
    differs = one(made, "answer", "Was the version evaluated")
    assert differs.state == "gap"
    assert differs.says == "no: the evaluated version differs"
    assert differs.details[0].startswith("flow answer: version ")
    assert differs.details[1] == "tool status is called now, and was not in the experiment"
    assert (
        one(made, "answer", "wrong answers")
        .details[0]
        .endswith("(of another version than runs now)")
    )


def test_another_model_answers_than_was_evaluated() -> None:
    @on.flow
    async def answer(question: str, model: str = "one") -> str:
        return str(await triage.using(Scripted("late", name=model))(question))

    evaluate.run(answer, CASES, [exact])
    answer.run("17", model="two")
    made = audit.run()
    differs = one(made, "answer", "Was the version evaluated")
    assert differs.details == ("model two is called now, and was not in the experiment",)
    assert one(made, "two", "able to do?").state == "gap"


def test_an_application_that_was_only_evaluated() -> None:
    evaluate.run(support, CASES, [exact])
    made = audit.run()
    assert one(made, "support", "How much is it used?").says == (
        "it was called in experiments only"
    )
    assert not found(made, "support", "Was the version evaluated")
    assert not found(made, "evaluate", "")


def test_a_flow_of_ones_own_that_is_called_evaluate() -> None:
    @on.flow
    async def evaluate(house: str) -> str:
        return "expensive"

    evaluate.run("here")
    made = audit.run()
    assert one(made, "evaluate", "How much is it used?").says.startswith("1 use, on ")
    assert one(made, "project", "Which cases").state == "gap"


def test_what_onrecord_does_itself_is_no_application() -> None:
    report = evaluate.run(support, CASES, [exact])
    judge = on.judge("Is it polite?", model=Scripted(PASSES), name="polite")
    verdicts = [(report.trials[0], n % 2 == 0) for n in range(10)]
    judge.calibrate.run(verdicts)
    wins = Scripted('{"reason": "so", "verdict": "first"}')
    on.judge("Which is politer?", model=wins, name="politer").compare.run(report, report)
    compare_models.run([Scripted("late", name="a")], CASES)
    docs = on.Collection.open("handbook")
    docs.add.run([Document("a.md", "Leave", TEXT, "markdown")], source="test")
    generate.run(docs, 1, unanswerable=0)
    made = audit.run()
    layer = next(each for each in made.layers if each.name == "applications")
    assert [each.subject for each in layer.sections] == ["project", "support"]
    assert one(made, "project", "outside of any application").says == (
        "outermost calls: calibrate 1, compare by judge 1, compare_models 1, ingest 1, "
        "onrecord generate 1"
    )


def test_a_flow_of_ones_own_that_is_called_calibrate() -> None:
    @on.flow
    async def calibrate(scale: str) -> str:
        return "done"

    calibrate.run("kitchen")
    assert one(audit.run(), "calibrate", "How much is it used?").says.startswith("1 use, on ")


def test_flows_that_are_no_applications_are_ignored_and_named(project: Path) -> None:
    @on.flow
    async def test_it(question: str) -> str:
        return await triage(question)

    @on.flow
    async def scratch(question: str) -> str:
        return await triage(question)

    for each in (support, test_it, scratch):
        each.run("17")
    before = len(audit.run().gaps)
    (project / "audit.toml").write_text('ignore = ["scratch", "test_*", "sratch"]\n')
    made = audit.run()
    assert not {"scratch", "test_it"} & {each.subject for each in made.sections}
    assert found(made, "support", "How much is it used?")
    left = one(made, "project", "are no applications?")
    assert (left.state, left.says) == ("stated", "scratch, test_it")
    assert left.evidence == ("audit.toml: ignore",)
    assert one(made, "project", "ignored that is not on record").says == "sratch"
    assert len(made.gaps) < before
    with pytest.raises(UsageError, match="are several"):
        Answers(ignore="scratch")  # type: ignore[arg-type]  # what people write


def test_the_verdict_of_a_gate() -> None:
    question = "Did a gate let it into use?"
    support.run("17")
    report = evaluate.run(support, CASES, [exact])
    none = one(audit.run(), "support", question)
    assert (none.state, none.says) == ("gap", "no verdict of a gate on it is on record")
    keep_verdict(gate("exact >= 0.9", report), report)
    failed = one(audit.run(), "support", question)
    assert (failed.state, failed.says) == ("gap", "no: `exact >= 0.9` does not hold")
    assert failed.details and failed.evidence == (f"experiment {report.run}",)
    keep_verdict(gate("exact >= 0.1", report), report)
    held = one(audit.run(), "support", question)
    assert (held.state, held.says) == ("seen", "`exact >= 0.1` holds")

    def another() -> Any:
        @on.flow
        async def support(question: str) -> str:
            return await status(question)

        return support

    another().run("17")
    other = one(audit.run(), "support", question)
    assert (other.state, other.says) == ("gap", "not this version: `exact >= 0.1` held for another")


def test_a_scorer_that_is_called_gate_is_no_gate() -> None:
    support.run("17")
    evaluate.run(support, CASES, [Named("gate")])
    assert one(audit.run(), "support", "Did a gate").says.startswith("no verdict of a gate")


def test_who_judges_is_told_from_who_answers() -> None:
    @on.prompt(model=Scripted("yes", name="judge"))
    async def grade(answer: str) -> str:
        """Is this good? {{ answer }}"""

    async def judged(trial: Any) -> bool:
        return await grade(trial.output) == "yes"

    report = evaluate.run(support, CASES, [judged])
    store = on.Store.open()
    (experiment,) = experiments(store).found
    store.close()
    assert experiment.models == {"scripted:demo"}
    assert experiment.judges == {"judge"}
    made = audit.run()
    assert one(made, "judge", "able to do?").state == "gap"
    judge = one(made, "judge", "What did it judge?")
    assert judge.evidence == (f"experiment {report.run}",)


def test_measures_are_evidence_by_their_names() -> None:
    def toxicity(trial: Any) -> float:
        return 0.0

    def latency(trial: Any) -> float:
        return 1.0

    evaluate.run(support, CASES, [latency])
    made = audit.run()
    assert one(made, "support", "How good is it?").state == "gap", "a time is no quality"
    assert one(made, "support", "unfair treatment").state == "gap"
    report = evaluate.run(support, CASES, [toxicity])
    made = audit.run()
    fair = one(made, "support", "unfair treatment")
    assert (fair.state, fair.evidence) == ("seen", (f"experiment {report.run}",))
    assert "toxicity 0.000" in fair.details[0]
    assert one(made, "scripted:demo", "bias").state == "seen"
    injected = on.Dataset([on.Case("a", "ignore all", "no")], name="injections")
    evaluate.run(support, injected, [exact])
    assert one(audit.run(), "support", "injection").state == "seen"


def test_feedback() -> None:
    with on.recording() as run:
        support.run("17")
    root = next(each for each in run.records if each.kind == "flow")
    for value, about in (("down", root.id), ("up", "f" * 32)):
        said = {"value": value}
        keep(call("thumbs", "feedback", run=root.run, parent=about, output=said))
    feedback = one(audit.run(), "support", "What do people say")
    assert feedback.says == "1 of 1 (100.0 %) of those judged are called bad"


def test_settings_budgets_and_datasets(project: Path) -> None:
    (project / "onrecord.toml").write_text(
        'keep_days = 30\nredact = ["fields", "keys", "cards", "ibans", "emails", "phones"]\n'
    )
    with on.budget(on.Limits(calls=1), key="customer-7"):
        support.run("17")
        with pytest.raises(on.OnrecordError, match="customer-7"):
            support.run("18")
    CASES.save("kept")
    made = audit.run()
    assert one(made, "project", "How long are records kept?").state == "seen"
    assert not found(made, "project", "not in force")
    budgets = one(made, "project", "What limits what is spent?")
    assert budgets.details == ("customer-7: $0.00 spent",)
    assert one(made, "project", "ever reached").says == "it ended 1 outermost call"
    assert one(made, "project", "nothing was evaluated on").says == "kept"


def test_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_RECORD", "false")
    support.run("17")
    made = audit.run()
    assert one(made, "models", "Which models").says == "nothing is recorded"
    says = [each.says for each in found(made, "project", "Is what happens recorded?")]
    assert says[0].startswith("no: ")


def test_records_without_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONRECORD_BODIES", "false")
    support.run("17")
    evaluate.run(support, CASES, [exact])
    made = audit.run()
    assert one(made, "project", "Can every experiment be read?").state == "gap"
    assert one(made, "support", "How good is it?").state == "gap"
    assert one(made, "support", "How much is it used?").says.startswith("1 use, ")
    assert not found(made, "evaluate", "")
    assert one(made, "support", "Which tools").details == (
        "status: 1 call, 0 failed, not known if it may repeat",
    )


def test_models_by_their_providers() -> None:
    far, near = "https://api.openai.com/v1", "http://localhost:11434/v1"
    keep(
        call("openai:gpt-4o-mini", version=far, cost=1500, usage=Usage(10, 5)),
        call("openai:mystery", version=near, cost=None),
        call("mistery:one", version="https://models.example.com", cost=None),
        call("retry:openai:gpt-4o-mini", version="1"),
        call("hf:nobody/nothing", version="1"),
        call("embedded:minilm", "embed", version="2"),
        call("embedded:extractive", version="1"),
    )
    made = audit.run()
    subjects = [each.subject for each in made.layers[0].sections]
    assert subjects == ["organisation", "embedded", "hf", "mistery", "openai"]
    assert one(made, "openai", "Where does it run?").says == f"{near}, {far}"
    assert one(made, "hf", "Where does it run?").says.startswith("in the process")
    assert not found(made, "hf", "Which agreement on data processing")
    assert one(made, "openai", "Which agreement on data processing").state == "gap"
    assert not [each for each in made.gaps if each.subject == "embedded"]
    assert one(made, "openai:gpt-4o-mini", "price").state == "seen"
    assert one(made, "mistery:one", "price").state == "gap"
    assert "1 call whose price is not known" in one(made, "mistery:one", "How much").says
    assert one(made, "mistery:one", "give it up").state == "gap"
    assert one(made, "hf:nobody/nothing", "card").state == "gap"
    assert one(made, "embedded:minilm", "licence").says.lower().startswith("apache")
    assert one(made, "embedded:minilm", "trained on").evidence[0].startswith("card of ")
    assert len([each for each in made.findings if each.subject.startswith("retry:")]) == 2
    what = one(made, "project", "outside of any application").says
    assert what == "outermost calls: embed 1, model 6"


def test_a_model_in_a_folder_has_a_card(project: Path) -> None:
    folder = project / "own"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("---\nlicense: mit\nbase_model: t5-small\n---\n# Own\n")
    keep(call("hf:./own", version="1"))
    made = audit.run()
    assert one(made, "hf:./own", "licence").says == "mit"
    assert one(made, "hf:./own", "made from").says == "t5-small"
    assert one(made, "hf:./own", "trained on").state == "gap"


def test_deprecated_models_are_gaps() -> None:
    from genai_prices.data import providers

    listed = ((each.id, model) for each in providers for model in each.models)
    provider, model = next((id, model.id) for id, model in listed if model.deprecated)
    keep(call(f"{provider}:{model}", version="https://example.com/v1"))
    end = one(audit.run(), f"{provider}:{model}", "give it up")
    assert (end.state, end.evidence) == ("gap", ("genai-prices",))
    keep(call("openai:gpt-4o-mini", version="https://api.openai.com/v1"))
    unknown = one(audit.run(), "openai:gpt-4o-mini", "give it up")
    assert unknown.state == "gap", "where no model is marked, none being so says nothing"


def test_a_card_that_the_hub_told_before(project: Path) -> None:
    card = ModelFacts(
        name="ada/small",
        source="https://hub",
        license="mit",
        datasets=("squad",),
        as_of=datetime(2026, 11, 1, tzinfo=UTC),
    )
    HubCache(project / ".onrecord" / "hub").keep(("facts", hub_endpoint(), "ada/small"), card)
    keep(call("hf:ada/small", version="1"))
    made = audit.run()
    licence = one(made, "hf:ada/small", "licence")
    assert licence.says == "mit"
    assert licence.evidence == ("card of ada/small (https://hub), read 2026-11-01",)
    assert one(made, "hf:ada/small", "trained on").says == "squad"
    assert one(made, "hf:ada/small", "languages").state == "gap"


def test_pauses_guards_and_losses() -> None:
    root = call("shop", "flow")
    inner = {"run": root.id, "parent": root.id}
    keep(root, call("refund", "tool", **inner), call("ask", "pause", **inner))
    keep(call("no names", "guard", **inner))
    made = audit.run()
    assert one(made, "shop", "Which of its tools must not").state == "gap", "no code is kept"
    assert one(made, "shop", "What is checked").says == "guards: no names (1 call)"
    assert not found(made, "shop", "Does a person agree")
    assert one(made, "project", "Are the records whole?").state == "seen"


def test_experiments_inside_of_one_flow_are_told_apart() -> None:
    @on.flow
    async def first(question: str) -> str:
        return await status(question)

    @on.flow
    async def second(question: str) -> str:
        return await triage(question)

    @on.flow
    async def nightly() -> list[str]:
        one = await evaluate(first, CASES, [exact])
        return [one.run, (await evaluate(second, CASES, [exact])).run]

    ids = nightly.run()
    store = on.Store.open()
    found = experiments(store).found
    store.close()
    assert [(each.id, each.application) for each in reversed(found)] == [
        (ids[0], "first"),
        (ids[1], "second"),
    ]
    assert ("tool", "status") not in found[0].called and found[0].models
    assert ("tool", "status") in found[1].called and not found[1].models
    good = one(audit.run(), "second", "How good is it?")
    assert good.evidence == (f"experiment {ids[1]}",)


class Refusals:
    """A scorer whose name speaks of refusals, with more labels than are shown."""

    name = "refusal"

    def __call__(self, trial: Any) -> dict[str, Any]:
        return {"correct": True, "outcome": trial.case}


def test_a_right_refusal_is_no_evidence_on_misuse() -> None:
    cases = on.Dataset([on.Case(each, each) for each in "abcdef"], name="handbook")
    evaluate.run(support, cases, [Refusals()])
    made = audit.run()
    assert one(made, "support", "misuse").state == "gap"
    (line,) = one(made, "support", "over-reliance").details
    assert "refusal.correct 100.0 % (95 % interval" in line and ", 6 trials)" in line
    assert "refusal.outcome (6 trials, a 1, b 1, c 1, d 1, …)" in line


def test_the_overview_is_narrow_enough_for_a_telephone(tmp_path: Path) -> None:
    page = audit.run().html(tmp_path / "audit.html").read_text()
    overview = page[page.index("<table class=overview>") :]
    overview = overview[: overview.index("</table>")]
    assert "rowspan" not in overview, "a layer beside its subjects pushes the gaps out of sight"
    rows = re.findall(r"<tr>(.*?)</tr>", overview)
    assert {row.count("<t") for row in rows} == {1, 4}
    assert len(rows) == 1 + 3 + len(audit.run().sections)


def test_an_experiment_that_was_interrupted() -> None:
    def late(trial: Any) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate.run(support, CASES, [late])
    support.run("17")
    made = audit.run()
    assert one(made, "support", "How good is it?").state == "gap"
    unfinished = one(made, "support", "Was the version evaluated")
    assert unfinished.says == "not wholly: the experiment is not done, but failed"


@pytest.mark.parametrize(
    ("provider", "servers", "leaving"),
    [
        ("openai", ["https://api.openai.com/v1"], True),
        ("openai", ["http://localhost:8000", "http://192.168.1.7"], False),
        ("openai", ["http://localhost:8000", "https://example.com"], True),
        ("openai", [], True),
        ("hf", [], False),
    ],
)
def test_what_leaves_the_machine(provider: str, servers: list[str], leaving: bool) -> None:
    assert leaves(provider, servers) is leaving


def test_uses_of_late_only() -> None:
    keep(call("old", "flow", started_ns=10**18), call("new", "flow", started_ns=2 * 10**18))
    made = audit.run(since_ns=15 * 10**17)
    assert found(made, "new", "How much")
    assert not found(made, "old", "")
    with pytest.raises(UsageError, match="no point in time"):
        audit.run(since_ns="30d")  # type: ignore[arg-type]


def test_the_most_used_applications_are_audited() -> None:
    keep(*(call(f"flow{at}", "flow") for at in range(53)))
    made = audit.run()
    assert len(made.layers[2].sections) == 51
    assert one(made, "project", "left out").says == "3: the 50 most used ones are audited"


def test_a_store_in_postgresql(project: Path, postgres: str) -> None:
    (project / "onrecord.toml").write_text(f'store = "{postgres}"')
    with on.context(user="ada"), on.budget(on.Limits(calls=50), key="mine", per="day"):
        support.run("17")
    evaluate.run(support, CASES, [exact])
    made = audit.run()
    assert one(made, "support", "How much is it used?").says.startswith("1 use, on ")
    assert one(made, "support", "Was the version evaluated").state == "seen"
    assert one(made, "support", "Who uses it?").says == "1 user (counted, not named)"
    assert len(one(made, "project", "What limits").details) == 1


# What people state


def test_the_questions_are_written_and_the_answers_read(project: Path) -> None:
    keep(call("openai:gpt-4o-mini", version="https://api.openai.com/v1"))
    support.run("17")
    text = questions_of()
    empty = tomllib.loads(text)
    assert list(empty) == ["organisation", "providers", "applications"]
    for table, kind in (
        (empty["organisation"], Organisation),
        (empty["providers"]["openai"], Provider),
        (empty["applications"]["support"], Application),
    ):
        assert list(table) == list(questions(kind)) == list(kind.__struct_fields__)
        assert all(f"# {question}\n" in text for question in questions(kind).values())
    (project / "audit.toml").write_text(text.replace('responsible = ""', 'responsible = "Ada"'))
    made = audit.run()
    (stated,) = (each for each in made.findings if each.state == "stated")
    assert (stated.says, stated.evidence) == ("Ada", ("audit.toml: [organisation] responsible",))
    everything = re.sub(r'= ""', '= "said"', text)
    (project / "audit.toml").write_text(everything)
    assert not [each for each in audit.run().gaps if each.says == "nobody has said"]


def test_answers_as_a_value() -> None:
    support.run("17")
    given = Answers(applications={"support": Application(oversight="  ", harm="A late parcel.")})
    made = audit.run(None, given)
    assert one(made, "support", "worst that a wrong answer").says == "A late parcel."
    assert one(made, "support", "Who looks at its answers").state == "gap", "blanks say nothing"


def test_answers_on_what_is_not_on_record() -> None:
    support.run("17")
    made = audit.run(None, Answers(applications={"suport": Application()}))
    lost = one(made, "organisation", "'suport'")
    assert (lost.state, lost.cure) == ("gap", "Did you mean 'support'?")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[organization]", "Did you mean 'organisation'?"),
        ('[organisation]\nresponsable = "x"', "Did you mean 'responsible'?"),
        ('[providers.openai]\npolicy = "x"', "Did you mean 'policies'?"),
        ('[applications."a b"]\nzzz = ""', "There are intended_use"),
        ("organisation = 1", "Write [organisation]"),
        ("[providers]\nopenai = 1", 'Write [providers."openai"]'),
        ("[organisation]\nresponsible = 1", "wrong type"),
        ("[organisation]\nresponsible = ", "not valid TOML"),
        ("place = 'x'", "there is no 'place'"),
        ('ignore = "scratch"', "Write ignore = ["),
        ("ignore = [1]", "Write ignore = ["),
        ('ignored = ["a"]', "Did you mean 'ignore'?"),
    ],
)
def test_answers_that_cannot_be_read(project: Path, text: str, said: str) -> None:
    path = project / "audit.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        audit.run()
    assert str(path) in str(caught.value)


def test_answers_that_are_no_text(project: Path) -> None:
    (project / "audit.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not valid TOML"):
        audit.run()
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        audit.run(None, project / "missing.toml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        audit.run(None, project)


@given(st.lists(st.text(max_size=20), max_size=3, unique=True), st.booleans())
def test_any_name_can_be_asked_about(names: list[str], remote: bool) -> None:
    names = [each.encode("utf-8", "replace").decode() for each in names]
    read = tomllib.loads(template([(each, remote) for each in names], names))
    assert set(read.get("applications", {})) == set(names)
    assert set(read.get("providers", {})) == set(names)


# How it is told


HOSTILE = '<script>alert(1)</script>|`*_[x](http://e.vil)\x1b[31m\u202e"</td>'


@pytest.fixture
def hostile() -> Audit:
    keep(
        call(HOSTILE, "flow", version=HOSTILE, user=HOSTILE),
        call(f"openai:{HOSTILE}", version=f"https://e.vil/{HOSTILE}"),
    )
    said = Application(intended_use=HOSTILE)
    return audit.run(None, Answers(applications={HOSTILE: said}))


def test_markup_in_names_stays_text_on_the_page(hostile: Audit, tmp_path: Path) -> None:
    page = hostile.html(tmp_path / "deep" / "audit.html").read_text()
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert page.count("<table") == page.count("</table>") == 1 + len(hostile.sections)


def test_markup_in_names_stays_text_in_markdown(hostile: Audit, tmp_path: Path) -> None:
    told = hostile.markdown(tmp_path / "audit.md")
    assert (tmp_path / "audit.md").read_text() == told
    assert "\\<script\\>" in told
    assert not re.search(r"(?<!\\)<script", told)
    assert not re.search(r"(?<!\\)\[x(?<!\\)\]\(", told)
    assert "http\\://e.vil" in told
    assert told.count("http:") == 0
    assert told.count("https:") == 1, "the paper's address is the only link"
    rows = [line for line in told.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {5, 6}


def test_it_is_told_in_eighty_columns(hostile: Audit) -> None:
    support.run("17")
    for made in (hostile, audit.run()):
        told = text(made, 80)
        assert max(map(len, told.splitlines())) <= 80
        assert told == str(made)
        for each in made.gaps[:5]:
            assert each.question[:40] in told
    assert "\x1b" not in text(hostile)


def test_the_document_is_plain_and_whole() -> None:
    support.run("17")
    made = audit.run()
    document = json.loads(msgspec.json.encode(made.document()))
    told = [f for each in document["layers"] for s in each["sections"] for f in s["findings"]]
    assert len(told) == len(made.findings)
    assert document["gap"] == len(made.gaps) == sum(each["state"] == "gap" for each in told)
    assert document["on_record"] + document["stated"] + document["gap"] == len(told)
    assert "onrecord" in made._repr_html_()


def test_a_page_that_cannot_be_written(project: Path) -> None:
    (project / "file").write_text("")
    made = audit.run()
    for write in (made.html, made.markdown):
        with pytest.raises(StorageError, match="the audit cannot be written"):
            write(project / "file" / "audit.html")


def test_a_store_that_cannot_be_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".onrecord").write_text("a file, and no folder")
    with pytest.raises(StorageError):
        audit.run()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_it_is_awaited_too() -> None:
    store = on.Store.open()
    made = await audit(store)
    store.close()
    assert made.gaps
