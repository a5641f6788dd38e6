"""One attempt of a wrapper, and what of it whoever streams the call gets to hear.

A word that was passed on cannot be taken back, and a second attempt writes others. So a wrapper
that may ask again either stops when words were passed on, or holds them back until it knows that
the answer counts. The records of attempts are passed on at once in both cases.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from onrecord.calling import listening, overhearing
from onrecord.messages import Completion, TextDelta
from onrecord.models.calling import complete
from onrecord.models.model import Model, Request
from onrecord.records.scope import context


class Attempts:
    """The attempts of one call of a wrapper, one after the other.

    `hold`: the words of an attempt wait for `pass_on`; those of the attempt before are dropped.
    `begun`: whether words were passed on.
    """

    def __init__(self, *, hold: bool = False) -> None:
        self.begun = False
        self._hold = hold
        self._held: list[TextDelta] = []

    async def ask(self, model: Model, request: Request, *, tag: str = "") -> Completion:
        """Ask a model, on a record of its own, with a tag that says why. Raises what it raises."""
        self._held = []
        with ExitStack() as around:
            if tag:
                around.enter_context(context(tags=(tag,)))
            if (listener := listening()) is not None:
                around.enter_context(overhearing(_Hearing(self, listener)))
            return await complete(model, request)

    def pass_on(self) -> None:
        """The answer counts: whoever streams the call hears the words that were held back."""
        if (listener := listening()) is not None:
            for event in self._held:
                listener(event)
        self._held = []


class _Hearing:
    """The listener of an attempt. A wrapper inside one whose words are held back holds its own,
    too: nobody hears them sooner, and it may ask again."""

    def __init__(self, attempts: Attempts, listener: Callable[[object], None]) -> None:
        self.holds = attempts._hold or getattr(listener, "holds", False)
        self._attempts = attempts
        self._listener = listener

    def __call__(self, event: object) -> None:
        if not isinstance(event, TextDelta):
            self._listener(event)
        elif self.holds:
            self._attempts._held.append(event)
        else:
            self._attempts.begun = True
            self._listener(event)
