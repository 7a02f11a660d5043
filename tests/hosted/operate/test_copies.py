"""Encrypted copies: what comes back is what there was, row for row; and whatever can't be trusted changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from hosted.db.engine import Database
from hosted.db.migrate import revisions, upgrade
from hosted.dev.qdrant import Store, in_process
from hosted.identity import keys
from hosted.identity.accounts import Accounts
from hosted.identity.lookup import Rights
from hosted.memories.service import Backend
from hosted.operate import copies, sealed
from hosted.ops.events import Bus
from hosted.vectors.alias import Collections
from hosted.vectors.client import Vectors
from hosted.vectors.drain import Drain, Target
from hosted.vectors.embed import Embeddings
from hosted.vectors.forget import NoIndex
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.errors import Conflict, Invalid
from jmem.core.filter import Filter
from tests.hosted.conftest import APP, Databases
from tests.hosted.vectors.conftest import Words

KEY = sealed.keys(sealed.new_key())
ME = Actor("web")
ODD = "tab\tnewline\nback\\slash \\N \\. “quotes” \U0001f3d6 " + "long " * 3000


class Nobody:
    """A directory of users that has none."""

    async def delete_user(self, user_id: uuid.UUID) -> None: ...

    async def has_user(self, user_id: uuid.UUID) -> bool:
        return False


async def fill(url: str, users: int = 2, memories: int = 40) -> list[uuid.UUID]:
    """Accounts with memories, edits, deletions, purges and keys."""
    database = Database(url, pool_size=3)
    backend, made = Backend(database, Bus()), [uuid.uuid4() for _ in range(users)]
    for user in made:
        mine = backend.of(user)
        drafts = [Draft(f"memory {n} {ODD if n % 7 == 0 else ''}", tags=("a", "b,{}\"'")) for n in range(memories)]
        added = await mine.add_many(drafts, ME)
        ids = [one.memory.id for one in added if not isinstance(one, Exception)]
        await mine.edit(ids[0], {"content": "edited"}, ME)
        await mine.delete(ids[1], ME)
        await mine.purge(ids[2], ME)
        async with database.tenant(user) as conn:
            await keys.create(conn, user, "api", Rights("laptop"))
    await database.close()
    return made


async def rows(url: str) -> dict[str, list[str]]:
    """Every row of every table, as Postgres shows it, without what is derived."""
    conn = await asyncpg.connect(url)
    try:
        tables = [r["tablename"] for r in await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'jmem'")]
        return {
            name: sorted(r[0] for r in await conn.fetch(f"SELECT t::text FROM jmem.{name} t"))
            for name in tables if name not in copies.DERIVED
        }  # fmt: skip
    finally:
        await conn.close()


@pytest.fixture(scope="module")
def full(databases: Databases) -> Iterator[str]:
    """The name of a database with two accounts in it."""
    name = databases.make()
    asyncio.run(fill(databases.cluster.url(name, APP)))
    yield name
    databases.drop(name)


@pytest.fixture
def other(databases: Databases) -> Iterator[str]:
    """The name of a database that was migrated and never used."""
    name = databases.make()
    yield name
    databases.drop(name)


@pytest.fixture
async def copy(databases: Databases, full: str, tmp_path: Path) -> Path:
    """A copy of the full database."""
    path = tmp_path / "copy"
    await copies.backup(databases.cluster.url(full), path, KEY[0])
    return path


async def test_a_restore_brings_back_every_row(databases: Databases, full: str, other: str, tmp_path: Path) -> None:
    source, target = databases.cluster.url(full), databases.cluster.url(other)
    made = await copies.backup(source, tmp_path / "copy", KEY[0])
    restored = await copies.restore(target, tmp_path / "copy", KEY)
    before, after = await rows(source), await rows(target)
    assert before == after
    assert len(before["memories"]) == 80
    assert len(before["api_keys"]) == 2
    assert made.tables == restored.tables
    assert made.tables["memories"].rows == 80
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    backend = Backend(Database(databases.cluster.url(other, APP), pool_size=1), Bus())
    user = uuid.UUID(await _one(source, "SELECT user_id::text FROM jmem.sync_heads LIMIT 1"))
    added = await backend.of(user).add(Draft("and it goes on"), ME)
    assert added.memory.content == "and it goes on"
    await backend.database.close()


async def _one(url: str, sql: str) -> str:
    conn = await asyncpg.connect(url)
    try:
        return str(await conn.fetchval(sql))
    finally:
        await conn.close()


async def test_a_database_without_a_schema_takes_a_copy(databases: Databases, full: str, copy: Path) -> None:
    name = databases.make("template1")
    try:
        target = databases.cluster.url(name)
        await copies.restore(target, copy, KEY, application_url=databases.cluster.url(name, APP))
        assert await rows(target) == await rows(databases.cluster.url(full))
        database = Database(databases.cluster.url(name, APP), pool_size=1)
        user = uuid.UUID(await _one(target, "SELECT user_id::text FROM jmem.sync_heads LIMIT 1"))
        assert await Backend(database, Bus()).of(user).tags(ME)
        await database.close()
    finally:
        databases.drop(name)


async def test_a_copy_of_an_older_revision_is_migrated(databases: Databases, tmp_path: Path, other: str) -> None:
    name = databases.make("template1")
    try:
        old = databases.cluster.url(name)
        await upgrade(old, revisions()[-2], application_url=databases.cluster.url(name, APP))
        conn = await asyncpg.connect(old)
        await conn.execute("INSERT INTO jmem.sync_heads (user_id) VALUES ($1)", uuid.uuid4())
        await conn.close()
        await copies.backup(old, tmp_path / "old", KEY[0])
        await copies.restore(databases.cluster.url(other), tmp_path / "old", KEY)
        assert (
            await _one(databases.cluster.url(other), "SELECT version_num FROM jmem.alembic_version") == revisions()[-1]
        )
        assert await _one(databases.cluster.url(other), "SELECT count(*) FROM jmem.sync_heads") == "1"
    finally:
        databases.drop(name)


async def test_a_full_database_is_replaced_only_by_force(
    databases: Databases, full: str, copy: Path, other: str
) -> None:
    target = databases.cluster.url(other)
    (theirs,) = await fill(databases.cluster.url(other, APP), 1, 5)
    before = await rows(target)
    with pytest.raises(Conflict, match="not empty") as refused:
        await copies.restore(target, copy, KEY)
    assert refused.value.code == "not_empty"
    assert await rows(target) == before
    await copies.restore(target, copy, KEY, force=True)
    after = await rows(target)
    assert after == await rows(databases.cluster.url(full))
    assert not any(str(theirs) in row for row in after["memories"])


async def test_accounts_deleted_since_the_copy_stay_deleted(databases: Databases, tmp_path: Path, other: str) -> None:
    target = databases.cluster.url(other)
    gone, stays = await fill(databases.cluster.url(other, APP), 2, 4)
    await copies.backup(target, tmp_path / "copy", KEY[0])
    database = Database(databases.cluster.url(other, APP), pool_size=2)
    assert await Accounts(database, NoIndex(), Nobody()).delete(gone)
    await database.close()
    done = await copies.restore(target, tmp_path / "copy", KEY, force=True)
    assert done.forgotten == 1
    after = await rows(target)
    assert not any(str(gone) in row for table in after.values() for row in table)
    assert any(str(stays) in row for row in after["memories"])
    assert any(hashlib.sha256(gone.bytes).hexdigest() in row for row in after["tombstones"])


async def test_a_deletion_under_way_goes_on_after_a_restore(databases: Databases, tmp_path: Path, other: str) -> None:
    target = databases.cluster.url(other)
    (leaving,) = await fill(databases.cluster.url(other, APP), 1, 4)
    await copies.backup(target, tmp_path / "copy", KEY[0])
    database = Database(databases.cluster.url(other, APP), pool_size=2)
    accounts = Accounts(database, NoIndex(), Nobody())
    await accounts.ask(leaving)
    conn = await asyncpg.connect(target)
    await conn.execute("UPDATE jmem.deletions SET step = 'user'")
    await conn.close()
    done = await copies.restore(target, tmp_path / "copy", KEY, force=True)
    assert done.forgotten == 1
    assert await accounts.pending() == [leaving]
    assert await _one(target, "SELECT step FROM jmem.deletions") == "rows"
    assert await accounts.resume() == 1
    await database.close()
    after = await rows(target)
    assert not any(str(leaving) in row for table in after.values() for row in table)


async def test_the_index_has_what_is_live_after_a_restore(databases: Databases, tmp_path: Path, other: str) -> None:
    """I8, of an index that is newer than the copy."""
    target, source = databases.cluster.url(other), Words()
    (user,) = await fill(databases.cluster.url(other, APP), 1, 6)
    await copies.backup(target, tmp_path / "copy", KEY[0])
    database, vectors = Database(databases.cluster.url(other, APP), pool_size=2), Vectors(in_process(Store()))
    mine, collections = Backend(database, Bus()).of(user), Collections(vectors, "restored")
    await collections.create(source.model)
    collection = collections.of(source.model)
    later = (await mine.add(Draft("written after the copy"), ME)).memory.id
    drain = Drain(database, vectors, Target(collection, Embeddings(source)))
    assert await drain.drain(user)
    assert later in await vectors.ids(user, collection)
    await copies.restore(target, tmp_path / "copy", KEY, force=True)
    assert await drain.drain(user)
    live = {memory.id for memory in (await mine.list(Filter(), ME)).memories}
    assert len(live) == 4
    assert await vectors.ids(user, collection) == live
    await drain.close()
    await vectors.close()
    await database.close()


@pytest.mark.parametrize("how", ["cut in a piece", "cut between pieces", "changed", "longer", "empty", "another file"])
async def test_a_damaged_copy_changes_nothing(databases: Databases, copy: Path, other: str, how: str) -> None:
    raw = copy.read_bytes()
    header = len(sealed.MAGIC) + 40
    whole = header + sealed.PIECE + 16
    assert len(raw) > header + 100
    damaged = {
        "cut in a piece": raw[:-7], "cut between pieces": raw[:whole] if len(raw) > whole else raw[:header],
        "changed": raw[:-40] + bytes((raw[-40] ^ 1,)) + raw[-39:], "longer": raw + b"more", "empty": b"",
        "another file": b"-- PostgreSQL database dump\n" * 10,
    }[how]  # fmt: skip
    copy.write_bytes(damaged)
    before = await rows(databases.cluster.url(other))
    with pytest.raises((Invalid, sealed.Damaged)) as refused:
        await copies.restore(databases.cluster.url(other), copy, KEY, force=True)
    assert refused.value.code in ("backup_damaged", "no_backup")
    assert await rows(databases.cluster.url(other)) == before


async def test_only_its_key_opens_a_copy(databases: Databases, copy: Path, other: str) -> None:
    with pytest.raises(Invalid, match="another key") as refused:
        await copies.restore(databases.cluster.url(other), copy, sealed.keys(sealed.new_key()), force=True)
    assert refused.value.code == "wrong_key"
    rotated = sealed.keys(sealed.new_key()) + KEY
    assert (await copies.restore(databases.cluster.url(other), copy, rotated)).rows > 100


async def test_no_word_of_a_memory_is_readable_in_a_copy(copy: Path) -> None:
    raw = copy.read_bytes()
    assert b"memory 1" not in raw
    assert b"sync_heads" not in raw


async def test_a_copy_is_never_written_over_another(databases: Databases, full: str, copy: Path) -> None:
    before = copy.read_bytes()
    with pytest.raises(Conflict, match="is there already"):
        await copies.backup(databases.cluster.url(full), copy, KEY[0])
    assert copy.read_bytes() == before


async def test_a_role_that_row_level_security_binds_makes_no_copy(
    databases: Databases, full: str, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match="row-level security"):
        await copies.backup(databases.cluster.url(full, APP), tmp_path / "copy", KEY[0])
    assert list(tmp_path.iterdir()) == []


def test_a_key_has_one_form() -> None:
    made = sealed.new_key()
    assert sealed.keys(f"{made}, {sealed.new_key()}")[0].secret == sealed.keys(made)[0].secret
    for wrong in ("", "secret", made[:-5], made.removeprefix("jmb_"), "jmb_é"):
        with pytest.raises(Invalid, match="BACKUP_KEY"):
            sealed.keys(wrong)
