"""Fixtures for every test: a home of its own, or a daemon that a module's tests share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from bench.home import Api, Home, temporary_home


@pytest.fixture
def home() -> Iterator[Home]:
    """A home of the test's own, without a daemon yet; one that the test starts is stopped at the end."""
    with temporary_home() as made:
        yield made


@pytest.fixture(scope="module")
def daemon() -> Iterator[Home]:
    """A home with a running daemon, shared by the tests of a module."""
    with temporary_home() as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def api(daemon: Home) -> Iterator[Api]:
    """A kept connection to the module's daemon over its unix socket."""
    with contextlib.closing(daemon.api()) as made:
        yield made
