"""How much memory a piece of work took: the growth of this process's peak resident set.

Linux forgets the peak when it is told to (`/proc/self/clear_refs`), so that each piece of work has
one of its own. Where that is not possible the peak since the process began is all that is known:
what a second piece of work took below it cannot be seen.

It counts the whole process, weights that are mapped from a file included, and not the memory of a
GPU. Memory that an earlier piece of work has freed and that is used again counts for neither.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


class Peak:
    """The growth of the peak since this object was made."""

    def __init__(self) -> None:
        self.is_own = _forget()
        self._before = _status("VmRSS") if self.is_own else _highest()

    def growth(self) -> int | None:
        """Bytes; None where this system does not say."""
        now = _status("VmHWM") if self.is_own else _highest()
        if now is None or self._before is None:
            return None
        return max(now - self._before, 0)


def _forget() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return _status("VmHWM") is not None


def _status(field: str) -> int | None:
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _highest() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
