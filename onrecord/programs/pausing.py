"""Waiting for a person: a flow stops at a question, and goes on when it is answered, days later.

    answer = await on.pause("May I refund $30?", options=["yes", "no"])

The question leaves the flow as a PausedError; `flow.resume` in any process brings the answer.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from onrecord.calling import Operation
from onrecord.errors import OnrecordError, PausedError, UsageError
from onrecord.messages import Question
from onrecord.records.call import Call, PauseSignal, call, is_pause
from onrecord.settings import Settings

if TYPE_CHECKING:
    from onrecord.programs.resuming import Resumption


@Operation
async def pause(question: str, *, options: Sequence[str] = ()) -> Any:
    """Ask a person, and stop the flow until there is an answer; returns the answer.

    With `options` it is one of them, else whatever `flow.resume` was given (plain JSON values). The
    flow's caller gets a PausedError with the question's id, also from inside nested flows, steps
    and threads. When the flow is resumed, what has finished comes from its record, and what a
    function did in its own body before the pause is done again. Branches of an `asyncio.gather`
    that are under way stop at their next flow, step or tool, as soon as one of them has paused; a
    call under way that must not happen twice is waited for.

    Raises UsageError where the outermost call is no flow, where no records are kept, and inside of
    what must not be repeated (`idempotent=False`): it would have to be entered twice.
    """
    attempt = under_way.get()
    if attempt is None:
        raise UsageError(
            "a pause needs a flow around it",
            where=f"on.pause({question!r})",
            cure="Make the outermost call a function with @on.flow: only a flow can be resumed.",
        )
    if (name := _once.get()) is not None:
        raise UsageError(
            f"{name} must not be repeated, so it cannot pause",
            where=f"on.pause({question!r})",
            cure=f"Ask before {name} is called, or move what must happen once into a tool that it "
            "calls.",
        )
    choices = (options,) if isinstance(options, str) else tuple(options)
    with call("pause", "pause", {"question": question, "options": choices}) as this:
        if (known := this.recall()) is not None:
            this.output = known.output
            return known.output
        if (setting := missing_setting(Settings.load(), this)) is not None:
            raise UsageError(
                f"a pause needs records, and the setting '{setting}' is off",
                cure=f"Set {setting} = true, or unset ONRECORD_{setting.upper()}.",
            )
        raise attempt.asked(this, Question(attempt.id_of(this), question, choices))


class FailedBefore(OnrecordError):
    """A call that failed in an earlier attempt at the run, in the words of then."""


class Attempt:
    """One go at a run, from its outermost flow's start to its end, as a context.

    `questions` collects what is asked. A pause leaves it as PausedError. `resumption` is what
    earlier goes left, if there were any.
    """

    def __init__(
        self,
        run: str,
        resumption: Resumption | None = None,
        publish: Callable[[], None] | None = None,
    ) -> None:
        self.run = run
        self.resumption = resumption
        self.publish = publish
        """Lets other machines know that it has begun."""
        self.questions: dict[str, Question] = {}
        self.is_lost = False
        """Whether its beginning could not be recorded, so that nobody can go on with it."""
        self.over = False
        """Whether its branches that are under way still (of a `gather`) are to stop: the flow has
        paused, or another attempt goes on with the run."""
        self._once: set[concurrent.futures.Future[None]] = set()

    def asked(self, call: object, question: Question) -> PauseSignal:
        """What to raise in order to wait for the answer."""
        self.questions[question.id] = question
        return PauseSignal(question)

    def id_of(self, call: Call | Any) -> str:
        """The id of a question: the same at the same place, in every attempt."""
        return self.resumption.first_id(call) if self.resumption is not None else call.id

    def settle(self) -> None:
        """At the flow's end: it may have passed by a pause (`gather(return_exceptions=True)`)."""
        if self.questions:
            raise PauseSignal(*self.questions.values())

    async def at_rest(self, error: BaseException) -> None:
        """When the flow failed or paused: wait for calls under way that must not happen twice."""
        self.over = is_pause(error)
        until = time.monotonic() + _PATIENCE
        while self._once and (left := until - time.monotonic()) > 0:
            await asyncio.wait(map(asyncio.wrap_future, tuple(self._once)), timeout=left)

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        """Inside, something happens that must not happen twice."""
        ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._once.add(ended)
        try:
            yield
        finally:
            self._once.discard(ended)
            ended.set_result(None)

    def __enter__(self) -> Attempt:
        self._tokens = under_way.set(self), _once.set(None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        under_way.reset(self._tokens[0])
        _once.reset(self._tokens[1])
        if error is not None:
            _not_done.add(self)
        if error is not None and is_pause(error):
            raise PausedError(self.run, tuple(self.questions.values())) from None


@contextlib.contextmanager
def once(name: str) -> Iterator[None]:
    """Inside, `name` is doing what must not be repeated."""
    attempt, token = under_way.get(), _once.set(name)
    try:
        with contextlib.nullcontext() if attempt is None else attempt.once():
            yield
    finally:
        _once.reset(token)


def stop(run: str) -> None:
    """Stop what is still under way in this process of earlier attempts at a run."""
    for attempt in list(_not_done):
        if attempt.run == run:
            attempt.over = True


def missing_setting(settings: Settings, call: Any = None) -> str | None:
    """The setting without which a run leaves nothing to go on with; None where all is well."""
    if not settings.record or (call is not None and call.home is None):
        return "record"
    return None if settings.bodies else "bodies"


under_way: contextvars.ContextVar[Attempt | None] = contextvars.ContextVar(
    "onrecord_attempt", default=None
)
"""The attempt that the call under way belongs to; None where the outermost call is no flow."""

failed_before: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "onrecord_failed_before", default=None
)
"""How the next call failed in an earlier attempt, where whoever made it went on with that: it fails
again, and is not made."""

_PATIENCE = 10.0
_not_done: weakref.WeakSet[Attempt] = weakref.WeakSet()
_once: contextvars.ContextVar[str | None] = contextvars.ContextVar("onrecord_once", default=None)
