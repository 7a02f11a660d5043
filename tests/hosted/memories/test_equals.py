"""Of which memories an add is told that it equals one."""

from __future__ import annotations

import uuid

import pytest

from hosted.db.engine import Database
from hosted.memories.service import Backend, Memories
from hosted.ops.events import Bus
from jmem.core.actor import Actor
from jmem.core.drafts import Draft

OWNER, WRITER = Actor("cli"), Actor("writer", read=False, owner=False)


@pytest.fixture
def mine(database: Database, user: uuid.UUID) -> Memories:
    return Backend(database, Bus()).of(user)


async def test_a_program_that_may_not_read_is_told_of_its_own_only(mine: Memories) -> None:
    await mine.add(Draft("the code is 4711"), OWNER)
    own = await mine.add(Draft("the code is 4711"), WRITER)
    assert not own.duplicate
    again = await mine.add(Draft("the code is 4711"), WRITER)  # a write whose answer was lost
    assert (again.duplicate, again.memory.id) == (True, own.memory.id)
