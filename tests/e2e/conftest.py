from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.home import Home, temporary_home


@pytest.fixture
def home() -> Iterator[Home]:
    """A home of the test's own; its daemon is stopped at the end."""
    with temporary_home() as made:
        yield made


@pytest.fixture(scope="module")
def shared() -> Iterator[Home]:
    """One home with a running daemon for all tests of a module that only add to it."""
    with temporary_home() as made:
        made.start()
        yield made
