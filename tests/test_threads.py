from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
import time

import pytest

from onrecord.threads import in_thread

word = contextvars.ContextVar("word", default="none")


def test_a_plain_function_runs_beside_the_loop() -> None:
    async def main() -> tuple[str, str, int]:
        word.set("here")
        name, said = await in_thread(lambda: (threading.current_thread().name, word.get()))
        began = time.monotonic()
        await asyncio.gather(*[in_thread(time.sleep, 0.2) for _ in range(50)])
        return name, said, int(time.monotonic() - began)

    name, said, seconds = asyncio.run(main())
    assert name == "<lambda>" and said == "here" and seconds < 5


@pytest.mark.parametrize("error", [StopIteration, GeneratorExit])
def test_what_a_coroutine_would_take_for_its_end_is_an_error(error: type[BaseException]) -> None:
    def stops() -> None:
        raise error

    with pytest.raises(RuntimeError, match=f"stops raised {error.__name__}") as raised:
        asyncio.run(in_thread(stops))
    assert isinstance(raised.value.__cause__, error)


def test_a_function_that_never_ends_does_not_keep_the_process() -> None:
    program = """
import asyncio, onrecord as on

@on.flow
def never():
    import time
    time.sleep(1000)

async def main():
    try:
        await asyncio.wait_for(never(), 0.2)
    except TimeoutError:
        print("left")

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "left\n"
