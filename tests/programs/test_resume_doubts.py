"""Going on with a run where calls look alike, or where not all of it is on record."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

import onrecord as on
from onrecord.errors import PausedError, ResumeError, StorageError
from onrecord.programs.flow import Flow
from onrecord.programs.history import History
from onrecord.programs.tool import tool
from onrecord.prompts.prompt import prompt
from onrecord.records.call import current
from onrecord.records.journal import Journal
from onrecord.records.query import Query
from onrecord.records.record import Record
from onrecord.records.scope import context
from onrecord.records.store import Store


def failed(flow: Flow[..., Any], error: type[Exception]) -> str:
    """The id of a run that ended in an error."""
    with pytest.raises(error):
        flow.run()
    store = Store.open()
    try:
        return store.runs(1)[0].id
    finally:
        store.close()


def test_what_must_not_happen_twice_is_asked_about_inside_of_a_step_with_another_input() -> None:
    numbers, done = itertools.count(), []
    times_out = True

    @tool(idempotent=False)
    async def refund(order: str, at: int) -> str:
        done.append(order)
        if times_out:
            raise TimeoutError("gateway")
        return f"refunded {order}"

    @on.step
    async def handle(order: str, at: int) -> str:
        await asyncio.sleep(0.01)
        return await refund(order, at)

    @on.flow
    async def settle() -> list[str]:
        return list(await asyncio.gather(*(handle(each, next(numbers)) for each in ("17", "18"))))

    run = failed(settle, TimeoutError)
    times_out = False
    with pytest.raises(PausedError) as paused:
        settle.resume.run(run)
    # Each is asked about in the place of the one that it resembles.
    for order, question in zip(("17", "18"), paused.value.questions, strict=True):
        assert question.text.count(f"order='{order}'") == 2 and "gateway" in question.text
    first, second = (each.id for each in paused.value.questions)
    answers: dict[str, Any] = {first: {"output": "by hand"}, second: {"repeat": True}}
    assert settle.resume.run(run, answers=answers) == ["by hand", "refunded 18"]
    assert done == ["17", "18", "18"]


def test_what_was_made_in_an_earlier_attempt_is_asked_about_first() -> None:
    numbers, done = itertools.count(), []
    failing = {"refund", "after"}

    @tool(idempotent=False)
    async def refund(at: int) -> str:
        done.append(at)
        if "refund" in failing:
            raise TimeoutError
        return "refunded"

    @on.step
    async def handle(at: int) -> str:
        await asyncio.sleep(0.01)
        return await refund(at)

    @on.flow
    async def settle() -> str:
        said, _ = await asyncio.gather(handle(next(numbers)), beside())
        if "after" in failing:
            raise RuntimeError
        return said

    @on.step
    async def beside() -> None:
        await asyncio.sleep(0.005)

    run = failed(settle, TimeoutError)
    failing.remove("refund")
    with pytest.raises(PausedError) as paused:
        settle.resume.run(run)
    again = {paused.value.questions[0].id: {"repeat": True}}
    with pytest.raises(RuntimeError):
        settle.resume.run(run, answers=again)
    failing.clear()
    with pytest.raises(PausedError) as paused:
        settle.resume.run(run)
    assert "and finished" in paused.value.questions[0].text
    assert len(done) == 2


class Client:
    """A user's own, without a repr."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._calls = 0

    @on.step
    async def price(self, item: str) -> str:
        self._calls += 1
        if self.region in down:
            raise ConnectionError(f"{self.region} is down")
        return f"5 in {self.region}"


down: set[str] = set()


def test_objects_of_one_class_are_told_apart() -> None:
    @on.flow
    async def compare() -> list[str]:
        both = (Client("eu").price("kettle"), Client("us").price("kettle"))
        found = await asyncio.gather(*both, return_exceptions=True)
        return [_or_raise(each) for each in found]

    down.add("eu")
    run = failed(compare, ConnectionError)
    down.clear()
    assert compare.resume.run(run) == ["5 in eu", "5 in us"]


def test_functions_made_by_one_function_are_told_apart() -> None:
    def made(city: str) -> Any:
        @on.step
        async def weather() -> str:
            if city in down:
                raise ConnectionError
            return f"rain in {city}"

        return weather

    @on.flow
    async def look() -> list[str]:
        rome, oslo = made("Rome"), made("Oslo")
        found = await asyncio.gather(oslo(), rome(), return_exceptions=True)
        # Asked for in another order: what they hold tells them apart, and not their number.
        assert await made("Rome")() == "rain in Rome"
        return [_or_raise(each) for each in found]

    down.add("Oslo")
    run = failed(look, ConnectionError)
    down.clear()
    assert look.resume.run(run) == ["rain in Oslo", "rain in Rome"]


class Counting:
    """Its attributes change while it works."""

    def __init__(self) -> None:
        self.calls = 0

    @on.step
    async def price(self, item: str) -> str:
        made.append(item)
        self.calls += 1
        return item

    @on.tool(idempotent=False)
    async def pay(self, item: str) -> str:
        made.append(item)
        self.calls += 1
        if item in down:
            raise TimeoutError
        return item


made: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_made() -> None:
    made.clear()
    down.clear()


def test_an_object_that_changes_is_the_same_object() -> None:
    @on.flow
    async def look() -> list[str]:
        shop = Counting()
        found = [await shop.price("kettle"), await shop.price("pot")]
        if "all" in down:
            raise ConnectionError
        return found

    down.add("all")
    run = failed(look, ConnectionError)
    with pytest.raises(ConnectionError):
        look.resume.run(run)
    down.clear()
    assert look.resume.run(run) == ["kettle", "pot"]
    assert made == ["kettle", "pot"]


def test_equal_calls_of_an_object_that_changes_are_taken_in_their_order() -> None:
    class Counter:
        def __init__(self) -> None:
            self.ticks = 0

        @on.step
        async def tick(self) -> int:
            if stop == len(ticked):
                raise ConnectionError
            ticked.append(1)
            self.ticks += 1
            return len(ticked)

    @on.flow
    async def count() -> list[int]:
        counter = Counter()
        return [await counter.tick() for _ in range(6)]

    ticked: list[int] = []
    stop = 2
    run = failed(count, ConnectionError)
    stop = 4
    with pytest.raises(ConnectionError):
        count.resume.run(run)
    stop = 5
    with pytest.raises(ConnectionError):
        count.resume.run(run)
    stop = 9
    assert count.resume.run(run) == [1, 2, 3, 4, 5, 6]


def test_a_function_that_holds_the_time_is_the_same_function() -> None:
    clock = itertools.count()

    @on.flow
    async def look() -> str:
        deadline = next(clock) + 0.5

        @on.step
        async def fetch(place: str) -> str:
            made.append(f"{place} {deadline}")
            return place

        found = await fetch("eu")
        if "all" in down:
            raise ConnectionError
        return found

    down.add("all")
    run = failed(look, ConnectionError)
    down.clear()
    assert look.resume.run(run) == "eu" and made == ["eu 0.5"]


def test_what_an_object_that_changes_has_begun_is_asked_about_each_time() -> None:
    @on.flow
    async def settle() -> list[str]:
        shop = Counting()
        return [await shop.price("kettle"), await shop.pay("kettle")]

    down.add("kettle")
    run = failed(settle, TimeoutError)
    answers: dict[str, Any] = {}
    for times in (1, 2):
        # The answers given before are given again: each is good for one time.
        with pytest.raises(PausedError) as paused:
            settle.resume.run(run, answers=answers)
        assert made.count("kettle") == 1 + times  # once as a price
        answers[paused.value.questions[0].id] = {"repeat": True}
        with pytest.raises(TimeoutError):
            settle.resume.run(run, answers=answers)
    down.clear()
    with pytest.raises(PausedError) as paused:
        settle.resume.run(run, answers=answers)
    done = {paused.value.questions[0].id: {"output": "by hand"}}
    assert settle.resume.run(run, answers=done) == ["kettle", "by hand"]


def test_a_prompt_for_another_model_is_another_call() -> None:
    @prompt
    async def mood(review: str) -> str:
        """The mood of a review."""
        raise AssertionError

    @on.flow
    async def look() -> str:
        found = await mood.using(model)("A kettle.")
        if "all" in down:
            raise ConnectionError
        return found

    down.add("all")
    model = on.Scripted(["good"])
    run = failed(look, ConnectionError)
    model = on.Scripted(["bad"], name="other")
    with pytest.raises(ResumeError, match="asked of another model"):
        look.resume.run(run)


def test_another_input_is_no_change_of_an_object() -> None:
    @on.flow
    async def look() -> str:
        shop = Counting()
        await shop.price("pot")
        found = await shop.price(item)
        if "all" in down:
            raise ConnectionError
        return found

    down.add("all")
    item = "kettle"
    run = failed(look, ConnectionError)
    item = "pan"
    with pytest.raises(ResumeError, match="Its input has changed"):
        look.resume.run(run)


def test_an_object_that_changes_and_an_input_that_is_redacted() -> None:
    @on.flow
    async def look() -> str:
        shop = Counting()
        await shop.price("pot")
        await shop.price(f"password={secret}")
        if "all" in down:
            raise ConnectionError
        return "done"

    down.add("all")
    secret = "hunter2hunter2"
    run = failed(look, ConnectionError)
    down.clear()
    assert "hunter2" not in str(Store.open().run(run))
    assert look.resume.run(run) == "done"


def test_objects_that_were_asked_at_once_are_not_guessed() -> None:
    @on.flow
    async def compare() -> list[str]:
        async def price(region: str) -> str:
            await asyncio.sleep(0.01)
            return await Client(region).price("kettle")

        found = await asyncio.gather(*map(price, regions), return_exceptions=True)
        return [_or_raise(each) for each in found]

    regions = ["eu", "us"]
    down.add("eu")
    run = failed(compare, ConnectionError)
    down.clear()
    regions = ["asia", "us"]
    assert compare.resume.run(run) == ["5 in asia", "5 in us"]


def test_the_object_of_a_flow_may_have_changed() -> None:
    class Shop:
        def __init__(self) -> None:
            self.opened = 0

        @on.flow
        async def sell(self, item: str) -> str:
            self.opened += 1
            return item + str(await on.pause("Sell?"))

    shop = Shop()
    with pytest.raises(PausedError) as paused:
        shop.sell.run("kettle")
    answers = {paused.value.questions[0].id: "!"}
    assert shop.sell.resume.run(paused.value.run, answers=answers) == "kettle!"


def test_what_cannot_be_told_apart_is_taken_in_the_order_of_asking() -> None:
    class Hidden:
        def __init__(self, *region: str) -> None:
            self._region = region  # no text: it says nothing of the object

        @on.step
        async def price(self) -> str:
            await asyncio.sleep(0.01)
            if self._region[0] in down:
                raise ConnectionError
            return f"5 in {self._region[0]}"

    @on.flow
    async def compare() -> list[str]:
        both = (Hidden("eu").price(), Hidden("us").price())
        found = await asyncio.gather(*both, return_exceptions=True)
        return [_or_raise(each) for each in found]

    down.add("eu")
    run = failed(compare, ConnectionError)
    down.clear()
    assert compare.resume.run(run) == ["5 in eu", "5 in us"]


def test_what_must_not_happen_twice_is_not_begun_without_a_record() -> None:
    done = []
    full = True

    @tool(idempotent=False)
    async def refund(order: str) -> str:
        done.append(order)
        return "refunded"

    @on.flow
    async def settle() -> str:
        keeper = current()._keeper  # type: ignore[union-attr]  # where a full disk shows
        write, keeper.write = keeper.write, (lambda frame: False) if full else keeper.write  # type: ignore[union-attr]  # as above
        try:
            return await refund("17")
        finally:
            keeper.write = write  # type: ignore[union-attr]  # as above

    run = failed(settle, StorageError)
    assert done == []
    full = False
    assert settle.resume.run(run) == "refunded" and done == ["17"]


def test_a_run_without_any_record_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    @tool(idempotent=False)
    async def refund(order: str) -> str:
        return "refunded"

    @on.flow
    async def settle() -> str:
        return await refund("17")

    # Nobody can resume it, so nothing can happen twice.
    monkeypatch.setattr(Journal, "append", lambda journal, frame: False)
    assert settle.run() == "refunded"


def test_a_run_with_a_hole_is_refused() -> None:
    done = []

    @tool(idempotent=False)
    async def refund(order: str) -> str:
        done.append(order)
        return "refunded"

    @on.step
    async def handle(order: str) -> str:
        with context(session="kept"):
            return await refund(order)

    @on.flow
    async def settle() -> str:
        with context(session="gone"):
            await handle("17")
        return str(await on.pause("Go on?"))

    with pytest.raises(PausedError) as paused:
        settle.run()
    run, answers = paused.value.run, {paused.value.questions[0].id: "yes"}
    store = Store.open()
    store.erase(Query(session="gone"))
    store.close()
    with pytest.raises(ResumeError, match=r"records of the run are gone .* tool refund was made"):
        settle.resume.run(run, answers=answers)
    with pytest.raises(PausedError) as paused:
        settle.resume.run(run, answers=answers, changed="repeat")
    assert "`refund(order='17')`" in paused.value.questions[0].text
    assert done == ["17"]


def test_a_run_of_which_a_whole_call_was_erased_is_refused() -> None:
    done = []

    @tool(idempotent=False)
    async def refund(order: str) -> str:
        done.append(order)
        return "refunded"

    @on.flow
    async def settle() -> str:
        with context(user="ada"):
            await refund("17")
        return str(await on.pause("Go on?"))

    with pytest.raises(PausedError) as paused:
        settle.run()
    run, answers = paused.value.run, {paused.value.questions[0].id: "yes"}
    store = Store.open()
    store.erase(Query(user="ada"))
    with pytest.raises(ResumeError, match=r"records of the run are gone \(erased\): what was done"):
        settle.resume.run(run, answers=answers)
    assert done == ["17"]
    assert settle.resume.run(run, answers=answers, changed="repeat") == "yes"
    assert done == ["17", "17"]  # nothing tells of it: somebody said so
    store.erase(Query(run=run))
    assert store.source(f"{run} erased") is None  # nothing is left of the run
    store.close()


def test_a_resumed_run_is_of_the_release_it_began_with() -> None:
    @on.flow
    async def ask() -> str:
        return str(await on.pause("Go on?")) + str(await on.pause("Really?"))

    with context(release="1.0"), pytest.raises(PausedError) as paused:
        ask.run()
    with pytest.raises(PausedError) as second:
        ask.resume.run(paused.value.run, answers={paused.value.questions[0].id: "y"})
    with context(release="1.1"):
        ask.resume.run(paused.value.run, answers={second.value.questions[0].id: "es"})
    store = Store.open()
    flows = store.records(Query(run=paused.value.run, kinds=("flow",)))
    assert [each.release for each in flows] == ["1.1", "1.0", "1.0"]


def test_tries_are_answered_by_the_one_that_finished_and_others_by_their_order() -> None:
    def record(id: int, began: int, state: Any) -> Record:
        place = (str(id), "1", "1", "step", "s", {}, "k", began)
        return Record(*place, state=state, ended_ns=began + 50)

    root = Record("1", "1", None, "flow", "f", {}, "f", 1, state="failed", ended_ns=900)
    for second, expected in ((200, ["3", "2"]), (120, ["2", "3"])):
        history = History([root, record(2, 100, "failed"), record(3, second, "done")])
        same = history.in_order(history.top.by_key["k"])
        assert [each.records[0].id for each in same] == expected


def _or_raise(found: str | BaseException) -> str:
    if isinstance(found, BaseException):
        raise found
    return found
