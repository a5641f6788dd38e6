"""The built-in scorers: what each takes and gives stands in `docs/scorers.md`.

Those that need nothing are scorers as they are (`exact_match`), and so are those whose options all
have defaults: `rouge`, or `rouge(stem=True)`. Those that have to know something are called:
`hit(5)`, `regex("[0-9]+")`. Two make a scorer of what you give: `Accepting` of a plain metric,
`OnStep` of a scorer, for the calls of one name inside of a trial.
"""

from onrecord.evaluation.experiments.steps import OnStep as OnStep
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

bleu = Adjustable("bleu", Bleu)
chrf = Adjustable("chrf", ChrF)
classification = Adjustable("classification", Classification)
contains = Adjustable("contains", Contains)
embedding_f1 = Adjustable("embedding_f1", EmbeddingF1)
grounded = Adjustable("grounded", Grounded)
hallucination = Adjustable("hallucination", Hallucination)
hit = Adjustable("hit", Hit, "hit(5)")
json_schema = Adjustable("json_schema", JSONSchema, 'json_schema({"type": "object"})')
mrr = Adjustable("mrr", MRR)
ndcg = Adjustable("ndcg", NDCG, "ndcg(10)")
numeric = Adjustable("numeric", Numeric)
parent = Adjustable("parent", Parent)
perplexity = Adjustable("perplexity", Perplexity, 'perplexity("hf:OWNER/MODEL")')
precision = Adjustable("precision", Precision, "precision(5)")
recall = Adjustable("recall", Recall, "recall(5)")
regex = Adjustable("regex", Regex, 'regex("[0-9]+")')
rouge = Adjustable("rouge", Rouge)
tools = Adjustable("tools", Tools)
toxicity = Adjustable("toxicity", Toxicity)

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
