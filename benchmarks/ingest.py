"""What an ingest costs: files and chunks a second, memory, and what is left of the encoder's speed.

The same files (../shared/data/peps) through: the raw encoder, on exactly the texts that our ingest
embeds; `Collection.ingest`; and Chroma, given our chunks and the same model. Then our ingest once
more, with nothing changed. Goals: at least 90 % of the encoder's throughput; the second run in 2 s
with 0 embeddings.

Each part runs in a process of its own, so that peak memory is its own.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.reporting import data_folder, save, table

FILES = 200  # of the 736, so that the run takes minutes; ours is measured on all with --all


def main() -> None:
    """Measure, print and save."""
    data = data_folder("peps")
    if data is None:
        return
    files = sorted(data.glob("*.rst"))
    files = files if "--all" in sys.argv else files[:: max(len(files) // FILES, 1)][:FILES]
    parts = ["encoder", "ours"] + (["chroma"] if find_spec("chromadb") else [])
    if "chroma" not in parts:
        print("chromadb is not installed and not measured.")
    rows = [in_a_process(part, files) for part in parts]
    encoder, ours = rows[0], rows[1]
    ours["of the encoder"] = round(float(ours["texts/s"]) / float(encoder["texts/s"]), 3)
    table(rows)
    save("ingest", rows)


def in_a_process(part: str, files: Sequence[Path]) -> dict[str, float | str]:
    """Run one part in a process of its own; what it measured."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ingest", "--part", part],
        input="\n".join(map(str, files)),
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return result


def encoder(files: Sequence[Path]) -> dict[str, float]:
    """Only the encoder, on the distinct chunks and sentences, in the windows of an ingest."""
    import onrecord as on

    embedder = on.embedder("embedded:minilm")
    texts = list(dict.fromkeys(text for _, texts in chunked(files) for text in texts))
    asyncio.run(embedder.embed(texts[:64]))  # load the model

    async def embed() -> None:
        for at in range(0, len(texts), 2048):
            await embedder.embed(texts[at : at + 2048])

    seconds = timed(lambda: asyncio.run(embed()))
    return {"seconds": seconds, "texts": len(texts)}


def ours(files: Sequence[Path]) -> dict[str, float]:
    """`Collection.ingest`, twice."""
    import onrecord as on

    with tempfile.TemporaryDirectory() as home:
        docs = on.Collection.open("peps", home=home)
        asyncio.run(docs.embedder.embed(["load the model"]))
        started = time.perf_counter()
        done = docs.ingest.run(*files)
        seconds = time.perf_counter() - started
        again = timed(lambda: docs.ingest.run(*files))
        unchanged = docs.ingest.run(*files)
        assert unchanged.embedded == 0 and not done.failed
    return {
        "seconds": seconds,
        "texts": done.embedded,
        "chunks": done.chunks,
        "nothing changed, seconds": round(again, 3),
    }


def chroma(files: Sequence[Path]) -> dict[str, float]:
    """Chroma with the same model as its embedding function, and our chunks (no sentences)."""
    import chromadb

    import onrecord as on

    embedder = on.embedder("embedded:minilm")

    class SameModel(chromadb.EmbeddingFunction):  # type: ignore[misc]  # the peer ships no types here
        def __init__(self) -> None:
            pass

        def __call__(self, input: list[str]) -> object:
            return list(asyncio.run(embedder.embed(input)))

    with tempfile.TemporaryDirectory() as home:
        client = chromadb.PersistentClient(home)
        collection = client.create_collection("peps", embedding_function=SameModel())
        asyncio.run(embedder.embed(["load the model"]))
        count = 0
        started = time.perf_counter()
        batch: list[str] = []
        for _, texts in chunked(files, sentences=False):
            batch.extend(texts)
            while len(batch) >= 2048:
                add(collection, batch[:2048], count)
                count, batch = count + 2048, batch[2048:]
        add(collection, batch, count)
        count += len(batch)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "texts": count, "chunks": count}


def add(collection: object, texts: list[str], first: int) -> None:
    """Add a batch to Chroma."""
    ids = [str(first + at) for at in range(len(texts))]
    collection.add(ids=ids, documents=texts)  # type: ignore[attr-defined]  # Chroma's


def chunked(files: Sequence[Path], sentences: bool = True) -> list[tuple[str, list[str]]]:
    """The texts of our chunks, and of their sentences, file by file."""
    import onrecord as on
    from onrecord.retrieval.document import Document, Fields
    from onrecord.retrieval.loading.load import load
    from onrecord.retrieval.splitting.structure import Structure
    from onrecord.sentences import sentence_spans

    splitter = Structure(on.embedder("embedded:minilm"))
    result = []
    for path in files:
        texts = []
        for document in load(path, Fields(), path.name):
            assert isinstance(document, Document)
            for chunk in splitter.split(document):
                texts.append(chunk.text)
                if sentences:
                    texts.extend(chunk.text[a:b] for a, b in sentence_spans(chunk.text))
        result.append((path.name, texts))
    return result


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def part(name: str) -> None:
    """One part, in this process: measure, and print a line of JSON."""
    files = [Path(line) for line in sys.stdin.read().splitlines()]
    measured = {"encoder": encoder, "ours": ours, "chroma": chroma}[name](files)
    seconds = measured["seconds"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = {
        "what": name,
        "files/s": round(len(files) / seconds, 2),
        "chunks/s": round(measured["chunks"] / seconds, 1) if "chunks" in measured else "",
        "texts/s": round(measured["texts"] / seconds, 1),
        "seconds": round(seconds, 2),
        "peak MiB": round(peak),
        "nothing changed, seconds": measured.get("nothing changed, seconds", ""),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    if "--part" in sys.argv:
        part(sys.argv[-1])
    else:
        main()
