"""How a server describes a tool: its hash, and in words what changed of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from onrecord.records.views.wording import visible


class Definition(msgspec.Struct, frozen=True):
    """What a model is told of a tool, as its server words it."""

    name: str
    description: str
    parameters: dict[str, Any]

    @property
    def hash(self) -> str:
        """SHA-256 of the three as JSON with sorted names, the first 32 digits of it."""
        return hashlib.sha256(_json(msgspec.to_builtins(self)).encode()).hexdigest()[:32]

    @property
    def pin(self) -> str:
        """Its name and its hash: what a person accepts."""
        return f"{self.name}@{self.hash}"


def parts(old: Definition, new: Definition) -> str:
    """Which parts changed, in words of ours alone: a model may read them."""
    changed = [
        noun
        for noun, before, now in (
            ("description", old.description, new.description),
            ("arguments", _json(old.parameters), _json(new.parameters)),
        )
        if before != now
    ]
    return " and ".join(changed)


def difference(old: Definition, new: Definition) -> str:
    """What changed, in words for a person; what the server wrote is quoted, and escaped."""
    found = []
    if old.description != new.description:
        pairs = enumerate(zip(old.description, new.description, strict=False))
        shorter = min(len(old.description), len(new.description))
        at = next((place for place, (a, b) in pairs if a != b), shorter)
        was, now = _around(old.description, at), _around(new.description, at)
        found.append(f"its description was {was} and is {now}")
    was_there, is_there = _properties(old), _properties(new)
    found += [
        f"it takes a new argument {_short(name)}" for name in is_there if name not in was_there
    ]
    found += [f"it takes no {_short(name)} any more" for name in was_there if name not in is_there]
    found += [
        f"{_short(name)} was {_short(_json(was_there[name]))} and is {_short(_json(now))}"
        for name, now in is_there.items()
        if name in was_there and _json(was_there[name]) != _json(now)
    ]
    if not found or _rest(old) != _rest(new):
        found.append(f"its schema was {_short(_rest(old))} and is {_short(_rest(new))}")
    left = len(found) - _MOST
    return "; ".join(found[:_MOST]) + (f"; and {left} more" if left > 0 else "")


def _properties(definition: Definition) -> Mapping[str, Any]:
    found = definition.parameters.get("properties")
    return found if isinstance(found, dict) else {}


def _rest(definition: Definition) -> str:
    return _json({key: each for key, each in definition.parameters.items() if key != "properties"})


def _around(text: str, at: int) -> str:
    """The text from a little before the place where it changed."""
    begin = max(0, at - 30)
    return f"“{'…' if begin else ''}{_cut(text[begin:])}”"


def _short(text: str) -> str:
    return f"“{_cut(text)}”"


def _cut(text: str) -> str:
    return visible(text[:_SHOWN]) + ("…" if len(text) > _SHOWN else "")


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


_SHOWN = 200
_MOST = 10
