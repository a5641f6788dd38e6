"""What Onrecord offers over MCP, asked by the official SDK's client."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client

import onrecord as on
from onrecord.errors import UsageError
from onrecord.records.record import Record
from onrecord.records.store import Store
from onrecord.serving.mcp_server import server
from onrecord.serving.offers import (
    OfferedAgent,
    OfferedCollection,
    OfferedFlow,
    OfferedTool,
    Offers,
)
from tests.programs.agents.scripts import ByTurn, calls
from tests.servers.processes import free_port, start, stop, wait_until_up

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@on.flow
async def greet(name: Annotated[str, "Whom."], times: int = 1) -> str:
    """Greet somebody."""
    return "hello " * times + name


@on.flow
async def count(words: list[str]) -> dict[str, int]:
    """Count words.

    Args:
        words: What is counted.
    """
    return {each: words.count(each) for each in words}


@on.flow
async def fails() -> str:
    """Fails."""
    raise ValueError("password=hunter2")


@on.flow
async def declines() -> str:
    """Says why not."""
    raise UsageError("there is no such order", cure="Ask for the number.")


@on.flow
async def refund(amount: float) -> Any:
    """Asks a person first."""
    return await on.pause(f"Refund {amount}?", options=["yes", "no"])


@on.tool
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@on.tool(approve=True)
def pay(amount: int) -> str:
    """Pays."""
    return "paid"


def recorded() -> list[Record]:
    """All that is on record, oldest first."""
    with closing(Store.open()) as store:
        return sorted(store.records(on.Query()), key=lambda each: each.id)


FLOWS = [greet, count, fails, declines, refund]


def offers(*more: Any) -> Offers:
    return Offers([*map(OfferedFlow, FLOWS), OfferedTool(add), *more])


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_flows_and_tools_are_tools(mode: str) -> None:
    async with Client(server(offers()), mode=mode) as client:
        listed = {each.name: each for each in (await client.list_tools()).tools}
        assert list(listed) == ["greet", "count", "fails", "declines", "refund", "add"]
        assert listed["greet"].description == "Greet somebody."
        name = listed["greet"].input_schema["properties"]["name"]
        assert name == {"type": "string", "description": "Whom."}
        assert listed["greet"].input_schema["required"] == ["name"]
        words = listed["count"].input_schema["properties"]["words"]
        assert words["description"] == "What is counted."

        said = await client.call_tool("greet", {"name": "Ann", "times": 2})
        assert said.content[0].text == "hello hello Ann" and not said.is_error
        counted = await client.call_tool("count", {"words": ["a", "b", "a"]})
        assert counted.structured_content == {"a": 2, "b": 1}
        assert (await client.call_tool("add", {"a": 1, "b": 2})).structured_content == {"result": 3}


async def test_what_fails_is_told_in_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    async with Client(server(offers())) as client:

        async def failed(tool: str, **arguments: Any) -> str:
            answer = await client.call_tool(tool, arguments)
            assert answer.is_error
            return str(answer.content[0].text)

        assert await failed("declines") == "there is no such order. Ask for the number."
        assert await failed("fails") == "'fails' failed with ValueError. Its record says more."
        assert "hunter2" in caplog.text  # whoever serves sees it
        assert "nam: there is no such argument. Did you mean 'name'?" in await failed(
            "greet", nam="Ann"
        )
        assert "times: Input should be a valid integer" in await failed(
            "greet", name="Ann", times="twice"
        )
        assert await failed("nothing") == "There is no tool 'nothing'."


async def test_a_flow_that_waits_for_a_person_says_so_and_goes_on_elsewhere() -> None:
    async with Client(server(offers())) as client:
        answer = await client.call_tool("refund", {"amount": 30})
    assert not answer.is_error
    waiting = answer.structured_content
    assert waiting is not None and waiting["waiting"] is True
    assert "waits for a person's answer to “Refund 30.0?”" in answer.content[0].text
    (question,) = waiting["questions"]
    assert question["options"] == ["yes", "no"]
    done = await refund.resume(waiting["run"], answers={question["id"]: "yes"})
    assert done == "yes"


async def test_agents_take_a_task() -> None:
    ask, ask_to_pay = ("add", {"a": 1, "b": 2}), ("pay", {"amount": 3})
    clerk = on.Agent(ByTurn(calls(ask), "It is 3."), tools=[add], name="clerk")
    payer = on.Agent(ByTurn(calls(ask_to_pay), "Paid."), tools=[pay], name="payer")
    lost = on.Agent(
        ByTurn(calls(ask)), tools=[add], name="lost", limits=on.Limits(steps=2), description="Adds."
    )
    offered = Offers([OfferedAgent(each) for each in (clerk, payer, lost)])
    async with Client(server(offered)) as client:
        listed = {each.name: each for each in (await client.list_tools()).tools}
        assert listed["lost"].description == "Adds."
        assert listed["clerk"].input_schema["required"] == ["task"]
        done = await client.call_tool("clerk", {"task": "What is 1 + 2?"})
        assert (done.is_error, done.content[0].text) == (False, "It is 3.")
        waits = (await client.call_tool("payer", {"task": "Pay 3."})).structured_content
        assert waits is not None and waits["waiting"] is True
        stopped = await client.call_tool("lost", {"task": "Go on."})
        assert stopped.is_error and "the agent was stopped before it could answer: steps" in (
            stopped.content[0].text
        )
    (question,) = waits["questions"]
    paid = await payer.resume(waits["run"], answers={question["id"]: "approve"})
    assert isinstance(paid, on.Done) and paid.value == "Paid."


async def test_calls_are_on_record_with_their_session() -> None:
    asked = offers()
    await asked.call("greet", {"name": "Ann"}, "mcp-1")
    await asked.call("add", {"a": 1, "b": 2}, None)
    records = {each.name: each for each in recorded()}
    assert records["greet"].session == "mcp-1" and records["greet"].tags == ("mcp",)
    assert records["add"].session is None and records["add"].kind == "tool"


async def test_no_more_at_once_than_allowed() -> None:
    running, most = 0, 0

    @on.flow
    async def busy() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    asked = Offers([OfferedFlow(busy)], concurrent=3)
    await asyncio.gather(*(asked.call("busy", {}, None) for _ in range(10)))
    assert most == 3


def test_what_cannot_be_offered() -> None:
    with pytest.raises(UsageError, match="wants a person's approval"):
        OfferedTool(pay)
    with pytest.raises(UsageError, match="two of what is offered are called 'greet'"):
        Offers([OfferedFlow(greet), OfferedFlow(greet)])

    @on.flow
    async def anything(**options: Any) -> None:
        """Takes anything."""

    with pytest.raises(UsageError, match="a model has to be told each argument"):
        OfferedFlow(anything)


async def test_collections_are_searched_and_read(project: Path) -> None:
    folder = project / "docs"
    folder.mkdir()
    (folder / "leave days.md").write_text("# Leave\n\nThere are 28 days of leave.\n")
    (folder / "tea.md").write_text("# Tea\n\nTea is at four.\n")
    collection = on.Collection.open("hand.book")
    await collection.ingest(folder)
    async with Client(server(offers(OfferedCollection(collection)))) as client:
        answer = await client.call_tool(
            "search_hand_book", {"question": "How many days of leave?", "k": 1}
        )
        assert answer.structured_content is not None
        (passage,) = answer.structured_content["result"]
        assert "28 days" in passage["text"]
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "collection://hand.book/{id}"
        id = passage["document_id"].replace(" ", "%20").replace("/", "%2F")
        read = await client.read_resource(template.uri_template.replace("{id}", id))
        assert "28 days of leave" in read.contents[0].text
        with pytest.raises(MCPError, match="there is no document 'nothing'"):
            await client.read_resource("collection://hand.book/nothing")
        with pytest.raises(MCPError, match="there is no collection 'other'"):
            await client.read_resource("collection://other/nothing")
        for k in (0, 51):
            refused = await client.call_tool("search_hand_book", {"question": "x", "k": k})
            assert refused.is_error and "1 to 50 passages" in refused.content[0].text
    collection.close()


APPLICATION = '''
import onrecord as on

print("loaded")


@on.flow
def greet(name: str) -> str:
    """Greet somebody."""
    print("greeting", name)
    return f"hello {name}"


@on.flow
def sleep(seconds: float) -> None:
    """Waits."""
    import time
    time.sleep(seconds)
'''


@pytest.fixture
def application(project: Path) -> Path:
    path = project / "app.py"
    path.write_text(APPLICATION)
    return path


async def test_over_standard_input_and_output(
    application: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ["-m", "onrecord", "serve", str(application), "--mcp"]
    command = StdioServerParameters(
        command=sys.executable, args=arguments, cwd=str(application.parent)
    )
    with (tmp_path / "said").open("w+") as said:
        async with Client(stdio_client(command, errlog=said)) as client:
            assert (await client.call_tool("greet", {"name": "Ann"})).content[0].text == "hello Ann"
            assert (await client.call_tool("greet", {"name": "Bob"})).content[0].text == "hello Bob"
        said.seek(0)
        shown = said.read()
    assert "Failed to parse" not in caplog.text  # nothing that is printed reaches the protocol
    assert "loaded" in shown and "greeting Ann" in shown and "Traceback" not in shown
    records = recorded()
    assert [each.input for each in records] == [{"name": "Ann"}, {"name": "Bob"}]
    assert len({each.session for each in records}) == 1
    assert str(records[0].session).startswith("mcp-")


@pytest.fixture
def address(application: Path, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    log = tmp_path / "serve.log"
    command = [sys.executable, "-m", "onrecord", "serve", str(application), "--mcp", "--http"]
    process = start([*command, "--port", str(port)], log, signal.SIGKILL, cwd=application.parent)
    wait_until_up(process, lambda: b"Ctrl-C" in log.read_bytes(), log)
    yield f"http://127.0.0.1:{port}/mcp"
    stop(process, signal.SIGINT)
    assert process.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_over_http(mode: str, address: str) -> None:
    async with Client(address, mode=mode) as client, Client(address, mode=mode) as other:
        answers = await asyncio.gather(
            *(each.call_tool("greet", {"name": "Ann"}) for each in (client, other, client))
        )
        assert [each.content[0].text for each in answers] == ["hello Ann"] * 3
    sessions = {each.session for each in recorded()}
    # The newer protocol has no sessions any more.
    assert sessions == {None} if mode == "auto" else len(sessions) == 2


async def test_web_pages_do_not_reach_it(address: str) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"accept": "application/json, text/event-stream"}
    async with httpx.AsyncClient(headers=accept) as client:
        rebound = await client.post(address, json=call, headers={"host": "evil.example"})
        assert rebound.status_code == 421
        crossed = await client.post(address, json=call, headers={"origin": "http://evil.example"})
        assert crossed.status_code == 403
        garbage = await client.post(
            address, content=b"{", headers={"content-type": "application/json"}
        )
        assert garbage.status_code == 400 and "Traceback" not in garbage.text
        large = await client.post(
            address, content=b" " * 5_000_000, headers={"content-type": "application/json"}
        )
        assert large.status_code == 413
        assert (await client.get(address.replace("/mcp", "/docs"))).status_code == 404
        assert "server" not in garbage.headers


async def test_it_listens_at_its_address_alone(address: str) -> None:
    port = int(address.rpartition(":")[2].partition("/")[0])
    socket.create_connection(("127.0.0.1", port), timeout=10).close()
    with pytest.raises(ConnectionRefusedError):  # as at every other address of this machine
        socket.create_connection(("127.0.0.2", port), timeout=10).close()
