"""A page of a list costs the database little more than its rows."""

from __future__ import annotations

import uuid

import pytest

from hosted.db.engine import Database, driver
from hosted.memories.service import Backend, Memories
from hosted.ops.events import Bus
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.filter import Filter

OWNER = Actor("web")
_PLANS = (
    "SELECT sum(generic_plans) AS kept, sum(custom_plans) AS anew FROM pg_prepared_statements WHERE statement LIKE $1"
)
CUSTOM = 5
"""Times that Postgres plans a statement for its values before it sees whether one plan serves for all."""


@pytest.fixture
def mine(database: Database, user: uuid.UUID) -> Memories:
    return Backend(database, Bus()).of(user)


async def test_a_page_is_not_planned_anew_each_time(database: Database, mine: Memories, owner_url: str) -> None:
    await mine.add_many([Draft(f"number {n}") for n in range(300)], OWNER)
    owner = Database(owner_url)
    async with owner.engine.begin() as conn:
        await driver(conn).execute("ANALYZE jmem.memories")
    await owner.close()
    for _ in range(CUSTOM + 4):
        assert len((await mine.list(Filter(), OWNER, limit=20)).memories) == 20
    async with database.tenant(mine.user_id) as conn:
        plans = await driver(conn).fetchrow(_PLANS, "%AS superseded FROM jmem.memories%")
    assert plans is not None
    assert (plans["kept"], plans["anew"]) == (4, CUSTOM)
