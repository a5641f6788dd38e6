"""Ingest and search on the real thing: files, SQLite and the embedded encoder."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import onrecord as on
from onrecord.calling import run
from onrecord.errors import (
    DeadlineError,
    FilterError,
    NewerVersionError,
    StorageError,
    UnknownNameError,
    UsageError,
)
from onrecord.retrieval import catalog
from onrecord.retrieval.database import Database, storage_error
from onrecord.retrieval.document import Document
from onrecord.retrieval.lexical import Lexicon

COUNTED = ("added", "changed", "removed", "unchanged")
LEAVE = """# Leave

Every employee has twenty-eight days of paid leave a year. Leave that is not taken by the end of
March expires. After ten years with the company two more days are added to the yearly allowance.

## Parental leave

Parents may take up to sixteen weeks of parental leave, of which six are paid in full. The request
is made in writing at least eight weeks before the first day.
"""
TRAVEL = """# Travel

Trains are booked in second class. Flights need the approval of the head of the department, who
answers within two working days of the request.

## Expenses

Receipts are handed in within thirty days; what comes later is refunded only with a written reason
that the accounting department accepts.
"""
PARAGRAPH = (
    "The quarterly zebra census counts every animal in the northern valley twice, once at dawn and "
    "once at dusk, and the two numbers are averaged before they are written into the blue ledger "
    "that is kept in the ranger's hut beside the old bridge, where visitors read it on Sundays. "
    "Nobody remembers who began the census or why the ledger has to be blue and of that one size."
)


@pytest.fixture
def handbook(project: Path) -> Path:
    folder = project / "handbook"
    folder.mkdir()
    (folder / "leave.md").write_text(LEAVE)
    (folder / "travel.md").write_text(TRAVEL)
    return folder


def counts(done: object) -> tuple[int, int, int, int]:
    added, changed, removed, unchanged = (getattr(done, name) for name in COUNTED)
    return added, changed, removed, unchanged


def everything_on_disk(folder: Path) -> bytes:
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def snapshot(docs: on.Collection) -> list[tuple[object, ...]]:
    with sqlite3.connect(docs.folder / "collection.db") as connection:
        return connection.execute("SELECT id, title, text FROM document ORDER BY id").fetchall()


def test_what_is_found_is_there_word_for_word(handbook: Path) -> None:
    docs = on.Collection.open("handbook")
    done = docs.ingest.run(handbook)
    assert counts(done) == (2, 0, 0, 0) and not done.failed
    passages = docs.search.run("How many weeks of parental leave are there?", k=3)
    assert len(passages) == 3
    assert "sixteen weeks" in passages[0].text
    assert passages[0].document_id == "handbook/leave.md" and passages[0].title == "Leave"
    for passage in passages:
        text = docs.document(passage.document_id).text
        assert text[passage.start : passage.end] == passage.text
        assert 0 <= passage.score <= 1
    assert [p.score for p in passages] == sorted((p.score for p in passages), reverse=True)


def test_nothing_changed_costs_nothing(handbook: Path) -> None:
    docs = on.Collection.open("handbook")
    docs.ingest.run(handbook)
    before = (docs.folder / "collection.db").read_bytes()
    done = docs.ingest.run(handbook)
    assert counts(done) == (0, 0, 0, 2) and done.embedded == 0
    assert (docs.folder / "collection.db").read_bytes() == before


def test_only_what_changed_is_embedded(handbook: Path) -> None:
    docs = on.Collection.open("handbook")
    first = docs.ingest.run(handbook)
    (handbook / "travel.md").write_text(TRAVEL + "\n" + PARAGRAPH + "\n")
    done = docs.ingest.run(handbook)
    assert counts(done) == (0, 1, 0, 1)
    assert 0 < done.embedded <= 5 < first.embedded  # the new paragraph, and its sentences
    assert "blue ledger" in docs.search.run("What colour is the ledger of the census?", k=1)[0].text


def test_a_moved_paragraph_is_not_embedded_again(handbook: Path) -> None:
    docs = on.Collection.open("handbook")
    (handbook / "travel.md").write_text(f"{TRAVEL}\n{PARAGRAPH}\n")
    docs.ingest.run(handbook)
    (handbook / "travel.md").write_text(TRAVEL)
    (handbook / "leave.md").write_text(f"{LEAVE}\n{PARAGRAPH}\n")
    done = docs.ingest.run(handbook)
    assert counts(done) == (0, 2, 0, 0) and done.embedded == 0


def test_a_renamed_file_is_the_same_content_under_another_name(handbook: Path) -> None:
    docs = on.Collection.open("handbook")
    docs.ingest.run(handbook)
    (handbook / "leave.md").rename(handbook / "absence.md")
    done = docs.ingest.run(handbook)
    assert counts(done) == (1, 0, 1, 1) and done.embedded == 0
    assert docs.search.run("parental leave", k=1)[0].document_id == "handbook/absence.md"


def test_a_removed_file_leaves_no_trace(handbook: Path) -> None:
    docs = on.Collection.open("handbook")
    for number in range(30):  # enough that pages are rebalanced
        (handbook / f"zebra{number}.md").write_text(f"Xylotomous{number}x! {PARAGRAPH} {number}")
    docs.ingest.run(handbook)
    assert b"Xylotomous7x" in everything_on_disk(docs.folder)
    for number in range(30):
        (handbook / f"zebra{number}.md").unlink()
    done = docs.ingest.run(handbook)
    docs.close()
    assert counts(done) == (0, 0, 30, 2)
    left = everything_on_disk(docs.folder).lower()
    for word in (b"xylotom", b"blue ledger", b"zebra"):
        assert word not in left
    assert b"parental" in left
    assert docs.search.run("zebra census", k=9)[0].document_id.startswith("handbook/")


def test_a_path_that_is_gone_is_removed_and_one_that_never_was_is_an_error(handbook: Path) -> None:
    docs = on.Collection.open("handbook")
    docs.ingest.run(handbook)
    shutil.rmtree(handbook)
    assert counts(docs.ingest.run(handbook)) == (0, 0, 2, 0)
    with pytest.raises(UsageError, match="no such file or folder"):
        docs.ingest.run(handbook / "nothing")
    with pytest.raises(UsageError, match="nothing to ingest"):
        docs.ingest.run()


def test_other_folders_are_left_alone(handbook: Path, project: Path) -> None:
    other = project / "other"
    other.mkdir()
    (other / "note.txt").write_text("A note about the garden.")
    docs = on.Collection.open("handbook")
    docs.ingest.run(handbook)
    assert counts(docs.ingest.run(other)) == (1, 0, 0, 0)
    assert counts(docs.ingest.run(handbook / "leave.md")) == (0, 0, 0, 1)
    assert len(snapshot(docs)) == 3


def test_the_same_content_in_two_files_survives_the_removal_of_one(handbook: Path) -> None:
    shutil.copy(handbook / "leave.md", handbook / "copy.md")
    docs = on.Collection.open("handbook")
    docs.ingest.run(handbook)
    (handbook / "leave.md").unlink()
    done = docs.ingest.run(handbook)
    assert counts(done) == (0, 0, 1, 2) and done.embedded == 0
    passage = docs.search.run("parental leave in weeks", k=1)[0]
    assert passage.document_id == "handbook/copy.md" and "sixteen weeks" in passage.text


def test_a_file_that_can_no_longer_be_read_keeps_what_was_read_before(handbook: Path) -> None:
    docs = on.Collection.open("handbook")
    docs.ingest.run(handbook)
    (handbook / "leave.md").write_bytes(b"\x00\x01\x02\xff" * 1000)
    for _ in range(2):  # reported each time, not only once
        done = docs.ingest.run(handbook)
        assert [failure.path for failure in done.failed] == [str(handbook / "leave.md")]
        assert counts(done) == (0, 0, 0, 1)
    assert "sixteen weeks" in docs.search.run("parental leave in weeks", k=1)[0].text
    (handbook / "leave.md").write_text("")
    done = docs.ingest.run(handbook)
    assert done.failed[0].reason == "empty" and done.removed == 1
    assert len(snapshot(docs)) == 1


def test_rows_are_documents_with_their_own_ids_and_metadata(project: Path) -> None:
    rows = project / "rows.jsonl"
    rows.write_text(
        '{"key": "a", "body": "Alpha decay emits a helium nucleus.", "year": 1899}\n'
        '{"key": "b", "body": "Beta decay emits an electron.", "year": 1900}\n'
        '{"key": "c", "body": "Gamma rays are photons of high energy.", "year": 1900}\n'
    )
    docs = on.Collection.open("rows")
    done = docs.ingest.run(rows, text="body", id="key")
    assert counts(done) == (3, 0, 0, 0)
    assert docs.search.run("Which decay emits an electron?", k=1)[0].document_id == "b"
    found = docs.search.run("decay", k=9, where="year = 1900")
    assert sorted(passage.document_id for passage in found) == ["b", "c"]
    rows.write_text(rows.read_text().replace("an electron", "a fast electron"))
    done = docs.ingest.run(rows, text="body", id="key")
    assert counts(done) == (0, 1, 0, 2)


def test_an_id_names_one_document(project: Path) -> None:
    (project / "a.jsonl").write_text('{"id": "x", "text": "The first one."}\n')
    (project / "b.jsonl").write_text('{"id": "x", "text": "The second one."}\n')
    docs = on.Collection.open("rows")
    done = docs.ingest.run(project / "a.jsonl", project / "b.jsonl", id="id", text="text")
    assert done.added == 1 and "the id 'x' is taken" in done.failed[0].reason
    done = docs.ingest.run(project / "b.jsonl", id="id", text="text")
    assert done.added == 0 and "a.jsonl" in done.failed[0].reason
    assert docs.document("x").text == "The first one."


def test_documents_made_in_python(project: Path) -> None:
    docs = on.Collection.open("made")
    made = [Document("1", "One", "The sun is a star."), Document("2", "Two", "The moon is not.")]
    assert counts(docs.add.run(made, source="sky")) == (2, 0, 0, 0)
    assert counts(docs.add.run(made, source="sky")) == (0, 0, 0, 2)
    assert counts(docs.add.run(made[:1], source="sky")) == (0, 0, 1, 1)
    with pytest.raises(UnknownNameError, match="no document '2'"):
        docs.document("2")


@pytest.fixture
def filled(handbook: Path) -> Iterator[on.Collection]:
    for number in range(40):
        (handbook / f"n{number}.md").write_text(
            f"---\nstatus: {'Final' if number % 4 else 'Draft'}\nnumber: {number}\n"
            f"created: 20{number:02}-05-01\n---\n# Note {number}\n\nNote {number} on trains.\n"
        )
    docs = on.Collection.open("handbook")
    docs.ingest.run(handbook)
    yield docs
    docs.close()


def test_there_are_never_fewer_than_k_when_k_match(filled: on.Collection) -> None:
    final = filled.search.run("trains", k=30, where='status = "Final"')
    assert len(final) == 30
    assert {passage.metadata["status"] for passage in final} == {"Final"}
    few = filled.search.run("parental leave", k=5, where="number in (1, 2, 3)")
    assert sorted(passage.metadata["number"] for passage in few) == [1, 2, 3]
    assert filled.search.run("trains", where="created >= 2038-01-01 and number != 39") != []
    assert filled.search.run("trains", where="number > 1000") == []
    assert len(filled.search.run("nothing of the kind, qwertz", k=6)) == 6


def test_a_score_means_the_same_everywhere(filled: on.Collection) -> None:
    whole = {p.document_id: p.score for p in filled.search.run("trains", k=50)}
    some = {p.document_id: p.score for p in filled.search.run("trains", 5, where="number < 9")}
    assert all(whole[id] == pytest.approx(score, abs=1e-6) for id, score in some.items())
    good = filled.search.run("How many weeks of parental leave?", k=50, min_score=0.5)
    assert 1 <= len(good) < 50 and min(passage.score for passage in good) >= 0.5
    assert filled.search.run("trains", min_score=1.0) == []


def test_what_cannot_be_asked_is_refused_in_one_sentence(filled: on.Collection) -> None:
    for wrong, message in (
        ({"question": "  "}, "question is empty"),
        ({"question": "x", "k": 0}, "k is 0"),
        ({"question": "x", "min_score": 1.5}, "min_score is 1.5"),
    ):
        with pytest.raises(UsageError, match=message):
            filled.search.run(**wrong)
    with pytest.raises(FilterError, match="Did you mean `status`"):
        filled.search.run("trains", where='statsu = "Final"')
    with pytest.raises(DeadlineError, match="not done within"):
        filled.search.run("trains", deadline=0.0)
    assert filled.search.run("trains", deadline=60.0)
    with pytest.raises(UsageError, match="no collection 'nothing'"):
        on.Collection.open("nothing").search.run("x")
    with pytest.raises(UsageError, match="cannot be the name"):
        on.Collection.open("../escape")


@pytest.mark.parametrize(
    "question",
    [
        "'; DROP TABLE document; --",
        '" OR 1=1 NEAR(a b) AND NOT * ^ title:',
        "train* AND (leave OR",
        "🚂🚃 قطار רכבת 電車",
        "\x00\x01\ud800 trains",
        "leave " * 20_000,
        "?",
        "a" * 100_000,
    ],
    ids=["sql", "fts", "fts2", "scripts", "control", "long", "mark", "word"],
)
def test_any_question_is_safe(filled: on.Collection, question: str) -> None:
    assert len(filled.search.run(question, k=3)) == 3
    assert len(snapshot(filled)) == 42


def test_offsets_are_exact_in_any_script(project: Path) -> None:
    text = (
        "Der Zug fährt um 8 Uhr. 🚂🚃 Emoji trains are fun! 👩‍👩‍👧 family. "
        "القطار يغادر في الثامنة. הרכבת יוצאת בשמונה. 電車は八時に出発します。"
    )
    (project / "all.txt").write_text("\n\n".join([text] * 40))
    docs = on.Collection.open("scripts")
    docs.ingest.run(project / "all.txt")
    whole = docs.document("all.txt").text
    for question in ("🚂 emoji trains", "القطار", "הרכבת", "電車", "Zug um 8 Uhr"):
        for passage in docs.search.run(question, k=10):
            assert whole[passage.start : passage.end] == passage.text


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "foreign"])
def test_side_files_are_made_again_when_missing_or_damaged(
    filled: on.Collection, damage: str
) -> None:
    before = filled.search.run("parental leave", k=5)
    filled.close()
    files = [path for path in filled.folder.iterdir() if path.suffix == ".bin"]
    assert files
    for path in files:
        data = path.read_bytes()
        if damage == "missing":
            path.unlink()
        elif damage == "truncated":
            path.write_bytes(data[: len(data) // 2])
        elif damage == "flipped":
            path.write_bytes(data[:-9] + bytes([data[-9] ^ 0xFF]) + data[-8:])
        else:
            path.write_bytes(b"something else entirely")
    assert on.Collection.open("handbook").search.run("parental leave", k=5) == before
    assert sorted(path.name for path in filled.folder.iterdir() if path.suffix == ".bin") == sorted(
        path.name for path in files
    )


def test_a_graph_takes_over_where_exact_search_is_slow(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onrecord.retrieval import planner, vectors

    monkeypatch.setattr(planner, "SLOW_MS", 0.0)  # as on a machine where it is slow
    monkeypatch.setattr(planner, "FAST_MS", 0.0)
    monkeypatch.setattr(vectors, "TWO_PASSES_FROM", 100)
    docs = on.Collection.open("many")
    made = [Document(str(n), f"Number {n}", f"The number {n} is odd or even.") for n in range(6000)]
    docs.add.run(made, source="numbers")
    with on.recording() as run:
        found = docs.search.run("number 1234", k=5)
        docs.search.run("number 1234", k=5, where='id = "1234"')
    assert found[0].document_id == "1234"
    searches = [record.output["strategy"] for record in run.records if record.kind == "search"]
    assert searches[0]["name"] == "hnsw" and "6,000 vectors" in searches[0]["reason"]
    assert searches[1]["name"] == "exact" and "filter" in searches[1]["reason"]
    docs.close()
    assert on.Collection.open("many").search.run("number 1234", k=5) == found


def test_an_open_collection_sees_what_another_process_ingests(handbook: Path) -> None:
    docs = on.Collection.open("handbook")
    docs.ingest.run(handbook)
    assert len(docs.search.run("ledger", k=99)) == len(docs.search.run("ledger", k=99))
    (handbook / "census.md").write_text(PARAGRAPH)
    ingest_elsewhere("handbook", handbook)
    assert docs.search.run("What colour is the ledger?", k=1)[0].document_id == "handbook/census.md"


INGEST = (
    "import sys, onrecord as on; print(on.Collection.open(sys.argv[1]).ingest.run(sys.argv[2]))"
)


def ingest_elsewhere(name: str, path: Path) -> None:
    subprocess.run([sys.executable, "-c", INGEST, name, path], check=True, capture_output=True)


def test_two_processes_ingest_into_one_collection_at_once(project: Path) -> None:
    for side in ("left", "right"):
        (project / side).mkdir()
        for number in range(25):
            text = f"{side} {number} speaks of {PARAGRAPH}"
            (project / side / f"{number}.txt").write_text(text)
    children = [
        subprocess.Popen([sys.executable, "-c", INGEST, "both", project / side])
        for side in ("left", "right", "left")
    ]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    docs = on.Collection.open("both")
    rows = snapshot(docs)
    assert len(rows) == 50 and len({row[0] for row in rows}) == 50
    assert sound(docs)
    assert len(docs.search.run("zebra census", k=99)) >= 50


def sound(docs: on.Collection) -> bool:
    """Whether the database is whole, and every vector is used as often as it says."""
    with sqlite3.connect(docs.folder / "collection.db") as connection:
        used: dict[bytes, int] = {}
        for vector, sentences in connection.execute("SELECT vector, sentences FROM chunk"):
            for hash in (vector, *(sentences[at : at + 16] for at in range(0, len(sentences), 16))):
                used[hash] = used.get(hash, 0) + 1
        kept = dict(connection.execute("SELECT hash, uses FROM vector"))
        words = connection.execute("SELECT count(*) FROM words").fetchone()
        chunks = connection.execute("SELECT count(*) FROM chunk").fetchone()
        connection.execute("INSERT INTO words(words) VALUES ('integrity-check')")
        check = connection.execute("PRAGMA integrity_check").fetchone()[0]
    return used == kept and words == chunks and check == "ok"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
@pytest.mark.parametrize("after", [0.6, 1.2, 1.8])
def test_an_interrupted_ingest_changes_nothing(
    handbook: Path, project: Path, how: signal.Signals, after: float
) -> None:
    docs = on.Collection.open("handbook")
    docs.ingest.run(handbook)
    before = snapshot(docs)
    (handbook / "leave.md").unlink()
    for number in range(3000):
        (handbook / f"{number}.txt").write_text(f"File {number}. {PARAGRAPH[: 40 + number % 200]}")
    child = subprocess.Popen(
        [sys.executable, "-c", INGEST, "handbook", handbook],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(after)
    child.send_signal(how)
    assert child.wait(60) != 0
    assert snapshot(docs) == before
    assert "sixteen weeks" in docs.search.run("parental leave in weeks", k=1)[0].text
    for path in handbook.glob("[0-9]*.txt"):
        path.unlink()
    done = docs.ingest.run(handbook)
    assert counts(done) == (0, 0, 1, 1)
    assert sound(docs)


def test_a_collection_from_a_newer_version_is_left_alone(filled: on.Collection) -> None:
    filled.close()
    with sqlite3.connect(filled.folder / "collection.db") as connection:
        connection.execute("PRAGMA user_version = 77")
    with pytest.raises(NewerVersionError, match="newer Onrecord"):
        on.Collection.open("handbook")


def test_a_damaged_collection_is_named(filled: on.Collection) -> None:
    filled.close()
    (filled.folder / "collection.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(StorageError, match="damaged"):
        on.Collection.open("handbook")


class Slanted:
    """A real embedder under another version, which turns every vector a little."""

    def __init__(self, inner: object) -> None:
        self._inner = inner
        self.name, self.version = "embedded:minilm", "2"
        self.dimensions, self.max_tokens = inner.dimensions, inner.max_tokens  # type: ignore[attr-defined]  # an Embedder
        self.tokens = inner.tokens  # type: ignore[attr-defined]  # an Embedder

    async def embed(self, texts: list[str]) -> object:
        vectors = await self._inner.embed(texts)  # type: ignore[attr-defined]  # an Embedder
        return vectors[:, ::-1].copy()


def test_a_new_version_of_the_embedder_embeds_everything_anew(
    handbook: Path, project: Path
) -> None:
    docs = on.Collection.open("handbook")
    first = docs.ingest.run(handbook)
    newer = on.Collection.open("handbook", embedder=Slanted(docs.embedder))  # type: ignore[arg-type]  # structurally one
    with pytest.raises(UsageError, match="in another version"):
        newer.search.run("leave")
    done = newer.ingest.run(handbook / "leave.md")  # one file named, all of them embedded
    assert done.embedded == first.embedded
    assert "sixteen weeks" in newer.search.run("parental leave in weeks", k=1)[0].text
    assert counts(newer.ingest.run(handbook)) == (0, 0, 0, 2)


def test_a_read_only_folder_can_be_searched_and_says_no_to_ingest(filled: on.Collection) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere; tests/cli/test_bad_input.py mounts a read-only disk")
    filled.close()
    filled.folder.chmod(0o500)
    try:
        docs = on.Collection.open("handbook")
        assert docs.search.run("trains", k=1)
        with pytest.raises(StorageError, match=r"permission|read-only"):
            docs.ingest.run("handbook")
    finally:
        filled.folder.chmod(0o700)


def test_one_file_under_two_spellings_of_its_path_is_ingested_once(
    handbook: Path, project: Path
) -> None:
    docs = on.Collection.open("handbook", home=f"../{project.name}/.onrecord")
    assert counts(docs.ingest.run("handbook")) == (2, 0, 0, 0)
    for spelling in (f"../{project.name}/handbook", "./handbook/../handbook", handbook):
        done = docs.ingest.run(spelling)
        assert counts(done) == (0, 0, 0, 2) and not done.failed
    assert [row[0] for row in snapshot(docs)] == ["handbook/leave.md", "handbook/travel.md"]
    (project / "link").symlink_to(handbook)  # another name, and it keeps it
    assert counts(docs.ingest.run("link")) == (2, 0, 0, 0)


def test_a_graph_that_cannot_be_saved_fails_no_ingest(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onrecord.retrieval import planner, vectors

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(planner, "SLOW_MS", 0.0)  # as on a machine where it is slow
    monkeypatch.setattr(vectors, "TWO_PASSES_FROM", 100)
    monkeypatch.setattr(vectors.HNSW, "save", full)
    docs = on.Collection.open("many")
    made = [Document(str(n), f"Number {n}", f"The number {n} is odd or even.") for n in range(6000)]
    assert docs.add.run(made, source="numbers").added == 6000
    with on.recording() as run:
        docs.search.run("number 1234", k=5)
    strategy = run.records[-1].output["strategy"]
    assert strategy["name"] == "hnsw"
    assert "hnsw.bin not written: No space left on device" in strategy["reason"]


def test_only_a_transaction_says_that_nothing_was_changed(filled: on.Collection) -> None:
    filled.close()
    error = storage_error(OSError(errno.ENOSPC, "No space left on device"), filled.folder)
    assert error.what == "the disk is full"
    store = Database(filled.folder / "collection.db", create=False)
    with store.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with (
        pytest.raises(StorageError, match="the disk is full; nothing was changed"),
        store.writing() as connection,
    ):
        connection.execute("INSERT INTO setting VALUES ('large', ?)", ("x" * 1_000_000,))
    with store.writing() as connection:  # the connection is still good
        assert "large" not in catalog.settings(connection)
    store.close()


def vector_hashes(docs: on.Collection) -> set[bytes]:
    with sqlite3.connect(docs.folder / "collection.db") as connection:
        return {row[0] for row in connection.execute("SELECT hash FROM vector")}


def test_a_new_version_of_the_embedder_reaches_what_can_no_longer_be_read(handbook: Path) -> None:
    docs = on.Collection.open("handbook")
    docs.ingest.run(handbook)
    before, old = snapshot(docs), vector_hashes(docs)
    (handbook / "leave.md").write_bytes(b"\x00\x01\x02\xff" * 1000)
    newer = on.Collection.open("handbook", embedder=Slanted(docs.embedder))  # type: ignore[arg-type]  # structurally one
    done = newer.ingest.run(handbook)
    assert [failure.path for failure in done.failed] == [str(handbook / "leave.md")]
    assert snapshot(newer) == before and sound(newer)
    assert not vector_hashes(newer) & old
    assert "sixteen weeks" in newer.search.run("parental leave in weeks", k=1)[0].text
    assert newer.ingest.run(handbook).failed  # reported each time, and at no cost
    assert newer.ingest.run(handbook).embedded == 0
    (handbook / "leave.md").write_text("")
    assert newer.ingest.run(handbook).removed == 1


def test_an_empty_file_is_gone_under_a_new_version_of_the_embedder_too(handbook: Path) -> None:
    docs = on.Collection.open("handbook")
    docs.ingest.run(handbook)
    (handbook / "leave.md").write_text("")
    newer = on.Collection.open("handbook", embedder=Slanted(docs.embedder))  # type: ignore[arg-type]  # structurally one
    done = newer.ingest.run(handbook)
    assert [failure.reason for failure in done.failed] == ["empty"]
    assert counts(done) == (0, 1, 1, 0)


def test_the_embeddings_of_an_ingest_are_on_the_record(handbook: Path) -> None:
    docs = on.Collection.open("handbook")
    with on.recording() as run:
        done = docs.ingest.run(handbook)
    assert [record.kind for record in run.records] == ["embed", "ingest"]
    embedded, ingested = run.records
    assert embedded.parent == ingested.id and embedded.name == docs.embedder.name
    assert embedded.input == {"texts": done.embedded}
    assert embedded.output == {"shape": [done.embedded, docs.embedder.dimensions]}
    (handbook / "travel.md").write_text(TRAVEL + "\n" + PARAGRAPH + "\n")
    with on.recording() as again:
        docs.ingest.run(handbook)
    assert again.records[0].key != embedded.key
    journal = everything_on_disk(docs.folder.parents[1] / "journal")
    assert b"embed" in journal and b"blue ledger" not in journal
    with on.recording() as nothing_new:
        docs.ingest.run(handbook)
    assert [record.kind for record in nothing_new.records] == ["ingest"]


def test_a_path_that_is_not_there_makes_no_collection(project: Path) -> None:
    docs = on.Collection.open("handbook")
    with pytest.raises(UsageError, match="no such file or folder"):
        docs.ingest.run("handbok")
    assert not docs.folder.exists()
    with pytest.raises(UsageError, match="no collection 'handbook' yet"):
        docs.search.run("leave")


def test_a_collection_that_holds_nothing_says_so(handbook: Path, project: Path) -> None:
    (project / "empty").mkdir()
    docs = on.Collection.open("handbook")
    assert counts(docs.ingest.run("empty")) == (0, 0, 0, 0)
    with pytest.raises(UsageError, match=r"'handbook' holds nothing yet .* Fill it with"):
        docs.search.run("leave")
    docs.ingest.run(handbook)
    assert docs.search.run("leave", k=1)
    shutil.rmtree(handbook)
    docs.ingest.run(handbook)
    with pytest.raises(UsageError, match="holds nothing yet"):
        docs.search.run("leave")


def test_a_cancelled_search_lets_go_of_the_collection(
    filled: on.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(lexicon: Lexicon, *_: object) -> list[int]:
        counting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 99000000)"
        lexicon._connection.execute(f"{counting} SELECT count(*) FROM n").fetchone()
        return []

    with monkeypatch.context() as patched:
        patched.setattr(Lexicon, "find", slow)
        with pytest.raises(TimeoutError):
            run(asyncio.wait_for(filled.search("trains"), 1.0))
    started = time.monotonic()
    assert filled.search.run("trains", k=3)
    assert time.monotonic() - started < 5.0  # counting takes three times as long


def test_a_recorded_collection_is_known_by_what_it_holds(handbook: Path) -> None:
    from onrecord.records.record import content_key

    docs = on.Collection.open("handbook")
    assert docs.version == ""
    docs.ingest.run(handbook)
    before = content_key("flow", docs)
    assert before == content_key("flow", on.Collection.open("handbook"))
    (handbook / "more.md").write_text(PARAGRAPH)
    docs.ingest.run(handbook)
    assert content_key("flow", docs) != before


def test_a_project_can_be_moved(
    handbook: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on.Collection.open("handbook").ingest.run(handbook)
    moved = project.parent / "moved"
    project.rename(moved)
    monkeypatch.chdir(moved)
    docs = on.Collection.open("handbook")
    done = docs.ingest.run("handbook")
    assert counts(done) == (0, 0, 0, 2) and not done.failed
    (moved / "handbook" / "leave.md").unlink()
    assert counts(docs.ingest.run(".")) == (0, 0, 1, 1)
    assert counts(docs.ingest.run(moved.parent / "moved" / "handbook")) == (0, 0, 0, 1)
