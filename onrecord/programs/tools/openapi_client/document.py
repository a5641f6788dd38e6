"""An OpenAPI document: where it is read from, and what its references point to inside of it.

Nothing is fetched because a document says so: a reference to another file or address is an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

from onrecord.errors import UsageError

LARGEST = 32_000_000
"""Bytes of a document."""


class Document:
    """A document of OpenAPI 3.0, 3.1 or 3.2. `url`: where it was fetched from, where it was.

    Raises UsageError for what is none.
    """

    def __init__(self, content: Any, where: str, url: str = "") -> None:
        version = content.get("openapi") if isinstance(content, Mapping) else None
        if not isinstance(version, str) or not version.startswith("3."):
            old = isinstance(content, Mapping) and "swagger" in content
            raise UsageError(
                "a document of Swagger 2.0 is not read" if old else "this is no OpenAPI document",
                where=where,
                cure="Convert it to OpenAPI 3." if old else 'One begins with openapi: "3.…".',
            )
        self._content = content
        self.where = where
        self.url = url
        self.is_3_0 = version.startswith("3.0")

    @property
    def paths(self) -> Mapping[str, Any]:
        """The paths. Raises UsageError where there are none."""
        found = self._content.get("paths")
        if not isinstance(found, Mapping):
            raise UsageError("the document has no paths", where=self.where)
        return found

    def resolved(self, node: Any) -> dict[str, Any]:
        """An object, or the one that its reference points to; an empty one for what is none. Raises
        UsageError for a reference that leads out of the document, nowhere, or in a circle."""
        for _ in range(_HOPS):
            if not isinstance(node, Mapping):
                return {}
            if not isinstance(node.get("$ref"), str):
                return dict(node)
            node = self.at(node["$ref"])
        raise UsageError("a reference leads in a circle", where=self.where)

    def at(self, reference: str) -> Any:
        """What a reference points to. Raises UsageError."""
        if not reference.startswith("#/"):
            raise UsageError(
                f"a reference leads out of the document: {reference[:200]!r}",
                where=self.where,
                cure="Bundle it into one document first.",
            )
        found: Any = self._content
        for part in reference[2:].split("/"):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise UsageError(f"a reference leads nowhere: {reference[:200]!r}")
        return found

    def server(self, of: Mapping[str, Any] | None = None) -> str:
        """The address of the first server that the document (or a part of it) names, "" for none.
        One without a host is that of the document."""
        servers = (self._content if of is None else of).get("servers")
        first = servers[0] if isinstance(servers, list) and servers else {}
        first = first if isinstance(first, Mapping) else {}
        url = str(first.get("url") or ("" if of is not None else "/"))
        variables = first.get("variables")
        for name, each in (variables if isinstance(variables, Mapping) else {}).items():
            if isinstance(each, Mapping):
                url = url.replace(f"{{{name}}}", str(each.get("default", "")))
        if not url:
            return ""
        try:
            return urljoin(self.url, url) if self.url else url
        except ValueError:
            return url


def parse(text: str, where: str) -> Any:
    """What a document says, in JSON or YAML. Raises UsageError for neither."""
    import yaml

    try:
        if text.lstrip()[:1] == "{":
            return json.loads(text)
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return yaml.load(text, loader)  # a safe one
    except (ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())[:200]
        raise UsageError(f"the document is neither JSON nor YAML: {said}", where=where) from None
    except RecursionError:
        raise UsageError("the document is nested too deeply", where=where) from None


def read_file(path: Path) -> Any:
    """What the document in a file says. Raises UsageError."""
    try:
        if path.stat().st_size > LARGEST or not path.is_file():
            raise UsageError(f"this is no file of up to {LARGEST // 1_000_000} MB", where=str(path))
        return parse(path.read_text(encoding="utf-8-sig"), str(path))
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"the document cannot be read: {said}", where=str(path)) from None


_HOPS = 30
