"""Small tokenizers, trained on a text in this process.

| name | how it cuts | lost |
|---|---|---|
| `word` | words and runs of signs, whole | white space; words it has not seen |
| `char` | one character a token | characters it has not seen |
| `bpe` | byte pairs, merged by frequency, as in GPT-2 | nothing: every byte is a token |
| `wordpiece` | the longest known beginnings of a word, `##` inside it, as in BERT | white space; words with a character it has not seen |
| `sentencepiece` | the likeliest pieces (unigram), spaces as `▁`, as in T5 | line breaks; characters it has not seen |

Sources: Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units" (ACL
2016) for `bpe`; Schuster and Nakajima, "Japanese and Korean Voice Search" (ICASSP 2012) for
`wordpiece`; Kudo, "Subword Regularization" (ACL 2018) for `sentencepiece`. No text is changed first
(no lower case, no Unicode normal form), so that the pieces are the text's own characters.
"""  # noqa: E501  # a table has rows

from __future__ import annotations

import importlib.util
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from onrecord.errors import MissingExtraError, UsageError
from onrecord.models.minilm import SURROGATES
from onrecord.models.tokenizers.pieces import Piece, Pieces, Tokenizer

if TYPE_CHECKING:
    import tokenizers

UNKNOWN = "[UNK]"


def trained(name: str, texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """A tokenizer of at most `vocabulary` tokens, trained on texts that are not all blank.

    A text that has too little for them gives fewer. Raises UsageError for a vocabulary that is too
    small, and MissingExtraError for sentencepiece without the extra `look`.
    """
    least = _LEAST.get(name, _FEWEST)
    if vocabulary < least:
        why = " (each of the 256 bytes is a token)" if name == "bpe" else ""
        raise UsageError(
            f"{name} cannot have a vocabulary of {vocabulary:,}: it needs {least} tokens{why}",
            cure=f"Give --vocabulary {least} or more.",
        )
    if vocabulary > _MOST:
        raise UsageError(
            f"a vocabulary of {vocabulary:,} is larger than any model's",
            cure=f"Give --vocabulary {_MOST} or less.",
        )
    texts = [SURROGATES.sub("\ufffd", text) for text in texts]
    if name == "sentencepiece":
        return SentencePiece(texts, vocabulary)
    return FastTokenizer(name, _MAKERS[name](texts, vocabulary), unknown=UNKNOWN)


class FastTokenizer:
    """A tokenizer of the `tokenizers` library, seen as pieces.

    `unknown` is its token for what is not in the vocabulary, None where it has none.
    """

    def __init__(self, name: str, own: tokenizers.Tokenizer, *, unknown: str | None) -> None:
        self.name = name
        self.own = own
        self.vocabulary = own.get_vocab_size()
        self._unknown = own.token_to_id(unknown) if unknown is not None else None

    def cut(self, text: str) -> Pieces:
        """The pieces of a text; half a surrogate pair counts as U+FFFD."""
        found = self.own.encode(SURROGATES.sub("\ufffd", text), add_special_tokens=False)
        cut = zip(found.tokens, found.ids, found.offsets, strict=True)
        pieces = (Piece(token, *span, id != self._unknown) for token, id, span in cut)
        return Pieces(text, tuple(pieces))


class SentencePiece:
    """A unigram model of the `sentencepiece` library, trained on lines."""

    name = "sentencepiece"

    def __init__(self, texts: Sequence[str], vocabulary: int) -> None:
        if importlib.util.find_spec("sentencepiece") is None:
            raise MissingExtraError(
                "the tokenizer 'sentencepiece' needs the package of that name",
                cure="Install it with `pip install 'onrecord[look]'`, or leave it out of --with.",
            )
        import sentencepiece

        self.own: Any = sentencepiece.SentencePieceProcessor(model_proto=_model(texts, vocabulary))
        self.vocabulary = int(self.own.get_piece_size())
        self._unknown = int(self.own.unk_id())

    def cut(self, text: str) -> Pieces:
        """The pieces of a text, line by line, as it was trained."""
        pieces: list[Piece] = []
        start = 0
        for line in SURROGATES.sub("\ufffd", text).split("\n"):
            found = self.own.encode(line, return_type="offset_mapping")
            pieces += (
                Piece(token, start + span[0], start + span[1], id != self._unknown)
                for token, id, span in zip(
                    found["pieces"], found["ids"], found["offsets"], strict=True
                )
            )
            start += len(line) + 1
        return Pieces(text, tuple(pieces))


def _model(texts: Iterable[str], vocabulary: int) -> bytes:
    import sentencepiece

    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocabulary,
            hard_vocab_limit=False,
            character_coverage=_coverage(lines, vocabulary),
            # The text as it is, so that every character lies in a piece.
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=1 << 20,
            num_threads=1,
            minloglevel=3,
        )
    except RuntimeError as error:
        raise _clear(error, vocabulary) from None
    return model.getvalue()


def _clear(error: RuntimeError, vocabulary: int) -> UsageError:
    need = re.search(r"required_chars.*? \d+ vs (\d+)", str(error), re.DOTALL)
    if need is not None:
        return UsageError(
            f"sentencepiece cannot have a vocabulary of {vocabulary:,}: the text has so many "
            f"different characters that it needs {int(need[1]):,} tokens",
            cure=f"Give --vocabulary {need[1]} or more, or leave it out of --with.",
        )
    said = str(error).partition("] ")[2].strip() or str(error)
    return UsageError(
        f"sentencepiece cannot be trained on this text: {said.splitlines()[0][:160].rstrip('.')}",
        cure="Give more text, or leave it out of --with.",
    )


def _coverage(lines: Sequence[str], vocabulary: int) -> float:
    """The share of a text that its characters in the vocabulary make up: sentencepiece's default,
    or what half of the vocabulary can hold; 0.98 is the least it takes."""
    counts = Counter(letter for line in lines for letter in line)
    common = sum(count for _, count in counts.most_common(vocabulary // 2))
    return max(0.98, min(0.9995, common / counts.total()))


def _word(texts: Iterable[str], vocabulary: int) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    own = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    return _taught(own, trainers.WordLevelTrainer, texts, vocabulary)


def _char(texts: Iterable[str], vocabulary: int) -> tokenizers.Tokenizer:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    own = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    own.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return _taught(own, trainers.WordLevelTrainer, texts, vocabulary)


def _bpe(texts: Iterable[str], vocabulary: int) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    own.train_from_iterator(texts, trainer)
    return own


def _wordpiece(texts: Iterable[str], vocabulary: int) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    own = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    own.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # A character is in the vocabulary twice: at the beginning of a word, and inside one. The
    # trainer would exceed the size asked for rather than leave one out.
    alphabet = (vocabulary - 1) // 2
    return _taught(own, trainers.WordPieceTrainer, texts, vocabulary, limit_alphabet=alphabet)


def _taught(
    own: tokenizers.Tokenizer,
    trainer: Callable[..., Any],
    texts: Iterable[str],
    vocabulary: int,
    **more: int,
) -> tokenizers.Tokenizer:
    own.train_from_iterator(
        texts,
        trainer(vocab_size=vocabulary, special_tokens=[UNKNOWN], show_progress=False, **more),
    )
    return own


_MAKERS = {"word": _word, "char": _char, "bpe": _bpe, "wordpiece": _wordpiece}
_FEWEST = 10
_LEAST = {"bpe": 256}
_MOST = 1_000_000
