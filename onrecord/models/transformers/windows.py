"""A text as a model with a head reads it: whole, or in windows that overlap, none of it cut off."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from onrecord.errors import ContextLengthError
from onrecord.models.http.failures import note
from onrecord.models.transformers.resident import CAREFUL, Network, Row, clean


class Token(NamedTuple):
    """Where in the text a token stands, in characters, and the number of the word that its
    tokenizer says it is of (None where it does not say)."""

    start: int
    end: int
    word: int | None


class Window(msgspec.Struct, frozen=True):
    """A part of a text's tokens, and the row that the model reads for it.

    `tokens` are the numbers of the text's tokens in it, which begin at the place `at` of the row.
    `own` are those of them that no other window sees more around: each token is one window's own.
    """

    row: Row
    at: int
    tokens: range
    own: range


def windows(
    network: Network, text: str, where: str, *, question: str | None = None
) -> tuple[list[Token], list[Window]]:
    """The tokens of a text, and the windows that it is read in, each with `question` beside it.

    Markers such as `</s>` in a text are read as words. The question stands first, or behind where
    the files pad on the left, as models are fine-tuned. Raises ContextLengthError for a question
    that leaves no room.
    """
    tokenizer, context = network.tokenizer, network.context or CAREFUL
    first = question is not None and tokenizer.padding_side == "right"
    beside = [] if question is None else [clean(question)]
    room = _room(network, context, beside, where)
    overlap = min(OVERLAP, room // 2)
    encoded = tokenizer(
        *([*beside, clean(text)] if first else [clean(text), *beside]),
        truncation="only_second" if first else "only_first",
        max_length=context,
        stride=overlap,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        **_AS_WORDS,
    )
    tokens: list[Token] = []
    parts: list[tuple[Row, int, range]] = []
    for number, spans in enumerate(encoded["offset_mapping"]):
        sides, words = encoded.sequence_ids(number), encoded.word_ids(number)
        places = [place for place, side in enumerate(sides) if side == int(first)]
        if places:
            names = [name for name in encoded if name in tokenizer.model_input_names]
            start = number * (room - overlap)
            parts.append(
                (
                    {name: encoded[name][number] for name in names},
                    places[0],
                    range(start, start + len(places)),
                )
            )
            tokens[start:] = [Token(spans[at][0], spans[at][1], words[at]) for at in places]
    own = _borders([held for _, _, held in parts])
    return tokens, [Window(*part, own[number]) for number, part in enumerate(parts)]


def _room(network: Network, context: int, beside: list[str], where: str) -> int:
    """How many of a text's tokens a window holds. Raises ContextLengthError."""
    room = context - network.tokenizer.num_special_tokens_to_add(bool(beside))
    for question in beside:
        ids = network.tokenizer(question, add_special_tokens=False, **_AS_WORDS)["input_ids"]
        room -= len(ids)
    if room < LEAST:
        raise note(
            ContextLengthError(
                f"the model reads {context} tokens, and the question leaves {max(room, 0)} of them"
                " for the text",
                where=where,
                cure="Ask a shorter question: nothing was cut off.",
            ),
            sent=False,
        )
    return int(room)


def _borders(parts: Sequence[range]) -> list[range]:
    """What is each part's own: neighbours meet in the middle of what both hold."""
    if not parts:
        return []
    middles = [(one.stop + other.start) // 2 for one, other in pairwise(parts)]
    return [range(*pair) for pair in pairwise([0, *middles, parts[-1].stop])]


_AS_WORDS = {"split_special_tokens": True, "verbose": False}
OVERLAP = 128
LEAST = 8
