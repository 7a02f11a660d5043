"""What is deleted or forgotten is what was read: a change in between is refused, whenever it comes."""

from __future__ import annotations

import uuid

import pytest

from hosted.db.engine import Database
from hosted.memories.service import Backend, Memories
from hosted.ops.events import Bus
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.errors import Conflict
from jmem.core.filter import Filter

OWNER = Actor("web")


@pytest.fixture
def mine(database: Database, user: uuid.UUID) -> Memories:
    return Backend(database, Bus()).of(user)


@pytest.mark.parametrize("how", ["delete", "purge"])
async def test_only_the_version_that_was_read(mine: Memories, how: str) -> None:
    read = (await mine.add(Draft("as it was read"), OWNER)).memory
    changed = (await mine.edit(read.id, {"content": "as nobody has seen it"}, OWNER)).memory
    ends = getattr(mine, how)
    with pytest.raises(Conflict) as refused:
        await ends(read.id, OWNER, expected=read.version)
    assert refused.value.code == "changed"
    assert (await mine.get(read.id, OWNER)).content == "as nobody has seen it"
    await ends(read.id, OWNER, expected=changed.version)
    assert await mine.count(Filter(), OWNER) == 0
