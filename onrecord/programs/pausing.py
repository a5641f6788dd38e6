"""Waiting for a person: a flow stops at a question, and goes on when it is answered, days later.

    answer = await on.pause("May I refund $30?", options=["yes", "no"])

The question leaves the flow as a PausedError; `flow.resume` in any process brings the answer.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from onrecord.calling import Operation
from onrecord.errors import PausedError, UsageError
from onrecord.messages import Question
from onrecord.records.recording import Call, PauseSignal, call, is_pause
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
    that are under way when one of them pauses go on; a TaskGroup cancels them.

    Raises UsageError where the outermost call is no flow, where no records are kept, and inside of
    what must not be repeated (`idempotent=False`): it would have to be entered twice.
    """
    attempt = _attempt.get()
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


class Attempt:
    """One go at a run, from its outermost flow's start to its end, as a context.

    `questions` collects what is asked. A pause leaves it as PausedError. `resumption` is what
    earlier goes left, if there were any.
    """

    def __init__(self, run: str, resumption: Resumption | None = None) -> None:
        self.run = run
        self.resumption = resumption
        self.questions: dict[str, Question] = {}

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

    def __enter__(self) -> Attempt:
        self._tokens = _attempt.set(self), _once.set(None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _attempt.reset(self._tokens[0])
        _once.reset(self._tokens[1])
        if error is not None and is_pause(error):
            raise PausedError(self.run, tuple(self.questions.values())) from None


def attempt_under_way() -> Attempt | None:
    """The attempt that the call under way belongs to; None where the outermost call is no flow."""
    return _attempt.get()


@contextlib.contextmanager
def once(name: str) -> Iterator[None]:
    """Inside, `name` is doing what must not be repeated."""
    token = _once.set(name)
    try:
        yield
    finally:
        _once.reset(token)


def missing_setting(settings: Settings, call: Any = None) -> str | None:
    """The setting without which a run leaves nothing to go on with; None where all is well."""
    if not settings.record or (call is not None and call.home is None):
        return "record"
    return None if settings.bodies else "bodies"


_attempt: contextvars.ContextVar[Attempt | None] = contextvars.ContextVar(
    "onrecord_attempt", default=None
)
_once: contextvars.ContextVar[str | None] = contextvars.ContextVar("onrecord_once", default=None)
