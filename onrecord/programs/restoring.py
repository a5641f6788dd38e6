"""From the plain JSON values of a record back to what a function took or returned.

The annotation says what it was. What was restored is turned into plain values again and compared:
an error beats a value of the wrong type.
"""

from __future__ import annotations

import collections.abc
import contextlib
import inspect
import json
import pathlib
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from onrecord.records.record import pack, plain


class Unrestorable(Exception):
    """A plain value that cannot be turned back into what it was. The text says why."""


def restored(value: Any, annotation: Any) -> Any:
    """The value of type `annotation` whose plain form is `value`. Raises Unrestorable.

    Without an annotation (`inspect.Parameter.empty`, Any) the plain value itself.
    """
    try:
        found = _value(value, annotation)
    except Unrestorable:
        raise
    except Exception as error:  # a user's type may fail in any way when it is made
        raise Unrestorable(f"{_named(annotation)} does not take it: {error}") from None
    if not _equal(plain(found), value):
        raise Unrestorable(f"{_named(annotation)} does not keep all of it")
    return found


def hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, evaluated; those that cannot be are missing."""
    space = dict(inspect.getclosurevars(function).nonlocals) if _is_python(function) else {}
    try:
        return typing.get_type_hints(function, localns=space, include_extras=True)
    except Exception:  # one bad name spoils all: each is tried by itself
        return dict(_evaluated(function, space))


def is_loose(annotation: Any) -> bool:
    """Whether values of other types than JSON's may hide where the annotation does not say so."""
    if annotation in _ANYTHING or isinstance(annotation, TypeVar | str):
        return True
    if annotation in (list, dict, tuple, set, frozenset) or annotation in _BARE:
        return True
    if get_origin(annotation) in (typing.Literal, type):
        return False
    inner = get_args(annotation)
    if get_origin(annotation) is typing.Annotated:
        inner = inner[:1]
    if not (_is_union(annotation) or get_origin(annotation) in _CONTAINERS | {typing.Annotated}):
        return False
    return any(is_loose(each) for each in inner if each is not ...)


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is of JSON's own types all through, so that its record is the value."""
    kind = type(value)
    if kind is str or kind is int or kind is float or kind is bool or value is None:
        return kind is not int or -(2**63) <= value < 2**64
    if depth == _DEEPEST:
        return False
    if kind is list:
        return all(is_plain(each, depth + 1) for each in value)
    if kind is dict:
        return all(type(key) is str for key in value) and all(
            is_plain(each, depth + 1) for each in value.values()
        )
    return False


_ANYTHING = (inspect.Parameter.empty, Any, object)
_BARE = (typing.List, typing.Dict, typing.Tuple, typing.Set, typing.FrozenSet)  # noqa: UP006  # as annotations still write them
_DEEPEST = 30
_BASIC = (bool, int, float, str)
_LISTS: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_CONTAINERS = {tuple, *_LISTS, *_DICTS}


def _value(value: Any, annotation: Any) -> Any:
    while get_origin(annotation) is typing.Annotated or isinstance(annotation, typing.NewType):
        inner = get_args(annotation)
        annotation = inner[0] if inner else annotation.__supertype__
    if annotation in _ANYTHING or isinstance(annotation, TypeVar):
        return value
    if isinstance(annotation, str):
        raise Unrestorable(f"the type {annotation!r} cannot be read")
    if annotation is None or annotation is type(None):
        return _only(value, type(None))
    if annotation in _BASIC:
        # A function that says float may have returned 3: it gets 3 again.
        return _only(value, int, float) if annotation is float else _only(value, annotation)
    if _is_union(annotation):
        return _member(value, get_args(annotation))
    origin, inner = get_origin(annotation) or annotation, get_args(annotation)
    if origin is tuple:
        return _tuple(_only(value, list), inner)
    if origin in _LISTS:
        of = inner[0] if inner else Any
        return _LISTS[origin]([_value(each, of) for each in _only(value, list)])
    if origin in _DICTS:
        keys, values = inner or (Any, Any)
        return {_key(k, keys): _value(each, values) for k, each in _only(value, dict).items()}
    return _instance(value, annotation)


def _only(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise Unrestorable(f"{type(value).__name__} is on record, not {kinds[-1].__name__}")
    return value


def _tuple(items: list[Any], inner: tuple[Any, ...]) -> tuple[Any, ...]:
    if not inner:
        return tuple(items)
    if len(inner) == 2 and inner[1] is ...:
        return tuple(_value(each, inner[0]) for each in items)
    if inner == ((),):
        inner = ()
    if len(inner) != len(items):
        raise Unrestorable(f"{len(items)} items are on record, not {len(inner)}")
    return tuple(map(_value, items, inner))


def _key(key: str, annotation: Any) -> Any:
    """A dict's key: all of them are text on record."""
    if annotation in _ANYTHING or annotation is str or isinstance(annotation, TypeVar):
        return key
    return msgspec.convert(key, annotation, strict=False)


def _member(value: Any, members: tuple[Any, ...]) -> Any:
    """The one member of a union that a value can be of; two would be a guess."""
    if type(value) in (*_BASIC, type(None)):
        exact = [each for each in members if each is type(value)]
        if exact and not any(_is_text_like(each) for each in members):
            return value
    found = []
    for each in members:
        with contextlib.suppress(Exception):
            found.append(restored(value, each))
    if not found:
        raise Unrestorable(f"it is none of {', '.join(map(_named, members))}")
    if len(found) > 1 and any(
        type(one) is not type(found[0]) or one != found[0] for one in found[1:]
    ):
        kinds = " or ".join(type(one).__name__ for one in found)
        raise Unrestorable(f"it may have been {kinds}")
    return found[0]


def _is_text_like(annotation: Any) -> bool:
    """Whether values of a type may look like the text of another: dates, decimals, enums, …"""
    return not (annotation in (*_BASIC, type(None)) or get_origin(annotation) is not None)


def _instance(value: Any, annotation: Any) -> Any:
    """An instance of a class: msgspec's way where it knows one, else pydantic's."""
    if hasattr(annotation, "__pydantic_validator__"):
        return _validated(value, annotation)
    if isinstance(annotation, type) and issubclass(annotation, pathlib.PurePath):
        return annotation(_only(value, str))
    try:
        return msgspec.convert(value, annotation, dec_hook=_nested)
    except msgspec.ValidationError as error:
        raise Unrestorable(f"{_named(annotation)} does not take it: {error}") from None
    except TypeError:  # a type that msgspec does not describe, such as some unions in fields
        return _validated(value, annotation)


def _nested(kind: type, value: Any) -> Any:
    if hasattr(kind, "__pydantic_validator__"):
        return _validated(value, kind)
    if isinstance(kind, type) and issubclass(kind, pathlib.PurePath):
        return kind(value)
    raise Unrestorable(f"a {_named(kind)} cannot be made of its record")


def _validated(value: Any, annotation: Any) -> Any:
    import pydantic

    try:
        adapter = pydantic.TypeAdapter(annotation)
        # From JSON and not from Python values: dates and decimals have no JSON of their own.
        return adapter.validate_json(json.dumps(value))
    except pydantic.ValidationError as error:
        raise Unrestorable(f"{_named(annotation)} does not take it: {error}") from None
    except (pydantic.errors.PydanticUserError, NameError):
        raise Unrestorable(f"a {_named(annotation)} cannot be made of its record") from None


def _equal(one: Any, other: Any) -> bool:
    # 3 and 3.0 are equal as values, two NaN are equal as bytes.
    return bool(one == other) or pack(one) == pack(other)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _is_python(function: Callable[..., Any]) -> bool:
    return inspect.isfunction(function)


def _evaluated(
    function: Callable[..., Any], space: Mapping[str, Any]
) -> typing.Iterator[tuple[str, Any]]:
    for name, annotation in getattr(function, "__annotations__", {}).items():
        if isinstance(annotation, str):
            # As typing.get_type_hints does. What fails is left as text: _value says so.
            with contextlib.suppress(Exception):
                annotation = eval(annotation, getattr(function, "__globals__", {}), dict(space))
        yield name, annotation


def _named(annotation: Any) -> str:
    return inspect.formatannotation(annotation)
