"""Arguments are bound as Python itself binds them."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import pytest

from onrecord.messages import Passage
from onrecord.prompts.contract import Contract


async def _two(question: str, words: int = 5) -> str: ...


async def _named(*, question: str = "why?") -> str: ...


async def _several(*questions: str) -> str: ...


async def _any(question: str, **more: str) -> str: ...


async def _nothing() -> str: ...


@pytest.mark.parametrize("function", [_two, _named, _several, _any, _nothing])
@pytest.mark.parametrize("args", [(), ("a",), ("a", 2)])
@pytest.mark.parametrize("kwargs", [{}, {"question": "b"}, {"words": 3}])
def test_arguments_are_bound_as_a_call_binds_them(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        expected = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        with pytest.raises(TypeError):
            Contract(function).bind(args, kwargs)
        return
    expected.apply_defaults()
    assert Contract(function).bind(args, kwargs) == expected.arguments


async def _search(
    maybe: list[Passage] | None, marked: Annotated[list[Passage], "x"], words: list[str]
) -> str: ...


def test_no_passages_are_passages_where_the_type_says_so() -> None:
    found = Contract(_search).passages({"maybe": [], "marked": [], "words": []})
    assert {name: each.shown for name, each in found.items()} == {
        "maybe": "(no passages)",
        "marked": "(no passages)",
    }
    assert Contract(_search).passages({"maybe": None, "marked": [], "words": []}).keys() == {
        "marked"
    }
