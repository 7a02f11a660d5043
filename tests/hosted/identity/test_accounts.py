"""The end of an account, cut off at every step and taken up again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hosted.db.engine import Database
from hosted.db.errors import AccountDeleted, of_database
from hosted.identity import grants, keys, secret
from hosted.identity.accounts import Accounts
from hosted.identity.jwt import Claims
from hosted.identity.lookup import Lookup, Rights
from hosted.identity.supabase import Supabase
from jmem.core.errors import Unreachable
from tests.hosted.identity.conftest import Running


class Points:
    """A vector index that can be away."""

    def __init__(self) -> None:
        self.held: dict[uuid.UUID, int] = {}
        self.away = False

    async def forget_user(self, user_id: uuid.UUID) -> None:
        if self.away:
            raise Unreachable("the vector index is away")
        self.held.pop(user_id, None)

    async def count_user(self, user_id: uuid.UUID) -> int:
        return self.held.get(user_id, 0)


@pytest.fixture
async def auth(supabase: Running) -> AsyncIterator[Supabase]:
    async with httpx.AsyncClient() as http:
        yield Supabase(supabase.url, supabase.settings.publishable_key, supabase.settings.secret_key, http)


@pytest.fixture
def points() -> Points:
    return Points()


@pytest.fixture
def accounts(database: Database, auth: Supabase, points: Points) -> Accounts:
    return Accounts(database, points, auth)


async def settled(database: Database, auth: Supabase, points: Points) -> tuple[uuid.UUID, str]:
    """An account with something everywhere, and its API key."""
    session = await auth.sign_up(f"{uuid.uuid4().hex}@example.com", "correct horse", redirect_to="")
    assert session
    user = session.user_id
    async with database.tenant(user) as conn:
        made = await keys.create(conn, user, "api", Rights("claude"))
        await grants.allow(conn, user, "p-1", "ChatGPT", Rights("chatgpt"))
        await grants.sign_out(conn, user, "s-0")
        await conn.execute(text("INSERT INTO sync_heads (user_id) VALUES (:user)"), {"user": user})
        await conn.execute(text("INSERT INTO refused (user_id, stamp) VALUES (:user, 'x')"), {"user": user})
        await conn.execute(
            text(
                "INSERT INTO index_state (user_id, id, content_stamp, model, text_key) VALUES (:user, 'm', 's', 'x', '')"
            ),
            {"user": user},
        )
    points.held[user] = 7
    return user, made.text


async def left(owner_url: str, user: uuid.UUID) -> dict[str, int]:
    """Rows of a user in every table that has users, seen by the superuser."""
    database = Database(owner_url, pool_size=1)
    try:
        async with database.engine.connect() as conn:
            tables = (await conn.execute(text(
                "SELECT table_name FROM information_schema.columns WHERE table_schema = 'jmem' AND column_name = 'user_id'"
            ))).scalars().all()  # fmt: skip
            counted = {
                table: (await conn.execute(text(f"SELECT count(*) FROM jmem.{table} WHERE user_id = :user"), {"user": user})).scalar_one()
                for table in tables
            }  # fmt: skip
    finally:
        await database.close()
    assert len(counted) >= 10
    return {table: count for table, count in counted.items() if count}


def claims(user: uuid.UUID) -> Claims:
    return Claims(user, "s-1", None, "", 0, 2**33)


async def gone(database: Database, user: uuid.UUID, key: str) -> bool:
    """Whether the account's tokens and keys are told that it is deleted."""
    digest, lookup = secret.digest(key), Lookup(database.engine)
    assert digest
    session = await lookup.session(claims(user))
    try:
        assert await lookup.key(digest) is not None
    except AccountDeleted:
        assert session.deleted
    return session.deleted


async def test_nothing_is_left_of_an_account(
    accounts: Accounts, database: Database, auth: Supabase, points: Points, owner_url: str
) -> None:
    user, key = await settled(database, auth, points)
    other, others_key = await settled(database, auth, points)
    before = await left(owner_url, other)
    await accounts.ask(user)
    assert await gone(database, user, key)
    assert await accounts.run(user)
    assert await left(owner_url, user) == {}
    assert not await auth.has_user(user)
    assert points.held == {other: 7}
    assert await gone(database, user, key)
    assert await accounts.pending() == []
    assert (await left(owner_url, other), await auth.has_user(other)) == (before, True)
    assert not await gone(database, other, others_key)


async def test_asked_again_it_changes_nothing(
    accounts: Accounts, database: Database, auth: Supabase, points: Points
) -> None:
    user, _ = await settled(database, auth, points)
    for _ in range(2):
        await accounts.ask(user)
    assert await accounts.pending() == [user]
    assert await accounts.run(user)
    await accounts.ask(user)
    assert await accounts.pending() == []
    assert await accounts.run(user)


@pytest.mark.parametrize("cut", ["rows", "vectors", "user", "verify"])
@pytest.mark.parametrize("noted", [False, True], ids=["before it is carried out", "before that is noted"])
async def test_a_deletion_that_was_cut_off_is_taken_up(
    accounts: Accounts, database: Database, auth: Supabase, points: Points, owner_url: str, cut: str, noted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    user, key = await settled(database, auth, points)
    await accounts.ask(user)
    carry_out = accounts._carry_out

    async def killed(step: Any, user_id: uuid.UUID) -> Any:
        if step == cut and not noted:
            raise asyncio.CancelledError
        following = await carry_out(step, user_id)
        if step == cut:
            raise asyncio.CancelledError
        return following

    monkeypatch.setattr(accounts, "_carry_out", killed)
    with pytest.raises(asyncio.CancelledError):
        await accounts.run(user)
    monkeypatch.undo()
    assert await gone(database, user, key)
    fresh = Accounts(database, points, auth)
    assert await fresh.pending() == [user]
    assert await fresh.resume() == 1
    assert await left(owner_url, user) == {}
    assert user not in points.held
    assert not await auth.has_user(user)


async def test_two_replicas_at_once_do_no_harm(
    accounts: Accounts, database: Database, auth: Supabase, points: Points, owner_url: str
) -> None:
    user, _ = await settled(database, auth, points)
    await accounts.ask(user)
    assert all(await asyncio.gather(*(Accounts(database, points, auth).run(user) for _ in range(3))))
    assert await left(owner_url, user) == {}


async def test_what_is_away_is_waited_for_and_not_forgotten(
    accounts: Accounts, database: Database, auth: Supabase, points: Points, supabase: Running, owner_url: str
) -> None:
    user, key = await settled(database, auth, points)
    points.away = True
    await accounts.ask(user)
    assert not await accounts.run(user)
    assert await left(owner_url, user) == {"deletions": 1}
    assert await gone(database, user, key)
    points.away = False
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(503))) as broken:
        closed = Supabase(supabase.url, "key", "secret", broken)
        assert not await Accounts(database, points, closed).run(user)
    assert await accounts.resume() == 1
    assert not await auth.has_user(user)


async def test_whatever_is_wrong_with_one_account_that_of_another_ends(
    accounts: Accounts,
    database: Database,
    auth: Supabase,
    points: Points,
    owner_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd, _ = await settled(database, auth, points)
    user, _ = await settled(database, auth, points)
    for one in (odd, user):
        await accounts.ask(one)
    forget = points.forget_user

    async def forgetting(user_id: uuid.UUID) -> None:
        if user_id == odd:
            raise RecursionError
        await forget(user_id)

    monkeypatch.setattr(points, "forget_user", forgetting)
    assert not await accounts.delete(odd)
    assert await accounts.resume() == 1
    assert (await left(owner_url, odd), await left(owner_url, user)) == ({"deletions": 1}, {})
    monkeypatch.undo()
    assert await accounts.resume() == 1


async def test_what_came_back_meanwhile_is_removed_too(
    accounts: Accounts, database: Database, auth: Supabase, points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, _ = await settled(database, auth, points)
    await accounts.ask(user)
    forget = points.forget_user

    async def forgetful(user_id: uuid.UUID) -> None:
        await forget(user_id)
        points.held[user_id] = 1  # a drain that was under way

    monkeypatch.setattr(points, "forget_user", forgetful)
    assert not await accounts.run(user)
    monkeypatch.undo()
    assert await accounts.pending() == [user]
    assert await accounts.resume() == 1
    assert points.held == {}


async def test_a_write_that_was_under_way_is_waited_for_and_none_comes_after(
    accounts: Accounts, database: Database, auth: Supabase, points: Points, owner_url: str
) -> None:
    user, _ = await settled(database, auth, points)
    async with database.tenant(user) as conn:
        await conn.execute(text("SELECT * FROM sync_heads FOR UPDATE"))
        await accounts.ask(user)
        deleting = asyncio.create_task(accounts.run(user))
        await asyncio.sleep(0.2)
        assert not deleting.done()
        await conn.execute(text("INSERT INTO refused (user_id, stamp) VALUES (:user, 'y')"), {"user": user})
    assert await deleting
    assert await left(owner_url, user) == {}
    for sql in ("INSERT INTO sync_heads (user_id) VALUES (:user) ON CONFLICT DO NOTHING",
                "INSERT INTO grants (user_id, client_id, client, name, can_read, can_write, can_delete)"
                " VALUES (:user, 'c', 'c', 'c', true, true, true)"):  # fmt: skip
        with pytest.raises(DBAPIError) as refused:
            async with database.tenant(user) as conn:
                await conn.execute(text(sql), {"user": user})
        assert isinstance(of_database(refused.value), AccountDeleted)
    with pytest.raises(DBAPIError):
        async with database.tenant(user) as conn:
            await keys.create(conn, user, "api", Rights("claude"))


@pytest.mark.parametrize("sql", [
    "INSERT INTO sync_heads (user_id) VALUES (:user)",
    "INSERT INTO sign_outs (user_id, session_id) VALUES (:user, 's-9')",
    "INSERT INTO distinctions (user_id, a, b, stamps) VALUES (:user, 'a', 'b', '')",
    "INSERT INTO devices (user_id, device, via, proof) VALUES (:user, 'd', 'session', 's-1')",
], ids=lambda sql: sql.split()[2])  # fmt: skip
async def test_a_row_that_nobody_sees_yet_is_waited_for_and_none_comes_after(
    accounts: Accounts, database: Database, auth: Supabase, points: Points, owner_url: str, sql: str
) -> None:
    session = await auth.sign_up(f"{uuid.uuid4().hex}@example.com", "correct horse", redirect_to="")
    assert session
    user = session.user_id
    async with database.tenant(user) as conn:
        await conn.execute(text(sql), {"user": user})
        deleting = asyncio.create_task(accounts.delete(user))
        await asyncio.sleep(0.3)
        assert not deleting.done()
    assert await deleting
    assert await left(owner_url, user) == {}
    with pytest.raises(DBAPIError) as refused:
        async with database.tenant(user) as conn:
            await conn.execute(text(sql), {"user": user})
    assert isinstance(of_database(refused.value), AccountDeleted)


async def test_other_failures_of_the_database_are_not_taken_for_it(database: Database, user: uuid.UUID) -> None:
    with pytest.raises(DBAPIError) as failed:
        async with database.tenant(user) as conn:
            await conn.execute(text("SELECT 1 / 0"))
    assert of_database(failed.value) is None


async def test_what_stays_is_a_hash_and_a_time(
    accounts: Accounts, database: Database, auth: Supabase, points: Points, owner_url: str
) -> None:
    user, _ = await settled(database, auth, points)
    await accounts.ask(user)
    await accounts.run(user)
    behind = Database(owner_url, pool_size=1)
    async with behind.engine.connect() as conn:
        rows = str((await conn.execute(text("SELECT * FROM jmem.tombstones"))).all())
    await behind.close()
    assert str(user) not in rows
    assert user.hex not in rows
