"""What a version of a prompt is, and what is kept of it with its records.

A version is 32 hexadecimal digits: 16 of the hash of its words (the file and its demos, or the
docstring) and 16 of the hash of what surrounds them (name, types, the instruction on the answer's
form). The first half can be told from a file alone, by whoever never ran it.
"""

from __future__ import annotations

import ast
import hashlib
import re
from typing import Any, NamedTuple

import msgspec

HALF = 16


class Kept(NamedTuple):
    """A version as it is kept: the words, the demos (JSON Lines), the docstring that stood before
    a file's words, and the types."""

    text: str
    demos: str = ""
    docstring: str = ""
    types: str = ""


def words_hash(text: str, demos: str = "") -> str:
    """The first half of a version: that of a prompt's words and its demos.

    Ends of lines count as one character each, whatever a checkout made of them.
    """
    return _hash([text.replace("\r\n", "\n"), demos.replace("\r\n", "\n")])


def version_of(text: str, demos: str, around: list[Any]) -> str:
    """The version of a prompt whose words are `text`; `around` is what else decides on it."""
    return words_hash(text, demos) + _hash(around)


def written(kept: Kept) -> str:
    """What stands for a version in the records: to be read by people, and by `read_kept`."""
    parts = [kept.text.rstrip("\n"), ""]
    if kept.demos.strip():
        parts += [_DEMOS, kept.demos.strip("\n"), ""]
    if kept.docstring:
        parts += [_DOCSTRING, kept.docstring, ""]
    return "\n".join([*parts, f"{MARK}{_one_line(kept.types)} -->"])


def read_kept(source: str) -> Kept | None:
    """The version that `written` wrote; None where the source is that of something else."""
    match = _MARKED.search(source)
    if match is None:
        return None
    rest = source[: match.start()].rstrip("\n")
    rest, _, docstring = rest.partition(f"\n{_DOCSTRING}\n")
    text, _, demos = rest.partition(f"\n{_DEMOS}\n")
    return Kept(text.rstrip("\n"), demos.rstrip("\n"), docstring.rstrip("\n"), match["types"])


def arguments_of(kept: Kept) -> tuple[str, ...]:
    """The arguments that a version's types name, as far as they can be read."""
    inside, _, _ = kept.types.partition("(")[2].rpartition("return: ")
    try:
        (function,) = ast.parse(f"def _({inside}): 0").body
    except (SyntaxError, ValueError, RecursionError):  # a type may be shown in any way
        return ()
    if not isinstance(function, ast.FunctionDef):
        return ()
    return tuple(each.arg for each in function.args.args)


def _hash(value: list[Any]) -> str:
    encoded = msgspec.json.encode(value)
    return hashlib.sha256(encoded).hexdigest()[:HALF]


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("-->", "-- >")


MARK = "<!-- prompt: "
"""The sources of prompts hold this, and no others do."""
_DEMOS = "<!-- demos -->"
_DOCSTRING = "<!-- docstring -->"
_MARKED = re.compile(r"(?:\A|\n)<!-- prompt: (?P<types>.*) -->\s*\Z")
