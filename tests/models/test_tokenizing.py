"""Pieces and their characters, shares counted by hand, and the libraries' own tokenizers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.errors import LoadError, MissingExtraError, UnknownNameError, UsageError
from onrecord.models.minilm import SURROGATES, MiniLM
from onrecord.models.tokenizers.pieces import Tokenizer
from onrecord.models.tokenizers.tokenizing import (
    TRAINED,
    compare_tokenizers,
    measure,
    split,
    tokenizer,
)
from onrecord.models.tokenizers.training import FastTokenizer, SentencePiece

CORPUS = (
    "The lower house is the newest one.\nA lowest price, a widest road: 12.50 €, née, 日本語 🙂.\n"
    "\tThe newest road is wider  than the lower one.\n"
) * 20
NAMES = (*TRAINED, "embedded:minilm")


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    return {name: tokenizer(name, CORPUS, vocabulary=300) for name in NAMES}


TEXTS = st.text(st.sampled_from("Thelowr nst.\n\t€é日🙂x\u0301\ud800\x00▁") | st.characters())


@given(text=TEXTS)
@settings(max_examples=150, deadline=None)
def test_spans_ascend_and_lie_in_the_text(tokenizers: dict[str, Tokenizer], text: str) -> None:
    for name in NAMES:
        found = tokenizers[name].cut(text)
        assert found.text == text
        starts = [piece.start for piece in found.pieces]
        assert starts == sorted(starts), name
        assert all(0 <= piece.start <= piece.end <= len(text) for piece in found.pieces), name


@given(text=TEXTS)
@settings(max_examples=150, deadline=None)
def test_what_is_lossless_covers_the_text(tokenizers: dict[str, Tokenizer], text: str) -> None:
    for name, dropped in (("char", ""), ("bpe", ""), ("sentencepiece", "\n")):
        inside = {
            at
            for piece in tokenizers[name].cut(text).pieces
            for at in range(piece.start, piece.end)
        }
        outside = {text[at] for at in range(len(text)) if at not in inside}
        assert outside <= set(dropped), name
    for name in ("word", "wordpiece"):  # all but white space and what separates like it
        pieces = tokenizers[name].cut("The newest, 日本!").pieces
        assert "".join("The newest, 日本!"[p.start : p.end] for p in pieces) == "Thenewest,日本!"


def test_a_known_token_is_its_characters(tokenizers: dict[str, Tokenizer]) -> None:
    text = "The lower road, née 日本語 🙂"
    for name in ("word", "char"):
        for piece in tokenizers[name].cut(text).pieces:
            assert not piece.known or piece.token == text[piece.start : piece.end]
    for piece in tokenizers["wordpiece"].cut(text).pieces:
        assert not piece.known or piece.token.removeprefix("##") == text[piece.start : piece.end]
    for piece in tokenizers["sentencepiece"].cut(text).pieces:
        if piece.known and piece.end > piece.start:
            said = piece.token.replace("▁", " ")
            assert said.removeprefix(" " * (piece.start == 0)) == text[piece.start : piece.end]


def test_bytes_of_one_character_share_it() -> None:
    pieces = tokenizer("bpe", "plain words only", vocabulary=256).cut("a🙂").pieces
    assert [(piece.start, piece.end) for piece in pieces] == [(0, 1), *[(1, 2)] * 4]
    assert all(piece.known for piece in pieces)


@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_the_same_tokens_as_the_library(tokenizers: dict[str, Tokenizer], text: str) -> None:
    clean = SURROGATES.sub("?", text)  # the libraries take none of these
    for name in ("word", "char", "bpe", "wordpiece", "embedded:minilm"):
        ours = tokenizers[name]
        assert isinstance(ours, FastTokenizer)
        theirs = ours.own.encode(clean, add_special_tokens=False)
        assert [piece.token for piece in ours.cut(clean).pieces] == theirs.tokens
    ours = tokenizers["sentencepiece"]
    assert isinstance(ours, SentencePiece)
    said = [token for line in clean.split("\n") for token in ours.own.encode(line, out_type=str)]
    assert [piece.token for piece in ours.cut(clean).pieces] == said


def test_minilm_has_the_spans_of_the_embedder() -> None:
    text = "Ünbelievable tokenizers, 日本 🙂"
    pieces = tokenizer("embedded:minilm").cut(text).pieces
    assert [(piece.start, piece.end) for piece in pieces] == MiniLM().tokens(text)
    assert [text[piece.start : piece.end] for piece in pieces if not piece.known] == ["🙂"]


def test_shares_counted_by_hand() -> None:
    words = tokenizer("word", "low lower newest", vocabulary=100)
    found = measure(words, ["low widest low", "newest xx"])
    # Tokens low [widest] low newest [xx]; characters 3 [6] 3 6 [2].
    assert (found.tokens, found.words, found.characters) == (5, 5, 20)
    assert found.unknown_tokens == 2 / 5
    assert found.out_of_vocabulary == 8 / 20
    assert found.tokens_per_word == 1.0
    letters = measure(tokenizer("char", "low lower newest", vocabulary=100), ["low widest"])
    # l o w, a space, w [i] [d] e s t.
    assert (letters.tokens, letters.words, letters.characters) == (10, 2, 9)
    assert letters.unknown_tokens == 2 / 10
    assert letters.out_of_vocabulary == 2 / 9
    nothing = measure(words, [""])
    assert nothing.tokens_per_word is nothing.unknown_tokens is nothing.out_of_vocabulary is None


def test_a_dropped_character_counts_as_unknown() -> None:
    from tokenizers import Tokenizer as Library
    from tokenizers import models

    own = Library(models.BPE({"a": 0, "b": 1}, []))  # it leaves out what it does not know
    found = measure(FastTokenizer("own", own, unknown=None), ["abxx"])
    assert (found.tokens, found.unknown_tokens, found.out_of_vocabulary) == (2, 0.0, 0.5)


def test_a_fifth_is_held_out() -> None:
    lines = [f"line {at}\n" for at in range(10)]
    kept, held = split("".join(lines))
    assert held == [lines[4], lines[9]] and sorted(kept + held) == sorted(lines)
    assert split("One. " * 9 + "Ten.")[1] == ["One.", "Ten."]
    assert split("a b c d e f g h i j")[1] == ["e", "j"]
    assert split("too short a text") == ([], [])


def test_the_rate_is_that_of_the_held_out_part() -> None:
    text = "\n".join("known words only" if at % 5 != 4 else "something else" for at in range(20))
    compared = compare_tokenizers(text, ["word"], vocabulary=50)
    word = compared.tokenizers[0]
    assert word.measure.out_of_vocabulary == 1.0  # though all of it is known to the one shown
    assert all(piece.known for piece in word.pieces)
    assert compared.measured == "measured on 4 of 20 parts, not trained on"
    assert word.vocabulary == 6
    assert compared.notes == ("the text has too little for 50 tokens of word",)


def test_a_short_text_has_no_rate_and_a_model_has_one() -> None:
    compared = compare_tokenizers("low 🙂", ["word", "embedded:minilm"])
    own, model = compared.tokenizers
    assert own.measure.out_of_vocabulary is None and own.measure.tokens_per_word == 1.0
    assert model.measure.out_of_vocabulary == 1 / 4
    assert "too short" in compared.measured


def test_trained_on_another_text() -> None:
    compared = compare_tokenizers("low widest", ["word"], train="low lower newest")
    assert compared.tokenizers[0].measure.out_of_vocabulary == 6 / 9
    assert compared.measured == "measured on the text"


def test_no_half_word_is_shown() -> None:
    assert compare_tokenizers("first second " * 30, ["word"], show=10).text == "first "
    assert compare_tokenizers("x" * 50, ["char"], show=10).text == "x" * 10


def test_a_line_of_megabytes() -> None:
    line = " ".join(f"word{number} is {number % 100}" for number in range(400_000))[:5_000_000]
    compared = compare_tokenizers(line, ["word", "sentencepiece"], vocabulary=500)
    word, unigram = compared.tokenizers
    assert word.measure.words > 20_000 and 0.3 < (word.measure.unknown_tokens or 0) < 0.4
    assert unigram.measure.out_of_vocabulary == 0
    assert "of 5,000,000 characters are read, in parts evenly spread" in compared.notes[0]


def test_a_model_folder(tmp_path: Path) -> None:
    own = tokenizer("wordpiece", CORPUS, vocabulary=200)
    assert isinstance(own, FastTokenizer)
    own.own.enable_truncation(3)
    own.own.enable_padding(length=64)
    own.own.save(str(tmp_path / "tokenizer.json"))
    again = tokenizer(f"hf:{tmp_path}")
    assert (again.name, again.vocabulary) == (f"hf:{tmp_path}", own.vocabulary)
    own.own.no_truncation()
    own.own.no_padding()
    text = "The lowest price of 🦜 is lower than the newest"
    assert again.cut(text) == own.cut(text)
    assert not all(piece.known for piece in again.cut(text).pieces)


def test_a_unigram_model_says_what_it_does_not_know(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Library
    from tokenizers import models

    own = Library(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0, byte_fallback=False))
    own.save(str(tmp_path / "tokenizer.json"))
    assert [piece.known for piece in tokenizer(f"hf:{tmp_path}").cut("ab").pieces] == [True, False]


@pytest.mark.parametrize(
    ("error", "said", "name", "text", "vocabulary"),
    [
        (UnknownNameError, "Did you mean 'wordpiece'?", "wordpeice", "a b", 100),
        (UnknownNameError, "there is no tokenizer 'hf:'. There are word", "hf:", "a b", 100),
        (UsageError, "the text to train on is empty", "word", " \n", 100),
        (UsageError, "each of the 256 bytes is a token", "bpe", "a b", 255),
        (UsageError, "needs 10 tokens", "wordpiece", "a b", 9),
        (UsageError, "larger than any model's", "word", "a b", 10**9),
        (UsageError, "so many different characters", "sentencepiece", "abcdefghijklmn", 12),
    ],
)
def test_what_is_refused(
    error: type[Exception], said: str, name: str, text: str, vocabulary: int
) -> None:
    with pytest.raises(error, match=said.replace("?", r"\?")):
        tokenizer(name, text, vocabulary=vocabulary)


def test_one_name_is_not_taken_for_its_letters() -> None:
    with pytest.raises(UsageError, match=r"several, not one: 'word'\. Write \['word'\]"):
        compare_tokenizers("a b", "word")
    with pytest.raises(UsageError, match="the text is 5 and no text"):
        compare_tokenizers(5, ["word"])  # type: ignore[arg-type]  # that is the test


def test_a_broken_tokenizer_file(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(LoadError, match="this is no tokenizer"):
        tokenizer(f"hf:{tmp_path}")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sentencepiece" else find(name)
    )
    with pytest.raises(MissingExtraError, match=r"pip install 'onrecord\[look\]'"):
        compare_tokenizers("a b c", ["sentencepiece"])
    assert compare_tokenizers("a b c", ["word"]).tokenizers[0].vocabulary == 4
