"""The options of the tasks, by name: what a type checker and an editor know of `on.task(...)`.

What each one means is told by the value that holds it (`Summarizing`, `Classifying`, …); a test
keeps the names equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from onrecord.models.model import Embedder, Model, Parameters
from onrecord.programs.tasks.labels import Labels
from onrecord.programs.tasks.long_inputs import Long
from onrecord.programs.tasks.texts import Examples


class ByWhom(TypedDict, total=False):
    """Who does a task: a model, or without one that writes an embedder; and how long an answer of
    the model may get (default: what the model says)."""

    model: str | Model | None
    embedder: str | Embedder | None
    max_tokens: int | None


class Told(ByWhom, total=False):
    """What a model is told besides the text."""

    instruction: str
    examples: Examples


class ToSummarize(Told, total=False):
    """Options of `summarize`."""

    sentences: int
    long: Long
    window: int | None
    prefix: str | None


class ToLabel(Told, total=False):
    """Options of `classify` and `sentiment`."""

    labels: Labels
    window: int | None


class ToTranslate(Told, total=False):
    """Options of `translate`."""

    to: str
    source: str
    window: int | None
    prefix: str | None


class ToAnswer(ByWhom, total=False):
    """Options of `answer`."""

    question: str
    window: int | None


class ToExtract(Told, total=False):
    """Options of `extract`."""

    into: Any
    fields: str | Sequence[str]
    window: int | None


class ToGenerate(Told, total=False):
    """Options of `generate`."""

    parameters: Parameters | Mapping[str, Any]


class ToCompare(ByWhom, total=False):
    """Options of `similar`."""

    candidates: str | Sequence[str]
    instruction: str
