"""`@prompt`: a typed function whose text lives in a file and whose answer a model gives.

    @prompt(model="openai:gpt-5-mini")
    async def answer(question: str, passages: list[Passage]) -> Cited[str]:
        \"\"\"Answer only from the passages. Quote the words that support each claim.\"\"\"

The text is `prompts/answer.md` beside the function's module, else in the working folder. Without a
file the docstring is the instruction and the arguments are laid out under their names. The types
are the contract: an answer that does not fit goes back to the model, `repairs` times at most, each
time as a recorded call.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast, overload

import msgspec

from onrecord.calling import Operation
from onrecord.errors import OutputError, PromptError
from onrecord.messages import Cited, Completion, Message, Passage, text_message
from onrecord.models.calling import complete
from onrecord.models.model import Model, Parameters, Request
from onrecord.models.names import choose, model
from onrecord.prompts.contract import Contract
from onrecord.prompts.passages import Passages, framed
from onrecord.prompts.structured import Reading, Unfit
from onrecord.prompts.template import Template, parameters, shown
from onrecord.records.record import plain
from onrecord.records.recording import call
from onrecord.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


class Prompt(Operation[P, R]):
    """A prompt: await it, `.run` it, `.stream` it, or `.render` what it would send."""

    def __init__(
        self,
        function: Callable[P, Awaitable[R]],
        *,
        model: str | Model | None = None,
        name: str | None = None,
        parameters: Parameters | Mapping[str, Any] | None = None,
        repairs: int | None = None,
    ) -> None:
        super().__init__(function)
        self.name = name or function.__name__
        self._model = model
        self._parameters = parameters
        self._repairs = repairs
        self._text = _Text(function, self.name)
        self._read: tuple[object, Contract] | None = None
        self._hashed: tuple[Contract, Template | None, str] | None = None
        self._merged: tuple[Template | None, Parameters] | None = None

    @property
    def version(self) -> str:
        """Changes with the prompt's text and its types."""
        return self._version(self._text.template())

    def _version(self, template: Template | None) -> str:
        # Every call asks for it, and it changes only with the file.
        contract = self._contract
        if self._hashed is not None and self._hashed[:2] == (contract, template):
            return self._hashed[2]
        content = [
            self.name,
            template.source if template else "",
            self._text.docstring,
            contract.types,
            contract.output.instruction,
        ]
        version = hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]
        self._hashed = contract, template, version
        return version

    def using(self, model: str | Model) -> Prompt[P, R]:
        """The same prompt, answered by another model."""
        other = copy.copy(self)
        other._model = model
        return other

    def render(self, *args: P.args, **kwargs: P.kwargs) -> tuple[Message, ...]:
        """Exactly the messages that this call would send first. Raises PromptError."""
        inputs = self._contract.bind(args, kwargs)
        return self._request(inputs, self._text.template()).messages

    async def _perform(self, *args: P.args, **kwargs: P.kwargs) -> R:
        inputs = self._contract.bind(args, kwargs)
        template = self._text.template()
        request = self._request(inputs, template)
        answering = await self._answering(template)
        asked = (answering.name, answering.version, request.parameters)
        with call("step", self.name, inputs, version=self._version(template), also=asked) as this:
            this.remember_source(template.source if template else self._text.docstring)
            if (known := this.recall()) is not None:
                with contextlib.suppress(Unfit):
                    value = self._contract.output.restore(known.output)
                    if plain(value) == known.output:
                        this.output = known.output
                        return cast("R", value)
                this.source = None  # asked again: the model's own answer may be on record, too
            repairs = self._allowed_repairs(template)
            this.output = value = await self._answer(request, answering, repairs)
            return cast("R", value)

    async def _answer(self, request: Request, answering: Model, repairs: int) -> Any:
        inputs = dict(request.inputs)
        passages = [each for some in self._contract.passages(inputs).values() for each in some]
        best: Reading[Any] | None = None
        problem = ""
        for _ in range(1 + repairs):
            completion = await complete(answering, request)
            try:
                reading = self._reading(completion, passages)
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
            f"the answer does not fit its type: {problem}",
            where=f"prompt {self.name}, {answering.name}",
            cure="The record holds the answer; a more able model or a simpler type may help.",
        )

    def _reading(self, completion: Completion, passages: list[Passage]) -> Reading[Any]:
        output = self._contract.output
        if completion.finish == "refused":
            return self._declined(completion)
        if completion.finish == "length" and not completion.text.strip():
            raise OutputError(
                "the answer was cut off before its first word",
                where=f"prompt {self.name}, {completion.model}",
                cure="Raise max_tokens: thinking counts, too.",
            )
        try:
            return output.read(completion.text, passages)
        except Unfit as error:
            if completion.finish == "length":
                raise Unfit(f"It was cut off at the limit of tokens. {error}") from None
            raise

    def _declined(self, completion: Completion) -> Reading[Any]:
        """A provider's refusal: a value where the type has a word for it, else an error."""
        if self._contract.quotes:
            return Reading(Cited(None, (), True, completion.text.strip() or "The model declined."))
        raise OutputError(
            f"the model declined to answer: {completion.text.strip() or 'no reason given'}",
            where=f"prompt {self.name}, {completion.model}",
        )

    def _request(self, inputs: dict[str, Any], template: Template | None) -> Request:
        contract = self._contract
        values = {**inputs, **contract.passages(inputs)}
        if template is None:
            messages = self._laid_out(values)
        else:
            messages = template.render(values)
            if self._text.docstring and not template.has_sections:
                messages = (text_message("system", self._text.docstring), *messages)
        return Request(
            messages=_instructed(messages, contract.output.instruction),
            parameters=self._merged_parameters(template),
            schema=contract.output.schema,
            inputs=inputs,
        )

    def _laid_out(self, values: dict[str, Any]) -> tuple[Message, ...]:
        """The messages of a prompt without a file."""
        if not self._text.docstring:
            raise PromptError(
                f"the prompt '{self.name}' has no text",
                where=self._text.where,
                cure=f"Give it a docstring, or write {self._text.places[0]}.",
            )
        system = text_message("system", self._text.docstring)
        blocks = [_block(name, value) for name, value in values.items()]
        return (system, text_message("user", "\n\n".join(blocks))) if blocks else (system,)

    def _merged_parameters(self, template: Template | None) -> Parameters:
        if self._merged is None or self._merged[0] is not template:
            self._merged = template, self._all_parameters(template)
        return self._merged[1]

    def _all_parameters(self, template: Template | None) -> Parameters:
        where = self._text.where
        if template is None:
            return parameters(self._parameters, where)
        front = parameters(template.front.parameters, template.where)
        changes = msgspec.structs.asdict(parameters(self._parameters, where))
        default = msgspec.structs.asdict(Parameters())
        given = {name: each for name, each in changes.items() if each != default[name]}
        return msgspec.structs.replace(front, **given)

    def _allowed_repairs(self, template: Template | None) -> int:
        front = template.front.repairs if template else None
        return next(each for each in (self._repairs, front, _REPAIRS) if each is not None)

    async def _answering(self, template: Template | None) -> Model:
        named = self._model or (template.front.model if template else None) or Settings.load().model
        if named != "auto":
            return model(named)
        choice = await choose(named)
        _log.warning("%s: %s", self.name, choice.reason)  # nothing falls back silently
        return choice.model

    @property
    def _contract(self) -> Contract:
        # Bound to an object, the function is another one, without its first parameter.
        if self._read is None or self._read[0] is not self._function:
            self._read = self._function, Contract(self._function)
        return self._read[1]


@overload
def prompt(function: Callable[P, Awaitable[R]], /) -> Prompt[P, R]: ...
@overload
def prompt(
    *,
    model: str | Model | None = None,
    name: str | None = None,
    parameters: Parameters | Mapping[str, Any] | None = None,
    repairs: int | None = None,
) -> Callable[[Callable[P, Awaitable[R]]], Prompt[P, R]]: ...
def prompt(
    function: Callable[P, Awaitable[R]] | None = None,
    /,
    *,
    model: str | Model | None = None,
    name: str | None = None,
    parameters: Parameters | Mapping[str, Any] | None = None,
    repairs: int | None = None,
) -> Any:
    """Make a typed asynchronous function a prompt; its body is never run.

    `model`: a name or a model. `name`: that of the text's file and of the records (default: the
    function's). `parameters`: how to answer. `repairs`: how often an answer that does not fit goes
    back (default 1). What is said here wins over the file's front matter; `.using(model)` wins
    over both.
    """

    def made(decorated: Callable[P, Awaitable[R]]) -> Prompt[P, R]:
        if not inspect.iscoroutinefunction(decorated):
            raise PromptError(
                f"a prompt is an asynchronous function: "
                f"{getattr(decorated, '__name__', decorated)!s}",
                cure="Write 'async def'.",
            )
        return Prompt(decorated, model=model, name=name, parameters=parameters, repairs=repairs)

    return made if function is None else made(function)


class _Text:
    """Where a prompt's words are, and the template made of them; a changed file is read anew."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        module = Path(function.__code__.co_filename)
        self.where = f"{module}:{function.__code__.co_firstlineno}"
        self.docstring = inspect.cleandoc(function.__doc__ or "").strip()
        self.places = (str(module.parent / "prompts" / f"{name}.md"), f"prompts/{name}.md")
        self._seen: tuple[object, Template] | None = None

    def template(self) -> Template | None:
        """The template of the first file there is, or None."""
        for path in self.places:
            try:
                status = os.stat(path)  # noqa: PTH116  # every call waits for this
            except OSError:
                continue
            stamp = (path, status.st_mtime_ns, status.st_size)
            if self._seen is None or self._seen[0] != stamp:
                self._seen = stamp, Template.read(Path(path))
            return self._seen[1]
        return None


def _block(name: str, value: object) -> str:
    return value.shown if isinstance(value, Passages) else framed(name, shown(value))


def _instructed(messages: tuple[Message, ...], instruction: str) -> tuple[Message, ...]:
    """The messages with the instruction on the answer's form at the end of the system message."""
    if not instruction:
        return messages
    if messages and messages[0].role == "system":
        text = f"{messages[0].text}\n\n{instruction}"
        return (text_message("system", text), *messages[1:])
    return (text_message("system", instruction), *messages)


def _repair(request: Request, completion: Completion, problem: str) -> Request:
    again = text_message("user", f"{_AGAIN} {problem}")
    messages = (*request.messages, completion.message, again)
    return msgspec.structs.replace(request, messages=messages)


def _better(best: Reading[Any] | None, reading: Reading[Any]) -> Reading[Any]:
    """Of two imperfect answers the one with more verified quotations, else the later."""
    if best is None or len(reading.value.citations) >= len(best.value.citations):
        return reading
    return best


_REPAIRS = 1
_log = logging.getLogger("onrecord")
_AGAIN = (
    "That answer cannot be used as it is. Answer the same question again, completely, in the form"
    " asked for, and without a word about this correction. What is wrong:"
)
