"""What a prompt's answer has to be: from a type to a schema and an instruction, and back from an
answer.

An answer is read leniently where that changes nothing: JSON may stand in a code fence or among
words. Nothing inside the JSON is repaired. What does not fit is said in words, for the model to do
better.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast, get_args, get_origin

import msgspec

from onrecord.citations import cite
from onrecord.errors import PromptError
from onrecord.messages import Citation, Cited, Passage

T = TypeVar("T")


class Unfit(Exception):
    """An answer that is not what was asked for. The text tells the model why."""


class Reading(NamedTuple, Generic[T]):
    """What an answer says, and what is still wrong with it; an empty problem means nothing is."""

    value: T
    problem: str = ""


class Output(Protocol):
    """What is asked for, and how an answer is read."""

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema of the answer; None where it is plain text."""

    @property
    def instruction(self) -> str:
        """What the model is told about the form of its answer."""

    def read(self, answer: str, passages: Sequence[Passage]) -> Reading[Any]:
        """The value of an answer. Raises Unfit."""

    def restore(self, recorded: Any) -> Any:
        """The value that was read from an answer once, from its plain form. Raises Unfit."""


def output_of(annotation: Any) -> Output:
    """The output that a return type asks for. Raises PromptError where it has no schema."""
    if annotation is str:
        return Plain()
    if annotation is Cited or get_origin(annotation) is Cited:
        inner = get_args(annotation)[0] if get_args(annotation) else str
        return Quoted(_codec(inner))
    return Structured(_codec(annotation))


class Plain:
    """Text as the model wrote it."""

    schema = None
    instruction = ""

    def read(self, answer: str, passages: Sequence[Passage]) -> Reading[str]:
        """The answer without the blanks around it."""
        return Reading(answer.strip())

    def restore(self, recorded: Any) -> str:
        """The text."""
        if not isinstance(recorded, str):
            raise Unfit("It is no text.")
        return recorded


class Structured:
    """A value of any type that pydantic or msgspec can describe.

    Servers want an object at the top: another value goes under "value", and is accepted bare.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._wrapped = codec.schema.get("type") != "object"
        self.schema = _object({"value": codec.schema}) if self._wrapped else codec.schema
        self.instruction = _INSTRUCTION + _compact(self.schema)

    def read(self, answer: str, passages: Sequence[Passage]) -> Reading[Any]:
        """The first JSON of the answer that fits; of an enum or a date, the bare word does too."""
        try:
            return _first_fit(answer, self._validate)
        except Unfit:
            if not self._wrapped or next(json_values(answer), None) is not None:
                raise
            try:
                return Reading(self._codec.validate(answer.strip()))
            except Unfit as bare:
                raise Unfit(f"There is no complete JSON in it. {bare}") from None

    def restore(self, recorded: Any) -> Any:
        """The value, validated as an answer is."""
        return self._codec.validate(recorded)

    def _validate(self, found: object) -> Reading[Any]:
        if self._wrapped and isinstance(found, dict) and set(found) == {"value"}:
            found = found["value"]
        return Reading(self._codec.validate(found))


class Quoted:
    """An answer with quotations that support it, each verified against the passages."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        quote = _object({"passage": {"type": "integer"}, "quote": {"type": "string"}})
        self.schema = _object(
            {
                "answer": {"anyOf": [codec.schema, {"type": "null"}]},
                "quotes": {"type": "array", "items": quote},
                "refused": {"type": "boolean"},
                "reason": {"type": "string"},
            }
        )
        self.instruction = _QUOTING + _INSTRUCTION + _compact(self.schema)

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


class Codec(NamedTuple):
    """A type's JSON schema, and the way from decoded JSON to a value of it (raises Unfit)."""

    schema: dict[str, Any]
    validate: Callable[[object], Any]


def _codec(annotation: Any) -> Codec:
    """pydantic's where it knows the type, else msgspec's (Struct; TypedDict on Python 3.11)."""
    import pydantic

    try:
        adapter = pydantic.TypeAdapter(annotation)
        schema = adapter.json_schema()
    except (pydantic.errors.PydanticUserError, NameError):
        return _struct_codec(annotation)

    def validate(found: object) -> Any:
        try:
            # From JSON and not from Python values: dates, decimals and tuples have no JSON of
            # their own.
            return adapter.validate_json(json.dumps(found))
        except pydantic.ValidationError as error:
            raise Unfit(" ".join(map(_said, error.errors()[:_PROBLEMS]))) from None

    return Codec(_plain(schema), validate)


def _struct_codec(annotation: Any) -> Codec:
    try:
        (described,), components = msgspec.json.schema_components(
            [annotation], ref_template="#/$defs/{name}"
        )
        decoder = msgspec.json.Decoder(annotation)
    except (TypeError, RuntimeError) as error:
        raise PromptError(
            f"no JSON schema can be made of the output type {annotation!r}: {error}",
            cure="Return str, a dataclass, a pydantic model, a Struct, a TypedDict or a list.",
        ) from None
    schema = {**described, "$defs": components} if components else described

    def validate(found: object) -> Any:
        try:
            return decoder.decode(json.dumps(found))
        except msgspec.ValidationError as error:
            raise Unfit(f"{error}.") from None

    return Codec(_plain(schema), validate)


def _first_fit(answer: str, validate: Callable[[object], Reading[Any]]) -> Reading[Any]:
    problem = ""
    for found in json_values(answer):
        try:
            return validate(found)
        except Unfit as error:
            problem = problem or str(error)
    raise Unfit(problem or "There is no complete JSON in it.")


def json_values(text: str) -> Iterator[object]:
    """The JSON values that an answer may mean, the likeliest first: all of it, a fenced block, the
    objects and arrays among its words (the last one first: reasoning comes before its result)."""
    whole = _decoded(text.strip())
    if whole is not _NOTHING:
        yield whole
        return
    for block in reversed(_FENCED.findall(text)):
        if (found := _decoded(block.strip())) is not _NOTHING:
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
        return _NOTHING
    return found if _is_text(found) else _NOTHING


def _is_text(found: object) -> bool:
    """Whether every string is text: JSON can spell half a surrogate pair, which is none."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


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


def _said(problem: Any) -> str:
    place = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in problem["loc"])
    return f"{place.lstrip('.') or 'The value'}: {problem['msg']}."


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:80] + "…"


def _object(properties: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A closed object of these properties, with their definitions moved to the top, where
    references
    look for them."""
    definitions: dict[str, Any] = {}
    return {
        "type": "object",
        "properties": {name: _lifted(each, definitions) for name, each in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    } | ({"$defs": definitions} if definitions else {})


def _lifted(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    definitions.update(schema.get("$defs", {}))
    kept = {key: value for key, value in schema.items() if key != "$defs"}
    if "anyOf" in kept:
        kept["anyOf"] = [_lifted(each, definitions) for each in kept["anyOf"]]
    return kept


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that servers take: closed, and with no reference at the top."""
    top = schema.get("$ref", "").rpartition("/")[2]
    if top in schema.get("$defs", {}):
        schema = {**schema["$defs"][top], "$defs": schema["$defs"]}
    return cast("dict[str, Any]", _closed(schema))


def _closed(schema: Any) -> Any:
    """A schema whose objects allow nothing beside their properties, where it does not say
    otherwise.

    Servers that hold a model to a schema ask for that; it tells the model nothing new.
    """
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        key: value if key in _LITERAL else _closed(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def _compact(schema: dict[str, Any]) -> str:
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


_INSTRUCTION = "Answer with JSON alone, without a code fence, that fits this JSON schema: "
_QUOTING = (
    'Under "quotes", copy word for word the sentences of the passages that support the answer, each'
    " with the number of its passage; change and leave out nothing inside a quotation. If the"
    ' passages do not hold the answer, set "refused" to true, "answer" to null, and say in "reason"'
    " what is missing.\n"
)
_NOTHING = object()
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_FENCED = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[{\[]")
_LITERAL = ("enum", "const", "default", "examples", "required")
# Bounds on what an answer can make us do.
_STARTS = 200
_QUOTES = 100
_PROBLEMS = 5
