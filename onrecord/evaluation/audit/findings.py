"""The values of an audit: findings, each with its evidence, in sections, in three layers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from onrecord.records import whole_file

State = Literal["seen", "stated", "gap"]
STATES: dict[State, str] = {"seen": "on record", "stated": "stated", "gap": "gap"}
"""How the states are said. What is on record was seen; what is stated, somebody wrote down and
nobody checked; a gap is what is not known, not done, or seen to be missing."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One question and what answers it.

    `says` is the answer in a sentence, `details` more lines of it. `evidence` names where it is
    from: a run, an experiment, a setting, a file. `cure` is what would close a gap. `layer` and
    `subject` are those of its section.
    """

    question: str
    state: State
    says: str
    details: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    cure: str = ""
    layer: str = ""
    subject: str = ""


class Section(msgspec.Struct, frozen=True):
    """The findings on one subject: a provider, a model, an application."""

    subject: str
    findings: tuple[Finding, ...]
    about: str = ""

    def of(self, state: State) -> tuple[Finding, ...]:
        """The findings in one state."""
        return tuple(each for each in self.findings if each.state == state)


class Layer(msgspec.Struct, frozen=True):
    """One of the three: what it asks, and the sections that answer."""

    name: str
    title: str
    scope: str
    sections: tuple[Section, ...]


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """What a project holds on its providers, models and applications, and what it does not.

    `project` is the folder's name. `at_ns`: when it was made; `since_ns`: from when on uses count,
    None for all; nanoseconds since 1970.
    """

    project: str
    at_ns: int
    layers: tuple[Layer, ...]
    since_ns: int | None = None
    version: str = ""

    @property
    def sections(self) -> tuple[Section, ...]:
        """The sections of all layers."""
        return tuple(section for layer in self.layers for section in layer.sections)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all layers."""
        return tuple(finding for section in self.sections for finding in section.findings)

    @property
    def gaps(self) -> tuple[Finding, ...]:
        """What is not known, not done, or seen to be missing."""
        return tuple(each for each in self.findings if each.state == "gap")

    def count(self, state: State) -> int:
        """How many findings are in a state."""
        return sum(each.state == state for each in self.findings)

    def document(self) -> dict[str, Any]:
        """It as plain JSON values: counts first, then the layers."""
        counts = {STATES[state].replace(" ", "_"): self.count(state) for state in STATES}
        return {
            "project": self.project,
            "at_ns": self.at_ns,
            "since_ns": self.since_ns,
            "onrecord": self.version,
            **counts,
            "layers": msgspec.to_builtins(self.layers),
        }

    def markdown(self, path: str | Path | None = None) -> str:
        """It as Markdown; written to `path`, too, where one is given. Raises StorageError."""
        from onrecord.evaluation.audit.markdown import markdown

        text = markdown(self)
        if path is not None:
            whole_file.save(path, text, "the audit")
        return text

    def html(self, path: str | Path) -> Path:
        """Write it as one page that loads and runs nothing. Raises StorageError."""
        from onrecord.evaluation.audit.page import page

        return whole_file.save(path, page(self), "the audit")

    def __str__(self) -> str:
        from onrecord.evaluation.audit.screen import text

        return text(self)

    def _repr_html_(self) -> str:
        from onrecord.evaluation.audit.page import section

        return section(self)


def seen(question: str, says: str, *evidence: str, details: Iterable[str] = ()) -> Finding:
    """Something that is on record, and where."""
    return Finding(
        question=question, state="seen", says=says, evidence=evidence, details=tuple(details)
    )


def stated(question: str, says: str, *evidence: str) -> Finding:
    """Something that somebody wrote down, and where."""
    return Finding(question=question, state="stated", says=says, evidence=evidence)


def gap(
    question: str, says: str, cure: str = "", *evidence: str, details: Iterable[str] = ()
) -> Finding:
    """Something that is missing, what would close it, and where that was seen."""
    return Finding(
        question=question,
        state="gap",
        says=says,
        cure=cure,
        evidence=evidence,
        details=tuple(details),
    )


def layer(name: str, title: str, scope: str, sections: Iterable[Section]) -> Layer:
    """A layer whose findings know where they stand."""
    return Layer(name, title, scope, tuple(_named(name, section) for section in sections))


def _named(layer: str, section: Section) -> Section:
    findings = tuple(
        msgspec.structs.replace(each, layer=layer, subject=section.subject)
        for each in section.findings
    )
    return msgspec.structs.replace(section, findings=findings)
