"""A calibration in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onrecord.evaluation.judges.calibration import Calibration
    from onrecord.evaluation.statistics import Interval


def described(calibration: Calibration) -> str:
    """What it says, in some lines."""
    found = calibration
    of = f".{found.of}" if found.of else ""
    lines = [
        f"{found.judge}{of} against {found.confusion.labels:,} labels: "
        f"TPR {_percent(found.tpr)}, TNR {_percent(found.tnr)}, kappa {_number(found.kappa)}"
    ]
    if found.tpr.mean + found.tnr.mean - 1 <= _LITTLE:
        lines.append("The judge hardly tells what people pass from what they fail.")
    if found.rate is not None and found.uncorrected is not None:
        lines.append(
            f"The judge passes {found.uncorrected.mean:.1%}; people would pass "
            f"{_percent(found.rate)} ({_METHODS[found.inside]})"
        )
    lines.append(_labels_to_come(found))
    for count, words in (
        (found.unanswered, "labelled answers have no verdict of the judge"),
        (found.left_out, "labelled trials have no answer"),
        (len(found.wavering), "cases got different verdicts on equal answers"),
    ):
        if count:
            lines.append(f"{count:,} {words}")
    return "\n".join(lines)


def _labels_to_come(found: Calibration) -> str:
    """What more labels would do, and which."""
    more = list(_MORE)
    if found.inside:
        left = len(found.unlabelled)
        if not left:
            return "Every answer is labelled: only more answers would narrow that"
        more = [*(each for each in _MORE if each < left), left][: len(_MORE)]
    what = "that" if found.rate is not None else "TPR and TNR"
    widths = ", ".join(f"{each:,} to ±{50 * found.width(each):.1f}" for each in more)
    said = f"More labels would narrow {what} from ±{50 * found.width():.1f} points: {widths}"
    return f"{said}; which({more[0]}) draws the answers" if found.unlabelled else said


def _percent(interval: Interval) -> str:
    return f"{interval.mean:.1%} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _number(interval: Interval) -> str:
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


_LITTLE = 0.1
_MORE = (50, 100, 200)  # labels
_METHODS = {True: "labels drawn from these answers", False: "TPR and TNR carried over"}
