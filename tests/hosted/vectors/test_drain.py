"""What the index has after a drain is what is live: I8 of the sync protocol, through every failure on the way."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hosted.db.engine import Database, driver
from hosted.dev.qdrant import Store, in_process
from hosted.dev.qdrant.errors import QdrantError
from hosted.vectors import drain as drain_module
from hosted.vectors.alias import Collections
from hosted.vectors.client import Vectors
from hosted.vectors.drain import Depth, Drain, Target
from hosted.vectors.embed import Embeddings
from jmem.core.model import new_id
from tests.hosted.vectors.conftest import Account, Words


async def state(database: Database, user: uuid.UUID, model: str) -> tuple[dict[str, str], dict[str, str]]:
    """(live, indexed): ids with the stamp of their content, by the rows and by the index's state."""
    async with database.tenant(user) as conn:
        raw: Any = (await conn.get_raw_connection()).driver_connection
        rows = await raw.fetch(
            "SELECT id, stamps ->> 'content' AS stamp FROM jmem.memories WHERE content IS NOT NULL AND NOT deleted"
        )
        held = await raw.fetch("SELECT id, content_stamp FROM jmem.index_state WHERE model = $1", model)
    return {r["id"]: r["stamp"] for r in rows}, {r["id"]: r["content_stamp"] for r in held}


async def check(drain: Drain, database: Database, vectors: Vectors, user: uuid.UUID) -> dict[str, str]:
    """I8."""
    live, indexed = await state(database, user, drain.target.model)
    assert indexed == live
    assert await vectors.ids(user, drain.target.collection) == set(live)
    return live


async def test_the_index_follows_the_rows(drain: Drain, client: Any, account: Account, source: Words) -> None:
    vectors, user, database = Vectors(client), account.user, account.database
    a, b, c = new_id(), new_id(), new_id()
    await account.push(*(account.op(id, content=f"memory {id}", tags=["x"]) for id in (a, b, c)))
    assert await drain.drain(user)
    assert set(await check(drain, database, vectors, user)) == {a, b, c}
    assert drain.counts.embedded == 3
    await account.set(a, content="another text")
    await account.set(b, tags=["y"])
    await account.set(c, deleted=True)
    assert await drain.drain(user)
    assert set(await check(drain, database, vectors, user)) == {a, b}
    assert (drain.counts.embedded, drain.counts.described, drain.counts.removed) == (4, 1, 1)
    await account.set(c, deleted=False)
    await account.set(b, speaker="Ann")  # is part of what is embedded
    await account.purge(a)
    assert await drain.drain(user)
    assert set(await check(drain, database, vectors, user)) == {b, c}
    assert drain.counts.embedded == 6
    asked = len(source.asked)
    assert await drain.drain(user)
    assert len(source.asked) == asked


async def test_many_batches_of_many_accounts(
    drain: Drain, client: Any, database: Database, source: Words, owner_url: str
) -> None:
    accounts = [Account(database, uuid.uuid4()) for _ in range(3)]
    for account in accounts:
        await account.push(*(account.op(new_id(), content=f"memory number {n}") for n in range(150)))
    drain.start()
    await until(drain, Depth())
    for account in accounts:
        assert len(await check(drain, database, Vectors(client), account.user)) == 150
    await accounts[0].set(new_id(), content="told of")
    drain.hear(accounts[0].user)
    await until(drain, Depth())
    assert len(await check(drain, database, Vectors(client), accounts[0].user)) == 151


async def until(drain: Drain, depth: Depth, seconds: float = 20) -> None:
    """Other tests of the module share the database: what they left is drained too."""
    async with asyncio.timeout(seconds):
        while await drain.depth() != depth:
            await asyncio.sleep(0.02)


async def test_an_index_that_takes_too_long_lets_the_account_go(
    drain: Drain, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await account.set(new_id(), content="waits")
    entered = asyncio.Event()

    async def never(*_: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(drain_module, "HOLD_S", 0.5)
    monkeypatch.setattr(drain._vectors, "describe", never)
    draining = asyncio.create_task(drain.drain(account.user))
    await entered.wait()
    async with asyncio.timeout(5), account.database.tenant(account.user) as conn:
        raw: Any = (await conn.get_raw_connection()).driver_connection
        await raw.execute("SELECT FROM jmem.index_heads FOR UPDATE")  # as a write does that goes back behind the end
    assert not await draining
    monkeypatch.undo()
    async with account.database.tenant(account.user) as conn:
        await driver(conn).execute("UPDATE jmem.index_heads SET busy_until = NULL")
    assert await drain.drain(account.user)
    live, indexed = await state(account.database, account.user, drain.target.model)
    assert set(live) == set(indexed) == {id}


async def test_whatever_is_wrong_with_one_account_the_others_are_indexed(
    drain: Drain, client: Any, account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [Account(database, uuid.uuid4()) for _ in range(2)]
    step = drain._step

    async def odd(user_id: uuid.UUID, *rest: Any) -> None:
        if user_id != account.user:
            raise ValueError("nobody thought of this")
        await step(user_id, *rest)

    monkeypatch.setattr(drain, "_step", odd)
    for other in others:  # one for each worker
        await other.set(new_id(), content="odd")
        drain.hear(other.user)
    drain.start()
    async with asyncio.timeout(10):
        while drain.counts.failures < 2:
            await asyncio.sleep(0.02)
    await account.set(new_id(), content="fine")
    drain.hear(account.user)
    await until_indexed(drain, account, client)


class Broken:
    """Fails some requests before they are done, and some after."""

    def __init__(self, store: Store, plan: list[bool]) -> None:
        self.store, self.plan = store, plan
        store.before = self.before

    def before(self, kind: str) -> None:
        if self.plan and self.plan.pop():
            raise QdrantError(503, "told to fail")


CHANGES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["content", "speaker", "tags", "deleted", "restored", "purge", "late", "drain"]),
    ),
    min_size=1, max_size=14,
)  # fmt: skip


@settings(max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(changes=CHANGES, failing=st.lists(st.booleans(), max_size=8), breaking=st.sets(st.integers(0, 6)))
def test_ids_in_the_index_are_live_ids(
    database_url: str, changes: list[tuple[int, str]], failing: list[bool], breaking: set[int]
) -> None:
    asyncio.run(_trace(database_url, changes, failing, breaking))


async def _trace(url: str, changes: list[tuple[int, str]], failing: list[bool], breaking: set[int]) -> None:
    database, store, source = Database(url, pool_size=3), Store(), Words(f"w{uuid.uuid4().hex[:8]}")
    vectors = Vectors(in_process(store))
    collections = Collections(vectors, "trace")
    await collections.create(source.model)
    Broken(store, list(failing))
    account, ids = Account(database, uuid.uuid4()), [new_id() for _ in range(4)]
    drains = [Drain(database, vectors, Target(collections.of(source.model), Embeddings(source))) for _ in range(2)]
    late = [account.op(id, content="came late", speaker="Early") for id in ids]
    try:
        for step, (which, kind) in enumerate(changes):
            id = ids[which]
            match kind:
                case "content":
                    await account.set(id, content=f"text {step % 3}")
                case "speaker":
                    await account.set(id, speaker=f"Speaker {step % 2}")
                case "tags":
                    await account.set(id, tags=[f"t{step}"])
                case "deleted" | "restored":
                    await account.set(id, deleted=kind == "deleted")
                case "purge":
                    await account.purge(id)
                case "late":
                    await account.push(late[which])
                case "drain":
                    source.broken = step in breaking
                    await asyncio.gather(*(drain.drain(account.user) for drain in drains))
        source.broken, store.before = False, lambda kind: None
        async with database.tenant(account.user) as conn:
            raw: Any = (await conn.get_raw_connection()).driver_connection
            await raw.execute("UPDATE jmem.index_heads SET busy_until = NULL")  # the pause after a failure is over
        await drains[0].drain(account.user)
        await check(drains[0], database, vectors, account.user)
    finally:
        for drain in drains:
            await drain.close()
        await vectors.close()
        await database.close()


async def test_a_worker_whose_lease_ran_out_writes_nothing(
    drain: Drain, client: Any, account: Account, source: Words, target: Target
) -> None:
    id = await account.set(new_id(), content="the old text")
    entered, go = asyncio.Event(), asyncio.Event()
    ask = source.ask

    async def slow(texts: Any, *, query: bool) -> Any:
        entered.set()
        await go.wait()
        return await ask(texts, query=query)

    source.ask = slow  # type: ignore[method-assign]
    late = asyncio.create_task(drain.drain(account.user))
    await entered.wait()
    async with account.database.tenant(account.user) as conn:
        raw: Any = (await conn.get_raw_connection()).driver_connection
        await raw.execute("UPDATE jmem.index_heads SET busy_until = now() - interval '1 second'")
    await account.set(id, content="the new text")
    source.ask = ask  # type: ignore[method-assign]
    other = Drain(account.database, Vectors(client), Target(target.collection, Embeddings(source)))
    assert await other.drain(account.user)
    go.set()
    await late
    assert (drain.counts.embedded, other.counts.embedded) == (0, 1)
    await check(drain, account.database, Vectors(client), account.user)
    found = await Vectors(client).search(
        account.user, target.collection, source.vector("the new text").tolist(), _all(), "2030-01-01T00:00:00.000Z", 1
    )
    assert found.nearest[0][1] == pytest.approx(1, abs=1e-3)


def _all() -> Any:
    from jmem.core.filter import Filter

    return Filter()


async def test_a_failure_pauses_the_account_and_ends(
    drain: Drain, client: Any, account: Account, source: Words
) -> None:
    await account.set(new_id(), content="waits")
    source.broken = True
    assert not await drain.drain(account.user)
    assert drain.counts.failures == 1
    source.broken = False
    asked = len(source.asked)
    assert not await drain.drain(account.user)  # still in the pause: nobody asks the embedder
    assert len(source.asked) == asked
    drain.start()
    await until_indexed(drain, account, client)


async def until_indexed(drain: Drain, account: Account, client: Any) -> None:
    async with asyncio.timeout(10):
        while True:
            live, indexed = await state(account.database, account.user, drain.target.model)
            if live == indexed:
                break
            await asyncio.sleep(0.05)
    await check(drain, account.database, Vectors(client), account.user)


async def test_state_is_the_tenants_and_the_functions_tell_no_words(
    drain: Drain, account: Account, database_url: str
) -> None:
    await account.set(new_id(), content="a secret of Ann")
    await drain.drain(account.user)
    conn = await asyncpg.connect(database_url)
    try:
        assert await conn.fetch("SELECT * FROM jmem.index_state") == []
        assert await conn.fetch("SELECT * FROM jmem.index_heads") == []
        query = "SELECT ids FROM jmem.matching(ARRAY[plainto_tsquery('english', 'secret')], 10)"
        assert await conn.fetchval(query) is None
        async with conn.transaction():
            await conn.execute("SELECT set_config('app.user_id', $1, true)", str(uuid.uuid4()))
            assert await conn.fetchval(query) is None
        async with conn.transaction():
            await conn.execute("SELECT set_config('app.user_id', $1, true)", str(account.user))
            assert len(await conn.fetchval(query)) == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("SET ROLE jmem_index")
    finally:
        await conn.close()


async def test_an_account_without_rows_is_nobodys_work(drain: Drain, client: Any, account: Account) -> None:
    """As after its deletion: nothing is made for it again."""
    assert await drain.drain(account.user)
    async with account.database.tenant(account.user) as conn:
        raw: Any = (await conn.get_raw_connection()).driver_connection
        assert await raw.fetchval("SELECT count(*) FROM jmem.index_heads") == 0
