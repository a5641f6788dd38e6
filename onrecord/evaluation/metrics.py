"""The plain metrics: functions of plain values, usable without anything else of Onrecord.

    from onrecord.evaluation import metrics
    metrics.squad_f1("in October 1973", ["October 1973", "1973"])

What each takes, gives and means, with its source, stands in its docstring; `docs/metrics.md` has
all of them in one table. Each takes one case, or the lists of a whole corpus, as its arguments say.
"""

from onrecord.evaluation.measuring.calibration import (
    Bin,
    auroc,
    brier,
    expected_calibration_error,
    reliability,
)
from onrecord.evaluation.measuring.citing import Span, citation_overlap
from onrecord.evaluation.measuring.classification import (
    Classification,
    ClassScore,
    Confusion,
    accuracy,
    classification,
    confusion_matrix,
    macro_f1,
    micro_f1,
)
from onrecord.evaluation.measuring.embedding import embedding_f1
from onrecord.evaluation.measuring.likelihood import bits_per_byte, byte_perplexity, perplexity
from onrecord.evaluation.measuring.meteor import meteor
from onrecord.evaluation.measuring.numbers import numbers_in, numeric_match
from onrecord.evaluation.measuring.overlap import (
    bleu,
    chrf,
    rouge,
    rouge_details,
    sentence_bleu,
    sentence_chrf,
)
from onrecord.evaluation.measuring.precision_recall import PrecisionRecall
from onrecord.evaluation.measuring.retrieval import (
    average_precision,
    hit_at_k,
    mean_reciprocal_rank,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank,
)
from onrecord.evaluation.measuring.schema import fits_schema, schema_errors
from onrecord.evaluation.measuring.squad import squad_em, squad_f1, squad_normalised
from onrecord.evaluation.measuring.table import parent
from onrecord.evaluation.measuring.text import (
    contains,
    exact_match,
    normalised,
    regex_match,
    token_f1,
)

__all__ = [
    "Bin",
    "ClassScore",
    "Classification",
    "Confusion",
    "PrecisionRecall",
    "Span",
    "accuracy",
    "auroc",
    "average_precision",
    "bits_per_byte",
    "bleu",
    "brier",
    "byte_perplexity",
    "chrf",
    "citation_overlap",
    "classification",
    "confusion_matrix",
    "contains",
    "embedding_f1",
    "exact_match",
    "expected_calibration_error",
    "fits_schema",
    "hit_at_k",
    "macro_f1",
    "mean_reciprocal_rank",
    "meteor",
    "micro_f1",
    "ndcg_at_k",
    "normalised",
    "numbers_in",
    "numeric_match",
    "parent",
    "perplexity",
    "precision_at_k",
    "recall_at_k",
    "reciprocal_rank",
    "regex_match",
    "reliability",
    "rouge",
    "rouge_details",
    "schema_errors",
    "sentence_bleu",
    "sentence_chrf",
    "squad_em",
    "squad_f1",
    "squad_normalised",
    "token_f1",
]
