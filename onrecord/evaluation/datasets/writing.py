"""Questions that a model writes about a passage, and what is asked of them before they count."""

from __future__ import annotations

import msgspec

from onrecord.citations import cite
from onrecord.messages import Citation, Passage
from onrecord.models.model import Model
from onrecord.prompts.prompt import prompt


class Written(msgspec.Struct, frozen=True):
    """A question, its answer, and the words of the passage that answer it."""

    question: str
    answer: str
    quote: str


class Unanswerable(msgspec.Struct, frozen=True):
    """A question, and the name or thing in it that is mentioned nowhere."""

    question: str
    entity: str


@prompt
async def write_question(passages: list[Passage]) -> Written:
    """Write a question that the passage answers, its answer, and the words that answer it."""
    raise AssertionError("a prompt's body is never run")


@prompt
async def write_unanswerable(passages: list[Passage]) -> Unanswerable:
    """Write a question on the passage's subject about something that it does not mention."""
    raise AssertionError("a prompt's body is never run")


class Rejected(Exception):
    """A question that does not count; the text says why."""


async def ask_about(passage: Passage, model: str | Model) -> tuple[Written, Citation]:
    """A question with a quotation that was found in the passage, character by character. Raises
    Rejected, ModelError."""
    written = await write_question.using(model)([passage])
    if not written.question.strip() or not written.answer.strip():
        raise Rejected("the question or its answer is empty")
    found = cite(written.quote, [passage])
    if found is None:
        raise Rejected("the quotation does not stand in the passage")
    return written, found


async def ask_beside(passage: Passage, model: str | Model) -> Unanswerable:
    """A question about an entity that the passage does not name. Raises Rejected, ModelError."""
    written = await write_unanswerable.using(model)([passage])
    entity = written.entity.strip()
    if not entity or entity.lower() not in written.question.lower():
        raise Rejected("the question does not name what it asks about")
    return msgspec.structs.replace(written, entity=entity)
