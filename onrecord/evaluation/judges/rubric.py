"""What a judge judges by: a question, criteria, and the verdicts that there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.trial import Score, Value

Scale = tuple[int, int] | Mapping[int, str]
"""The lowest and the highest whole number, or what each point means."""


class Criterion(msgspec.Struct, frozen=True):
    """One thing that is judged by itself."""

    name: str
    text: str


class Point(msgspec.Struct, frozen=True):
    """One verdict on a scale, and what it means; empty where nobody said."""

    value: int
    text: str = ""


class Rubric(msgspec.Struct, frozen=True):
    """What is asked, by which criteria (none: the question alone), on which scale (no points: pass
    or fail); `reference`: against the accepted answers."""

    question: str
    criteria: tuple[Criterion, ...] = ()
    points: tuple[Point, ...] = ()
    reference: bool = False

    @property
    def worst(self) -> float:
        """The lowest verdict that there is."""
        return float(self.points[0].value) if self.points else 0.0

    @property
    def form(self) -> type:
        """The type of the judge's answer: the reason before the verdict, for each criterion."""
        one = judged(tuple(each.value for each in self.points) or ("pass", "fail"))
        criteria = {each.name: one for each in self.criteria}
        return _object("Judgement", criteria) if criteria else one

    def scores(self, judged: Any, note: str = "") -> Score | dict[str, Score]:
        """A judge's answer (plain values) as scores: one, or one a criterion. `note` is put before
        the reasons."""
        if not self.criteria:
            return self._score(judged, note)
        return {each.name: self._score(judged[each.name], note) for each in self.criteria}

    def every(self, score: Score) -> Score | dict[str, Score]:
        """The same score for all that is judged."""
        return {each.name: score for each in self.criteria} or score

    def settled(self, right: bool, reason: str) -> Score | dict[str, Score]:
        """The best or the lowest verdict, where nobody has to be asked."""
        ends = [each.value for each in self.points]
        value: Value = (ends[-1] if right else ends[0]) if ends else right
        return self.every(Score(value, reason))

    def _score(self, judged: Any, note: str) -> Score:
        verdict = judged["verdict"]
        value = verdict if self.points else verdict == "pass"
        return Score(value, " ".join(filter(None, [note, judged["reason"].strip()])))


def judged(verdicts: Sequence[str | int]) -> type:
    """The type of a judge's answer: a reason, and one of these verdicts; "PASS", "Pass.", "4" and
    4.0 are taken for what they say."""
    from pydantic import BeforeValidator

    allowed: Any = tuple(verdicts)
    read = BeforeValidator(lambda said: _meant(said, verdicts))
    return _object("Judged", {"reason": str, "verdict": Annotated[Literal[allowed], read]})


def _object(name: str, fields: dict[str, Any]) -> type:
    """The type of an object with these keys, whatever they are called."""
    import typing_extensions

    # On Python 3.11 pydantic takes no other; what mypy knows of it has to stand in the source.
    made: Any = typing_extensions.TypedDict
    kind: type = made(name, fields)
    return kind


def _meant(said: Any, verdicts: Sequence[str | int]) -> Any:
    """The verdict that something can only mean; else it as it is, to be refused."""
    if isinstance(said, bool):
        # Of numbers it is none, though 1 in Python is True.
        return ("pass" if said else "fail") if "pass" in verdicts else str(said)
    if isinstance(said, str):
        bare = _AROUND.sub("", said).casefold()
        return next((each for each in verdicts if _is_said(bare, each)), said)
    return int(said) if isinstance(said, float) and said.is_integer() else said


def _is_said(bare: str, verdict: str | int) -> bool:
    return bare in (str(verdict), f"{verdict}.0") if isinstance(verdict, int) else bare == verdict


def rubric_of(
    question: str, criteria: Mapping[str, str] | None, scale: Scale | None, reference: bool
) -> Rubric:
    """What was asked for. Raises UsageError where nobody could judge by it."""
    question = question.strip()
    found = _criteria(criteria)
    if not question and not found:
        if not reference:
            raise UsageError(
                "a judge needs to know what it judges",
                cure='Ask it: on.judge("Is the answer polite?"), or give it a rubric.',
            )
        question = _SAME
    return Rubric(question, found, _points(scale), reference)


def _criteria(given: Mapping[str, str] | None) -> tuple[Criterion, ...]:
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise UsageError(
            f"a rubric is criteria by name, not {type(given).__name__}",
            cure='Write rubric={"polite": "It greets and thanks."}; one criterion alone is the '
            "question.",
        )
    if not given:
        raise UsageError("the rubric is empty", cure="Give a criterion, or leave the rubric out.")
    for name, text in given.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise UsageError(
                f"{name!r} is no name of a criterion",
                cure="Letters, digits and _: it is part of the name of a measure.",
            )
        if not isinstance(text, str) or not text.strip():
            raise UsageError(
                f"the criterion '{name}' says nothing", cure="Say when an answer fulfils it."
            )
    return tuple(Criterion(name, text.strip()) for name, text in given.items())


def _points(scale: Scale | None) -> tuple[Point, ...]:
    if scale is None:
        return ()
    described = isinstance(scale, Mapping)
    if isinstance(scale, str | bytes) or not isinstance(scale, Iterable):
        raise UsageError(f"a scale has a lowest and a highest point, not {scale!r}", cure=_SCALES)
    ends = tuple(scale)
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in ends):
        raise UsageError(f"the scale {scale!r} is not of whole numbers", cure=_SCALES)
    if len(ends) < 2 or (not described and len(ends) != 2):
        raise UsageError(f"the scale {scale!r} has not two ends", cure=_SCALES)
    if isinstance(scale, Mapping):
        return tuple(Point(value, str(scale[value]).strip()) for value in sorted(scale))
    low, high = ends
    if low >= high:
        raise UsageError(f"the scale {scale!r} is upside down or has one point", cure=_SCALES)
    if high - low > _MOST:
        raise UsageError(
            f"the scale has {high - low + 1:,} points",
            cure=f"No judge tells so many apart: give {_MOST + 1} at most.",
        )
    return tuple(map(Point, range(low, high + 1)))


_AROUND = re.compile(r"^[\s\"'`*_“”]+|[\s\"'`*_“”.!]+$")
_MOST = 100
_SCALES = 'Write scale=(1, 5), or what the points mean: scale={1: "useless", 5: "complete"}.'
_SAME = "Does the answer say the same, in substance, as one of the accepted answers?"
