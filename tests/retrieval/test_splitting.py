"""What holds for every splitter, whatever the text: exact, ascending, complete, in its sizes."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onrecord.errors import LimitError, UnknownNameError, UsageError
from onrecord.records.ledger import budget
from onrecord.records.limits import Limits
from onrecord.records.scope import recording
from onrecord.retrieval.document import Chunk, Document, Splitter
from onrecord.retrieval.splitting import (
    FixedTokens,
    Options,
    Recursive,
    Sections,
    Semantic,
    Sentences,
    Structure,
    by_name,
)
from tests.retrieval.splitting_doubles import ByteEmbedder, WordEmbedder

Build = Callable[[WordEmbedder], Splitter]

SPLITTERS: dict[str, Build] = {
    "structure": Structure,
    "structure-tight": lambda embedder: Structure(embedder, max_tokens=16, target=16),
    "fixed": lambda embedder: FixedTokens(embedder, size=10),
    "fixed-overlap": lambda embedder: FixedTokens(embedder, size=12, overlap=5),
    "sentences": lambda embedder: Sentences(embedder, count=2),
    "recursive": lambda embedder: Recursive(embedder, size=12),
    "sections": Sections,
    "semantic": Semantic,
}
FORMATS = ["text", "markdown", "rst", "html", "python", "table", "row", "unheard-of"]

# Lines that mean something in some format, put together at random.
LINES = st.sampled_from(
    [
        "A plain line of words that goes on for a while, with a comma; and more.",
        "Dr. Smith paid 3.5 million. He left! Did he?",
        "One",
        "Title",
        "=====",
        "-----",
        "~~~~",
        "...",
        "---",
        "# Heading",
        "###### deep",
        "#nothead",
        "- item one",
        "  - nested item with some more words in it",
        "1. first",
        "(a) x",
        ":field: value",
        "> quoted",
        "| a | b |",
        "|---|---|",
        "| c | d |",
        "+---+---+",
        "| x | y |",
        "=== ===",
        "```",
        "````",
        "```python",
        "~~~",
        "    indented = code()",
        "\tx = 1",
        "Look here:",
        "An example::",
        ".. code-block:: python",
        "   body = 1",
        ".. note::",
        ">>> 1 + 1",
        "2",
        "def f(x):",
        "class A:",
        '    """Doc."""',
        "    def m(self): return 1",
        "@decorator",
        "import os",
        "x = (",
        "\ufeffodd",
        "",
        "",
        "",
        " ",
        "\t",
        "é" * 30,
        "e\u0301\u0302" * 20,
        "👨‍👩‍👧‍👦🇩🇪👍🏽" * 6,
        "漢字仮名交じり文。" * 9,
        "مرحبا بالعالم؟ كيف حالك.",
        "שלום עולם",
        "a" * 300,
        "word " * 70,
        "x" + " " * 900 + "y",
        "\x00\x01",
        "=" * 60,
        "\x0b",
        "\x85",
        "\u2028",
        "\u00a0",
        "\u200b",
        '1,2,"a',
        "= wiki =",
    ]
)
ENDS = st.sampled_from(
    ["\n", "\n", "\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\n\n", ""]
)
STRUCTURED = st.lists(st.tuples(LINES, ENDS), max_size=25).map(
    lambda lines: "".join(line + end for line, end in lines)
)
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
TEXTS = st.one_of(STRUCTURED, ANYTHING, st.tuples(STRUCTURED, ANYTHING).map("".join))


def split(build: Build, text: str, format: str, embedder: WordEmbedder) -> list[Chunk]:
    return list(build(embedder).split(Document("d", "D", text, format)))


def check(text: str, chunks: list[Chunk], *, overlapping: bool = False) -> None:
    covered = [False] * len(text)
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.text and chunk.text == chunk.text.strip()
        covered[chunk.start : chunk.end] = [True] * len(chunk.text)
    for before, after in pairwise(chunks):
        assert before.start < after.start and before.end < after.end
        assert overlapping or before.end <= after.start
    assert all(seen or sign.isspace() for seen, sign in zip(covered, text, strict=True))


@pytest.mark.parametrize("name", SPLITTERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=TEXTS,
    format=st.sampled_from(FORMATS),
    double=st.sampled_from([WordEmbedder, ByteEmbedder]),
)
def test_exact_ascending_complete_and_within_size(
    name: str, text: str, format: str, double: type[WordEmbedder]
) -> None:
    embedder = double()
    chunks = split(SPLITTERS[name], text, format, embedder)
    check(text, chunks, overlapping=name == "fixed-overlap")
    for chunk in chunks:
        assert len(embedder.tokens(chunk.text)) <= embedder.max_tokens or len(chunk.text) == 1


@pytest.mark.parametrize("name", SPLITTERS)
@pytest.mark.parametrize("text", ["", " ", "\n\r\n\t\x0b\x85\u2028"])
def test_nothing_makes_no_chunk(name: str, text: str) -> None:
    for format in FORMATS:
        assert split(SPLITTERS[name], text, format, WordEmbedder()) == []


@pytest.mark.parametrize("name", SPLITTERS)
@pytest.mark.parametrize("format", ["markdown", "rst", "python", "table", "text"])
@pytest.mark.parametrize(
    "unit",
    [
        "word ",
        "A sentence here. ",
        "abc",
        "line\n",
        "\n",
        " ",
        "- x\n",
        "|a|\n",
        "```\n",
        "# a\n",
        "==\n",
        "@x\n",
        "def f(): pass\n",
        "a:\n\n",
        "a::\n\n   b\n",
        "漢字",
        "(",
        "T\n=\n\n",
    ],
)
def test_work_is_linear(name: str, format: str, unit: str) -> None:
    # Counted in characters tokenized and not in seconds: a second look at a block is fine (each
    # level of cutting takes one), a look that grows with the text is not.
    text = "x" + unit * (20_000 // len(unit))
    embedder = WordEmbedder()
    check(text, split(SPLITTERS[name], text, format, embedder), overlapping=name == "fixed-overlap")
    assert embedder.characters <= 12 * len(text)


@pytest.mark.parametrize("name", SPLITTERS)
def test_never_tokenizes_more_than_a_segment(name: str) -> None:
    class Bounded(WordEmbedder):
        def tokens(self, text: str) -> list[tuple[int, int]]:
            assert len(text) <= 20_000
            return super().tokens(text)

    for text in ("ab1" * 30_000, "word " * 20_000, "a\n" * 40_000, "x" + " " * 90_000 + "y"):
        check(text, split(SPLITTERS[name], text, "text", Bounded()), overlapping="over" in name)


@pytest.mark.parametrize("name", SPLITTERS)
def test_a_character_is_not_taken_apart(name: str) -> None:
    family, flag, thumb, accent = "👨‍👩‍👧‍👦", "🇩🇪", "👍🏽", "e\u0301"
    for unit in (family, flag, thumb, accent):
        text = unit * 400
        for chunk in split(SPLITTERS[name], text, "text", WordEmbedder()):
            assert re.fullmatch(f"(?:{unit})+", chunk.text), (unit, chunk.text[:9])


@pytest.mark.parametrize(
    "name", ["structure", "fixed", "sentences", "recursive", "sections", "semantic"]
)
def test_every_name_builds_its_splitter(name: str) -> None:
    splitter = by_name(name, WordEmbedder())
    assert splitter.version.startswith(f"{name}-1 ")
    assert "double:words" in splitter.version
    assert [c.text for c in splitter.split(Document("d", "D", "Hello there."))] == ["Hello there."]


def test_versions_tell_parameters_and_embedders_apart() -> None:
    words = WordEmbedder()
    versions = [
        Structure(words).version,
        Structure(words, target=12).version,
        Structure(ByteEmbedder()).version,
        FixedTokens(words, size=12).version,
        FixedTokens(words, size=12, overlap=2).version,
        Sentences(words).version,
        Sentences(words, count=2).version,
        Recursive(words).version,
        Recursive(words, separators=["\n"]).version,
        Sections(words).version,
        Semantic(words).version,
        Semantic(words, percentile=50).version,
    ]
    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("structural", Options(), "no splitter named 'structural'. Choose one of structure,"),
        ("structure", Options(overlap=3), "has no option 'overlap'. It has: max_tokens, target"),
        ("structure", Options(max_tokens=41), "double:words reads 40 tokens"),
        ("structure", Options(max_tokens=3), "max_tokens=3 is out of range"),
        ("structure", Options(max_tokens=20, target=30), "target=30 is out of range"),
        ("fixed", Options(size=10, overlap=6), "overlap=6 is out of range"),
        ("sentences", Options(sentences=0), "sentences=0 is out of range"),
        ("semantic", Options(percentile=101), "percentile=101"),
    ],
)
def test_a_wrong_choice_is_one_clear_sentence(name: str, options: Options, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        by_name(name, WordEmbedder(), options)


def test_an_unknown_name_is_its_own_error() -> None:
    with pytest.raises(UnknownNameError):
        by_name("", WordEmbedder())
    assert msgspec.json.decode(msgspec.json.encode(Options(size=9)), type=Options).size == 9


def test_fixed_windows_overlap() -> None:
    text = " ".join(f"w{n}" for n in range(100))
    chunks = split(lambda e: FixedTokens(e, size=20, overlap=5), text, "text", WordEmbedder())
    shared = [len(text[after.start : before.end].split()) for before, after in pairwise(chunks)]
    assert set(shared) == {5}
    assert {len(chunk.text.split()) for chunk in chunks[:-1]} == {20}


def test_sections_are_whole() -> None:
    text = "Before.\n\n# A\n\n## B\n\nText of b.\n\nMore of b.\n\n# C\n\nText of c.\n"
    chunks = split(Sections, text, "markdown", WordEmbedder())
    assert [c.text.split("\n")[0] for c in chunks] == ["Before.", "# A", "# C"]
    assert chunks[1].text.endswith("More of b.")


def test_semantic_cuts_where_the_topic_changes() -> None:
    class Topics(WordEmbedder):
        async def embed(self, texts):  # type: ignore[no-untyped-def]
            import numpy as np

            counts = np.array([[t.count("tea"), t.count("war")] for t in texts], np.float32)
            return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    text = "I drink tea. Good tea. More tea. Then war came. A long war. The war ended."
    chunks = split(lambda e: Semantic(e, percentile=70), text, "text", Topics())
    assert "tea" not in chunks[-1].text and "war" not in chunks[0].text


def test_semantic_embeddings_are_recorded_and_paid_for_without_their_texts() -> None:
    text = " ".join(f"Sentence number {i} is about topic {i % 7}." for i in range(300))
    with recording() as run, budget(Limits(calls=2)):
        split(Semantic, text, "text", WordEmbedder())
        with pytest.raises(LimitError, match="calls"):
            split(Semantic, "One. Two.", "text", WordEmbedder())
    assert [each.input for each in run.records] == [{"texts": 256}, {"texts": 44}, {"texts": 2}]
    assert {each.kind for each in run.records} == {"embed"}


PEPS = Path(__file__).parents[3] / "shared" / "data" / "peps"


@pytest.mark.parametrize(
    "name", ["structure", "fixed-overlap", "sentences", "recursive", "sections"]
)
def test_real_documents(name: str) -> None:
    if not PEPS.is_dir():
        pytest.skip("../shared/data/peps is not here")
    for path in sorted(PEPS.glob("*.rst"))[:: 1 if name == "structure" else 12]:
        text = path.read_text("utf-8")
        chunks = split(SPLITTERS[name], text, "rst", WordEmbedder(254))
        check(text, chunks, overlapping="overlap" in name)
