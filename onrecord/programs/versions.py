"""The version of a function's code: that of the code that runs, which may not be that on the disk.

A file may be edited after it was imported. A source is therefore taken for a function's only if it
compiles to the very code that the function runs.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import linecache
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any


def source_of(function: Callable[..., Any]) -> str | None:
    """The source of the code that a function runs; None where it cannot be read or is another."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType):
        return None
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, getattr(function, "__globals__", None))
    places = _compiled("".join(lines)).get(code_hash(code), ())
    if not places:
        return None
    nearest = min(places, key=lambda line: abs(line - code.co_firstlineno))
    return "".join(inspect.getblock(lines[nearest - 1 :]))


def code_hash(code: types.CodeType) -> str:
    """The hash of compiled code without its place in the file; equal in every process of one
    version of Python."""
    hashed = hashlib.blake2b(digest_size=16)
    _feed(hashed, code)
    return hashed.hexdigest()


def rebound(code: types.CodeType) -> frozenset[str]:
    """The names of outer functions' variables that this code, or a function in it, assigns to."""
    import dis

    return frozenset(
        str(step.argval)
        for each in _all_in(code)
        for step in dis.get_instructions(each)
        if step.opname in ("STORE_DEREF", "DELETE_DEREF")
    )


@functools.lru_cache(maxsize=16)
def _compiled(text: str) -> Mapping[str, tuple[int, ...]]:
    """The first lines of all functions in a file, by the hashes of their code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said when the file was imported
            # A notebook's cell may wait at its top level.
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            module = compile(text, "<source>", "exec", flags=flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, tuple[int, ...]] = {}
    for code in _all_in(module):
        made = code_hash(code)
        found[made] = (*found.get(made, ()), code.co_firstlineno)
    return found


def _all_in(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _all_in(each)


def _feed(hashed: hashlib.blake2b, value: object) -> None:
    """Add a constant to a hash: no address, and no order that another process would not have."""
    if isinstance(value, types.CodeType):
        counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount)
        names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
        flags = value.co_flags & 0xFFFF  # above are those of `from __future__`, of the whole file
        hashed.update(repr((value.co_qualname, counts, flags, names)).encode())
        hashed.update(b"%d:" % len(value.co_code) + value.co_code + value.co_exceptiontable)
        _feed(hashed, value.co_consts)
    elif isinstance(value, tuple):
        hashed.update(b"(%d:" % len(value))
        for each in value:
            _feed(hashed, each)
    elif isinstance(value, frozenset):
        members = []
        for each in value:
            member = hashlib.blake2b(digest_size=16)
            _feed(member, each)
            members.append(member.digest())
        hashed.update(b"{%d:" % len(value) + b"".join(sorted(members)))
    else:
        hashed.update(f"{type(value).__name__} {value!r}\0".encode("utf-8", "surrogatepass"))
