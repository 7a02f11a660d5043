"""The hosted feed and the store of a device make the same of the same ops, whatever order and grouping they come in."""

from __future__ import annotations

import asyncio
import json
import tempfile
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hosted.db.engine import Database
from hosted.ops import feed
from hosted.ops.events import Bus
from hosted.ops.rows import COLUMNS, IS_MEMORY, memory_of
from jmem.core import foreign, merge
from jmem.core.errors import JmemError
from jmem.core.model import Op
from jmem.core.store import MEMORY_COLUMNS, Store, Tx, oplog, row_memory
from tests.property.test_merge_store import IDS, op_sets


def local(batches: list[list[Op]]) -> dict[str, object]:
    """What a device makes of the batches."""
    codes: list[tuple[str, str | None]] = []
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder)) as store:
        for batch in batches:

            def run(tx: Tx, batch: list[Op] = batch) -> None:
                intake = foreign.Intake(tx, batch, oplog.begin_action(tx, "sync", "sync"))
                for op in batch:
                    try:
                        intake.take(op)
                        codes.append((op.stamp, None))
                    except JmemError as error:
                        codes.append((op.stamp, error.code))
                intake.finish()

            store.write(run)
        with store.reader() as conn:
            rows = conn.execute(
                f"SELECT {MEMORY_COLUMNS}, m.stamps, m.extra, m.at, m.id_reversed, m.text_key FROM memories m"
            )
            return {
                "codes": codes,
                "rows": {r[0]: (row_memory(r), json.loads(r[17]), json.loads(r[18]), *r[19:]) for r in rows},
                "ops": {s: (d, p, q) for s, d, p, q in conn.execute("SELECT stamp, digest, payload, seq FROM ops")},
                "purged": {id for (id,) in conn.execute("SELECT id FROM purged")},
                "apart": {id for (id,) in conn.execute("SELECT id FROM conflicts")},
            }  # fmt: skip


async def hosted(url: str, batches: list[list[Op]]) -> dict[str, object]:
    """What the account makes of them."""
    database, user = Database(url, pool_size=1), uuid.uuid4()
    codes: list[tuple[str, str | None]] = []
    try:
        for batch in batches:
            raw = [{**op.body(), "digest": op.digest} for op in batch]
            codes += [(o.stamp, o.code) for o in await feed.push(database, Bus(), user, "d", raw)]
    finally:
        await database.close()
    return {"codes": codes, **await looked_at(url, user)}


def placed(ops: Any) -> list[tuple[str, ...]]:
    """Ops in the order of their numbers: a device counts changes of rows too."""
    return [(stamp, *ops[stamp][:2]) for stamp in sorted(ops, key=lambda stamp: ops[stamp][2])]


async def looked_at(url: str, user: uuid.UUID) -> dict[str, object]:
    conn = await asyncpg.connect(url)
    try:
        await conn.execute("SELECT set_config('app.user_id', $1, false)", str(user))
        rows = await conn.fetch(f"SELECT {COLUMNS}, m.stamps, m.extra, m.at, m.id_reversed, m.text_key"
                                f" FROM jmem.memories m WHERE {IS_MEMORY}")  # fmt: skip
        ops = await conn.fetch("SELECT stamp, digest, payload, seq FROM jmem.ops")
        purged = await conn.fetch("SELECT id FROM jmem.memories WHERE purged")
        apart = await conn.fetch("SELECT id FROM jmem.memories WHERE apart")
    finally:
        await conn.close()
    return {
        "rows": {r[0]: (memory_of(r), json.loads(r[17]), json.loads(r[18]), *list(r)[19:]) for r in rows},
        "ops": {r[0]: tuple(r)[1:] for r in ops},
        "purged": {r[0] for r in purged},
        "apart": {r[0] for r in apart},
    }


def synced(op: Op) -> Op:
    """The same op of a memory that may leave its machine."""
    fields = {n: ("synced" if n == "privacy" else v) for n, v in op.set.items()}
    return Op(op.stamp, op.id, fields, op.base, op.client, op.nonce, op.purge, "", op.v, op.extra).sealed()


@settings(max_examples=60, deadline=None, phases=[Phase.generate])
@given(st.data())
def test_rows_ops_and_refusals_are_the_same(database_url: str, data: st.DataObject) -> None:
    ops = [synced(op) for op in data.draw(op_sets())]
    purged = {op.id for op in ops if op.purge}
    arriving = [
        op.blanked() if op.id in purged and data.draw(st.booleans()) else op
        for op in [*data.draw(st.permutations(ops)), *data.draw(st.lists(st.sampled_from(ops), max_size=4))]
    ]
    spoiled = data.draw(st.sampled_from(["", "digest", "value", "reuse", "nul"]))
    if spoiled == "digest":
        arriving.append(Op(f"{1:012x}-0000-cccccccc", IDS[0], {"content": "x"}, client="cli", digest="sha256:0"))
    elif spoiled == "value":
        arriving.append(Op(f"{1:012x}-0000-cccccccc", IDS[0], {"tags": ["b", "b"]}, client="cli").sealed())
    elif spoiled == "reuse":
        arriving.append(Op(ops[0].stamp, IDS[0], {"content": "another"}, client="cli", nonce="z").sealed())
    elif spoiled == "nul":
        odd = {"content": "x", "o\0dd": {"deep": ["\0", 1e300, -0.0, 10**20]}}
        arriving.append(Op(f"{2:012x}-0000-cccccccc", IDS[1], odd, client='q"\\', nonce='"\\\0').sealed())
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arriving)), max_size=3)))
    bounds = [0, *cuts, len(arriving)]
    batches = [arriving[a:b] for a, b in pairwise(bounds) if b > a]
    here, there = local(batches), asyncio.run(hosted(database_url, batches))
    assert there["codes"] == here["codes"]
    assert there["purged"] == here["purged"]
    assert there["apart"] == here["apart"]
    assert placed(there["ops"]) == placed(here["ops"])
    assert there["rows"] == here["rows"]
    for id in IDS:
        mine = [Op.parse(text) for _, text, _ in there["ops"].values() if Op.parse(text).id == id]  # type: ignore[attr-defined]
        state = merge.fold(mine)
        assert (id in there["purged"]) == state.purged  # type: ignore[operator]
        assert there["rows"].get(id, (None,))[0] == merge.memory(id, state.registers)  # type: ignore[attr-defined]
