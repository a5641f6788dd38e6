from __future__ import annotations

import asyncio
import copy
import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import fastapi
import pydantic
import pytest
import uvicorn
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import onrecord as on
from onrecord.errors import DeadlineError, OnrecordError, UsageError
from onrecord.programs.tools.openapi_client.document import Document, parse
from onrecord.programs.tools.openapi_client.operations import Operation, Unusable, operations
from onrecord.programs.tools.openapi_tool import openapi
from onrecord.prompts.schemas import Unfit
from tests.programs.tools.http_servers import Request, Served, answer, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


ORDER = {
    "type": "object",
    "required": ["id", "item"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "item": {"type": "string", "description": "What is ordered"},
        "note": {"type": "string", "nullable": True},
        "kind": {"type": "string", "enum": ["new", "used"], "nullable": True},
        "count": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
    },
}
SHOP: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Shop", "version": "1"},
    "servers": [{"url": "https://shop.example.com/{v}", "variables": {"v": {"default": "v1"}}}],
    "paths": {
        "/orders/{orderId}": {
            "parameters": [{"$ref": "#/components/parameters/OrderId"}],
            "get": {
                "operationId": "getOrder",
                "summary": "Look an order up.",
                "description": "Gives all of it.",
                "parameters": [
                    {"name": "expand", "in": "query", "schema": {"type": "array", "items": {}}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
                    {"name": "seen", "in": "cookie", "schema": {"type": "boolean"}},
                ],
                "responses": {"200": {"description": "ok"}},
            },
            "delete": {"operationId": "deleteOrder", "responses": {}},
        },
        "/orders": {
            "get": {
                "parameters": [
                    {
                        "name": "filter",
                        "in": "query",
                        "style": "deepObject",
                        "schema": {"type": "object", "properties": {"city": {"type": "string"}}},
                    },
                    {"name": "tags", "in": "query", "explode": False, "schema": {"type": "array"}},
                    {"name": "a[b]", "in": "query", "schema": {"type": "integer"}},
                    {"name": "q", "in": "query", "content": {"application/json": {"schema": {}}}},
                ],
                "responses": {},
            },
            "post": {
                "operationId": "create order!",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "allOf": [
                                    {"$ref": "#/components/schemas/Order"},
                                    {
                                        "type": "object",
                                        "properties": {"gift": {"type": "boolean"}},
                                    },
                                ]
                            }
                        }
                    },
                },
                "responses": {},
            },
        },
    },
    "components": {
        "parameters": {
            "OrderId": {
                "name": "orderId",
                "in": "path",
                "required": True,
                "description": "The number on the invoice",
                "schema": {"type": "string"},
            }
        },
        "schemas": {
            "Order": ORDER,
            "Part": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
                },
            },
        },
    },
}


def shop(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(SHOP), **changes}


def one(operation: dict[str, Any], path: str = "/x", method: str = "get", **more: Any) -> Any:
    """A document with one operation."""
    return shop(paths={path: {method: {"responses": {}, **operation}}}, **more)


async def tools_of(document: Any, **options: Any) -> dict[str, Any]:
    return {each.name: each for each in await openapi(document, **options)}


async def at(server: Served, document: Any = SHOP, **options: Any) -> dict[str, Any]:
    return await tools_of(document, server=f"{server.url}/v1", private=True, **options)


# --- what a model is told


async def test_the_tools_of_a_document() -> None:
    tools = await tools_of(SHOP)
    assert list(tools) == ["getOrder", "get_orders"]
    schema = tools["getOrder"].schema
    assert schema.description == "Look an order up.\n\nGives all of it."
    assert schema.parameters == {
        "type": "object",
        "properties": {
            "orderId": {"type": "string", "description": "The number on the invoice"},
            "expand": {"type": "array", "items": {}},
            "X-Trace": {"type": "string"},
            "seen": {"type": "boolean"},
        },
        "required": ["orderId"],
        "additionalProperties": False,
    }
    assert list(tools["get_orders"].schema.parameters["properties"]) == [
        "filter",
        "tags",
        "a_b",
        "q",
    ]
    assert all(each.idempotent and each.approve is False for each in tools.values())
    with pytest.raises(Unfit, match="orderId"):
        tools["getOrder"].read("{}")
    with pytest.raises(Unfit, match="nonsense"):
        tools["getOrder"].read('{"orderId": "1", "nonsense": 1}')


async def test_a_body_becomes_arguments() -> None:
    (tool,) = (await tools_of(SHOP, methods=["POST"])).values()
    assert tool.name == "create_order"
    assert tool.approve is True and not tool.idempotent
    schema = tool.schema.parameters
    assert list(schema["properties"]) == ["item", "note", "kind", "count", "parts", "gift"]
    assert schema["required"] == ["item"]
    assert schema["properties"]["note"] == {"type": ["string", "null"]}
    assert schema["properties"]["kind"]["enum"] == ["new", "used", None]
    assert schema["properties"]["count"] == {"type": "integer", "exclusiveMinimum": 0}
    assert schema["properties"]["parts"]["items"] == {"$ref": "#/$defs/Part"}
    assert schema["$defs"]["Part"]["properties"]["parts"]["items"] == {"$ref": "#/$defs/Part"}
    assert tool.read('{"item": "lamp", "note": null, "parts": [{"parts": []}]}')
    with pytest.raises(Unfit, match=r"parts\[0\]"):
        tool.read('{"item": "lamp", "parts": [{"parts": [{"name": 1}]}]}')
    with pytest.raises(Unfit, match="count"):
        tool.read('{"item": "lamp", "count": 0}')


async def test_only_and_without() -> None:
    tools = await tools_of(SHOP, only=["deleteOrder", "getOrder"])
    assert list(tools) == ["getOrder", "deleteOrder"]
    assert tools["deleteOrder"].approve is True
    assert list(await tools_of(SHOP, without=["getOrder"])) == ["get_orders"]
    assert (await tools_of(SHOP, only=["deleteOrder"], approve=False))["deleteOrder"].approve is (
        False
    )
    with pytest.raises(UsageError, match=r"no operation 'getOrdr'. Did you mean 'getOrder'"):
        await openapi(SHOP, only=["getOrdr"])
    with pytest.raises(UsageError, match="several"):
        await openapi(SHOP, only="getOrder")


def test_names_are_unique_and_callable() -> None:
    paths = {
        "/a": {"get": {"operationId": "same"}, "post": {"operationId": "same"}},
        "/b": {"get": {"operationId": "same"}, "post": {"operationId": "x" * 100}},
        "/c": {"get": {"operationId": "x" * 90}, "post": {"operationId": "9 lives"}},
        "/ü/{}": {"get": {}},
        "/": {"get": {}, "post": {"operationId": "ü"}},
    }
    found = [each.name for each in operations(Document(shop(paths=paths), "here"))]
    assert len(found) == len(set(found)) == 9
    assert all(len(each) <= 64 and each.replace("-", "_").isidentifier() for each in found)
    assert found[:3] == ["same", "same_2", "same_3"]


async def test_arguments_of_one_name_are_told_apart() -> None:
    document = one(
        {
            "operationId": "put",
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                {"name": "id", "in": "query", "schema": {"type": "string"}},
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"properties": {"id": {}}}}},
            },
        },
        "/x/{id}",
        "put",
    )
    async with serving(answer(b"{}", kind="application/json")) as server:
        tools = await at(server, document, methods=["PUT"])
        assert list(tools["put"].schema.parameters["properties"]) == ["id", "id_query", "id_body"]
        await tools["put"]({"id": "1", "id_query": "2", "id_body": "3"})
        (request,) = server.requests
    assert (request.path, request.body) == ("/v1/x/1?id=2", b'{"id": "3"}')


async def test_openapi_3_1() -> None:
    schema = {
        "type": ["object", "null"],
        "properties": {"a": {"$ref": "#/components/schemas/Part", "description": "b"}},
        "anyOf": [{"required": ["a"]}, True],
    }
    document = one(
        {"requestBody": {"content": {"application/vnd.x+json; charset=utf-8": {"schema": schema}}}},
        method="post",
        openapi="3.1.0",
    )
    (tool,) = (await tools_of(document, methods=["POST"])).values()
    body = tool.schema.parameters["properties"]["body"]
    assert body["type"] == ["object", "null"]
    assert body["properties"]["a"] == {"description": "b", "$ref": "#/$defs/Part"}
    assert tool.schema.parameters["required"] == []
    assert tool.read('{"body": null}') == {"body": None}


# --- requests


async def test_a_request_as_the_document_says() -> None:
    async with serving(answer(b'{"id": 17}', kind="application/json")) as server:
        tools = await at(server)
        arguments = {"orderId": "a/b?c", "expand": ["x", "y z"], "X-Trace": "t", "seen": True}
        assert await tools["getOrder"](arguments) == {"id": 17}
        await tools["get_orders"](
            {"filter": {"city": "Köln"}, "tags": ["a", "b"], "a_b": 3, "q": {"x": [1]}}
        )
        first, second = server.requests
    assert first.path == "/v1/orders/a%2Fb%3Fc?expand=x&expand=y%20z"
    assert first.headers["x-trace"] == "t"
    assert first.headers["cookie"] == "seen=true"
    assert "authorization" not in first.headers
    assert second.path == (
        "/v1/orders?filter%5Bcity%5D=K%C3%B6ln&tags=a%2Cb&a%5Bb%5D=3&q=%7B%22x%22%3A%20%5B1%5D%7D"
    )


async def test_a_body_as_json_and_as_a_form() -> None:
    form = one(
        {
            "operationId": "pay",
            "requestBody": {
                "content": {
                    "application/x-www-form-urlencoded": {
                        "schema": {"properties": {"amount": {"type": "number"}, "to": {}}}
                    }
                }
            },
        },
        method="post",
    )
    async with serving(answer(b"", "204 No Content", "")) as server:
        tools = await at(server, methods=["POST"]) | await at(server, form, methods=["POST"])
        assert await tools["create_order"]({"item": "Lämp", "gift": True}) == (
            "(204 No Content, no content)"
        )
        await tools["pay"]({"amount": 1.5, "to": ["a b", "c"]})
        await tools["pay"]({})
        first, second, third = server.requests
    assert json.loads(first.body) == {"item": "Lämp", "gift": True}
    assert first.headers["content-type"] == "application/json"
    assert second.body == b"amount=1.5&to=a+b&to=c"
    assert third.body == b""


@pytest.mark.parametrize("value", [".", "..", "", "...", [], ["."]])
async def test_an_argument_stays_in_its_place_of_the_path(value: Any) -> None:
    document = one(
        {"parameters": [{"name": "id", "in": "path", "schema": {}}], "operationId": "get"},
        "/orders/{id}/items",
    )
    async with serving(answer(b"{}")) as server:
        tools = await at(server, document)
        with pytest.raises(UsageError, match="no part of a path"):
            await tools["get"]({"id": value})
        assert server.requests == []


@pytest.mark.parametrize(
    "value", ["../../admin", "a/../b", "%2e%2e/", "a#b", "a?b", "a\\b", "{id}"]
)
async def test_an_argument_does_not_lead_elsewhere(value: str) -> None:
    async with serving(answer(b"{}", kind="application/json")) as server:
        tools = await at(server)
        await tools["getOrder"]({"orderId": value})
        (request,) = server.requests
    assert request.path.startswith("/v1/orders/")
    assert request.path.count("/") == 3


async def test_a_header_holds_no_line_break() -> None:
    async with serving(answer(b"{}")) as server:
        tools = await at(server)
        for value in ("a\r\nX-Admin: yes", "a\nb", "ü"):
            with pytest.raises(UsageError, match="no header has"):
                await tools["getOrder"]({"orderId": "1", "X-Trace": value})
        with pytest.raises(UsageError, match="cannot be sent"):
            await tools["getOrder"]({"orderId": "\ud800"})
        assert server.requests == []


# --- answers


@pytest.mark.parametrize(
    ("status", "error"),
    [("404 Not Found", UsageError), ("422 Unprocessable", UsageError), ("500 Oops", OnrecordError)],
)
async def test_a_refusal_is_told(status: str, error: type[Exception]) -> None:
    body = b'{"detail": "no such order"}'
    async with serving(answer(body, status, "application/json")) as server:
        tools = await at(server)
        with pytest.raises(error, match=rf"getOrder was answered with {status}.*no such order"):
            await tools["getOrder"]({"orderId": "1"})


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (b'[1, {"a": null}]', "application/json", [1, {"a": None}]),
        (b'{"a": 1}', "application/problem+json", {"a": 1}),
        (b"{broken", "application/json", "{broken"),
        (b"hello", "text/plain", "hello"),
        (b"<p>Hi <b>you</b></p>", "text/html", "Hi you"),
        (b"\x89PNG\x00", "image/png", "(image/png, 5 bytes: no text, not shown)"),
        (b"[" * 100_000, "application/json", None),
    ],
)
async def test_answers(body: bytes, kind: str, told: Any) -> None:
    async with serving(answer(body, kind=kind)) as server:
        found = await (await at(server))["getOrder"]({"orderId": "1"})
    if told is None:
        assert found.startswith("[[[[") and "first 20,000 of 100,000" in found
    else:
        assert found == told


async def test_a_large_answer_is_cut_and_says_so() -> None:
    body = json.dumps(["x" * 100] * 1000).encode()
    async with serving(answer(body, kind="application/json")) as server:
        tools = await at(server, max_characters=1_000, max_bytes=50_000)
        found = await tools["getOrder"]({"orderId": "1"})
    assert "the first 1,000 of 50,000 characters" in found
    assert "only 50,000 bytes were read" in found


async def test_headers_are_hidden() -> None:
    async def echo(request: Request, writer: asyncio.StreamWriter) -> None:
        body = json.dumps(request.headers).encode()
        await answer(body, kind="application/json")(request, writer)

    async with serving(echo) as server:
        tools = await at(server, headers={"X-Api-Key": "hush-4711", "Accept": "application/x+json"})
        found = await tools["getOrder"]({"orderId": "1"})
        (request,) = server.requests
    assert request.headers["x-api-key"] == "hush-4711"
    assert request.headers["accept"] == "application/x+json"
    assert found["x-api-key"] == "[hidden]"


async def test_a_tool_is_on_record_as_any_other() -> None:
    async with serving(answer(b'{"id": 17}', kind="application/json")) as server:
        (tool,) = await openapi(
            SHOP, server=server.url, private=True, only=["getOrder"], headers={"X-Key": "hush-4711"}
        )

        @on.flow
        async def look(order: str) -> Any:
            return await tool({"orderId": order})

        with on.recording() as run:
            assert await look("1") == {"id": 17}
    assert "getOrder" in str(run.tree())
    kept = b"".join(each.read_bytes() for each in Path.cwd().rglob("*") if each.is_file())
    assert b"getOrder" in kept and b"hush" not in kept


# --- a service of somebody else's making


class Item(pydantic.BaseModel):
    name: str = pydantic.Field(description="What it is called", min_length=1)
    price: float | None = None
    tags: list[str] = []
    inner: Item | None = None


@pytest.fixture
def fastapi_url() -> Iterator[str]:
    """A real FastAPI application, behind a real uvicorn, that describes itself."""
    app = fastapi.FastAPI()

    @app.get("/items/{item_id}")
    async def get_item(
        item_id: int,
        tags: Annotated[list[str] | None, fastapi.Query()] = None,
        x_trace: Annotated[str | None, fastapi.Header()] = None,
        seen: Annotated[int | None, fastapi.Cookie()] = None,
    ) -> dict[str, Any]:
        "Look an item up."
        return {"id": item_id, "tags": tags, "trace": x_trace, "seen": seen}

    @app.post("/items")
    async def add_item(item: Item, dry: bool = False) -> dict[str, Any]:
        return {"item": item.model_dump(), "dry": dry}

    @app.post("/both")
    async def add_both(first: Item, second: Item) -> list[str]:
        return [first.name, second.name]

    config = uvicorn.Config(app, port=0, log_level="error")
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    thread = threading.Thread(target=server.run, args=([socket],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


async def test_a_service_made_with_fastapi(fastapi_url: str) -> None:
    url = f"{fastapi_url}/openapi.json"
    tools = await tools_of(url, methods=["GET", "POST"], private=True)
    get, add, both = tools.values()
    assert get.schema.description == "Get Item\n\nLook an item up."
    arguments = get.read('{"item_id": 7, "tags": ["a", "b"], "x-trace": "t", "seen": 3}')
    assert await get.called(arguments) == {"id": 7, "tags": ["a", "b"], "trace": "t", "seen": 3}
    arguments = add.read('{"name": "lamp", "inner": {"name": "bulb", "price": null}, "dry": true}')
    answered = await add.called(arguments)
    assert answered["dry"] is True
    assert answered["item"]["inner"]["name"] == "bulb"
    assert await both({"first": {"name": "a"}, "second": {"name": "b"}}) == ["a", "b"]
    with pytest.raises(Unfit, match="name"):
        add.read('{"price": 3}')
    with pytest.raises(UsageError, match=r"was answered with 422.*at least 1 character"):
        await add({"name": ""})


# --- walls


async def test_the_same_walls_as_http() -> None:
    async with serving(answer(b"{}")) as server:
        tools = await tools_of(SHOP, server=server.url)
        with pytest.raises(UsageError, match="loopback"):
            await tools["getOrder"]({"orderId": "1"})
        assert server.requests == []

    async def away(request: Request, writer: asyncio.StreamWriter) -> None:
        await answer(b"", "302 Found", Location="http://169.254.169.254/")(request, writer)

    async with serving(away) as server:
        with pytest.raises(UsageError, match="leads on to another address"):
            await (await at(server))["getOrder"]({"orderId": "1"})

    async def drip(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with serving(drip) as server:
        with pytest.raises(DeadlineError):
            await (await at(server, seconds=0.2))["getOrder"]({"orderId": "1"})


async def test_a_document_from_the_network() -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        document = shop(servers=[{"url": "/v2"}])
        body = yaml.safe_dump(document) if request.path == "/openapi.yaml" else '{"id": 1}'
        await answer(body.encode(), kind="application/json")(request, writer)

    async with serving(handler) as server:
        url = f"{server.url}/openapi.yaml"
        tools = await tools_of(url, private=True, headers={"X-Key": "hush-4711"})
        assert await tools["getOrder"]({"orderId": "1"}) == {"id": 1}
        assert [each.path for each in server.requests] == ["/openapi.yaml", "/v2/orders/1"]
        assert all(each.headers["x-key"] == "hush-4711" for each in server.requests)
        with pytest.raises(UsageError, match="loopback"):
            await openapi(url)
        with pytest.raises(UsageError, match=r"404|no OpenAPI"):
            await openapi(f"{server.url}/other", private=True)


async def test_a_document_does_not_send_the_headers_to_another_host() -> None:
    async with serving(answer(json.dumps(SHOP).encode())) as server:
        with pytest.raises(UsageError, match=r"another host: shop\.example\.com.*server="):
            await openapi(server.url, private=True, headers={"X-Key": "hush-4711"})
        named = await openapi(
            server.url,
            server="https://shop.example.com/v1",
            private=True,
            headers={"X-Key": "hush-4711"},
        )
        assert [each.name for each in named] == ["getOrder", "get_orders"]
        assert "x-key" in server.requests[0].headers
        assert "x-key" not in server.requests[1].headers


async def test_an_operation_does_not_go_to_another_server(caplog: Any) -> None:
    document = shop()
    document["paths"]["/orders"]["get"]["servers"] = [{"url": "https://evil.com"}]
    document["paths"]["/orders/{orderId}"]["servers"] = [{"url": "https://shop.example.com/v9"}]
    with caplog.at_level(logging.WARNING, "onrecord"):
        assert list(await tools_of(document)) == ["getOrder"]
    assert "get_orders is left out: it names a server of its own" in caplog.text
    with pytest.raises(UsageError, match="server of its own"):
        await openapi(document, only=["get_orders"])


# --- documents that are broken, huge, or point elsewhere


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "no OpenAPI document"),
        ({"swagger": "2.0"}, "Swagger 2.0"),
        ({"openapi": 3}, "no OpenAPI document"),
        ({"openapi": "3.0.0"}, "does not say where its server is"),
        (shop(servers=[{"url": "/v1"}]), "does not say where"),
        (shop(servers=[{"url": "ftp://x.com"}]), "does not say where"),
        (shop(servers=[{"url": "https://x.com?y=z"}]), "no query"),
        (shop(servers=[{"url": "https://user:hush@x.com"}]), "user or a password"),
        (shop(paths=None), "no paths"),
        (shop(paths={}), "no tool can be made"),
        (shop(paths={"/x": {"$ref": "other.yaml#/x"}}), "no tool can be made"),
    ],
)
async def test_documents_that_are_none(document: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        await openapi(document)


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ({"parameters": [{"$ref": "https://evil.com/p.yaml#/p"}]}, "out of the document"),
        ({"parameters": [{"$ref": "file:///etc/passwd"}]}, "out of the document"),
        ({"parameters": [{"$ref": "#/components/nothing"}]}, "leads nowhere"),
        (
            {"parameters": [{"name": "a", "in": "query", "schema": {"$ref": "x.json"}}]},
            "out of the document",
        ),
        ({"parameters": [{"name": "a", "in": "body"}]}, "is in 'body'"),
        ({"parameters": [{"in": "query"}]}, "parameter ''"),
        ({"parameters": [{"name": "a b", "in": "header"}]}, "no name of one"),
        (
            {"parameters": [{"name": "a", "in": "query", "schema": {"type": "file"}}]},
            "no JSON Schema",
        ),
        (
            {
                "requestBody": {
                    "required": True,
                    "content": {"multipart/form-data": {"schema": {}}},
                }
            },
            "multipart/form-data, and not JSON",
        ),
    ],
)
async def test_operations_that_no_tool_is_made_of(operation: Any, said: str, caplog: Any) -> None:
    document = one({"operationId": "odd", **operation})
    document["paths"]["/fine"] = {"get": {"operationId": "fine"}}
    with caplog.at_level(logging.WARNING, "onrecord"):
        assert list(await tools_of(document)) == ["fine"]
    assert "odd is left out" in caplog.text
    with pytest.raises(UsageError, match=said):
        await openapi(document, only=["odd"])


async def test_a_path_that_points_elsewhere_is_left_out(caplog: Any) -> None:
    document = shop()
    document["paths"]["/far"] = {"$ref": "other.yaml#/far"}
    with caplog.at_level(logging.WARNING, "onrecord"):
        assert list(await tools_of(document)) == ["getOrder", "get_orders"]
    assert "/far is left out: a reference leads out of the document" in caplog.text


async def test_a_path_with_an_unknown_place_is_left_out() -> None:
    with pytest.raises(UsageError, match="names what is no parameter"):
        await openapi(one({"operationId": "odd"}, "/x/{id}"), only=["odd"])


def test_references_in_a_circle() -> None:
    document = shop()
    document["components"]["parameters"] = {
        "OrderId": {"$ref": "#/components/parameters/Other"},
        "Other": {"$ref": "#/components/parameters/OrderId"},
    }
    found = {each.name: each for each in operations(Document(document, "here"))}
    odd = found["getOrder"]
    assert isinstance(odd, Unusable) and "circle" in odd.why


def test_a_schema_that_is_only_itself() -> None:
    document = one({"parameters": [{"name": "a", "in": "query", "schema": {"$ref": "#/a"}}]})
    document["a"] = {"$ref": "#/a"}
    (found,) = operations(Document(document, "here"))
    assert isinstance(found, Operation)


def test_schemas_that_grow_without_end() -> None:
    bomb = "\n".join(
        ["a0: &a0 {type: string}"]
        + [f"a{n}: &a{n} {{anyOf: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    )
    document = one({"operationId": "odd"})
    document["paths"]["/x"]["get"]["parameters"] = [
        {"name": "a", "in": "query", "schema": yaml.safe_load(bomb)["a11"]}
    ]
    (found,) = operations(Document(document, "here"))
    assert isinstance(found, Unusable) and "too large" in found.why
    itself: dict[str, Any] = {}
    itself["items"] = itself
    document["paths"]["/x"]["get"]["parameters"][0]["schema"] = itself
    (found,) = operations(Document(document, "here"))
    assert isinstance(found, Unusable) and "too deeply" in found.why


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{broken", "neither JSON nor YAML"),
        ("a: b: c", "neither JSON nor YAML"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("!!python/object/apply:os.system [id]", "neither JSON nor YAML"),
        ("\x00", "neither JSON nor YAML"),
    ],
)
def test_texts_that_are_no_document(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(text, "here")


async def test_a_document_in_a_file(project: Path) -> None:
    (project / "shop.yaml").write_text(yaml.safe_dump(SHOP, sort_keys=False))
    (project / "shop.json").write_text(json.dumps(SHOP), encoding="utf-8-sig")
    (project / "latin.yaml").write_bytes("openapi: ü".encode("latin-1"))
    for name in ("shop.yaml", project / "shop.json"):
        assert list(await tools_of(name)) == ["getOrder", "get_orders"]
    for name, said in [
        ("nothing.yaml", "cannot be read"),
        ("latin.yaml", "not UTF-8"),
        (project, "no file"),
        ("ftp://x.com/openapi.yaml", "cannot be read|no address"),
    ]:
        with pytest.raises(UsageError, match=said):
            await openapi(name)


async def test_more_operations_than_a_model_takes() -> None:
    paths = {f"/x{n}": {"get": {}} for n in range(129)}
    with pytest.raises(UsageError, match=r"129 operations; a model is given at most 128.*only="):
        await openapi(shop(paths=paths))
    assert len(await openapi(shop(paths=paths), only=["get_x7", "get_x9"])) == 2


def test_it_can_be_run() -> None:
    assert [each.name for each in openapi.run(SHOP)] == ["getOrder", "get_orders"]


NODES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("#/components"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                """
            $ref name in schema required type properties items allOf anyOf enum parameters content
            requestBody application/json get post operationId nullable pattern servers url style
            """.split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=200, deadline=None)
@given(NODES, NODES, NODES)
def test_whatever_a_document_holds_is_told_in_words(item: Any, operation: Any, part: Any) -> None:
    document = shop(paths={"/x": item, "/y": {"get": operation}}, components=part)
    with_body = {"parameters": [part], "requestBody": {"content": {"application/json": part}}}
    document["paths"]["/z"] = {"post": with_body}
    try:
        made = openapi.run(document, methods=["GET", "POST", "PUT"])
    except UsageError:
        return
    assert all(each.schema.parameters["type"] == "object" for each in made)
