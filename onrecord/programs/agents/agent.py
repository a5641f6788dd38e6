"""Agents: a model, tools and limits in a loop.

    support = on.Agent("openai:gpt-5", tools=[order_status, refund], output=Reply,
                       limits=on.Limits(steps=8, usd=0.20))
    outcome = support.run("Refund order 17 if it was late")    # Done | Paused | Stopped

An agent is a flow: one record with everything inside, paused for a person and resumed in any
process. The loop itself is `loop.py`; what a tool call goes through, `toolbox.py`.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import math
from collections import Counter
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from types import NoneType
from typing import Any, Concatenate, Generic, Literal, TypedDict, TypeVar, Unpack, cast, overload

import msgspec

from onrecord.arguments import several
from onrecord.calling import Operation, emit
from onrecord.errors import LimitError, PausedError, ToolError, UsageError
from onrecord.messages import Message, text_message
from onrecord.models.model import Model, Parameters, structures
from onrecord.models.names import model as model_named
from onrecord.programs.agents.compaction import Compaction, Memory
from onrecord.programs.agents.dialect import ANSWER, Dialect, Native
from onrecord.programs.agents.loop import Task, turns
from onrecord.programs.agents.outcome import (
    Done,
    Ended,
    Outcome,
    Paused,
    Reason,
    Stopped,
    Turn,
)
from onrecord.programs.agents.planning import plan_tool
from onrecord.programs.agents.react import ReAct
from onrecord.programs.agents.sessions import conversation_of
from onrecord.programs.agents.toolbox import Bounds, Toolbox
from onrecord.programs.flow import Flow
from onrecord.programs.resuming import Changed
from onrecord.programs.tool import Tool, checked_name
from onrecord.programs.tool import tool as make_tool
from onrecord.programs.trying import Trying
from onrecord.prompts.structured import output_of
from onrecord.prompts.template import parameters as parameters_of
from onrecord.records.call import current
from onrecord.records.ledger import budget
from onrecord.records.limits import Limits
from onrecord.records.record import content_key
from onrecord.records.scope import context, left

T = TypeVar("T")

Speaks = Literal["native", "react"]
"""How a model calls tools: by itself, or in the words thought, action, observation."""


class Options(TypedDict, total=False):
    """What an agent may be given beside its model and the type of its answer."""

    tools: Iterable[Any]
    instructions: str
    limits: Limits
    memory: Memory | None
    plan: bool
    speaks: Speaks | None
    parameters: Parameters | Mapping[str, Any] | None
    repairs: int
    bounds: Bounds
    name: str
    description: str


class Agent(Operation[Concatenate[str, ...], Outcome[T]], Generic[T]):
    """A model, tools and limits in a loop. Called like every other function: `await agent(text)`,
    `agent.run(text)`, `agent.stream(text)` (words, records and turns as they come).

    `tools`: made with `@on.tool`, `on.tools.…`; other agents, flows and typed functions, too.
    `output`: the type of the answer. `instructions`: what the system message says. `limits`: for
    one run of it, sub-agents included; 20 steps where nothing is said. `memory`: how long a
    conversation may get. `plan`: give it a list of tasks that it keeps. `speaks`: "native" or
    "react"; None chooses by what the model says that it can do. `repairs`: how often in a row an
    answer that does not fit goes back. `bounds`: of its tool calls. `name`: what it is called on
    record, and as a tool of another agent, with `description`.

    Raises UsageError for what cannot be an agent.
    """

    @overload
    def __init__(self: Agent[str], model: str | Model, **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(
        self, model: str | Model, *, output: type[T], **options: Unpack[Options]
    ) -> None: ...
    @overload  # what is a type and no class: `int | None`, `Literal[…]`
    def __init__(
        self: Agent[Any], model: str | Model, *, output: Any, **options: Unpack[Options]
    ) -> None: ...
    def __init__(
        self,
        model: str | Model,
        *,
        tools: Iterable[Any] = (),
        output: Any = str,
        instructions: str = "",
        limits: Limits = Limits(steps=20),  # noqa: B008  # frozen
        memory: Memory | None = None,
        plan: bool = False,
        speaks: Speaks | None = None,
        parameters: Parameters | Mapping[str, Any] | None = None,
        repairs: int = 2,
        bounds: Bounds = Bounds(),  # noqa: B008  # frozen
        name: str = "agent",
        description: str = "",
    ) -> None:
        super().__init__(self._answer)
        self.name = self.__name__ = checked_name(name, "an agent")
        self.description = description or f"Takes a task in words, for the agent {name}."
        self.tools = _tools(tools, plan)
        self.limits = limits
        self.model = model_named(model)
        self._output = output_of(output)
        self._memory = memory
        self._repairs = repairs
        self._bounds = bounds
        _check_tools(self.tools, is_typed=self._output.schema is not None)
        _check("limits", limits, Limits, "on.Limits(steps=8, usd=0.20)")
        _check("memory", memory, (Memory, NoneType), "on.Memory(tokens=8_000)")
        _check("bounds", bounds, Bounds, "Bounds(seconds=30)")
        _check("instructions", instructions, str, '"You help customers."')
        _check("description", description, str, '"Finds out where an order is."')
        if type(repairs) is not int or repairs < 0:
            raise UsageError(
                f"repairs={repairs!r:.60} is no number of times", cure="Give 0 or more."
            )
        given = parameters_of(parameters, f"agent {name}")
        speaks = _speaks(speaks, self.model)
        spoken: type[Native | ReAct] = Native if speaks == "native" else ReAct
        schemas = [each.schema for each in self.tools]
        self._dialect: Dialect = spoken(instructions, schemas, self._output, given)
        self.version = content_key(
            [instructions, speaks, self._output.schema, limits, memory, given],
            [[each.name, each.version] for each in self.tools],
        )
        self._flow = _AgentFlow(self)

    async def _answer(
        self, text: str, *, history: Sequence[Message] = (), session: str | None = None
    ) -> Outcome[T]:
        """Give it a task, or the next words of a conversation: `history` is that of an earlier
        outcome (`outcome.messages`); with `session` it is what is on record of the last run in that
        session. Inside of a flow a question to a person pauses the flow; else the outcome is
        Paused. Raises ModelError where the model does not answer, and LimitError where a budget
        around it ends."""
        if not isinstance(text, str):
            raise UsageError(f"an agent is given words, not {text!r:.60}", cure="Write a str.")
        with context(session=session):
            before = list(history)
            if session is not None and not before:
                before = await conversation_of(self.name, session)
            given = {"text": text, "history": before}
            return await self._outcome(self._flow(text, before), "", given)

    @Operation
    async def resume(
        self,
        run: str,
        /,
        *,
        answers: Mapping[str, Any] = {},
        changed: Changed = "refuse",
        given: Mapping[str, Any] = {},
    ) -> Outcome[T]:
        """Go on with a run of it that waits, was interrupted or failed, in any process:
        `agent.resume.run(run, answers={request.id: "approve"})`. All is as in `flow.resume`; a task
        of which redaction has removed something is given again, `given={"text": …}`."""
        going_on = self._flow.resume(run, answers=answers, changed=changed, given=given)
        return await self._outcome(going_on, run, given)

    def as_tool(self) -> Tool[[str], Any]:
        """It as a tool for another agent: it takes a task in words and gives its answer. Its steps,
        tokens and dollars count in the budgets of whoever calls it."""

        async def asked(task: str) -> Any:
            outcome = await self(task)
            if isinstance(outcome, Done):
                return outcome.value
            raise ToolError(f"the agent {self.name} was stopped: {_why(outcome)}")

        asked.__name__ = asked.__qualname__ = self.name
        asked.__doc__ = self.description
        return Tool(asked, trying=Trying(math.inf))

    def __get__(self, instance: object, owner: type | None = None) -> Agent[T]:
        return self  # as the attribute of a class it is no method

    def __repr__(self) -> str:
        return f"<agent {self.name}, {self.model.name}, {len(self.tools)} tools>"

    async def _outcome(
        self, answer: Awaitable[Ended], run: str, given: Mapping[str, Any]
    ) -> Outcome[T]:
        token = _run.set([run] if (this := current()) is None else [this.run])
        try:
            ended = await answer
        except PausedError as paused:
            going_on = functools.partial(self.resume, given=given)
            return Paused(paused.questions, paused.run, going_on)
        finally:
            (run,) = _run.get()
            left(_run, token)
        if ended.reason is not None:
            return Stopped(ended.reason, ended.said, ended.messages, ended.turns, run)
        value = cast("T", self._output.restore(ended.value))
        return Done(value, ended.messages, ended.turns, run)

    async def loop(self, text: str, history: Sequence[Message]) -> Ended:
        """What its flow does."""
        toolbox = Toolbox(self.tools, self._bounds)
        asked = text_message("user", text)
        messages = (*history, asked)
        shorten = Compaction(self.model, self._memory, asked) if self._memory is not None else None
        task = Task(self.model, self._dialect, toolbox, messages, self._repairs, shorten)
        last = Turn(0, "", (), (), messages)
        with budget(self.limits) as own:
            try:
                async for turn in turns(task):
                    if isinstance(turn, Ended):
                        return turn
                    last = turn
                    emit(msgspec.structs.replace(turn, messages=()))
            except LimitError as over:
                if over.budget is not own:
                    raise
                reason = cast("Reason", over.limit)
                return Ended(None, last.messages, last.number, reason, over.what)
        raise AssertionError("the loop ends with an Ended")


class _AgentFlow(Flow[[str, list[Message]], Ended]):
    """The flow of an agent: its code is the same for all, its version what the agent is made of."""

    def __init__(self, agent: Agent[Any]) -> None:
        async def answer(text: str, history: list[Message]) -> Ended:
            if (this := current()) is not None:
                _run.get()[:] = [this.run]
            return await agent.loop(text, history)

        answer.__name__ = answer.__qualname__ = agent.name
        super().__init__(answer)
        self._agent = agent

    @property
    def version(self) -> str:
        """Changes with the instructions, the tools, the form of the answer and the limits."""
        return self._agent.version


def _tools(given: Iterable[Any], plan: bool) -> tuple[Tool[..., Any], ...]:
    """The tools, made of whatever can be one."""
    made = tuple(map(_tool, several(given, "tools")))
    return (*made, plan_tool()) if plan else made


def _tool(given: Any) -> Tool[..., Any]:
    if isinstance(given, Tool):
        return given
    if isinstance(given, Agent):
        return given.as_tool()
    if isinstance(given, Operation) or inspect.isroutine(given):
        return make_tool(given if inspect.isroutine(given) else _awaited(given))
    raise UsageError(
        f"{given!r:.60} is no tool", cure="Give functions with @on.tool, or what on.tools makes."
    )


def _awaited(operation: Operation[..., Any]) -> Any:
    """A flow, step or prompt as a function, of which a tool can be made."""

    @functools.wraps(operation)
    async def called(*args: Any, **kwargs: Any) -> Any:
        return await operation(*args, **kwargs)

    return called


def _speaks(given: Speaks | None, model: Model) -> Speaks:
    if given not in (None, "native", "react"):
        raise UsageError(f"speaks={given!r} is not known", cure='Say "native" or "react".')
    return given or ("native" if "tool" in structures(model) else "react")


def _check(name: str, given: Any, kind: type | tuple[type, ...], cure: str) -> None:
    """Raises UsageError for an argument of another kind."""
    if not isinstance(given, kind):
        raise UsageError(f"{name}={given!r:.60} cannot be", cure=f"Write {name}={cure}.")


def _check_tools(tools: Sequence[Tool[..., Any]], *, is_typed: bool) -> None:
    """Raises UsageError for tools that cannot be told apart."""
    names = Counter(each.name for each in tools)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise UsageError(f"two tools have the name '{twice[0]}'", cure="Rename one of them.")
    if is_typed and ANSWER in names:
        raise UsageError(
            f"a tool has the name '{ANSWER}', which takes the answer of a typed agent",
            cure="Rename it.",
        )


def _why(outcome: Stopped | Paused[Any]) -> str:
    return f"{outcome.reason}. {outcome.said}" if isinstance(outcome, Stopped) else "it waits"


_run: contextvars.ContextVar[list[str]] = contextvars.ContextVar("onrecord_agent_run")
"""Takes the id of the run that an agent's flow belongs to."""
