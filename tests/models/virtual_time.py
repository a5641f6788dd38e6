"""An event loop whose clock jumps to the next timer when there is nothing else to do.

So an hour of waiting takes no time, and a test may say how long it was. For tests without work in
other threads: the loop does not wait for it.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Selector(selectors.DefaultSelector):
    skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return super().select(None)
        self.skipped += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` begins at 0."""

    def __init__(self) -> None:
        self._skipping = _Selector()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.skipped


VIRTUAL = ("asyncio", {"loop_factory": VirtualLoop})


def now() -> float:
    """Seconds since the test began, by the running loop."""
    return asyncio.get_running_loop().time()
