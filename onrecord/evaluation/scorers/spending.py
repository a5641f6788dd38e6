"""What an answer took. Less is better; a trial whose application failed counts nothing."""

from __future__ import annotations

from onrecord.evaluation.scorers.described import described
from onrecord.evaluation.trial import Score, Trial


@described(better="lower")
def latency(trial: Trial) -> float:
    """Seconds that the application took, the waiting for its turn not included."""
    return trial.seconds


@described(better="lower")
def tokens(trial: Trial) -> dict[str, int] | None:
    """{"input", "output"}: tokens of all calls that the application made. None where no call says
    any: an `embedded:` model, or a server that counts none."""
    if not trial.usage.input and not trial.usage.output:
        return None
    return {"input": trial.usage.input, "output": trial.usage.output}


@described(name="usd", better="lower")
def cost(trial: Trial) -> Score:
    """US dollars that the application's calls cost, as the measure `usd`: a gate's `cost` is that
    of the whole experiment. None where the price of a call is not known."""
    if trial.cost is None:
        return Score(None, "the price of a call is not known")
    return Score(trial.cost / 1e6)
