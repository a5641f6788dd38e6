"""Flows and steps: recorded functions.

A flow is the recorded function a caller starts with; a step is a recorded function inside it. Both
are plain Python: branches, loops and `asyncio.gather` are what they always were. A flow that was
interrupted, or that waits for a person, is resumed: the plain Python runs again, and what has
finished comes from its record.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar, cast, overload

from onrecord.calling import Operation
from onrecord.errors import ReplayError, ResumeError, StorageError, UsageError
from onrecord.messages import Question
from onrecord.programs.functions import Code, asynchronous, binder, waited_for
from onrecord.programs.past import Past
from onrecord.programs.pausing import (
    Attempt,
    FailedBefore,
    failed_before,
    missing_setting,
    once,
    under_way,
)
from onrecord.programs.restoring import Unrestorable, is_plain, restored
from onrecord.programs.resuming import Changed, Resumption, check_answers
from onrecord.programs.trying import Trying, retried, timed
from onrecord.records.call import Call, PauseSignal, call, current
from onrecord.records.record import Kind
from onrecord.records.scope import Found, context, here, recalling
from onrecord.settings import Settings

P = ParamSpec("P")
P2 = ParamSpec("P2")
R = TypeVar("R")
S = TypeVar("S")
_ONCE = Trying()


class Recorded(Operation[P, R]):
    """A function whose calls are recorded: input, output or error, time, and every call inside.

    What is not `idempotent` must not happen twice: when a flow is resumed, a person is asked about
    a call of it that was begun and not finished. `trying`: how long a call may take, and how often
    it is tried. Raises UsageError where that cannot be.
    """

    def __init__(
        self,
        function: Callable[P, Awaitable[R]],
        kind: Kind,
        *,
        idempotent: bool = True,
        trying: Trying = _ONCE,
    ) -> None:
        trying.check(idempotent)
        super().__init__(timed(function, trying.seconds))
        self.kind = kind
        self.name = function.__name__
        self.idempotent = idempotent
        self._retries = trying.retries
        self.signature = inspect.signature(function)
        self._bind = binder(self.signature, self.name)
        self._code = Code(function)

    @property
    def version(self) -> str:
        """Changes with the code of the function itself (not with what it calls)."""
        return self._code.version

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it: `await step(...)`."""
        if self._retries:
            again = functools.partial(self._perform, *args, **kwargs)
            return cast("R", await retried(again, self._retries))
        return await self._perform(*args, **kwargs)

    async def _perform(self, *args: P.args, **kwargs: P.kwargs) -> R:
        code, attempt = self._code, under_way.get()
        if attempt is not None and attempt.over:
            raise PauseSignal
        input, also = self._input(args, kwargs), code.held() if code.is_closure else None
        with call(self.kind, self.name, input, version=code.version, also=also) as this:
            if code.kept_in is not this.home:
                self._keep_source(this)
            known = this.recall()
            if known is None and (words := failed_before.get()) is not None:
                raise FailedBefore(words)
            if known is not None or not self.idempotent:
                return await self._carefully(this, known, args, kwargs)
            result = await self._function(*args, **kwargs)
            this.output = result = waited_for(result, self.name)
            if code.is_loose and not is_plain(result):
                this.remember_type(type(result).__name__)
            return result

    def _input(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        # Bound to an object, the function is a partial; the object is an argument like the others.
        if type(self._function) is functools.partial:
            args = (*self._function.args, *args)
        return self._bind(args, kwargs)

    async def _carefully(
        self, this: Any, known: Found | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> R:
        """A call that may be on record, or that must not be made twice."""
        if known is None:
            known = self._settled(this)
        while known is not None:
            try:
                value = restored(known.output, self._code.returns)
            except Unrestorable as error:
                known = self._not_given(this, known, str(error))
            else:
                this.output = known.output
                return cast("R", value)
        this.source = None
        if self.idempotent:
            result = await self._function(*args, **kwargs)
            this.output = result = waited_for(result, self.name)
        else:
            self._check_kept(this)
            with once(self.name):
                result = await self._function(*args, **kwargs)
                this.output = result = waited_for(result, self.name)
        if self._code.is_loose and not is_plain(result):
            this.remember_type(type(result).__name__)
        return result

    def _check_kept(self, this: Any) -> None:
        """Raises StorageError where a resumed flow could not know that this call was begun."""
        attempt = under_way.get()
        if this.is_lost and attempt is not None and not attempt.is_lost:
            raise StorageError(
                f"{self.kind} {self.name} must not be repeated, and its start cannot be recorded: "
                "it was not begun",
                where=str(this.home),
                cure="Make room on the disk (or of the setting journal_mb), then resume the flow.",
            )

    def _not_given(self, this: Any, known: Found, why: str) -> Found | None:
        """What to do where the output on record cannot be turned into what it was."""
        attempt = under_way.get()
        if attempt is None or attempt.resumption is None:
            raise ReplayError(
                f"what is on record of {self.kind} {self.name} cannot be given again: {why}"
            )
        if self.idempotent:
            _log.warning(
                "%s %s: its output cannot be made of its record (%s); it is made again",
                self.kind,
                self.name,
                why,
            )
            return None
        if known.source is None:
            return self._settled(this, why, unfit=True)
        return self._settled(this, f"its output cannot be made of its record ({why})")

    def _settled(self, this: Any, why: str = "", *, unfit: bool = False) -> Found | None:
        """Whether a call that must not happen twice has happened. A pause, if nobody knows."""
        attempt = under_way.get()
        if attempt is None or attempt.resumption is None:
            return None
        known = attempt.resumption.unsure(this, why, unfit)
        if isinstance(known, Question):
            this.output = known
            raise attempt.asked(this, known)
        return known

    def _keep_source(self, this: Any) -> None:
        if (source := self._code.source) is not None:
            this.remember_source(source)
        self._code.kept_in = this.home


class Flow(Recorded[P, R]):
    """The recorded function a caller starts with. As the outermost call it can be paused, and
    resumed."""

    def __init__(self, function: Callable[P, Awaitable[R]]) -> None:
        super().__init__(function, "flow")

    async def _perform(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if current() is not None:
            return await super()._perform(*args, **kwargs)
        this = Call("flow", self.name, self._input(args, kwargs), self.version, None)
        return await self._attempt(Attempt(this.run), this, args, kwargs)

    @Operation
    async def resume(
        self,
        run: str,
        /,
        *,
        answers: Mapping[str, Any] = {},
        changed: Changed = "refuse",
        given: Mapping[str, Any] = {},
    ) -> R:
        """Go on with a run that was interrupted, failed or paused: in any process, any day.

        The function runs again with the arguments on record, and every call inside that has
        finished is taken from its record, marked with its `source` and without cost; embeddings are
        made again. A run that is done gives its result again. `run` is the id of the run, or any
        beginning of it that fits one only.

        `answers`: to the questions of a PausedError, by their ids. `given`: the arguments that are
        not wholly on record (objects; what was redacted). `changed="repeat"` makes calls again
        whose code or input is not what it was.

        What is taken for finished is what is on record: work that a function did in its own body
        before it was interrupted is done again, unless it is declared `idempotent=False`; then its
        call is asked about. Raises PausedError for a question; ResumeError where the run is still
        going, belongs to another flow, or has changed, with the difference; UsageError for answers
        and arguments that do not fit; UnknownNameError for a run that there is not.
        """
        settings = Settings.load()
        if (setting := missing_setting(settings)) is not None:
            raise ResumeError(
                f"nothing can be resumed while the setting '{setting}' is off",
                cure=f"Set {setting} = true, or unset ONRECORD_{setting.upper()}.",
            )
        if changed not in ("refuse", "repeat"):
            raise UsageError(f"changed={changed!r} is neither 'refuse' nor 'repeat'")
        if not isinstance(run, str) or not isinstance(answers, Mapping):
            raise UsageError(
                "a run is resumed by its id, with answers by the ids of their questions",
                cure="FLOW.resume.run('01a1…', answers={question.id: 'yes'})",
            )
        past = await asyncio.to_thread(Past.take, settings, run)
        try:
            past.check(self.name)
            check_answers(past.history, answers)
            if (done := past.done()) is not None:
                return cast("R", self._result(done.output, past))
            resumption = Resumption(past.history, answers, changed, past.source, past.notes)
            resumption.check_whole(past.erased)
            resumption.check_version(self.version, self._code.source)
            return await self._again(past, resumption, given)
        finally:
            await asyncio.to_thread(past.release)

    async def _again(self, past: Past, resumption: Resumption, given: Mapping[str, Any]) -> R:
        owner = getattr(self._function, "args", ())
        arguments = past.arguments(self.signature, self._code.hints, owner, given)
        if arguments.differ:
            resumption.check_input(arguments.recorded)
        root = past.history.root
        with (
            context(
                user=root.user,
                session=root.session,
                tenant=root.tenant,
                # What runs now does the work: a release that is named here is the right one.
                release=here().release or root.release,
                tags=root.tags,
            ),
            recalling(resumption) as beyond,
        ):
            resumption.beyond = beyond
            this = Call("flow", self.name, arguments.recorded, self.version, None)
            this.rejoin(root.run, root.id)
            resumption.begin(this)
            attempt = Attempt(root.run, resumption, past.publish)
            result = await self._attempt(attempt, this, arguments.args, arguments.kwargs)
        resumption.report()
        return result

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Flow[P, R]: ...
    @overload
    def __get__(
        self: Flow[Concatenate[S, P2], R], instance: S, owner: type | None = None
    ) -> Flow[P2, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        # A method that is a flow can be resumed, too.
        return super().__get__(instance, owner)

    async def _attempt(
        self, attempt: Attempt, this: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> R:
        code = self._code
        with attempt, this:
            attempt.is_lost = this.is_lost and attempt.resumption is None
            if attempt.publish is not None:
                await asyncio.to_thread(attempt.publish)
            if code.kept_in is not this.home:
                self._keep_source(this)
            try:
                result = await self._function(*args, **kwargs)
                this.output = result = waited_for(result, self.name)
                attempt.settle()
            except (Exception, PauseSignal, BaseExceptionGroup) as error:
                this.output = None
                await attempt.at_rest(error)
                raise
            if code.is_loose and not is_plain(result):
                this.remember_type(type(result).__name__)
            return result

    def _result(self, output: Any, past: Past) -> Any:
        try:
            return restored(output, self._code.returns)
        except Unrestorable as error:
            raise ResumeError(
                f"the run is done, but its result cannot be made of its record: {error}",
                where=f"run {past.history.root.run}",
                cure="The record itself has it: `onrecord records show` draws it.",
            ) from None


@overload
def flow(function: Callable[P, Awaitable[R]]) -> Flow[P, R]: ...
@overload
def flow(function: Callable[P, R]) -> Flow[P, R]: ...
def flow(function: Callable[P, Any]) -> Flow[P, Any]:
    """Make a function a flow: the recorded function a caller starts with.

    `await f(...)`, `f.run(...)` or `f.stream(...)`; `f.resume(run)` goes on with a run that was
    interrupted. A plain `def` works too; it runs in a thread.
    """
    return Flow(asynchronous(function))


@overload
def step(function: Callable[P, Awaitable[R]], /) -> Recorded[P, R]: ...
@overload
def step(function: Callable[P, R], /) -> Recorded[P, R]: ...
@overload
def step(
    *, idempotent: bool = True, seconds: float | None = None, retries: int = 0
) -> StepDecorator: ...
def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    idempotent: bool = True,
    seconds: float | None = None,
    retries: int = 0,
) -> Any:
    """Make a function a step: a recorded function inside a flow.

    `seconds`: a call that takes longer raises DeadlineError. `retries`: after a failure it is tried
    again so many times, each try on a record of its own. With `idempotent=False` a call of it that
    was begun and not finished is never made again without asking, when its flow is resumed.
    """
    made = StepDecorator(idempotent, Trying(seconds, retries))
    return made if function is None else made(function)


class StepDecorator:
    """Makes functions steps."""

    def __init__(self, idempotent: bool, trying: Trying) -> None:
        trying.check(idempotent)
        self._idempotent = idempotent
        self._trying = trying

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> Recorded[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Recorded[P, R]: ...
    def __call__(self, function: Callable[P, Any], /) -> Recorded[P, Any]:
        """Make `function` one."""
        made = asynchronous(function)
        return Recorded(made, "step", idempotent=self._idempotent, trying=self._trying)


_log = logging.getLogger("onrecord")
