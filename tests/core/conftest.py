from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jmem.core.access import AccessLog
from jmem.core.service import Actor, MemoryService
from jmem.core.store import Store


@dataclass
class User:
    """One user's memory over real files, as the daemon puts it together."""

    folder: Path
    store: Store
    access: AccessLog
    service: MemoryService

    def close(self) -> None:
        self.access.close()
        self.store.close()

    def rows(self) -> list[tuple[object, ...]]:
        """Every row without its rowid, by id."""
        with self.store.reader() as conn:
            names = [r[1] for r in conn.execute("PRAGMA table_info(memories)") if r[1] != "rowid"]
            return conn.execute(f"SELECT {', '.join(names)} FROM memories ORDER BY id").fetchall()

    def context(self, id: str) -> str | None:
        """The context column of a memory; None when it is not in the full-text index."""
        with self.store.reader() as conn:
            row = conn.execute(
                "SELECT f.context FROM memory_fts f JOIN memories m ON m.rowid = f.rowid WHERE m.id = ?", (id,)
            ).fetchone()
        return None if row is None else str(row[0])

    def texts(self, words: str) -> list[str]:
        """ids of the memories whose full-text row matches."""
        with self.store.reader() as conn:
            return [
                id
                for (id,) in conn.execute(
                    "SELECT m.id FROM memory_fts f JOIN memories m ON m.rowid = f.rowid"
                    " WHERE memory_fts MATCH ? ORDER BY m.id",
                    (words,),
                )
            ]


def open_user(folder: Path) -> User:
    store = Store.open(folder)
    access = AccessLog(folder)
    return User(folder, store, access, MemoryService(store, access))


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    user = open_user(tmp_path / "user")
    yield user
    user.close()


@pytest.fixture
def service(user: User) -> MemoryService:
    return user.service


@pytest.fixture
def me() -> Actor:
    return Actor("cli")
