"""A router: a model that passes each task on to the one of several whose description fits it best.

    cheap_or_able = on.router({
        "openai:gpt-5-mini": "short questions, small talk, looking things up",
        "openai:gpt-5": "mathematics, law, code, plans of several steps",
    }, by="openai:gpt-5-nano")

A task is what the user said last, without the tools' results: all turns of an agent on one task go
to the same model. Without `by` no model is asked: the description whose embedding is nearest wins,
which sees what a task is about and not how hard it is. The choice and the answer are both on
record, inside the router's own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from onrecord.errors import UsageError
from onrecord.models.calling import embed
from onrecord.models.model import Embedder, Event, Model, Request
from onrecord.models.names import embedder as embedder_named
from onrecord.models.names import model as model_named
from onrecord.models.wrappers.attempting import Attempts
from onrecord.programs.agents.dialect import is_of_the_loop
from onrecord.prompts.prompt import Prompt, prompt
from onrecord.prompts.untrusted import untrusted
from onrecord.records.record import content_key


class Router:
    """A model that passes requests on. Made by `router`."""

    def __init__(
        self, models: Mapping[str, tuple[Model, str]], by: Model | None, embedder: Embedder
    ) -> None:
        self._choices = tuple(models.values())
        self.wrapped = tuple(model for model, _ in self._choices)
        self.name = f"router:{'|'.join(models)}"
        self._by = by
        self._embedder = embedder
        self._ask = None if by is None else _chooser(len(models)).using(by)
        self._chosen: OrderedDict[str, Model] = OrderedDict()

    @property
    def version(self) -> str:
        """Changes with the models, their descriptions, and who chooses."""
        by = self._embedder if self._by is None else self._by
        described = [[model.name, model.version, words] for model, words in self._choices]
        return content_key(described, [by.name, by.version])

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """The answer of the model that was chosen. Raises ModelError, of the choice too."""
        task = _task(request)
        model = self._chosen.get(task)
        if model is None:
            model = await self._choose(task)
            self._chosen[task] = model
            if len(self._chosen) > _REMEMBERED:
                self._chosen.popitem(last=False)
        yield await Attempts().ask(model, request)

    def __repr__(self) -> str:
        return f"router({', '.join(each.name for each in self.wrapped)})"

    async def _choose(self, task: str) -> Model:
        words = [each for _, each in self._choices]
        if self._ask is not None:
            listed = "\n".join(f"{at}. {each}" for at, each in enumerate(words, 1))
            number: int = await self._ask(task, listed)
            return self.wrapped[number - 1]
        vectors = await embed(self._embedder, [task, *words])
        return self.wrapped[int((vectors[1:] @ vectors[0]).argmax())]


def router(
    models: Mapping[Any, str],
    *,
    by: str | Model | None = None,
    embedder: str | Embedder | None = None,
) -> Router:
    """A model that passes each task on to one of several, by their descriptions.

    `models`: for each model (or its name) what it is for, in words. `by`: the model that chooses;
    without one the nearest description does, by the vectors of `embedder`. Raises UsageError for
    fewer than two models, and for one without a description.
    """
    if not isinstance(models, Mapping) or len(models) < 2:
        raise UsageError(
            "a router chooses among two models or more",
            cure='Write on.router({"openai:gpt-5": "hard ones", "openai:gpt-5-mini": "the rest"}).',
        )
    made: dict[str, tuple[Model, str]] = {}
    for given, words in models.items():
        chosen = model_named(given)
        if not isinstance(words, str) or not words.strip():
            raise UsageError(f"the model {chosen.name} has no description to choose it by")
        if chosen.name in made:
            raise UsageError(f"the model {chosen.name} is there twice")
        made[chosen.name] = chosen, words
    chooser = None if by is None else model_named(by)
    return Router(made, chooser, embedder_named(embedder or _EMBEDDER))


def _chooser(count: int) -> Prompt[..., Any]:
    """The prompt that chooses one of so many."""

    async def choose_model(task: str, choices: str) -> int:
        """The number of the choice whose description fits the task best."""
        raise AssertionError("a prompt's body is never run")

    number = Annotated[int, Field(ge=1, le=count)]
    choose_model.__annotations__ = {"task": str, "choices": str, "return": number}
    return prompt(untrusted=untrusted("task", max_chars=20_000))(choose_model)


def _task(request: Request) -> str:
    """What the user said last. What an agent's loop writes in the user's name is passed over."""
    said = (each for each in reversed(request.messages) if each.role == "user")
    return next((each.text for each in said if not is_of_the_loop(each)), "")


_EMBEDDER = "embedded:minilm"
_REMEMBERED = 10_000
