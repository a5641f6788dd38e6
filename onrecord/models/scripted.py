"""`scripted:`: a model whose answers are written down beforehand. The public double."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence

from onrecord.arguments import takes
from onrecord.errors import ModelError, UnknownNameError, UsageError
from onrecord.messages import Completion, TextDelta, Usage, text_message
from onrecord.models.http.failures import note
from onrecord.models.model import Event, Request, Way, pieces

Reply = str | Completion | Exception | Callable[[Request], str | Completion]


class Scripted:
    """Answers from a script: a sequence of replies, one a request, or one reply for every request.

    A reply is a text, a Completion, an exception to raise, or a function of the request that gives
    a text or a Completion. Texts are
    streamed word by word, and usage counts words. `requests` holds what was asked so far. Raises
    UsageError for what is no reply.
    """

    structures: tuple[Way, ...] = ("schema", "tool", "prompted")

    def __init__(self, replies: Reply | Sequence[Reply], *, name: str = "scripted:test") -> None:
        endless = isinstance(replies, str) or not isinstance(replies, Sequence)
        self._replies: list[Reply] = [replies] if endless else list(replies)  # type: ignore[arg-type, list-item]  # mypy cannot follow a test kept in a name
        for reply in self._replies:
            _check(reply)
        self._endless = endless
        self.name = name
        self.requests: list[Request] = []

    @functools.cached_property
    def version(self) -> str:
        """A hash of the script."""
        script = [getattr(reply, "__qualname__", repr(reply)) for reply in self._replies]
        return hashlib.sha256(repr((script, self._endless)).encode()).hexdigest()[:16]

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """The next reply of the script. Raises ModelError when there is none left."""
        self.requests.append(request)
        completion = self._complete(request, self._next())
        for word in pieces(completion.text):
            yield TextDelta(word)
        yield completion

    def __repr__(self) -> str:
        return f"Scripted({self.name!r})"

    def _next(self) -> Reply:
        asked = len(self.requests)
        if not self._endless and asked > len(self._replies):
            over = ModelError(
                f"the script has {len(self._replies)} replies and this is request {asked}",
                where=self.name,
                cure="Add a reply, or find out why the model is asked once more than expected.",
            )
            raise note(over, sent=False)
        return self._replies[0 if self._endless else asked - 1]

    def _complete(self, request: Request, reply: Reply) -> Completion:
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Completion):
            return reply
        text = reply if isinstance(reply, str) else reply(request)
        if isinstance(text, Completion):
            return text
        if not isinstance(text, str):
            raise UsageError(
                f"a function of the script gave {text!r:.80} and no text",
                where=self.name,
                cure="Let it return a str or a Completion.",
            )
        asked = sum(len(message.text.split()) for message in request.messages)
        usage = Usage(input=asked, output=len(text.split()))
        return Completion(text_message("assistant", text), self.name, usage, cost=0)


def _check(reply: object) -> None:
    if isinstance(reply, str | Completion | Exception):
        return
    if not callable(reply):
        raise UsageError(
            f"{reply!r:.80} is no reply of a script",
            cure="Give texts, Completions, exceptions or functions of the request.",
        )
    if not takes(reply, 1):
        raise UsageError(
            f"{reply!r:.80} cannot be called with a request",
            cure='A function of a script takes one: lambda request: "…".',
        )


def named(name: str) -> Scripted:
    """`scripted:demo` gives one polite answer; `scripted:echo` repeats the user's last message."""
    if name not in _SCRIPTS:
        raise UnknownNameError(
            f"there is no model 'scripted:{name}'",
            cure=f"There are {' and '.join(f'scripted:{each}' for each in _SCRIPTS)}; for a script"
            " of your own, pass Scripted([...]) where a model's name is expected.",
        )
    return Scripted(_SCRIPTS[name], name=f"scripted:{name}")


def _echo(request: Request) -> str:
    asked = [message.text for message in request.messages if message.role == "user"]
    return asked[-1] if asked else ""


_SCRIPTS: dict[str, Reply] = {
    "demo": "Thank you for asking. I am a scripted double: I say the same to everyone.",
    "echo": _echo,
}
