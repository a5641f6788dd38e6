"""The third layer, first part: what holds for every application of a project. Settings, budgets,
datasets, and how whole the records are."""

from __future__ import annotations

from collections.abc import Iterator

from onrecord.evaluation.audit.answers import Answers
from onrecord.evaluation.audit.findings import Finding, Section, gap, seen, stated
from onrecord.evaluation.audit.gathering import MOST, Facts
from onrecord.evaluation.audit.wording import amount
from onrecord.records.redaction.redactor import RULES
from onrecord.records.views.wording import dollars

_SHOWN = 10


def section(facts: Facts, answers: Answers) -> Section:
    """Records, redaction, retention, budgets, datasets."""
    findings = [*_records(facts), *_redaction(facts), _retention(facts), *_budgets(facts)]
    findings += [*_datasets(facts), *_around(facts), *_ignored(facts, answers)]
    return Section("project", tuple(findings), "What holds for every application")


def unredacted(facts: Facts) -> list[str]:
    """The rules of redaction that are not in force."""
    return [rule for rule in RULES if rule not in facts.settings.redact]


def _records(facts: Facts) -> Iterator[Finding]:
    question = "Is what happens recorded?"
    settings = facts.settings
    if not settings.record:
        yield gap(
            question,
            "no: there is nothing to audit what is called from now on by",
            "Set record = true in onrecord.toml, or unset ONRECORD_RECORD.",
            "setting record = false",
        )
    if not settings.bodies:
        yield gap(
            question,
            "without inputs and outputs: what was said cannot be looked at, and experiments "
            "cannot be read",
            "Set bodies = true in onrecord.toml, or unset ONRECORD_BODIES.",
            "setting bodies = false",
        )
    if facts.records:
        yield seen(question, f"{amount(facts.records, 'record')} are kept", "`onrecord records`")
    else:
        yield gap(question, "no record is kept", "Call the application; its calls are recorded.")
    question = "Are the records whole?"
    if facts.lost or facts.torn:
        yield gap(
            question,
            f"{amount(facts.lost, 'call')} went on without a record or with an unfinished one, "
            f"{amount(facts.torn, 'byte')} of the journal could not be read",
            "`onrecord records status` says where.",
            "the journal's own count",
        )
    elif facts.records:
        yield seen(question, "no loss is counted", "the journal's own count")


def _redaction(facts: Facts) -> Iterator[Finding]:
    question = "Which secrets and personal data are removed before anything is written?"
    rules = facts.settings.redact
    where = f"setting redact = {list(rules)}"
    fields = facts.settings.redact_fields
    if rules:
        said = f"what these rules find: {', '.join(rules)}"
        said += f"; values of fields called {', '.join(fields)}" if fields else ""
        yield seen(question, f"{said} (as set now)", where)
    else:
        yield gap(question, "none: no rule is in force", 'redact = ["fields", "keys"]', where)
    if rules and (missing := unredacted(facts)):
        yield gap(
            "Which rules of redaction are not in force?",
            ", ".join(missing),
            "Add them to the setting redact, where such data is not needed in the records.",
            where,
        )


def _retention(facts: Facts) -> Finding:
    question = "How long are records kept?"
    days = facts.settings.keep_days
    if days is None:
        cure = "Set keep_days in onrecord.toml."
        return gap(question, "without an end: no time is set", cure, "setting keep_days is not set")
    said = f"{days:g} days, then they are erased when the journal is folded"
    return seen(question, said, f"setting keep_days = {days:g}")


def _budgets(facts: Facts) -> Iterator[Finding]:
    question = "What limits what is spent?"
    if facts.budgets:
        keys = dict.fromkeys(key for key, _, _ in facts.budgets)
        shown = facts.budgets[:_SHOWN]
        yield seen(
            question,
            f"{amount(len(keys), 'budget')} with a key; how high each is, the code says",
            "the ledger",
            details=[
                f"{key}{f', {period}' if period else ''}: {dollars(cost)} spent"
                for key, period, cost in shown
            ],
        )
    else:
        yield gap(
            question,
            "no budget with a key is on record (one of a single process leaves no trace unless it "
            "is reached)",
            'with on.budget(on.Limits(usd=5), key="NAME", per="day"): …',
        )
    if facts.limited:
        said = f"it ended {amount(facts.limited, 'outermost call')}"
        where = "`onrecord records list --error LimitError`"
        yield seen("Was a limit ever reached?", said, where)


def _datasets(facts: Facts) -> Iterator[Finding]:
    question = "Which cases is it evaluated on?"
    used = {each.dataset: each for each in facts.experiments.found}
    if used:
        named = {name or "cases without a name": each for name, each in used.items()}
        yield seen(
            question,
            ", ".join(named),
            *(f"experiment {each.id}" for each in list(named.values())[:_SHOWN]),
        )
    else:
        cure = "`onrecord records dataset NAME` makes one of what was recorded."
        yield gap(question, "on none: no experiment is on record", cure)
    if unused := [name for name in facts.datasets if name not in used]:
        yield gap(
            "Are there datasets that nothing was evaluated on?",
            ", ".join(unused),
            f"`onrecord evaluate FILE.py:NAME --data {unused[0]}`",
            ".onrecord/datasets/",
        )
    if facts.experiments.unreadable:
        said = (
            f"{amount(facts.experiments.unreadable, 'experiment')} kept without inputs and outputs"
        )
        yield gap("Can every experiment be read?", f"no: {said}", "Set bodies = true.")
    if facts.experiments.older:
        read = len(facts.experiments.found)
        yield gap("Is every experiment read?", f"no: the newest {read:,} are, older ones are not")


def _around(facts: Facts) -> Iterator[Finding]:
    if facts.direct:
        told = ", ".join(f"{kind} {count:,}" for kind, count in sorted(facts.direct.items()))
        yield seen(
            "What is called outside of any application?",
            f"outermost calls: {told}",
            "`onrecord records list`",
        )
    if facts.left_out:
        yield gap(
            "Which applications are left out here?",
            f"{facts.left_out:,}: the {MOST} most used ones are audited",
            "--since DATE narrows it.",
        )


def _ignored(facts: Facts, answers: Answers) -> Iterator[Finding]:
    """What is said to be no application, so that nobody takes it for looked at."""
    where = f"{answers.place}: ignore" if answers.place else "the answers"
    if facts.ignored:
        some = ", ".join(facts.ignored[:_SHOWN])
        more = f" and {len(facts.ignored) - _SHOWN:,} more" if len(facts.ignored) > _SHOWN else ""
        yield stated("Which flows and steps are no applications?", f"{some}{more}", where)
    fits = {each for name in facts.ignored for each in answers.ignoring(name)}
    if unused := [each for each in answers.ignore if each not in fits]:
        yield gap(
            "What is ignored that is not on record?",
            ", ".join(unused),
            "Is it mistyped? Else remove it.",
            where,
        )
