"""A user's own prompt as a judge: its arguments come from the trial, its verdict from its type."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from onrecord.errors import PromptError, UsageError
from onrecord.evaluation.judges.asking import Place, answer_of
from onrecord.evaluation.scoring import Better, Said
from onrecord.evaluation.trial import Score, Trial
from onrecord.messages import Cited
from onrecord.models.model import Model
from onrecord.programs.restoring import hints
from onrecord.prompts.prompt import Prompt
from onrecord.records.record import plain


class ByPrompt:
    """Asks by a user's own prompt.

    Its arguments are, by name: `input`, `output`, `answer`, `expected`, `accepted`, `metadata`,
    `case`, `passages` (those of the searches inside), else a key of the input or of the metadata;
    what is None leaves an argument its default. One that needs what is expected judges no trial
    where nothing is.
    One with arguments `first` and `second` compares two answers, and returns "first", "second" or
    "tie".
    """

    criteria: tuple[str, ...] = ()
    asked: Mapping[str, Any] = {}  # the prompt says all of it

    def __init__(self, prompt: Prompt[..., Any], model: str | Model | None) -> None:
        self.prompt = self.pairwise = prompt if model is None else prompt.using(model)
        self._wanted = inspect.signature(prompt).parameters
        self.compares = {"first", "second"} <= set(self._wanted)
        self._compares_with_expected = any(
            name in self._wanted and self._wanted[name].default is inspect.Parameter.empty
            for name in ("expected", "accepted")
        )
        returns = hints(inspect.unwrap(prompt)).get("return")
        if returns is str:
            raise UsageError(
                f"the prompt '{prompt.name}' returns text, and any text is then a verdict",
                cure="Annotate its result with the verdicts there are: bool, a number, a Literal, "
                "or an object with 'reason' and 'verdict'.",
            )
        self.better, self.worst = _order(returns)

    async def scores(self, prompt: Prompt[..., Any], trial: Trial) -> Said:
        """The verdicts on a trial. Raises ModelError, UsageError for an argument that nothing in
        the trial has the name of."""
        if self.compares:
            raise UsageError(
                f"'{prompt.name}' compares two answers and scores none by itself",
                cure="Use it with judge.compare(before, after).",
            )
        if trial.expected is None and self._compares_with_expected:
            return None
        return _said(plain(await prompt(**self._arguments(prompt, _named(trial)))))

    async def preferred(
        self, prompt: Prompt[..., Any], first: Trial, second: Trial
    ) -> tuple[Place, str]:
        """Which of two answers is better, shown in this order, and why. Raises ModelError."""
        if not self.compares:
            raise UsageError(
                f"'{prompt.name}' judges one answer and compares none",
                cure="Compare by a prompt with the arguments 'first' and 'second'.",
            )
        values = _named(first) | {"first": answer_of(first), "second": answer_of(second)}
        said = _said(plain(await prompt(**self._arguments(prompt, values))))
        score = said if isinstance(said, Score) else Score(None)
        for place in get_args(Place):
            if score.value == place:
                return place, score.reason
        raise UsageError(
            f"'{prompt.name}' said {score.value!r} of two answers",
            cure='It has to say Literal["first", "second", "tie"].',
        )

    def _arguments(self, prompt: Prompt[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
        given = {}
        for name, parameter in self._wanted.items():
            has_default = parameter.default is not parameter.empty
            if name in values and not (has_default and values[name] is None):
                given[name] = values[name]
            elif not has_default:
                raise UsageError(
                    f"nothing in the trial is named '{name}', as '{prompt.name}' wants it",
                    cure=f"There are {', '.join(sorted(values))}.",
                )
        try:
            return prompt.inputs(given)
        except PromptError as error:
            raise UsageError(error.what, where=f"prompt {prompt.name}", cure=error.cure) from None


def _named(trial: Trial) -> dict[str, Any]:
    """What a prompt may ask for by name."""
    inputs = trial.input if isinstance(trial.input, Mapping) else {}
    return {
        **trial.metadata,
        **inputs,
        "input": trial.input,
        "output": trial.output,
        "answer": answer_of(trial),
        "expected": trial.expected,
        "accepted": list(trial.accepted or ()),
        "metadata": trial.metadata,
        "case": trial.case,
        "passages": inputs.get("passages") or _passages(trial),
    }


def _passages(trial: Trial) -> list[Any]:
    found: list[Any] = []
    for record in trial.steps:
        if record.kind == "search" and isinstance(record.output, Mapping):
            found += record.output.get("passages", [])
    return found


def _said(value: Any) -> Said:
    """A verdict as plain values: with its reason, where there is one."""
    if not isinstance(value, Mapping):
        return Score(_truth(value))
    reason = next((str(value[name]) for name in _REASONS if name in value), "")
    numbers = [name for name, each in value.items() if isinstance(each, int | float | Mapping)]
    for name in _VERDICTS:
        # Beside it, texts and lists explain; another number or flag is a verdict of its own.
        if name in value and not {*numbers} - {name, "refused"}:
            return Score(_truth(value[name]), reason)
    return {name: _one(each, reason) for name, each in value.items() if name not in _REASONS}


def _one(value: Any, reason: str) -> Score:
    said = _said(value)
    if isinstance(said, Score):
        return said if said.reason else Score(said.value, reason)
    raise UsageError(
        "the verdicts of a judge lie too deep",
        cure="Return a verdict with its reason, or several of them by name.",
    )


def _truth(value: Any) -> Any:
    """ "pass" and "fail" are yes and no."""
    return _YES_NO.get(value.lower(), value) if isinstance(value, str) else value


def _order(returns: Any) -> tuple[Better, float | None]:
    """Whether higher is better, and what a failure counts: of labels neither."""
    if get_origin(returns) is Cited:
        return _order(get_args(returns)[0])
    values: tuple[Any, ...] = ()
    if get_origin(returns) is Literal:
        values = get_args(returns)
    elif isinstance(returns, type) and issubclass(returns, enum.Enum):
        values = tuple(each.value for each in returns)
    if any(isinstance(_truth(each), str) for each in values):
        return None, None
    return "higher", float(min(map(_truth, values))) if values else 0.0


_VERDICTS = ("verdict", "value", "score")
_REASONS = ("reason", "reasoning", "rationale")
_YES_NO = {"pass": True, "fail": False}
