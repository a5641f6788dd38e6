"""Sentences about options that speak to whoever reads them: in Python, or on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from onrecord.errors import UsageError


class Spelled(NamedTuple):
    """How an option is written: `{to}` gives it with its example, `{to:alone}` its name."""

    name: str
    example: str = ""

    def __format__(self, how: str) -> str:
        return self.name if how == "alone" else f"{self.name}{self.example}"


class OptionError(UsageError):
    """A mistake that an option mends: `cure` names the option, in braces, in nobody's spelling."""

    def __init__(self, what: str, *, where: str = "", cure: str) -> None:
        super().__init__(what, where=where, cure=cure.format_map(IN_PYTHON))
        self.unspelled = cure

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self.what, self.where, self.unspelled), vars(self)

    def spelled(self, spellings: Mapping[str, Spelled]) -> UsageError:
        """The same mistake, its options written in another way."""
        missing = {
            name: Spelled(f"{each.name} (in Python alone)")
            for name, each in IN_PYTHON.items()
            if name not in spellings
        }
        cure = self.unspelled.format_map({**missing, **spellings})
        return UsageError(self.what, where=self.where, cure=cure)


def _rebuilt(what: str, where: str, cure: str) -> OptionError:
    return OptionError(what, where=where, cure=cure)


IN_PYTHON = {
    "candidates": Spelled("candidates", "=['…', '…']"),
    "column": Spelled("column", "='text'"),
    "described": Spelled("labels", "={'a': 'what it is for', …}"),
    "embedder": Spelled("embedder", "='hf:NAME'"),
    "examples": Spelled("examples", "=[(text, label), …]"),
    "fields": Spelled("fields", "=['name', 'date']"),
    "instruction": Spelled("instruction", "='…'"),
    "into": Spelled("into", "=TYPE"),
    "labels": Spelled("labels", "=['a', 'b']"),
    "long": Spelled("long", "='refine'"),
    "max_tokens": Spelled("max_tokens", "=500"),
    "model": Spelled("model", "='hf:NAME'"),
    "out": Spelled("out", "='results.jsonl'"),
    "parameters": Spelled("parameters", "={'temperature': 0}"),
    "path": Spelled("path", "='FILE'"),
    "prefix": Spelled("prefix", "='…'"),
    "question": Spelled("question", "='…'"),
    "sentences": Spelled("sentences", "=3"),
    "source": Spelled("source", "='English'"),
    "to": Spelled("to", "='German'"),
    "together": Spelled("together", "=4"),
    "window": Spelled("window", "=1000"),
}
