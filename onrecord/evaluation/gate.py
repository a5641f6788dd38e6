"""Gates: whether a report is good enough, as one expression, with the reasons in words.

    f1 >= 0.8 and (better(baseline, f1) or equivalent(baseline, f1, margin=0.02))
    low(exact_match) > 0.7 and error == 0 and p95 < 2 and cost <= 1.50

    NAME                  a measure's mean, quoted where it has blanks; `error`: the failures' rate
    low(NAME)             the lower end of its interval; high(NAME) the upper one
    errors(NAME)          of how many trials its scorer failed
    p50, p95              seconds within which so many trials were answered
    cost, cases, trials   US dollars; how many
    worse(baseline, NAME …, margin=0.02)   some measure (of those named, else any of a
                          scorer) is worse than in another report, not equivalent in the margin
    better(…), equivalent(…)               all of them are; equivalent needs a margin

`not worse(baseline)` holds also where the cases are too few to tell, and the reasons then say so:
the strict form is `better(baseline, NAME) or equivalent(baseline, NAME, margin=…)`.

A measure whose scorer failed on some trials is not known: those that are left may be the easy ones.
A gate that names `errors(NAME)` says itself how many it takes: `errors(f1) <= 2 and f1 > 0.8`.

The language is Python's comparisons, `and`, `or`, `not`, numbers and + - * /. Nothing else is run:
no attributes, no other functions. What cannot be known (a measure without a value, an unknown cost,
the interval of a single case) passes no gate. A measure wins over a word of the table that has its
name.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.experiments.changes import Change, compare, report_of
from onrecord.evaluation.experiments.report import ERROR, Report
from onrecord.evaluation.experiments.stored import run_of
from onrecord.records.call import Call, call
from onrecord.records.views.wording import shortened


class Verdict(msgspec.Struct, frozen=True):
    """Whether a report passed a gate, and what each test in it came to."""

    gate: str
    passed: bool
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.passed


def gate(
    expression: str,
    report: Report | str | Path,
    baseline: Report | str | Path | None = None,
    *,
    intersection: bool = False,
) -> Verdict:
    """Put a report to the test; it and the baseline also by a run's id, or a path.

    Raises UsageError, with the column, for an expression that cannot be read, that names no
    measure, or that asks for a baseline where none was given; where the baseline is of other cases,
    unless those they share are meant (`intersection`)."""
    if not isinstance(expression, str):
        raise UsageError(
            f"{expression!r:.80} is no gate",
            cure='The expression comes first: gate("f1 >= 0.8", report).',
        )
    expression = expression.strip()
    tree = _parsed(expression)
    theirs = None if baseline is None else report_of(baseline)
    deciding = _Deciding(expression, report_of(report), theirs, intersection)
    passed = deciding.decide(tree)
    return Verdict(expression, passed, tuple(dict.fromkeys(deciding.reasons)))


def check(expression: str, *, baseline: bool = False) -> None:
    """Raises UsageError for a gate that cannot be read, or that asks for a baseline where there is
    none: before anything is spent on an experiment. Names of measures are only known after it."""
    tree = _parsed(expression.strip())
    if not baseline and any(
        isinstance(each, ast.Name) and each.id == "baseline" for each in ast.walk(tree)
    ):
        raise _without_baseline(expression)


def keep(verdict: Verdict, report: Report) -> None:
    """Put a verdict on record: a score named "gate" in the experiment's run, beside its trials,
    with `gate`, `passed` and `reasons`. Nothing where the experiment is not on record."""
    if not report.run:
        return
    run = run_of(report.run)
    this = call("score", RECORDED, {"gate": verdict.gate})
    if isinstance(this, Call):
        this.start = msgspec.structs.replace(this.start, run=run, parent=report.run)
    with this:
        this.output = verdict


def _without_baseline(expression: str) -> UsageError:
    return UsageError(
        "the gate speaks of a baseline, and none was given",
        where=expression,
        cure="Name one with --baseline: a run of `onrecord experiments list`, or a file.",
    )


class _Unknown(Exception):
    """A value that nobody knows: no gate is passed on it."""


class _Deciding:
    """One expression over one report."""

    def __init__(
        self, text: str, report: Report, baseline: Report | None, intersection: bool
    ) -> None:
        self.reasons: list[str] = []
        self._text = text
        self._report = report
        self._baseline = baseline
        self._intersection = intersection
        self._unknown: set[ast.expr] = set()  # verdicts that could not be known
        self._undecided: dict[ast.expr, list[Change]] = {}  # what was inconclusive in each
        self._forgiven: set[str] = set()  # measures whose errors the gate speaks of itself

    def decide(self, tree: ast.expr) -> bool:
        """Whether the whole of it holds."""
        for each in ast.walk(tree):
            match each:
                case ast.Call(ast.Name("errors"), [measure], []):
                    self._forgiven.add(self._name(measure))
        return self.truth(tree)

    def truth(self, node: ast.expr) -> bool:
        """Whether it holds. Both sides of `and` and `or` are looked at, so that all reasons are
        told."""
        match node:
            case ast.BoolOp(op, values):
                held = [self.truth(each) for each in values]
                return all(held) if isinstance(op, ast.And) else any(held)
            case ast.UnaryOp(ast.Not(), operand):
                holds, unknown = self.truth(operand), self._is_unknown(operand)
                if not holds and not unknown:
                    self._tell_undecided(node, operand)
                return not holds and not unknown
            case ast.Compare(left, operators, comparators):
                return self._compared(node, left, operators, comparators)
            case ast.Call(ast.Name(name)) if name in _VERDICTS:
                return self._changed(node, name)
            case ast.Constant(bool(value)):
                return value
        raise self._error(node, "is nothing that holds or does not")

    def _is_unknown(self, node: ast.expr) -> bool:
        """Whether what is denied could not be known: then its denial is not known either."""
        try:
            for each in ast.walk(node):
                if isinstance(each, ast.Compare):
                    for side in (each.left, *each.comparators):
                        self._number(side)
                if isinstance(each, ast.keyword):
                    self._number(each.value)
        except _Unknown:
            return True
        return any(each in self._unknown for each in ast.walk(node))

    def _tell_undecided(self, node: ast.expr, denied: ast.expr) -> None:
        """Of a denial that holds only because the cases cannot tell."""
        for change in self._undecided.get(denied, ()):
            would = "" if change.needed is None else f" (about {change.needed:,} would)"
            self.reasons.append(
                f"{self._words(node)}: passed, because these {change.cases:,} cases cannot tell"
                f"{would}: {change.name}"
            )

    def _compared(
        self,
        node: ast.Compare,
        left: ast.expr,
        operators: list[ast.cmpop],
        comparators: list[ast.expr],
    ) -> bool:
        sides = [left, *comparators]
        try:
            values = [self._number(each) for each in sides]
        except _Unknown as unknown:
            self.reasons.append(f"{self._words(node)}: {unknown}")
            return False
        held = True
        for test, first, second in zip(operators, values, values[1:], strict=False):
            compares = _COMPARISONS.get(type(test))
            if compares is None:
                raise self._error(node, "compares in a way that gates do not")
            held = held and compares(first, second)
        said = ", ".join(
            f"{self._words(each)} is {value:.4g}"
            for each, value in zip(sides, values, strict=True)
            if not isinstance(each, ast.Constant)
        )
        why = f" ({said})" if said else ""
        self.reasons.append(f"{self._words(node)}: {'holds' if held else 'does not hold'}{why}")
        return held

    def _number(self, node: ast.expr) -> float:
        """What it comes to. Raises _Unknown, UsageError."""
        try:
            value = self._value(node)
        except (ZeroDivisionError, OverflowError):
            value = math.nan
        if not math.isfinite(value):
            raise _Unknown(
                f"`{self._words(node)}` is no number: it divides by zero, or is too large"
            )
        return value

    def _value(self, node: ast.expr) -> float:
        match node:
            case ast.Constant(value) if isinstance(value, int | float):
                return float(value)
            case ast.UnaryOp(ast.USub(), operand):
                return -self._number(operand)
            case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC:
                return _ARITHMETIC[type(op)](self._number(left), self._number(right))
            case ast.Call(ast.Name("low" | "high" as end), [measure], []):
                return self._end(measure, end)
            case ast.Call(ast.Name("errors"), [measure], []):
                name = self._name(measure)
                self._found(measure, name)
                return float(self._report.measures[name].errors)
            case ast.Name() | ast.Attribute() | ast.Constant(str()):
                return self._measured(node)
        raise self._error(node, "is no number that a gate knows")

    def _end(self, node: ast.expr, end: str) -> float:
        name = self._name(node)
        self._measure(node, name)
        interval = self._report.measure(name).interval
        if interval is None or interval.is_a_point:
            raise _Unknown(f"'{name}' has no interval")
        return interval.low if end == "low" else interval.high

    def _measured(self, node: ast.expr) -> float:
        name = self._name(node)
        facts: Mapping[str, Callable[[Report], float | None]] = _FACTS
        if name not in self._report.measures and name in facts:
            value = facts[name](self._report)
        else:
            value = self._measure(node, name)
        if value is None:
            raise _Unknown(f"'{name}' is not known")
        return value

    def _measure(self, node: ast.expr, name: str) -> float | None:
        self._found(node, name)
        if unknown := self._not_scored(name):
            raise _Unknown(unknown)
        return self._report.measures[name].mean

    def _not_scored(self, name: str) -> str:
        """Why a measure is not known whose scorer failed, where the gate does not allow for it."""
        measure = self._report.measures[name]
        if not measure.errors or (name in self._forgiven and measure.count):
            return ""
        said = name if name.isidentifier() else f'"{name}"'
        allow = f"; `errors({said}) <= {measure.errors}` would allow it" if measure.count else ""
        return (
            f"'{name}' is not known: {measure.errors:,} of {len(self._report):,} could not be "
            f"scored{allow}"
        )

    def _found(self, node: ast.expr, name: str) -> None:
        measures = self._report.measures
        if name not in measures:
            close = difflib.get_close_matches(name, [*measures, *_FACTS], 1)
            guess = f"Did you mean '{close[0]}'? " if close else ""
            raise self._error(
                node, "is no measure", f"{guess}There are {', '.join([*measures, *_FACTS])}."
            )

    def _name(self, node: ast.expr) -> str:
        """The name of a measure; a dot is part of it."""
        match node:
            case ast.Name(name):
                return name
            case ast.Attribute(value, name):
                return f"{self._name(value)}.{name}"
            case ast.Constant(str(name)):
                return name
        raise self._error(node, "is no name of a measure")

    def _changed(self, node: ast.Call, word: str) -> bool:
        names = self._named(node, word)
        try:
            margin = self._margin(node, word)
        except _Unknown as unknown:
            self.reasons.append(f"{self._words(node)}: {unknown}")
            return False
        if self._baseline is None:
            raise _without_baseline(self._text)
        changes = compare(
            self._baseline, self._report, margin=margin, intersection=self._intersection
        )
        for name in names:
            if name not in changes.measures:
                raise self._error(
                    node,
                    f"names '{name}', which cannot be compared",
                    "Both reports have to have it, as a mean over trials: "
                    f"{', '.join(changes.measures) or 'they share none'}.",
                )
        known = True
        for name in names or [each for each in self._report.measures if each != ERROR]:
            if unknown_why := self._not_scored(name):
                self.reasons.append(f"{self._words(node)}: {unknown_why}")
                known = False
        if not known:
            self._unknown.add(node)
            return False
        looked_at = [changes.measures[each] for each in names] or [
            each for name, each in changes.measures.items() if name != ERROR
        ]
        if not looked_at:
            self.reasons.append(f"{self._words(node)}: the reports have no measure in common")
            return word == "worse"  # nothing shows that it is not
        for change in looked_at:
            notes = "".join(f"; {each}" for each in changes.notes.get(change.name, ()))
            self.reasons.append(f"{change.name}: {change}{notes}")
        self._undecided[node] = [each for each in looked_at if each.verdict == "inconclusive"]
        verdicts = [each.verdict for each in looked_at]
        return "worse" in verdicts if word == "worse" else all(each == word for each in verdicts)

    def _named(self, node: ast.Call, word: str) -> list[str]:
        """The measures that a comparison names."""
        match node.args:
            case [ast.Name("baseline"), *rest]:
                return [self._name(each) for each in rest]
        raise self._error(node, "does not name the baseline", f"Write {word}(baseline).")

    def _margin(self, node: ast.Call, word: str) -> float | None:
        margin = None
        for keyword in node.keywords:
            if keyword.arg != "margin":
                raise self._error(node, f"has no '{keyword.arg}'", "It takes margin=.")
            margin = self._number(keyword.value)
        if word == "equivalent" and margin is None:
            raise self._error(node, "needs a margin", "Write equivalent(baseline, margin=0.02).")
        return margin

    def _words(self, node: ast.expr) -> str:
        said = ast.get_source_segment(self._text, node) or ast.unparse(node)
        return shortened(said, 120)

    def _error(self, node: ast.expr, what: str, cure: str = "") -> UsageError:
        return UsageError(
            f"`{self._words(node)}` {what}",
            where=f"column {node.col_offset + 1} of the gate",
            cure=cure or _LIKE,
        )


def _parsed(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise UsageError(f"a gate has {_LONGEST:,} characters at most, not {len(text):,}")
    try:
        tree = ast.parse(text, mode="eval").body
        if _depth(tree) > _DEEPEST:
            raise ValueError("it is nested too deeply")
        return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = getattr(error, "offset", None)
        raise UsageError(
            f"the gate cannot be read: {getattr(error, 'msg', error)}",
            where=f"column {at} of `{text}`" if at else text,
            cure=_LIKE,
        ) from None


def _depth(tree: ast.expr) -> int:
    """How deep it is nested; walked level by level, for it may be deeper than Python recurses."""
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        depth += 1
        level = [inner for each in level for inner in ast.iter_child_nodes(each)]
    return depth


RECORDED = "gate"
"""What a verdict is called on record."""
_LIKE = "A gate looks like `f1 >= 0.8 and better(baseline, f1)`."
_LONGEST, _DEEPEST = 2_000, 100
_VERDICTS = ("worse", "better", "equivalent")
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FACTS: dict[str, Callable[[Report], float | None]] = {
    "p50": lambda report: report.latency(0.5),
    "p95": lambda report: report.latency(0.95),
    "cost": lambda report: None if report.cost is None else report.cost / 1e6,
    "cases": lambda report: report.cases,
    "trials": len,
}
