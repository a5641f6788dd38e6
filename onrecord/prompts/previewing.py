"""What a prompt would send, written from its files: no code of the project is imported, and no
model is called.

Without the function, its types are not known: what they add, the instruction on the form of the
answer above all, is not there, and neither are the marks around untrusted inputs. The function's
own `render` shows everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from onrecord.calling import run
from onrecord.errors import PromptError, UsageError
from onrecord.messages import Message, text_message
from onrecord.prompts.demos import Demos, put
from onrecord.prompts.fitting import as_written
from onrecord.prompts.front_matter import guess
from onrecord.prompts.library import History, Version, template_of
from onrecord.prompts.passages import framed
from onrecord.prompts.reading import demos_of, demos_path
from onrecord.prompts.template import Template, shown


class Preview(NamedTuple):
    """Messages, and what there is to know of them, a sentence each."""

    messages: tuple[Message, ...]
    notes: tuple[str, ...] = ()


def preview(of: History, version: Version, inputs: Mapping[str, Any]) -> Preview:
    """The messages of a version for these inputs. Raises PromptError, and UsageError for an input
    that is missing."""
    if version.kept is None:
        raise UsageError(
            f"the text of this version of '{of.name}' was not kept",
            cure="The setting bodies = true keeps it, from the next call on.",
        )
    template = template_of(of, version)
    notes = [_WITHOUT_TYPES]
    if template is None:
        return Preview(_laid_out(version.kept.text, inputs), tuple(notes))
    if template.is_empty:
        notes.append("the file has no words: those of the function's docstring are sent")
        return Preview(_laid_out(version.kept.docstring, inputs), tuple(notes))
    values = {**template.parts.examples, **inputs}
    taken = [name for name in template.parts.examples if name not in inputs]
    if taken:
        notes.append(f"of the file's examples are {', '.join(taken)}")
    variables = template.variables
    for name in inputs:
        if name not in variables:
            notes.append(f"the text does not show '{name}'. {guess(name, variables)}".strip())
    messages = _rendered(template, values)
    if version.kept.docstring and not template.has_sections:
        messages = (text_message("system", version.kept.docstring), *messages)
    demos = demos_of(template, demos_path(template), version.kept.demos or None)
    if demos is not None:
        messages = _with_demos(of.name, demos, messages, template, values)
    return Preview(messages, tuple(notes))


def _rendered(template: Template, values: Mapping[str, Any]) -> tuple[Message, ...]:
    try:
        return template.render(values)
    except PromptError as error:
        missing = [name for name in template.variables if name not in values]
        named = next((name for name in missing if f"uses '{name}'" in error.what), None)
        if named is None:
            raise
        raise UsageError(
            f"the input '{named}' is missing",
            where=error.where,
            cure=f"The text shows {', '.join(template.variables)}. Write --input {named}=…",
        ) from None


def _with_demos(
    name: str,
    demos: Demos,
    messages: tuple[Message, ...],
    template: Template,
    values: Mapping[str, Any],
) -> tuple[Message, ...]:
    written = demos.fitted(as_written)
    chosen = run(written.chosen(name, values))
    return put(messages, chosen, lambda inputs: template.render({**values, **inputs}))


def _laid_out(docstring: str, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
    """As a prompt without a file is laid out (prompt.py)."""
    blocks = [framed(name, shown(value)) for name, value in inputs.items()]
    said = text_message("system", docstring), text_message("user", "\n\n".join(blocks))
    return tuple(message for message in said if message.text)


_WITHOUT_TYPES = (
    "what the function's types add is not shown: --from app.py imports it, and shows everything"
)
