"""The second layer: every model that answered, what is known of it, and how it was evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onrecord.evaluation.audit.calls import Calls
from onrecord.evaluation.audit.evaluated import Experiment
from onrecord.evaluation.audit.findings import Finding, Section, gap, seen
from onrecord.evaluation.audit.gathering import Facts
from onrecord.evaluation.audit.measures import about, measured, named, quality
from onrecord.evaluation.audit.providers import Known, is_wrapper, provider_of
from onrecord.evaluation.audit.wording import amount, day, from_to, several, share
from onrecord.models.hub.card import ModelFacts
from onrecord.records.views.wording import bill

_CARD = "Which facts of its card are known?"
_SHOWN = 5


def sections(facts: Facts, known: Mapping[str, Known]) -> Iterator[Section]:
    """A section for each model, the last used first; one that says so where there is none."""
    by_name: dict[str, list[Calls]] = {}
    for each in facts.models:
        by_name.setdefault(each.name, []).append(each)
    if not by_name:
        yield Section("models", (_none(facts),), "No model is on record")
    for name, uses in by_name.items():
        findings = [_calls(uses), *_versions(uses)]
        if is_wrapper(name):
            yield Section(name, tuple(findings), "What is done around a model")
            continue
        told = known.get(name, Known())
        findings += _facts(name, uses, told)
        if uses[0].kind == "model":
            findings += _evaluated(name, facts)
        what = "Model" if uses[0].kind == "model" else "Embedder"
        yield Section(name, tuple(findings), what)


def _none(facts: Facts) -> Finding:
    question = "Which models answer?"
    if not facts.settings.record:
        return gap(question, "nothing is recorded", _RECORD, "setting record = false")
    return gap(
        question, "no call of a model is on record", "Call the application; its calls are recorded."
    )


def _calls(uses: list[Calls]) -> Finding:
    total = sum(each.calls for each in uses)
    failed, reused = sum(each.failed for each in uses), sum(each.reused for each in uses)
    said = f"{amount(total, 'call')}, {from_to(uses)}"
    said += f"; {share(failed, total)} failed" if failed else "; none failed"
    said += f"; {reused:,} answered from a record" if reused else ""
    cost = bill(sum(each.cost for each in uses), sum(each.unpriced for each in uses))
    return seen("How much was it used?", f"{said}; cost {cost}", f"run {uses[0].run}")


def _versions(uses: list[Calls]) -> Iterator[Finding]:
    versions = [each for each in uses if each.version]
    question = "Which version answered?"
    if len(versions) < len(uses):
        yield gap(question, "calls without a version are on record", "", f"run {uses[-1].run}")
    if versions:
        lines = [
            f"{each.version}: {amount(each.calls, 'call')}, {from_to([each])}" for each in versions
        ]
        yield seen(
            question,
            f"{versions[0].version} last" + several(len(versions), "version"),
            f"run {versions[0].run}",
            details=lines[:_SHOWN] if len(lines) > 1 else (),
        )


def _facts(name: str, uses: list[Calls], known: Known) -> Iterator[Finding]:
    if provider_of(name) == "scripted":
        yield gap(
            _CARD,
            "it is a double for tests, and no model: what it says was written before",
            "Name a model where the application is in use.",
            f"run {uses[0].run}",
        )
        return
    yield from _card(name, known) if known.card is not None else [_no_card(name, known)]
    if provider_of(name) not in ("embedded", "hf"):
        yield _price(name, known)
        yield from _end(known)


def _no_card(name: str, known: Known) -> Finding:
    if name.startswith("embedded:"):
        return seen(_CARD, "none: it is code of Onrecord's, without weights", "docs/models.md")
    cure = "Keep the facts of the model beside the answers on its provider."
    if name.startswith("hf:"):
        cure = f"`onrecord models show {name.removeprefix('hf:')}` asks the Hub, and keeps them."
    return gap(_CARD, f"not known: {known.without}", cure)


def _card(name: str, known: Known) -> Iterator[Finding]:
    card = known.card
    if card is None:
        return
    where = f"card of {card.name} ({card.source})"
    if card.as_of is not None:
        where += f", read {card.as_of:%Y-%m-%d}"
    for question, said in _told(card).items():
        if said:
            yield seen(question, said, where)
        else:
            yield gap(question, "not known: its card does not say", "Ask whoever made it.", where)
    for warning in card.warnings:
        yield gap(_CARD, warning, f"`onrecord models show {name.removeprefix('hf:')}`", where)


def _told(card: ModelFacts) -> dict[str, str]:
    license = card.license_name or card.license or ""
    if card.license_link:
        license += f" ({card.license_link})"
    relation = f" ({card.base_relation})" if card.base_relation else ""
    bases = ", ".join(card.base_models)
    told = {
        "Under which licence is it?": license,
        "What was it trained on?": ", ".join(card.datasets) or card.training,
        "Which languages is it made for?": ", ".join(card.languages),
    }
    return {**told, **({"What was it made from?": bases + relation} if bases else {})}


def _price(name: str, known: Known) -> Finding:
    question = "Is its price known?"
    if known.priced:
        return seen(question, "yes", "the settings' prices, else those of genai-prices")
    return gap(
        question,
        "no: its cost is not counted, and budgets in dollars refuse it",
        f'Write [prices."{name}"] into onrecord.toml.',
    )


def _end(known: Known) -> Iterator[Finding]:
    question = "Does its provider give it up?"
    if known.deprecated:
        yield gap(question, "yes: it is listed as deprecated", "Evaluate another.", "genai-prices")
    elif known.deprecated is None:
        yield gap(
            question,
            "not known: the installed list of prices does not say",
            "See its provider's pages.",
        )
    else:
        yield seen(question, "it is not listed as deprecated", "genai-prices, as installed")


def _evaluated(name: str, facts: Facts) -> Iterator[Finding]:
    found = [each for each in facts.experiments.found if name in each.models]
    able = [each for each in found if quality(each)]
    question = "What was it shown to be able to do?"
    if able:
        lines = [_line(each) for each in able[:_SHOWN]]
        yield seen(
            question,
            f"it answered in {amount(len(able), 'experiment')} with a measure of quality",
            *(f"experiment {each.id}" for each in able[:_SHOWN]),
            details=lines,
        )
    else:
        said = "it answered in no experiment on record with a measure of quality"
        yield gap(question, said, _EVALUATE)
    fair = [each for each in found if about(each, "unfair treatment")]
    question = "Was it tested for bias?"
    if fair:
        yield seen(
            question,
            "; ".join(measured(about(each, "unfair treatment")) for each in fair[:_SHOWN]),
            *(f"experiment {each.id}" for each in fair[:_SHOWN]),
        )
    else:
        said = "no experiment in which it answered has a measure or dataset whose name speaks of it"
        yield gap(question, said, _FAIR)
    judged = [each for each in facts.experiments.found if name in each.judges]
    if judged:
        yield seen(
            "What did it judge?",
            f"it scored answers in {amount(len(judged), 'experiment')}",
            *(f"experiment {each.id}" for each in judged[:_SHOWN]),
        )


def _line(each: Experiment) -> str:
    said = measured(quality(each)) or "no measure"
    unfinished = "" if each.state == "done" else f" ({each.state})"
    return f"{day(each.started_ns)}{unfinished}, {each.application} on {named(each)}: {said}"


_RECORD = "Set record = true in onrecord.toml, or unset ONRECORD_RECORD."
_EVALUATE = "`onrecord evaluate FILE.py:NAME --data CASES.jsonl`"
_FAIR = (
    "`onrecord evaluate FILE.py:NAME --data CASES.jsonl --scorer FILE.py:SCORER` with cases that "
    "differ in the group only"
)
