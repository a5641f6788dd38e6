"""Getting a typed answer: the ways to hold a model to its form, one after the other, and the repair
of an answer that does not fit.

    schema      the server enforces the JSON schema                     Request.schema
    tool        the arguments of the one tool `answer` are the answer   Request.tools, .tool_choice
    prompted    the form is asked for in words alone

The first way that the model says it can go (`models.model.structures`) is tried. Where the model or
its server refuses that way, the next one is; that is a request, and a record, of its own, and the
refused one stays on record with its reason. What was refused for one schema is not tried again in
this process. Whatever the way, the words ask for the form too, and the answer is validated here.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from onrecord.calling import listening
from onrecord.errors import ModelRefusedError, OnrecordError, OutputError, PromptError
from onrecord.messages import (
    Cited,
    Completion,
    Message,
    Passage,
    ToolCall,
    ToolResult,
    ToolSchema,
    text_message,
)
from onrecord.models.calling import complete
from onrecord.models.model import Model, Request, Way, structures
from onrecord.prompts.partial import partials
from onrecord.prompts.structured import Output, Quoted, Reading, Unfit


class Asking(NamedTuple):
    """One question, without a word about the form of its answer yet, and how to read the answer.
    `way`: the first one to try; None: the best that the model says it can go."""

    name: str
    request: Request
    output: Output
    passages: Sequence[Passage]
    repairs: int
    way: Way | None = None


async def answered(asking: Asking, model: Model) -> Any:
    """The value that a model answers with. Raises OutputError where none fits, the repairs
    included, and ModelError."""
    if asking.output.schema is None:
        return await _answered_by(asking, model, None)
    ways = ways_of(model, asking.output, asking.way)
    for way in ways[:-1]:
        try:
            return await _answered_by(asking, model, way)
        except ModelRefusedError as refusal:
            if not refuses(way, refusal):
                raise
            _remember(model, asking.output, way)
    return await _answered_by(asking, model, ways[-1])


def ways_of(model: Model, output: Output, first: Way | None = None) -> tuple[Way | None, ...]:
    """The ways to try, in their order, from `first` on; (None,) where the answer is text. Raises
    PromptError where the model cannot go that way."""
    if output.schema is None:
        return (None,)
    able = structures(model)
    if first is not None:
        if first not in able:
            raise PromptError(
                f"the model cannot be held to the form of its answer by '{first}'",
                where=model.name,
                cure=f"It can by {', '.join(able)}: see to 'output' in the prompt's front matter.",
            )
        able = able[able.index(first) :]
    if not _refused:
        return able
    refused = _refused.get(_question(model, output), ())
    return tuple(way for way in able if way not in refused) or able[-1:]


def structured(request: Request, output: Output, way: Way | None) -> Request:
    """The request with the form of its answer, in words and, where that is the way, as a schema."""
    words, schema, tools, choice = output.instruction, None, request.tools, request.tool_choice
    if way == "schema":
        schema = output.schema
    elif way == "tool" and output.schema is not None:
        words, choice = output.guidance + _BY_TOOL, _ANSWER
        tools = (ToolSchema(_ANSWER, "Takes the answer.", output.schema),)
    return Request(  # `structs.replace` takes twice as long
        told(request.messages, words),
        request.parameters,
        schema,
        request.inputs,
        tools,
        choice,
        request.fences,
        way,
    )


def told(messages: tuple[Message, ...], words: str) -> tuple[Message, ...]:
    """The messages with these words at the end of the system message."""
    if not words:
        return messages
    if messages and messages[0].role == "system":
        text = f"{messages[0].text}\n\n{words}"
        return (text_message("system", text), *messages[1:])
    return (text_message("system", words), *messages)


def refuses(way: Way | None, refusal: ModelRefusedError) -> bool:
    """Whether a refusal is about this way, and not about the key, the quota or the model."""
    return way in _COMPLAINTS and bool(_COMPLAINTS[way].search(refusal.what))


async def _answered_by(asking: Asking, model: Model, way: Way | None) -> Any:
    request = asking.request
    if asking.output.instruction:
        request = structured(request, asking.output, way)
    best: Reading[Any] | None = None
    problem = ""
    for _ in range(1 + asking.repairs):
        if (listener := listening()) is None:
            completion = await complete(model, request)
        else:
            with partials(asking.output, listener):
                completion = await complete(model, request)
        try:
            reading = _reading(asking, completion)
        except Unfit as error:
            problem = str(error)
        else:
            if not reading.problem:
                return reading.value
            best, problem = _better(best, reading), reading.problem
        request = _repair(request, completion, problem)
    if best is not None:
        return best.value
    raise OutputError(
        f"the answer does not fit its type: {problem.rstrip('.')}",
        where=f"prompt {asking.name}, {model.name}",
        cure="A more able model or a simpler type may help; where calls are recorded, `onrecord"
        " records show @1` shows the newest answer.",
    )


def _reading(asking: Asking, completion: Completion) -> Reading[Any]:
    if completion.finish == "refused":
        return _declined(asking, completion)
    words = completion.text if asking.output.schema is None else _said(completion)
    if completion.finish != "length":
        return _read(asking, words)
    if not words.strip():
        raise OutputError(
            "the answer was cut off before its first word",
            where=f"prompt {asking.name}, {completion.model}",
            cure="Raise max_tokens: thinking counts, too.",
        )
    try:
        reading = _read(asking, words)
    except Unfit as error:
        raise Unfit(f"It was cut off at the limit of tokens. {error}") from None
    if asking.output.schema is None:  # any text fits; JSON that fits is whole
        _tell_cut_off(asking.name, completion.model)
    return reading


@functools.lru_cache(maxsize=1024)
def _tell_cut_off(prompt: str, model: str) -> None:
    """Once a process for each prompt and model: a thousand answers may be cut off alike."""
    _log.warning(
        "%s: the answer of %s was cut off at its limit of tokens. Raise max_tokens.", prompt, model
    )


def _read(asking: Asking, words: str) -> Reading[Any]:
    try:
        return asking.output.read(words, asking.passages)
    except (Unfit, OnrecordError):
        raise
    except Exception as error:  # of a validator of the type's own
        error.add_note(
            f"The return type of the prompt '{asking.name}' raised this for the answer"
            f" {words!r:.200}."
        )
        raise


def _said(completion: Completion) -> str:
    """The answer: the arguments of the tool that takes it, else the words beside it."""
    for part in completion.message.parts:
        if isinstance(part, ToolCall) and part.name == _ANSWER:
            return part.arguments
    return completion.text


def _declined(asking: Asking, completion: Completion) -> Reading[Any]:
    """A provider's refusal: a value where the type has a word for it, else an error."""
    if isinstance(asking.output, Quoted):
        return Reading(Cited(None, (), True, completion.text.strip() or "The model declined."))
    raise OutputError(
        f"the model declined to answer: {completion.text.strip() or 'no reason given'}",
        where=f"prompt {asking.name}, {completion.model}",
    )


def _repair(request: Request, completion: Completion, problem: str) -> Request:
    """The same question again, with the answer and what is wrong with it behind it."""
    words = f"{_AGAIN} {problem}"
    calls = [part for part in completion.message.parts if isinstance(part, ToolCall)]
    if calls:  # servers want a result for each call
        results = tuple(ToolResult(each.id, each.name, words, failed=True) for each in calls)
        again = Message("tool", results)
    else:
        again = text_message("user", words)
    messages = (*request.messages, completion.message, again)
    return msgspec.structs.replace(request, messages=messages)


def _better(best: Reading[Any] | None, reading: Reading[Any]) -> Reading[Any]:
    """Of two imperfect answers the one with more verified quotations, else the later."""
    if best is None or len(reading.value.citations) >= len(best.value.citations):
        return reading
    return best


def _question(model: Model, output: Output) -> tuple[str, str, str]:
    return model.name, model.version, output.instruction


def _remember(model: Model, output: Output, way: Way | None) -> None:
    if len(_refused) >= _REMEMBERED:
        _refused.clear()
    asked = _question(model, output)
    _refused[asked] = (*_refused.get(asked, ()), way)


# What servers refused in this process, by model and schema: one may know tools and yet refuse a
# schema that another prompt's differs from.
_refused: dict[tuple[str, str, str], tuple[Way | None, ...]] = {}
_REMEMBERED = 1_000
_log = logging.getLogger("onrecord")
_ANSWER = "answer"
_BY_TOOL = (
    "Give the answer by calling the tool `answer` once: its arguments are the answer. Write nothing"
    " beside that call."
)
_COMPLAINTS: dict[Way | None, re.Pattern[str]] = {
    "schema": re.compile(
        r"response_?format|output_(?:format|config)|schema|structured|grammar|guided|json_object",
        re.IGNORECASE,
    ),
    "tool": re.compile(r"\btools?\b|tool_|\bfunctions?\b|function_call|schema", re.IGNORECASE),
}
_AGAIN = (
    "That answer cannot be used as it is. Answer the same question again, completely, in the form"
    " asked for, and without a word about this correction. What is wrong:"
)
