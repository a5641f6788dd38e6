"""Word and character sequences shared with references: BLEU and chrF by sacrebleu, ROUGE by
rouge-score. All need the extra `evaluation`.

The numbers are those of the two packages, bit for bit, so that they stand beside published ones;
only where rouge-score sees no words, in other scripts than the Latin one, ROUGE has its own. What
is ours is one shape for references: `references[i]` is one text, or the list of texts, that
`predictions[i]` may be like. BLEU and chrF are from 0 to 100, as they are published, ROUGE from 0
to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from onrecord.errors import UsageError
from onrecord.evaluation.measuring.checking import a_text, accepted, needed, same_length
from onrecord.evaluation.measuring.precision_recall import PrecisionRecall
from onrecord.evaluation.measuring.scripts import is_mostly_not_latin, pieces
from onrecord.words import words as words_of

References = Sequence[str | Sequence[str]]


def bleu(
    predictions: Sequence[str],
    references: References,
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
) -> float:
    """BLEU of a whole corpus, from 0 to 100: not the mean of sentences.

    Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation" (ACL 2002), as
    sacrebleu counts it (Post, "A Call for Clarity in Reporting BLEU Scores", WMT 2018): up to
    4-grams, exponential smoothing, `tokenize` one of 13a, intl, zh, char, none. Text must not be
    tokenized before. Raises UsageError (no pairs, no references, what is no text) and
    MissingExtraError.
    """
    metric = _bleu(tokenize, lowercase, False)
    same_length(predictions, references, "predictions and references")
    texts = [a_text(each, "a prediction") for each in predictions]
    return float(metric.corpus_score(texts, _streams(references)).score)


def sentence_bleu(
    prediction: str,
    references: str | Iterable[str],
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
) -> float:
    """BLEU of one text, from 0 to 100, with sacrebleu's effective order: of a text with fewer than
    four words only the n-grams that it has count. Noisy: compare corpora with `bleu`."""
    metric = _bleu(tokenize, lowercase, True)
    text = a_text(prediction, "the prediction")
    return float(metric.sentence_score(text, list(accepted(references))).score)


def chrf(
    predictions: Sequence[str],
    references: References,
    *,
    word_order: int = 0,
    lowercase: bool = False,
) -> float:
    """chrF of a whole corpus, from 0 to 100: the F2 of character 1- to 6-grams; `word_order=2` is
    chrF++.

    Popović, "chrF: character n-gram F-score for automatic MT evaluation" (WMT 2015) and "chrF++:
    words helping character n-grams" (WMT 2017), as sacrebleu counts it. It needs no tokenizer, so
    it also fits scripts without spaces. Raises UsageError and MissingExtraError as `bleu`.
    """
    metric = _chrf(word_order, lowercase)
    same_length(predictions, references, "predictions and references")
    texts = [a_text(each, "a prediction") for each in predictions]
    return float(metric.corpus_score(texts, _streams(references)).score)


def sentence_chrf(
    prediction: str,
    references: str | Iterable[str],
    *,
    word_order: int = 0,
    lowercase: bool = False,
) -> float:
    """chrF of one text, from 0 to 100: the best over the references."""
    metric = _chrf(word_order, lowercase)
    text = a_text(prediction, "the prediction")
    return float(metric.sentence_score(text, list(accepted(references))).score)


def rouge(
    prediction: str,
    reference: str | Iterable[str],
    *,
    stem: bool = False,
    words: Callable[[str], list[str]] | None = None,
) -> dict[str, float]:
    """The F1 of ROUGE-1, ROUGE-2 and ROUGE-L: {"rouge1": …, "rouge2": …, "rougeL": …}, 0 to 1.

    Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004), as rouge-score counts it:
    of n-grams, and of the longest common subsequence of the whole text. Of several references each
    measure takes the best. Precision and recall: `rouge_details`.

    The package's words are runs of a-z and 0-9 alone: "é" cuts a word in two, and other scripts
    have no words, so that equal texts would get 0. Where most letters of the references are not
    Latin, words are therefore those of `onrecord.words.words`, and in scripts without spaces
    (Chinese, Japanese, Thai …) single characters: these are not the package's numbers. `words`
    splits every text in a way of your own; `stem` cuts suffixes of English and is not used with
    other words than the package's. Raises UsageError, MissingExtraError.
    """
    details = rouge_details(prediction, reference, stem=stem, words=words)
    return {name: each.f1 for name, each in details.items()}


def rouge_details(
    prediction: str,
    reference: str | Iterable[str],
    *,
    stem: bool = False,
    words: Callable[[str], list[str]] | None = None,
) -> dict[str, PrecisionRecall]:
    """Precision, recall and F1 of each measure of `rouge`; of several references, of the one with
    the best F1."""
    texts = list(accepted(reference, "reference"))
    if words is None and is_mostly_not_latin("".join(texts)):
        words = _of_any_script
    scorer = _rouge(stem, words)
    scores = scorer.score_multi(texts, a_text(prediction, "the prediction"))
    return {
        name: PrecisionRecall(float(each.precision), float(each.recall), float(each.fmeasure))
        for name, each in scores.items()
    }


def _streams(references: References) -> list[list[str | None]]:
    """References as sacrebleu takes them: all first ones, all second ones, …; None for none."""
    lists = [accepted(each) for each in references]
    most = max(map(len, lists))
    return [[each[at] if at < len(each) else None for each in lists] for at in range(most)]


@lru_cache(maxsize=16)
def _bleu(tokenize: str, lowercase: bool, effective: bool) -> Any:
    if tokenize not in _TOKENIZERS:
        raise UsageError(
            f"BLEU has no tokenizer '{tokenize}' here",
            cure=f"Take one of {', '.join(_TOKENIZERS)}.",
        )
    sacrebleu = needed("sacrebleu", "sacrebleu", "BLEU")
    return sacrebleu.BLEU(tokenize=tokenize, lowercase=lowercase, effective_order=effective)


@lru_cache(maxsize=16)
def _chrf(word_order: int, lowercase: bool) -> Any:
    if word_order < 0:
        raise UsageError(f"the order of words is {word_order}", cure="Give 0, or 2 for chrF++.")
    sacrebleu = needed("sacrebleu", "sacrebleu", "chrF")
    return sacrebleu.CHRF(word_order=word_order, lowercase=lowercase)


@lru_cache(maxsize=16)
def _rouge(stem: bool, words: Callable[[str], list[str]] | None) -> Any:
    scoring = needed("rouge_score.rouge_scorer", "rouge-score", "ROUGE")
    tokenizer = _Words(words) if words is not None else None
    return scoring.RougeScorer(["rouge1", "rouge2", "rougeL"], stem, tokenizer=tokenizer)


def _of_any_script(text: str) -> list[str]:
    return [piece for word in words_of(text) for piece in pieces(word)]


class _Words:
    """A function as rouge-score wants it."""

    def __init__(self, words: Callable[[str], list[str]]) -> None:
        self.tokenize = words


# sacrebleu's others download a model, or need a package of their own.
_TOKENIZERS = ("13a", "intl", "zh", "char", "none")
