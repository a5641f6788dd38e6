"""A model's own tokenizer, to look at: from a folder, from the Hub, or the embedded one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onrecord.errors import LoadError, UsageError
from onrecord.models.tokenizers.training import FastTokenizer

if TYPE_CHECKING:
    import tokenizers


def loaded(name: str) -> FastTokenizer:
    """The tokenizer of `embedded:minilm`, or of `hf:NAME_OR_FOLDER`.

    A folder with `tokenizer.json` needs nothing else, neither weights nor the extra `hf`. Raises
    LoadError for a file that is no tokenizer, and what `Source` raises for other names.
    """
    if name == "embedded:minilm":
        from onrecord.models.minilm import load_tokenizer

        return _seen(name, load_tokenizer())
    place = name.partition(":")[2]
    file = Path(place).expanduser() / "tokenizer.json"
    return _seen(name, _read(file) if file.is_file() else _from_transformers(name, place))


def _seen(name: str, own: tokenizers.Tokenizer) -> FastTokenizer:
    own.no_truncation()  # files often say 512 tokens, and what lies behind would be lost
    own.no_padding()
    return FastTokenizer(name, own, unknown=_unknown(own))


def _read(file: Path) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises no narrower one
        said = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise LoadError(f"this is no tokenizer: {said}", where=str(file)) from None


def _from_transformers(name: str, place: str) -> tokenizers.Tokenizer:
    from onrecord.models.transformers.loading import Source

    whole = Source(place).load_tokenizer()
    own: tokenizers.Tokenizer | None = getattr(whole, "backend_tokenizer", None)
    if own is None:
        raise UsageError(
            "this tokenizer is written in Python, and does not say which characters a token is",
            where=name,
            cure="Name a model with a tokenizer.json.",
        )
    return own


def _unknown(own: tokenizers.Tokenizer) -> str | None:
    """The token for what is not in the vocabulary; a unigram model knows it by its place only."""
    model: dict[str, Any] = json.loads(own.to_str())["model"]
    place = model.get("unk_id")
    if place is not None and isinstance(model.get("vocab"), list):
        return str(model["vocab"][place][0])
    token = model.get("unk_token")
    return None if token is None else str(token)
