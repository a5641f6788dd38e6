"""Models: a typed value from a prompt, streams over HTTP, models in this process.

    python -m benchmarks.models [prompts] [streams] [hf]

    prompts    prompt -> scripted model -> typed value, recorded, beside LangChain, Haystack, DSPy,
               pydantic-ai (the rows of benchmarks/records.py)
    streams    `openai:` from a local server in a process of its own: how long after it was written
               a token is passed on, on one stream and on 256 at once
    hf         many callers of one small model (models_hf.py)

Without a name all of them; each in a process of its own. Goals: 60 us for a typed value; a first
token within 1 ms of its arrival; 256 streams of which none stalls. Results: models-*-DATE.json.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from benchmarks.reporting import save, table
from benchmarks.rounds import Row

STREAMS = 256
TOKENS = 60
PACE = 0.05  # seconds between two tokens of a stream
ALONE = 20  # streams one after the other


def main() -> None:
    """Measure, print and save."""
    if unknown := sorted(set(sys.argv[1:]) - set(PARTS)):
        raise SystemExit(f"there is no part '{unknown[0]}': choose from {', '.join(PARTS)}")
    if len(sys.argv) == 2:
        PARTS[sys.argv[1]]()
        return
    for part in sys.argv[1:] or PARTS:
        print(f"-- {part}", flush=True)
        subprocess.run([sys.executable, "-m", "benchmarks.models", part], check=True)


def prompts() -> None:
    """prompt -> model -> typed value."""
    subprocess.run([sys.executable, "-m", "benchmarks.records", "prompts"], check=True)


def hf() -> None:
    """Models in this process."""
    subprocess.run([sys.executable, "-m", "benchmarks.models_hf"], check=True)


def streams() -> None:
    """Streams from a local server."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        with tempfile.TemporaryDirectory(prefix="onrecord-bench-") as home:
            rows = asyncio.run(_streams(ours.recv(), home))
    finally:
        server.kill()
    table(rows)
    save("models-streams", rows)


def serve(pipe: Connection) -> None:
    """A server that speaks the protocol; each token is the time at which it was written."""
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            length = next(line for line in head.lower().split(b"\r\n") if b"content-length" in line)
            await reader.readexactly(int(length.split(b":")[1]))
            writer.write(_HEAD)
            for at in range(TOKENS):
                # The clock is that of all processes of the machine.
                _send(writer, {"delta": {"content": f"{time.monotonic_ns()} "}})
                await writer.drain()
                if at + 1 < TOKENS:
                    await asyncio.sleep(PACE)
            _send(writer, {"delta": {}, "finish_reason": "stop"})
            writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def _send(writer: asyncio.StreamWriter, choice: dict[str, object]) -> None:
    event = json.dumps({"choices": [{"index": 0, **choice}]})
    writer.write(_chunk(f"data: {event}\n\n".encode()))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _streams(port: int, home: str) -> list[Row]:
    import onrecord as on
    from onrecord.models.openai.api import OpenAIModel

    os.environ["ONRECORD_HOME"] = home

    @on.prompt(model=OpenAIModel("any", base_url=f"http://127.0.0.1:{port}/v1", key=""))
    async def ask(question: str) -> str:
        """Answer."""

    async def one() -> list[int]:
        late = []
        async for event in ask.stream("What is the time?"):
            if isinstance(event, on.TextDelta):
                late.append(time.monotonic_ns() - int(event.text))
        if len(late) != TOKENS:
            raise SystemExit(f"{len(late)} tokens instead of {TOKENS}")
        return late

    await one()  # makes the connection, and loads what is loaded late
    alone = [await one() for _ in range(ALONE)]
    together = await asyncio.gather(*(one() for _ in range(STREAMS)))
    return [
        _row("one stream, the first token", [late[0] for late in alone]),
        _row("one stream, every token", [each for late in alone for each in late]),
        _row(f"{STREAMS} streams at once, the first token", [late[0] for late in together]),
        _row(
            f"{STREAMS} streams at once, every token after the first",
            [each for late in together for each in late[1:]],
        ),
    ]


def _row(what: str, late: list[int]) -> Row:
    """How long after they were written tokens were passed on."""
    ordered = sorted(each / 1e6 for each in late)
    return {
        "what": what,
        "p50 ms": round(statistics.median(ordered), 3),
        "p99 ms": round(ordered[int(len(ordered) * 0.99)], 3),
        "worst ms": round(ordered[-1], 3),
    }


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PARTS: dict[str, Callable[[], None]] = {"prompts": prompts, "streams": streams, "hf": hf}

if __name__ == "__main__":
    main()
