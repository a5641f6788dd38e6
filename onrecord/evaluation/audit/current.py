"""Whether what was evaluated is what runs now: an application, and all that it calls."""

from __future__ import annotations

from onrecord.evaluation.audit.evaluated import Experiment
from onrecord.evaluation.audit.gathering import Application, newest
from onrecord.evaluation.audit.providers import is_wrapper
from onrecord.evaluation.audit.wording import short


def evaluation_of(app: Application) -> Experiment | None:
    """The newest experiment of the version that runs now, else of any; a finished one first."""
    now = app.versions[0].version if app.versions else None

    def rank(each: Experiment) -> tuple[bool, bool, int]:
        return (*app.part, now) in each.answered, each.state == "done", each.started_ns

    return max(app.experiments, key=rank, default=None)


def differences(app: Application, experiment: Experiment) -> list[str]:
    """In what the version that runs now is another than the one that was evaluated, in words.

    None for an application that nobody has used: what was evaluated is all there is.
    """
    if not app.versions:
        return []
    told = []
    now = app.versions[0]
    tried = experiment.in_versions(app.part)
    if now.version not in tried:
        told.append(_other(f"{app.kind} {app.name}", now.version, tried))
    for each in newest(app.of_kind("step", "tool", "model", "embed")):
        if is_wrapper(each.name):
            continue
        tried = experiment.in_versions(each.part)
        if not tried:
            told.append(f"{each.kind} {each.name} is called now, and was not in the experiment")
        elif each.version not in tried:
            told.append(_other(f"{each.kind} {each.name}", each.version, tried))
    return told


def _other(what: str, now: str, tried: frozenset[str]) -> str:
    was = ", ".join(short(each) or "none" for each in sorted(tried)[:3])
    return f"{what}: version {short(now) or 'none'} runs, {was} was evaluated"
