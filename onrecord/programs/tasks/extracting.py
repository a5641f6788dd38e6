"""extract: typed values out of a text, by a model; or what patterns find for sure."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from onrecord.errors import OutputError, UsageError
from onrecord.models.model import Embedder, Model
from onrecord.models.transformers.tagger import HFTagger
from onrecord.programs.flow import flow
from onrecord.programs.restoring import Unrestorable, restored
from onrecord.programs.tasks.heads import tag, tagger_of
from onrecord.programs.tasks.long_inputs import Span, cut, map_parts, room
from onrecord.programs.tasks.merging import merged
from onrecord.programs.tasks.results import Evidence, ValueResult, joined, quoted
from onrecord.programs.tasks.spelling import OptionError
from onrecord.programs.tasks.texts import Example, Examples, checked, examples_of, settle_examples
from onrecord.programs.tasks.ways import Embedded, Generating, Headed, way_of
from onrecord.prompts.prompt import Prompt, prompt
from onrecord.prompts.untrusted import untrusted
from onrecord.records.record import plain
from onrecord.settings import Settings


class Extracting(msgspec.Struct, frozen=True, kw_only=True):
    """Takes values out of a text.

    `into`: a type (pydantic model, dataclass, Struct, TypedDict, list of them); or `fields`: names,
    each of whose values is a text or None. With an hf: model that was fine-tuned to mark entities
    the fields are kinds of entities, each a list (default: all that it knows). Without a model only
    the fields emails, urls, numbers and dates can be found, each a list, by patterns that take what
    is written in a usual form.

    `window`: how many tokens of a long text one request to a generating model may hold; `merged`
    says how the values of its parts become those of the whole.
    """

    into: Any = None
    fields: str | Sequence[str] = ()
    model: str | Model | None = None
    embedder: str | Embedder | None = None
    instruction: str = ""
    examples: Examples = None
    window: int | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        settle_examples(self)
        names = self.names()
        if self.into is not None and names:
            raise UsageError("extract takes a type or fields, and not both", cure="Leave one out.")
        if self.into is None and not names and not _may_mark(self.model):
            raise _unsaid()

    def names(self) -> tuple[str, ...]:
        """The fields. Raises UsageError for one that cannot be a field's name."""
        given = self.fields.split(",") if isinstance(self.fields, str) else self.fields
        names = tuple(name.strip() for name in given if name.strip())
        for name in names:
            if not name.isidentifier():
                raise UsageError(
                    f"'{name}' cannot be the name of a field",
                    cure="Use letters, digits and underscores.",
                )
        if len(set(names)) < len(names):
            raise UsageError("a field is named twice", cure="Name each field once.")
        return names

    @flow
    async def extract(self, text: str) -> ValueResult:
        """The values of a text. Raises UsageError, ModelError."""
        checked(text)
        if (tagger := await tagger_of(self.model)) is not None:
            return await self._marked(tagger, text)
        if self.into is None and not self.names():
            raise _unsaid()
        way = await way_of(self.model, self.embedder, self.max_tokens)
        if isinstance(way, Headed):
            raise UsageError("this model labels texts and extracts nothing", where=way.name)
        if isinstance(way, Embedded):
            return _matched(self.names(), text)
        return await self._written(way, text)

    async def _written(self, way: Generating, text: str) -> ValueResult:
        into = self.into or msgspec.defstruct(
            "Values", [(name, str | None, None) for name in self.names()], frozen=True
        )
        asking = _prompt_into(into).using(way.model)
        most = room(way, self.window)
        spans = await cut(text, most, way.count)

        async def one(part: str) -> Any:
            return await asking(part, list(examples_of(self.examples)), self.instruction)

        if len(spans) == 1:
            said = await one(text)
            evidence, missing = quoted(list(_texts(plain(said))), text)
            value = plain(said) if self.into is None else said
            return ValueResult(value, None, evidence, way.name, _unfound(missing))
        parts = [text[slice(*span)] for span in spans]
        found = [plain(each) for each in await map_parts(parts, one, into)]
        whole = merged(found)
        evidence, missing = _evidence(set(_texts(whole.value)), found, parts, spans)
        note = f"The text was read in {len(spans)} parts of at most {most:,} tokens."
        if whole.differing:
            listed = ", ".join(dict.fromkeys(whole.differing))
            note = joined(note, f"The parts say different things of {listed}: the first is kept.")
        value = whole.value if self.into is None else _typed(whole.value, into, way.name)
        return ValueResult(value, None, evidence, way.name, joined(note, _unfound(missing)))

    async def _marked(self, tagger: HFTagger, text: str) -> ValueResult:
        given = {
            "into": self.into,
            "examples": self.examples,
            "instruction": self.instruction,
            "window": self.window,
        }
        for option, value in given.items():
            if value:
                raise UsageError(
                    f"a model that was fine-tuned to mark entities takes no {option}",
                    where=tagger.name,
                    cure="Leave that out; the fields choose among the kinds that it knows.",
                )
        kinds = await asyncio.to_thread(lambda: tagger.labels)
        wanted = self.names() or kinds
        unknown = [name for name in wanted if name not in kinds]
        if unknown:
            raise UsageError(
                f"this model finds {', '.join(kinds)}, and not '{unknown[0]}'", where=tagger.name
            )
        found = await tag(tagger, text)
        kept = [entity for entity in found.entities if entity.label in wanted]
        value = {
            name: list(dict.fromkeys(text[e.start : e.end] for e in kept if e.label == name))
            for name in wanted
        }
        evidence = tuple(
            Evidence(text[e.start : e.end], e.start, e.end, round(e.score, 6)) for e in kept
        )
        note = ""
        if found.windows > 1:
            note = f"The text was read in {found.windows} windows that overlap."
        return ValueResult(value, None, evidence, tagger.name, note)


def _may_mark(asked: str | Model | None) -> bool:
    """Whether a model may know its own fields: seen from its files, when it is asked."""
    asked = Settings.load().model if asked is None else asked
    return isinstance(asked, HFTagger) or (isinstance(asked, str) and asked.startswith("hf:"))


def _unsaid() -> UsageError:
    return OptionError(
        "extract does not know what to take out of the text", cure="Say {fields}, or {into}."
    )


def _prompt_into(into: Any) -> Prompt[..., Any]:
    async def extract_values(text: str, examples: list[Example], instruction: str) -> Any:
        """Take the values out of the text."""

    extract_values.__annotations__["return"] = into
    return prompt(untrusted=untrusted("text", max_chars=1_000_000))(extract_values)


def _evidence(
    values: set[str], found: Sequence[Any], parts: Sequence[str], spans: Sequence[Span]
) -> tuple[tuple[Evidence, ...], list[str]]:
    """Where these values stand in the parts that gave them, with the places in the whole text; and
    those that do not stand there."""
    evidence, missing = list[Evidence](), dict[str, None]()
    for said, part, (start, _) in zip(found, parts, spans, strict=True):
        here, not_here = quoted([each for each in _texts(said) if each in values], part)
        evidence += [each.moved(start) for each in here]
        missing |= dict.fromkeys(not_here)
    return tuple(evidence), list(missing)


def _typed(value: Any, into: Any, name: str) -> Any:
    try:
        return restored(value, into)
    except Unrestorable as error:
        raise OutputError(
            f"the values of the parts do not fit together: {error}",
            where=name,
            cure="Give a larger window, or a type with fewer rules.",
        ) from None


def _unfound(missing: Sequence[str]) -> str:
    if not missing:
        return ""
    return f"Not in the text word for word: {', '.join(f'“{each[:80]}”' for each in missing)}."


def _texts(value: Any) -> Iterator[str]:
    """The texts and numbers of a value, as they may be written."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str) and value.strip():
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _matched(names: tuple[str, ...], text: str) -> ValueResult:
    unknown = [name for name in names if name not in _PATTERNS]
    if unknown or not names:
        raise OptionError(
            f"without a model, extract finds {', '.join(_PATTERNS)}"
            + (f", and not '{unknown[0]}'" if unknown else ""),
            cure="Name a model that writes: {model}.",
        )
    found = {name: list(_PATTERNS[name].finditer(text)) for name in names}
    evidence = [
        Evidence(match.group(), match.start(), match.end())
        for matches in found.values()
        for match in matches
    ]
    value = {
        name: list(dict.fromkeys(match.group() for match in matches))
        for name, matches in found.items()
    }
    note = "Found by patterns; what is written in another form is not found."
    return ValueResult(value, None, tuple(evidence), "patterns", note)


_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}\.?"
_PATTERNS = {
    "emails": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}(?![\w-])"),
    "urls": re.compile(r"https?://[^\s<>\"')\]}]{1,2000}(?<![.,;:!?])"),
    "numbers": re.compile(r"(?<![\w.,-])-?\d{1,30}(?:[.,]\d{1,30}){0,10}(?!\w|-\d)"),
    "dates": re.compile(
        rf"\b(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}(?:st|nd|rd|th)? {_MONTH} \d{{4}}"
        rf"|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})\b"
    ),
}
