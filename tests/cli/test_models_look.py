"""`onrecord models tokens` and `onrecord models map`, as a user meets them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.test_bad_input import refused
from tests.cli.test_commands import onrecord, printed

CSV = """text,kind,stars
The train to Rome was <b>late</b>,travel,2
A cheap flight to Rome,travel,4
"Boil the pasta, then salt it",food,5
Fry the onions in butter,food,4
"""
LINES = "\n".join(f"The lower house is number {at}." for at in range(20))


@pytest.fixture
def table(project: Path) -> Path:
    (project / "reviews.csv").write_text(CSV)
    return project / "reviews.csv"


def test_tokens_side_by_side() -> None:
    Path("corpus.txt").write_text("low lower lowest newest widest\n" * 10)
    done = onrecord(
        *("models", "tokens", "low  wide\tnew", "--train", "corpus.txt"),
        *("--with", "word,char", "--with", "bpe", "--vocabulary", "300"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "tokenizer  vocabulary  tokens  tokens a word  unknown tokens     oov",
        "word                6       3           1.00          66.7 %  70.0 %",
        "char               13      13           4.33           7.7 %   0.0 %",
        "bpe               272       9           3.00           0.0 %   0.0 %",
        "measured on the text; oov: the share of characters that no known token holds",
        "",
        "word  low [wide?] [new?]",
        "char  l│o│w│·│·│w│i│d│e│[⇥?]│n│e│w",
        "bpe   low│·│·│w│i│d│e│⇥│new",
        "the whole text; · space, ↵ line end, blank: dropped white space, "
        "[x?] not in the vocabulary",
    ]


def test_tokens_as_json() -> None:
    Path("text.txt").write_text(LINES)
    found = printed("models", "tokens", "text.txt", "--with", "word,bpe", "--show", 20)
    assert list(found) == ["text", "shown", "measured", "tokenizers", "notes"]
    assert found["measured"] == "measured on 4 of 20 parts, not trained on"
    word = found["tokenizers"][0]
    assert list(word["measure"])[-2:] == ["unknown_tokens", "out_of_vocabulary"]
    # 4, 9, 14 and 19 are held out, each one of the sentence's seven tokens.
    assert word["measure"]["unknown_tokens"] == 4 / 28
    assert word["pieces"][1] == {"token": "lower", "start": 4, "end": 9, "known": True}
    assert found["text"] == "The lower house is "


def test_tokens_from_standard_input_and_of_a_model() -> None:
    done = onrecord("models", "tokens", "-", "--with", "embedded:minilm", input="tokenizers 🙂\n")
    assert done.returncode == 0, done.stderr
    assert "token│izer│s [🙂?]" in done.stdout and "30,522" in done.stdout


def test_a_piece_longer_than_a_line_is_wrapped() -> None:
    narrow = {**os.environ, "COLUMNS": "60"}
    for word, lengths in (("x" * 120, [60, 60, 18]), ("語" * 60, [33, 33, 12])):
        tokens = ("models", "tokens", word, "--with", "word", "--show", 300)
        done = onrecord(*tokens, env=narrow)
        lines = done.stdout.splitlines()[4:-1]
        assert done.returncode == 0 and [len(line) for line in lines] == lengths
        assert word == "".join(line[6:] for line in lines)


def test_what_a_text_holds_does_not_command_the_terminal() -> None:
    done = onrecord("models", "tokens", "a\x1b[2J\u202eb", "--with", "char,word")
    assert "\x1b" not in done.stdout and "\\x1b" in done.stdout and "\u202e" not in done.stdout


def test_tokens_in_an_encoding_without_bars() -> None:
    plain = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = onrecord("models", "tokens", "a b", "--with", "char", env=plain)
    assert done.returncode == 0 and "a|.|b" in done.stdout


def test_tokens_of_what_is_no_text() -> None:
    tokens = ("models", "tokens")
    Path("empty.txt").write_text(" \n")
    Path("junk.txt").write_bytes(bytes(range(256)) * 50)
    Path("corpus.txt").write_text("some words")
    refused(2, "there is nothing in it (empty.txt)", *tokens, "empty.txt")
    refused(2, "the text is empty", *tokens, "")
    refused(2, "there is nothing in it (standard input)", *tokens, "-", input="")
    refused(3, "not text", *tokens, "junk.txt")
    refused(2, "there is no such file (missing.txt). Check its name", *tokens, "missing.txt")
    refused(2, "there is no such file (no)", *tokens, "a b", "--train", "no")
    refused(2, "this is a folder", *tokens, ".")
    refused(2, "Did you mean 'wordpiece'?", *tokens, "a b", "--with", "word,wordpeice")
    refused(2, "--with names nothing", *tokens, "a b", "--with", ",")
    refused(2, "it needs 256 tokens", *tokens, "a b", "--with", "bpe", "--vocabulary", "99")
    refused(2, "there is no such folder", *tokens, "a b", "--with", "hf:./no/such")
    done = onrecord(*tokens, "a b", "--vocabulary", "5000")
    assert done.returncode == 0 and "too little for 5,000 tokens of word, char" in done.stderr


def test_a_map_of_a_table(table: Path) -> None:
    done = onrecord("models", "map", table, "--labels", "kind", "--with", "bow,embedded:minilm")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "embedding        dimensions  held by the two drawn"
    assert lines[-1] == "4 points in embeddings.html"
    page = Path("embeddings.html").read_text()
    assert page.count("<figure>") == 2 and "</svg>travel</li>" in page
    assert "<b>late" not in page and "&lt;b&gt;late" in page


def test_a_picture_by_word(table: Path) -> None:
    Path("text.txt").write_text(LINES)
    found = printed(
        *("models", "map", "text.txt", "--by", "word", "--with", "tfidf", "--out", "m.png"),
        *("--projection", "tsne", "--most", 10),
    )
    assert Path("m.png").read_bytes().startswith(b"\x89PNG")
    assert found["map"]["labels"][0] == "the" and len(found["map"]["maps"][0]["points"]) == 10
    assert found["notes"] == ["10 of 25 words are drawn, the most frequent"]


def test_a_map_of_sentences_with_labels_from_a_file() -> None:
    Path("text.txt").write_text("One is here. Two is there.\n\nThree is nowhere. Four too.")
    Path("labels.txt").write_text("a\nb\na\nb\n")
    found = printed(
        *("models", "map", "text.txt", "--by", "sentence", "--labels", "labels.txt"),
        *("--with", "bow"),
    )
    assert found["map"]["labels"][2] == "Three is nowhere."
    assert found["map"]["groups"] == ["a", "b", "a", "b"]


def test_rows_without_a_label_are_drawn_without_one() -> None:
    Path("some.tsv").write_text("text\tkind\na b c\tx\nd e f\t\ng h i\ty\n")
    Path("some.jsonl").write_text(
        '{"text": "a b c", "kind": "x"}\n{"text": "d e f"}\n{"text": "g h i", "kind": "y"}\n'
    )
    for file in ("some.tsv", "some.jsonl"):
        found = printed("models", "map", file, "--labels", "kind", "--with", "bow")
        assert found["map"]["groups"] == ["x", "", "y"]
    assert "</svg>–</li>" in Path("embeddings.html").read_text()
    Path("none.jsonl").write_text('{"text": "a b", "n": 1}\n{"text": "c d", "m": 2}\n')
    message = refused(
        2, "no row has a column 'kind'", *("models", "map", "none.jsonl"), "--labels", "kind"
    )
    assert "there are: m, n." in message


def test_a_line_of_megabytes() -> None:
    Path("line.txt").write_text("The lower house. " * 300_000)
    refused(2, "a map needs 3 texts or more, not 1", "models", "map", "line.txt", "--with", "bow")
    done = onrecord("models", "map", "line.txt", "--by", "word", "--with", "bow")
    assert done.returncode == 0, done.stderr
    assert "3 points" in done.stdout and "–" in done.stdout


def test_what_cannot_be_drawn(table: Path) -> None:
    draw = ("models", "map")
    Path("empty.txt").write_text("")
    Path("one.txt").write_text("A line.")
    Path("junk.txt").write_bytes(bytes(range(256)) * 50)
    Path("labels.txt").write_text("a\nb\n")
    Path("lines.txt").write_text(LINES)
    refused(3, "empty (empty.txt)", *draw, "empty.txt")
    refused(2, "a map needs 3 texts or more, not 1", *draw, "one.txt")
    refused(3, "not text", *draw, "junk.txt")
    refused(2, "there is no such file (missing.txt)", *draw, "missing.txt")
    refused(2, "there is no such file", *draw, "missing.csv")
    refused(2, "Did you mean 'tfidf'?", *draw, "lines.txt", "--with", "tfdif")
    refused(2, "Use line, sentence or word", *draw, "lines.txt", "--by", "paragraph")
    refused(2, "Use pca or tsne", *draw, "lines.txt", "--projection", "umap")
    refused(2, "the labels are 2, and the texts 20", *draw, "lines.txt", "--labels", "labels.txt")
    refused(2, "no such file of labels", *draw, "lines.txt", "--labels", "kind")
    refused(2, "--column is for tables", *draw, "lines.txt", "--column", "text")
    message = refused(2, "no row has a column 'colour'", *draw, table, "--labels", "colour")
    assert "kind, stars" in message
    refused(2, "a page or a picture", *draw, "lines.txt", "--out", "map.pdf")
    refused(4, "there is no such folder", *draw, "lines.txt", "--out", "no/map.html")
    Path("folder.html").mkdir()
    refused(4, "this is a folder", *draw, "lines.txt", "--out", "folder.html")
    assert not Path("embeddings.html").exists()
