"""What is offered to other programs: flows, tools, agents, and the search of collections.

Every call is on record as any other, with the session it came in and the tag "mcp". What fails is
told in one sentence, without anything of the code; a flow that waits for a person says so, with the
id of its run.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Protocol

from onrecord.errors import OnrecordError, PausedError, UsageError
from onrecord.messages import Passage, ToolSchema
from onrecord.programs.agents.agent import Agent
from onrecord.programs.agents.outcome import Paused, Stopped
from onrecord.programs.arguments import Typed, said_of
from onrecord.programs.flow import Flow
from onrecord.programs.functions import Code
from onrecord.programs.tool import Tool
from onrecord.prompts.schemas import Unfit
from onrecord.records.record import plain
from onrecord.records.scope import context
from onrecord.records.views.wording import visible
from onrecord.retrieval.collection import Collection


class Offer(Protocol):
    """What another program may call."""

    @property
    def schema(self) -> ToolSchema:
        """What it is told of it."""

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name. Raises Unfit."""

    async def call(self, arguments: Mapping[str, Any]) -> Any:
        """What it gives."""


class OfferedFlow:
    """A flow. Raises UsageError where its arguments have no JSON schema."""

    def __init__(self, flow: Flow[..., Any]) -> None:
        self._flow = flow
        code = Code(flow)
        self._typed = Typed(flow.name, flow.signature.parameters, code.hints)
        words, said = said_of(code.function)
        self.schema = ToolSchema(flow.name, words, self._typed.described(said))

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """As of Offer."""
        return self._typed.read(given)

    async def call(self, arguments: Mapping[str, Any]) -> Any:
        """As of Offer. Raises PausedError where it waits for a person."""
        return await self._flow(**arguments)


class OfferedTool:
    """A tool, which whoever calls it may call without asking anybody here. Raises UsageError where
    it wants a person's approval."""

    def __init__(self, tool: Tool[..., Any]) -> None:
        if tool.approve is not False:
            raise UsageError(
                f"the tool '{tool.name}' wants a person's approval, and a call from outside has "
                "nobody to ask",
                cure="Offer a flow that asks with on.pause and then calls it.",
            )
        self._tool = tool
        self.schema = tool.schema

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """As of Offer."""
        return self._tool.read(json.dumps(dict(given)))

    async def call(self, arguments: Mapping[str, Any]) -> Any:
        """As of Offer."""
        return await self._tool.called(arguments)


class OfferedAgent:
    """An agent, which takes a task in words. Every call is a conversation of its own."""

    def __init__(self, agent: Agent[Any]) -> None:
        self._agent = agent
        signature = inspect.signature(self._asked)
        self._typed = Typed(agent.name, signature.parameters, _ASKED)
        self.schema = ToolSchema(agent.name, agent.description, self._typed.described({}))

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """As of Offer."""
        return self._typed.read(given)

    async def call(self, arguments: Mapping[str, Any]) -> Any:
        """As of Offer. Raises PausedError where it waits for a person."""
        return await self._asked(**arguments)

    async def _asked(self, task: str) -> Any:
        outcome = await self._agent(task)
        if isinstance(outcome, Paused):
            raise PausedError(outcome.run, outcome.requests)
        if isinstance(outcome, Stopped):
            why = f"{outcome.reason}. {outcome.said}".strip()
            raise OnrecordError(f"the agent was stopped before it could answer: {why}")
        return outcome.value


class OfferedCollection:
    """The search of a collection."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        name = re.sub(r"[^A-Za-z0-9_-]", "_", f"search_{collection.name}")[:64]
        signature = inspect.signature(self._search)
        self._typed = Typed(name, signature.parameters, _SEARCH)
        self.schema = ToolSchema(
            name,
            f"Search the documents of '{collection.name}'. Gives the passages that fit the "
            "question best, best first, each with its text, the id of its document, and where it "
            "stands there.",
            self._typed.described({}),
        )

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """As of Offer."""
        return self._typed.read(given)

    async def call(self, arguments: Mapping[str, Any]) -> Any:
        """As of Offer."""
        return await self._search(**arguments)

    async def _search(self, question: str, k: int = 6) -> list[Passage]:
        if not 1 <= k <= _MOST_PASSAGES:
            raise UsageError(f"k={k}: there are 1 to {_MOST_PASSAGES} passages")
        return await self.collection.search(question, k)


class Answer(NamedTuple):
    """What a call gave: words, plain JSON values where there are, and whether it failed."""

    text: str
    value: Any = None
    failed: bool = False


class Offers:
    """What is offered, by name, and the calls of it."""

    def __init__(self, offers: Sequence[Offer], *, concurrent: int = 16) -> None:
        self._offers: dict[str, Offer] = {}
        self._busy = asyncio.Semaphore(concurrent)
        for each in offers:
            if each.schema.name in self._offers:
                raise UsageError(
                    f"two of what is offered are called '{each.schema.name}'",
                    cure="Rename one, or leave it out: --flows NAME,NAME.",
                )
            self._offers[each.schema.name] = each

    @property
    def schemas(self) -> list[ToolSchema]:
        """What there is."""
        return [each.schema for each in self._offers.values()]

    @property
    def collections(self) -> dict[str, Collection]:
        """Those whose search is offered, by name."""
        found = [each for each in self._offers.values() if isinstance(each, OfferedCollection)]
        return {each.collection.name: each.collection for each in found}

    async def call(self, name: str, given: Mapping[str, Any], session: str | None) -> Answer:
        """Make a call. It never raises: what went wrong is in the answer."""
        offer = self._offers.get(name)
        if offer is None:
            return Answer(f"There is no tool '{name:.80}'.", failed=True)
        try:
            arguments = offer.read(given)
        except Unfit as unfit:
            return Answer(f"The arguments do not fit. {unfit}", failed=True)
        try:
            async with self._busy:
                with context(session=session, tags=("mcp",)):
                    return _answered(await offer.call(arguments))
        except PausedError as paused:
            return _paused(paused)
        except OnrecordError as error:
            return Answer(str(error), failed=True)
        except Exception as error:  # of a user's function: its words may hold anything
            _log.warning("'%s' failed: %s: %s", name, type(error).__name__, visible(str(error)))
            return Answer(
                f"'{name}' failed with {type(error).__name__}. Its record says more.", failed=True
            )


def _answered(value: Any) -> Answer:
    known = plain(value)
    if isinstance(known, str):
        return Answer(known)
    text = json.dumps(known, ensure_ascii=False, indent=2)
    # Structured content is an object; other values stand in one.
    return Answer(text, known if isinstance(known, dict) else {"result": known})


def _paused(paused: PausedError) -> Answer:
    asked = " ".join(f"“{each.text}”" for each in paused.questions)
    return Answer(
        f"It is not done yet: it waits for a person's answer to {asked} (run {paused.run}).",
        {
            "waiting": True,
            "run": paused.run,
            "questions": [
                {"id": each.id, "text": each.text, "options": list(each.options)}
                for each in paused.questions
            ],
        },
    )


_log = logging.getLogger(__name__)
_ASKED = {"task": Annotated[str, "What it is to do, in words."]}
_SEARCH = {
    "question": Annotated[str, "What is looked for, in words."],
    "k": Annotated[int, "How many passages, at most 50."],
}
_MOST_PASSAGES = 50
