"""PARENT: a text about a table, beside a reference that may say more than the table does."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from onrecord.errors import UsageError
from onrecord.evaluation.measuring.checking import a_text, accepted
from onrecord.evaluation.measuring.precision_recall import PrecisionRecall, share
from onrecord.words import words

Table = Mapping[str, Any] | Sequence[tuple[str, Any]]


def parent(
    prediction: str,
    references: str | Iterable[str],
    table: Table,
    *,
    table_weight: float | None = None,
    order: int = 4,
) -> PrecisionRecall:
    """Entailed precision, entailed recall and their F1, from 0 to 1; the best F1 of the references.

    Dhingra et al., "Handling Divergent Reference Texts when Evaluating Table-to-Text Generation"
    (ACL 2019), with the word overlap model of entailment: an n-gram follows from the table as far
    as its words are words of the table's values. Precision: n-grams of the text that stand in the
    reference, or follow from the table. Recall: n-grams of the reference, each as far as it follows
    from the table, times (geometrically) the share of each value that the text mentions, as a
    longest common subsequence. So what only the reference says is not asked for, and what
    only the table says is not punished.

    `table`: attribute and value, as an object or as pairs; values are written as text. The
    attributes' own words do not count, as in the authors' script. `table_weight`: the weight of the
    table in the recall, from 0 to 1; None: 1 minus the share of the table that the reference itself
    mentions, as the authors propose. The mean over orders 1 to `order` is geometric; as in their
    script, an order above 1 without any match counts 0.00001, so a text of fewer words than
    `order` has a precision near 0: give a smaller `order` for such texts.

    A word is one of `onrecord.words`. "1,000" and "1000" are different, and so is a synonym: what
    is true and said in other words is punished. Raises UsageError for a table without a word.
    """
    values = _values(table)
    if order < 1:
        raise UsageError(f"the order is {order}", cure="Give 1 or more.")
    if table_weight is not None and not 0 <= table_weight <= 1:
        raise UsageError(f"the weight of the table is {table_weight}", cure="Give 0 to 1.")
    found = words(a_text(prediction, "the prediction"))
    scores = []
    for reference in accepted(references):
        wanted = words(reference)
        weight = 1 - _mentioned(values, wanted) if table_weight is None else table_weight
        scores.append(_Texts(found, wanted, values).score(weight, order))
    return max(scores, key=lambda score: score.f1)


class _Texts:
    """A text, a reference, and the words of each value of the table."""

    def __init__(self, found: list[str], wanted: list[str], values: list[list[str]]) -> None:
        self.found = found
        self.wanted = wanted
        self.values = values
        self.known = {word for value in values for word in value}

    def score(self, weight: float, order: int) -> PrecisionRecall:
        """With the weight of the table in the recall."""
        orders = [
            (_ngrams(self.found, size), _ngrams(self.wanted, size)) for size in range(1, order + 1)
        ]
        precision = _geometric([self._precision(*each) for each in orders])
        said = _geometric([self._recall(*each) for each in orders]) or _LITTLE
        mentioned = _mentioned(self.values, self.found) or _LITTLE
        return PrecisionRecall.of(precision, said ** (1 - weight) * mentioned**weight)

    def _precision(self, found: Counter[Ngram], wanted: Counter[Ngram]) -> float:
        right = 0.0
        for ngram, count in found.items():
            same = min(count, wanted[ngram])
            right += same + (count - same) * self._entailed(ngram)
        return share(right, found.total())

    def _recall(self, found: Counter[Ngram], wanted: Counter[Ngram]) -> float:
        """Of the n-grams of the reference that follow from the table; 1 where none does."""
        asked = {ngram: self._entailed(ngram) for ngram in wanted}
        whole = sum(count * asked[ngram] for ngram, count in wanted.items())
        right = sum(min(count, found[ngram]) * asked[ngram] for ngram, count in wanted.items())
        return right / whole if whole else 1.0

    def _entailed(self, ngram: Ngram) -> float:
        return sum(word in self.known for word in ngram) / len(ngram)


Ngram = tuple[str, ...]


def _values(table: Table) -> list[list[str]]:
    pairs = table.items() if isinstance(table, Mapping) else table
    try:
        texts = [str(value) for _, value in pairs if value is not None]
    except (TypeError, ValueError) as error:
        raise UsageError(
            "the table is no list of pairs", cure="Give {attribute: value}, or (attribute, value)."
        ) from error
    values = [split for text in texts if (split := words(text))]
    if not values:
        raise UsageError("there is no word in the table", cure="Give at least one value.")
    return values


def _ngrams(text: list[str], size: int) -> Counter[Ngram]:
    return Counter(tuple(text[at : at + size]) for at in range(len(text) - size + 1))


def _mentioned(values: list[list[str]], text: list[str]) -> float:
    """The mean, over the values, of the share of a value's words that the text has in order."""
    return sum(_longest_common(value, text) / len(value) for value in values) / len(values)


def _longest_common(one: list[str], other: list[str]) -> int:
    """The length of the longest common subsequence: rows over `one`, kept one at a time."""
    lengths = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for at, each in enumerate(other, 1):
            above = lengths[at]
            lengths[at] = diagonal + 1 if word == each else max(above, lengths[at - 1])
            diagonal = above
    return lengths[-1]


def _geometric(shares: list[float]) -> float:
    """The geometric mean of the orders; 0 where not even one word matches."""
    if not shares[0]:
        return 0.0
    return math.exp(sum(math.log(each or _LITTLE) for each in shares) / len(shares))


_LITTLE = 1e-5  # in place of 0, as in the authors' script
