"""Tokenizers to look at: what pieces they cut a text into, and how well they know it.

    compared = compare_tokenizers("Unbelievable!", ["word", "bpe"], train=corpus)
    compared.tokenizers[0].pieces, compared.tokenizers[0].measure.out_of_vocabulary

A tokenizer has a name. Five are trained here, on a text: see `training`. A model's own is loaded as
it is, and never trained: `hf:NAME_OR_FOLDER`, `embedded:minilm`: see `loading`.
Everything happens in this process; no model is asked, so nothing is recorded.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from onrecord.arguments import several
from onrecord.errors import UnknownNameError, UsageError
from onrecord.models.tokenizers.loading import loaded
from onrecord.models.tokenizers.pieces import Piece, Tokenizer
from onrecord.models.tokenizers.training import trained
from onrecord.sentences import sentence_spans

TRAINED = ("word", "char", "bpe", "wordpiece", "sentencepiece")


class Measure(msgspec.Struct, frozen=True):
    """How well a tokenizer knows a text.

    `words` are runs without white space, `characters` those that are not white space.
    `tokens_per_word`: tokens / words (also known as fertility); None where there is no word.
    `unknown_tokens`: the share of tokens that stand for something not in the vocabulary.
    `out_of_vocabulary`: the share of characters that lie in no known token, dropped ones included;
    unlike the share of tokens it can be compared between tokenizers. Both lie in 0 to 1, and are
    None where the text is the one that the tokenizer was trained on: it knows that one.
    """

    tokens: int
    words: int
    characters: int
    tokens_per_word: float | None
    unknown_tokens: float | None
    out_of_vocabulary: float | None


class Tokenized(msgspec.Struct, frozen=True):
    """One tokenizer on one text. `pieces` are those of the shown beginning of the text."""

    name: str
    vocabulary: int
    measure: Measure
    pieces: tuple[Piece, ...]


class Comparison(msgspec.Struct, frozen=True):
    """Tokenizers side by side. `measured` says in words on what the shares were measured."""

    text: str
    shown: str
    measured: str
    tokenizers: tuple[Tokenized, ...]
    notes: tuple[str, ...]


def compare_tokenizers(
    text: str,
    names: Sequence[str] = TRAINED,
    *,
    train: str | None = None,
    vocabulary: int = 1000,
    show: int = 400,
) -> Comparison:
    """Cut a text with each of the tokenizers, and measure how well they know it.

    Those of `TRAINED` learn at most `vocabulary` tokens from `train`, else from `text` itself.
    Then the pieces shown (of the first `show` characters) are those of tokenizers that have read
    all of it, and the measure is that of others that have read four fifths, on the last fifth:
    every fifth line, sentence or word, the first of these of which there are ten. Of a shorter text
    no share is known.

    Of a text over a million characters as many are read, in parts that are evenly spread; the notes
    say so. Raises UsageError for an empty text and for a vocabulary that is too small,
    UnknownNameError, and MissingExtraError for sentencepiece without the extra `look`.
    """
    names = tuple(dict.fromkeys(several(names, "names of tokenizers", texts=True)))
    for name in names:
        check_name(name)
    if not names:
        raise UsageError("no tokenizer is named", cure=f"Name some of {', '.join(TRAINED)}.")
    _need_words(text, "the text")
    if train is not None:
        _need_words(train, "the text to train on")
    read, learned = thinned(text), thinned(text if train is None else train)
    learns = train is None and any(name in TRAINED for name in names)
    kept, held = split(read) if learns else ([], [])
    beginning = _beginning(text, show)
    measured = held or _units(read)
    done = [
        _look(name, beginning, measured, kept if held else None, learned, vocabulary)
        for name in names
    ]
    if learns and not held:  # it would be a measure of nothing
        done = [_unmeasured(each) if each.name in TRAINED else each for each in done]
    return Comparison(
        text=beginning,
        shown="the whole text" if len(text) <= show else f"the first {len(beginning):,} characters",
        measured=_on_what(learns, kept, held),
        tokenizers=tuple(done),
        notes=(*_left_out(text, read), *_left_out(train, learned), *_notes(done, vocabulary)),
    )


def tokenizer(name: str, text: str = "", *, vocabulary: int = 1000) -> Tokenizer:
    """The tokenizer of a name; those of `TRAINED` are trained on `text`.

    Raises UnknownNameError, UsageError and MissingExtraError, as `compare_tokenizers` does.
    """
    check_name(name)
    if name in TRAINED:
        _need_words(text, "the text to train on")
        return trained(name, _units(text), vocabulary)
    return loaded(name)


def check_name(name: str) -> None:
    """Raise UnknownNameError for a name that no tokenizer has, with the closest one."""
    provider, _, rest = name.partition(":")
    if name in (*TRAINED, "embedded:minilm") or (provider == "hf" and rest.strip()):
        return
    there = (*TRAINED, "embedded:minilm")
    close = difflib.get_close_matches(name.lower(), there, 1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    raise UnknownNameError(
        f"there is no tokenizer '{name}'",
        cure=f"{hint}There are {', '.join(there)}, hf:NAME_OR_FOLDER.",
    )


def measure(tokenizer: Tokenizer, texts: Iterable[str]) -> Measure:
    """How well a tokenizer knows these texts, together."""
    tokens = words = characters = unknown = outside = 0
    for text in texts:
        pieces = tokenizer.cut(text).pieces
        tokens += len(pieces)
        words += len(text.split())
        unknown += sum(not piece.known for piece in pieces)
        characters += _visible(text)
        outside += _outside(text, pieces)
    return Measure(
        tokens=tokens,
        words=words,
        characters=characters,
        tokens_per_word=tokens / words if words else None,
        unknown_tokens=unknown / tokens if tokens else None,
        out_of_vocabulary=outside / characters if characters else None,
    )


def split(text: str) -> tuple[list[str], list[str]]:
    """Four fifths of a text to train on, and a fifth to measure on; ([], []) for a short one.

    Every fifth line is held out, else every fifth sentence, else every fifth word: of what there
    are ten or more that are not blank.
    """
    for units in (_units(text), [text[i:j] for i, j in sentence_spans(text)], text.split()):
        units = [unit for unit in units if not unit.isspace()]
        if len(units) >= _FEWEST:
            held = units[_EVERY - 1 :: _EVERY]
            return [unit for at, unit in enumerate(units) if at % _EVERY != _EVERY - 1], held
    return [], []


def thinned(text: str) -> str:
    """The text; of a long one about `_READ` characters, in lines that are evenly spread."""
    if len(text) <= _READ:
        return text
    units = _units(text)
    step = -(-len(text) // _READ)
    return "".join(units[::step]) if len(units) >= _FEWEST * step else text[:_READ]


def _left_out(text: str | None, read: str) -> tuple[str, ...]:
    if text is None or len(read) == len(text):
        return ()
    return (f"{len(read):,} of {len(text):,} characters are read, in parts evenly spread",)


def _look(
    name: str,
    shown: str,
    measured: Sequence[str],
    kept: Sequence[str] | None,
    train: str,
    vocabulary: int,
) -> Tokenized:
    whole = tokenizer(name, train, vocabulary=vocabulary)
    measuring = whole
    if kept is not None and name in TRAINED:
        measuring = trained(name, kept, vocabulary)
    pieces = whole.cut(shown).pieces
    return Tokenized(name, whole.vocabulary, measure(measuring, measured), pieces)


def _unmeasured(found: Tokenized) -> Tokenized:
    replace = msgspec.structs.replace
    own = replace(found.measure, unknown_tokens=None, out_of_vocabulary=None)
    return replace(found, measure=own)


def _notes(done: Sequence[Tokenized], vocabulary: int) -> tuple[str, ...]:
    small = [
        each.name for each in done if each.name in TRAINED and each.vocabulary < vocabulary * _ABOUT
    ]
    if not small:
        return ()
    return (f"the text has too little for {vocabulary:,} tokens of {', '.join(small)}",)


def _on_what(learns: bool, kept: Sequence[str], held: Sequence[str]) -> str:
    if not learns:
        return "measured on the text"
    if not held:
        return "trained on the text itself, which is too short to hold a part of it out"
    return f"measured on {len(held):,} of {len(kept) + len(held):,} parts, not trained on"


def _units(text: str) -> list[str]:
    """The lines of a text, their ends included; one that is long is cut before white space.

    Together they are the text.
    """
    return list(_cut_lines(text))


def _cut_lines(text: str) -> Iterator[str]:
    for line in text.splitlines(keepends=True):
        start = 0
        while len(line) - start > _LONGEST:
            end = start + _LONGEST
            space = next(_SPACE_LAST.finditer(line[start:end][::-1]), None)
            if space is not None and space.end() < _LONGEST:
                end -= space.end()
            yield line[start:end]
            start = end
        if start < len(line):
            yield line[start:]


def _beginning(text: str, show: int) -> str:
    """At most `show` characters, and no half word at their end where there is white space."""
    if len(text) <= show or text[show].isspace():
        return text[:show]
    space = _SPACE_LAST.search(text[:show][::-1])
    return text[: show - space.start()] if space and space.start() < show - 1 else text[:show]


def _visible(text: str) -> int:
    return sum(not letter.isspace() for letter in text)


def _outside(text: str, pieces: Iterable[Piece]) -> int:
    """The characters, white space aside, that lie in no known piece."""
    inside = bytearray(len(text))
    for piece in pieces:
        if piece.known:
            inside[piece.start : piece.end] = b"\1" * (piece.end - piece.start)
    return sum(not (known or text[at].isspace()) for at, known in enumerate(inside))


def _need_words(text: str, what: str) -> None:
    if not isinstance(text, str):
        raise UsageError(f"{what} is {text!r:.80} and no text", cure="Give a str.")
    if not text.strip():
        raise UsageError(f"{what} is empty", cure="Give words, a file of them, or - for stdin.")


_FEWEST, _EVERY = 10, 5
_ABOUT = 0.99  # the trainer of wordpiece may stop just short of the size
_LONGEST = 10_000
_READ = 1_000_000
_SPACE_LAST = re.compile(r"\s")
