"""Numbers in a text, and whether one of them is the expected one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from functools import lru_cache
from typing import Literal, get_args

from onrecord.errors import UsageError
from onrecord.evaluation.measuring.checking import a_text, finite

Which = Literal["any", "first", "last", "only"]


def numeric_match(
    prediction: str | float,
    expected: str | float,
    *,
    absolute: float = 0.0,
    relative: float = 0.0,
    which: Which = "any",
    decimal: str = ".",
    thousands: str = ",",
) -> float:
    """1.0 where a number of the prediction is the expected one within a tolerance, else 0.0.

    The tolerance is the larger of `absolute` and `relative` times the expected number; a number at
    its edge is in it, and the arithmetic is decimal, so that 1.1 is within 0.1 of 1. `which` of the
    numbers in a text counts: `any` of them (an answer that lists many is right by chance), the
    `first`, the `last`, or the `only` one there is. How they are read: `numbers_in`; units and the
    sign "%" say nothing. `expected` is a number, or a text that holds exactly one.

    Raises UsageError for another `expected`, a negative tolerance, and signs that are not clear.
    """
    if which not in get_args(Which):
        raise UsageError(f"'{which}' is none of {', '.join(get_args(Which))}", where="which")
    wanted = _all(expected, "what is expected", decimal, thousands)
    if len(wanted) != 1:
        raise UsageError(
            f"what is expected holds {len(wanted)} numbers, not one",
            where=f"{expected!r}"[:80],
            cure="Give a number, or a text with one.",
        )
    found = _WHICH[which](_all(prediction, "the prediction", decimal, thousands))
    allowed = max(
        Decimal(repr(float(finite(absolute, "the absolute tolerance")))),
        _EXACT.multiply(
            Decimal(repr(float(finite(relative, "the relative tolerance")))), abs(wanted[0])
        ),
    )
    return float(any(abs(_EXACT.subtract(each, wanted[0])) <= allowed for each in found))


def numbers_in(text: str, *, decimal: str = ".", thousands: str = ",") -> list[float]:
    """The numbers of a text, in order.

    "1,234.5", "-3", "−3", "$5", "7 %", "2e-3" and ".5" are numbers; `thousands` are the signs that
    may stand between groups of three digits ("" for none), so that "3,4" are two numbers and
    "1,234" is one. Digits in a word ("B12"), versions ("1.2.3") and words ("three") are none; the
    line of "2019-2021" is no sign. "2½" is 2.5; raised digits ("28¹", a note) are no part of a
    number. Raises UsageError where `decimal` is not one sign, or is also one of `thousands`.
    """
    return [float(number) for number in _numbers(a_text(text, "the text"), decimal, thousands)]


def _all(value: str | float, name: str, decimal: str, thousands: str) -> list[Decimal]:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{name} is neither a text nor a number but {type(value).__name__}")
    if isinstance(value, str):
        return _numbers(value, decimal, thousands)
    number = Decimal(repr(value))
    return [number] if number.is_finite() else []


def _numbers(text: str, decimal: str, thousands: str) -> list[Decimal]:
    thousands = unicodedata.normalize("NFKC", thousands)
    pattern = _pattern(decimal, thousands)
    # NFKC would make "2½" a "21⁄2", and "28¹" a "281".
    plain = _RAISED.sub("", text)
    plain = _FRACTION.sub(lambda found: decimal + _part(found[1]), plain)
    plain = unicodedata.normalize("NFKC", plain).replace("\u2212", "-")
    grouping = str.maketrans(dict.fromkeys(thousands, "") | {decimal: "."})
    return [Decimal(found.translate(grouping)) for found in pattern.findall(plain)]


@lru_cache(maxsize=32)
def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    odd = any(sign.isalnum() or sign in "+-" for sign in decimal + thousands)
    if len(decimal) != 1 or decimal in thousands or odd:
        raise UsageError(
            f"numbers cannot be read with decimal={decimal!r} and thousands={thousands!r}",
            cure='Give one sign and others than that, such as "." and ",".',
        )
    point = re.escape(decimal)
    group = rf"\d{{1,3}}(?:[{re.escape(thousands)}]\d{{3}})++(?!\d)|" if thousands else ""
    return re.compile(
        rf"""(?<!\w)(?<!\d{point})(?:(?<![\w)])[-+])?
        (?:(?:{group}\d++)(?:{point}\d++)?|{point}\d++)
        (?:[eE][-+]?\d{{1,3}}(?!\d))?+
        (?!{point}\d)""",
        re.VERBOSE,
    )


def _part(sign: str) -> str:
    """The digits behind the point of a sign such as "½"."""
    return repr(unicodedata.numeric(sign)).partition(".")[2]


def _the_only(numbers: Sequence[Decimal]) -> Sequence[Decimal]:
    return numbers if len(numbers) == 1 else ()


_WHICH: dict[str, Callable[[Sequence[Decimal]], Sequence[Decimal]]] = {
    "any": lambda numbers: numbers,
    "first": lambda numbers: numbers[:1],
    "last": lambda numbers: numbers[-1:],
    "only": _the_only,
}
_RAISED = re.compile(r"(?<=\d)[⁰¹²³⁴⁵⁶⁷⁸⁹₀-₉]+")
_FRACTION = re.compile(r"(?:(?<=\d)\s)?([¼½¾⅐-⅞])")
# Numbers of any size, without a trap: what overflows is infinite, and matches nothing.
_EXACT = Context(prec=60, traps=[])
