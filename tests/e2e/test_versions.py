"""Two versions of jmem in one home: the newer one takes over, the older one never spoils what it does not know."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from bench.home import Home

OTHER = """
import os, jmem
jmem.__version__ = os.environ["JMEM_TEST_VERSION"]
"""


@pytest.fixture
def other(home: Home, tmp_path: Path) -> Home:
    """The same home as seen by a jmem of another version."""
    (tmp_path / "sitecustomize.py").write_text(OTHER)
    paths = os.pathsep.join(filter(None, (str(tmp_path), home.env.get("PYTHONPATH"))))
    return Home(home.path, JMEM_PORT=home.env["JMEM_PORT"], PYTHONPATH=paths, JMEM_TEST_VERSION="0.0.1")


def test_a_newer_command_replaces_an_older_daemon(home: Home, other: Home) -> None:
    old = other.start()
    assert other.state["version"] == "0.0.1"
    first = home.json("add", "I prefer aisle seats")
    found = home.json("search", "which seat")
    assert found["results"][0]["id"] == first["id"]
    assert home.start() != old
    assert home.status()["daemon"]["version"] == home.jmem("version").stdout.split()[-1] != "0.0.1"


def test_an_older_command_leaves_a_newer_daemon_alone(home: Home, other: Home) -> None:
    new = home.start()
    first = other.json("add", "I prefer aisle seats")
    assert other.json("search", "which seat")["results"][0]["id"] == first["id"]
    assert home.pid == new


REINSTALLED = """
from jmem.core import places
place, _, moment = places.installation().partition(".")
places.installation = lambda: "{place}.ffff"
"""


@pytest.mark.parametrize("same_place", [True, False])
def test_a_daemon_of_what_was_installed_here_before_is_restarted(home: Home, tmp_path: Path, same_place: bool) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        REINSTALLED.replace('"{place}.ffff"', 'f"{place}.ffff"' if same_place else '"elsewhere.ffff"')
    )
    paths = os.pathsep.join(filter(None, (str(tmp_path), home.env.get("PYTHONPATH"))))
    after = Home(home.path, JMEM_PORT=home.env["JMEM_PORT"], PYTHONPATH=paths)
    old = home.start()
    done = after.jmem("add", "I prefer aisle seats", "--json")
    assert ("installed anew" in done.stderr) == same_place
    new = home.pid
    assert (new != old) == same_place
    assert after.json("search", "which seat")["results"]
    assert home.pid == new, "and only once"


def test_a_store_of_a_newer_version_is_left_as_it_is(home: Home) -> None:
    home.json("add", "I prefer aisle seats")
    home.stop()
    database = home.user_folder / "memories.db"
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA user_version = 999")
    before = database.read_bytes()
    for command in (["search", "which seat"], ["add", "More"], ["list"]):
        done = home.jmem(*command, check=False)
        assert done.returncode == 1
        assert "newer jmem" in done.stderr
        assert "install.sh" in done.stderr
    home.stop()
    assert database.read_bytes() == before
