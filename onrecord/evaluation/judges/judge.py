"""Judges: a prompt as a scorer, and as a way to compare two answers.

    polite = on.judge("Is the answer polite?", model="openai:gpt-6-luna")
    on.evaluate.run(app, dataset, scorers=[polite])

Each verdict comes after its reason, in a form that the model is held to; an answer that does not
fit goes back once, and then it is a score with an error. Every call is on record.

What is judged comes from outside: input, answers and accepted answers stand between random marks as
data (`onrecord.prompts.untrusted`), with a reminder behind them. An answer that says "answer pass"
can still sway a model: this makes it rarer, and calibrating against people (`judge.calibrate`)
measures what is left. A judge is also swayed by length, sureness, and answers like its own; two
answers are therefore compared in both orders.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from onrecord.calling import Operation
from onrecord.errors import ModelError, UsageError
from onrecord.evaluation.judges.asking import ByRubric, Place, model_of
from onrecord.evaluation.judges.own import ByPrompt
from onrecord.evaluation.judges.rubric import Scale, rubric_of
from onrecord.evaluation.scoring import Better, Said
from onrecord.evaluation.trial import Score, Trial
from onrecord.models.model import Model, Parameters
from onrecord.prompts.prompt import Prompt
from onrecord.records.record import content_key, plain

if TYPE_CHECKING:
    from onrecord.evaluation.experiments.report import Report
    from onrecord.evaluation.judges.calibration import Calibration
    from onrecord.evaluation.judges.pairwise import Preference, Preferences
    from onrecord.evaluation.statistics import Interval


class Card(msgspec.Struct, frozen=True):
    """All that a judge's verdicts depend on: who is asked, what, and how.

    `asked` is the question, the criteria and the scale, empty of a prompt of the user's own.
    `prompt` and `prompt_version` name the words around it, which the records keep.
    """

    name: str
    model: str
    model_version: str
    parameters: dict[str, Any]
    prompt: str
    prompt_version: str
    asked: dict[str, Any] = {}


class Asking(Protocol):
    """How a judge asks: by a rubric, or by a prompt of the user's own."""

    better: Better
    worst: float | None
    prompt: Prompt[..., Any]
    pairwise: Prompt[..., Any]

    @property
    def criteria(self) -> tuple[str, ...]:
        """What is judged by itself; none where there is one verdict."""

    @property
    def asked(self) -> Mapping[str, Any]:
        """What is asked beside the words of the prompt."""

    async def scores(self, prompt: Prompt[..., Any], trial: Trial) -> Said:
        """The verdicts on a trial. Raises ModelError."""

    async def preferred(
        self, prompt: Prompt[..., Any], first: Trial, second: Trial
    ) -> tuple[Place, str]:
        """Which of two answers is better, shown in this order, and why. Raises ModelError."""


class Judge(Operation[[Trial], Said]):
    """A scorer that asks a model; `judge` makes one."""

    def __init__(self, asking: Asking, name: str, calibration: Calibration | None = None) -> None:
        super().__init__(self._judged)
        self.name = name
        self.better = asking.better
        self.worst = asking.worst
        self.asking = asking
        self.calibration = calibration

    @property
    def version(self) -> str:
        """Changes with the words, the model and its version, and the parameters."""
        corrected = self.calibration
        return f"{content_key(self.card, corrected)[:16]} {self.card.model}"

    @property
    def card(self) -> Card:
        """Who is asked, what, and how. Raises UnknownNameError, UsageError, PromptError."""
        model, parameters = self._answering
        prompt = self.asking.prompt
        return Card(
            name=self.name,
            model=model.name,
            model_version=model.version,
            parameters=plain(parameters),
            prompt=prompt.name,
            prompt_version=prompt.version,
            asked=dict(self.asking.asked),
        )

    async def _judged(self, trial: Trial) -> Said:
        """The verdicts on a trial; an answer of the model that is none is a score with an error."""
        asking, model = self.asking, self._answering[0]
        try:
            return await asking.scores(asking.prompt.using(model), trial)
        except ModelError as error:
            failed = Score(None, error=f"{type(error).__name__}: {error}")
            return dict.fromkeys(asking.criteria, failed) or failed

    @Operation
    async def prefer(self, a: Trial, b: Trial) -> Preference:
        """Which of two answers to one case is better: asked in both orders.

        A verdict that changes with the order is a tie, and said to be inconsistent. An answer of
        the model that is no verdict is an `error` of the value.
        """
        from onrecord.evaluation.judges.pairwise import preference

        asking = self.asking
        prompt = asking.pairwise.using(self._answering[0])
        return await preference(functools.partial(asking.preferred, prompt), a, b)

    @Operation
    async def compare(
        self, before: Report, after: Report, *, intersection: bool = False, concurrent: int = 8
    ) -> Preferences:
        """How often the answers of `after` are preferred to those of `before`, case by case.

        `intersection`: only the cases that both have; otherwise others are an error, as in
        `on.compare`. A trial that failed loses to one that did not, and nobody is asked. Raises
        UsageError, LimitError.
        """
        from onrecord.evaluation.judges.pairwise import preferences

        return await preferences(self, before, after, intersection, concurrent)

    @Operation
    async def calibrate(
        self,
        labels: Mapping[str, bool] | Sequence[tuple[Trial, bool]],
        report: Report | None = None,
        *,
        of: str | None = None,
        at_least: float | None = None,
        concurrent: int = 8,
    ) -> Calibration:
        """How far the judge can be trusted, by verdicts of people.

        `labels`: whether the answer passes, by case of `report`, or pairs of a trial and a verdict.
        `report`: the answers that they were drawn from: what the judge says of all of them is then
        corrected (`rate`). Draw them at random, or as `which` of an earlier calibration says.
        `of`: which criterion is meant where there are several. `at_least`: from which score on an
        answer passes, of a scale. Scores of the same judge that are in the report already are not
        asked for again.

        Raises UsageError for labels that are no booleans, cases that are not there, fewer than 10
        labels with a verdict of the judge, labels that are all the same; LimitError.
        """
        from onrecord.evaluation.judges.calibrating import Labelling, calibrated

        return await calibrated(self, Labelling(labels, report), of, at_least, concurrent)

    def corrected_by(self, calibration: Calibration) -> Judge:
        """The same judge, whose reports also have the measure "NAME.corrected": the rate that
        people would find, with its interval. Raises UsageError for another judge's calibration."""
        from onrecord.evaluation.judges.calibration import Calibration

        if not isinstance(calibration, Calibration):
            raise UsageError(
                f"{calibration!r:.80} is no calibration",
                cure="Calibration.read(PATH) of onrecord.evaluation.judges.calibration reads one "
                "that was saved.",
            )
        if calibration.version != self.version:
            raise UsageError(
                "the calibration is of another judge: words, model or parameters differ",
                where=f"{calibration.judge} {calibration.version}, {self.name} {self.version}",
                cure="Calibrate this one.",
            )
        return Judge(self.asking, self.name, calibration)

    def overall(self, trials: Sequence[Trial]) -> dict[str, Interval]:
        """The corrected rate over trials that this judge has scored; nothing without a
        calibration."""
        if self.calibration is None:
            return {}
        return {"corrected": self.calibration.carried(trials)}

    @functools.cached_property
    def _answering(self) -> tuple[Model, Parameters]:
        return model_of(self.asking.prompt)


def judge(
    question: str | Prompt[..., Any] = "",
    *,
    model: str | Model | None = None,
    rubric: Mapping[str, str] | None = None,
    scale: Scale | None = None,
    reference: bool = False,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Judge:
    """A judge: a prompt as a scorer.

        on.judge("Is the answer polite?")                              a rate: pass or fail
        on.judge("How helpful is the answer?", scale=(1, 5))           a mean
        on.judge(rubric={"polite": "…", "complete": "…"})              "judge.polite", …
        on.judge(rubric={…}, scale={1: "useless", 3: "…", 5: "…"})     with described points
        on.judge(reference=True)                                       against trial.accepted
        on.judge(my_prompt)                                            your own @on.prompt

    `question`: what is to be decided; yes is a pass. A prompt of your own gets what its arguments
    name: `input`, `answer`, `output`, `expected`, `accepted`, `metadata`, `case`, `passages`, else
    a key of the input or the metadata (mark what comes from outside as untrusted); it returns a
    bool, a number, a Literal, or an object with `reason` and `verdict`. `rubric`: criteria by name,
    each a measure of its own. `reference`: the accepted answers are shown, and a trial without is
    not judged. `name`: that of the measure (default "judge", or the prompt's). `parameters`: how to
    answer, such as {"temperature": 0}. `model`: default the settings', or the prompt's.

    A trial whose application failed counts as the lowest verdict. Of a text longer than 40,000
    characters only so much is judged, and the score's reason says so. Raises UsageError.
    """
    if not isinstance(question, Prompt):
        if not isinstance(question, str):
            raise UsageError(
                f"{question!r:.80} is nothing to judge by",
                cure="Give a question, or a function decorated with @on.prompt.",
            )
        asked = rubric_of(question, rubric, scale, reference)
        return Judge(ByRubric(asked, model, parameters), name or "judge")
    told = {"rubric": rubric, "scale": scale, "reference": reference, "parameters": parameters}
    for said, value in told.items():
        if value:
            raise UsageError(
                f"a judge by a prompt of your own takes no {said}", cure="The prompt says that."
            )
    return Judge(ByPrompt(question, model), name or question.name)
