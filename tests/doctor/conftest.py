"""A home with a few memories, made without a daemon."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.check import examine_home
from daemon.keys import load_secret
from jmem.core.access import AccessLog
from jmem.core.finding import Finding
from jmem.core.service import Actor, Draft, MemoryService
from jmem.core.store import Store

OWNER = Actor("cli")
REMOTE = '[embedder]\nname = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "none"\n'
"""A remote embedder is not asked by doctor: no model is loaded in every test."""
USER_ID = "0b1c2d3e-0000-4000-8000-00000000abcd"


class Home:
    """$JMEM_HOME with three memories (one in a thread, one deleted) of the default user."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path / "users" / USER_ID
        self.folder.mkdir(mode=0o700, parents=True)
        load_secret(path)
        (path / "config.toml").write_text(REMOTE)
        (path / "users.json").write_text(json.dumps({"default": USER_ID}))
        with Store.open(self.folder) as store:
            access = AccessLog(self.folder)
            service = MemoryService(store, access)
            drafts = [
                Draft("I prefer aisle seats", tags=("travel",)),
                Draft("Hello", thread="t"),
                Draft("Bye", thread="t"),
            ]
            self.ids = [service.add(draft, OWNER).memory.id for draft in drafts]
            service.delete([self.ids[2]], OWNER)
            access.close()

    @property
    def database(self) -> Path:
        return self.folder / "memories.db"

    def check(self, *, mend: bool = False, **environ: str) -> dict[str, Finding]:
        """The findings by name."""
        found = examine_home({"JMEM_HOME": str(self.path), "HOME": str(self.path.parent), **environ}, mend=mend)
        return {finding.name: finding for finding in found}


@pytest.fixture
def home(tmp_path: Path, private_umask: None) -> Home:
    return Home(tmp_path / "jmem")


@pytest.fixture
def private_umask() -> Iterator[None]:
    """Files of a home are made by processes with this mask."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def sql(home: Home) -> Callable[[str], None]:
    """Damage the database of the home."""

    def run(statement: str) -> None:
        conn = sqlite3.connect(home.database)
        conn.execute(statement)
        conn.commit()
        conn.close()

    return run
