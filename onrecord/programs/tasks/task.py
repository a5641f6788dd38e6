"""`task`: one typed call for each of the usual tasks, whoever does it.

on.task("classify", labels=["billing", "other"]).run("My bill is wrong").label
on.task("summarize", model="openai:gpt-6-luna").over.run("articles.csv", "summaries.jsonl")

name        without a model               a model that writes       hf: fine-tuned
summarize   the most central sentences    prompt, few-shot          text to text (T5, BART)
classify    descriptions, or examples     prompt, few-shot          heads, entailment models
sentiment   examples only                 prompt, few-shot          heads
answer      the best quotation            prompt                    heads that mark answers
similar     cosines                       prompt                    encoders (embedder=)
extract     patterns (dates, mails, …)    prompt, few-shot          heads that mark entities
translate   –                             prompt, few-shot          text to text (T5, Marian)
generate    –                             what you write            –
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, ParamSpec, TypeVar, Unpack, cast, overload

from onrecord.calling import Operation, Stream
from onrecord.errors import UnknownNameError
from onrecord.programs.flow import Flow
from onrecord.programs.tasks.answering_texts import Answering
from onrecord.programs.tasks.batch import Batch, BatchReport
from onrecord.programs.tasks.checking import check_option, check_options
from onrecord.programs.tasks.extracting import Extracting
from onrecord.programs.tasks.generating import Writing
from onrecord.programs.tasks.labelling import Classifying, Feeling
from onrecord.programs.tasks.options import (
    ToAnswer,
    ToCompare,
    ToExtract,
    ToGenerate,
    ToLabel,
    ToSummarize,
    ToTranslate,
)
from onrecord.programs.tasks.results import (
    AnswerResult,
    LabelResult,
    SimilarResult,
    TextResult,
    ValueResult,
)
from onrecord.programs.tasks.similarity import Comparing
from onrecord.programs.tasks.spelling import OptionError
from onrecord.programs.tasks.summarizing import Summarizing
from onrecord.programs.tasks.translating import Translating
from onrecord.records.record import plain
from onrecord.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


class Task(Generic[P, R]):
    """A task with its options: await it, `.run` it, `.stream` it; `.over` a file.

    Each call is a flow of the task's name on record, with every model call inside it.
    """

    def __init__(self, name: str, options: Any, doing: Flow[P, R]) -> None:
        self.name = name
        self.options = options
        self.flow = doing

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do the task for one text. Raises UsageError, ModelError."""
        return await self.flow(*args, **kwargs)

    def run(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do the task for one text and block until its result is there."""
        return self.flow.run(*args, **kwargs)

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> Stream[R]:
        """Do the task for one text and yield its events; the last one is a Result."""
        return self.flow.stream(*args, **kwargs)

    @Operation
    async def over(
        self,
        path: str | Path,
        out: str | Path,
        *,
        column: str | None = None,
        together: int = 4,
        retry: bool = False,
    ) -> BatchReport:
        """Do the task for each row of a file (lines, CSV, TSV, JSON, JSON Lines), with a progress
        bar, and write the results to `out`, JSON Lines in the rows' order.

        Run again, it goes on where it stopped: what is in `out` is not asked for again. A row that
        fails is a row with its `error`; with `retry` those are done again. `together`: so many
        rows at the same time. Raises UsageError where `out` is not this batch's, LimitError,
        StorageError, LoadError.
        """
        check_option("path", path, str | Path)
        check_option("out", out, str | Path)
        check_option("column", column, str | None)
        check_option("together", together, int)
        batch = Batch(self.name, _described(self.options), Path(path), Path(out))
        do = cast("Any", self.flow)
        return await batch.perform(do, column=column, together=together, retry=retry)

    def __repr__(self) -> str:
        return f"Task({self.name!r})"


class _Family(NamedTuple):
    """The options of a task, and the name of the flow that does it."""

    options: Any
    flow: str


_FAMILIES = {
    "summarize": _Family(Summarizing, "summarize"),
    "sentiment": _Family(Feeling, "sentiment"),
    "translate": _Family(Translating, "translate"),
    "classify": _Family(Classifying, "classify"),
    "answer": _Family(Answering, "answer"),
    "extract": _Family(Extracting, "extract"),
    "generate": _Family(Writing, "generate"),
    "similar": _Family(Comparing, "similar"),
}
NAMES = tuple(_FAMILIES)


@overload
def task(name: Literal["summarize"], **options: Unpack[ToSummarize]) -> Task[[str], TextResult]: ...
@overload
def task(
    name: Literal["classify", "sentiment"], **options: Unpack[ToLabel]
) -> Task[[str], LabelResult]: ...
@overload
def task(name: Literal["translate"], **options: Unpack[ToTranslate]) -> Task[[str], TextResult]: ...
@overload
def task(name: Literal["answer"], **options: Unpack[ToAnswer]) -> Task[..., AnswerResult]: ...
@overload
def task(name: Literal["extract"], **options: Unpack[ToExtract]) -> Task[[str], ValueResult]: ...
@overload
def task(name: Literal["generate"], **options: Unpack[ToGenerate]) -> Task[[str], TextResult]: ...
@overload
def task(name: Literal["similar"], **options: Unpack[ToCompare]) -> Task[..., SimilarResult]: ...
@overload
def task(name: str, **options: Any) -> Task[..., Any]: ...
def task(name: str, **options: Any) -> Task[..., Any]:
    """A task by its name, with its options.

    `model`: who does it (default: the settings'; without a model that writes, the embedded way,
    where there is an honest one). `embedder`: what compares meanings (default: the settings').
    Each task has options of its own; docs/tasks.md tells them.

    Raises UnknownNameError for another name, UsageError for an option that the task has not, or
    that does not fit.
    """
    if not isinstance(name, str) or name not in _FAMILIES:
        raise UnknownNameError(
            f"there is no task {name!r}",
            cure=f"{_close(str(name), NAMES)}There are {', '.join(NAMES)}.",
        )
    family = _FAMILIES[name]
    known = options_of(name)
    for option in options:
        if option not in known:
            listed = ", ".join(f"{{{each}:alone}}" for each in known)
            raise OptionError(
                f"the task '{name}' has no option '{option}'",
                cure=f"{_close(option, known)}It has {listed}.",
            )
    check_options(options, family.options)
    made = family.options(**options)
    return Task(name, made, getattr(made, family.flow))


def options_of(name: str) -> tuple[str, ...]:
    """The options of a task. Raises KeyError for a name that is none."""
    return tuple(_FAMILIES[name].options.__struct_fields__)


def _close(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"Did you mean '{close[0]}'? " if close else ""


def _described(options: Any) -> dict[str, Any]:
    """All that results depend on, equal in another process: models by their names, the settings'
    where none is named."""
    said = {name: getattr(options, name) for name in options.__struct_fields__}
    for who in ("model", "embedder"):
        if said[who] is None:
            said[who] = getattr(Settings.load(), who)
        elif not isinstance(said[who], str):
            said[who] = f"{said[who].name} {said[who].version}"
    if "into" in said:
        said["into"] = repr(said["into"])
    return {name: plain(value) for name, value in said.items()}
