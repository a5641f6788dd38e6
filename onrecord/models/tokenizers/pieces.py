"""What a tokenizer makes of a text: pieces, each with the characters that it stands for."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Piece(msgspec.Struct, frozen=True):
    """A token, and the characters `text[start:end]` that it stands for.

    Tokens of a part of a character (bytes of an emoji) share it; a token that stands for no
    character of the text (SentencePiece's first "▁") has an empty span. `known`: it is in the
    vocabulary, and not the token for whatever is not.
    """

    token: str
    start: int
    end: int
    known: bool


class Pieces(msgspec.Struct, frozen=True):
    """A text cut by a tokenizer. The spans ascend; what lies between them was dropped."""

    text: str
    pieces: tuple[Piece, ...]


class Tokenizer(Protocol):
    """Whatever cuts a text into pieces.

    `vocabulary` is how many tokens there are, special ones included.
    """

    name: str
    vocabulary: int

    def cut(self, text: str) -> Pieces:
        """The pieces of a text, without special tokens around them."""
