"""The calculator: what a person expects, and nothing that takes long or is no arithmetic."""

from __future__ import annotations

import math
import operator
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.errors import UsageError
from onrecord.programs.tools.calculator_tool import calculator, shown, worked_out


def answer(expression: str) -> str:
    return shown(*worked_out(expression))


@pytest.mark.parametrize(
    ("expression", "number"),
    [
        ("0.1 + 0.2", "0.3"),
        ("1/3*3", "1"),
        ("1/3", "≈ 0.333333333333333"),
        ("(19.99 * 3 + 4.5) * 1.19", "76.7193"),
        ("2^10 - 1", "1023"),
        ("2**-2", "0.25"),
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
        ("--5", "5"),
        ("3 × 4 ÷ 2 − 1", "5"),
        ("1_000 + 0x1F", "1031"),
        ("123456789012345678901234567890 + 1", "123456789012345678901234567891"),
        ("12345678901234567890.5 * 2", "24691357802469135781"),
        ("1e-400", "1e-400"),
        ("2**1000", "≈ 1.07150860718627e+301"),
        ("round(2.5)", "3"),
        ("round(-2.345, 2)", "-2.35"),
        ("round(1234, -2)", "1200"),
        ("floor(-1.5) + ceil(1.2)", "0"),
        ("sqrt(2.25)", "1.5"),
        ("sqrt(2)", "≈ 1.4142135623731"),
        ("√(16)", "4"),
        ("2**0.5 * 2**0.5", "≈ 2"),
        ("log(8, 2)", "≈ 3"),
        ("log10(1000)", "≈ 3"),
        ("ln(e)", "≈ 1"),
        ("exp(1000)", "≈ 1.97007111401705e+434"),
        ("sin(pi)", "≈ 0"),
        ("sin(radians(30))", "≈ 0.5"),
        ("degrees(atan(1))", "≈ 45"),
        ("2 * π", "≈ 6.28318530717959"),
        ("max(1, 2.5) + min(3, 4) + abs(-1)", "6.5"),
        ("sum(0.1, 0.2) - mean(1, 2) + median(1, 9, 3, 5)", "2.8"),
        ("factorial(20)", "2432902008176640000"),
        ("comb(5, 2) + perm(5, 2) + gcd(12, 18) + lcm(4, 6)", "48"),
        ("0**0", "1"),
        ("(-1)**1000000000001", "-1"),
        ("0**1000000000001", "0"),
    ],
)
def test_numbers(expression: str, number: str) -> None:
    assert answer(expression) == number


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "is empty"),
        ("9**9**9", "too large"),
        ("9**9**9**9**9", "too large"),
        ("2**-99999999", "too large"),
        ("1e999999999", "too large"),
        ("1e-999999999", "too large"),
        ("1e2999 * 1e2999", "too large"),
        ("exp(exp(100))", "too large"),
        ("exp(-1e9)", "too small"),
        ("sin(1e400)", "too large"),
        ("99999**3001.5", "too large"),
        ("round(1, 99999)", "too large"),
        ("factorial(100000)", "0 to 1000"),
        ("factorial(1.5)", "whole number"),
        ("comb(1e9, 5e8)", "0 to 1000"),
        ("1" * 1_001, "1,001 characters"),
        ("(" * 300 + "1" + ")" * 300, "nested"),
        ("-" * 999 + "1", "nested"),
        ("1/0", "divided by zero"),
        ("0**-1", "divided by zero"),
        ("5 % 0", "divided by zero"),
        ("sqrt(-1)", "no real root"),
        ("(-8)**(1/3)", "no real number"),
        ("acos(2)", "no real number"),
        ("ln(0)", "above zero"),
        ("log(2, 1)", "above zero"),
        ("1,234.5 + 1", "comma"),
        ("50%", "no arithmetic"),
        ("2 3", "no arithmetic"),
        ("5!", "no arithmetic"),
        ("1 == 1", "no arithmetic"),
        ("x + 1", "'x' is no number"),
        ("sqr(4)", "Did you mean 'sqrt'"),
        ("sqrt()", "takes 1 number"),
        ("sqrt(x=4)", "no arithmetic"),
        ("max(1, *[2])", "no arithmetic"),
        ("True", "no arithmetic"),
        ("1j", "no arithmetic"),
        ("'a' * 9", "no arithmetic"),
        ("[1] * 9", "no arithmetic"),
        ("().__class__", "no arithmetic"),
        ("__import__('os').system('true')", "no arithmetic"),
        ("eval('1')", "no function 'eval'"),
        ("(lambda: 1)()", "no arithmetic"),
        ("1 if 2 else 3", "no arithmetic"),
        ("a := 1", "no arithmetic"),
        ("1; 2", "no arithmetic"),
        ("f'{1}'", "no arithmetic"),
        ("1\x00", "no arithmetic"),
    ],
)
def test_what_is_refused_is_refused_with_a_sentence(expression: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        worked_out(expression)
    assert len(str(refused.value)) < 400


numbers = st.decimals(-1_000_000, 1_000_000, places=3, allow_nan=False)
sums = st.recursive(
    numbers.map(lambda number: (f"({number})", Fraction(number))),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
        lambda each: (
            f"({each[0][0]} {each[1]} {each[2][0]})",
            {"+": operator.add, "-": operator.sub, "*": operator.mul}[each[1]](
                each[0][1], each[2][1]
            ),
        )
    ),
    max_leaves=8,
)


@given(made=sums)
def test_sums_are_exact(made: tuple[str, Fraction]) -> None:
    expression, number = made
    assert worked_out(expression) == (number, True)


@given(number=st.floats(1e-6, 1e6))
def test_roots_and_logarithms_are_those_of_python(number: float) -> None:
    for name, function in (("sqrt", math.sqrt), ("ln", math.log), ("cos", math.cos)):
        found = float(worked_out(f"{name}({number!r})").number)
        assert math.isclose(found, function(number), rel_tol=1e-12, abs_tol=1e-9)


parts = st.sampled_from([*"0123456789.+-*/%()^,e ", "**", "//", "sqrt(", "pi", "factorial(", "1e9"])


@settings(deadline=None, max_examples=300)
@given(text=st.one_of(st.text(max_size=40), st.lists(parts, max_size=25).map("".join)))
def test_any_text_gives_a_number_or_a_sentence(text: str) -> None:
    try:
        assert answer(text)
    except UsageError as refused:
        assert str(refused)


def test_it_is_a_tool() -> None:
    tool = calculator(name="sums")
    assert tool.schema.name == "sums"
    assert list(tool.schema.parameters["properties"]) == ["expression"]
    assert "factorial" in tool.schema.description and "≈" in tool.schema.description
    with pytest.raises(UsageError, match="no name of a tool"):
        calculator(name="a b")
    assert tool.run(**tool.read('{"expression": "0.1 + 0.2"}')) == "0.3"
