"""The third layer: each application, how it is used, what it may do, and how it was evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from onrecord.evaluation.audit.answers import Answers, questions
from onrecord.evaluation.audit.answers import Application as Stated
from onrecord.evaluation.audit.calls import Calls
from onrecord.evaluation.audit.current import differences, evaluation_of
from onrecord.evaluation.audit.evaluated import Experiment
from onrecord.evaluation.audit.findings import Finding, Section, gap, seen
from onrecord.evaluation.audit.gathering import Application, Facts, newest
from onrecord.evaluation.audit.governance import answered
from onrecord.evaluation.audit.measures import measured, named, quality
from onrecord.evaluation.audit.providers import is_wrapper
from onrecord.evaluation.audit.risks import risks
from onrecord.evaluation.audit.wording import amount, day, from_to, several, share, short
from onrecord.records.views.wording import bill

_SHOWN = 12


def sections(facts: Facts, answers: Answers) -> Iterator[Section]:
    """A section for each application; one that says so where there is none."""
    if not facts.applications:
        cure = "Make what people start with a flow (@on.flow), and call it."
        none = gap("Which applications are there?", "no flow or step was called", cure)
        yield Section("applications", (none,), "No application is on record")
    for each in facts.applications:
        given = answers.applications.get(each.name, Stated())
        where = f'applications."{each.name}"'
        findings = [*answered(given, questions(Stated), where, answers), *_use(each)]
        findings += [*_tools(each), *_inputs(each), _guards(each), *_feedback(each)]
        findings += [*_evaluation(each), _gates(each)]
        findings += risks(each, facts, answers)
        what = "Flow" if each.kind == "flow" else "Prompt or step"
        yield Section(each.name, tuple(findings), what)


def _use(app: Application) -> Iterator[Finding]:
    question = "How much is it used?"
    if not app.versions:
        said = "it was called in experiments only"
        yield seen(question, said, *(f"experiment {each.id}" for each in app.experiments[:1]))
        return
    run = f"run {app.versions[0].run}"
    parts = [*app.versions, *app.parts]
    spent = [each for each in parts if each.kind in ("model", "embed")]
    cost = bill(sum(each.cost for each in spent), sum(each.unpriced for each in spent))
    uses = f"{amount(app.uses, 'use')}, {from_to(app.versions)}; cost {cost}"
    yield seen(question, uses, run)
    yield _versions(app)
    yield _models(app)
    yield _people(app, run)
    failed = sum(each.failed for each in app.versions)
    unfinished = sum(each.unfinished for each in app.versions)
    said = f"{share(failed, app.uses)} failed" if failed else f"none of {app.uses:,} failed"
    said += f", {share(unfinished, app.uses)} did not end when first called" if unfinished else ""
    yield seen("How often does it fail?", said, f"`onrecord records list --name {app.name}`", run)
    yield _refusals(app, run)


def _versions(app: Application) -> Finding:
    now = app.versions[0]
    lines = [
        f"{short(each.version) or 'no version'}: {amount(each.calls, 'use')}, {from_to([each])}"
        for each in app.versions[:_SHOWN]
    ]
    return seen(
        "Which version runs now?",
        f"{short(now.version) or 'one without a version'}, last used {day(now.last_ns)}"
        + several(len(app.versions), "version"),
        f"run {now.run}",
        details=lines if len(lines) > 1 else (),
    )


def _models(app: Application) -> Finding:
    found = [each for each in newest(app.of_kind("model")) if not is_wrapper(each.name)]
    question = "Which models answer in it?"
    if not found:
        return seen(question, "none was called", f"run {app.versions[0].run}")
    names = ", ".join(f"{each.name} (last {day(each.last_ns)})" for each in found)
    return seen(question, names, *(f"record {each.last}" for each in found))


def _people(app: Application, run: str) -> Finding:
    people, question = app.people, "Who uses it?"
    if not (people.users or people.tenants or people.sessions):
        cure = "with on.context(user=…, tenant=…, session=…): around the call."
        return gap(question, "its calls name no user, tenant or session", cure, run)
    said = ", ".join(
        amount(count, noun)
        for count, noun in (
            (people.users, "user"),
            (people.tenants, "tenant"),
            (people.sessions, "session"),
        )
        if count
    )
    said += f"; {share(people.nameless, app.uses)} without a user" if people.nameless else ""
    return seen(question, f"{said} (counted, not named)", run)


def _refusals(app: Application, run: str) -> Finding:
    question, told = "How often does it refuse?", app.outputs
    if not told.say:
        said = "its outputs do not say: none of the newest has a field 'refused'"
        return gap(question, said, "Return on.Cited, or a type with a field `refused: bool`.", run)
    return seen(question, f"{share(told.refused, told.say)} of its newest answers", run)


def _tools(app: Application) -> Iterator[Finding]:
    question = "Which tools does it call?"
    tools = newest(app.of_kind("tool"))
    if not tools:
        if app.versions:
            said = "none was called; which it may call is not on record"
            yield seen(question, said, f"run {app.versions[0].run}")
        return
    totals = {each.name: [c for c in app.of_kind("tool") if c.name == each.name] for each in tools}
    lines = [_tool(name, found, app.idempotent.get(name)) for name, found in totals.items()]
    yield seen(
        question,
        f"{amount(len(tools), 'tool')} were called; which others it may call is not on record",
        *(f"record {each.last}" for each in tools[:_SHOWN]),
        details=lines[:_SHOWN],
    )
    if unknown := [name for name in totals if app.idempotent.get(name) is None]:
        yield gap(
            "Which of its tools must not happen twice?",
            f"not known of {', '.join(unknown)}: their code is not kept, or does not say",
            "Write @on.tool or @on.tool(idempotent=False) above the function itself.",
        )
    once = [name for name in totals if app.idempotent.get(name) is False]
    asked = sum(each.calls for each in app.of_kind("pause"))
    if once and not asked:
        yield gap(
            "Does a person agree before something happens that cannot be undone?",
            f"no pause is on record, and it calls {', '.join(once)}",
            "Ask with on.pause(…) before the call.",
        )
    elif once:
        said = f"{amount(asked, 'pause')} for a person; whether before these tools, a run shows"
        yield seen(
            "Does a person agree before something happens that cannot be undone?",
            said,
            *(f"record {each.last}" for each in app.of_kind("pause")[:1]),
        )


def _tool(name: str, found: list[Calls], idempotent: bool | None) -> str:
    calls, failed = sum(each.calls for each in found), sum(each.failed for each in found)
    mark = {True: "", False: ", MUST NOT HAPPEN TWICE", None: ", not known if it may repeat"}
    return f"{name}: {amount(calls, 'call')}, {failed:,} failed{mark[idempotent]}"


def _inputs(app: Application) -> Iterator[Finding]:
    question = "Which inputs are declared to come from outside?"
    for prompt in app.prompts:
        of = f"{prompt.name} {prompt.version[:8]}"
        where = f"run {prompt.run}"
        if prompt.untrusted is None:
            yield gap(question, f"{of}: its call is not on record whole", "", where)
        elif prompt.untrusted:
            yield seen(question, f"{of}: {', '.join(prompt.untrusted)}", where)
        else:
            yield gap(
                question,
                f"{of}: none in its newest call",
                '@on.prompt(untrusted=("NAME",)), where people or documents fill them.',
                where,
            )


def _guards(app: Application) -> Finding:
    question, guards = "What is checked on the way in and out?", app.of_kind("guard")
    if guards:
        said = ", ".join(f"{each.name} ({amount(each.calls, 'call')})" for each in newest(guards))
        return seen(question, f"guards: {said}", *(f"record {each.last}" for each in guards[:3]))
    if find_spec("onrecord.guards") is None:
        cure = "This Onrecord has no guards yet: check in the flow's own code, as a step."
        return gap(question, "no guard is on record", cure)
    return gap(question, "no guard is on record", "Put a guard around what goes in and comes out.")


def _feedback(app: Application) -> Iterator[Finding]:
    heard, question = app.heard, "What do people say of its answers?"
    if heard.judged:
        said = f"{share(heard.bad, heard.judged)} of those judged are called bad"
        said += f", {heard.corrected:,} corrected" if heard.corrected else ""
        yield seen(question, said, "`onrecord records list --calls --kind feedback`")
    elif app.versions:
        cure = "Record feedback on its runs."
        yield gap(question, "no feedback on it is on record", cure)


def _evaluation(app: Application) -> Iterator[Finding]:
    question = "How good is it?"
    latest = evaluation_of(app)
    if latest is None:
        yield gap(
            question,
            "it was evaluated in no experiment on record",
            f"`onrecord evaluate FILE.py:{app.name} --data CASES.jsonl`",
        )
        return
    said = measured(quality(latest)) or "the experiment has no measure of quality"
    where = f"experiment {latest.id}"
    said = f"{day(latest.started_ns)} on {named(latest)}: {said}"
    unfinished = "" if latest.state == "done" else f" ({latest.state})"
    found = seen if quality(latest) else gap
    yield found(question, said + unfinished, *([] if found is seen else [""]), where)
    if app.versions:
        yield _currency(app, latest)


def _currency(app: Application, latest: Experiment) -> Finding:
    """Whether the version that runs now is the one that was evaluated."""
    question, now = "Was the version evaluated that runs now?", app.versions[0]
    where, told = (f"experiment {latest.id}", f"run {now.run}"), differences(app, latest)
    if not told and latest.state == "done":
        said = f"yes: {short(now.version)}, with the same prompts, tools and models"
        return seen(question, said, *where)
    said = "no: the evaluated version differs"
    if not told:
        said = f"not wholly: the experiment is not done, but {latest.state}"
    cure = f"`onrecord evaluate FILE.py:{app.name} --data CASES.jsonl`"
    return gap(question, said, cure, *where, details=told)


def _gates(app: Application) -> Finding:
    """What a gate said of the newest experiment, and whether that was of what runs now."""
    question, latest = "Did a gate let it into use?", evaluation_of(app)
    cure = f"`onrecord evaluate FILE.py:{app.name} --data CASES.jsonl --gate '…'`"
    if latest is None or latest.gate is None:
        return gap(question, "no verdict of a gate on it is on record", cure)
    verdict, where = latest.gate, f"experiment {latest.id}"
    if not verdict.passed:
        said = f"no: `{verdict.gate}` does not hold"
        return gap(question, said, cure, where, details=verdict.reasons)
    if differences(app, latest):
        return gap(question, f"not this version: `{verdict.gate}` held for another", cure, where)
    return seen(question, f"`{verdict.gate}` holds", where, details=verdict.reasons)
