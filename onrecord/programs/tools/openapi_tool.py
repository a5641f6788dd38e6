"""Tools from an OpenAPI document: a model asks a service as the service describes itself."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from onrecord.arguments import closest, several
from onrecord.calling import Operation as Calling
from onrecord.errors import ToolError, UsageError
from onrecord.messages import ToolSchema
from onrecord.programs.tool import Approve, Tool, described
from onrecord.programs.tools.http_client.fetching import Asked, Bounds, Client, Fetched
from onrecord.programs.tools.http_client.hosts import Hosts, target_of
from onrecord.programs.tools.http_tool import SAFE, methods_of
from onrecord.programs.tools.openapi_client.document import LARGEST, Document, parse, read_file
from onrecord.programs.tools.openapi_client.operations import Operation, Unusable, operations
from onrecord.threads import in_thread


@Calling
async def openapi(
    document: str | Path | Mapping[str, Any],
    *,
    server: str | None = None,
    only: Sequence[str] | None = None,
    without: Sequence[str] = (),
    methods: Sequence[str] = ("GET",),
    headers: Mapping[str, str] | None = None,
    seconds: float = 10.0,
    max_bytes: int = 1_000_000,
    max_characters: int = 20_000,
    private: bool = False,
    certificates: ssl.SSLContext | None = None,
    approve: Approve | None = None,
) -> list[Tool[..., Any]]:
    """The tools of a service that describes itself with OpenAPI 3: one for each operation.

        shop = await on.tools.openapi("shop.yaml", only=["getOrder", "listOrders"])
        shop = on.tools.openapi.run("https://api.example.com/openapi.json", headers={…})

    `document`: a file, what it says, or an address that is asked within the same walls as `http`
    has. Requests go to its first server, and to no other host; `server` names another one. Where
    the document was fetched from one host and names a server at another, `server` has to say so.

    Tools are made of the operations that have one of `methods`, and of all that `only` names (by
    operationId; else by method and path, `get_orders_order_id`), but not of those in `without`. A
    person is asked before a call of one that is not GET, HEAD or OPTIONS, unless `approve` says
    otherwise; such a tool is not idempotent. What no tool can be made of (a body that is not JSON,
    a schema that is none) is left out with a warning in the log; where `only` names it, it is an
    error.

    The arguments of a tool are the parameters, and the properties of the body (else one argument
    `body`). It gives the JSON that the service answers, or its text, of at most `max_characters`;
    the other bounds, `headers`, `private` and `certificates` are those of `http`. It raises
    UsageError where the service refuses the request (4xx) and ToolError where it fails.

    What it does NOT protect against: what the document says, which the model reads (instructions
    included); what the service does; patterns in the document that take for ever to match. The
    answers are not checked against the document. OAuth is not spoken: give a header.

    Raises UsageError for a document that is none, is larger than 32 MB, or gives more than 128
    tools; and what asking for it raises.
    """
    bounds = Bounds(seconds, max_bytes, max_characters).check()
    door = _Door(bounds, headers, private, certificates)
    read = await _read(document, server, door)
    base = server or read.server()
    _check_server(base, read, server)
    client = door.client(base)
    allowed = methods_of(methods)
    found = await in_thread(lambda: list(operations(read)))
    chosen = _chosen(found, allowed, only, without)
    tools = []
    for each in chosen:
        try:
            tools.append(_tool(each, base, read, client, approve))
        except UsageError as error:
            if only is not None:
                raise UsageError(
                    f"no tool can be made of {each.name}: {error.what}", where=read.where
                ) from None
            _log.warning("openapi: %s is left out: %s", each.name, error.what)
    if not tools:
        raise UsageError(
            "no tool can be made of the document", where=read.where, cure="See methods= and only=."
        )
    if len(tools) > _MOST:
        raise UsageError(
            f"the document has {len(tools)} operations; a model is given at most {_MOST}",
            where=read.where,
            cure="Name those that are needed: only=[…].",
        )
    return tools


class _Door(NamedTuple):
    """What all requests have in common."""

    bounds: Bounds
    headers: Mapping[str, str] | None
    private: bool
    certificates: ssl.SSLContext | None

    def client(self, url: str, *, known: bool = True) -> Client:
        """For the host of an address; `known`: it gets the headers."""
        target = target_of(url)
        hosts = Hosts([f"{target.scheme}://{target.authority}"], private=self.private)
        return Client(hosts, self.bounds, self.headers if known else None, self.certificates)


async def _read(
    document: str | Path | Mapping[str, Any], server: str | None, door: _Door
) -> Document:
    if isinstance(document, Mapping):
        return Document(document, "the document")
    if not isinstance(document, str) or "://" not in document:
        return Document(await in_thread(read_file, Path(document)), str(document))
    known = server is None or target_of(server).origin == target_of(document).origin
    wide = door._replace(bounds=door.bounds._replace(max_bytes=LARGEST))
    fetched = await wide.client(document, known=known).fetch(Asked("GET", document))
    where = fetched.url
    if fetched.status != 200 or fetched.is_cut:
        raise UsageError(
            f"the document is larger than {LARGEST // 1_000_000} MB"
            if fetched.is_cut
            else f"the document cannot be had: {fetched.status} {fetched.reason}",
            where=where,
        )
    try:
        text = fetched.body.decode("utf-8-sig")
    except ValueError:
        raise UsageError("the document is not UTF-8", where=where) from None
    return Document(await in_thread(parse, text, where), where, where)


def _check_server(base: str, document: Document, given: str | None) -> None:
    """Raises UsageError for an address that requests cannot go to, or that a document from the
    network chose at another host: the headers would go there."""
    if not base.startswith(("http://", "https://")):
        raise UsageError(
            f"the document does not say where its server is: {base[:100]!r}",
            where=document.where,
            cure='Name it: server="https://api.example.com/v1".',
        )
    target = target_of(base)
    if "?" in target.path:
        raise UsageError(f"a server has no query: {base[:200]!r}", where=document.where)
    if given is None and document.url and target.origin != target_of(document.url).origin:
        raise UsageError(
            f"the document names a server at another host: {target.authority}",
            where=document.where,
            cure=f"If that is right, say so: server={base[:200]!r}.",
        )


def _chosen(
    found: Sequence[Operation | Unusable],
    methods: Sequence[str],
    only: Sequence[str] | None,
    without: Sequence[str],
) -> list[Operation]:
    """The operations that tools are made of. Raises UsageError for names that there are not."""
    by_name = {each.name: each for each in found}
    wanted = None if only is None else several(only, "operations", texts=True)
    left_out = several(without, "operations", texts=True)
    for name in (*(wanted or ()), *left_out):
        if name not in by_name:
            raise UsageError(
                f"the document has no operation {name!r:.80}",
                cure=f"{closest(name, by_name)}It has: {', '.join(list(by_name)[:20])}.",
            )
    chosen = []
    for each in found:
        if each.name in left_out or not (
            each.method in (*methods, "") if wanted is None else each.name in wanted
        ):
            continue
        if isinstance(each, Operation):
            chosen.append(each)
        elif wanted is not None:
            raise UsageError(f"no tool can be made of {each.name}: {each.why}")
        else:
            _log.warning("openapi: %s is left out: %s", each.name, each.why)
    return chosen


def _tool(
    operation: Operation, base: str, document: Document, client: Client, approve: Approve | None
) -> Tool[..., Any]:
    own = document.server(operation.servers)
    if own:
        own = own if "://" in own else ""
        if not own or target_of(own).origin != target_of(base).origin:
            raise UsageError(f"it names a server of its own: {urlsplit(own).netloc or own!r}")
    is_safe = operation.method in SAFE

    async def call(arguments: Mapping[str, Any]) -> Any:
        asked = operation.asked(own or base, arguments)
        fetched = await client.fetch(asked)
        return await client.read(_result, operation, client, fetched)

    return described(
        ToolSchema(operation.name, operation.words, operation.schema),
        call,
        approve=not is_safe if approve is None else approve,
        idempotent=is_safe,
    )


def _result(operation: Operation, client: Client, fetched: Fetched) -> Any:
    """What a service answered: JSON as it is where it is short enough, else text."""
    from onrecord.programs.tools.http_client.reading import cut, text_of

    text = client.credentials.hide(text_of(fetched))
    reason = client.credentials.hide(fetched.reason)
    if not 200 <= fetched.status < 300:
        what = f"{operation.name} was answered with {fetched.status} {reason}".strip()
        said = " ".join(text[:_LONGEST_REFUSAL].split())
        kind = UsageError if 400 <= fetched.status < 500 else ToolError
        raise kind(f"{what}: {said}" if said else what)
    most = client.bounds.max_characters
    if len(text) <= most and not fetched.is_cut and "json" in fetched.content_type:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return cut(text, most, fetched) or f"({fetched.status} {reason}, no content)"


_MOST = 128
_LONGEST_REFUSAL = 1_000
_log = logging.getLogger("onrecord")
