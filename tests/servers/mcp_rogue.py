"""MCP servers that do what none should, one a mode: `python mcp_rogue.py MODE`.

They speak JSON-RPC by hand: the SDK would not let them. TOOLS (JSON) says what they offer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

MODE = sys.argv[1]
PLAIN = {"name": "look", "description": "Looks.", "inputSchema": {"type": "object"}}


def send(message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def tools() -> list[Any]:
    path = os.environ.get("TOOLS_FILE")  # may be written anew while the server runs
    text = Path(path).read_text() if path else os.environ.get("TOOLS")
    return json.loads(text) if text else [PLAIN]


def listing(params: Any) -> Any:
    if MODE == "endless list":
        number = int(params.get("cursor") or 0)
        return {"tools": [{**PLAIN, "name": f"look{number}"}], "nextCursor": str(number + 1)}
    if MODE == "no list":
        return {"tools": "none"}
    return {"tools": tools()}


def call(id: Any) -> None:
    if MODE == "1 GB":
        part = "x" * 1_000_000
        sys.stdout.write(f'{{"jsonrpc": "2.0", "id": {json.dumps(id)}, "result": {{"a": "')
        for _ in range(1000):
            sys.stdout.write(part)
        sys.stdout.write('"}}\n')
        sys.stdout.flush()
    elif MODE == "never answers":
        time.sleep(1000)
    elif MODE == "garbage":
        print("\x1b[2J this is no JSON", flush=True)
        print('{"jsonrpc": "2.0"', flush=True)
        send(reply(id, {"content": [{"type": "text", "text": "still there"}]}))
    elif MODE == "no result":
        send(reply(id, {"content": 5}))
    elif MODE == "ends":
        print("out of kettles\x1b[31m", file=sys.stderr, flush=True)
        sys.exit(3)
    elif MODE == "asks":
        send(
            {
                "jsonrpc": "2.0",
                "id": "q",
                "method": "sampling/createMessage",
                "params": {"messages": [], "maxTokens": 5},
            }
        )
        answer = json.loads(sys.stdin.readline())
        send(reply(id, {"content": [{"type": "text", "text": json.dumps(answer["error"])}]}))
    else:
        send(reply(id, {"content": [{"type": "text", "text": "looked"}]}))


def reply(id: Any, result: Any) -> Any:
    return {"jsonrpc": "2.0", "id": id, "result": result}


def main() -> None:
    if MODE == "silent":
        time.sleep(1000)
    if MODE == "ends at once":
        print("no licence key", file=sys.stderr)
        sys.exit(2)
    for line in sys.stdin:
        message = json.loads(line)
        id, method = message.get("id"), message.get("method")
        if method == "initialize":
            send(
                reply(
                    id,
                    {
                        "protocolVersion": message["params"]["protocolVersion"],
                        "capabilities": {"tools": {"listChanged": True}},
                        "serverInfo": {"name": "rogue", "version": "1"},
                    },
                )
            )
        elif method == "tools/list":
            send(reply(id, listing(message.get("params") or {})))
        elif method == "tools/call":
            with Path(os.environ.get("CALLED", os.devnull)).open("a") as calls:
                calls.write("called\n")
            call(id)
        elif id is not None:
            send(
                {"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}}
            )


main()
