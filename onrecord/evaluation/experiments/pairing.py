"""Which cases, and which trials, of two reports belong together."""

from __future__ import annotations

from onrecord.errors import UsageError
from onrecord.evaluation.experiments.report import Report
from onrecord.evaluation.trial import Trial
from onrecord.records.views.wording import shortened


def matched(
    before: Report, after: Report, *, intersection: bool = False
) -> list[tuple[Trial, Trial]]:
    """The trials of one case and repeat in two reports, paired, in the order of `before`.

    With `intersection` those that only one of them has are left out. Raises UsageError as `compare`
    does.
    """
    shared = shared_cases(before, after)
    if not intersection:
        check_same(before, after, shared)
        for one, other in ((before, after), (after, before)):
            places = {(each.case, each.repeat) for each in other}
            lacking = [each for each in one if (each.case, each.repeat) not in places]
            if lacking:
                raise UsageError(
                    f"{len(lacking):,} trials are in one report only, such as repeat "
                    f"{lacking[0].repeat + 1} of case {_quoted(lacking[0].case)}",
                    cure="Compare those that both have: intersection=True.",
                )
    new = {(each.case, each.repeat): each for each in after}
    pairs = [(each, new.get((each.case, each.repeat))) for each in before]
    return [(one, other) for one, other in pairs if other is not None]


def shared_cases(before: Report, after: Report) -> set[str]:
    """The ids of the cases that both have. Raises UsageError where there are none, or one asked or
    expected something else."""
    cases = {each.case: each for each in before}
    shared = set()
    for trial in after:
        if (other := cases.get(trial.case)) is None:
            continue
        for word, one, two in (
            ("asks", other.input, trial.input),
            ("expects", other.expected, trial.expected),
        ):
            if one != two:
                raise UsageError(
                    f"case {_quoted(trial.case)} {word} something else in one report than in the "
                    "other",
                    cure="Compare experiments on the same dataset, or give changed cases other "
                    "ids.",
                )
        shared.add(trial.case)
    if not shared:
        raise UsageError(
            "the two reports have no case in common",
            cure="Compare experiments on the same dataset: cases are paired by their ids.",
        )
    return shared


def check_same(before: Report, after: Report, shared: set[str]) -> None:
    """Raises UsageError where one of them has cases besides those that are shared."""
    for report, which in ((before, "before"), (after, "after")):
        others = list(dict.fromkeys(each.case for each in report if each.case not in shared))
        if others:
            more = f" and {len(others) - 3:,} more" if len(others) > 3 else ""
            raise UsageError(
                f"only the report {which} has {', '.join(map(_quoted, others[:3]))}{more}: the two "
                f"are not of the same cases ({len(shared):,} shared)",
                cure="Compare those they share: intersection=True, or --intersection.",
            )


def _quoted(case: str) -> str:
    return repr(shortened(case, 60))
