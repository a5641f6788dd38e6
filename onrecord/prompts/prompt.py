"""`@prompt`: a typed function whose text lives in a file and whose answer a model gives.

    @prompt(model="openai:gpt-6-luna")
    async def answer(question: str, passages: list[Passage]) -> Cited[str]:
        \"\"\"Answer only from the passages. Quote the words that support each claim.\"\"\"

The text is `prompts/answer.md` (or `.prompty`) beside the function's module, else in the working
folder; examples are in `prompts/answer.demos.jsonl`. Without a file the docstring is the
instruction and the arguments are laid out under their names. The types are the contract: an answer
that does not fit goes back to the model, `repairs` times at most, each time as a recorded call.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast, overload

from onrecord.calling import Operation, run
from onrecord.errors import PromptError
from onrecord.messages import Message, text_message
from onrecord.models.model import Model, Parameters, Request, Way
from onrecord.models.names import choose, model
from onrecord.prompts.contract import Contract
from onrecord.prompts.decorating import (
    changed,
    check_choices,
    check_function,
    check_name,
    checked_model,
    checked_parameters,
    checked_untrusted,
    signature_of,
    untrusted_by,
)
from onrecord.prompts.demos import Demo, Demos, put
from onrecord.prompts.fitting import Fitting
from onrecord.prompts.front_matter import FrontMatter
from onrecord.prompts.passages import Passages, framed
from onrecord.prompts.reading import Files, Reading
from onrecord.prompts.structured import Output, Quoted, Unfit
from onrecord.prompts.structuring import Asking, answered, structured, told, ways_of
from onrecord.prompts.template import Template, parameters, shown
from onrecord.prompts.untrusted import Defence, Fence, Fenced, Untrusted, defence
from onrecord.prompts.unused import check_shown
from onrecord.prompts.versions import Kept, version_of, written
from onrecord.records.call import call
from onrecord.records.record import plain
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
        reasoning: bool | None = None,
        untrusted: Untrusted | str | Sequence[str] = (),
    ) -> None:
        check_function(function)
        super().__init__(function)
        self.name = function.__name__ if name is None else name
        check_name(self.name)
        check_choices(repairs, reasoning)
        self._text = _Text(function, self.name)
        self._model = checked_model(model)
        self._parameters = checked_parameters(parameters, self._text.where)
        self._repairs = repairs
        self._reasoning = reasoning
        self._untrusted = checked_untrusted(untrusted)
        self._made: dict[str, Model] = {}  # shared with its copies: what they remember stays
        self._read: tuple[object, Contract] | None = None
        self._planned: tuple[Contract, _Plan] | None = None

    @property
    def version(self) -> str:
        """Changes with the prompt's text, its demos and its types."""
        return self._plan().version

    def inputs(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Plain JSON values as the arguments by name, defaults included. Raises PromptError."""
        return Fitting(self._contract, self._plan().output).inputs(values, self._text.where)

    def using(self, model: str | Model | None = None, **parameters: Any) -> Prompt[P, R]:
        """The same prompt, answered by another model, or in another way: `parameters` are those of
        Parameters, by name. Raises UsageError."""
        other = copy.copy(self)
        if model is not None:
            other._model = checked_model(model)
        if parameters:
            given = checked_parameters(parameters, f"prompt {self.name}")
            other._parameters = changed(self._parameters, given)
            other._planned = None
        return other

    def __repr__(self) -> str:
        shown, model, version = f"{self.name}{signature_of(self._function)}", self._model, ""
        with contextlib.suppress(Exception):  # a file that is broken is told of when it is called
            plan = self._plan()
            version = f"version {plan.version[:8]}"
            model = model or plan.model
        named = model if model is None or isinstance(model, str) else model.name
        return f"<Prompt {', '.join(filter(None, [shown, named, version]))}>"

    def render(self, *args: P.args, **kwargs: P.kwargs) -> tuple[Message, ...]:
        """Exactly the messages that this call would send first. Raises PromptError.

        The marks around untrusted inputs are new for each call. A model that is given as an object
        says itself how it is told the form of its answer; of a name it is assumed that it reads it.
        """
        plan = self._plan()
        inputs = self._bound(args, kwargs)
        demos = run(plan.demos.chosen(self.name, inputs)) if plan.demos else ()
        request, _ = self._request(plan, inputs, self._contract.passages(inputs), demos)
        answering, way = self._model, plan.way
        if answering is not None and not isinstance(answering, str):
            way = ways_of(answering, plan.output, way)[0]
        return structured(request, plan.output, way).messages

    async def _perform(self, *args: P.args, **kwargs: P.kwargs) -> R:
        plan = self._plan()
        inputs = self._bound(args, kwargs)
        passages = self._contract.passages(inputs)
        request, notes = self._request(plan, inputs, passages)
        template, output = plan.template, plan.output
        answering = await self._answering(template)
        if answering.name == _QUOTES and not (self._model or plan.model):
            self._refuse_to_write(output, passages)
        asked = (answering.name, answering.version, request.parameters)
        with call("step", self.name, inputs, version=plan.version, also=asked) as this:
            this.remember_source(plan.kept)
            if (known := this.recall()) is not None:
                with contextlib.suppress(Unfit):
                    value = output.restore(known.output)
                    if plain(value) == known.output:
                        this.output = known.output
                        return cast("R", value)
                this.source = None  # asked again: the model's own answer may be on record, too
            if plan.demos is not None:
                demos = await plan.demos.chosen(self.name, inputs)
                request, notes = self._request(plan, inputs, passages, demos)
            for note in notes:
                _log.warning("%s: %s", self.name, note)
            every = [each for some in passages.values() for each in some]
            repairs = self._allowed_repairs(template)
            asking = Asking(self.name, request, output, every, repairs, plan.way)
            this.output = value = await answered(asking, answering)
            return cast("R", value)

    def _request(
        self,
        plan: _Plan,
        inputs: dict[str, Any],
        passages: dict[str, Passages],
        demos: Sequence[Demo] = (),
    ) -> tuple[Request, Sequence[str]]:
        """What is asked, before a word about the form of the answer, and what was left out."""
        values = {**inputs, **passages}
        if plan.defence is None:
            messages = self._messages(plan, values)
            messages = put(messages, demos, lambda demo: self._messages(plan, self._values(demo)))
            return Request(messages, plan.parameters, inputs=inputs), ()
        fence = Fence(plan.defence, shown)
        messages = self._messages(plan, fence.around(values))
        messages = put(
            messages,
            demos,
            lambda demo: self._messages(plan, fence.around(self._values(demo))),
        )
        where = plan.template.where if plan.template else self._text.where
        sentence, messages = fence.told(messages, where)
        fences = (fence.token,) if sentence else ()
        messages = told(messages, sentence)
        return Request(messages, plan.parameters, inputs=inputs, fences=fences), fence.notes

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._contract.bind(args, kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}") from None

    def _refuse_to_write(self, output: Output, passages: dict[str, Passages]) -> None:
        """The model that answers where none is named writes nothing: it quotes passages."""
        if not (isinstance(output, Quoted) and passages):
            raise PromptError(
                f"the prompt '{self.name}' has no model, and {_QUOTES}, which then answers, can"
                " only quote passages",
                where=self._text.where,
                cure=f'Name one: @prompt(model="openai:NAME"), {self.name}.using("openai:NAME"), or'
                " the variable ONRECORD_MODEL.",
            )

    def _values(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {**inputs, **self._contract.passages(inputs)}

    def _messages(self, plan: _Plan, values: dict[str, Any]) -> tuple[Message, ...]:
        if plan.template is None or plan.template.is_empty:
            return self._laid_out(values)
        messages = plan.template.render(values)
        if self._text.docstring and not plan.template.has_sections:
            return (text_message("system", self._text.docstring), *messages)
        return messages

    def _laid_out(self, values: dict[str, Any]) -> tuple[Message, ...]:
        """The messages of a prompt without a file, or with one that is front matter alone."""
        if not self._text.docstring:
            raise PromptError(
                f"the prompt '{self.name}' has no text",
                where=self._text.where,
                cure=f"Give it a docstring, or write {self._text.places[0]}.",
            )
        system = text_message("system", self._text.docstring)
        blocks = [_block(name, value) for name, value in values.items()]
        return (system, text_message("user", "\n\n".join(blocks))) if blocks else (system,)

    def _plan(self) -> _Plan:
        # Every call asks for it, and it changes only with the file.
        files, contract = self._text.files(), self._contract
        planned = self._planned
        if planned is None or planned[0] is not contract or planned[1].files is not files:
            self._planned = planned = contract, self._made_plan(contract, files)
        return planned[1]

    def _made_plan(self, contract: Contract, files: Files) -> _Plan:
        template, demos = files
        front = template.front if template else FrontMatter()
        output = contract.output(
            bool(front.reasoning if self._reasoning is None else self._reasoning)
        )
        if template is not None and front.output and output.schema is None:
            raise PromptError(
                f"the front matter's output is '{front.output}', and the function returns text",
                where=template.where,
                cure="Text has no form to be held to: take it out, or return a type.",
            )
        said = untrusted_by(self._untrusted, front)
        where = self._text.where
        if template is not None and not set(said.names) <= set(contract.arguments):
            where = template.where
        guarded = defence(said, contract.untrusted(), contract.arguments, where)
        if demos is not None:
            demos = demos.fitted(Fitting(contract, output).demo)
        text = template.source if template else self._text.docstring
        docstring = self._text.docstring if template and not template.has_sections else ""
        lines = demos.source if demos else ""
        around: list[Any] = [self.name, self._text.docstring, contract.types, output.instruction]
        if guarded is not None:
            around.append(guarded)
        version = version_of(text, lines, around)
        if template is not None and not template.is_empty:
            self._text.note(check_shown(template, contract.arguments), version)
        kept = written(Kept(text, lines, docstring, f"{self.name}({contract.types})"))
        given = self._all_parameters(template)
        return _Plan(
            files, template, demos, output, guarded, given, version, kept, front.output, front.model
        )

    def _all_parameters(self, template: Template | None) -> Parameters:
        if template is None:
            return self._parameters
        return changed(parameters(template.front.parameters, template.where), self._parameters)

    def _allowed_repairs(self, template: Template | None) -> int:
        front = template.front.repairs if template else None
        said = front if self._repairs is None else self._repairs
        return _REPAIRS if said is None else said

    async def _answering(self, template: Template | None) -> Model:
        named = self._model or (template.front.model if template else None) or Settings.load().model
        if not isinstance(named, str):
            return named
        if named != "auto":
            return self._kept(model(named))
        choice = await choose(named)
        _log.warning("%s: %s", self.name, choice.reason)  # nothing falls back silently
        return choice.model

    def _kept(self, fresh: Model) -> Model:
        """The model that was made of this name before: it may have learned what its server takes.
        Another environment makes another version of it, and then that one answers."""
        known = self._made.get(fresh.name)
        if known is None or known.version != fresh.version:
            self._made[fresh.name] = known = fresh
        return known

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
    reasoning: bool | None = None,
    untrusted: Untrusted | str | Sequence[str] = (),
) -> Callable[[Callable[P, Awaitable[R]]], Prompt[P, R]]: ...
def prompt(
    function: Callable[P, Awaitable[R]] | None = None,
    /,
    *,
    model: str | Model | None = None,
    name: str | None = None,
    parameters: Parameters | Mapping[str, Any] | None = None,
    repairs: int | None = None,
    reasoning: bool | None = None,
    untrusted: Untrusted | str | Sequence[str] = (),
) -> Any:
    """Make a typed asynchronous function a prompt; its body is never run.

    `model`: a name or a model. `name`: that of the text's file and of the records (default: the
    function's). `parameters`: how to answer. `repairs`: how often an answer that does not fit goes
    back (default 1). `reasoning`: ask the model to think first; its reasoning stands on the record
    of its answer and is no part of the value. `untrusted`: the arguments that come from outside, by
    name, or `untrusted("email", reminder=True, max_chars=8_000)`; onrecord.prompts.untrusted says
    what that does and what it does not stop. What is said here wins over the file's front matter,
    but for what is untrusted, which is so where either says it; `.using(model)` wins over both.
    """

    def made(decorated: Callable[P, Awaitable[R]]) -> Prompt[P, R]:
        return Prompt(
            decorated,
            model=model,
            name=name,
            parameters=parameters,
            repairs=repairs,
            reasoning=reasoning,
            untrusted=untrusted,
        )

    return made if function is None else made(function)


class _Plan(NamedTuple):
    """What a prompt's types, its file and its decorator come to; the same for every call."""

    files: Files
    template: Template | None
    demos: Demos | None
    output: Output
    defence: Defence | None
    parameters: Parameters
    version: str
    kept: str
    way: Way | None
    model: str | None


class _Text:
    """Where a prompt's words are: its docstring, and its files."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        module = Path(function.__code__.co_filename)
        self.where = f"{module}:{function.__code__.co_firstlineno}"
        self.docstring = inspect.cleandoc(function.__doc__ or "").strip()
        self._reading = Reading((str(module.parent / "prompts"), "prompts"), name)
        self.places = self._reading.places
        self._noted = ""

    def note(self, words: str, version: str) -> None:
        """Log what is odd about the text, once a version."""
        if words and version != self._noted:
            self._noted = version
            _log.warning("%s", words)

    def files(self) -> Files:
        """The template and the demos that there are. Raises PromptError."""
        return self._reading.files()


def _block(name: str, value: object) -> str:
    own_frame = isinstance(value, Passages | Fenced)
    return shown(value) if own_frame else framed(name, shown(value))


_REPAIRS = 1
_QUOTES = "embedded:extractive"
_log = logging.getLogger("onrecord")
