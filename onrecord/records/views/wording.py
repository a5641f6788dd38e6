"""How amounts and texts are said to people: dollars, times, one line of a long text.

Names and texts of records come from anywhere. Whatever is shown of them in one line goes through
`flat`, so that nothing in it commands a terminal or turns the text around it.
"""

from __future__ import annotations

import re


def dollars(cost: int | None) -> str:
    """Integer micro-dollars as dollars: 1500 -> "$0.0015"; None -> "cost unknown"."""
    if cost is None:
        return "cost unknown"
    sign = "-" if cost < 0 else ""
    whole, rest = divmod(abs(cost), 1_000_000)
    return f"{sign}${whole:,}.{f'{rest:06d}'.rstrip('0').ljust(2, '0')}"


def bill(cost: int, unpriced: int) -> str:
    """What calls cost together, and of how many it is not known: "$0.0015 + 3 calls whose price is
    not known"."""
    if not unpriced:
        return dollars(cost)
    return f"{dollars(cost)} + {unpriced:,} call{'s' * (unpriced != 1)} whose price is not known"


def duration(seconds: float) -> str:
    """A time for people: "12 µs", "0.4 ms", "35 ms", "1.20 s", "3 min 5 s", "26 h 10 min"."""
    if seconds < 0.0001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.001:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 600 else f"{minutes // 60} h {minutes % 60} min"


def shortened(value: object, limit: int = 160) -> str:
    """A value in one line of at most `limit` characters."""
    # What a long value says beyond a few times the limit cannot be seen, even without white space.
    text = flat(value[: 4 * limit] if isinstance(value, str) else str(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def flat(text: str) -> str:
    """A text in one line: white space and line breaks become single spaces, and what commands a
    terminal is shown as `visible` shows it."""
    return visible(" ".join(text.split()))


def visible(text: str) -> str:
    r"""A text in which control characters, and those that turn the direction of the text around
    them, stand as escapes: \x1b, \u202e. Line breaks and tabs stay."""
    return _COMMANDS.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


# Control characters, and the overrides, embeddings and isolates of Unicode's bidirectional
# algorithm; its marks (U+200E, U+200F) turn nothing, and Hebrew and Arabic are written with them.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
