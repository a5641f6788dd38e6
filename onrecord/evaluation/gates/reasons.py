"""What a gate says of changes: each by itself where they are few, else what they have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onrecord.evaluation.experiments.changes import Change, Changes
from onrecord.evaluation.reports.changed import names, nothing, undecided

_FEW = 3
"""So many changes are told one by one."""


def of_changes(changes: Changes, looked_at: Sequence[Change]) -> list[str]:
    """What was found of some of the measures, and what makes them hard to compare."""
    if len(looked_at) > _FEW:
        return [*_together(changes, looked_at), *_notes(changes, looked_at)]
    return [
        f"{each.name}: {each}" + "".join(f"; {one}" for one in changes.notes.get(each.name, ()))
        for each in looked_at
    ]


def of_passing(denial: str, found: Sequence[Change]) -> Iterator[str]:
    """That a denial, as it was written, holds only because the cases cannot tell."""
    if not found:
        return
    first = found[0]
    cases = f"these {first.cases:,} cases" if first.cases > 1 else "one case"
    said = f"{denial}: passed, because {cases} cannot tell"
    if len(found) > 1:
        yield f"{said} ({len(found):,}): {names([each.name for each in found])}"
    else:
        would = "" if first.needed is None else f" (about {first.needed:,} would)"
        yield f"{said}{would}: {first.name}"


def _together(changes: Changes, found: Sequence[Change]) -> Iterator[str]:
    """One line for each verdict; what is worse is told one by one, for that is to be mended."""
    yield from (f"{each.name}: {each}" for each in found if each.verdict == "worse")
    for verdict in ("better", "equivalent"):
        if alike := [each.name for each in found if each.verdict == verdict]:
            yield f"{verdict} ({len(alike):,}): {names(alike)}"
    yield from undecided([each for each in found if each.is_undecided], changes.cases)
    yield from nothing([each for each in found if each.is_nothing])


def _notes(changes: Changes, found: Sequence[Change]) -> Iterator[str]:
    by: dict[str, list[str]] = {}
    for change in found:
        for each in changes.notes.get(change.name, ()):
            by.setdefault(each, []).append(change.name)
    yield from (f"{names(several)}: {each}" for each, several in by.items())
