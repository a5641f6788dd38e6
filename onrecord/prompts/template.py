"""The text of a prompt: a Markdown file with YAML front matter, rendered by a sandboxed Jinja2.

    ---
    model: openai:gpt-6-luna
    parameters: {temperature: 0}
    ---
    # system
    Answer only from the passages.
    # user
    {{ question }}
    {{ passages }}

`# system`, `# user` and `# assistant`, in any case, on a line of their own begin a message (not
inside a fenced block); a file without them is one user message. Sections are cut before anything is
rendered, so no value can begin a message of its own.

The sandbox keeps a template from private attributes, other files and changes to values, and bounds
the turns of its loops, its result, and what one operator, method or filter makes (sizes.py). It is
no prison: a template can still take a lot of time, and a prompt file is code of the application and
no stranger's input. Values are never read as templates.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import msgspec

from onrecord.errors import PromptError
from onrecord.messages import Message, text_message
from onrecord.models.model import Parameters
from onrecord.prompts.front_matter import FrontMatter, front_matter, guess
from onrecord.prompts.passages import Passages
from onrecord.prompts.untrusted import Fenced, laid_out, misuse

if TYPE_CHECKING:
    import jinja2

Speaker = Literal["system", "user", "assistant"]


class Section(msgspec.Struct, frozen=True):
    """One message of a template; `line` is that of its first line in the file, from 1."""

    role: Speaker
    text: str
    line: int


class Parts(msgspec.Struct, frozen=True):
    """What a file says, in whatever format.

    `defaults`: values of variables that are no argument. `examples`: inputs to try the prompt with.
    `notes`: what the file asks for and does not get.
    """

    front: FrontMatter
    sections: tuple[Section, ...]
    has_sections: bool = True
    defaults: dict[str, Any] = {}
    examples: dict[str, Any] = {}
    notes: tuple[str, ...] = ()


class Template:
    """A prompt's text, ready to be rendered. `where` names its file in errors; `parts` is what it
    says, if it is no Markdown."""

    def __init__(self, source: str, where: str, parts: Parts | None = None) -> None:
        self.source = source
        self.where = where
        self.parts = parts = parts or _markdown(source, where)
        self.front = parts.front
        self.has_sections = parts.has_sections
        self.sections = parts.sections
        words = any(section.text.strip() for section in self.sections)
        self.is_empty = not self.has_sections and not words
        if len(self.sections) > _SECTIONS:
            raise PromptError(
                f"the prompt has {len(self.sections):,} messages and may have {_SECTIONS:,}",
                where=where,
                cure="Demos are data beside it, in NAME.demos.jsonl.",
            )
        self._compiled = [self._compile(section) for section in self.sections]

    @classmethod
    def read(cls, path: Path) -> Template:
        """The template in a file. Raises PromptError."""
        return cls(text_of(path), str(path))

    @property
    def variables(self) -> tuple[str, ...]:
        """What the template takes from outside, in the order it is used first."""
        import jinja2
        from jinja2 import meta

        from onrecord.prompts.sandbox import environment

        found: dict[str, None] = {}
        for section in self.sections:
            with contextlib.suppress(jinja2.TemplateError):  # compiling it has told that already
                tree = environment(shown).parse(section.text)
                names = meta.find_undeclared_variables(tree)
                found |= dict.fromkeys(sorted(names, key=section.text.find))
        return tuple(found)

    def render(self, values: Mapping[str, object]) -> tuple[Message, ...]:
        """The messages, with `values` put in. Raises PromptError with the line and the cure."""
        if self.parts.defaults:
            values = {**self.parts.defaults, **values}
        rendered = [
            (section.role, self._render(compiled, section, values).strip())
            for section, compiled in zip(self.sections, self._compiled, strict=True)
        ]
        messages = tuple(text_message(role, text) for role, text in rendered if text)
        if not messages:
            raise PromptError(
                "the prompt says nothing",
                where=self.where,
                cure="With these arguments all of it is empty: write what is asked.",
            )
        return messages

    def _compile(self, section: Section) -> tuple[jinja2.Template, bool]:
        """A section as code, and whether it has loops."""
        import jinja2

        from onrecord.prompts.sandbox import counted, environment

        made = environment(shown)
        # Blank lines in front make the lines that Jinja reports those of the file.
        source = "\n" * (section.line - 1) + section.text
        try:
            tree, loops = counted(made.parse(source, filename=self.where))
            _refuse_files(tree, self.where)
            code = made.compile(tree, filename=self.where)
        except (jinja2.TemplateSyntaxError, SyntaxError, RecursionError) as error:
            problem, line = "it is nested too deeply", section.line  # for Jinja, or for Python
            if isinstance(error, jinja2.TemplateSyntaxError):
                problem, line = error.message or str(error), error.lineno
            raise PromptError(
                f"the template does not parse: {problem}",
                where=f"{self.where}:{line}",
                cure=_BRACES,
            ) from None
        # A copy: `make_globals` gives a ChainMap, and every call would wait for that.
        return made.template_class.from_code(made, code, {**made.globals}), loops

    def _render(
        self, code: tuple[jinja2.Template, bool], section: Section, values: Mapping[str, object]
    ) -> str:
        compiled, loops = code
        given = values
        if loops:
            from onrecord.prompts.sandbox import TURNS, Turns

            given = {**values, TURNS: Turns()}
        pieces: list[str] = []
        length = 0
        try:
            for piece in compiled.generate(given):
                pieces.append(piece)
                length += len(piece)
                if length > _LONGEST:
                    raise OverflowError(f"the text is longer than {_LONGEST:,} characters")
        except Exception as error:  # a template may do anything that Python can do with its values
            raise self._failed(error, section, values) from None
        return "".join(pieces)

    def _failed(
        self, error: Exception, section: Section, values: Mapping[str, object]
    ) -> PromptError:
        where = f"{self.where}:{_line(error, self.where) or section.line}"
        unknown = _UNKNOWN.fullmatch(str(error))
        if unknown is None:
            whole = misuse(error, values)
            reason = " ".join(str(whole or error).split()) or type(error).__name__
            if isinstance(error, MemoryError):
                reason = "it takes more memory than there is"
            cure = whole.cure if whole is not None else _PUT
            return PromptError(f"the template cannot be rendered: {reason}", where=where, cure=cure)
        there = ", ".join(values) or "no arguments"
        return PromptError(
            f"the template uses '{unknown['name']}', which is no argument of the prompt",
            where=where,
            cure=f"{guess(unknown['name'], values)}There are {there}.",
        )


def text_of(path: Path, what: str = "the prompt") -> str:
    """The text of a prompt's file, or of the file of its demos. Raises PromptError."""
    try:
        if not path.is_file():  # a pipe would be waited for
            raise PromptError(
                f"{what} cannot be read: {'it is' if path.exists() else 'there is'} no file",
                where=str(path),
                cure="Put a text file there, or nothing.",
            )
        if path.stat().st_size > _LONGEST:
            raise PromptError(
                f"{what} is longer than {_LONGEST:,} bytes",
                where=str(path),
                cure="Have long texts as its arguments.",
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PromptError(
            f"{what} is not UTF-8 at byte {error.start}",
            where=str(path),
            cure="Save the file as UTF-8.",
        ) from None
    except OSError as error:
        raise PromptError(
            f"{what} cannot be read: {error.strerror}",
            where=str(path),
            cure="See to its path and its permissions.",
        ) from None


def _markdown(source: str, where: str) -> Parts:
    front, body, line = _split_front(source, where)
    return Parts(
        front_matter(front, where),
        tuple(_sections(body, line, where)),
        any(_headings(_lines(body))),
    )


def _split_front(source: str, where: str) -> tuple[str, str, int]:
    """Front matter, body, and the body's first line."""
    if not _FRONT_OPENS.match(source):
        return "", source, 1
    match = _FRONT.match(source)
    if match is None:
        raise PromptError(
            "the front matter is not closed", where=f"{where}:1", cure="End it with a line '---'."
        )
    return match["front"], source[match.end() :], source.count("\n", 0, match.end()) + 1


def parameters(values: Parameters | Mapping[str, Any] | None, where: str) -> Parameters:
    """Parameters from what a decorator or a front matter says. Raises PromptError."""
    if isinstance(values, Parameters):
        return values
    if not values:
        return Parameters()
    unknown = sorted(set(values) - set(Parameters.__struct_fields__), key=str)
    known = f"The parameters are {', '.join(Parameters.__struct_fields__)}."
    if unknown:
        closest = guess(str(unknown[0]), Parameters.__struct_fields__)
        raise PromptError(
            f"there is no parameter '{unknown[0]}'", where=where, cure=closest + known
        )
    try:
        found = msgspec.convert(dict(values), Parameters)
        for name, each in msgspec.structs.asdict(found).items():
            if isinstance(each, float) and not math.isfinite(each):
                raise msgspec.ValidationError(f"{name} is {each}, which is no number")
        return found
    except msgspec.ValidationError as error:
        raise PromptError(f"a parameter does not fit: {error}", where=where, cure=known) from None


def _sections(body: str, line: int, where: str) -> Iterator[Section]:
    lines = _lines(body)
    starts = list(_headings(lines))
    _refuse_misspelt(lines, {role for _, role in starts}, line, where)
    if not starts:
        yield Section("user", body, line)
        return
    before = "".join(lines[: starts[0][0]])
    if before.strip():
        raise PromptError(
            f"there is text before the first section '# {starts[0][1]}'",
            where=f"{where}:{line}",
            cure="Put it into a section, or into the front matter's description.",
        )
    ends = [at for at, _ in starts[1:]] + [len(lines)]
    for (at, role), end in zip(starts, ends, strict=True):
        yield Section(role, "".join(lines[at + 1 : end]), line + at + 1)


def _lines(text: str) -> list[str]:
    """Lines as an editor counts them; `splitlines` would end them at U+2028 and form feeds too."""
    return re.findall(r".*\n|.+", text)


def _headings(lines: list[str]) -> Iterator[tuple[int, Speaker]]:
    for at, line in _unfenced(lines):
        if match := _HEADING.fullmatch(line.rstrip()):
            yield at, cast("Speaker", match["role"].lower())


def _unfenced(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines outside of fenced blocks, with their places."""
    fence = ""
    for at, line in enumerate(lines):
        mark = line.lstrip()[:3]
        if mark in ("```", "~~~") and fence in ("", mark):
            fence = "" if fence else mark
        elif not fence:
            yield at, line


def _refuse_misspelt(lines: list[str], there: set[Speaker], first: int, where: str) -> None:
    """A heading that is nearly that of a section the file does not have is meant to begin it."""
    for at, line in _unfenced(lines):
        match = _NEARLY.fullmatch(line.strip())
        if match is None or (there and match["level"] != "#"):
            continue
        close = difflib.get_close_matches(match["word"].lower(), get_args(Speaker), 1, _ALIKE)
        if close and close[0] not in there:
            raise PromptError(
                f"the heading '{line.strip()}' begins no section",
                where=f"{where}:{first + at}",
                cure=f"Did you mean '# {close[0]}'? There are # system, # user and # assistant.",
            )


def _refuse_files(tree: jinja2.nodes.Template, where: str) -> None:
    from jinja2 import nodes

    kinds = (nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)
    for node in tree.find_all(kinds):
        raise PromptError(
            "a prompt's file cannot include, extend or import another one",
            where=f"{where}:{node.lineno}",
            cure="Write its text here, or have it as an argument.",
        )


def shown(value: object) -> str:
    """A value as words for a model: text as it is, passages as blocks, the rest as JSON."""
    import jinja2

    if type(value) is str:
        return value
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises UndefinedError
    if isinstance(value, Passages):
        return value.shown
    if isinstance(value, Fenced):
        return laid_out(value)
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return _as_json(value)


def _as_json(value: object) -> str:
    from pydantic_core import to_json

    try:
        encoded = msgspec.json.encode(value)
    except TypeError:
        # Not a value of ours: pydantic models, dataclasses with such fields, paths, …
        encoded = to_json(value, fallback=str)
    plain = json.loads(encoded)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, indent=2)


def _line(error: Exception, where: str) -> int:
    """The line of the template that was at work when the error was raised."""
    line, frame = 0, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == where:
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


_SECTIONS = 1_000
_BRACES = "It is Jinja2: write {% raw %} and {% endraw %} around braces that are meant as they are."
_PUT = "A template puts its arguments into words: have what else it needs as one of them."
# About a million tokens: more than any model reads.
_LONGEST = 4_000_000
_FRONT_OPENS = re.compile(r"---[ \t]*\r?\n")
_FRONT = re.compile(r"---[ \t]*\r?\n(?P<front>(?:.*\r?\n)*?)---[ \t]*(?:\r?\n|\Z)")
_HEADING = re.compile(r"# (?P<role>system|user|assistant)[ \t]*", re.IGNORECASE)
_NEARLY = re.compile(r"(?P<level>#{1,6})[ \t]*(?P<word>[A-Za-z]+)[ \t]*:?")
_ALIKE = 0.8  # usr, sytem, asistant
_UNKNOWN = re.compile(r"'(?P<name>\w+)' is undefined")
