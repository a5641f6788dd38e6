"""What an application was given to read: the passages that stand in a trial.

Where they come from, the first that there is:

    the output        a list of passages, or an object with `passages`: the application is a search
    the records       what its searches found, the first search first; or the output of the steps of
                      one name, where the application searches in a way of its own
    the metadata      `sources` of the case: texts, or passages
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from onrecord.evaluation.trial import Trial
from onrecord.messages import Passage


def passages_of(trial: Trial, step: str | None = None) -> list[Passage] | None:
    """The passages of a trial, the best first; None where none are known of. `step`: the name of
    the steps that gave them."""
    if step is None and (found := _passages(trial.output)) is not None:
        return found
    if (found := searched(trial, step)) is not None:
        return found
    sources = trial.metadata.get("sources")
    if isinstance(sources, str | Mapping):
        sources = [sources]
    if step is None and isinstance(sources, list | tuple):
        return [_source(each, at) for at, each in enumerate(sources)]
    return None


def searched(trial: Trial, step: str | None = None) -> list[Passage] | None:
    """What the searches on record found, each passage once; None where no search is on record."""
    several = list(_searches(trial, step))
    if not several:
        return None
    found: dict[tuple[str, int, int], Passage] = {}
    for passages in several:
        for each in passages:
            found.setdefault((each.document_id, each.start, each.end), each)
    return list(found.values())


def _searches(trial: Trial, step: str | None) -> Iterator[list[Passage]]:
    for record in sorted(trial.steps, key=lambda each: each.started_ns):
        if step is not None:
            wanted = record.name == step
        else:  # a prompt looks for its examples with a search, too
            wanted = record.kind == "search" and not record.name.endswith(" demos")
        if wanted and (passages := _passages(record.output)) is not None:
            yield passages


def _passages(value: Any) -> list[Passage] | None:
    if isinstance(value, Mapping):
        value = value.get("passages")
    if not isinstance(value, list | tuple) or not all(isinstance(each, Mapping) for each in value):
        return None
    try:
        return msgspec.convert([{**_REST, **each} for each in value], list[Passage])
    except msgspec.ValidationError:
        return None


def _source(value: Any, at: int) -> Passage:
    if isinstance(value, Mapping):
        found = _passages([value])
        if found:
            return found[0]
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return Passage(f"source {at + 1}", "", text, 0, len(text), 1.0)


_REST = {"title": "", "text": "", "start": 0, "end": 0, "score": 0.0}
"""What a passage may lack: an application's own search need not know offsets."""
