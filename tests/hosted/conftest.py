"""One throwaway Postgres for the whole session, whatever the number of workers; a database a module."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hosted.db.engine import Database
from hosted.db.migrate import upgrade
from hosted.dev import cluster as postgres
from hosted.dev.cluster import UNSAFE, Cluster

APP = "jmem_login"
TEMPLATE = "migrated"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Databases:
    """Makes databases in the session's cluster."""

    cluster: Cluster

    def make(self, template: str = TEMPLATE) -> str:
        """The name of a new database like the template, with nothing in it."""
        name = f"t{os.getpid()}_{next(_numbers)}"
        with _locked(self.cluster.folder / "template.lock"):  # a template may have one copier at a time
            self.cluster.psql("postgres", f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    @contextlib.contextmanager
    def one(self) -> Iterator[str]:
        """A new database like the template, for as long as this is held."""
        name = self.make()
        yield name
        self.drop(name)

    def drop(self, name: str) -> None:
        self.cluster.psql("postgres", f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Databases]:
    """The session's cluster: the first worker that needs it starts it, the last one stops it."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    note, lock = shared / "postgres.json", shared / "postgres.lock"
    with _locked(lock):
        if note.exists():
            said = json.loads(note.read_text())
        else:
            folder = Path(tempfile.mkdtemp(prefix="jmem-cluster-"))  # nobody may not look into pytest's folders
            made = postgres.start(folder, {**UNSAFE, "max_connections": "200"})
            try:
                made.psql("postgres", f"CREATE DATABASE {TEMPLATE}", f"CREATE ROLE {APP} LOGIN")
                asyncio.run(upgrade(made.url(TEMPLATE), application_url=made.url(TEMPLATE, APP)))
            except BaseException:
                made.stop()
                shutil.rmtree(folder)
                raise
            said = {"folder": str(folder), "sockets": str(made.sockets), "programs": str(made.programs), "users": 0}
        said["users"] += 1
        note.write_text(json.dumps(said))
    cluster = Cluster(Path(said["folder"]), Path(said["sockets"]), Path(said["programs"]))
    yield Databases(cluster)
    with _locked(lock):
        said = json.loads(note.read_text())
        said["users"] -= 1
        note.write_text(json.dumps(said))
        if said["users"] == 0:
            note.unlink()
            cluster.stop()
            shutil.rmtree(cluster.folder)


@pytest.fixture(scope="module")
def database_name(databases: Databases) -> Iterator[str]:
    """A migrated database of the module's own."""
    with databases.one() as name:
        yield name


@pytest.fixture(scope="module")
def database_url(databases: Databases, database_name: str) -> str:
    """The module's database as the application logs in."""
    return databases.cluster.url(database_name, APP)


@pytest.fixture(scope="module")
def owner_url(databases: Databases, database_name: str) -> str:
    """The module's database as the superuser, whom no policy binds: to look behind the scenes."""
    return databases.cluster.url(database_name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The application's pool."""
    made = Database(database_url, pool_size=5)
    yield made
    await made.close()


@pytest.fixture
def user() -> uuid.UUID:
    """A tenant that nobody has used yet."""
    return uuid.uuid4()
