"""What a query takes: a wrong type is told with the field's name, before the store is asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from onrecord.errors import UsageError
from onrecord.records.query import Query


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": 5}, "the query's text takes a text, not 5"),
        ({"name": b"ask"}, "the query's name takes a text, not b'ask'"),
        ({"run": ["a"]}, "the query's run takes a text"),
        ({"since_ns": "x"}, "the query's since_ns takes nanoseconds since 1970, not 'x'"),
        ({"until_ns": 1.5}, "the query's until_ns takes nanoseconds since 1970, not 1.5"),
        ({"until_ns": True}, "the query's until_ns takes nanoseconds"),
        ({"tags": 5}, "the query's tags takes a tuple of texts, not 5"),
        ({"tags": (5,)}, "the query's tags takes a tuple of texts, not (5,)"),
        ({"ids": {"a": 1}}, "the query's ids takes a tuple of texts"),
        ({"kinds": None}, "the query's kinds takes a tuple of texts, not None"),
        ({"states": (["done"],)}, "the query's states takes a tuple of texts"),
        ({"tags": "beta"}, "Write ('beta',)"),
        ({"kinds": ("modl",)}, "there is no kind 'modl'. Choose from flow"),
        ({"since_ns": 2**63}, "the query's since_ns takes nanoseconds since 1970"),
    ],
)
def test_a_field_of_a_wrong_type(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Query(**fields)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_long_wrong_value_is_shown_in_short() -> None:
    with pytest.raises(UsageError) as caught:
        Query(text=["x" * 10_000])  # type: ignore[arg-type]  # that is what it tests
    assert len(str(caught.value)) < 300


def test_what_fits_is_kept_as_tuples() -> None:
    query = Query(kinds=["model"], tags={"beta"}, since_ns=0, text="a")  # type: ignore[arg-type]
    assert query.kinds == ("model",) and query.tags == ("beta",)
    assert query == msgspec.structs.replace(query) and hash(query)
    assert msgspec.convert(msgspec.to_builtins(query), Query) == query
