"""The agent's loop, whole: ask the model, make the calls that it wants, tell it, until it answers.

    async for turn in turns(task):      # Turn, Turn, …, then one Ended

Everything it does is a call that is recorded (model, tool, pause), so a run that is resumed walks
through the same turns with what is on record.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from onrecord.messages import Completion, Message
from onrecord.models.calling import complete
from onrecord.models.model import Model, Request
from onrecord.programs.agents.dialect import Dialect, Said
from onrecord.programs.agents.outcome import Ended, Reason, Turn
from onrecord.programs.agents.toolbox import Toolbox
from onrecord.records.ledger import take_step
from onrecord.records.record import plain

Shorten = Callable[[list[Message], Request], Awaitable[list[Message]]]
"""Makes a conversation fit into what an agent may remember."""


class Task(NamedTuple):
    """What the loop works with. `repairs`: how often in a row an answer may not fit."""

    model: Model
    dialect: Dialect
    toolbox: Toolbox
    messages: tuple[Message, ...]
    repairs: int
    shorten: Shorten | None = None


async def turns(task: Task) -> AsyncIterator[Turn | Ended]:
    """The turns of an agent, then its end. Raises LimitError where a limit ends it, ModelError."""
    messages, number, misses = list(task.messages), 0, 0
    while True:
        take_step()
        number += 1
        if task.shorten is not None:
            messages = await task.shorten(messages, task.dialect.request(messages))
        completion = await complete(task.model, task.dialect.request(messages))
        said = _with_cut(task.dialect.read(completion, task.toolbox.passages), completion)
        messages.append(said.message)
        if completion.finish == "refused" and not said.calls:
            yield _stopped("refused", said.words, messages, number)
            return
        if said.calls and not said.answer and not said.problem:
            results = await task.toolbox.call(said.calls)
            messages.append(task.dialect.told(said, results))
            misses = 0
            yield Turn(number, said.words, said.calls, results, tuple(messages))
            if task.toolbox.repeats >= _MOST_REPEATS:
                yield _stopped("repeats", _repeated(said), messages, number)
                return
            continue
        is_last = not said.problem or misses >= task.repairs
        if said.calls or not is_last:  # a call without a result would spoil what comes next
            messages.append(task.dialect.again(said))
        if is_last and said.answer:
            yield Ended(plain(said.answer[0]), tuple(messages), number)
            return
        if is_last:
            yield _stopped("output", said.problem, messages, number)
            return
        misses += 1
        yield Turn(number, said.words, said.calls, (), tuple(messages))


def _stopped(reason: Reason, said: str, messages: list[Message], number: int) -> Ended:
    return Ended(None, tuple(messages), number, reason, said)


def _repeated(said: Said) -> str:
    call = said.calls[-1]
    return f"{call.name} was called again and again with the same arguments and the same result."


def _with_cut(said: Said, completion: Completion) -> Said:
    """What was said, and that the end of it is missing; of calls each that is whole is made."""
    if completion.finish != "length" or (said.calls and not said.problem):
        return said
    return said._replace(problem=f"It was cut off at the limit of tokens. {said.problem}".strip())


_MOST_REPEATS = 6
