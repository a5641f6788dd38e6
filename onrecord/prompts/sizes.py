"""How large that gets which a template's operator, method or filter makes: looked at before it is
made, for a few characters of a template can ask for more memory than there is.

A size is a function of the operands; it raises OverflowError where the result may be longer than a
prompt can be. The bounds are generous and not exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LONGEST = 4_000_000
"""Characters of a text, about a million tokens: more than any model reads."""

Size = Callable[..., None]


def check_method(value: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Look at a built-in method's result: `{{ text.ljust(80) }}`."""
    given = [*args, *kwargs.values()]
    if name in ("format", "format_map"):
        _formatted(_NEW_STYLE, value, given)
        return
    for each in given:
        if isinstance(each, int) and abs(each) > LONGEST:
            raise OverflowError(f"{name}({each}) may be too large for a prompt")
    if name in _METHODS and isinstance(value, str | bytes):
        _METHODS[name](value, *given)


def _check(made: str, size: float) -> None:
    if size > LONGEST:
        raise OverflowError(f"the result of '{made}' may be too large for a prompt")


def _times(left: Any, right: Any) -> None:
    sizes = [len(side) if hasattr(side, "__len__") else abs(side) for side in (left, right)]
    _check("*", sizes[0] * sizes[1])


def _power(left: Any, right: Any) -> None:
    _check("**", LONGEST + 1)


def _plus(left: Any, right: Any) -> None:
    if hasattr(left, "__len__") and hasattr(right, "__len__"):
        _check("+", len(left) + len(right))


def _percent(left: Any, right: Any) -> None:
    if isinstance(left, str | bytes):
        _formatted(_OLD_STYLE, left, [right])


def _formatted(style: re.Pattern[str], text: Any, given: Any) -> None:
    text = text.decode("latin-1") if isinstance(text, bytes) else str(text)
    size = _length(given)
    for match in style.finditer(text):
        widths = match["widths"]
        if "*" in widths or "{" in widths:  # the width is one of the values
            size += sum(abs(each) for each in _numbers(given))
        size += sum(map(_number, re.findall(r"\d+", widths)))
    _check("format", size + len(text))


def _number(digits: str) -> int:
    return int(digits) if len(digits) < _DIGITS else LONGEST + 1


def _numbers(value: Any) -> list[int]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, int) else []


def _length(value: Any) -> int:
    """The characters of a value's texts, one level of lists after the other."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    return sum(map(_length, value)) if isinstance(value, list | tuple) else 1


def _format_filter(text: Any, args: Any, kwargs: Any) -> None:
    _formatted(_OLD_STYLE, text, [args, kwargs])


def _width(value: Any, width: Any, *_: Any) -> None:
    if isinstance(width, int):
        _check("a width", abs(width))


def _replaced(value: Any, old: Any, new: Any, *_: Any) -> None:
    length = _length(value if isinstance(value, bytes) else str(value))
    plain = isinstance(value, str | bytes) and isinstance(old, type(value))
    found = value.count(old) if plain else length
    _check("replace", length + found * len(str(new)))


def _joined(value: Any, between: Any = "", *_: Any) -> None:
    if isinstance(value, list | tuple | str):
        _check("join", _length(value) + len(value) * len(str(between)))


def _indented(value: Any, width: Any, *_: Any) -> None:
    each = width if isinstance(width, int) else len(width)
    _check("indent", (str(value).count("\n") + 1) * abs(each))


def _wrapped(value: Any, width: Any, _: Any, between: Any, *__: Any) -> None:
    _check("wordwrap", len(str(value)) * (1 + len(between or "")))


def _expanded(value: Any, size: Any = 8, *_: Any) -> None:
    _check("expandtabs", value.count(b"\t" if isinstance(value, bytes) else "\t") * abs(size))


def _translated(value: Any, table: Any, *_: Any) -> None:
    _check("translate", len(value) * max(map(_length, table.values()), default=1))


of_operators: dict[str, Size] = {"*": _times, "**": _power, "+": _plus, "%": _percent}
of_filters: dict[str, Size] = {
    "batch": _width,
    "center": _width,
    "format": _format_filter,
    "indent": _indented,
    "join": _joined,
    "replace": _replaced,
    "round": _width,
    "slice": _width,
    "tojson": _width,
    "wordwrap": _wrapped,
}
_METHODS: dict[str, Size] = {
    "expandtabs": _expanded,
    "join": lambda between, values: _joined(values, between),
    "replace": _replaced,
    "translate": _translated,
}
_DIGITS = 8
_OLD_STYLE = re.compile(r"%(?:\(\w*\))?[-#0 +]*(?P<widths>[\d*]*(?:\.[\d*]*)?)")
_NEW_STYLE = re.compile(r"\{[^{}:]*:(?P<widths>[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
