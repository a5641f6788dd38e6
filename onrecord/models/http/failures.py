"""What is known of a request that failed, for whoever retries it, limits it and pays for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf
from typing import TypeVar

from onrecord.errors import ModelError
from onrecord.messages import Usage

Failed = TypeVar("Failed", bound=ModelError)


def note(
    error: Failed,
    *,
    sent: bool | None = None,
    usage: Usage | None = None,
    retry_after: float | None = None,
) -> Failed:
    """Put on an error what is known; what is not said here stays as it was.

    `sent`: a model may have worked on the request, and its provider may charge for more than it
    reported. `usage`: the tokens it had reported by then. `retry_after`: seconds it asks to wait.
    """
    known = {
        "sent": sent,
        "usage": None if usage == Usage() else usage,
        "retry_after": retry_after,
    }
    vars(error).update({name: value for name, value in known.items() if value is not None})
    return error


def may_have_begun(status: int) -> bool:
    """Whether a model may have worked on a request that was answered with this status.

    Not where the request was refused, or the server was too busy for it (503, 529).
    """
    return status >= 500 and status not in (503, 529)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks to wait, from its headers: a number or a date."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        with suppress(ValueError):
            seconds = float(headers.get(name, "")) / unit
            return seconds if 0 <= seconds < inf else None
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        # A date without a zone is Greenwich's, as all dates in HTTP are.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
