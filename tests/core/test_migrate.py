from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from jmem.core import outbox
from jmem.core.errors import Conflict, StorageFailed
from jmem.core.model import Op, new_nonce
from jmem.core.opcheck import seal
from jmem.core.service import Actor, Draft
from jmem.core.store import Store, oplog
from jmem.core.store.migrate import migrate, schema_version
from jmem.core.store.schema import MIGRATIONS, Migration
from jmem.core.store.store import DATABASE
from tests.core.conftest import open_user

FUTURE = (
    *MIGRATIONS,
    Migration(("ALTER TABLE memories ADD COLUMN mood TEXT",)),
    Migration(
        ("UPDATE memories SET mood = 'calm'", "CREATE INDEX memories_mood ON memories (mood)"), changes_data=True
    ),
    Migration(("UPDATE memories SET mood = 'glad'",), changes_data=True),
)


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store at the newest schema with one memory in it."""
    user = open_user(tmp_path / "user")
    user.service.add(Draft("I prefer aisle seats"), Actor("cli"))
    user.close()
    return user.folder


def at_version(folder: Path, version: int) -> sqlite3.Connection:
    conn = connect(folder / DATABASE)
    migrate(conn, folder / "backups", FUTURE[:version])
    return conn


def test_an_empty_database_gets_every_step_and_no_backup(tmp_path: Path):
    conn = connect(tmp_path / DATABASE)
    assert migrate(conn, tmp_path / "backups", FUTURE) == list(range(1, len(FUTURE) + 1))
    assert schema_version(conn) == len(FUTURE)
    assert not (tmp_path / "backups").exists()
    conn.close()


@pytest.mark.parametrize("start", range(1, len(FUTURE) + 1))
def test_every_earlier_schema_comes_to_the_newest(folder: Path, start: int):
    conn = connect(folder / DATABASE)
    conn.execute(
        f"PRAGMA user_version = {min(start, len(MIGRATIONS))}"
    )  # later ones change no table, or make their own
    conn.close()
    at_version(folder, start).close()
    before = set((folder / "backups").glob("*"))
    conn = connect(folder / DATABASE)
    assert migrate(conn, folder / "backups", FUTURE) == list(range(start + 1, len(FUTURE) + 1))
    if start < len(FUTURE):
        assert conn.execute("SELECT content, mood FROM memories").fetchall() == [("I prefer aisle seats", "glad")]
    made = sorted(p.name for p in set((folder / "backups").glob("*")) - before)
    # one copy, before the first step that changes data
    changing = [n for n in range(start + 1, len(FUTURE) + 1) if FUTURE[n - 1].changes_data]
    assert made == [f"before-schema-{n}.db" for n in changing[:1]]
    for name in made:
        copy = connect(folder / "backups" / name)
        assert schema_version(copy) == int(name.split("-")[-1].removesuffix(".db")) - 1
        assert copy.execute("SELECT content FROM memories").fetchall() == [("I prefer aisle seats",)]
        copy.close()
    conn.close()


def test_a_step_that_fails_leaves_the_version_before_it_and_is_resumed(folder: Path):
    known = len(MIGRATIONS)
    broken = (
        *FUTURE[: known + 1],
        Migration(("UPDATE memories SET mood = 'lost'", "INSERT INTO nowhere VALUES (1)"), True),
    )
    conn = connect(folder / DATABASE)
    with pytest.raises(sqlite3.OperationalError):
        migrate(conn, folder / "backups", broken)
    assert schema_version(conn) == known + 1
    assert not conn.in_transaction
    assert conn.execute("SELECT mood FROM memories").fetchall() == [(None,)]
    assert migrate(conn, folder / "backups", FUTURE) == [known + 2, known + 3]
    conn.close()


def test_a_newer_database_is_refused_untouched(folder: Path):
    conn = connect(folder / DATABASE)
    conn.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    conn.close()
    before = (folder / DATABASE).read_bytes()
    with pytest.raises(StorageFailed) as caught:
        Store.open(folder)
    assert caught.value.code == "newer_store"
    assert caught.value.fix is not None
    assert "install.sh" in caught.value.fix
    assert (folder / DATABASE).read_bytes() == before


def test_opening_says_what_was_migrated(tmp_path: Path):
    with Store.open(tmp_path) as store:
        assert store.migrated == list(range(1, len(MIGRATIONS) + 1))
    with Store.open(tmp_path) as store:
        assert store.migrated == []


def test_the_first_schema_is_what_was_released():
    """A released migration is never edited: add one instead (and a test that starts from here)."""
    conn = sqlite3.connect(":memory:", isolation_level=None)
    migrate(conn, Path("unused"), MIGRATIONS[:1])
    columns = [row[1] for row in conn.execute("PRAGMA table_info(memories)")]
    assert columns == [
        "rowid", "id", "id_reversed", "content", "tags", "metadata", "state", "deleted", "occurred_at", "expires_at",
        "privacy", "source", "thread", "speaker", "client", "supersedes", "created_at", "updated_at", "version", "at",
        "stamps", "extra", "seq", "text_key",
    ]  # fmt: skip
    conn.close()


def test_local_memories_and_what_was_forgotten_never_leave_after_the_second_step(tmp_path: Path):
    user = open_user(tmp_path / "user")
    add = user.service.add
    ids = [add(Draft(text, privacy=privacy), Actor("cli")).memory.id
           for text, privacy in (("kept", "local"), ("shared", "synced"), ("gone", "synced"))]  # fmt: skip
    user.service.purge(ids[2], Actor("cli"))
    user.close()
    conn = connect(user.folder / DATABASE)
    conn.execute("UPDATE ops SET sent = 0")
    conn.execute("PRAGMA user_version = 1")
    migrate(conn, user.folder / "backups", MIGRATIONS[:2])
    found = dict(conn.execute("SELECT memory_id, MIN(sent) + MAX(sent) FROM ops GROUP BY memory_id").fetchall())
    assert found == {ids[0]: 4, ids[1]: 0, ids[2]: 4}
    conn.close()


def test_a_store_that_was_bound_by_an_address_is_bound_by_the_account(folder: Path):
    sub = "0b1c2d3e-0000-4000-8000-00000000abcd"
    conn = connect(folder / DATABASE)
    conn.execute("INSERT INTO meta (key, value) VALUES ('sync.account', ?)", (f"https://memory.example.com {sub}",))
    conn.execute("PRAGMA user_version = 3")
    conn.close()
    user = open_user(folder)
    outbox.bind(user.store, sub)
    with pytest.raises(Conflict) as caught:
        outbox.bind(user.store, sub.replace("0b", "1b"))
    assert (caught.value.code, caught.value.detail["account"]) == ("bound", sub)
    user.close()


def test_equal_texts_that_were_written_apart_are_all_seen_by_the_next_edit_after_the_seventh_step(tmp_path: Path):
    user, me = open_user(tmp_path / "user"), Actor("cli")
    plain, apart = (user.service.add(Draft(text), me).memory.id for text in ("a plain memory", "the same text"))
    user.service.edit(plain, {"content": "edited since"}, me)
    twin, text = seal(Op("0199f3a1c2d4-0000-a1b2c3d4", apart, {"content": "the same text"}, (), "cli", new_nonce()))
    user.store.write(lambda tx: oplog.insert(tx, twin, text, 1, oplog.Sent.SEEN))
    user.store.write(lambda tx: tx.conn.execute("DROP TABLE branched"))
    user.close()
    conn = connect(user.folder / DATABASE)
    conn.execute("PRAGMA user_version = 6")
    conn.close()
    user = open_user(tmp_path / "user")
    with user.store.reader() as conn:
        assert conn.execute("SELECT id FROM branched").fetchall() == [(apart,)]
    for id in (plain, apart):
        user.service.edit(id, {"content": f"the next text of {id}"}, me)
        with user.store.reader() as conn:
            *before, last = oplog.ops_of(conn, id)
            assert set(last.base) == ({op.stamp for op in before} if id == apart else {before[-1].stamp})
            assert (
                conn.execute("SELECT id FROM conflicts UNION SELECT id FROM branched WHERE id = ?", (id,)).fetchall()
                == []
            )
    assert list((user.folder / "backups").iterdir()), "it was copied before"
    user.close()
