"""The first layer: who answers for the applications, and for the models that they use.

Records know nothing of this. People answer in `audit.toml`, and the audit names what they did not.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from onrecord.evaluation.audit.answers import (
    FILE,
    Answers,
    Organisation,
    Provider,
    questions,
    remote_only,
)
from onrecord.evaluation.audit.calls import Calls
from onrecord.evaluation.audit.findings import Finding, Section, gap, seen, stated
from onrecord.evaluation.audit.gathering import Facts
from onrecord.evaluation.audit.providers import (
    IN_PROCESS,
    OURS,
    addresses,
    is_wrapper,
    leaves,
    provider_of,
)

_ASK = f"Answer it in {FILE}."


def sections(facts: Facts, answers: Answers) -> Iterator[Section]:
    """The organisation, then every provider whose models answered."""
    findings = list(
        answered(answers.organisation, questions(Organisation), "organisation", answers)
    )
    findings += _without_subject(facts, answers)
    yield Section("organisation", tuple(findings), "Who answers for the applications")
    for name, uses in by_provider(facts.models).items():
        yield Section(name, tuple(_provider(name, uses, answers)), "Provider of models")


def by_provider(models: Iterable[Calls]) -> dict[str, list[Calls]]:
    """The models that answered, by provider; what only stands around a model is left out."""
    found: dict[str, list[Calls]] = {}
    for each in models:
        if not is_wrapper(each.name):
            found.setdefault(provider_of(each.name), []).append(each)
    return dict(sorted(found.items()))


def answered(
    given: msgspec.Struct, asked: Mapping[str, str], table: str, answers: Answers
) -> Iterator[Finding]:
    """A finding for each question: what is stated, or a gap."""
    for field, question in asked.items():
        said, where = getattr(given, field).strip(), f"[{table}] {field}"
        if said:
            yield stated(question, said, f"{answers.place or 'given'}: {where}")
        else:
            yield gap(question, "nobody has said", _ASK, f"{answers.place or FILE}: {where}")


def _provider(name: str, uses: list[Calls], answers: Answers) -> Iterator[Finding]:
    models = sorted({each.name for each in uses})
    runs = [f"run {each.run}" for each in uses[:1]]
    yield seen("Which models of it answered?", ", ".join(models), *runs)
    servers = addresses(uses)
    if name in IN_PROCESS:
        yield seen("Where does it run?", "in the process that asks; it is sent nothing", *runs)
    elif servers:
        near = "" if leaves(name, servers) else ", on this machine or its own network"
        yield seen("Where does it run?", ", ".join(servers) + near, *runs)
    else:
        yield gap("Where does it run?", "the records do not name a server", "", *runs)
    if name in OURS:
        yield seen("Who provides it?", "it is a part of Onrecord", "its LICENSE")
        return
    asked = questions(Provider)
    if name in IN_PROCESS:
        asked = {field: each for field, each in asked.items() if field not in remote_only()}
    given = answers.providers.get(name, Provider())
    yield from answered(given, asked, f'providers."{name}"', answers)


def _without_subject(facts: Facts, answers: Answers) -> Iterator[Finding]:
    """Answers on what is not on record: a name may be mistyped, or the use has ended."""
    there = {
        "providers": list(by_provider(facts.models)),
        "applications": [each.name for each in facts.applications],
    }
    for table, known in there.items():
        for name in getattr(answers, table):
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                hint = f"Did you mean '{close[0]}'?" if close else "Take them out, or leave them."
                yield gap(
                    f"Whom do the answers on '{name}' concern?",
                    f"nothing of that name is on record among the {table}",
                    hint,
                    f'{answers.place or "given"}: [{table}."{name}"]',
                )
