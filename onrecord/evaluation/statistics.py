"""How sure a number is that was measured on some cases: docs/statistics.md says which to use."""

from __future__ import annotations

from onrecord.evaluation.inference.bounded import bounded_mean
from onrecord.evaluation.inference.intervals import Interval, wilson
from onrecord.evaluation.inference.multiple import benjamini_hochberg, holm
from onrecord.evaluation.inference.paired import Equivalence, McNemar, mcnemar, tost
from onrecord.evaluation.inference.power import cases_needed, minimum_detectable_effect, power
from onrecord.evaluation.inference.resampling import (
    bootstrap,
    case_means,
    paired_bootstrap,
    paired_permutation,
    unpaired_bootstrap,
)
from onrecord.evaluation.inference.sequential import ConfidenceSequence, SequentialComparison
from onrecord.evaluation.inference.verdicts import (
    PairedComparison,
    Verdict,
    cases_to_decide,
    paired_comparison,
    verdict,
)

__all__ = [
    "ConfidenceSequence",
    "Equivalence",
    "Interval",
    "McNemar",
    "PairedComparison",
    "SequentialComparison",
    "Verdict",
    "benjamini_hochberg",
    "bootstrap",
    "bounded_mean",
    "case_means",
    "cases_needed",
    "cases_to_decide",
    "holm",
    "mcnemar",
    "minimum_detectable_effect",
    "paired_bootstrap",
    "paired_comparison",
    "paired_permutation",
    "power",
    "tost",
    "unpaired_bootstrap",
    "verdict",
    "wilson",
]
