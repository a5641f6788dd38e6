"""Receipts: what was erased, when, and on whose behalf, without keeping what was erased.

A receipt must not hold the very thing that somebody asked to be forgotten. Whom it was about is
kept as a salted hash: who knows the id can check that it was them, and nobody can read it there.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from onrecord.records.query import Query, Receipt


def save_receipt(receipt: Receipt, home: Path) -> Path:
    """Write a receipt into `home`/receipts; where it is. `is_about` reads it."""
    folder = home / "receipts"
    folder.mkdir(parents=True, exist_ok=True)
    document = msgspec.structs.asdict(receipt)
    document["query"] = without_persons(receipt.query, os.urandom(16).hex())
    written = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(receipt.at_ns / 1e9))
    for number in range(1, 1000):
        path = folder / f"erased-{moment}{'' if number == 1 else f'-{number}'}.json"
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(file, "wb") as opened:
            opened.write(written)
        return path
    raise FileExistsError(f"{folder} has a thousand receipts of {moment}")


def without_persons(query: Query, salt: str) -> dict[str, Any]:
    """A query with what may name a person as hashes. What it does not ask for is left out."""
    asked = {
        name: value
        for name, value in msgspec.structs.asdict(query).items()
        if value not in (None, ())
    }
    for name in _PERSONAL & asked.keys():
        asked[name] = hashed(msgspec.json.encode(asked[name]).decode(), salt)
    return {**asked, "salt": salt}


def is_about(path: Path, **who: str) -> bool:
    """Whether a saved receipt is that of an erasure asked for like this: `user="u-17"`."""
    asked = msgspec.json.decode(path.read_bytes())["query"]
    return all(
        asked.get(name) == hashed(msgspec.json.encode(value).decode(), asked["salt"])
        for name, value in who.items()
    )


def hashed(text: str, salt: str) -> str:
    """What a receipt holds in the place of a text."""
    made = hashlib.scrypt(text.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1, dklen=16)
    return f"scrypt:{made.hex()}"


_PERSONAL = {"user", "session", "tenant", "tags", "text", "error", "name"}
