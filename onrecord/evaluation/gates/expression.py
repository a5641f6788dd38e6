"""The expression of a gate, read: what is wrong with it is said before anything is asked."""

from __future__ import annotations

import ast
import difflib
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from onrecord.errors import UsageError
from onrecord.evaluation.scoring import FACTS
from onrecord.records.views.wording import shortened


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a gate: as it was written, and where it begins."""

    said: str
    column: int

    def error(self, what: str, cure: str = "") -> UsageError:
        """What is wrong with it."""
        return UsageError(
            f"`{self.said}` {what}", where=f"column {self.column} of the gate", cure=cure or _LIKE
        )

    def parts(self) -> Iterator[Part]:
        """It, and all that is inside of it."""
        yield self
        for value in vars(self).values():
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, Part):
                    yield from each.parts()


@dataclass(frozen=True)
class Number(Part):
    """A number as it stands there."""

    value: float


@dataclass(frozen=True)
class Fact(Part):
    """What is known of the whole experiment: `p95`."""

    name: str


@dataclass(frozen=True)
class Measured(Part):
    """The mean of a measure."""

    name: str


@dataclass(frozen=True)
class Detail(Part):
    """What else is known of a measure: `low` and `high` of its interval, its `errors`."""

    which: str
    of: Measured


@dataclass(frozen=True)
class Calculated(Part):
    """Two numbers together."""

    by: Callable[[float, float], float]
    left: Part
    right: Part


@dataclass(frozen=True)
class Truth(Part):
    """`True`, or `False`."""

    value: bool


@dataclass(frozen=True)
class Several(Part):
    """`and`, which needs each of them, or `or`."""

    each: tuple[Part, ...]
    needs_all: bool


@dataclass(frozen=True)
class Denied(Part):
    """`not`."""

    denied: Part


@dataclass(frozen=True)
class Compared(Part):
    """Numbers, and how each is compared with the next."""

    sides: tuple[Part, ...]
    tests: tuple[Callable[[float, float], bool], ...]


@dataclass(frozen=True)
class Changed(Part):
    """`worse(baseline, …)`, and the other two: of these measures, else of all that scorers gave."""

    word: str
    measures: tuple[Measured, ...]
    margin: Part | None


def parsed(text: str) -> Part:
    """The parts of an expression. Raises UsageError, with the column, for one that is no gate,
    whatever the measures are called."""
    if len(text) > _LONGEST:
        raise UsageError(f"a gate has {_LONGEST:,} characters at most, not {len(text):,}")
    try:
        tree = ast.parse(text, mode="eval").body
        if _depth(tree) > _DEEPEST:
            raise ValueError("it is nested too deeply")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = getattr(error, "offset", None)
        raise UsageError(
            f"the gate cannot be read: {getattr(error, 'msg', error)}",
            where=f"column {at} of `{text}`" if at else text,
            cure=_LIKE,
        ) from None
    return _Reading(text).truth(tree)


def no_measure(part: Measured, names: Sequence[str], known: str) -> UsageError:
    """That there is no measure of this name, with the one that may be meant."""
    close = difflib.get_close_matches(part.name, [*names, *FACTS], 1)
    guess = f"Did you mean '{close[0]}'? " if close else ""
    return part.error("is no measure", f"{guess}{known} {', '.join([*names, *FACTS])}.")


def not_comparable(part: Measured, comparable: Sequence[str]) -> UsageError:
    """That a measure is no mean over trials in both reports, with those that are."""
    return part.error(
        "cannot be compared",
        "Both reports have to have it, as a mean over trials: "
        f"{', '.join(comparable) or 'they share none'}.",
    )


class _Reading:
    """Python's own tree of an expression, as the parts of a gate."""

    def __init__(self, text: str) -> None:
        self._text = text

    def truth(self, node: ast.expr) -> Part:
        """What holds or does not."""
        at = self._place(node)
        match node:
            case ast.BoolOp(op, values):
                return Several(tuple(map(self.truth, values)), isinstance(op, ast.And), **at)
            case ast.UnaryOp(ast.Not(), operand):
                return Denied(self.truth(operand), **at)
            case ast.Compare(left, operators, others):
                sides = tuple(map(self._number, (left, *others)))
                tests = tuple(
                    _COMPARISONS[type(op)] for op in operators if type(op) in _COMPARISONS
                )
                if len(tests) < len(operators):
                    raise Part(**at).error("compares in a way that gates do not")
                return Compared(sides, tests, **at)
            case ast.Call(ast.Name(word), arguments, keywords) if word in VERDICTS:
                return self._changed(word, arguments, keywords, Part(**at))
            case ast.Constant(bool(value)):
                return Truth(value, **at)
        raise Part(**at).error("is nothing that holds or does not")

    def _number(self, node: ast.expr) -> Part:
        at = self._place(node)
        match node:
            case ast.Constant(value) if isinstance(value, int | float):
                return Number(_float(value), **at)
            case ast.UnaryOp(ast.USub(), operand):
                negated = self._number(operand)
                if isinstance(negated, Number):
                    return Number(-negated.value, **at)
                return Calculated(operator.sub, Number(0.0, **at), negated, **at)
            case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC:
                by = _ARITHMETIC[type(op)]
                return Calculated(by, self._number(left), self._number(right), **at)
            case ast.Call(ast.Name("low" | "high" | "errors" as which), [measure], []):
                return Detail(which, self._measured(measure), **at)
            case ast.Name(name) if name in FACTS:
                return Fact(name, **at)
            case ast.Name() | ast.Attribute() | ast.Constant(str()):
                return self._measured(node)
        raise Part(**at).error("is no number that a gate knows")

    def _measured(self, node: ast.expr) -> Measured:
        return Measured(self._name(node), **self._place(node))

    def _name(self, node: ast.expr) -> str:
        """The name of a measure; a dot is part of it."""
        match node:
            case ast.Name(name) | ast.Constant(str(name)) if name not in _NO_MEASURES:
                return name
            case ast.Attribute(value, name):
                return f"{self._name(value)}.{name}"
        raise Part(**self._place(node)).error("is no name of a measure")

    def _changed(
        self, word: str, arguments: list[ast.expr], keywords: list[ast.keyword], whole: Part
    ) -> Changed:
        match arguments:
            case [ast.Name("baseline"), *named]:
                pass
            case _:
                raise whole.error("does not name the baseline", f"Write {word}(baseline).")
        margin = None
        for keyword in keywords:
            if keyword.arg != "margin":
                raise whole.error(f"has no '{keyword.arg}'", "It takes margin=.")
            margin = self._number(keyword.value)
            if isinstance(margin, Number) and margin.value <= 0:
                raise margin.error("is no margin", "It is above 0, in the unit of the measure.")
        measures = tuple(map(self._measured, named))
        return Changed(word, measures, margin, said=whole.said, column=whole.column)

    def _place(self, node: ast.expr) -> dict[str, Any]:
        said = ast.get_source_segment(self._text, node) or ast.unparse(node)
        before = self._text.encode()[: node.col_offset].decode()  # Python counts bytes
        return {"said": shortened(said, 120), "column": len(before) + 1}


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _depth(tree: ast.expr) -> int:
    """How deep it is nested; walked level by level, for it may be deeper than Python recurses."""
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        depth += 1
        level = [inner for each in level for inner in ast.iter_child_nodes(each)]
    return depth


VERDICTS = ("worse", "better", "equivalent")
_NO_MEASURES = {*FACTS, "baseline"}
_LIKE = "A gate looks like `f1 >= 0.8 and better(baseline, f1)`."
_LONGEST, _DEEPEST = 2_000, 100
_COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
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
