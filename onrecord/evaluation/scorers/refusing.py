"""Did it refuse where it had to, and only there?"""

from __future__ import annotations

from onrecord.evaluation.scorers.described import described
from onrecord.evaluation.trial import Trial


@described()
def refusal(trial: Trial) -> dict[str, bool | str] | None:
    """{"correct", "outcome"}: whether it refused exactly where a refusal is right, and which of
    "answered", "refused", "answered wrongly" and "refused wrongly" it was.

    A refusal is right where `expected` is {"any_of": []}; an answer that is given where one is
    expected counts as right here whatever it says. A refusal is a `Cited` with `refused`, or
    nothing at all. None where nothing is expected.
    """
    if trial.accepted is None:
        return None
    correct = trial.refused == (not trial.accepted)
    done = "refused" if trial.refused else "answered"
    return {"correct": correct, "outcome": done if correct else f"{done} wrongly"}
