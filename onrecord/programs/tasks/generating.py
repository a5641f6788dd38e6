"""generate: a model's own words for a prompt of the caller's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from onrecord.messages import Message, text_message
from onrecord.models.calling import complete
from onrecord.models.model import Embedder, Model, Parameters, Request
from onrecord.programs.flow import flow
from onrecord.programs.tasks.results import TextResult
from onrecord.programs.tasks.spelling import OptionError
from onrecord.programs.tasks.texts import Examples, checked, examples_of, settle_examples
from onrecord.programs.tasks.ways import Generating, way_of
from onrecord.prompts.template import parameters


class Writing(msgspec.Struct, frozen=True, kw_only=True):
    """Sends a text to a model as it is, behind an `instruction` and `examples` of what was asked
    and answered, and gives what it writes. The text is trusted: it is the prompt."""

    model: str | Model | None = None
    embedder: str | Embedder | None = None
    instruction: str = ""
    examples: Examples = None
    max_tokens: int | None = None
    parameters: Parameters | Mapping[str, Any] = Parameters()

    def __post_init__(self) -> None:
        settle_examples(self)
        parameters(self.parameters, "the task 'generate'")

    @flow
    async def generate(self, text: str) -> TextResult:
        """What the model writes. Raises UsageError, ModelError."""
        checked(text)
        way = await way_of(self.model, self.embedder, self.max_tokens)
        if not isinstance(way, Generating):
            raise OptionError(
                f"generate needs a model that writes, and {way.name} does not",
                cure="Name one: {model}.",
            )
        messages: list[Message] = []
        if self.instruction:
            messages.append(text_message("system", self.instruction))
        for example in examples_of(self.examples):
            messages.append(text_message("user", example.text))
            messages.append(text_message("assistant", str(example.output)))
        messages.append(text_message("user", text))
        answer = await complete(
            way.model, Request(tuple(messages), parameters(self.parameters, "the task 'generate'"))
        )
        note = " ".join(answer.warnings)
        if answer.finish == "length":
            note = f"{note} The answer was cut off at its longest.".strip()
        return TextResult(answer.text, None, (), way.name, note)
