"""What the tests of several tools need: a shop in both databases, and a CA that a test trusts."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
import trustme

from tests.programs.tools.sql_shops import Shop, opened


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    with opened(request.param, request, tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
