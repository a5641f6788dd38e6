"""`audit`: the three-layer report of what a project holds, with every gap by name.

    audit.run()                                      # or: await audit()
    print(made); made.gaps; made.html("audit.html"); made.markdown("audit.md")

The layers are those of Mökander, Schuett, Kirk and Floridi, "Auditing large language models: a
three-layered approach" (AI and Ethics 4, 2024, online 2023, doi:10.1007/s43681-023-00289-2):
governance audits of those who provide models, audits of models, audits of applications. What
Onrecord makes is the evidence for such an audit, and no audit in their sense: that asks for people
who did not build what they look at.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from onrecord.calling import Operation
from onrecord.errors import UsageError
from onrecord.evaluation.audit import (
    application_findings,
    governance,
    model_findings,
    project_findings,
)
from onrecord.evaluation.audit.answers import FILE, Answers, template
from onrecord.evaluation.audit.findings import Audit, layer
from onrecord.evaluation.audit.gathering import Facts, gathered
from onrecord.evaluation.audit.providers import IN_PROCESS, OURS, Known, is_wrapper, known_of
from onrecord.prompts.library import project
from onrecord.records.store import Store
from onrecord.settings import Settings


@Operation
async def audit(
    store: Store | None = None,
    answers: Answers | str | Path | None = None,
    *,
    since_ns: int | None = None,
) -> Audit:
    """Gather what is known of providers, models and applications, and name what is not.

    `store` (default: the project's) holds the calls; `answers` are what people state, a value or
    the path of a file (default: `audit.toml` in the project's folder, where there is one).
    `since_ns`: only uses from then on, in nanoseconds since 1970; experiments count whenever they
    were made. Nobody is asked over a network, and nothing is called.

    Raises UsageError for answers that cannot be read, SettingsError, StorageError.
    """
    if since_ns is not None and (isinstance(since_ns, bool) or not isinstance(since_ns, int)):
        raise UsageError(
            f"since_ns={since_ns!r} is no point in time",
            cure='`onrecord.records.query.moment("30d")` gives one.',
        )
    root = project()
    settings = Settings.load()
    given = await asyncio.to_thread(_answers, answers, root)
    facts = await asyncio.to_thread(_gathered, store, settings, since_ns, given)
    newest = {each.name: each for each in reversed(facts.models) if not is_wrapper(each.name)}
    known: dict[str, Known] = {}
    for name, calls in newest.items():
        known[name] = await known_of(name, calls.version, settings)
    return _made(facts, given, known, root.resolve().name)


def questions_of(store: Store | None = None) -> str:
    """An `audit.toml` without answers, for the providers and applications on record.

    Raises SettingsError, StorageError.
    """
    facts = _gathered(store, Settings.load(), None, Answers())
    providers = [
        (name, name not in IN_PROCESS)
        for name in governance.by_provider(facts.models)
        if name not in OURS
    ]
    return template(providers, [each.name for each in facts.applications])


def place_of_answers() -> Path:
    """Where the answers of the project are looked for."""
    return project() / FILE


def _answers(given: Answers | str | Path | None, root: Path) -> Answers:
    if isinstance(given, Answers):
        return given
    if given is not None:
        return Answers.read(given)
    place = root / FILE
    return Answers.read(place) if place.exists() else Answers()


def _gathered(
    store: Store | None, settings: Settings, since_ns: int | None, answers: Answers
) -> Facts:
    """Who only looks makes no folder: without a place for records there are none."""
    if store is not None or not (settings.store or settings.home.exists()):
        return gathered(store, settings, since_ns, answers)
    opened = Store.open(settings)
    try:
        return gathered(opened, settings, since_ns, answers)
    finally:
        opened.close()


def _made(facts: Facts, answers: Answers, known: dict[str, Known], name: str) -> Audit:
    from onrecord import __version__

    layers = (
        layer(
            "governance",
            "Providers and governance",
            _GOVERNANCE,
            governance.sections(facts, answers),
        ),
        layer("models", "Models", _MODELS, model_findings.sections(facts, known)),
        layer(
            "applications",
            "Applications",
            _APPLICATIONS,
            [
                project_findings.section(facts, answers),
                *application_findings.sections(facts, answers),
            ],
        ),
    )
    return Audit(
        project=name,
        at_ns=time.time_ns(),
        since_ns=facts.since_ns,
        layers=layers,
        version=__version__,
    )


_GOVERNANCE = "Who answers for the applications, and for the models that they use."
_MODELS = "Every model on record: what is known of it, and how it was evaluated."
_APPLICATIONS = "Every application on record: its use, what it may do, its evaluation, its risks."
