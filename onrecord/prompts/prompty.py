"""Prompty files, read as they are: version 1 (2024) and the draft of version 2 (2026).

    ---
    name: triage
    model: {id: gpt-6-luna, provider: openai, options: {temperature: 0.2, maxOutputTokens: 200}}
    inputs:
      - {name: mail, kind: string, example: My parcel is late.}
    ---
    system:
    Route the mail to billing, delivery or other.
    user:
    {{ mail }}

No file says which version it is: `model.api`, `.configuration` or `.parameters`, `sample` and an
input's `type` are of version 1. The function's types remain the contract, so `outputs` are noted
and not read; keys and addresses of servers are never read from a prompt's file. What cannot be
honoured is an error that names it, or a note where the messages are the same all the same. As the
text is cut into messages before anything is rendered, no input can begin a message.

The formats: microsoft/prompty, Prompty.yaml (version 1) and its specification 0.1.0 (version 2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onrecord.errors import PromptError
from onrecord.prompts.front_matter import FrontMatter, guess, yaml_of
from onrecord.prompts.prompty_model import AS_IN_DOCS, REFERENCE, ModelPart, Remarks
from onrecord.prompts.template import Parts, Section, Speaker, Template, text_of

SUFFIX = ".prompty"


def parsed(source: str, where: str) -> Template:
    """The template of a Prompty file's text; `where` names the file in errors. Raises
    PromptError."""
    front, body, line = _split(source, where)
    values = yaml_of(front, where)
    if not isinstance(values, dict):
        raise PromptError("the front matter is no mapping", where=where, cure=AS_IN_DOCS)
    return Template(source, where, _Reader(values, where).parts(body, line))


class _Reader:
    """One file's front matter, and what is noted while it is read."""

    def __init__(self, values: dict[Any, Any], where: str) -> None:
        self._values = {str(name): value for name, value in values.items()}
        self._where = where
        self._remarks = Remarks(where)

    def parts(self, body: str, line: int) -> Parts:
        """What the file says."""
        self._check_names()
        defaults, examples = self._inputs()
        examples |= self._sample()
        self._check_template()
        self._remarks.refuse_tools(self._values.get("tools"))
        if self._values.get("outputs"):
            self._remarks.note(
                "its outputs are not read: the function's return type is the contract"
            )
        model, parameters = ModelPart(self._remarks).read(self._values.get("model") or {})
        description = self._values.get("description") or ""
        front = FrontMatter(
            model=model, parameters=parameters, description=self._text(description, "description")
        )
        sections = tuple(self._sections(body, line))
        return Parts(
            front, sections, defaults=defaults, examples=examples, notes=tuple(self._remarks.notes)
        )

    def _check_names(self) -> None:
        for name in self._values:
            if name in ("base", "extends"):
                raise self._remarks.refusal(
                    f"'{name}' takes over another file, which is not read", "Write it out here."
                )
            if name not in _FIELDS:
                self._remarks.note(
                    f"its field '{name}' is not read. {guess(name, _FIELDS)}".strip()
                )

    # -- the inputs

    def _inputs(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Values for variables that are no argument, and values to try the prompt with."""
        defaults: dict[str, Any] = {}
        examples: dict[str, Any] = {}
        for name, said in self._properties():
            if not isinstance(said, dict):
                defaults[name] = examples[name] = self._value(said, name)
                continue
            kind = said.get("kind") or said.get("type")
            if kind is not None and kind not in _KINDS:
                raise self._remarks.refusal(
                    f"the input '{name}' is of the kind '{kind}'",
                    f"A prompt takes {', '.join(_KINDS)}.",
                )
            if said.get("default") is not None:
                defaults[name] = examples[name] = self._value(said["default"], name)
            shown = next((said[key] for key in ("example", "sample") if key in said), None)
            if shown is not None:
                examples[name] = self._value(shown, name)
        return defaults, examples

    def _properties(self) -> Iterator[tuple[str, Any]]:
        inputs = self._values.get("inputs") or {}
        if isinstance(inputs, list):
            for each in inputs:
                if not isinstance(each, dict) or not isinstance(each.get("name"), str):
                    raise self._remarks.refusal("an input has no name", AS_IN_DOCS)
                yield each["name"], each
        elif isinstance(inputs, dict):
            yield from ((str(name), each) for name, each in inputs.items())
        else:
            raise self._remarks.refusal("'inputs' is no list and no mapping", AS_IN_DOCS)

    def _sample(self) -> dict[str, Any]:
        sample = self._values.get("sample")
        if isinstance(sample, str):
            match = REFERENCE.fullmatch(sample.strip())
            if match is not None and match["kind"] == "env":
                raise self._remarks.refusal(f"its sample is {sample}", _NOT_INTO_WORDS)
            sample = self._from_file(match["name"] if match else sample)
        if not sample:
            return {}
        if not isinstance(sample, dict):
            raise self._remarks.refusal("'sample' is no mapping and no file of one", AS_IN_DOCS)
        return {str(name): self._value(value, str(name)) for name, value in sample.items()}

    def _from_file(self, name: str) -> Any:
        """JSON in a file beside the prompt. No other place, and no link to one, is looked at."""
        folder = Path(self._where).absolute().parent
        path = folder / name
        try:
            inside = path.resolve().is_relative_to(folder.resolve())
        except (OSError, ValueError, RuntimeError):
            inside = False
        if not inside or Path(name).is_absolute():
            raise self._remarks.refusal(
                f"its sample '{name}' is not in the prompt's folder", "Put it there."
            )
        if not path.is_file():
            raise self._remarks.refusal(
                f"its sample '{name}' is no file", "Write the values themselves, or name a file."
            )
        try:
            return json.loads(text_of(path, "its sample"))
        except (ValueError, RecursionError):
            raise self._remarks.refusal(f"its sample '{name}' is no JSON", "") from None

    def _value(self, value: Any, name: str) -> Any:
        """A value that may come into the words; references in it are refused."""
        for text in _texts(value):
            if (match := REFERENCE.search(text)) is not None:
                reference = f"${{{match['kind']}:{match['name']}}}"  # and not its default
                raise self._remarks.refusal(
                    f"the input '{name}' holds {reference}", _NOT_INTO_WORDS
                )
        return value

    def _text(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise self._remarks.refusal(f"'{name}' is no text", AS_IN_DOCS)
        return value

    # -- the words

    def _check_template(self) -> None:
        said = self._values.get("template")
        kind: Any = "jinja2"
        parser: Any = "prompty"
        if isinstance(said, dict):
            kind = said.get("format", said.get("type", kind))
            parser = said.get("parser", parser)
        elif said is not None:
            kind = said
        kind = kind.get("kind") if isinstance(kind, dict) else kind
        parser = parser.get("kind") if isinstance(parser, dict) else parser
        if kind not in ("jinja2", "jinja", None):
            raise self._remarks.refusal(
                f"its template is '{kind}'",
                "Jinja2 is read: {{ name }} stays as it is, {{#list}} becomes {% for … %}.",
            )
        if parser not in ("prompty", None):
            raise self._remarks.refusal(f"its parser is '{parser}'", "Only 'prompty' is read.")

    def _sections(self, body: str, line: int) -> Iterator[Section]:
        role: Speaker = "system"
        lines: list[str] = []
        begun = line
        for at, each in enumerate(re.findall(r".*\n|.+", body), line):
            match = _ROLE.fullmatch(each.rstrip("\r\n"))
            if match is None:
                lines.append(each)
                continue
            if any(map(str.strip, lines)):
                yield Section(role, "".join(lines), begun)
            if match["attributes"]:
                self._remarks.note(f"what stands behind the role in line {at} is not sent")
            role, lines, begun = _SPEAKERS[match["role"].lower()], [], at + 1
        if any(map(str.strip, lines)):
            yield Section(role, "".join(lines), begun)
        if _IMAGE.search(body):
            self._remarks.note("it shows an image, which is sent as the words that stand there")


def _split(source: str, where: str) -> tuple[str, str, int]:
    """Front matter, body, and the body's first line."""
    opening = _OPENS.match(source)
    if opening is None:
        return "", source, 1
    match = re.compile(_FRONT.format(re.escape(opening["mark"]))).match(source)
    if match is None:
        raise PromptError(
            "the front matter is not closed",
            where=f"{where}:1",
            cure=f"End it with a line '{opening['mark']}'.",
        )
    return match["front"], source[match.end() :], source.count("\n", 0, match.end()) + 1


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict | list):
            waiting += [*each, *each.values()] if isinstance(each, dict) else each


_NOT_INTO_WORDS = (
    "What is in the environment or in a file is not put into the words that a model is sent and"
    " that are kept: pass it as an argument."
)
_KINDS = ("string", "integer", "number", "float", "boolean", "array", "object")
_FIELDS = (
    *("name", "displayName", "description", "metadata", "version", "authors", "tags", "model"),
    *("inputs", "outputs", "sample", "tools", "template", "kind"),
)
_SPEAKERS: dict[str, Speaker] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_ROLE = re.compile(
    r"\s*#?\s*(?P<role>system|user|assistant|developer)\s*(?P<attributes>\[[^\]]*\])?\s*:\s*",
    re.IGNORECASE,
)
_IMAGE = re.compile(r"!\[[^\]\n]*\]\([^)\n]+\)")
_OPENS = re.compile(r"(?P<mark>---|\+\+\+)[ \t]*\r?\n")
_FRONT = r"{0}[ \t]*\r?\n(?P<front>(?:.*\r?\n)*?){0}[ \t]*(?:\r?\n|\Z)"
