"""The tool `http`: a model reads the web, and asks services, at hosts that are allowed."""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from onrecord.arguments import several
from onrecord.errors import UsageError
from onrecord.programs.tool import Approve, Tool, checked_name, tool
from onrecord.programs.tools.http_client.credentials import Headers
from onrecord.programs.tools.http_client.fetching import Asked, Bounds, Client
from onrecord.programs.tools.http_client.hosts import Hosts, target_of

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that change nothing."""
METHODS = (*sorted(SAFE), "DELETE", "PATCH", "POST", "PUT")


def http(
    hosts: Sequence[str],
    *,
    methods: Sequence[str] = ("GET",),
    seconds: float = 10.0,
    max_bytes: int = 1_000_000,
    max_characters: int = 20_000,
    headers: Headers | None = None,
    private: bool = False,
    certificates: ssl.SSLContext | None = None,
    approve: Approve | None = None,
    name: str = "http",
) -> Tool[..., str]:
    """A tool with which a model makes HTTP requests to `hosts`, and to no others.

        read = on.tools.http(["docs.example.com", "*.example.org"])
        local = on.tools.http(["http://localhost:8080"], private=True, methods=["GET", "POST"])

    A host is an exact name, `*.example.org` for every name below that one, or an address; with a
    port where it is not the usual one. Requests use https; a host written as `http://host` may be
    asked without. A name is resolved once, all its addresses are checked and the connection goes to
    a checked one: none is made to loopback, private, link-local, multicast, reserved or translated
    addresses, nor to cloud metadata. `private=True` allows loopback and private addresses, to the
    hosts that are named exactly. Redirects (at most 5) pass the same checks.

    `seconds` bound all of it, redirects included; `max_bytes` the body, also unpacked: beyond it
    the connection is closed, and the model told so. It is given at most `max_characters`; a page as
    Markdown; of what is no text the type and the size.

    `headers` go with each request, and not to another host that it is redirected to; with several
    hosts, say which: `{"api.example.com": {"Authorization": "…"}}`. Neither the model nor the
    record sees them: a value that a server repeats, as it is or as a URL has it, becomes
    `[hidden]`. `approve` None: a person is asked for each method but GET, HEAD and OPTIONS; with
    one of those others the tool is not idempotent. `certificates`: what to trust in place of the
    public authorities.

    What it does NOT protect against: what an allowed host does with what it is sent (a model can
    put anything that it knows into an address), what is written on a page that it reads
    (instructions to the model included), headers that a server repeats in another form (as Base64),
    GET requests that change something there, and names below `*.example.org` that belong to
    somebody else. The environment's proxies are not used.

    The tool raises UsageError for an address that is not allowed, DeadlineError, and ToolError
    where there is no whole answer. Raises UsageError here for options that are none.
    """
    allowed = Hosts(hosts, private=private)
    named = methods_of(methods)
    client = Client(allowed, Bounds(seconds, max_bytes, max_characters), headers, certificates)

    def admitted(url: str) -> str:
        try:
            allowed.find(target_of(url))
        except UsageError as error:
            raise ValueError(str(error)) from None  # so that pydantic tells the model
        return url

    async def get(url: str) -> str:
        return await _told(client, Asked("GET", url))

    async def send(url: str, method: str = named[0], body: Any = None) -> str:
        return await _told(client, _asked(method, url, body, named))

    from pydantic import AfterValidator

    function = get if named == ("GET",) else send
    function.__name__ = function.__qualname__ = checked_name(name)
    function.__doc__ = f"Ask for a web address. Only these hosts are allowed: {allowed.shown}."
    address = Annotated[str, AfterValidator(admitted), "The whole address, with https://"]
    function.__annotations__["url"] = address
    if function is send:
        function.__annotations__["method"] = Literal[named]
        function.__annotations__["body"] = Annotated[
            Any, "What is sent: an object or a list as JSON, a text as it is"
        ]
    safe = SAFE.issuperset(named)
    made = tool(approve=approval(approve, named), idempotent=safe)(function)
    return made


async def _told(client: Client, asked: Asked) -> str:
    from onrecord.programs.tools.http_client.reading import said

    fetched = await client.fetch(asked)
    there, most = target_of(asked.url).url, client.bounds.max_characters
    return client.credentials.hide(await client.read(said, fetched, there, most))


def _asked(method: str, url: str, body: Any, methods: Sequence[str]) -> Asked:
    if method not in methods:
        raise UsageError(
            f"the method {method!r:.40} is not allowed", cure=f"Use {' or '.join(methods)}."
        )
    if body is None or body == "":
        return Asked(method, url)
    if method in SAFE:
        raise UsageError(f"{method} takes no body", cure="Leave it out.")
    return Asked(method, url, *as_sent(body))


def as_sent(body: Any) -> tuple[dict[str, str], bytes]:
    """A body with its header: a text as it is, everything else as JSON."""
    try:
        if isinstance(body, str):
            return {"content-type": "text/plain; charset=utf-8"}, body.encode()
        return {"content-type": "application/json"}, json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the body cannot be sent: {str(error)[:200]}") from None


def methods_of(methods: Sequence[str]) -> tuple[str, ...]:
    """Methods in capitals, each once. Raises UsageError for one that is none."""
    named = tuple(dict.fromkeys(each.upper() for each in several(methods, "methods", texts=True)))
    if unknown := next((each for each in named if each not in METHODS), None):
        raise UsageError(f"there is no method {unknown!r:.40}", cure=f"Use {', '.join(METHODS)}.")
    if not named:
        raise UsageError("no method is allowed", cure='Name them: methods=["GET"].')
    return named


def approval(approve: Approve | None, methods: Sequence[str]) -> Approve:
    """What a developer says, else: a person is asked for what changes something."""
    if approve is not None:
        return approve
    if SAFE.issuperset(methods):
        return False
    if SAFE.isdisjoint(methods):
        return True
    usual = methods[0]
    return lambda **arguments: arguments.get("method", usual) not in SAFE
