"""An account does with the same commands what a device does: the same results, refusals, rows, history and log."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hosted.db.engine import Database
from hosted.memories.activity import Activity
from hosted.memories.service import Backend, Memories
from hosted.ops.apply import check, take
from hosted.ops.events import Bus
from jmem.core import foreign
from jmem.core.access import AccessLog
from jmem.core.actor import Actor
from jmem.core.clock import Clock
from jmem.core.drafts import Added, Draft
from jmem.core.errors import JmemError
from jmem.core.filter import Filter
from jmem.core.model import Memory, Op, new_nonce, now_iso
from jmem.core.service import MemoryService
from jmem.core.store import Store

OWNER = Actor("cli")
ACTORS = [
    OWNER,
    OWNER,
    Actor("claude", tags=("a", "b"), owner=False),
    Actor("reader", write=False, delete=False, owner=False),
    Actor("guest", review=True, owner=False),
    Actor("capped", writes_per_hour=3, owner=False),
    Actor("writer", read=False, owner=False),
    Actor("both", read=False, review=True, writes_per_hour=2, owner=False),
]
Command = tuple[str, Any]
ids = st.integers(0, 5)
tags = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True).map(tuple)
contents = st.sampled_from(["tea", "coffee", "the sea", "my password: hunter2xyz9!Q", " "])
changes = st.fixed_dictionaries({}, optional={
    "content": contents, "tags": tags, "state": st.sampled_from(["active", "paused", "archived", "wrong"]),
    "add_tags": tags, "remove_tags": tags, "speaker": st.sampled_from([None, "Ada"]), "supersedes": ids,
    "expires_at": st.sampled_from([None, "2020-01-01", "2090-01-01"]), "colour": st.just("red"),
}).filter(bool)  # fmt: skip
drafts = st.builds(
    Draft, contents, tags, state=st.sampled_from(["active", "active", "paused"]), speaker=st.sampled_from([None, "Ada"]),
    thread=st.sampled_from([None, "mcp:1", "mcp:2", "t"]), secrets=st.sampled_from(["refuse", "mask", "allow"]),
    metadata=st.sampled_from([{}, {"k": [1.5, None]}]), occurred_at=st.sampled_from([None, "2023-05-08"]),
)  # fmt: skip
settles = st.fixed_dictionaries({"how": st.sampled_from(["keep", "both", "text"])}, optional={
    "version": st.sampled_from(["", "1", "2", "9"]), "content": contents, "secrets": st.sampled_from(["refuse", "mask"]),
    "expected": st.just(["000000000000-0000-00000000"]),
})  # fmt: skip
commands = st.one_of(
    st.tuples(st.just("add"), drafts),
    st.tuples(st.just("add_many"), st.lists(drafts, min_size=1, max_size=3)),
    st.tuples(st.just("edit"), st.tuples(ids, changes)),
    st.tuples(st.just("delete"), st.lists(ids, min_size=1, max_size=2)),
    st.tuples(st.just("restore"), st.tuples(ids, st.sampled_from([None, None, 1, 2, 99]))),
    st.tuples(st.just("purge"), ids),
    st.tuples(st.just("undo"), st.sampled_from([{}, {"n": 2}, {"redo": True}, {"dry_run": True}, {"client": "claude"}])),
    st.tuples(st.just("review"), st.tuples(st.sampled_from(["approve", "reject"]), st.one_of(
        st.lists(ids, min_size=1, max_size=3), st.sampled_from([None, "guest", "nobody"])))),
    st.tuples(st.just("merge"), st.tuples(ids, ids, st.sampled_from([None, "tea and coffee", "my password: hunter2xyz9!Q"]))),
    st.tuples(st.just("distinct"), st.tuples(ids, ids, st.booleans())),
    st.tuples(st.just("apart"), st.tuples(ids, st.lists(st.sampled_from(["milk", "water", "tea"]), min_size=1, max_size=3))),
    st.tuples(st.just("conflicts"), st.one_of(st.none(), ids)),
    st.tuples(st.just("settle"), st.tuples(ids, settles)),
    st.tuples(st.just("batch"), st.lists(st.one_of(
        st.tuples(st.sampled_from(["delete", "restore", "purge", "wrong"]), ids), st.tuples(st.just("edit"), ids, changes),
        st.tuples(st.just("add"), contents),
    ), min_size=1, max_size=4)),
)  # fmt: skip


class Side:
    """One of the two, with its own ids for the memories that both know by a number."""

    def __init__(self, does: Any) -> None:
        self.does = does
        self.ids: list[str] = []

    def id(self, number: int) -> str:
        return self.ids[number] if number < len(self.ids) else "0199f3a1-c2d4-7b3e-9c1a-999999999999"

    def named(self, id: str) -> int | str:
        return self.ids.index(id) if id in self.ids else "?"

    async def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """A method's result, whichever kind of method it is; or the code of its refusal."""
        try:
            found = getattr(self.does, name)(*arguments, **named)
            return await found if asyncio.iscoroutine(found) else found
        except JmemError as error:
            return error.code

    def _changes(self, given: dict[str, Any]) -> dict[str, Any]:
        return {n: self.id(v) if n == "supersedes" else v for n, v in given.items()}

    async def run(self, command: Command, actor: Actor) -> Any:
        name, given = command
        match name:
            case "add":
                return self.told(await self.call("add", given, actor, similar=False))
            case "add_many":
                return self.told(await self.call("add_many", given, actor))
            case "edit":
                return self.told(await self.call("edit", self.id(given[0]), self._changes(given[1]), actor))
            case "delete":
                return self.told(await self.call("delete", [self.id(n) for n in given], actor))
            case "restore":
                return self.told(await self.call("restore", self.id(given[0]), actor, rev=given[1]))
            case "purge":
                found = await self.call("purge", self.id(given), actor)
                return found if isinstance(found, str) else [self.named(p.id) for p in found]
            case "undo":
                return self.told(await self.call("undo", actor, **given))
            case "merge":
                keep, other, content = given
                return self.told(await self.call("merge", self.id(keep), self.id(other), actor, content=content))
            case "distinct":
                a, b, distinct = given
                return self.told(await self.call("set_distinct", self.id(a), self.id(b), actor, distinct=distinct))
            case "apart":
                return await self.write_apart(*given)
            case "conflicts":
                return self.told(await self.call("conflicts", actor, id=None if given is None else self.id(given)))
            case "settle":
                return self.told(await self.call("settle", self.id(given[0]), actor, **given[1]))
            case "review":
                named = (
                    {"parts": [self.id(n) for n in given[1]]} if isinstance(given[1], list) else {"client": given[1]}
                )
                return self.told(await self.call("review", given[0], actor, **named))
        operations: list[dict[str, Any]] = []
        for op, first, *more in given:
            if op == "add":
                operations.append({"op": op, "content": first})
            else:
                operations.append({"op": op, "id": self.id(first), **(self._changes(more[0]) if more else {})})
        found = await self.call("batch", operations, actor)
        if isinstance(found, str):
            return found
        return [(r.status, self.told(r.memory), r.duplicate, r.differs, r.error and r.error.code, self.told(r.deleted),
                 self.told(r.purged)) for r in found]  # fmt: skip

    async def write_apart(self, number: int, contents: Sequence[str]) -> None:
        """Other texts of a memory come, of machines that had not heard of the one that is there."""
        await asyncio.sleep(0.002)  # later than what was written before, on both sides
        clock = Clock()
        ops = [
            Op(clock.tick(), self.id(number), {"content": one}, (), "elsewhere", new_nonce()).sealed()
            for one in contents
        ]
        if isinstance(self.does, Memories):
            async with self.does._writing() as writer:
                await take(writer, [check(op) for op in ops], device="d")
        else:
            assert not foreign.apply_ops(self.does.store, ops, "sync", "sync").rejected
        await asyncio.sleep(0.002)

    def told(self, found: Any) -> Any:
        """A result with ids as numbers, without moments, and without where it was written, which each tells as it knows it."""
        if isinstance(found, JmemError):
            return found.code
        if isinstance(found, Added) and not found.duplicate:
            self.ids.append(found.memory.id)
        if dataclasses.is_dataclass(found) and not isinstance(found, type):
            if isinstance(found, Memory):
                return self.memory(found.as_dict())  # type: ignore[attr-defined]
            return {
                f.name: self.told(getattr(found, f.name))
                for f in dataclasses.fields(found)
                if f.name not in ("at", "stamp", "where")
            }
        if isinstance(found, dict):
            return {
                n: self.told(v) for n, v in found.items() if n not in ("updated_at", "created_at", "version", "stamp")
            }
        if isinstance(found, list | tuple):
            return [self.told(one) for one in found]
        return self.named(found) if isinstance(found, str) and len(found) == 36 else found

    def memory(self, fields: dict[str, Any]) -> dict[str, Any]:
        if fields["id"] not in self.ids:
            self.ids.append(fields["id"])
        moments = ("created_at", "updated_at", "version")
        return {n: self.told(v) for n, v in fields.items() if n not in moments}

    async def pages(self, filter: Filter, actor: Actor, **named: Any) -> Any:
        """The whole list, page by page, and how many it says there are."""
        shown: list[Any] = []
        cursor = None
        while True:
            page = await self.call("list", filter, actor, limit=2, cursor=cursor, **named)
            if isinstance(page, str):
                return page
            shown += [self.told(memory) for memory in page.memories]
            cursor = page.next_cursor
            if cursor is None:
                return shown, await self.call(
                    "count", filter, actor, **{n: v for n, v in named.items() if n == "as_of"}
                )

    async def past(self, moments: Sequence[str]) -> dict[str, Any]:
        """What stood at some moments, and what changed between them."""
        found: dict[str, Any] = {}
        for number, moment in enumerate(moments):
            for sort, filter in (
                ("created", Filter(states=())),
                ("-updated", Filter(tags=("a",))),
                ("-occurred", Filter()),
            ):
                found[f"{number} by {sort}"] = await self.pages(filter, OWNER, sort=sort, as_of=moment)
            found[f"{number} for claude"] = await self.pages(Filter(), ACTORS[2], sort="created", as_of=moment)
            for id in range(min(len(self.ids), 6)):
                found[f"{number} {id}"] = self.told(await self.call("get", self.id(id), OWNER, as_of=moment))
        for until in (None, *moments[1:2]):
            for client in (None, "cli"):
                changed: list[Any] = []
                cursor = None
                while True:
                    page, cursor = await self.call(
                        "changes", OWNER, moments[0], until=until, limit=2, cursor=cursor, client=client
                    )
                    changed += page
                    if cursor is None:
                        break
                found[f"changed until {until and 1} by {client}"] = self.told(changed)
        for id in range(min(len(self.ids), 6)):
            for actor in (OWNER, ACTORS[2]):
                found[f"chain {id} {actor.client}"] = self.told(await self.call("chain", self.id(id), actor))
        return found

    async def state(self) -> dict[str, Any]:
        everything = Filter(states=(), expired=True)
        found: dict[str, Any] = {}
        for name, filter in (
            ("live", everything),
            ("deleted", dataclasses.replace(everything, deleted=True)),
            ("default", Filter()),
            ("inbox", Filter(states=("review",))),
        ):
            page = await self.call("list", filter, OWNER, sort="created")
            found[name] = sorted(str(self.told(m)) for m in page.memories)
        apart = await self.call("conflicts", OWNER)
        found["apart"] = sorted(str(self.told(one)) for one in apart[0])
        for actor in ACTORS:
            for states in (("active",), ("review",)):
                seen = await self.call("list", Filter(states=states), actor)
                found[f"seen by {actor.client}, {states}"] = (
                    seen if isinstance(seen, str) else sorted(str(self.told(memory)) for memory in seen.memories)
                )
        found["tags"] = self.told(await self.call("tags", OWNER))
        stats = await self.call("stats", OWNER)
        found["stats"] = {n: v for n, v in stats.items() if n != "by_day"}
        log, _ = await self.call("log", OWNER)
        found["log"] = [(e.action, e.client, e.kind, self.told(e.ids), e.count, e.undone, e.preview) for e in log]
        accesses = await self.call("accesses", OWNER, limit=1000)
        found["activity"] = [
            (a.client, a.what, self.told([x.id for x in a.answers]), a.query, a.detail) for a in reversed(accesses)
        ]
        found["told"] = self.told(await self.call("told", accesses, OWNER))
        for number in range(min(len(self.ids), 6)):
            history = await self.call("history", self.id(number), OWNER)
            if isinstance(history, str):
                found[f"history {number}"] = history
            else:
                revisions = [(r.rev, r.client, r.kind, self.told(dict(r.set)), r.content) for r in history.revisions]
                found[f"history {number}"] = (revisions, len(history.heads))
        return found


@asynccontextmanager
async def both(url: str) -> AsyncIterator[tuple[Side, Side]]:
    """A device and an account, each without a memory."""
    database = Database(url, pool_size=1)
    with tempfile.TemporaryDirectory() as folder:
        store, access = Store.open(Path(folder)), AccessLog(Path(folder))
        try:
            yield (
                Side(MemoryService(store, access)),
                Side(Memories(Backend(database, Bus(), activity=Activity(database)), uuid.uuid4())),
            )
        finally:
            store.close()
            access.close()
            await database.close()


async def compare(url: str, script: Sequence[tuple[Command, Actor]]) -> None:
    async with both(url) as (here, there):
        moments: list[str] = []
        for number, (command, actor) in enumerate(script):
            mine, theirs = await here.run(command, actor), await there.run(command, actor)
            assert theirs == mine, (command, actor.client)
            if number in (0, len(script) // 2):
                await asyncio.sleep(0.002)
                moments.append(now_iso())
                await asyncio.sleep(0.002)
        then, theirs_then = await here.past(moments), await there.past(moments)
        for name, held in then.items():
            assert theirs_then[name] == held, name
        mine, theirs = await here.state(), await there.state()
        for name, held in mine.items():
            assert theirs[name] == held, name


async def named(side: Side, actor: Actor) -> dict[str, Any]:
    """What each way of telling an actor of a memory says that it supersedes."""
    hidden = (await side.call("add", Draft("the plan of Tuesday", ("private",)), OWNER)).memory.id
    newer = Draft("the plan of Wednesday", ("a",), supersedes=hidden)
    id = (await side.call("add", newer, OWNER)).memory.id
    told = {
        "get": await side.call("get", id, actor),
        "list": (await side.call("list", Filter(tags=("a",)), actor)).memories[0],
        "edit": (await side.call("edit", id, {"speaker": "Ada"}, actor)).memory,
        "not edited": (await side.call("edit", id, {"speaker": "Ada"}, actor)).memory,
        "add": (await side.call("add", Draft(newer.content, newer.tags, speaker="Ada"), actor)).memory,
        "batch": (await side.call("batch", [{"op": "edit", "id": id, "speaker": None}], actor))[0].memory,
        "chain": (await side.call("chain", id, actor)).members[-1],
    }
    await side.call("delete", id, actor)
    told["restore"] = (await side.call("restore", id, actor)).memory
    near, *_ = await side.call(
        "similar", (await side.call("add", Draft("the plan of Wednesday!", ("a",)), actor)).memory.id, actor
    )
    told["similar"] = near.b
    assert {memory.id for memory in told.values()} == {id}
    return {name: side.named(memory.supersedes) if memory.supersedes else None for name, memory in told.items()}


@pytest.mark.parametrize(
    ("actor", "told"),
    [(Actor("claude", tags=("a", "b"), owner=False), None), (Actor("free", owner=False), "?"), (OWNER, "?")],
)
async def test_nothing_tells_the_id_of_what_may_not_be_seen(database_url: str, actor: Actor, told: str | None) -> None:
    async with both(database_url) as sides:
        for side in sides:
            assert set((await named(side, actor)).values()) == {told}


@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(script=st.lists(st.tuples(commands, st.sampled_from(ACTORS)), min_size=2, max_size=12))
def test_the_same_commands_have_the_same_outcome(database_url: str, script: list[tuple[Command, Actor]]) -> None:
    asyncio.run(compare(database_url, script))


few = st.integers(0, 1)
apart_commands = st.one_of(
    st.tuples(st.just("apart"), st.tuples(few, st.lists(st.sampled_from(["milk", "water", "tea"]), min_size=1, max_size=3))),
    st.tuples(st.just("settle"), st.tuples(few, settles)),
    st.tuples(st.just("conflicts"), st.one_of(st.none(), few)),
    st.tuples(st.just("edit"), st.tuples(few, st.sampled_from([{"content": "wine"}, {"tags": ("a",)}]))),
    st.tuples(st.sampled_from(["delete"]), few.map(lambda one: [one])),
    st.tuples(st.just("restore"), st.tuples(few, st.sampled_from([None, 1, 2]))),
    st.tuples(st.just("undo"), st.sampled_from([{}, {}, {"redo": True}, {"n": 2}])),
    st.tuples(st.just("purge"), few),
)  # fmt: skip


@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(
    script=st.lists(st.tuples(apart_commands, st.sampled_from([*[OWNER] * 6, *ACTORS[2:]])), min_size=2, max_size=10)
)
def test_texts_that_were_written_apart_have_the_same_outcome(
    database_url: str, script: list[tuple[Command, Actor]]
) -> None:
    started: list[tuple[Command, Actor]] = [
        (("add", Draft("tea", ("a",), speaker="Ada", metadata={"k": [1.5, None]})), OWNER), (("add", Draft("coffee")), OWNER),
        (("apart", (0, ["milk"])), OWNER),
    ]  # fmt: skip
    asyncio.run(compare(database_url, [*started, *script]))
