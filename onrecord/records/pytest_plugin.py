"""For pytest: the fixture `cassette`, the marker of that name, and `pytest --record`.

    def test_leave(cassette):
        assert ask.run("How many days of leave do I have?").value == "25 days"
        assert not cassette.unused

The test's calls are answered from `cassettes/<test module>/<test name>.jsonl` beside its file, or
from the one in `cassettes/` that `@pytest.mark.cassette("name.jsonl")` names; the marker alone will
do, too. A call that it does not hold fails the test.

    pytest --record        makes the calls that are not on the cassettes, and adds them
    pytest --record=all    makes all calls anew; of a cassette that several tests share this drops
                           what tests recorded that are not run, or run in another worker

pytest finds this module by the entry point in pyproject.toml; nothing else imports it. Where
something else wants the name `--record`, `-p no:onrecord` switches it off.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import inspect
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from onrecord.records.replay import Replay


@pytest.hookimpl(trylast=True)
def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--record` and `--record=all`."""
    group = parser.getgroup("onrecord", "Onrecord: cassettes")
    # Two options and not one with an optional value: that would take the path after it for its
    # own. Another plugin may have the name already; then its users record with `replay`.
    with contextlib.suppress(ValueError, argparse.ArgumentError):
        group.addoption(
            "--record",
            action="store_const",
            const=True,
            default=False,
            dest=_OPTION,
            help="make the calls that are not on the tests' cassettes, and add them",
        )
        group.addoption(
            "--record=all",
            action="store_const",
            const="all",
            dest=_OPTION,
            help="make all calls of the tests' cassettes anew",
        )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "cassette(name): answer the test's calls from this file in the folder `cassettes`",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A marked test gets the fixture without naming it."""
    names = getattr(item, "fixturenames", None)
    if names is not None and item.get_closest_marker("cassette") and "cassette" not in names:
        names.append("cassette")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test failed: its fixture is not told."""
    report = yield
    if report.failed or report.outcome == "skipped":
        item.stash[_CUT_SHORT] = True
    return report


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[Replay]:
    """Answers the test's model, embedding, tool and search calls from its cassette."""
    from onrecord.errors import OnrecordError
    from onrecord.records.replay import replay

    path = cassette_path(request.node)
    try:
        with replay(path, record=_mode(request.config, path)) as at_work:
            _follow(request.node, at_work)
            yield at_work
            if request.node.stash.get(_CUT_SHORT, False):
                at_work.cut_short()
    except OnrecordError as error:  # of the cassette's: a test's own does not come by here
        pytest.fail(str(error), pytrace=False)


def cassette_path(item: pytest.Item) -> Path:
    """Where the cassette of a test is."""
    folder = item.path.parent / "cassettes"
    marker = item.get_closest_marker("cassette")
    if marker is not None and marker.args:
        return folder / str(marker.args[0])
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    return folder / item.path.stem / f"{_safe('.'.join([*classes, item.name]))}.jsonl"


_OPTION = "onrecord_record"
_CUT_SHORT = pytest.StashKey[bool]()
_ANEW = pytest.StashKey[set[Path]]()
_LONGEST = 100


def _mode(config: pytest.Config, path: Path) -> bool | Literal["all"]:
    mode = config.getoption(_OPTION, False)
    if mode != "all":
        return bool(mode)
    # Tests that share a cassette make it anew together.
    begun = config.stash.setdefault(_ANEW, set())
    if path in begun:
        return True
    begun.add(path)
    return "all"


def _follow(item: Any, at_work: Replay) -> None:
    """Let the cassette answer in an asynchronous test, too: whoever runs it may do so in a context
    that knows nothing of this fixture."""
    test = getattr(item, "obj", None)
    if not inspect.iscoroutinefunction(test):
        return

    @functools.wraps(test)
    async def followed(*args: Any, **kwargs: Any) -> Any:
        with at_work.inside():
            return await test(*args, **kwargs)

    item.obj = followed


def _safe(name: str) -> str:
    """A name that every file system takes, and another one for every test."""
    test, bracket, parameters = name.partition("[")
    shown = f"{test}-{parameters.removesuffix(']')}" if bracket else test
    plain = re.sub(r"[^\w.=+-]+", "-", shown, flags=re.ASCII)
    if plain == shown and len(plain) <= _LONGEST:
        return plain
    told_apart = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[:_LONGEST]}-{told_apart}"
