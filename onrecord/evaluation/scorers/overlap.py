"""Generated text beside references: ROUGE, BLEU, chrF, likeness of spans."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from onrecord.evaluation import metrics
from onrecord.evaluation.measuring.checking import needed
from onrecord.evaluation.scorers.described import Described, drawn, spoken
from onrecord.evaluation.statistics import Interval
from onrecord.evaluation.trial import Trial
from onrecord.models.model import Embedder
from onrecord.words import words as words_of


class Rouge(Described):
    """ROUGE-1, -2 and -L as F1, 0 to 1: {"rouge1", "rouge2", "rougeL"}, each the best over the
    accepted answers (`metrics.rouge`; Lin, 2004; extra `evaluation`). `stem`, `words` as there.
    None where nothing is expected."""

    def __init__(
        self,
        *,
        stem: bool = False,
        words: Callable[[str], list[str]] | None = None,
        name: str = "rouge",
    ) -> None:
        super().__init__(name, stem, of=[metrics.rouge, *([words] if words else [])])
        self._rouge = functools.partial(metrics.rouge, stem=stem, words=words)

    def __call__(self, trial: Trial) -> dict[str, float] | None:
        """The three of them."""
        if not trial.accepted:
            return None
        return self._rouge(spoken(trial.answer), [spoken(each) for each in trial.accepted])


class Bleu(Described):
    """BLEU of a sentence, 0 to 100, and as `bleu.corpus` that of all answers together, which is no
    mean, with a bootstrap interval over cases (`metrics.bleu`; Papineni et al., 2002; Koehn, 2004;
    sacrebleu; extra `evaluation`). None where nothing is expected."""

    def __init__(
        self, *, tokenize: str = "13a", lowercase: bool = False, name: str = "bleu"
    ) -> None:
        super().__init__(name, tokenize, lowercase, of=[metrics.sentence_bleu])
        self._options = (tokenize, lowercase)
        self._bleu = functools.partial(
            metrics.sentence_bleu, tokenize=tokenize, lowercase=lowercase
        )

    def __call__(self, trial: Trial) -> float | None:
        """That of one sentence."""
        if not trial.accepted:
            return None
        return self._bleu(spoken(trial.answer), [spoken(each) for each in trial.accepted])

    def overall(self, trials: Sequence[Trial]) -> dict[str, Interval]:
        """{"corpus": BLEU of all texts}. An application that failed has written nothing."""
        import numpy as np

        package = needed("sacrebleu", "sacrebleu", "BLEU")
        tokenize, lowercase = self._options
        one = package.BLEU(tokenize=tokenize, lowercase=lowercase)
        rows, cases = [], []
        for trial in trials:
            if not trial.accepted:
                continue
            references = [[spoken(each)] for each in trial.accepted]
            text = "" if trial.error is not None else spoken(trial.answer)
            said = one.corpus_score([text], references)
            rows.append([*said.counts, *said.totals, said.sys_len, said.ref_len])
            cases.append(trial.case)
        if not rows:
            return {}
        counts = np.array(rows, dtype=np.int64)

        def corpus(chosen: Any) -> float:
            whole = counts[chosen.astype(np.int64)].sum(axis=0).tolist()
            return float(package.BLEU.compute_bleu(whole[:4], whole[4:8], *whole[8:]).score)

        return {"corpus": drawn(range(len(rows)), corpus, cases)}


class ChrF(Described):
    """chrF of a text, 0 to 100, the best over the accepted answers (`metrics.sentence_chrf`;
    Popović, 2015; sacrebleu; extra `evaluation`); `word_order=2` is chrF++. The mean over texts is
    not the chrF of the corpus, which `metrics.chrf` counts. None where nothing is expected."""

    def __init__(self, *, word_order: int = 0, lowercase: bool = False, name: str = "chrf") -> None:
        super().__init__(name, word_order, lowercase, of=[metrics.sentence_chrf])
        self._chrf = functools.partial(
            metrics.sentence_chrf, word_order=word_order, lowercase=lowercase
        )

    def __call__(self, trial: Trial) -> float | None:
        """That of one text."""
        if not trial.accepted:
            return None
        return self._chrf(spoken(trial.answer), [spoken(each) for each in trial.accepted])


class EmbeddingF1(Described):
    """Likeness of short spans by an embedder: {"precision", "recall", "f1"}, 0 to 1, of the best
    accepted answer (`metrics.embedding_f1`, which says how it differs from BERTScore). None where
    nothing is expected."""

    def __init__(
        self,
        embedder: str | Embedder = "embedded:minilm",
        *,
        span: int = 3,
        name: str = "embedding_f1",
    ) -> None:
        named = embedder if isinstance(embedder, str) else embedder.name
        super().__init__(name, named, span, of=[metrics.embedding_f1._function])
        self._embedder, self._span = embedder, span

    async def __call__(self, trial: Trial) -> dict[str, float] | None:
        """The three of them."""
        if not trial.accepted:
            return None
        wanted = [spoken(each) for each in trial.accepted]
        found = await metrics.embedding_f1(
            [spoken(trial.answer)] * len(wanted), wanted, self._embedder, span=self._span
        )
        most = max(found, key=lambda each: each.f1)
        return {"precision": most.precision, "recall": most.recall, "f1": most.f1}


class Parent(Described):
    """PARENT, for a text about a table: {"precision", "recall", "f1"}, 0 to 1 (`metrics.parent`;
    Dhingra et al., 2019). What the table says is right also where the reference lacks it.

    The table is what the case's metadata say under `field`: {attribute: value}, or pairs. None
    where nothing is expected, or without a table.
    """

    def __init__(self, field: str = "table", *, order: int = 4, name: str = "parent") -> None:
        super().__init__(name, field, order, of=[metrics.parent, words_of])
        self._field, self._order = field, order

    def __call__(self, trial: Trial) -> dict[str, float] | None:
        """The three of them."""
        table = trial.metadata.get(self._field)
        if not trial.accepted or table is None:
            return None
        wanted = [spoken(each) for each in trial.accepted]
        said = metrics.parent(spoken(trial.answer), wanted, table, order=self._order)
        return {"precision": said.precision, "recall": said.recall, "f1": said.f1}
