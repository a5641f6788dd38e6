"""An audit as Markdown. Names and answers from anywhere are shown as they are: none of them becomes
a link, a heading or HTML."""

from __future__ import annotations

from collections.abc import Iterator

from onrecord.evaluation.audit.findings import STATES, Audit, Finding, Layer, Section
from onrecord.evaluation.audit.said import ADDRESS, LEGEND, LIMITS, SOURCE, facts, heading
from onrecord.evaluation.reports.markdown import plain


def markdown(audit: Audit) -> str:
    """The whole audit: an overview, then a table for each subject of each layer."""
    return "\n".join(_lines(audit)).rstrip() + "\n"


def _lines(audit: Audit) -> Iterator[str]:
    yield from (f"# {_plain(heading(audit))}", "", _plain(facts(audit)), "")
    yield from (f"- **{word}**: {meaning}" for word, meaning in LEGEND)
    yield from ("", "| layer | subject | on record | stated | gaps |", "|---|---|---:|---:|---:|")
    for layer in audit.layers:
        for section in layer.sections:
            counts = " | ".join(f"{len(section.of(state)):,}" for state in STATES)
            yield f"| {layer.title} | {_plain(section.subject)} | {counts} |"
    for number, layer in enumerate(audit.layers, 1):
        yield from _layer(number, layer)
    yield from ("", "---", "", LIMITS, "", f"The layers are those of {SOURCE}: <{ADDRESS}>.")
    if audit.version:
        yield from ("", f"Made by Onrecord {audit.version}.")


def _layer(number: int, layer: Layer) -> Iterator[str]:
    yield from ("", f"## {number} {layer.title}", "", layer.scope)
    for section in layer.sections:
        yield from _section(section)


def _section(section: Section) -> Iterator[str]:
    about = f" ({section.about})" if section.about else ""
    yield from ("", f"### {_plain(section.subject)}{about}", "")
    yield from ("| | question | answer | evidence |", "|---|---|---|---|")
    for each in section.findings:
        state = "**gap**" if each.state == "gap" else STATES[each.state]
        evidence = "<br>".join(map(_plain, each.evidence))
        yield f"| {state} | {_plain(each.question)} | {_answer(each)} | {evidence} |"


def _answer(finding: Finding) -> str:
    told = [_plain(finding.says), *(f"· {_plain(each)}" for each in finding.details)]
    if finding.cure:
        told.append(f"→ {_plain(finding.cure)}")
    return "<br>".join(told)


def _plain(text: str) -> str:
    """A text that Markdown shows as it is, however long an answer may be."""
    return plain(text, 2000)
