"""Keys in a real database: shown once, kept as digests, looked up before any tenant is set."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from hosted.db.engine import Database
from hosted.identity import grants, keys, secret
from hosted.identity.jwt import Claims
from hosted.identity.keys import MAX_KEYS, OVERLAP, Made
from hosted.identity.lookup import KeyHolder, Lookup, Rights
from jmem.core.errors import Conflict, Invalid, NotFound

ALL = Rights("claude")


async def made(database: Database, user: uuid.UUID, rights: Rights = ALL, kind: secret.Kind = "api") -> Made:
    async with database.tenant(user) as conn:
        return await keys.create(conn, user, kind, rights, name="my key")


async def held(database: Database, key: str) -> KeyHolder | None:
    digest = secret.digest(key)
    assert digest
    return await Lookup(database.engine).key(digest)


async def valid(database: Database, key: str) -> bool:
    holder = await held(database, key)
    return holder is not None and holder.valid


async def behind(database: Database, user: uuid.UUID, sql: str) -> None:
    async with database.tenant(user) as conn:
        await conn.execute(text(sql))


async def test_nothing_is_called_as_the_page_itself(database: Database, user: uuid.UUID) -> None:
    for kind in ("api", "connector"):
        with pytest.raises(Invalid, match="web page"):
            await made(database, user, Rights("web"), kind)
    async with database.tenant(user) as conn:
        with pytest.raises(Invalid, match="web page"):
            await grants.allow(conn, user, "program-1", "Web", Rights("web"))


@pytest.mark.parametrize("kind", ["api", "connector"])
async def test_a_key_is_shown_once_and_kept_as_a_digest(database: Database, user: uuid.UUID, kind: secret.Kind) -> None:
    rights = Rights("cursor", read=True, write=False, delete=False, tags=("work", "home"))
    key = await made(database, user, rights, kind)
    assert key.text.startswith(secret.PREFIXES[kind])
    holder = await held(database, key.text)
    assert holder == KeyHolder(user, key.key.id, kind, rights, valid=True)
    async with database.tenant(user) as conn:
        (listed,) = await keys.listed(conn, user)
        rows = str((await conn.execute(text("SELECT * FROM api_keys"))).all())
    assert listed.public()["hint"] == key.text[:8]
    assert listed.rights == rights
    assert key.text not in rows
    assert key.text[8:] not in rows
    assert key.text not in str(listed.public())


def test_the_text_of_a_key_has_256_bits_and_checks_itself() -> None:
    some = {secret.make("api") for _ in range(200)}
    assert len(some) == 200
    key = some.pop()
    assert secret.digest(key)
    assert 62**43 > 2**255
    for wrong in (key[:-1], key + "0", key.swapcase(), key[:10] + ("a" if key[10] != "a" else "b") + key[11:],
                  "jmc_" + key[4:], " " + key, key + "\n", "", "jmk_", "ä" * len(key), key.replace("jmk_", "JMK_")):  # fmt: skip
        assert secret.digest(wrong) is None


async def test_the_last_use_is_noted_to_the_minute(database: Database, user: uuid.UUID) -> None:
    key = await made(database, user)
    assert key.key.last_used_at is None
    await asyncio.gather(*(held(database, key.text) for _ in range(5)))
    async with database.tenant(user) as conn:
        (first,) = await keys.listed(conn, user)
    assert first.last_used_at
    assert abs(first.last_used_at - datetime.now(UTC)) < timedelta(minutes=1)
    await held(database, key.text)
    async with database.tenant(user) as conn:
        assert (await keys.get(conn, user, key.key.id)).last_used_at == first.last_used_at
    await behind(database, user, "UPDATE api_keys SET last_used_at = now() - interval '2 minutes'")
    await held(database, key.text)
    async with database.tenant(user) as conn:
        assert (await keys.get(conn, user, key.key.id)).last_used_at >= first.last_used_at  # type: ignore[operator]


async def test_a_use_never_waits_for_somebody_who_holds_the_row(database: Database, user: uuid.UUID) -> None:
    key = await made(database, user)
    async with database.tenant(user) as conn:
        await conn.execute(text("SELECT * FROM api_keys FOR UPDATE"))
        async with asyncio.timeout(5):
            assert await valid(database, key.text)


async def test_a_revoked_key_is_worthless_at_once(database: Database, user: uuid.UUID) -> None:
    key = await made(database, user)
    assert await valid(database, key.text)
    async with database.tenant(user) as conn:
        first = await keys.revoke(conn, user, key.key.id)
    assert not await valid(database, key.text)
    async with database.tenant(user) as conn:
        assert (await keys.revoke(conn, user, key.key.id)).revoked_at == first.revoked_at
        assert await keys.listed(conn, user) == []
        assert len(await keys.listed(conn, user, revoked=True)) == 1


async def test_a_rotated_key_serves_a_while_beside_the_new_one(database: Database, user: uuid.UUID) -> None:
    rights = Rights("claude", delete=False, tags=("work",))
    old = await made(database, user, rights, "connector")
    async with database.tenant(user) as conn:
        new = await keys.rotate(conn, user, old.key.id)
    assert (new.key.rights, new.key.kind, new.key.name, new.key.replaces) == (rights, "connector", "my key", old.key.id)
    assert await valid(database, old.text)
    assert await valid(database, new.text)
    async with database.tenant(user) as conn:
        until = (await keys.get(conn, user, old.key.id)).expires_at
    assert until
    assert abs(until - datetime.now(UTC) - OVERLAP) < timedelta(minutes=1)
    await behind(database, user, f"UPDATE api_keys SET expires_at = now() WHERE id = '{old.key.id}'")
    assert not await valid(database, old.text)
    assert await valid(database, new.text)


async def test_a_rotation_never_lengthens_a_life(database: Database, user: uuid.UUID) -> None:
    async with database.tenant(user) as conn:
        old = await keys.create(conn, user, "api", ALL, lifetime=timedelta(hours=1))
        await keys.rotate(conn, user, old.key.id)
        assert (await keys.get(conn, user, old.key.id)).expires_at == old.key.expires_at
        await keys.rotate(conn, user, old.key.id, timedelta(0))
    assert not await valid(database, old.text)
    async with database.tenant(user) as conn:
        with pytest.raises(Invalid, match="overlap"):
            await keys.rotate(conn, user, old.key.id, timedelta(days=31))
        await keys.revoke(conn, user, old.key.id)
        with pytest.raises(Conflict) as refused:
            await keys.rotate(conn, user, old.key.id)
        assert refused.value.code == "key_revoked"


@pytest.mark.parametrize("lifetime", [None, timedelta(days=3)])
async def test_whoever_takes_a_keys_place_has_its_end(
    database: Database, user: uuid.UUID, lifetime: timedelta | None
) -> None:
    async with database.tenant(user) as conn:
        old = await keys.create(conn, user, "api", ALL, lifetime=lifetime)
        new = await keys.rotate(conn, user, old.key.id, timedelta(hours=1))
        third = await keys.rotate(conn, user, new.key.id, timedelta(0))
        again = await keys.rotate(conn, user, old.key.id, timedelta(hours=1))
    assert [one.key.expires_at for one in (new, third, again)] == [old.key.expires_at] * 3


async def test_a_key_that_is_out_of_time_is_not_brought_back(database: Database, user: uuid.UUID) -> None:
    old = await made(database, user)
    await behind(database, user, f"UPDATE api_keys SET expires_at = now() WHERE id = '{old.key.id}'")
    async with database.tenant(user) as conn:
        with pytest.raises(Conflict) as refused:
            await keys.rotate(conn, user, old.key.id)
    assert refused.value.code == "key_revoked"


async def test_rights_and_name_change_from_the_next_request_on(database: Database, user: uuid.UUID) -> None:
    key = await made(database, user)
    narrow = Rights("somebody-else", write=False, delete=False, tags=("a",))
    async with database.tenant(user) as conn:
        changed = await keys.change(conn, user, key.key.id, narrow, name="  narrower ")
    assert (changed.name, changed.rights.client) == ("narrower", "claude")
    holder = await held(database, key.text)
    assert holder
    assert holder.rights == Rights("claude", write=False, delete=False, tags=("a",))


@pytest.mark.parametrize(
    ("rights", "name", "field"),
    [(Rights("No Client"), "n", "client"), (Rights("c", False, False, False), "n", "read"), (ALL, "x" * 101, "name"),
     (ALL, "a\nb", "name"), (ALL, "\x1b[31m", "name"), (Rights("c", tags=("a\tb",)), "n", "tags")],
)  # fmt: skip
async def test_what_no_key_can_be_is_refused(
    database: Database, user: uuid.UUID, rights: Rights, name: str, field: str
) -> None:
    async with database.tenant(user) as conn:
        with pytest.raises(Invalid) as refused:
            await keys.create(conn, user, "api", rights, name=name)
        assert refused.value.detail["field"] == field
        assert await keys.listed(conn, user) == []


async def test_the_number_of_keys_has_a_limit_also_for_two_at_once(database: Database, user: uuid.UUID) -> None:
    async with database.tenant(user) as conn:
        for _ in range(MAX_KEYS - 1):
            await keys.create(conn, user, "api", ALL)
    outcomes = await asyncio.gather(*(made(database, user) for _ in range(3)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Conflict", "Made"]


async def test_another_users_key_does_not_exist(database: Database, user: uuid.UUID) -> None:
    mine, other = await made(database, user), uuid.uuid4()
    async with database.tenant(other) as conn:
        assert await keys.listed(conn, other, revoked=True) == []
        assert await keys.listed(conn, user, revoked=True) == []  # the policy alone
        for owner in (other, user):
            for call in (keys.get, keys.revoke, keys.rotate, keys.change):
                with pytest.raises(NotFound) as refused:
                    await call(conn, owner, mine.key.id, **({"name": "x"} if call is keys.change else {}))
                assert refused.value.code == "unknown_key"
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with database.tenant(other) as conn:
            await keys.create(conn, user, "api", ALL)
    assert await valid(database, mine.text)


async def test_the_application_can_not_look_into_the_tables_without_a_tenant(
    database: Database, user: uuid.UUID
) -> None:
    await made(database, user)
    async with database.engine.connect() as conn:
        for table in ("api_keys", "grants", "sign_outs"):
            assert (await conn.execute(text(f"SELECT count(*) FROM jmem.{table}"))).scalar_one() == 0
        await conn.rollback()
        for refused in ("SELECT * FROM jmem.tombstones", "SELECT * FROM jmem.deletions", "SET ROLE jmem_lookup",
                        "SELECT jmem.is_deleted(gen_random_uuid())", "DELETE FROM jmem.api_keys"):  # fmt: skip
            with pytest.raises(ProgrammingError, match=r"permission denied|DeniedError"):
                await conn.execute(text(refused))
            await conn.rollback()


async def test_an_unknown_key_is_nobodys(database: Database) -> None:
    assert await held(database, secret.make("api")) is None


def claims(user: uuid.UUID, session: str = "s-1", program: str | None = None, issued: float | None = None) -> Claims:
    now = int(datetime.now(UTC).timestamp()) if issued is None else int(issued)
    return Claims(user, session, program, "ann@example.com", now, now + 3600)


async def test_a_program_is_known_once_it_was_let_in(database: Database, user: uuid.UUID) -> None:
    lookup, rights = Lookup(database.engine), Rights("chatgpt", delete=False)
    assert (await lookup.session(claims(user, program="p-1"))).rights is None
    async with database.tenant(user) as conn:
        await grants.allow(conn, user, "p-1", "ChatGPT", rights)
    assert (await lookup.session(claims(user, program="p-1"))).rights == rights
    assert (await lookup.session(claims(user, program="p-2"))).rights is None
    assert (await lookup.session(claims(uuid.uuid4(), program="p-1"))).rights is None
    assert (await lookup.session(claims(user))).rights is None
    async with database.tenant(user) as conn:
        (listed,) = await grants.listed(conn, user)
        assert listed.last_used_at
        assert listed.public()["name"] == "ChatGPT"
        await grants.revoke(conn, user, "p-1")
    assert (await lookup.session(claims(user, program="p-1"))).rights is None
    async with database.tenant(user) as conn:
        assert await grants.listed(conn, user) == []
        with pytest.raises(NotFound):
            await grants.revoke(conn, user, "p-3")
        await grants.allow(conn, user, "p-1", "ChatGPT", ALL)
    assert (await lookup.session(claims(user, program="p-1"))).rights == ALL


async def test_a_sign_out_reaches_its_session_or_all_before_it(database: Database, user: uuid.UUID) -> None:
    lookup, now = Lookup(database.engine), datetime.now(UTC).timestamp()
    async with database.tenant(user) as conn:
        await grants.sign_out(conn, user, "s-1")
    assert (await lookup.session(claims(user, "s-1"))).signed_out
    assert not (await lookup.session(claims(user, "s-2"))).signed_out
    assert not (await lookup.session(claims(uuid.uuid4(), "s-1"))).signed_out
    async with database.tenant(user) as conn:
        await grants.sign_out(conn, user)
    assert (await lookup.session(claims(user, "s-2", issued=now - 1))).signed_out
    assert not (await lookup.session(claims(user, "s-3", issued=now + 2))).signed_out
    await behind(database, user, "UPDATE sign_outs SET at = at - interval '9 days'")
    async with database.tenant(user) as conn:
        await grants.sign_out(conn, user, "s-4")
        assert (await conn.execute(text("SELECT array_agg(session_id) FROM sign_outs"))).scalar_one() == ["s-4"]
