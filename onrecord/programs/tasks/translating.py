"""translate: by a model alone. A long text is translated part by part, and put together again."""

from __future__ import annotations

import msgspec

from onrecord.models.model import Embedder, Model
from onrecord.programs.flow import flow
from onrecord.programs.tasks.long_inputs import cut, map_parts, room
from onrecord.programs.tasks.prefixes import prefix_of, written
from onrecord.programs.tasks.results import TextResult
from onrecord.programs.tasks.spelling import OptionError
from onrecord.programs.tasks.texts import Example, Examples, checked, examples_of, settle_examples
from onrecord.programs.tasks.ways import Generating, way_of
from onrecord.prompts.prompt import prompt
from onrecord.prompts.untrusted import untrusted


class Translating(msgspec.Struct, frozen=True, kw_only=True):
    """Translates a text `to` a language, named in English ("German"), from `source`.

    `window`: how many tokens of a long text one request may hold; the parts do not know of each
    other. `prefix`: what is put before the text for an encoder-decoder model (default: what its
    files say).
    """

    to: str = ""
    source: str = ""
    model: str | Model | None = None
    embedder: str | Embedder | None = None
    instruction: str = ""
    examples: Examples = None
    window: int | None = None
    max_tokens: int | None = None
    prefix: str | None = None

    def __post_init__(self) -> None:
        settle_examples(self)
        if not self.to.strip() and self.prefix is None:
            raise OptionError("translate does not know into which language", cure="Name it: {to}.")

    @flow
    async def translate(self, text: str) -> TextResult:
        """The translation of a text. Raises UsageError, ModelError."""
        checked(text)
        way = await way_of(self.model, self.embedder, self.max_tokens)
        if not isinstance(way, Generating):
            raise OptionError(
                f"translate needs a model that writes, and {way.name} does not",
                cure="Name one: {model}.",
            )
        most = room(way, self.window, alone=way.trained is not None)
        spans = await cut(text, most, way.count)

        async def one(part: str) -> str:
            if way.trained is not None:
                before = prefix_of(way, "translate", self.prefix, self.to, self.source)
                return await written(way.model, before + part)
            return await translate_text.using(way.model)(
                part, self.to, self.source, list(examples_of(self.examples)), self.instruction
            )

        if len(spans) == 1:
            return TextResult(await one(text), None, (), way.name)
        made = await map_parts([text[slice(*span)] for span in spans], one)
        # What stood between two parts stands between their translations.
        ends = [*(span[0] for span in spans[1:]), len(text)]
        between = [text[span[1] : end] for span, end in zip(spans, ends, strict=True)]
        whole = "".join(part + gap for part, gap in zip(made, between, strict=True))
        note = f"The text was translated in {len(spans)} parts of at most {most:,} tokens."
        return TextResult(whole.strip(), None, (), way.name, note)


@prompt(untrusted=untrusted("text", max_chars=1_000_000))
async def translate_text(
    text: str, to: str, source: str, examples: list[Example], instruction: str
) -> str:
    """Translate the text."""
    raise AssertionError("a prompt's body is never run")
