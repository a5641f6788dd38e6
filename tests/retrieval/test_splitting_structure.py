"""The default splitter: what is kept together, what is cut, and what a change leaves alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onrecord
from onrecord.retrieval.document import Document
from onrecord.retrieval.splitting import Structure
from tests.retrieval.splitting_doubles import WordEmbedder


def texts(text: str, format: str = "markdown", max_tokens: int = 40) -> list[str]:
    chunks = Structure(WordEmbedder(max_tokens)).split(Document("d", "D", text, format))
    return [chunk.text for chunk in chunks]


def paragraph(number: int, words: int = 12) -> str:
    return " ".join(f"p{number}w{word}" for word in range(words - 1)) + " end."


# Kept together

A, B, C = paragraph(1), paragraph(2), paragraph(3)


def test_a_paragraph_is_a_chunk() -> None:
    assert texts(f"{A}\n\n{B}\n\n\n{C}\n") == [A, B, C]


def test_small_paragraphs_go_together() -> None:
    assert texts("One.\n\nTwo.\n\nThree.") == ["One.\n\nTwo.\n\nThree."]


@pytest.mark.parametrize(
    ("heading", "format"),
    [
        ("# Title", "markdown"),
        ("# Title\n\n## Below", "markdown"),
        ("Title\n=====", "markdown"),
        ("Title\n-----", "rst"),
        ("=====\nTitle\n=====", "rst"),
        ("Title\n~~~~~", "text"),
        ("= Title =", "text"),
        ("The following holds:", "text"),
    ],
)
def test_a_heading_goes_with_what_follows(heading: str, format: str) -> None:
    assert texts(f"{A}\n\n{heading}\n\n{B}\n\n{C}", format) == [A, f"{heading}\n\n{B}", C]


def test_a_document_of_headings_only() -> None:
    text = "\n".join(f"# Heading number {n}" for n in range(30))
    assert " ".join(texts(text)).split() == text.split()


def test_the_last_heading_is_not_lost() -> None:
    assert texts(f"{A}\n\n# End") == [A, "# End"]


def test_the_rule_below_a_long_line_is_no_heading() -> None:
    assert texts(f"{A}\n---\n{B}", "rst") == [f"{A}\n---\n{B}"]


@pytest.mark.parametrize(
    "fence",
    [
        "```python\na = 1\n\nb = 2\n\n\nc = a + b\n```",
        "````\n```\nnested = 1\n\n```\n````",
        "~~~\n# no heading\n\n- no item\n~~~",
        "```\nnever closed\n\n# no heading\n\nat all, to the end",
    ],
)
def test_a_fence_is_whole(fence: str) -> None:
    assert texts(f"{A}\n\n{B}\n\n{fence}")[2:] == [fence]


def test_indented_code_is_whole_but_a_list_is_none() -> None:
    code = "x = 1\n\n    y = [x, x, x]\n\n    z = {y: x}"
    assert texts(f"{A}\n\n    {code}\n\n{B}") == [A, code, B]
    item = f"- item {A}\n\n    {B}\n\n    {C}"
    assert texts(item) == [f"- item {A}", B, C]


def test_literal_blocks_and_directives_go_with_their_introduction() -> None:
    literal = "Like this::\n\n    a = 1\n\n    b = 2\n\n      deeper"
    assert texts(f"{A}\n\n{literal}\n\n{B}", "rst") == [A, literal, B]
    directive = ".. code-block:: c\n   :class: good\n\n   int a = 1;\n\n   int b = 2;"
    assert texts(f"{A}\n\n{directive}\n\n{B}", "rst") == [A, directive, B]


def test_a_row_that_fits_is_one_chunk() -> None:
    text = f"{A}\n\n{B}\n\n# C"
    assert texts(text, "row") == [text]
    assert len(texts(f"{A}\n\n{B}\n\n{C}\n\n{A}", "row")) > 1


def test_unwrapped_lines_are_paragraphs() -> None:
    long = [paragraph(n, 36) for n in range(4)]
    assert all(len(line) > 200 for line in long)
    assert texts("\n".join(long), "text") == long


# Cut


def test_a_table_is_cut_between_rows() -> None:
    rows = [f"| {n} | some words in row {n} | {n * n} |" for n in range(60)]
    table = "| n | text | square |\n|---|---|---|\n" + "\n".join(rows)
    parts = texts(f"{A}\n\n{table}\n\n{B}")
    assert len(parts) > 5
    assert [line for part in parts[1:-1] for line in part.split("\n")] == table.split("\n")


def test_a_grid_table_is_cut_between_its_rules() -> None:
    row = "| one two three | four five six  |\n| seven eight   | nine ten      |\n"
    rule = "+---------------+---------------+\n"
    table = rule + (row + "+-+-+\n") * 20
    parts = texts(table, "rst", 80)
    assert len(parts) > 3
    assert all(part.count("one two") == part.count("nine ten") for part in parts)


def test_long_code_is_cut_at_blank_lines_then_lines() -> None:
    stanzas = ["\n".join(f"a{n} = f({k})" for k in range(4)) for n in range(8)]
    parts = texts("```\n" + "\n\n".join(stanzas) + "\n```", max_tokens=80)
    assert len(parts) > 2
    assert all(stanza in "\n\n".join(parts) for stanza in stanzas)
    lines = [f"value_{n} = compute(value_{n - 1})" for n in range(60)]
    assert "\n".join(texts("```\n" + "\n".join(lines) + "\n```")).split("\n")[1:-1] == lines


def test_a_long_paragraph_is_cut_at_sentences() -> None:
    sentences = [f"This is sentence number {n} of many." for n in range(40)]
    parts = texts(" ".join(sentences))
    assert len(parts) > 5
    assert all(part.startswith("This is") and part.endswith("many.") for part in parts)
    # The last one is not a crumb.
    assert len(parts[-1].split()) >= 5


def test_a_long_sentence_is_cut_at_clauses_then_words() -> None:
    clauses = " ".join(f"and clause number {n} goes here," for n in range(30))
    assert all(part.endswith(",") for part in texts(clauses))
    words = " ".join(f"word{n}" for n in range(300))
    assert " ".join(texts(words)) == words


# Python

SOURCE = '''"""What the module is for."""

import os
import sys

LIMIT = 3

# Speaks of first.
@decorated(1)
def first(a, b):
    """Docstring of first, in some words."""
    return a + b - LIMIT


class Second:
    """Docstring of the second, which is long enough."""

    field: int = 1

    def one(self):
        """Does one thing, and does it well."""
        return [self.field for _ in range(10)]

    @property
    def two(self):
        """Does another thing, and not as well."""
        return {self.field: self.one() for _ in range(20)}
'''


def test_definitions_are_whole() -> None:
    parts = texts(SOURCE, "python", 60)
    assert any(
        p.startswith("# Speaks of first.\n@decorated") and p.endswith("LIMIT") for p in parts
    )
    assert any(p.startswith("class Second:") and "field: int" not in p[:30] for p in parts)
    assert any(p.startswith("def one") and p.endswith("range(10)]") for p in parts)
    assert any(p.startswith("@property\n    def two") for p in parts)


def test_a_long_function_is_cut_between_statements() -> None:
    body = "".join(f"    if x == {n}:\n        y = f({n})\n        z = g(y)\n" for n in range(20))
    parts = texts(f'def f(x):\n    """Docstring."""\n{body}', "python")
    assert parts[0].startswith('def f(x):\n    """Docstring."""')
    assert all(part.startswith("if x ==") for part in parts[1:])


@pytest.mark.parametrize(
    "broken",
    [
        "def f(:\n    pass\n\n\ndef g():\n    return (1,\n",
        "class A\n    def x(self): return 1\n\n@a\n@b\nclass B:\n    y = '''",
        "\x00def f(): pass\n",
        "(" * 5_000,
        "print 'two'\n" * 30,
    ],
)
def test_broken_source_is_split_all_the_same(broken: str) -> None:
    parts = texts(broken, "python")
    assert "".join("".join(parts).split()) == "".join(broken.split())


def test_broken_source_is_cut_before_definitions() -> None:
    functions = [
        f"@a\n@b\ndef f{n}(x):\n    return g(x, {n}) + h(x, {n}) + i(x, {n})" for n in range(5)
    ]
    assert texts("import (\n\n" + "\n\n".join(functions), "python")[1:] == functions


def test_a_warning_about_the_source_is_not_ours(recwarn: pytest.WarningsRecorder) -> None:
    texts("x = '\\d'\nassert (x, 'always true')\n", "python")
    assert not recwarn.list


def test_our_own_source() -> None:
    for path in sorted(Path(onrecord.__file__).parent.rglob("*.py")):
        source = path.read_text("utf-8")
        parts = texts(source, "python", 254)
        assert "".join("".join(parts).split()) == "".join(source.split())


# What a change leaves alone


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(6, 90), min_size=3, max_size=15),
    seed=st.integers(0, 1000),
    format=st.sampled_from(["text", "markdown", "rst"]),
)
def test_moving_a_paragraph_embeds_nothing_again(sizes: list[int], seed: int, format: str) -> None:
    blocks = [paragraph(n, size) for n, size in enumerate(sizes)]
    before = texts("\n\n".join(blocks), format)
    moved = blocks.copy()
    random.Random(seed).shuffle(moved)
    assert sorted(texts("\n\n".join(moved), format)) == sorted(before)


def test_moving_a_paragraph_leaves_other_sections_alone() -> None:
    blocks = ["# One", A, B, "## Two", C, "```\na = [1, 2, 3]\nb = [a, a]\n```", "- x", "- y"]
    before = texts("\n\n".join(blocks))
    blocks.append(blocks.pop(2))
    assert sorted(texts("\n\n".join(blocks))) == sorted(before)


@pytest.mark.parametrize("kind", ["list", "table", "code", "one line"])
def test_a_change_in_a_long_run_moves_only_the_borders_near_it(kind: str) -> None:
    lines = {
        "list": [f"- item number {n} of them" for n in range(400)],
        "table": [f"| row {n} | {n * n} |" for n in range(400)],
        "code": [f"x{n} = f({n})" for n in range(400)],
        "one line": [f"Sentence number {n} ends." for n in range(400)],
    }[kind]
    joint = " " if kind == "one line" else "\n"
    ends = ("```\n", "\n```") if kind == "code" else ("", "")
    before = texts(joint.join(lines).join(ends))
    assert len(before) > 50
    new = []
    for gone in range(20, 380, 12):
        rest = lines[:gone] + lines[gone + 1 :]
        after = texts(joint.join(rest).join(ends))
        new.append(len(set(after) - set(before)))
    # Packed to the brim, half of all chunks would be new. The mean is what an ingest pays.
    assert sum(new) / len(new) < 4
    assert max(new) < 16
