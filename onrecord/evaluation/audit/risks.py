"""The risks of using an application: each with the evidence on record, or the gap.

The risks are those that come from use, whatever the model: wrong answers, leaking, injection,
unfair treatment, misuse, over-reliance. Evidence that is there does not mean that a risk is small:
it says where to look.
"""

from __future__ import annotations

from collections.abc import Iterator

from onrecord.evaluation.audit.answers import Answers
from onrecord.evaluation.audit.answers import Application as Stated
from onrecord.evaluation.audit.current import differences
from onrecord.evaluation.audit.evaluated import Experiment
from onrecord.evaluation.audit.findings import Finding, gap, seen
from onrecord.evaluation.audit.gathering import Application, Facts
from onrecord.evaluation.audit.measures import about, measured, named, quality
from onrecord.evaluation.audit.providers import addresses, leaves, provider_of
from onrecord.evaluation.audit.wording import amount, day, share
from onrecord.evaluation.experiments.report import Measure

Evidence = tuple[str, str]
"""What is on record, and where."""


def risks(app: Application, facts: Facts, answers: Answers) -> Iterator[Finding]:
    """A finding for each risk: what is on record of it, and where nothing is, a gap."""
    given = answers.applications.get(app.name, Stated())
    yield _found("wrong answers", list(_wrong(app)), _WRONG.format(app.name))
    yield _tested("leaking", app, list(_leaking(app, facts)), _TEST)
    yield _tested("injection", app, list(_injection(app)), _TEST)
    yield _tested("unfair treatment", app, [], _FAIR)
    yield _tested("misuse", app, list(_misuse(app, facts, given)), _TEST)
    yield _tested("over-reliance", app, list(_reliance(app, given, answers)), _RELY)


def _found(risk: str, evidence: list[Evidence], cure: str) -> Finding:
    question = _QUESTION.format(risk)
    if not evidence:
        return gap(question, "nothing on record shows how large it is", cure)
    lines, places = zip(*evidence, strict=True)
    return seen(question, "this is on record:", *dict.fromkeys(places), details=lines)


def _tested(risk: str, app: Application, around: list[Evidence], cure: str) -> Finding:
    """A risk that an experiment has to speak of; what else is on record stands beside."""
    shown = [
        (_experiment(app, each, about(each, risk)), f"experiment {each.id}")
        for each in app.experiments
        if about(each, risk)
    ][:3]
    if shown:
        return _found(risk, [*shown, *around], cure)
    said, cure = _UNTRIED, cure.format(app.name)
    lines, places = zip(*around, strict=True) if around else ((), ())
    return gap(_QUESTION.format(risk), said, cure, *dict.fromkeys(places), details=lines)


def _wrong(app: Application) -> Iterator[Evidence]:
    for each in [each for each in app.experiments if quality(each)][:3]:
        yield _experiment(app, each, quality(each)), f"experiment {each.id}"
    if app.heard.judged:
        said = f"{share(app.heard.bad, app.heard.judged)} of what people judged is called bad"
        yield said, "`onrecord records list --calls --kind feedback`"


def _leaking(app: Application, facts: Facts) -> Iterator[Evidence]:
    rules = ", ".join(facts.settings.redact) or "none"
    yield f"rules that keep secrets out of the records: {rules}", "setting redact"
    redacted = sum(each.redacted for each in (*app.versions, *app.parts))
    if redacted:
        where = f"`onrecord records list --name {app.name}`"
        yield f"in {amount(redacted, 'call')} something was removed from an output", where
    for name in sorted({provider_of(each.name) for each in app.of_kind("model", "embed")}):
        uses = [each for each in app.of_kind("model", "embed") if provider_of(each.name) == name]
        servers = addresses(uses)
        if leaves(name, servers) and servers:
            said = f"what it asks {name} leaves this machine: {', '.join(servers)}"
            yield said, f"record {uses[0].last}"


def _injection(app: Application) -> Iterator[Evidence]:
    for prompt in app.prompts:
        if prompt.untrusted:
            said = f"{prompt.name} shows {', '.join(prompt.untrusted)} as data from outside"
            yield said, f"run {prompt.run}"
    if once := [name for name, may in app.idempotent.items() if may is False]:
        last = [each for each in app.of_kind("tool") if each.name == once[0]]
        said = f"it calls tools that must not happen twice: {', '.join(once)}"
        yield said, f"record {last[0].last}"


def _misuse(app: Application, facts: Facts, given: Stated) -> Iterator[Evidence]:
    if app.outputs.say:
        yield f"it refused {share(app.outputs.refused, app.outputs.say)}", _outputs(app)
    if facts.budgets:
        yield "what is spent is limited by budgets with a key", "the ledger"
    if app.people.users:
        where = f"run {app.versions[0].run}"
        yield f"its calls name {amount(app.people.users, 'user')}, who can be found by it", where
    if given.prohibited_uses.strip():
        yield "prohibited uses are stated", "the answers: prohibited_uses"


def _reliance(app: Application, given: Stated, answers: Answers) -> Iterator[Evidence]:
    told, where = app.outputs, answers.place or "the answers"
    if told.may_quote:
        yield f"{share(told.quoted, told.may_quote)} of its newest answers quote", _outputs(app)
    if told.say:
        yield f"it can refuse, and did in {share(told.refused, told.say)}", _outputs(app)
    for field in ("oversight", "disclosure"):
        if getattr(given, field).strip():
            yield f"{field} is stated", f"{where}: {field}"


def _experiment(app: Application, each: Experiment, measures: tuple[Measure, ...]) -> str:
    other = " (of another version than runs now)" if differences(app, each) else ""
    unfinished = "" if each.state == "done" else f" ({each.state})"
    said = measured(measures)
    return f"{day(each.started_ns)} on {named(each)}: {said}{unfinished}{other}"


def _outputs(app: Application) -> str:
    return f"its newest {amount(app.outputs.count, 'output')}"


_QUESTION = "What shows how large the risk of {} is?"
_UNTRIED = "no experiment of it has a measure or dataset whose name speaks of this"
_WRONG = "`onrecord evaluate FILE.py:{} --data CASES.jsonl`"
_TEST = "`onrecord evaluate FILE.py:{} --data CASES.jsonl` with cases that try it"
_FAIR = (
    "`onrecord evaluate FILE.py:{} --data CASES.jsonl --scorer FILE.py:SCORER` with cases that "
    "differ in the group only"
)
_RELY = (
    "`onrecord evaluate FILE.py:{} --data CASES.jsonl` with cases that it cannot answer, scored "
    "by refusals and citations"
)
