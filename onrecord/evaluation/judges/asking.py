"""The judges that are built in: what they are shown of a trial, and how they are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, get_args

from onrecord.errors import UsageError
from onrecord.evaluation.judges.rubric import Rubric, judged
from onrecord.evaluation.scoring import Better, Said
from onrecord.evaluation.trial import Trial
from onrecord.models.model import Model, Parameters
from onrecord.prompts.prompt import Prompt
from onrecord.prompts.template import shown
from onrecord.prompts.untrusted import untrusted, without_hidden
from onrecord.records.record import plain

Place = Literal["first", "second", "tie"]


class ByRubric:
    """Asks by a rubric."""

    better: Better = "higher"
    worst: float | None

    def __init__(
        self, rubric: Rubric, model: str | Model | None, parameters: Mapping[str, Any] | None
    ) -> None:
        self.rubric = rubric
        self.worst = rubric.worst
        self.prompt = _prompt(_pointwise(rubric.form), ("answer",), model, parameters)
        self.pairwise = _prompt(_pairwise(), ("first", "second"), model, parameters)

    @property
    def criteria(self) -> tuple[str, ...]:
        """What is judged by itself; none where there is one verdict."""
        return tuple(each.name for each in self.rubric.criteria)

    @property
    def asked(self) -> dict[str, Any]:
        """The question, the criteria and the scale."""
        asked: dict[str, Any] = plain(self.rubric)
        return asked

    async def scores(self, prompt: Prompt[..., Any], trial: Trial) -> Said:
        """The verdicts on a trial. Raises ModelError."""
        accepted = trial.accepted
        if self.rubric.reference:
            if accepted is None:
                return None
            if not accepted:
                return self.rubric.settled(trial.refused, "Only a refusal is right here.")
        answer = answer_of(trial)
        judged = await prompt(
            **self._asked(),
            input=trial.input,
            accepted=list(accepted or ()) if self.rubric.reference else [],
            answer=answer,
            points=list(self.rubric.points),
        )
        note = _cut({"input": [trial.input], "answer": [answer], "accepted": accepted or ()})
        return self.rubric.scores(plain(judged), note)

    async def preferred(
        self, prompt: Prompt[..., Any], first: Trial, second: Trial
    ) -> tuple[Place, str]:
        """Which of two answers is better, shown in this order, and why. Raises ModelError."""
        shown_answers = {"first": answer_of(first), "second": answer_of(second)}
        accepted = list(first.accepted or ()) if self.rubric.reference else []
        asked = self._asked() | {"reference": bool(accepted)}
        said = await prompt(**asked, input=first.input, accepted=accepted, **shown_answers)
        note = _cut({name: [each] for name, each in shown_answers.items()})
        return said["verdict"], " ".join(filter(None, [note, said["reason"].strip()]))

    def _asked(self) -> dict[str, Any]:
        rubric = self.rubric
        return {
            "question": rubric.question,
            "criteria": list(rubric.criteria),
            "reference": rubric.reference,
        }


def answer_of(trial: Trial) -> Any:
    """What a judge is shown of an output; of a refusal the reason that it gave."""
    if trial.answer is None and isinstance(trial.output, Mapping) and trial.refused:
        return {"refused": True, "reason": trial.output.get("reason", "")}
    return trial.answer


def model_of(prompt: Prompt[..., Any]) -> tuple[Model, Parameters]:
    """Who answers a prompt, and how. Raises UnknownNameError, PromptError, and UsageError where it
    is a model that cannot judge."""
    from onrecord.calling import run

    # A prompt says both on the record of a call only; a judge has to say them before.
    plan = prompt._plan()
    model = run(prompt._answering(plan.template))
    if model.name == "embedded:extractive":
        raise UsageError(
            "embedded:extractive only quotes, and a judge has to write",
            cure="Name a model: on.judge(…, model='openai:gpt-6-luna'), or in the settings.",
        )
    return model, plan.parameters


def _pointwise(form: type) -> Callable[..., Any]:
    async def judge(
        question: str,
        criteria: list[Any],
        points: list[Any],
        reference: bool,
        input: Any,
        accepted: list[Any],
        answer: Any,
    ) -> Any: ...

    judge.__annotations__["return"] = form
    return judge


def _pairwise() -> Callable[..., Any]:
    async def prefer(
        question: str,
        criteria: list[Any],
        reference: bool,
        input: Any,
        accepted: list[Any],
        first: Any,
        second: Any,
    ) -> Any: ...

    prefer.__annotations__["return"] = judged(get_args(Place))
    return prefer


def _prompt(
    function: Callable[..., Any],
    answers: tuple[str, ...],
    model: str | Model | None,
    parameters: Mapping[str, Any] | None,
) -> Prompt[..., Any]:
    outside = untrusted("input", "accepted", *answers, reminder=True, max_chars=LONGEST)
    return Prompt(function, model=model, parameters=parameters, untrusted=outside)


def _cut(values: Mapping[str, Iterable[Any]]) -> str:
    """What of the texts was too long to be shown, in words."""
    said = []
    for name, several in values.items():
        for each in several:
            length = len(without_hidden(shown(each))[0])
            if length > LONGEST:
                said.append(f"the first {LONGEST:,} of {length:,} characters of '{name}'")
    return f"[Judged on {' and '.join(said)}.]" if said else ""


LONGEST = 40_000
"""So many characters of a text are shown to a judge."""
