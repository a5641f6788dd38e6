"""The text of a prompt: a Markdown file with YAML front matter, rendered by a sandboxed Jinja2.

    ---
    model: openai:gpt-5-mini
    parameters: {temperature: 0}
    ---
    # system
    Answer only from the passages.
    # user
    {{ question }}
    {{ passages }}

`# system`, `# user` and `# assistant` on a line of their own begin a message (not inside a fenced
block); a file without them is one user message. Sections are cut before anything is rendered, so
no value can begin a message of its own.

The sandbox keeps a template from private attributes and changes to values, and bounds its ranges,
products and result. It does not bound the time of nested loops nor the memory of a filter such as
`center`: a prompt file is code of the application and no stranger's input. Values are never read
as templates.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import msgspec

from onrecord.errors import PromptError
from onrecord.messages import Message, text_message
from onrecord.models.model import Parameters
from onrecord.prompts.passages import Passages
from onrecord.prompts.untrusted import Fenced, laid_out

if TYPE_CHECKING:
    import jinja2
    import jinja2.sandbox

Speaker = Literal["system", "user", "assistant"]


class FrontMatter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a prompt's file may say of itself; not its output, for the types are the contract."""

    model: str | None = None
    parameters: dict[str, Any] = {}
    repairs: int | None = None
    description: str = ""
    reasoning: bool | None = None
    untrusted: str | tuple[str, ...] = ()
    reminder: bool = False
    max_chars: Annotated[int, msgspec.Meta(gt=0)] | None = None
    demos: list[Any] | dict[str, Any] | None = None


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

        found: dict[str, None] = {}
        for section in self.sections:
            with contextlib.suppress(jinja2.TemplateError):  # compiling it has told that already
                tree = _environment().parse(section.text)
                names = meta.find_undeclared_variables(tree)
                found |= dict.fromkeys(sorted(names, key=section.text.find))
        return tuple(found)

    def render(self, values: Mapping[str, object]) -> tuple[Message, ...]:
        """The messages, with `values` put in. Raises PromptError with the line and the cure."""
        if self.parts.defaults:
            values = {**self.parts.defaults, **values}
        rendered = (
            text_message(section.role, self._render(compiled, section, values).strip())
            for section, compiled in zip(self.sections, self._compiled, strict=True)
        )
        return tuple(message for message in rendered if message.text)

    def _compile(self, section: Section) -> jinja2.Template:
        import jinja2

        environment = _environment()
        # Blank lines in front make the lines that Jinja reports those of the file.
        source = "\n" * (section.line - 1) + section.text
        try:
            code = environment.compile(source, filename=self.where)
        except jinja2.TemplateSyntaxError as error:
            raise PromptError(
                f"the template does not parse: {error.message}",
                where=f"{self.where}:{error.lineno}",
            ) from None
        return environment.template_class.from_code(
            environment, code, environment.make_globals(None)
        )

    def _render(
        self, compiled: jinja2.Template, section: Section, values: Mapping[str, object]
    ) -> str:
        pieces: list[str] = []
        length = 0
        try:
            for piece in compiled.generate(values):
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
            return PromptError(f"the template cannot be rendered: {error}", where=where)
        there = ", ".join(values) or "no arguments"
        return PromptError(
            f"the template uses '{unknown['name']}', which is no argument of the prompt",
            where=where,
            cure=f"{guess(unknown['name'], values)}There are {there}.",
        )


def text_of(path: Path) -> str:
    """The text of a prompt's file. Raises PromptError."""
    try:
        if not path.is_file():  # a pipe would be waited for
            raise PromptError("the prompt cannot be read: it is no file", where=str(path))
        if path.stat().st_size > _LONGEST:
            raise PromptError(f"the prompt is longer than {_LONGEST:,} bytes", where=str(path))
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PromptError(
            f"the prompt is not UTF-8 at byte {error.start}",
            where=str(path),
            cure="Save the file as UTF-8.",
        ) from None
    except OSError as error:
        raise PromptError(f"the prompt cannot be read: {error.strerror}", where=str(path)) from None


def _markdown(source: str, where: str) -> Parts:
    front, body, line = _split_front(source, where)
    return Parts(
        _front_matter(front, where),
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


def _front_matter(text: str, where: str) -> FrontMatter:
    values = yaml_of(text, where)
    _check_names(values, where)
    try:
        return msgspec.convert(values, FrontMatter)
    except msgspec.ValidationError as error:
        raise PromptError(
            f"the front matter does not fit: {error}",
            where=where,
            cure=f"Its fields are {', '.join(FrontMatter.__struct_fields__)}.",
        ) from None


def yaml_of(text: str, where: str) -> Any:
    """The values of a front matter that begins in the second line. Raises PromptError."""
    import yaml

    try:
        return yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise PromptError(
            f"the front matter does not parse: {problem}", where=f"{where}:{line}"
        ) from None


def _check_names(values: Any, where: str) -> None:
    known = FrontMatter.__struct_fields__
    for name in values if isinstance(values, dict) else ():
        if name not in known:
            raise PromptError(
                f"the front matter has an unknown field '{name}'",
                where=where,
                cure=f"{guess(str(name), known)}Its fields are {', '.join(known)}.",
            )


def guess(name: str, known: Iterable[str]) -> str:
    """A sentence that names the closest of the known names, and ends with a blank; or nothing."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f"Did you mean '{close[0]}'? " if close else ""


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
        return msgspec.convert(dict(values), Parameters)
    except msgspec.ValidationError as error:
        raise PromptError(f"a parameter does not fit: {error}", where=where, cure=known) from None


def _sections(body: str, line: int, where: str) -> Iterator[Section]:
    lines = _lines(body)
    starts = list(_headings(lines))
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
    fence = ""
    for at, line in enumerate(lines):
        mark = line.lstrip()[:3]
        if mark in ("```", "~~~") and fence in ("", mark):
            fence = "" if fence else mark
        elif not fence and (match := _HEADING.fullmatch(line.rstrip())):
            yield at, cast("Speaker", match["role"])


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        """Jinja's sandbox, with a bound on what one operator may make."""

        intercepted_binops = frozenset(["*", "**"])

        def call_binop(
            self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
        ) -> Any:
            sizes = [len(side) if hasattr(side, "__len__") else abs(side) for side in (left, right)]
            if operator == "**" or sizes[0] * sizes[1] > _LONGEST:
                raise OverflowError(f"the result of '{operator}' may be too large for a prompt")
            return super().call_binop(context, operator, left, right)

    environment = Sandbox(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # what is rendered is words for a model and not HTML
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    del environment.globals["lipsum"]
    return environment


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


# About a million tokens: more than any model reads.
_LONGEST = 4_000_000
_FRONT_OPENS = re.compile(r"---[ \t]*\r?\n")
_FRONT = re.compile(r"---[ \t]*\r?\n(?P<front>(?:.*\r?\n)*?)---[ \t]*(?:\r?\n|\Z)")
_HEADING = re.compile(r"# (?P<role>system|user|assistant)[ \t]*")
_UNKNOWN = re.compile(r"'(?P<name>\w+)' is undefined")
