"""An audit in a terminal: how much is known of each subject, and every gap with what closes it."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator

from onrecord.evaluation.audit.answers import FILE
from onrecord.evaluation.audit.findings import Audit, Finding, Section
from onrecord.evaluation.audit.said import facts, heading
from onrecord.evaluation.audit.wording import amount
from onrecord.records.views.wording import flat, shortened


def text(audit: Audit, width: int = 80) -> str:
    """The audit as lines of `width` characters: counts, then the gaps. The page has the rest."""
    return "\n".join(_lines(audit, max(width, 40)))


def _lines(audit: Audit, width: int) -> Iterator[str]:
    yield heading(audit)
    yield from textwrap.wrap(facts(audit), width)
    for number, layer in enumerate(audit.layers, 1):
        yield ""
        yield f"{number} {layer.title}"
        for section in layer.sections:
            yield from _section(section, width)
    if any(each.evidence[:1] and each.evidence[0].startswith(FILE) for each in audit.gaps):
        yield ""
        yield from textwrap.wrap(_WHERE, width)


def _section(section: Section, width: int) -> Iterator[str]:
    gaps = section.of("gap")
    counts = f"{len(section.findings) - len(gaps):,} answered, {amount(len(gaps), 'gap')}"
    name = shortened(section.subject, max(12, width - len(counts) - 6))
    yield f"  {name}: {counts}"
    for _, alike in itertools.groupby(gaps, key=lambda each: (each.says, each.cure, each.details)):
        yield from _gaps(list(alike), width)


def _gaps(alike: list[Finding], width: int) -> Iterator[str]:
    """Gaps that lack the same thing: what closes them is said once."""
    says, cure = flat(alike[0].says), flat(alike[0].cure)
    for each in alike:
        said = f" {says}" if len(alike) == 1 else ""
        yield from _wrapped(f"{flat(each.question)}{said}", width, "    ✗ ")
        for line in each.details:
            yield from _wrapped(flat(line), width, "        ")
    if len(alike) > 1:
        cure = f"{says[:1].upper()}{says[1:]}. {cure}"
    if cure:
        yield from _wrapped(cure, width, "      → ")


def _wrapped(text: str, width: int, first: str) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_on_hyphens=False,
    )


_WHERE = (
    f"What people answer stands in {FILE}; `onrecord audit --init` writes a new one with all "
    "questions."
)
