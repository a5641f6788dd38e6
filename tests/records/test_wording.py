"""Amounts and texts as people read them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from onrecord.records.views.wording import bill, dollars, duration, flat, shortened, visible


def test_amounts_for_people() -> None:
    assert [duration(each) for each in (0, 5e-5, 0.0004, 0.035, 1.2, 185, 94_200)] == [
        "0 µs",
        "50 µs",
        "0.4 ms",
        "35 ms",
        "1.20 s",
        "3 min 5 s",
        "26 h 10 min",
    ]
    assert [dollars(each) for each in (0, 1500, 1_234_560_000, None)] == [
        "$0.00",
        "$0.0015",
        "$1,234.56",
        "cost unknown",
    ]
    assert bill(1500, 3) == "$0.0015 + 3 calls whose price is not known"


@given(st.integers(-(10**15), 10**15))
def test_dollars_say_every_micro_dollar(cost: int) -> None:
    said = dollars(cost).replace("$", "").replace(",", "")
    whole, _, fraction = said.partition(".")
    assert int(whole + fraction.ljust(6, "0")) == cost and 2 <= len(fraction) <= 6


def test_what_would_command_a_terminal_stands_as_an_escape() -> None:
    assert visible("a\x1b[2J\u202eb\x85\n\tc") == "a\\x1b[2J\\u202eb\\x85\n\tc"
    assert visible("שלום\u200f! café 👩\u200d🚀") == "שלום\u200f! café 👩\u200d🚀"


@given(st.text())
def test_one_line_is_one_line_and_harmless(text: str) -> None:
    line = flat(text)
    assert line.splitlines() in ([line], []) and visible(line) == line
    assert len(shortened(text, 20)) <= 20
