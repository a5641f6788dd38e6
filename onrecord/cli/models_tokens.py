"""`onrecord models tokens`: what tokenizers make of a text, side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onrecord.cli.output import AsJson, complain, print_json, say
from onrecord.cli.records_screen import say_line, say_table, width
from onrecord.errors import UsageError
from onrecord.records.views.drawing import Piece as Words
from onrecord.records.views.drawing import padded, wide
from onrecord.records.views.wording import flat, visible

if TYPE_CHECKING:
    from onrecord.models.tokenizers.pieces import Piece
    from onrecord.models.tokenizers.tokenizing import Comparison, Tokenized

With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        help="word, char, bpe, wordpiece, sentencepiece (trained here), or a model's own: "
        "embedded:minilm, hf:NAME_OR_FOLDER. With commas between them, or repeated.",
        show_default="the five trained here",
    ),
]


def show_tokens(
    text: Annotated[
        str,
        typer.Argument(
            help="A text, a file, or - for standard input.",
            metavar="TEXT|FILE|-",
            show_default=False,
        ),
    ],
    with_: With = None,
    train: Annotated[
        Path | None,
        typer.Option(help="Train on this file instead of the text.", show_default=False),
    ] = None,
    vocabulary: Annotated[
        int, typer.Option(help="How many tokens those trained here may have.", min=1)
    ] = 1000,
    show: Annotated[
        int, typer.Option(help="Show the pieces of so many characters.", min=1, max=100_000)
    ] = 400,
    json: AsJson = False,
) -> None:
    """Cut a text with several tokenizers: their pieces, vocabulary, unknown share, tokens a word.

    Without --train, a fifth of the text is held out, and the rates are measured on it.
    For example: `onrecord models tokens "Unbelievable!" --with word,bpe --train handbook/leave.md`
    """
    from onrecord.models.tokenizers.tokenizing import TRAINED, compare_tokenizers

    given = text_of(text)
    compared = compare_tokenizers(
        given,
        names_in(with_) or TRAINED,
        train=None if train is None else read_file(train),
        vocabulary=vocabulary,
        show=show,
    )
    if json:
        print_json(compared)
        return
    _say_numbers(compared)
    say()
    for each in compared.tokenizers:
        _say_pieces(each, compared.text, max(len(flat(one.name)) for one in compared.tokenizers))
    say(_legend(compared))
    for note in compared.notes:
        complain(f"note: {flat(note)}")


def names_in(given: Sequence[str] | None) -> list[str]:
    """The names that an option was given, by repeating it or with commas between them."""
    names = [name.strip() for each in given or () for name in each.split(",")]
    if given and not any(names):
        raise UsageError("--with names nothing", cure="Name some, with commas between them.")
    return [name for name in names if name]


def text_of(given: str) -> str:
    """The text that an argument stands for: a file's, that of standard input (-), or itself.

    Raises UsageError for an empty one, LoadError for a file that is no text.
    """
    if given == "-":
        return _decoded(sys.stdin.buffer.read(), "standard input")
    try:
        is_file, is_folder = Path(given).is_file(), Path(given).is_dir()
    except (OSError, ValueError):  # too long for a name, or with a NUL in it
        is_file = is_folder = False
    if is_file:
        return read_file(Path(given))
    if is_folder and given:
        raise UsageError("this is a folder", where=given, cure="Name a file in it.")
    if given and len(given.split()) == 1 and Path(given).suffix in _SUFFIXES:
        raise UsageError(
            "there is no such file",
            where=given,
            cure="Check its name; to cut these words themselves, give them on standard input (-).",
        )
    return given


def read_file(path: Path) -> str:
    """The text of a file. Raises UsageError where there is none, LoadError where it is no text."""
    from onrecord.retrieval.loading.encoding import read_bytes
    from onrecord.settings import Settings

    if not path.exists():
        raise UsageError("there is no such file", where=str(path), cure="Look at its name.")
    if path.is_dir():
        raise UsageError("this is a folder", where=str(path), cure="Name a file in it.")
    limit = int(Settings.load().max_file_mb * 1e6)
    return _decoded(read_bytes(path, limit), str(path))


def _decoded(data: bytes, where: str) -> str:
    from onrecord.retrieval.loading.encoding import decode

    if not data.strip():
        raise UsageError("there is nothing in it", where=where, cure="Give it some words.")
    return decode(data, where).text


def _say_numbers(compared: Comparison) -> None:
    heads = ("tokenizer", "vocabulary", "tokens", "tokens a word", "unknown tokens", "oov")
    rows = [
        (
            each.name,
            f"{each.vocabulary:,}",
            f"{each.measure.tokens:,}",
            _number(each.measure.tokens_per_word),
            _share(each.measure.unknown_tokens),
            _share(each.measure.out_of_vocabulary),
        )
        for each in compared.tokenizers
    ]
    say_table(heads, rows, left=1)
    say(f"{compared.measured}; oov: the share of characters that no known token holds")


def _say_pieces(each: Tokenized, text: str, name: int) -> None:
    """The name, and beside it the pieces, wrapped at the width of the terminal."""
    room = max(width() - name - 2, 20)
    for at, line in enumerate(_lines(list(_shown(each.pieces, text)), room)):
        label = padded(flat(each.name) if at == 0 else "", name)
        say_line([Words(label, "bold"), Words("  "), *line])


def _shown(pieces: Sequence[Piece], text: str) -> Iterator[Words]:
    """What stands for each piece; two looks take turns, and an unknown one has a third."""
    end = 0
    for at, piece in enumerate(pieces):
        if piece.start > end:
            dropped = text[end : piece.start]
            yield Words(" " if dropped.isspace() else f" ({_seen(dropped)}) ", "dim")
        elif at:
            yield Words("│", "dim")
        words = _seen(text[max(piece.start, end) : piece.end]) or "+"
        end = max(end, piece.end)
        style = "" if at % 2 else "bar"
        yield Words(f"[{words}?]", "bad") if not piece.known else Words(words, style)  # type: ignore[arg-type]  # one of the two


def _lines(words: Sequence[Words], room: int) -> Iterator[list[Words]]:
    line: list[Words] = []
    used = 0
    for each in (part for word in words for part in _parts(word, room)):
        if used + wide(each.text) > room and line:
            yield line
            line, used = [], 0
            if each.text == " ":
                continue
        line.append(each)
        used += wide(each.text)
    if line:
        yield line


def _parts(words: Words, room: int) -> Iterator[Words]:
    """The words, cut where they are longer than a line."""
    text = words.text
    while wide(text) > room:
        end = room
        while wide(text[:end]) > room:
            end -= 1
        yield Words(text[:end], words.style)
        text = text[end:]
    yield Words(text, words.style)


def _seen(text: str) -> str:
    """A text with its white space to be seen: a space as a dot, line ends and tabs as arrows."""
    return visible(text).replace(" ", "·").replace("\t", "⇥").replace("\n", "↵")


def _legend(compared: Comparison) -> str:
    said = f"{compared.shown}; · space, ↵ line end, blank: dropped white space"
    everything = [piece for each in compared.tokenizers for piece in each.pieces]
    if any(not piece.known for piece in everything):
        said += ", [x?] not in the vocabulary"
    ends = [
        piece.start == piece.end or (at > 0 and each.pieces[at - 1].end > piece.start)
        for each in compared.tokenizers
        for at, piece in enumerate(each.pieces)
    ]
    if any(ends):
        said += ", + a further token of the same character, or of none"
    return said


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


_SUFFIXES = {".txt", ".md", ".rst", ".csv", ".tsv", ".jsonl", ".json", ".html", ".log"}
