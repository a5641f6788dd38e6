"""What is known of a model before it is used: the facts of its card, its files and its page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec


class Weights(msgspec.Struct, frozen=True):
    """The part of a model's weights that is kept in one type of number, such as "F32".

    `bytes` is what these parameters take, None for a type whose width is not known.
    """

    dtype: str
    parameters: int
    bytes: int | None


class Files(msgspec.Struct, frozen=True):
    """The weight files of one format; `bytes` is None where a size is not known."""

    format: str
    count: int
    bytes: int | None


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one model. What nobody has said is None or empty, and never guessed.

    `name` is `owner/name` on the Hub, a folder, or `embedded:…`; `source` is the Hub's address, the
    folder, or "embedded". `downloads` are those of the last 30 days. `base_relation` says how it
    came from `base_models`: finetune, quantized, adapter, merge. `context` is how many tokens it
    reads. `training` is what the card says of its training, in the card's words. `as_of` is when
    the facts were read; `cached` says why they are not read anew, and is empty where they are.
    `warnings` are sentences on what could not be read.
    """

    name: str
    source: str
    task: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    languages: tuple[str, ...] = ()
    parameters: int | None = None
    weights: tuple[Weights, ...] = ()
    files: tuple[Files, ...] = ()
    architecture: str | None = None
    context: int | None = None
    library: str | None = None
    base_models: tuple[str, ...] = ()
    base_relation: str | None = None
    datasets: tuple[str, ...] = ()
    training: str = ""
    gated: bool | None = None
    downloads: int | None = None
    likes: int | None = None
    created: datetime | None = None
    updated: datetime | None = None
    as_of: datetime | None = None
    cached: str = ""
    warnings: tuple[str, ...] = ()


class Card(msgspec.Struct, frozen=True):
    """A model card: what its front matter says, and its text. `problem`: what could not be read."""

    fields: Mapping[str, Any] = {}
    text: str = ""
    problem: str = ""


def read_card(source: str) -> Card:
    """A card from the text of a README.md. Never fails: what is broken is its `problem`."""
    source = source.removeprefix("\ufeff")
    if not _OPENING.match(source):
        return Card(text=source)
    found = _FRONT.match(source, 0, _LONGEST_FRONT)
    if not found:
        return Card(text=source, problem="the card's front matter does not end, or is too long")
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where it is
    body = source[found.end() :]
    try:
        fields = yaml.load(found[1], loader)
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return Card(text=body, problem="the card's front matter is not valid YAML")
    if not isinstance(fields, dict):
        return Card(text=body, problem="the card's front matter does not name any fields")
    return Card({str(name): value for name, value in fields.items()}, body)


def stated(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that a card's front matter states, as arguments of ModelFacts.

    A field of an unexpected type states nothing.
    """
    facts = {
        "task": word(fields.get("pipeline_tag")),
        "license": ", ".join(words(fields.get("license"))) or None,
        "license_name": word(fields.get("license_name")),
        "license_link": word(fields.get("license_link")),
        "languages": words(fields.get("language")),
        "library": word(fields.get("library_name")),
        "base_models": words(fields.get("base_model")),
        "base_relation": word(fields.get("base_model_relation")),
        "datasets": words(fields.get("datasets")),
    }
    return {name: value for name, value in facts.items() if value}


def training(text: str) -> str:
    """What a card's text says under its first heading about training data, else about training.

    At most 600 characters, in one line; empty where there is none, or only a template's words.
    """
    text = text[:_LONGEST_TEXT]
    headings = list(_headings(text))
    for wanted in (_ON_DATA, _ON_TRAINING):
        for at, heading in enumerate(headings):
            if not wanted.search(heading.title):
                continue
            after = (each.start for each in headings[at + 1 :] if each.level <= heading.level)
            end = min(next(after, len(text)), heading.end + 8 * _LONGEST_SAID)
            said = " ".join(_MARKS.sub("", text[heading.end : end]).split())
            if said and "[More Information Needed]" not in said and "<!--" not in said:
                return said if len(said) <= _LONGEST_SAID else said[: _LONGEST_SAID - 1] + "…"
    return ""


class _Heading(NamedTuple):
    level: int
    title: str
    start: int
    end: int


def _headings(text: str) -> Iterator[_Heading]:
    """The headings of Markdown, but not what looks like one inside of code. In linear time."""
    start, code = 0, False
    for line in text.splitlines(keepends=True):
        if line.lstrip(" ").startswith(("```", "~~~")):
            code = not code
        elif not code and (found := _HEADING.match(line)):
            yield _Heading(len(found[1]), found[2], start, start + len(line))
        start += len(line)


def word(value: object) -> str | None:
    """A short text as it is; None for anything else."""
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_WORD else None


def words(value: object) -> tuple[str, ...]:
    """A text, or the texts of a list, each once; a value that is neither gives none."""
    several = value[:_MOST_WORDS] if isinstance(value, list) else [value]
    # YAML reads the language code of Norwegian as a truth value.
    texts = ("no" if each is False else word(each) for each in several if each is not None)
    return tuple(dict.fromkeys(text for text in texts if text))


def whole(value: object) -> int | None:
    """A count: a whole number from 0; None for anything else."""
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return value if isinstance(value, int) and fits else None


def date(value: object) -> datetime | None:
    """A time as the Hub writes it, "2026-01-01T00:00:00.000Z"; None for anything else."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read is not None and read.tzinfo is None else read


def counted(parameters: object) -> tuple[Weights, ...]:
    """The weights of a count of parameters by type, {"F32": 60506624}, the largest first."""
    if not isinstance(parameters, dict):
        return ()
    found = [
        Weights(dtype, count, count * BITS[dtype] // 8 if dtype in BITS else None)
        for dtype, each in list(parameters.items())[:_MOST_WORDS]
        if word(dtype) and (count := whole(each)) is not None
    ]
    return tuple(sorted(found, key=lambda each: -each.parameters))


def filed(sizes: Mapping[str, int | None]) -> tuple[Files, ...]:
    """The weight files among files (path -> bytes), by format; other files are left out."""
    by_format: dict[str, list[int | None]] = {}
    for path, size in sizes.items():
        name = path.rsplit("/", 1)[-1].lower()
        ending = name.rsplit(".", 1)[-1]
        if name.startswith(("training_args", "optimizer", "scheduler", "rng_state")):
            continue
        if ending in _FORMATS or name.endswith(".onnx_data"):
            by_format.setdefault(_FORMATS.get(ending, "onnx"), []).append(size)
    return tuple(
        Files(format, len(each), None if None in each else sum(size or 0 for size in each))
        for format, each in sorted(by_format.items())
    )


BITS = {
    **{"F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32},
    **{"F16": 16, "BF16": 16, "I16": 16, "U16": 16, "I8": 8, "U8": 8, "BOOL": 8},
    **{"F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4},
}
_FORMATS = {
    **{"safetensors": "safetensors", "gguf": "gguf", "onnx": "onnx", "onnx_data": "onnx"},
    **{"bin": "pytorch", "pt": "pytorch", "pth": "pytorch", "ckpt": "checkpoint"},
    **{"h5": "tensorflow", "tflite": "tflite", "msgpack": "flax", "ot": "rust"},
}
_LONGEST_WORD = 300
_MOST_WORDS = 200
_LONGEST_FRONT = 1024 * 1024
_LONGEST_TEXT = 256 * 1024
_LONGEST_SAID = 600
_OPENING = re.compile(r"\s*---[ \t]*\r?\n")
_FRONT = re.compile(r"\s*---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"(#{1,6})[ \t]+(\S.*)")
_MARKS = re.compile(r"^#{1,6}[ \t]+|[*_`]{1,3}|^[ \t|:-]+$", re.MULTILINE)
_ON_DATA = re.compile(r"training (data|set|corpus|corpora)|trained on|datasets?\b", re.IGNORECASE)
_ON_TRAINING = re.compile(r"\b(pre-?)?training\b", re.IGNORECASE)
