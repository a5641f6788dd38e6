"""The plain metrics of one text or value: contained, numbers, schemas; and the one face."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import MissingExtraError, UsageError
from onrecord.evaluation import metrics
from onrecord.evaluation.measuring import checking
from onrecord.evaluation.metrics import (
    contains,
    fits_schema,
    numbers_in,
    numeric_match,
    regex_match,
    schema_errors,
)


def test_the_face_holds_names_only_and_each_says_what_it_is() -> None:
    tree = ast.parse(Path(metrics.__file__).read_text())
    assert all(isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign) for node in tree.body)
    assert sorted(metrics.__all__) == list(metrics.__all__)
    for name in metrics.__all__:
        assert getattr(metrics, name).__doc__, name


def test_no_package_of_the_extra_is_loaded_before_it_is_used() -> None:
    script = (
        "import sys, onrecord.evaluation.metrics\n"
        "print({'sacrebleu', 'rouge_score', 'nltk', 'jsonschema', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_a_missing_package_is_one_sentence_with_the_cure() -> None:
    with pytest.raises(MissingExtraError, match=r"BLEU needs sacrebl.*'onrecord\[evaluation\]'"):
        checking.needed("no_such_module_here", "sacrebleu", "BLEU")


@pytest.mark.parametrize(
    ("prediction", "expected", "options", "score"),
    [
        ("We will REFUND you.", "refund", {}, 1),
        ("We will REFUND you.", "refund", {"case": True}, 0),
        ("ﬁne\n print", "fine print", {}, 1),
        ("15 days", "5", {}, 1),
        ("15 days", "5", {"whole_words": True}, 0),
        ("(5) days", "5", {"whole_words": True}, 1),
        ("C++ is", "c++", {"whole_words": True}, 1),
        ("refunded", "refund", {"whole_words": True}, 0),
        ("", "x", {}, 0),
    ],
)
def test_contains(prediction: str, expected: str, options: Any, score: float) -> None:
    assert contains(prediction, expected, **options) == score


@given(st.text(max_size=20), st.text(min_size=1, max_size=5))
def test_a_text_contains_what_was_put_into_it(text: str, part: str) -> None:
    if part.split():
        assert contains(f"{text} {part} {text}", part) == 1
        assert contains(text, part, whole_words=True) <= contains(text, part)


def test_regex_match() -> None:
    assert regex_match("order 17 of May", r"order \d+") == 1
    assert regex_match("order 17 of May", r"order \d+", whole=True) == 0
    assert regex_match("YES", "(?i)yes", whole=True) == 1
    with pytest.raises(UsageError, match=r"cannot be read: .*'\(x', character 0"):
        regex_match("x", "(x")


@pytest.mark.parametrize("wrong", [None, 5, ["x"], b"x"])
def test_what_is_no_text_is_said(wrong: Any) -> None:
    with pytest.raises(UsageError, match="the prediction is no text but"):
        contains(wrong, "x")
    with pytest.raises(UsageError, match="is no text"):
        regex_match("x", wrong)
    with pytest.raises(UsageError, match="stands in every text"):
        contains("x", " ")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: metrics.squad_em(None, ["a"]),
        lambda: metrics.accuracy(None, ["a"]),
        lambda: metrics.accuracy({"a": 1}, ["a"]),
        lambda: metrics.auroc(["a", "b"], [0, 1]),
        lambda: metrics.brier([None], [0]),
        lambda: metrics.perplexity(None),
        lambda: metrics.bits_per_byte([-1.0], None),
        lambda: metrics.precision_at_k(["a"], ["a"], None),
        lambda: metrics.citation_overlap(None, []),
        lambda: metrics.schema_errors("{}", "no schema"),
        lambda: metrics.parent("a", "a", 5),
    ],
)
def test_what_cannot_be_measured_is_said_and_no_traceback(wrong: Any) -> None:
    with pytest.raises(UsageError):
        wrong()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,234.5 or -3 and −4", [1234.5, -3, -4]),
        ("$5, 7 %, 2e-3, .5 and 5km", [5, 7, 0.002, 0.5, 5]),
        ("3,4 and 1,234,567", [3, 4, 1234567]),
        ("12,34 1234,567", [12, 34, 1234, 567]),
        ("B12, 1.2.3, v2, three, 10.0.0.1", []),
        ("2019-2021 and (-2) and 5-3", [2019, 2021, -2, 5, 3]),
        ("It is 42. No.5", [42, 5]),
        ("+7 ５", [7, 5]),
        ("2e and 3 e 4", [2, 3, 4]),
        ("2½, 3 ¾ and ½, 1,234⅛", [2.5, 3.75, 0.5, 1234.125]),
        ("28¹ days, 10² and 5 m²", [28, 10, 5]),
        ("", []),
    ],
)
def test_numbers_in(text: str, numbers: list[float]) -> None:
    assert numbers_in(text) == numbers


def test_numbers_as_others_write_them() -> None:
    assert numbers_in("1.234,5 und 2,5", decimal=",", thousands=".") == [1234.5, 2.5]
    assert numbers_in("1 234,5", decimal=",", thousands=" ") == [1234.5]
    assert numbers_in("1,234", thousands="") == [1, 234]
    for signs in ({"decimal": ",", "thousands": ","}, {"decimal": ""}, {"thousands": "x"}):
        with pytest.raises(UsageError, match="numbers cannot be read with"):
            numbers_in("1", **signs)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_it_was_written(number: float) -> None:
    assert numbers_in(f"It is {number!r}, no more") == [number]
    assert numbers_in(f"({number:,.2f})") == [float(f"{number:.2f}")]


@given(st.text("0123456789.,-+e ", max_size=40))
def test_numbers_are_read_out_of_anything(text: str) -> None:
    assert all(isinstance(number, float) for number in numbers_in(text))


def test_numeric_match() -> None:
    assert numeric_match("It takes 28 days", 28) == 1
    assert numeric_match("It takes 28 days", "28 days") == 1
    assert numeric_match("about 27", 28) == 0
    assert numeric_match("about 27", 28, absolute=1) == 1
    assert numeric_match(1.1, 1, absolute=0.1) == 1  # binary arithmetic says it is outside
    assert numeric_match("105", 100, relative=0.05) == 1
    assert numeric_match("105.1", 100, relative=0.05) == 0
    assert numeric_match("-105", -100, relative=0.05) == 1
    assert numeric_match("none", 1) == 0
    assert numeric_match(float("nan"), 1) == 0
    assert numeric_match("9" * 400, 1, relative=1) == 0


def test_which_of_the_numbers_counts() -> None:
    text = "In 2023 it was 5.2"
    assert numeric_match(text, 5.2, which="last") == 1 == numeric_match(text, 2023, which="first")
    assert numeric_match(text, 5.2, which="first") == 0 == numeric_match(text, 5.2, which="only")
    assert numeric_match("5.2", 5.2, which="only") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("1", "one"), "holds 0 numbers"),
        (("1", "1 or 2"), "holds 2 numbers"),
        (("1", None), "neither a text nor a number"),
        ((True, 1), "neither a text nor a number"),
    ],
)
def test_what_is_expected_has_to_be_a_number(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        numeric_match(*arguments)


def test_tolerances_that_are_none() -> None:
    with pytest.raises(UsageError, match="absolute tolerance is -1"):
        numeric_match("1", 1, absolute=-1)
    with pytest.raises(UsageError, match="'all' is none of any"):
        numeric_match("1", 1, which="all")


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_an_absolute_tolerance_holds_both_ways(one: float, other: float, near: float) -> None:
    assert numeric_match(one, other, absolute=near) == numeric_match(other, one, absolute=near)
    assert numeric_match(one, one) == 1


SCHEMA = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"type": "number"}}},
    "required": ["items"],
}


class Order(pydantic.BaseModel):
    id: int
    lines: list[str] = []


def test_schema_errors_say_where() -> None:
    assert schema_errors({"items": [1, 2.5]}, SCHEMA) == []
    assert schema_errors('```json\n{"items": []}\n```', SCHEMA) == []
    assert schema_errors({"items": [1, "x"]}, SCHEMA) == ["$.items[1]: 'x' is not of type 'number'"]
    assert schema_errors("{}", SCHEMA) == ["$: 'items' is a required property"]
    assert schema_errors("no", SCHEMA)[0].startswith("$: this is no JSON")
    assert schema_errors("no", {"type": "string"}, parse=False) == []
    assert fits_schema('{"items": [1]}', SCHEMA) == 1 and fits_schema("[]", SCHEMA) == 0


def test_a_type_as_schema() -> None:
    assert fits_schema('{"id": 5, "lines": ["a"]}', Order) == 1
    assert schema_errors({"id": "5"}, Order) == ["$.id: Input should be a valid integer"]
    assert schema_errors({"id": 5, "lines": [None]}, Order) == [
        "$.lines[0]: Input should be a valid string"
    ]
    assert fits_schema([1, 2], list[int]) == 1


def test_schemas_that_are_none() -> None:
    with pytest.raises(UsageError, match="no JSON Schema: 'nonsense' is not valid"):
        fits_schema({}, {"type": "nonsense"})
    with pytest.raises(UsageError, match=r"points to what is not in it: https://example\.org"):
        fits_schema({}, {"$ref": "https://example.org/schema.json"})
    with pytest.raises(UsageError, match="neither a JSON Schema nor a type"):
        fits_schema({}, "nonsense")
