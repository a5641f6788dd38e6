"""A tool that calculates: exact where a person expects it, bounded, and without `eval`.

    sums = on.tools.calculator()
    sums.run("0.1 + 0.2")              "0.3"
    sums.run("sqrt(2)")                "≈ 1.4142135623731"

Numbers are fractions, as they were written: nothing is lost in + - * / and whole powers. Roots,
logarithms and exponentials are worked out to 50 digits, sines and their like to 15. What is exact
and has a short decimal is shown so; all else with 15 digits, and the sign ≈ before them.

Python reads the expression (`ast`), and what is done with its nodes stands here. simpleeval was
looked at (1.0.8): it counts in binary floating point, and bounds neither the size of a literal nor
that of a product.
"""

from __future__ import annotations

import ast
import decimal
import math
import operator
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from onrecord.arguments import closest
from onrecord.errors import UsageError
from onrecord.programs.tool import Tool, checked_name, tool


def calculator(*, name: str = "calculator") -> Tool[[str], str]:
    """A tool that works out one arithmetic expression and gives the number as text.

    What it protects against: code (nothing is evaluated as Python), and expressions that take long
    or become large; they are refused with a sentence. What it does not: it does not know units,
    currencies or percent signs, and a sine is a sine of radians.
    """

    async def calculate(expression: str) -> str:
        return shown(*worked_out(expression))

    calculate.__name__ = calculate.__qualname__ = checked_name(name)
    calculate.__doc__ = _DESCRIPTION
    return tool(calculate)


class Worked(NamedTuple):
    """The number that an expression stands for, and whether it is that very number."""

    number: Fraction
    exact: bool


def worked_out(expression: str) -> Worked:
    """What an expression comes to. Raises UsageError, in words for a model."""
    text = expression.strip()
    for sign, meant in _SIGNS.items():
        text = text.replace(sign, meant)
    if not text:
        raise UsageError("the expression is empty", cure="Write one, as 2 * (3 + 4).")
    if len(text) > _LONGEST:
        raise UsageError(
            f"the expression has {len(text):,} characters, and {_LONGEST:,} are read at most",
            cure="Do it in steps.",
        )
    if re.search(r"\d,\d{3}(?!\d)", text) and not re.search(r"[A-Za-z_]\w*\s*\(", text):
        raise UsageError("there is a comma in a number", cure="Write 1234.5, without commas.")
    try:
        tree = ast.parse(text, mode="eval")
        done = _Sum(text)
        return Worked(done.of(tree.body), done.exact)
    except (SyntaxError, ValueError) as error:
        said = getattr(error, "msg", None) or str(error)
        raise UsageError(f"this is no arithmetic: {said:.100}", cure="Write 2 * (3 + 4).") from None
    except (RecursionError, MemoryError):
        raise UsageError("the expression is nested too deeply", cure="Do it in steps.") from None
    except ZeroDivisionError:
        raise UsageError("something is divided by zero") from None
    except (ArithmeticError, decimal.InvalidOperation):
        raise _too_large() from None


def shown(number: Fraction, exact: bool = True) -> str:
    """A number as people write it; ≈ before one that is rounded."""
    if exact and number.denominator == 1 and abs(number) < 10**_EXACT_WHOLE:
        return str(number.numerator)
    with decimal.localcontext() as context:
        context.prec = _EXACT_DIGITS
        context.Emax, context.Emin = decimal.MAX_EMAX, decimal.MIN_EMIN
        value = Decimal(number.numerator) / Decimal(number.denominator)
        if exact and Fraction(value) == number:
            return _plain(value)
        context.prec = _DIGITS
        return f"≈ {_plain(+value)}"


class _Sum:
    """An expression, worked out from the inside to the outside; every value is of bounded size."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.exact = True

    def of(self, node: ast.expr) -> Fraction:
        """The value of a part of it."""
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return self._literal(node)
            case ast.Name(id=name) if name.lower() in _CONSTANTS:
                self.exact = False
                return _CONSTANTS[name.lower()]
            case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=inner):
                value = self.of(inner)
                return -value if isinstance(sign, ast.USub) else value
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                base, exponent = self.of(left), self.of(right)
                self.exact &= exponent.denominator == 1
                return _power(base, exponent)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _bounded(_OPERATORS[type(op)](self.of(left), self.of(right)))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self._call(name, arguments)
        raise self._refused(node)

    def _literal(self, node: ast.Constant) -> Fraction:
        """A number as it was written, not as Python would round it."""
        written = (ast.get_source_segment(self._text, node) or "").replace("_", "")
        if isinstance(node.value, int):
            return _bounded(Fraction(node.value))
        number = Decimal(written)  # no zeros are written out: 1e999999 is three numbers
        if not number.is_finite() or (number and abs(number.adjusted()) > _LARGEST_EXPONENT):
            raise _too_large()
        return _bounded(Fraction(number))

    def _call(self, name: str, arguments: list[ast.expr]) -> Fraction:
        known = _FUNCTIONS.get(name.lower())
        if known is None:
            raise UsageError(
                f"there is no function '{name:.40}'",
                cure=f"{closest(name.lower(), _FUNCTIONS)}There are: {', '.join(_FUNCTIONS)}.",
            )
        function, least, most = known
        if not least <= len(arguments) <= most:
            numbers = str(least) if least == most else f"{least} or more"
            raise UsageError(f"{name} takes {numbers} number{'s' * (numbers != '1')}")
        values = list(map(self.of, arguments))
        value = _bounded(function(*values))
        if name.lower() == "sqrt":
            self.exact &= value * value == values[0]
        self.exact &= name.lower() not in _ROUNDED
        return value

    def _refused(self, node: ast.expr) -> UsageError:
        part = (ast.get_source_segment(self._text, node) or "")[:40]
        if isinstance(node, ast.Name):
            return UsageError(
                f"'{part}' is no number", cure=f"The names are {', '.join(_CONSTANTS)}."
            )
        return UsageError(
            f"this is no arithmetic: {part}",
            cure="Write numbers, + - * / // % **, parentheses and functions.",
        )


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator == 1:
        times = exponent.numerator
        if abs(base) == 1:
            times %= 2
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if base and size * abs(times) > _MOST_BITS:
            raise _too_large()
        return Fraction(base**times)
    if base < 0:
        raise UsageError("a broken power of a number below zero is no real number")
    return _decimal(operator.pow, base, exponent)


def _decimal(function: Callable[..., Decimal], *numbers: Fraction) -> Fraction:
    """A function of decimals, to 50 digits."""
    with decimal.localcontext() as context:
        context.prec = _PRECISION
        context.Emax, context.Emin = _LARGEST_EXPONENT, -_LARGEST_EXPONENT
        for signal in (decimal.Overflow, decimal.Underflow, decimal.InvalidOperation):
            context.traps[signal] = True
        values = [Decimal(each.numerator) / Decimal(each.denominator) for each in numbers]
        return Fraction(function(*values))


def _float(function: Callable[[float], float]) -> Callable[[Fraction], Fraction]:
    """A function of floating point numbers, to 15 digits: what is less than that is zero."""

    def called(number: Fraction) -> Fraction:
        try:
            value = function(float(number))
        except ValueError:
            raise UsageError(f"there is no real number for {shown(number)} there") from None
        if abs(value) < abs(number) * Fraction(1, 10**15):
            return Fraction(0)
        return Fraction(Decimal(f"{value:.15g}"))

    return called


def _square_root(number: Fraction) -> Fraction:
    if number < 0:
        raise UsageError("a number below zero has no real root")
    top, bottom = math.isqrt(number.numerator), math.isqrt(number.denominator)
    exact = Fraction(top, bottom)
    return exact if exact * exact == number else _decimal(Decimal.sqrt, number)


def _logarithm(number: Fraction, base: Fraction | None = None) -> Fraction:
    if number <= 0 or (base is not None and (base <= 0 or base == 1)):
        raise UsageError("a logarithm is of a number above zero, to a base above zero but 1")
    if base is None:
        return _decimal(Decimal.ln, number)
    if base == 10:
        return _decimal(Decimal.log10, number)
    return _rounded_off(_decimal(lambda one, two: one.ln() / two.ln(), number, base))


def _rounded_off(number: Fraction) -> Fraction:
    """Without the last digits, where a quotient of two rounded numbers is wrong."""
    with decimal.localcontext() as context:
        context.prec = _PRECISION - 5
        return Fraction(Decimal(number.numerator) / Decimal(number.denominator))


def _round(number: Fraction, digits: Fraction = Fraction(0)) -> Fraction:
    """To so many digits; halves away from zero, as people round."""
    places = _whole(digits)
    if abs(places) > 1_000:
        raise _too_large()
    scale = Fraction(10) ** places
    scaled = math.floor(abs(number) * scale + Fraction(1, 2)) / scale
    return scaled if number >= 0 else -scaled


def _factorial(number: Fraction) -> Fraction:
    count = _whole(number)
    if not 0 <= count <= _LARGEST_FACTORIAL:
        raise UsageError(f"factorials are of 0 to {_LARGEST_FACTORIAL}")
    return Fraction(math.factorial(count))


def _choices(count: Callable[[int, int], int]) -> Callable[[Fraction, Fraction], Fraction]:
    def called(one: Fraction, two: Fraction) -> Fraction:
        every, chosen = _whole(one), _whole(two)
        if not 0 <= every <= _LARGEST_FACTORIAL or chosen < 0:
            raise UsageError(f"this counts among 0 to {_LARGEST_FACTORIAL}")
        return Fraction(count(every, chosen))

    return called


def _integers(function: Callable[..., int]) -> Callable[..., Fraction]:
    return lambda *numbers: Fraction(function(*map(_whole, numbers)))


def _whole(number: Fraction) -> int:
    if number.denominator != 1:
        raise UsageError(f"a whole number is wanted, and {shown(number)} is none")
    return number.numerator


def _total(*numbers: Fraction) -> Fraction:
    return sum(numbers, Fraction(0))


def _mean(*numbers: Fraction) -> Fraction:
    return _total(*numbers) / len(numbers)


def _median(*numbers: Fraction) -> Fraction:
    ordered, half = sorted(numbers), len(numbers) // 2
    return ordered[half] if len(numbers) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _bounded(number: Fraction | int) -> Fraction:
    value = Fraction(number)
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MOST_BITS:
        raise _too_large()
    return value


def _too_large() -> UsageError:
    return UsageError("the numbers become too large or too small", cure="Use logarithms.")


def _plain(number: Decimal) -> str:
    """Without trailing zeros; with an exponent only where there would be many zeros."""
    number = number.normalize()
    return f"{number:f}" if -_ZEROS <= number.adjusted() < _EXACT_DIGITS else f"{number:e}"


_LONGEST = 1_000
_MOST_BITS = 10_000
_LARGEST_EXPONENT = 3_000
_LARGEST_FACTORIAL = 1_000
_PRECISION = 50
_EXACT_WHOLE, _EXACT_DIGITS, _DIGITS, _ZEROS = 100, 30, 15, 12
_MANY = 100
_SIGNS = {"^": "**", "×": "*", "·": "*", "÷": "/", "−": "-", "π": "pi", "√": "sqrt", "\n": " "}
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction | int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_CONSTANTS = {
    "pi": Fraction("3.1415926535897932384626433832795028841971693993751"),
    "e": Fraction("2.7182818284590452353602874713526624977572470936999"),
    "tau": Fraction("6.2831853071795864769252867665590057683943387987502"),
}
_FUNCTIONS: dict[str, tuple[Callable[..., Fraction | int], int, int]] = {
    "abs": (abs, 1, 1),
    "round": (_round, 1, 2),
    "floor": (math.floor, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "min": (min, 2, _MANY),
    "max": (max, 2, _MANY),
    "sum": (_total, 1, _MANY),
    "mean": (_mean, 1, _MANY),
    "median": (_median, 1, _MANY),
    "sqrt": (_square_root, 1, 1),
    "exp": (lambda number: _decimal(Decimal.exp, number), 1, 1),
    "ln": (_logarithm, 1, 1),
    "log": (_logarithm, 1, 2),
    "log10": (lambda number: _logarithm(number, Fraction(10)), 1, 1),
    "log2": (lambda number: _logarithm(number, Fraction(2)), 1, 1),
    "sin": (_float(math.sin), 1, 1),
    "cos": (_float(math.cos), 1, 1),
    "tan": (_float(math.tan), 1, 1),
    "asin": (_float(math.asin), 1, 1),
    "acos": (_float(math.acos), 1, 1),
    "atan": (_float(math.atan), 1, 1),
    "degrees": (lambda number: number * 180 / _CONSTANTS["pi"], 1, 1),
    "radians": (lambda number: number * _CONSTANTS["pi"] / 180, 1, 1),
    "factorial": (_factorial, 1, 1),
    "gcd": (_integers(math.gcd), 1, _MANY),
    "lcm": (_integers(math.lcm), 1, _MANY),
    "comb": (_choices(math.comb), 2, 2),
    "perm": (_choices(math.perm), 2, 2),
}
_ROUNDED = frozenset("exp ln log log10 log2 sin cos tan asin acos atan degrees radians".split())
_DESCRIPTION = f"""\
Work out one arithmetic expression exactly, as "(19.99 * 3 + 4.5) * 1.19".

It knows + - * / // % ** and parentheses, the constants {", ".join(_CONSTANTS)}, and the functions
{", ".join(_FUNCTIONS)}. Angles are in radians. log(x) is the natural logarithm, log(x, b) that to
the base b. Write numbers without commas or units. A ≈ in the answer marks a rounded number.

Args:
    expression: The expression, in one line.
"""
