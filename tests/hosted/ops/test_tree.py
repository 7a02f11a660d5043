"""What the database adds up of the hash tree."""

from __future__ import annotations

import json
import uuid

from hosted.db.engine import Database, driver
from hosted.memories.service import Backend
from hosted.ops import tree
from hosted.ops.events import Bus
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.tree import NODE, Leaf, Sums, op_hash, place

_HELD = "SELECT memory_id, stamp, digest FROM jmem.ops WHERE user_id = $1"


async def test_each_op_is_hashed_once_and_as_a_device_hashes_it(database: Database) -> None:
    user = uuid.uuid4()
    memories = Backend(database, Bus()).of(user)
    await memories.add_many([Draft(f"The text {number}") for number in range(300)], Actor("cli"))
    asked = tree._OPS.format(name=f"left(bucket, {NODE})", some="")
    async with database.tenant(user) as conn:
        raw = driver(conn)
        (sums_up,) = await raw.fetchval(f"EXPLAIN (VERBOSE, FORMAT JSON) {asked}", user)
        summed = {record[0]: tree._whole(record[2:]) for record in await raw.fetch(asked, user)}
        held = [tuple(record) for record in await raw.fetch(_HELD, user)]
    below = json.dumps(sums_up["Plan"]["Plans"])
    assert "sha256(" in below, "each of the sums hashes by itself"
    sums = Sums(NODE)
    for id, stamp, digest in held:
        sums.add(place(id), op_hash(id, stamp, digest))
    assert {name: f"{value:032x}" for name, value in summed.items()} == sums.nodes()
    leaf = (await tree.part(database, user, [place(held[0][0])])).leaves[held[0][0]]
    assert (leaf.ops, leaf.log) == (1, Leaf(0, op_hash(*held[0])).log)
