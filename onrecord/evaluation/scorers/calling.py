"""Were the right tools called, with the right arguments, in the right order?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation import metrics
from onrecord.evaluation.meant import told as meant
from onrecord.evaluation.scorers.described import Described
from onrecord.evaluation.trial import Score, Trial


class Called(NamedTuple):
    """A call of a tool; of one that is expected, `arguments` may be None: any."""

    name: str
    arguments: dict[str, Any] | None


class Tools(Described):
    """{"correct", "precision", "recall"}: the calls of tools beside `metadata["tools"]`.

    Expected is a list, in it the name of a tool, or {"name", "arguments"}: then each argument named
    there must be equal after normalisation (`metrics.exact_match`), and others are not looked at.
    An empty list: no tool may be called. What was called are the trial's records of tools in the
    order in which they began; where there are none, the tool calls in the output.

        tools()                            the same calls, in any order
        tools(ordered=True, extra=True)    these calls in this order, others may be between them
        tools(ordered=True)                exactly this trajectory

    `correct` is whether that holds. Precision is the share of the calls that were expected, recall
    the share of the expected ones that were made; with `ordered` as a longest common subsequence.
    `arguments=False`: names alone count. None where the case does not say what is expected.
    """

    def __init__(
        self,
        *,
        ordered: bool = False,
        extra: bool = False,
        arguments: bool = True,
        name: str = "tools",
    ) -> None:
        super().__init__(name, ordered, extra, arguments, of=[metrics.exact_match])
        self._ordered, self._extra, self._arguments = ordered, extra, arguments

    def __call__(self, trial: Trial) -> dict[str, float | Score] | None:
        """The three of them."""
        said = trial.metadata.get("tools")
        if said is None:
            return None
        wanted, made = _expected(said), calls_of(trial)
        fits = [[self._fits(call, want) for call in made] for want in wanted]
        same = _common(fits) if self._ordered else _matched(fits)
        whole = same == len(wanted) and (self._extra or len(made) == len(wanted))
        told = "" if whole else f"called {_told(made)}; expected {_told(wanted, made)}"
        found: dict[str, float | Score] = {"correct": Score(whole, told)}
        found["precision"] = same / len(made) if made else float(not wanted)
        found["recall"] = same / len(wanted) if wanted else 1.0
        return found

    def _fits(self, call: Called, want: Called) -> bool:
        if call.name != want.name:
            return False
        if not self._arguments or want.arguments is None:
            return True
        given = call.arguments or {}
        return all(
            key in given and metrics.exact_match(given[key], value) == 1
            for key, value in want.arguments.items()
        )


def calls_of(trial: Trial) -> list[Called]:
    """The tools that a trial called, in order: on record, else in its output."""
    made = [
        Called(each.name, each.input if isinstance(each.input, dict) else {"input": each.input})
        for each in sorted(trial.steps, key=lambda each: (each.started_ns, each.id))
        if each.kind == "tool" and ":" not in each.name  # the heads of hf: models are on record so
    ]
    return made or list(map(_asked, _calls_in(trial.output)))


def _calls_in(value: Any) -> list[Mapping[str, Any]]:
    """The tool calls in an output: a call, a list, a message's parts, a completion's message."""
    if isinstance(value, list | tuple):
        return [call for each in value for call in _calls_in(each)]
    if not isinstance(value, Mapping):
        return []
    if isinstance(value.get("name"), str) and "arguments" in value:
        return [value]
    return [
        call
        for key in ("tool_calls", "parts", "message", "value")
        for call in _calls_in(value.get(key))
    ]


def _asked(call: Mapping[str, Any]) -> Called:
    arguments = call["arguments"]
    if isinstance(arguments, str):  # as the model wrote them
        try:
            arguments = msgspec.json.decode(arguments or "{}")
        except msgspec.DecodeError:
            arguments = {}
    return Called(call["name"], arguments if isinstance(arguments, dict) else {})


def _expected(said: Any) -> list[Called]:
    several = said if isinstance(said, list | tuple) else [said]
    calls = []
    for each in several:
        if isinstance(each, str):
            calls.append(Called(each, None))
        elif isinstance(each, Mapping) and isinstance(each.get("name"), str):
            arguments = each.get("arguments")
            calls.append(Called(each["name"], None if arguments is None else dict(arguments)))
        else:
            raise UsageError(
                f"this is no call of a tool: {each!r:.80}",
                where='metadata["tools"]',
                cure='Give names, or {"name": …, "arguments": {…}}.',
            )
    return calls


def _matched(fits: list[list[bool]]) -> int:
    """How many expected calls have a call of their own: a maximum matching, by augmenting paths."""
    taken: dict[int, int] = {}

    def place(want: int, seen: set[int]) -> bool:
        for call, fit in enumerate(fits[want]):
            if fit and call not in seen:
                seen.add(call)
                if call not in taken or place(taken[call], seen):
                    taken[call] = want
                    return True
        return False

    return sum(place(want, set()) for want in range(len(fits)))


def _common(fits: list[list[bool]]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * ((len(fits[0]) if fits else 0) + 1)
    for each in fits:
        above = row
        row = [0]
        for at, fit in enumerate(each):
            row.append(above[at] + 1 if fit else max(above[at + 1], row[at]))
    return row[-1]


def _told(calls: list[Called], made: list[Called] | None = None) -> str:
    """Calls in words; of expected ones what was `made` may show a name to be a slip."""
    if not calls:
        return "nothing"
    there = [each.name for each in calls if made is None] + [each.name for each in made or []]
    named = [
        meant(call.name, there) + ("" if call.arguments is None else f"({_inside(call.arguments)})")
        for call in calls[:5]
    ]
    return ", ".join(named) + (f" and {len(calls) - 5} more" if len(calls) > 5 else "")


def _inside(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r:.40}" for key, value in arguments.items())
