"""The definitions that were there when a server was first seen, or that a person accepted since.

They are kept in a file, whole, so that a change can be told in words:

    {"version": 1, "servers": {"https://host/mcp": {"refund": {"hash": …, "description": …,
    "parameters": …}}}}
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import msgspec

from onrecord.errors import StorageError
from onrecord.programs.tools.mcp_client.definitions import Definition


class Listing(NamedTuple):
    """What a server offers, beside what is pinned."""

    pinned: dict[str, Definition]
    """Those that a person knows, as they are pinned: those that the server still offers, and those
    whose definition has changed."""
    changed: dict[str, Definition]
    """As they are now: those whose definition is not the pinned one."""
    new: dict[str, Definition]
    """Those that were not there when the server was first seen."""
    gone: frozenset[str]
    """Names that are pinned and not offered any more."""


class Pins:
    """The pins of one server in a file that several servers may share."""

    def __init__(self, path: Path, server: str) -> None:
        self.path = path
        self.server = server

    def compare(self, found: Mapping[str, Definition], accept: Mapping[str, str]) -> Listing:
        """Hold what a server offers against its pins.

        The first time everything is pinned as it is. `accept`: hashes by name; a changed or new
        definition with that very hash is pinned. Raises StorageError.
        """
        try:
            pinned = self._read().get(self.server)
            fresh = {
                name: each
                for name, each in found.items()
                if pinned is None or (accept.get(name) == each.hash and not _same(pinned, each))
            }
            if fresh or pinned is None:
                pinned = self._add(fresh, accepted=pinned is not None)
        except OSError as error:
            raise StorageError(
                f"the pinned definitions of {self.server} cannot be kept: "
                f"{error.strerror or error}",
                where=str(self.path),
                cure="Name a file that can be written: pinned='mcp.lock.json'.",
            ) from None
        return Listing(
            pinned={name: each for name, each in pinned.items() if name in found},
            changed={
                name: each
                for name, each in found.items()
                if name in pinned and not _same(pinned, each)
            },
            new={name: each for name, each in found.items() if name not in pinned},
            gone=frozenset(pinned.keys() - found.keys()),
        )

    def _add(self, fresh: Mapping[str, Definition], accepted: bool) -> dict[str, Definition]:
        lock = self.path.with_name(f".{self.path.name}.lock")
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with filelock.FileLock(lock, timeout=_PATIENCE):
                servers = self._read()
                known = servers.get(self.server)
                if known is not None and not accepted:
                    return known  # another process was first
                known = servers[self.server] = {**(known or {}), **fresh}
                self._write(servers)
        except filelock.Timeout:
            raise StorageError(
                "another process holds the pinned definitions", where=str(lock)
            ) from None
        _log.info("%d tools of %s are pinned in %s", len(fresh), self.server, self.path)
        return known

    def _read(self) -> dict[str, dict[str, Definition]]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        try:
            content = json.loads(text)
            if content["version"] != _VERSION:
                raise ValueError(f"its version is {content['version']!r:.40}")
            return {
                server: {name: _definition(name, each) for name, each in tools.items()}
                for server, tools in content["servers"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
            raise StorageError(
                f"the pinned definitions cannot be read: {error}",
                where=str(self.path),
                cure="Take the file from your version control. Without it whatever the server "
                "offers now is pinned.",
            ) from None

    def _write(self, servers: Mapping[str, Mapping[str, Definition]]) -> None:
        content = {
            "version": _VERSION,
            "servers": {
                server: {
                    name: {
                        "hash": each.hash,
                        "description": each.description,
                        "parameters": each.parameters,
                    }
                    for name, each in sorted(tools.items())
                }
                for server, tools in sorted(servers.items())
            },
        }
        number, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(json.dumps(content, indent=2) + "\n")
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _same(pinned: Mapping[str, Definition], now: Definition) -> bool:
    # By their hashes: to Python, True equals 1.
    return now.name in pinned and pinned[now.name].hash == now.hash


def _definition(name: str, kept: dict[str, Any]) -> Definition:
    made = msgspec.convert({**kept, "name": name}, Definition)
    if made.hash != kept["hash"]:
        raise ValueError(f"the hash of '{name}' is not that of its definition")
    return made


_log = logging.getLogger(__name__)
_VERSION = 1
_PATIENCE = 10.0
