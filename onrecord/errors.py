"""Every error Onrecord raises on purpose, drawn first.

    OnrecordError                      exit status 1
    ├── UsageError                     2   the request itself cannot be served as written
    │   ├── FilterError                    a `where` that does not parse, or names an unknown field
    │   ├── SettingsError                  onrecord.toml or an ONRECORD_* variable
    │   ├── UnknownNameError               a model, embedder or collection name nobody answers to
    │   ├── PromptError                    a prompt file, its front matter or its variables
    │   └── MissingExtraError              a feature whose optional packages are not installed
    ├── LoadError                      3   a document, or a file to import, could not be read
    │   └── EmptyDocumentError             there is nothing in it
    ├── StorageError                   4   disk full, read-only, damaged, locked, no such folder
    │   └── NewerVersionError              written by a newer Onrecord
    ├── ModelError                     5   a model did not give an answer
    │   ├── ModelUnavailableError          no connection, time-out, server failure
    │   ├── ModelRefusedError              the server refused (key, quota, unknown model)
    │   ├── ContextLengthError             the input is longer than the model reads
    │   └── OutputError                    the output does not fit its type after its repair
    ├── DeadlineError                  6   the time the caller allowed ran out
    ├── LimitError                     7   a limit of money, tokens, calls, steps or seconds
    ├── ReplayError                    8   a call that the cassette does not hold
    ├── ResumeError                    9   a run that cannot go on as it is
    ├── PausedError                   10   no failure: a flow waits for a person's answer
    ├── GateError                     11   what was measured does not pass its gate
    └── ToolError                     12   what a tool acts on failed: a server, a connection

A message says what happened, where, and what to do. `str(error)` is that one sentence (or two); the
command line prints it after the word "error:" and exits with `exit_status`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onrecord.messages import Question, Usage


class OnrecordError(Exception):
    """The root: catch it to catch every error that Onrecord raises on purpose."""

    exit_status = 1

    def __init__(self, what: str, *, where: str = "", cure: str = "") -> None:
        self.what = what
        self.where = where
        self.cure = cure
        place = f" ({where})" if where else ""
        advice = f". {cure}" if cure else ""
        super().__init__(f"{what}{place}{advice}")

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling; process pools pickle errors.
        return _rebuild, (type(self), self.what, self.where, self.cure), vars(self)


def _rebuild(cls: type[OnrecordError], what: str, where: str, cure: str) -> OnrecordError:
    return cls(what, where=where, cure=cure)


class UsageError(OnrecordError):
    """The request itself cannot be served as written."""

    exit_status = 2


class FilterError(UsageError):
    """A `where` expression that does not parse, or names a field no document has."""


class SettingsError(UsageError):
    """`onrecord.toml` or an `ONRECORD_*` variable holds something that cannot be used."""


class UnknownNameError(UsageError):
    """A model, embedder or collection name that nobody answers to."""


class PromptError(UsageError):
    """A prompt file, its front matter, its template or its variables."""


class MissingExtraError(UsageError):
    """A feature whose optional packages are not installed; the message names the command."""


class LoadError(OnrecordError):
    """A document could not be read; `where` is its path."""

    exit_status = 3


class EmptyDocumentError(LoadError):
    """A document that could be read, with nothing in it."""


class StorageError(OnrecordError):
    """A store could not be read or written: disk full, read-only, damaged or locked."""

    exit_status = 4


class NewerVersionError(StorageError):
    """A store that was written by a newer Onrecord than this one."""


class ModelError(OnrecordError):
    """A model did not give an answer.

    `sent`: the model may have worked on it, so that more may be charged than `usage` says: the
    tokens that were reported before it failed, None where none were. Only who knows better sets it
    to False (no connection, a refusal). `retry_after`: the seconds that the server asks to wait.
    """

    exit_status = 5
    sent: bool = True
    usage: Usage | None = None
    retry_after: float | None = None


class ModelUnavailableError(ModelError):
    """No connection, a time-out, or a failure of the server."""


class ModelRefusedError(ModelError):
    """The server refused the request: key, quota, unknown model, malformed request."""


class ContextLengthError(ModelError):
    """The input is longer than the model reads; nothing was truncated."""


class OutputError(ModelError):
    """The model's output does not fit the declared type, its bounded repair included."""


class DeadlineError(OnrecordError):
    """The time the caller allowed ran out before the work was done."""

    exit_status = 6


class LimitError(OnrecordError):
    """A limit of money, tokens, calls, steps or seconds is reached; the call was not made.

    `limit` is its name in `Limits`, and `budget` the one that has it: the `Budget` itself, or the
    key of one that processes share.
    """

    exit_status = 7
    limit: str = ""
    budget: object = None


class ReplayError(OnrecordError):
    """A call that the cassette does not hold; the message shows the nearest one it does."""

    exit_status = 8


class ResumeError(OnrecordError):
    """A run that cannot go on as it is: its code or an input changed, or it is still going."""

    exit_status = 9


class GateError(OnrecordError):
    """What was measured does not pass the gate that was set for it."""

    exit_status = 11


class ToolError(OnrecordError):
    """What a tool acts on failed: no connection, a server's failure, an answer that breaks off.
    Trying again may help."""

    exit_status = 12


class PausedError(OnrecordError):
    """No failure: the flow waits for a person. Answer, and it goes on: in any process, any day.

    `run` is the id of the run; `questions` are those that were asked until it stopped.
    """

    exit_status = 10

    def __init__(self, run: str, questions: tuple[Question, ...]) -> None:
        self.run = run
        self.questions = questions
        asked = " ".join(f"“{question.text}”" for question in questions)
        answers = ", ".join(f"{question.id!r}: …" for question in questions)
        super().__init__(
            f"the flow waits for an answer: {asked}",
            where=f"run {run}",
            cure=f"Go on with FLOW.resume.run({run!r}, answers={{{answers}}}).",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.run, self.questions)
