"""What is to be said of changes besides their table, each thing once and not once a measure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from onrecord.evaluation.experiments.changes import Change, Changes, Side
from onrecord.evaluation.experiments.report import ERROR
from onrecord.evaluation.reports.wording import p_value
from onrecord.records.views.wording import flat, shortened


def side(said: Side) -> str:
    """Which report one was: its application and version, when, its run, its file."""
    version = f" {said.application.version[:12]}" if said.application.version else ""
    told = [f"{said.application.name}{version}".strip() or "an application without a name"]
    if said.dataset.name or said.dataset.version:
        told[0] += f" on {said.dataset.name or 'cases'} {said.dataset.version[:12]}".rstrip()
    if said.started_ns:
        when = datetime.datetime.fromtimestamp(said.started_ns / 1e9)
        told.append(f"{when:%Y-%m-%d %H:%M}")
    if said.run:
        told.append(f"run {said.run}")
    if said.file:
        # Of a long path the end tells which it is.
        file = said.file if len(said.file) <= _PATH else f"…{said.file[-_PATH:]}"
        told.append(f"file {flat(file)}")
    return " · ".join(told)


def verdict(change: Change) -> str:
    """Its verdict in a word or three, as it stands in a table: what it rests on is said below."""
    if change.is_lonely:
        return f"{change.verdict} by itself"
    return "no case differs" if change.is_nothing else change.verdict


def said(changes: Changes) -> list[str]:
    """All that is to be said: that both are one report, what the cases cannot tell, what is sure
    by itself only, what makes measures hard to compare."""
    found = list(changes.measures.values())
    told = []
    if changes.is_same:
        told.append("this is the same report twice: nothing can have changed")
    told += undecided([each for each in found if each.is_undecided], changes.cases)
    told += nothing([each for each in found if each.is_nothing and each.name != ERROR])
    told += _lonely(changes)
    return [*told, *notes(changes)]


def notes(changes: Changes) -> list[str]:
    """What makes measures hard to compare: pairs that were lost, other rulers."""
    by: dict[str, list[str]] = {}
    for name, several in changes.notes.items():
        for each in several:
            by.setdefault(each, []).append(name)
    return [f"{names(several)}: {each}" for each, several in by.items()]


def flips(changes: Changes) -> list[tuple[str, str, tuple[str, ...]]]:
    """Measures, "broke" or "mended", and the cases: measures of one kind often flip together."""
    by: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for change in changes.measures.values():
        for word, cases in (("broke", change.broke), ("mended", change.mended)):
            if cases:
                by.setdefault((word, cases), []).append(change.name)
    return [(names(several), word, cases) for (word, cases), several in by.items()]


def names(several: Sequence[str], most: int = 6) -> str:
    """Names of measures, the first ones."""
    more = f" and {len(several) - most:,} more" if len(several) > most else ""
    return ", ".join(shortened(each, 40) for each in several[:most]) + more


def undecided(found: Sequence[Change], cases: int) -> Iterable[str]:
    """That so many cases cannot tell of these measures, and how many would."""
    if not found:
        return
    told = f"these {cases:,} cases cannot tell ({len(found):,})" if cases > 1 else "one case cannot"
    if enough := [each for each in found if each.needed is not None]:
        each = [f"{shortened(one.name, 40)} {one.needed:,}" for one in enough]
        yield f"{told}; about so many would: {', '.join(each)}"
    if without := [each.name for each in found if each.needed is None]:
        yield f"{told}, nor how many would: {names(without)}"


def nothing(found: Sequence[Change]) -> Iterable[str]:
    """That these measures are the same on every case, and what that takes to mean something."""
    if found:
        several = names([each.name for each in found])
        yield (
            f"not different on a single case ({len(found):,}): {several}; only with a margin "
            "(--margin 0.02) can that be called equivalent, of some 150 cases or more"
        )


def _lonely(changes: Changes) -> Iterable[str]:
    found = [each for each in changes.measures.values() if each.is_lonely]
    if found:
        looked_at = sum(name != ERROR for name in changes.measures)
        told = ", ".join(
            f"{shortened(each.name, 40)} {each.verdict} (Holm: p {p_value(each.adjusted)})"
            for each in found
        )
        yield f"by itself only, not sure among {looked_at} measures: {told}"


_PATH = 80
