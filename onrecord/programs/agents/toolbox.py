"""The calls that a model asks for: read, approved, made, and told back.

    call --read--> a tool and its arguments, or what is wrong with them
         --approved--> by a person, where the tool wants that: the flow waits for all together
         --made--> several at once -> a result in words, a failure too

Nothing a model does raises here: an unknown tool, arguments that do not fit, an exception, a
time-out and a refused approval are results that it can read. What ends the run does leave: a limit,
a call that a cassette does not hold, a pause.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import msgspec

from onrecord.arguments import closest
from onrecord.errors import (
    DeadlineError,
    LimitError,
    OnrecordError,
    ReplayError,
    ResumeError,
    UsageError,
)
from onrecord.messages import Passage, Question, ToolCall, ToolResult
from onrecord.programs.arguments import decoded
from onrecord.programs.gathering import gather
from onrecord.programs.pausing import failed_before, pause, under_way
from onrecord.programs.tool import Tool
from onrecord.prompts.passages import Passages
from onrecord.prompts.schemas import Unfit
from onrecord.prompts.untrusted import without_hidden
from onrecord.records.call import PauseSignal, current, is_pause
from onrecord.records.call import call as record_call
from onrecord.records.ledger import in_time, is_around
from onrecord.records.record import content_key, pack, plain, unpacked

APPROVE, DENY = "approve", "deny"


class Bounds(msgspec.Struct, frozen=True):
    """`concurrent`: so many calls at once. `seconds`: so long may a tool take that says nothing
    itself. `characters`: so long is a result at most that a model is shown. Raises UsageError."""

    concurrent: int = 8
    seconds: float = 120.0
    characters: int = 20_000

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value, kinds = getattr(self, name), (int, float) if name == "seconds" else (int,)
            if type(value) not in kinds or not value > 0:
                raise UsageError(f"{name}={value!r:.60} bounds nothing", cure="Give 1 or more.")


class Toolbox:
    """The tools of an agent, and what its calls have shown so far."""

    def __init__(self, tools: Sequence[Tool[..., Any]], bounds: Bounds) -> None:
        self._tools = {each.name: each for each in tools}
        self._bounds = bounds
        self._turn = 0
        self._repeated: Counter[tuple[str, str, str]] = Counter()
        self._numbers: dict[tuple[str, int, str], int] = {}
        self.passages: list[Passage] = []
        """What searches have given, numbered from 1: quotations are verified against them."""

    @property
    def repeats(self) -> int:
        """How often the same call gave the same result, of the one that did most often."""
        return max(self._repeated.values(), default=0)

    async def call(self, calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        """The results of the calls of one turn, in their order."""
        self._turn += 1
        wanted = [self._wanted(each) for each in calls]
        await self._approve(wanted)
        place = {"turn": self._turn, "calls": [[each.name, each.arguments] for each in calls]}
        before = _told_before(place)
        for at, words in before.items():
            wanted[at].failed = words
        # What must not happen twice is not broken off: nobody would know whether it happened.
        may_end = all(each.tool is None or each.tool.idempotent for each in wanted)
        async with in_time() if may_end else nullcontext():
            if len(wanted) == 1:
                values = [await self._made(wanted[0])]
            else:
                made = [self._made(each) for each in wanted]
                values = await gather(made, concurrent=self._bounds.concurrent)
        if not before:
            _tell(place, {at: each.problem for at, each in enumerate(wanted) if each.problem})
        # Shown one after the other: passages are numbered in the order of the calls.
        return tuple(map(self._result, wanted, values))

    def _wanted(self, call: ToolCall) -> _Wanted:
        tool = self._tools.get(call.name)
        if tool is None:
            guess = closest(call.name, self._tools)
            known = ", ".join(self._tools) or "none"
            return _Wanted(call, None, {}, f"There is no such tool. {guess}There are: {known}.")
        try:
            return _Wanted(call, tool, tool.read(call.arguments))
        except Unfit as unfit:
            return _Wanted(call, tool, {}, f"The arguments do not fit. {unfit}")

    async def _approve(self, several: Sequence[_Wanted]) -> None:
        """Ask a person about each call that needs it. Raises PauseSignal with all that is asked."""
        questions: list[Question] = []
        for each in several:
            if each.problem or each.tool is None:
                continue
            try:
                if not each.tool.needs_approval(each.arguments):
                    continue
                answer = await pause(_asked(each), options=(APPROVE, DENY))
            except PauseSignal as signal:
                questions += signal.args
            except OnrecordError:
                raise
            except Exception as error:  # of a function `approve` of the user's
                each.problem = f"Whether a person has to approve is not known: {_failure(error)}"
            else:
                if answer != APPROVE:
                    each.problem = "A person has not approved this call. It was not made."
        if questions:
            raise PauseSignal(*questions)

    async def _made(self, wanted: _Wanted) -> Any:
        if wanted.problem or wanted.tool is None:
            return None
        token = failed_before.set(wanted.failed or None)
        try:
            return await self._in_time(wanted.tool, wanted.arguments)
        except (ReplayError, ResumeError):
            raise
        except BaseException as error:
            if not _is_its_own(error):
                raise
            wanted.problem = wanted.failed = wanted.failed or self._cut(_failure(error))
            return None
        finally:
            failed_before.reset(token)

    async def _in_time(self, tool: Tool[..., Any], arguments: Mapping[str, Any]) -> Any:
        if tool.seconds is not None or self._bounds.seconds == math.inf:
            return await tool.called(arguments)
        try:
            async with asyncio.timeout(self._bounds.seconds) as limit:
                return await tool.called(arguments)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineError(
                f"'{tool.name}' took longer than {self._bounds.seconds:g} s"
            ) from None

    def _result(self, wanted: _Wanted, value: Any) -> ToolResult:
        call = wanted.call
        words = wanted.problem or self._shown(value)
        said = (call.name, " ".join(call.arguments.split()), words)
        self._repeated[said] += 1
        if self._repeated[said] >= _TOLD_OF_REPEATS:
            words += (
                f"\n\n[You have made this call {self._repeated[said]} times, with this result each "
                "time. Do something else, or answer with what you know.]"
            )
        return ToolResult(call.id, call.name, words, failed=bool(wanted.problem))

    def _shown(self, value: Any) -> str:
        """What a model reads of a result: text as it is, passages numbered, the rest as JSON."""
        if passages := _passages(value):
            return self._numbered(passages)
        if isinstance(value, str):
            text = _whole(value)
        elif value is None:
            text = "Done."
        else:
            text = _whole(json.dumps(plain(value), ensure_ascii=False, separators=(",", ":")))
        return self._cut(text)

    def _cut(self, text: str) -> str:
        longest = self._bounds.characters
        if len(text) > longest:
            return f"{text[:longest]}\n[Cut here: {len(text) - longest:,} more characters.]"
        return text

    def _numbered(self, passages: Sequence[Passage]) -> str:
        """Passages in blocks that no text can leave; those for which there is no room are left out,
        and can be quoted no more than what was never found. One that was shown before keeps its
        number."""
        room = self._bounds.characters
        shown: list[str] = []
        for each in passages:
            place = (each.document_id, each.start, each.text)
            number = self._numbers.get(place, len(self.passages) + 1)
            cut = msgspec.structs.replace(each, text=self._cut(each.text))
            text = Passages.numbered([cut], number).shown
            room -= len(text)
            if room < 0 and shown:
                break
            shown.append(text)
            if place not in self._numbers:
                self._numbers[place] = number
                self.passages.append(each)
        if left := len(passages) - len(shown):
            shown.append(f"[{left:,} more are left out here.]")
        return _whole("\n\n".join(shown))


class _Wanted(msgspec.Struct):
    """A call that a model asks for. `problem`: why it was not made, or how it failed; `failed`: how
    it failed when it was made, by now or in an earlier attempt at the run."""

    call: ToolCall
    tool: Any
    arguments: dict[str, Any]
    problem: str = ""
    failed: str = ""


def _told_before(place: Mapping[str, Any]) -> dict[int, str]:
    """Which calls of a turn failed in an earlier attempt at the run, and how. The model knows that,
    and went on with it: made again they might do something else."""
    attempt, this = under_way.get(), current()
    if attempt is None or attempt.resumption is None or this is None:
        return {}
    noted = attempt.resumption.noted(this, *_FAILURES, place)
    return {} if noted is None else {each["call"]: each["failure"] for each in noted}


def _tell(place: Mapping[str, Any], failures: Mapping[int, str]) -> None:
    """Put on record what a model is told of calls that failed, or were not made."""
    if failures:
        with record_call(*_FAILURES, place) as this:
            this.output = [{"call": at, "failure": words} for at, words in failures.items()]


def _asked(wanted: _Wanted) -> str:
    """The question to a person: the call as the model wrote it. An approval holds for what its
    question says, and no two calls say the same: what a value shows of itself may hide some of
    it."""
    given = {name: unpacked(pack(value)) for name, value in wanted.arguments.items()}
    given.update(decoded(wanted.call.arguments))
    words = ", ".join(f"{name}={_argument(value)}" for name, value in given.items())
    return f"May the agent call {wanted.call.name}({words})?"


def _argument(value: Any) -> str:
    """An argument, whole; of a very long one the end is a hash."""
    words = repr(value)
    if len(words) <= _LONGEST:
        return words
    more = len(words) - _LONGEST
    return f"{words[:_LONGEST]}… [{more:,} more characters, hash {content_key(words)}]"


def _passages(value: Any) -> list[Passage]:
    if isinstance(value, Passage):
        return [value]
    if isinstance(value, list | tuple) and value and all(isinstance(x, Passage) for x in value):
        return list(value)
    return []


def _failure(error: BaseException) -> str:
    """A failure as a model is told of it."""
    try:
        said = _whole(str(error))
    except Exception:  # an exception of the user's, whose words fail
        said = ""
    if isinstance(error, OnrecordError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _whole(text: str) -> str:
    """A text that can be sent: without characters that a person does not see and a model reads, and
    half of a character, as a cut leaves it, becomes a "?"."""
    if text.isascii() and text.isprintable():
        return text
    return without_hidden(text.encode("utf-8", "replace").decode("utf-8"))[0]


def _is_its_own(error: BaseException) -> bool:
    """Whether it is the tool's failure: an exit, a cancellation that nobody asked for, and a budget
    inside of it, too."""
    if isinstance(error, LimitError):
        return not is_around(error)
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return isinstance(error, Exception | SystemExit) and not is_pause(error)


_FAILURES: tuple[Literal["step"], str] = ("step", "failures")
_TOLD_OF_REPEATS = 3
_LONGEST = 4_000
