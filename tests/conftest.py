"""Fixtures for every test: a home of its own, or a daemon that a module's tests share."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.home import Api, Home, temporary_home

MEMORY, ROOM = Path("/dev/shm"), 2 << 30
"""Where the folders of tests are when it has so many bytes free: on a disk they mostly wait for its flushes."""


def pytest_configure(config: pytest.Config) -> None:
    """Choose the folder for temporary files, unless TMPDIR names one or the process that started this one chose."""
    if "TMPDIR" in os.environ or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM:
        return
    folder = tempfile.mkdtemp(prefix="jt-", dir=MEMORY)
    Path(folder).chmod(0o1777)  # as /tmp is: the database server of a run as root is another user
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


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
