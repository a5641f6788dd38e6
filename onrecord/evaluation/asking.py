"""What each model is asked when models are compared: words with a case in them, or a prompt.

"Name the models in this abstract: {input}"     words, for inputs that are texts
"Answer {question} for {who}."                  words, for inputs that are objects
@on.prompt …                                    a typed prompt
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from onrecord.errors import PromptError, UsageError
from onrecord.messages import text_message
from onrecord.models.calling import complete
from onrecord.models.model import Model, Parameters, Request
from onrecord.programs.tasks.task import task
from onrecord.prompts.prompt import Prompt
from onrecord.records.record import content_key, plain


class Asking(Protocol):
    """A way to ask a model about a case."""

    @property
    def name(self) -> str:
        """What it is called in a table."""

    @property
    def version(self) -> str:
        """Changes whenever a case could be asked about in another way."""

    def check(self, inputs: Iterable[Any]) -> None:
        """Raises UsageError where some input cannot be asked about, before anything is sent."""

    async def ask(self, model: Model, input: Any) -> Any:
        """The model's answer, on the record. Raises ModelError, UsageError, LoadError."""


class Words:
    """Words as they are sent: `{input}` stands for a case's input, `{name}` for a field of it."""

    def __init__(self, text: str = "{input}", parameters: Parameters | None = None) -> None:
        self.text = text
        self.name = "words"
        self._parameters = parameters or Parameters()
        self._names = set(_FIELD.findall(text))
        if not self._names:
            raise UsageError(
                "the prompt does not say where a case's input goes",
                where=text if len(text) < 80 else f"{text[:79]}…",
                cure="Write {input} there.",
            )

    @property
    def version(self) -> str:
        """Of the text and the parameters."""
        return content_key(self.text, msgspec.to_builtins(self._parameters))

    def check(self, inputs: Iterable[Any]) -> None:
        """Raises UsageError for a name that an input does not have."""
        for input in inputs:
            self._filled(input)

    async def ask(self, model: Model, input: Any) -> str:
        """The text of the answer."""
        messages = (text_message("user", self._filled(input)),)
        inputs = input if isinstance(input, dict) else {"input": input}
        return (await complete(model, Request(messages, self._parameters, inputs=inputs))).text

    def _filled(self, input: Any) -> str:
        there = {**(input if isinstance(input, dict) else {}), "input": input}
        if missing := sorted(self._names - there.keys()):
            raise UsageError(
                f"the prompt names {{{missing[0]}}}, and a case's input has no such field",
                where=f"the fields are {', '.join(there)}",
                cure="Write {input} for the whole input.",
            )
        return _FIELD.sub(lambda found: _written(there[found[1]]), self.text)


class Prompted:
    """A prompt; an input that is an object gives its arguments by name, another one its first."""

    def __init__(self, prompt: Prompt[..., Any]) -> None:
        self.prompt = prompt
        self.name = prompt.name

    @property
    def version(self) -> str:
        """The prompt's."""
        return self.prompt.version

    def check(self, inputs: Iterable[Any]) -> None:
        """Raises PromptError for an input that the prompt does not take."""
        for input in inputs:
            self._arguments(input)

    async def ask(self, model: Model, input: Any) -> Any:
        """The prompt's value."""
        return await self.prompt.using(model)(**self._arguments(input))

    def _arguments(self, input: Any) -> dict[str, Any]:
        if isinstance(input, dict):
            return self.prompt.inputs(input)
        first = next(iter(inspect.signature(self.prompt).parameters), None)
        if first is None:
            raise PromptError(f"the prompt '{self.name}' takes no arguments")
        return self.prompt.inputs({first: input})


class Tasked:
    """A task of `onrecord.task` with its options; an input that is an object gives its arguments by
    name. Its value is compared: a label, a text, what was taken out of one.

    Raises UnknownNameError for another name, UsageError for an option that the task has not.
    """

    def __init__(self, name: str, **options: Any) -> None:
        takes = task(name, **options).flow.signature
        _, *arguments = takes.parameters.values()  # the first is the object that holds the options
        self._takes = takes.replace(parameters=arguments)
        self.name = name
        self._options = options

    @property
    def version(self) -> str:
        """Of the task's name and its options."""
        return content_key(self.name, plain(self._options))

    def check(self, inputs: Iterable[Any]) -> None:
        """Raises UsageError for an input that is neither a text nor an object of the arguments."""
        for input in inputs:
            if not isinstance(input, str | dict):
                raise UsageError(
                    f"a task reads texts, and a case's input is {type(input).__name__}",
                    where=f"task {self.name}",
                    cure="Make it a text, or an object with the task's arguments.",
                )
            if isinstance(input, dict):
                self._check_fields(input)

    def _check_fields(self, input: dict[str, Any]) -> None:
        try:
            self._takes.bind(**input)
        except TypeError as error:
            raise UsageError(
                f"a case's input does not fit: {error}",
                where=f"task {self.name}",
                cure=f"As an object the task takes {', '.join(self._takes.parameters)}.",
            ) from None

    async def ask(self, model: Model, input: Any) -> Any:
        """The value of the task's result."""
        doing = task(self.name, model=model, **self._options)
        return (await (doing(**input) if isinstance(input, dict) else doing(input))).value


Ask = Asking | Prompt[..., Any] | str


def asking(given: Ask) -> Asking:
    """A way to ask, from what a caller wrote."""
    if isinstance(given, str):
        return Words(given)
    return Prompted(given) if isinstance(given, Prompt) else given


def askings(given: Ask | Sequence[Ask]) -> list[Asking]:
    """What one or several of these say to ask. Raises UsageError for what says nothing."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        return [_checked(each) for each in given]
    return [_checked(given)]


def _checked(given: Ask) -> Asking:
    found = asking(given)
    if not callable(getattr(found, "ask", None)):
        raise UsageError(
            f"{given!r:.80} does not say what to ask",
            cure='Write ask="…{input}…", or give a prompt.',
        )
    return found


def _written(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


_FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")
