"""Arguments are bound as Python itself binds them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

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
