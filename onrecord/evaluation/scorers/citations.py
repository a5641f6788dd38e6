"""Were the right places quoted, and do the quotations stand in what was read?"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec

from onrecord.citations import cite, locate
from onrecord.errors import UsageError
from onrecord.evaluation import metrics
from onrecord.evaluation.scorers.described import described
from onrecord.evaluation.scorers.sources import searched
from onrecord.evaluation.trial import Score, Trial
from onrecord.messages import Citation, Passage

Span = tuple[str, int, int]


@described(of=[metrics.citation_overlap, cite])
def citations(trial: Trial) -> dict[str, float | Score] | None:
    """{"precision", "recall", "f1", "verified"} of the quotations of a `Cited` output, 0 to 1.

    The first three compare characters with what should be quoted (`metrics.citation_overlap`):
    `metadata["citations"]`, spans {"document_id", "start", "end"} or words, one or a list. Words
    are looked for in the passages that were searched and in the quotations; those that stand in
    neither were missed. They do not apply where the case does not say what should be quoted.
    `verified`: the share of the quotations that stand word for word in a passage that the searches
    gave; it needs no gold, and does not apply without quotations or a search on record. None for
    an output that is no `Cited`. That a quotation supports what was said, none of this shows.
    """
    quoted = _quoted(trial.output)
    if quoted is None:
        return None
    read = searched(trial)
    said: dict[str, float | Score] = {"verified": _verified(quoted, read)}
    gold = trial.metadata.get("citations")
    if gold is None:
        return said
    nowhere: list[str] = []
    spans = _gold(gold, quoted, read or [], nowhere)
    there = [*(read or []), *map(_passage, quoted)]
    overlap = metrics.citation_overlap([(q.document_id, q.start, q.end) for q in quoted], spans)
    return {
        "precision": overlap.precision,
        "recall": Score(overlap.recall, _told(nowhere, there)) if nowhere else overlap.recall,
        "f1": overlap.f1,
        **said,
    }


def _quoted(output: Any) -> list[Citation] | None:
    if not isinstance(output, Mapping) or not isinstance(output.get("citations"), list | tuple):
        return None
    try:
        return msgspec.convert(output["citations"], list[Citation])
    except msgspec.ValidationError:
        return None


def _verified(quoted: list[Citation], read: list[Passage] | None) -> Score:
    if not quoted:
        return Score(None, "nothing is quoted")
    if read is None:
        return Score(None, "no search is on record")
    missing = [
        each.quote
        for each in quoted
        if cite(each.quote, [one for one in read if one.document_id == each.document_id]) is None
    ]
    told = "; ".join(f"“{each[:80]}”" for each in missing[:5])
    return Score(1 - len(missing) / len(quoted), f"in no passage: {told}" if missing else "")


def _gold(said: Any, quoted: list[Citation], read: list[Passage], nowhere: list[str]) -> list[Span]:
    """What should be quoted; words that stand nowhere are also added to `nowhere`."""
    several = said if isinstance(said, list | tuple) else [said]
    spans: list[Span] = []
    for at, each in enumerate(several):
        if isinstance(each, Mapping) and {"document_id", "start", "end"} <= set(each):
            spans.append((each["document_id"], each["start"], each["end"]))
        elif isinstance(words := _words(each), str) and words.strip():
            if (place := _place(words, quoted, read)) is None:
                nowhere.append(words)
            spans.append(place or (f"\0 {at}", 0, len(words)))
        else:
            raise UsageError(
                f"this says not what should be quoted: {each!r:.80}",
                where='metadata["citations"]',
                cure="Give {document_id, start, end}, or the words.",
            )
    return spans


def _place(words: str, quoted: list[Citation], read: list[Passage]) -> Span | None:
    """Where the words stand: in a passage, or around or inside of a quotation."""
    found = cite(words, [*read, *map(_passage, quoted)])
    if found is not None:
        return found.document_id, found.start, found.end
    for each in quoted:
        if (place := locate(each.quote, words)) is not None:
            start = each.start - place[0]
            if start >= 0:
                return each.document_id, start, start + len(words)
    return None


def _words(gold: Any) -> Any:
    return gold.get("quote") if isinstance(gold, Mapping) else gold


def _passage(quoted: Citation) -> Passage:
    return Passage(quoted.document_id, "", quoted.quote, quoted.start, quoted.end, 0.0)


def _told(nowhere: list[str], read: list[Passage]) -> str:
    """The words that should be quoted and stand nowhere, beside those that they may be a slip
    for."""
    said = [
        f"“{words[:80]}” (did you mean “{close}”?)"
        if (close := _like(words, read))
        else f"“{words[:80]}”"
        for words in nowhere[:5]
    ]
    return f"in nothing that was read: {'; '.join(said)}"


def _like(words: str, read: list[Passage]) -> str:
    """What stands there instead: a stretch of nearly the same words; "" where none does."""
    wanted = words.split()
    for passage in read[:_SEARCHED] if len(words) <= _LONGEST else ():
        there = passage.text.split()
        for at in range(len(there) - len(wanted) + 1):
            stretch = " ".join(there[at : at + len(wanted)])
            match = difflib.SequenceMatcher(None, words.casefold(), stretch.casefold())
            if min(match.real_quick_ratio(), match.quick_ratio()) > _LIKENESS < match.ratio():
                return stretch.strip(".,;:!?")[:80]
    return ""


_SEARCHED, _LONGEST, _LIKENESS = 20, 200, 0.8
