"""What a prompt's answer has to be: from a type to a schema and an instruction, and back from an
answer.

An answer is read leniently where that changes nothing: JSON may stand in a code fence or among
words. Nothing inside the JSON is repaired. What does not fit is said in words, for the model to do
better.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from onrecord.citations import cite
from onrecord.errors import PromptError
from onrecord.messages import Citation, Cited, Passage
from onrecord.prompts.schemas import Codec, closed_object, codec_of, compact
from onrecord.prompts.schemas import Unfit as Unfit

T = TypeVar("T")

NOTHING: Any = object()
"""Not even None."""

_THOUGHT = ("<reasoning>", "</reasoning>")
_TEXT = {"type": "string"}


class Reading(NamedTuple, Generic[T]):
    """What an answer says, and what is still wrong with it; an empty problem means nothing is."""

    value: T
    problem: str = ""


class Output(Protocol):
    """What is asked for, and how an answer is read."""

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema of the answer; None where it is text."""

    @property
    def guidance(self) -> str:
        """What the model is told about the content of its answer, in whatever form it comes."""

    @property
    def instruction(self) -> str:
        """The guidance, and the form of the answer in words."""

    def read(self, answer: str, passages: Sequence[Passage]) -> Reading[Any]:
        """The value of an answer. Raises Unfit."""

    def restore(self, recorded: Any) -> Any:
        """The value that was read from an answer once, from its plain form. Raises Unfit."""

    def part(self, found: Any) -> Any:
        """What of a half answer is the value's: of half a JSON, or of a text without its end.
        NOTHING where nothing is yet."""


def output_of(annotation: Any, *, reasoning: bool = False) -> Output:
    """The output that a return type asks for. Raises PromptError where it has no schema.

    With `reasoning` the model is asked to think first, and the value is only what comes after.
    """
    if annotation is str:
        return Considered() if reasoning else Plain()
    if annotation is Cited or get_origin(annotation) is Cited:
        inner = get_args(annotation)[0] if get_args(annotation) else str
        _refuse_citations(inner)
        return Quoted(codec_of(inner), reasoning=reasoning)
    _refuse_citations(annotation)
    return Structured(codec_of(annotation), reasoning=reasoning)


def _refuse_citations(annotation: Any) -> None:
    """A model could fill them with words that nobody has said: only those of a `Cited` at the
    outside are verified."""
    if _holds_citations(annotation, set()):
        raise PromptError(
            f"the output type {annotation!r} holds citations, which are not verified there",
            cure="Put Cited around the whole of it, as in Cited[list[str]].",
        )


def _holds_citations(annotation: Any, seen: set[Any]) -> bool:
    origin = get_origin(annotation) or annotation
    if origin in (Cited, Citation):
        return True
    inside = list(get_args(annotation))
    if isinstance(origin, type) and origin not in seen:
        seen.add(origin)
        with contextlib.suppress(*_UNREADABLE):  # whoever makes its schema tells that
            inside += get_type_hints(origin).values()
    return any(_holds_citations(each, seen) for each in inside)


class Plain:
    """Text as the model wrote it."""

    schema = None
    guidance = ""
    instruction = ""

    def read(self, answer: str, passages: Sequence[Passage]) -> Reading[str]:
        """The answer without the blanks around it."""
        return Reading(answer.strip())

    def restore(self, recorded: Any) -> str:
        """The text."""
        if not isinstance(recorded, str):
            raise Unfit("It is no text.")
        return recorded

    def part(self, found: Any) -> Any:
        """Nothing: a text is streamed as it is."""
        return NOTHING


class Considered(Plain):
    """Text behind a section of reasoning, which is no part of it."""

    guidance = (
        f"Think first, step by step, between {_THOUGHT[0]} and {_THOUGHT[1]}. Behind that write the"
        " answer alone."
    )
    instruction = guidance

    def read(self, answer: str, passages: Sequence[Passage]) -> Reading[str]:
        """What comes behind the reasoning. Raises Unfit where the two cannot be told apart."""
        _, end, behind = answer.rpartition(_THOUGHT[1])
        if not end:
            raise Unfit(f"The reasoning is not between {_THOUGHT[0]} and {_THOUGHT[1]}.")
        if not behind.strip():
            raise Unfit(f"There is no answer behind {_THOUGHT[1]}.")
        return Reading(behind.strip())

    def part(self, found: Any) -> Any:
        """What is there of the answer behind the reasoning."""
        return (
            found.rpartition(_THOUGHT[1])[2].strip() or NOTHING if _THOUGHT[1] in found else NOTHING
        )


class Structured:
    """A value of any type that pydantic or msgspec can describe.

    Servers want an object at the top: another value goes under "value", and is accepted bare. One
    with reasoning goes under "answer", behind it.
    """

    def __init__(self, codec: Codec, *, reasoning: bool = False) -> None:
        self._codec = codec
        self._reasoning = reasoning
        self._key = "" if codec.schema.get("type") == "object" else "value"
        self._may_be_word = "enum" in codec.schema or codec.schema.get("type") == "string"
        if reasoning:
            self._key = "answer"
        self.schema = codec.schema
        if self._key:
            thought = {"reasoning": _TEXT} if reasoning else {}
            self.schema = closed_object({**thought, self._key: codec.schema})
        self.guidance = _REASONING if reasoning else ""
        self.instruction = self.guidance + _INSTRUCTION + compact(self.schema)

    def read(self, answer: str, passages: Sequence[Passage]) -> Reading[Any]:
        """The first JSON of the answer that fits; of an enum or a date, the bare word does too."""
        try:
            return _first_fit(answer, self._validate)
        except Unfit:
            bare = self._key == "value" and next(json_values(answer), None) is None
            if not bare:
                raise
            try:
                return Reading(self._codec.validate(answer.strip()))
            except Unfit as error:
                said = f" {error}" if self._may_be_word else ""
                raise Unfit(f"{_NO_JSON}{said}") from None

    def restore(self, recorded: Any) -> Any:
        """The value, validated as an answer is."""
        return self._codec.validate(recorded)

    def part(self, found: Any) -> Any:
        """The value's half, without what is around it."""
        return found.get(self._key, NOTHING) if self._key else found

    def _validate(self, found: object) -> Reading[Any]:
        if isinstance(found, dict) and self._key in found:
            if self._reasoning or len(found) == 1:
                found = found[self._key]
        elif self._reasoning:
            raise Unfit('It is no object with "reasoning" and "answer".')
        return Reading(self._codec.validate(found))


class Quoted:
    """An answer with quotations that support it, each verified against the passages."""

    def __init__(self, codec: Codec, *, reasoning: bool = False) -> None:
        self._codec = codec
        quote = closed_object({"passage": {"type": "integer"}, "quote": _TEXT})
        thought = {"reasoning": _TEXT} if reasoning else {}
        self.schema = closed_object(
            {
                **thought,
                "answer": {"anyOf": [codec.schema, {"type": "null"}]},
                "quotes": {"type": "array", "items": quote},
                "refused": {"type": "boolean"},
                "reason": _TEXT,
            }
        )
        self.guidance = (_REASONING if reasoning else "") + _QUOTING
        self.instruction = self.guidance + _INSTRUCTION + compact(self.schema)

    def read(self, answer: str, passages: Sequence[Passage]) -> Reading[Cited[Any]]:
        """The answer with the quotations that are there; the problem names those that are not."""
        return _first_fit(answer, lambda found: self._validate(found, passages))

    def restore(self, recorded: Any) -> Cited[Any]:
        """The value with its citations: they were verified when it was recorded."""
        try:
            cited: Cited[Any] = msgspec.convert(recorded, Cited[Any])
        except msgspec.ValidationError as error:
            raise Unfit(f"{error}.") from None
        if cited.value is None:
            return cited
        return msgspec.structs.replace(cited, value=self._codec.validate(cited.value))

    def part(self, found: Any) -> Any:
        """The half of the value that is cited; its quotations are verified at the end."""
        return found.get("answer", NOTHING)

    def _validate(self, found: object, passages: Sequence[Passage]) -> Reading[Cited[Any]]:
        if not isinstance(found, dict) or "answer" not in found:
            raise Unfit('It is no object with "answer", "quotes", "refused" and "reason".')
        reason = found.get("reason")
        reason = reason.strip() if isinstance(reason, str) else ""
        if found.get("refused") is True:
            return Reading(Cited(None, (), True, reason or "The model refused without a reason."))
        value = self._codec.validate(found["answer"])
        citations, missing = _verify(_quotes(found.get("quotes")), passages)
        problem = _problem(citations, missing)
        reported = " ".join(filter(None, [reason, problem]))
        return Reading(Cited(value, citations, False, reported), problem)


def _first_fit(answer: str, validate: Callable[[object], Reading[Any]]) -> Reading[Any]:
    problem = ""
    for found in json_values(answer):
        try:
            return validate(found)
        except Unfit as error:
            problem = problem or str(error)
    raise Unfit(problem or _NO_JSON)


def json_values(text: str) -> Iterator[object]:
    """The JSON values that an answer may mean, the likeliest first: all of it, a fenced block, the
    objects and arrays among its words (the last one first: reasoning comes before its result)."""
    whole = _decoded(text.strip())
    if whole is not NOTHING:
        yield whole
        return
    for block in reversed(_FENCED.findall(text)):
        if (found := _decoded(block.strip())) is not NOTHING:
            yield found
    yield from reversed(list(_embedded(text)))


def _embedded(text: str) -> Iterator[object]:
    at = 0
    for _ in range(_STARTS):
        opening = _OPENING.search(text, at)
        if opening is None:
            return
        at = opening.start()
        try:
            found, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
        else:
            if _is_text(found):
                yield found


def _decoded(text: str) -> object:
    try:
        found = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return NOTHING
    return found if _is_text(found) else NOTHING


def _is_text(found: object) -> bool:
    """Whether every string is text: JSON can spell half a surrogate pair, which is none."""
    try:
        msgspec.json.encode(found)
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number} is too large")
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _quotes(found: object) -> list[tuple[str, int | None]]:
    """Quotations with their passage numbers; a bare string is a quotation without one."""
    quotes: list[tuple[str, int | None]] = []
    for each in found if isinstance(found, list) else []:
        quote = each.get("quote") if isinstance(each, dict) else each
        number = each.get("passage") if isinstance(each, dict) else None
        if isinstance(quote, str) and quote.strip():
            quotes.append((quote, number if isinstance(number, int) else None))
    return quotes


def _verify(
    quotes: Sequence[tuple[str, int | None]], passages: Sequence[Passage]
) -> tuple[tuple[Citation, ...], list[str]]:
    """The citations, each once, and the quotations that no passage holds."""
    citations: dict[Citation, None] = {}
    missing = []
    for quote, number in quotes[:_QUOTES]:
        citation = cite(quote, passages, number)
        if citation is None:
            missing.append(quote)
        else:
            citations[citation] = None
    return tuple(citations), missing


def _problem(citations: Sequence[Citation], missing: Sequence[str]) -> str:
    if missing:
        listed = ", ".join(f"“{_short(quote)}”" for quote in missing[:_PROBLEMS])
        more = f" and {len(missing) - _PROBLEMS} more" if len(missing) > _PROBLEMS else ""
        return f"Dropped, because no passage holds these words: {listed}{more}."
    return "" if citations else "No quotation supports this answer."


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:80] + "…"


_NO_JSON = "There is no complete JSON in it."
_INSTRUCTION = "Answer with JSON alone, without a code fence, that fits this JSON schema: "
_REASONING = (
    'Think first: write down how you come to the answer, step by step, under "reasoning", before'
    ' everything else. What is under "answer" has to make sense without it.\n'
)
_QUOTING = (
    'Under "quotes", copy word for word the sentences of the passages that support the answer, each'
    " with the number of its passage; change and leave out nothing inside a quotation. If the"
    ' passages do not hold the answer, set "refused" to true, "answer" to null, and say in "reason"'
    " what is missing.\n"
)
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)
_FENCED = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[{\[]")
# What annotations in quotes may come to that name what is not there.
_UNREADABLE = (NameError, TypeError, AttributeError, SyntaxError)
# Bounds on what an answer can make us do.
_STARTS = 200
_QUOTES = 100
_PROBLEMS = 5
