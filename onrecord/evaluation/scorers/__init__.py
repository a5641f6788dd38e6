"""The built-in scorers: what each takes and gives stands in `docs/scorers.md`.

Those that need nothing are scorers as they are (`exact_match`), and so are those whose options all
have defaults: `rouge`, or `rouge(stem=True)`. Those that have to know something are called:
`hit(5)`, `regex("[0-9]+")`.
"""

from onrecord.evaluation.scorers.calling import Tools
from onrecord.evaluation.scorers.citations import citations
from onrecord.evaluation.scorers.described import Adjustable
from onrecord.evaluation.scorers.grounding.scoring import Grounded, Hallucination
from onrecord.evaluation.scorers.labels import Classification
from onrecord.evaluation.scorers.likelihood import Perplexity
from onrecord.evaluation.scorers.matching import (
    Contains,
    JSONSchema,
    Numeric,
    Regex,
    exact_match,
    meteor,
    squad_em,
    squad_f1,
    token_f1,
)
from onrecord.evaluation.scorers.overlap import Bleu, ChrF, EmbeddingF1, Parent, Rouge
from onrecord.evaluation.scorers.refusing import refusal
from onrecord.evaluation.scorers.retrieval import MRR, NDCG, Hit, Precision, Recall
from onrecord.evaluation.scorers.spending import cost, latency, tokens
from onrecord.evaluation.scorers.toxic import Toxicity
from onrecord.evaluation.scoring import Accepting as Accepting

bleu = Adjustable(Bleu)
chrf = Adjustable(ChrF)
classification = Adjustable(Classification)
contains = Adjustable(Contains)
embedding_f1 = Adjustable(EmbeddingF1)
grounded = Adjustable(Grounded)
hallucination = Adjustable(Hallucination)
hit = Adjustable(Hit)
json_schema = Adjustable(JSONSchema)
mrr = Adjustable(MRR)
ndcg = Adjustable(NDCG)
numeric = Adjustable(Numeric)
parent = Adjustable(Parent)
perplexity = Adjustable(Perplexity)
precision = Adjustable(Precision)
recall = Adjustable(Recall)
regex = Adjustable(Regex)
rouge = Adjustable(Rouge)
tools = Adjustable(Tools)
toxicity = Adjustable(Toxicity)

__all__ = [
    "bleu",
    "chrf",
    "citations",
    "classification",
    "contains",
    "cost",
    "embedding_f1",
    "exact_match",
    "grounded",
    "hallucination",
    "hit",
    "json_schema",
    "latency",
    "meteor",
    "mrr",
    "ndcg",
    "numeric",
    "parent",
    "perplexity",
    "precision",
    "recall",
    "refusal",
    "regex",
    "rouge",
    "squad_em",
    "squad_f1",
    "token_f1",
    "tokens",
    "tools",
    "toxicity",
]
