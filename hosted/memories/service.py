"""The memory of one account: every surface (HTTP, MCP, the page) goes through `Memories`.

It enforces what the actor may see and change and turns every change into ops, as `jmem.core.service` does on a device;
the tenant is the one it was made for, and no argument names another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.db.engine import Database, Driver
from hosted.memories import batch as batches
from hosted.memories import finding, undo, writes
from hosted.memories.activity import Activity, asks
from hosted.memories.base import check_batch
from hosted.memories.caps import spend
from hosted.memories.conflicts import Conflicts
from hosted.memories.inbox import Inbox
from hosted.memories.inferring import Inference, Inferring
from hosted.memories.neighbours import Neighbours
from hosted.memories.reading import Reading
from hosted.memories.search import Searcher
from hosted.ops.events import Bus
from jmem.core.actor import Actor
from jmem.core.drafts import Added, Draft, Near
from jmem.core.edits import Edited
from jmem.core.errors import Ambiguous, Invalid, JmemError, NotFound, Refused
from jmem.core.model import parse_time
from jmem.core.paging import check_limit
from jmem.core.receipts import BatchResult, PlaceReceipt, Purged, erased
from jmem.core.revert import Group, UndoReport
from jmem.core.revisions import edit_kind

if TYPE_CHECKING:
    from hosted.vectors.alias import VectorIndex

Similar = Callable[["Driver", UUID, str, Actor], Awaitable[tuple[Near, ...]]]
"""Names memories that resemble a text, within what the actor sees."""
PurgeHook = Callable[[UUID, Sequence[str]], Awaitable[PlaceReceipt]]
"""Takes purged ids out of a place beyond the tables; says what became of them there, and raises nothing."""


@dataclass(frozen=True, slots=True)
class Backend:
    """What all accounts' memories stand on."""

    database: Database
    bus: Bus
    similar: Similar | None = None
    purge_hooks: tuple[PurgeHook, ...] = ()
    activity: Activity | None = None
    """None: nothing is recorded"""
    inference: Inference | None = None
    """None: passages are stored as they are"""
    searcher: Searcher | None = None
    """None: search is by words alone"""
    index: VectorIndex | None = None
    """lives as long as the application"""

    def of(self, user_id: UUID) -> Memories:
        """The memories of one account."""
        return Memories(self, user_id)


@dataclass(frozen=True, slots=True)
class Deleted:
    """Whole ids that were deleted, and the ids, as given, that fit no memory."""

    deleted: list[str]
    missing: list[str]


class _DryRun(Exception):
    def __init__(self, report: UndoReport) -> None:
        self.report = report


class Memories(Reading, Neighbours, Conflicts, Inbox, Inferring):
    """All that can be done with one account's memories; every method raises JmemError's subclasses for its refusals."""

    # ---- adding -------------------------------------------------------------------------------

    @asks("add")
    async def add(self, draft: Draft, actor: Actor, *, similar: bool = True) -> Added:
        """Store a memory durably; the equal one the actor can read is returned instead (`duplicate`).

        Raises Invalid, TooLarge, SecretFound, Refused, NotFound (`supersedes`).
        """
        actor.may("write")
        (added,) = await self._add([draft], actor, "add", similar)
        if isinstance(added, JmemError):
            raise added
        self._log(actor, "add", [added.memory])
        return added

    @asks("add")
    async def add_many(
        self, drafts: Sequence[Draft], actor: Actor, *, kind: str = "add", similar: bool = False
    ) -> list[Added | JmemError]:
        """Store up to 1,000 memories as one action in one commit; each result stands for itself."""
        actor.may("write")
        check_batch(drafts)
        results = await self._add(drafts, actor, kind, similar)
        self._log(actor, kind, [result.memory for result in results if isinstance(result, Added)])
        self._log_refused(actor, [(kind, error) for error in results if isinstance(error, Refused)])
        return results

    async def _add(self, drafts: Sequence[Draft], actor: Actor, kind: str, similar: bool) -> list[Added | JmemError]:
        results: list[Added | JmemError | None] = []
        checked: list[tuple[Draft, dict[str, Any]]] = []
        for draft in drafts:
            try:
                checked.append((draft, writes.checked(draft, actor)))
                results.append(None)
            except JmemError as error:
                results.append(error)
        near: list[tuple[Near, ...]] = [()] * len(checked)
        if checked:
            async with self._writing() as writer:
                if similar and self._backend.similar is not None and actor.read:
                    ask = self._backend.similar
                    near = [await ask(writer.raw, self.user_id, draft.content, actor) for draft, _ in checked]
                stored = await writes.add_all(writer, writer.begin(actor.client, kind), checked, actor)
            told = iter(_with_near(stored, near))
            results = [next(told) if result is None else result for result in results]
        return [result for result in results if result is not None]

    # ---- changing -----------------------------------------------------------------------------

    @asks("edit")
    async def edit(
        self, id: str, changes: Mapping[str, Any], actor: Actor, *, expected: str | None = None, secrets: str = "refuse"
    ) -> Edited:
        """Change fields; `expected` is the version that was read (raises Conflict `changed` if it is another now)."""
        actor.may("read", "write")
        async with self._writing() as writer:
            state = "active"
            if set(changes) == {"state"}:
                whole = await finding.resolve(writer.raw, self.user_id, id, actor)
                state = (await finding.load(writer.raw, self.user_id, whole)).state
            action = writer.begin(actor.client, edit_kind(changes, lambda: state))
            edited = await writes.edit(writer, action, id, changes, actor, expected, secrets)
        self._log(actor, "edit", [edited.memory])
        return edited

    @asks("delete")
    async def delete(self, id: str | Sequence[str], actor: Actor, *, expected: str | None = None) -> Deleted:
        """Hide memories until they are restored, as one action; raises Ambiguous, nothing is deleted then.

        `expected` is the version that was read of the only one; raises Conflict `changed` if it is another now.
        """
        actor.may("delete")
        parts = [id] if isinstance(id, str) else list(id)
        check_batch(parts)
        whole: dict[str, None] = {}
        missing: dict[str, None] = {}
        async with self._writing() as writer:
            for part in parts:
                try:
                    whole[await finding.resolve(writer.raw, self.user_id, part, actor)] = None
                except NotFound as error:
                    if isinstance(error, Ambiguous):
                        raise
                    missing[part] = None
            await spend(writer, actor, len(whole))  # all of them or none
            action = writer.begin(actor.client, "delete")
            for one in whole:
                await writes.delete(writer, action, one, actor, expected)
        self._log_ids(actor, "delete", list(whole))
        return Deleted(list(whole), list(missing))

    @asks("restore")
    async def restore(self, id: str, actor: Actor, *, rev: str | int | None = None) -> Edited:
        """Bring a deleted memory back, or its fields as they were at a revision (number or stamp)."""
        actor.may("read", "write", *(() if rev is None else ("every_tag",)))
        async with self._writing() as writer:
            action = writer.begin(actor.client, "restore")
            edited = await writes.restore(writer, action, id, actor, None if rev is None else str(rev))
        self._log(actor, "restore", [edited.memory])
        return edited

    @asks("purge")
    async def purge(self, id: str | Sequence[str], actor: Actor, *, expected: str | None = None) -> Sequence[Purged]:
        """Forget memories for ever, in every place; a receipt each. Raises NotFound, Ambiguous, changing nothing.

        `expected` is the version that was read of the only one; raises Conflict `changed` if it is another now.
        """
        actor.may("delete")
        parts = [id] if isinstance(id, str) else list(id)
        check_batch(parts)
        async with self._writing() as writer:
            action = writer.begin(actor.client, "purge")
            found = [await finding.resolve(writer.raw, self.user_id, part, actor, deleted=True) for part in parts]
            whole = [await writes.purge(writer, action, one, actor, expected) for one in dict.fromkeys(found)]
        receipt = await self._reach(whole)
        self._log_ids(actor, "purge", [])
        return [Purged(one, receipt) for one in whole]

    @asks("undo")
    async def undo(
        self, actor: Actor, *, n: int | None = None, redo: bool = False, dry_run: bool = False,
        client: str | None = None, since: str | None = None, upto: int | None = None,
    ) -> UndoReport:  # fmt: skip
        """Take back the newest `n` actions (or repeat the last undone ones); a purge can't be taken back.

        With `client`, `since` or both: all of its actions since then, none newer than `upto`, as one step for redo.
        """
        actor.may("everything")
        grouped = client is not None or since is not None
        if grouped and (redo or n is not None):
            raise Invalid("redo and n go without client and since", field="redo" if redo else "n")
        if upto is not None and not grouped:
            raise Invalid("upto goes with client or since", field="upto")
        steps = check_limit(1 if n is None else n)
        group = Group(client, None if since is None else parse_time(since, "since"), upto)
        try:
            async with self._writing() as writer:
                if grouped:
                    report = await undo.run_group(writer, actor.client, group)
                else:
                    report = await undo.run(writer, actor.client, steps, redo)
                if dry_run:
                    raise _DryRun(report)
        except _DryRun as dry:
            return dry.report
        self._log_ids(actor, "redo" if redo else "undo", list(dict.fromkeys(i for u in report.undone for i in u.ids)))
        return report

    @asks("batch")
    async def batch(self, operations: Sequence[Mapping[str, Any]], actor: Actor) -> Sequence[BatchResult]:
        """Up to 1,000 operations as one action; each has a result of its own, in order."""
        check_batch(operations)
        async with self._writing() as writer:
            results = await batches.run(writer, writer.begin(actor.client, "batch"), operations, actor)
        if purged := [result.purged for result in results if result.purged is not None]:
            receipt = await self._reach(purged)
            results = [replace(r, receipt=receipt) if r.purged else r for r in results]
        self._log(actor, "batch", [r.memory for r in results if r.memory is not None])
        named = zip((str(operation.get("op")) for operation in operations), results, strict=True)
        self._log_refused(actor, [(op, result.error) for op, result in named if isinstance(result.error, Refused)])
        return results

    # ---- inside -------------------------------------------------------------------------------

    async def _reach(self, purged: Sequence[str]) -> tuple[PlaceReceipt, ...]:
        """Take purged memories out of every place beyond the tables."""
        places = [erased("memory and tags"), erased("operations"), erased("full-text index"), erased("access log")]
        places += [await hook(self.user_id, purged) for hook in self._backend.purge_hooks]
        return tuple(places)


def _with_near(stored: Sequence[Added | JmemError], near: Sequence[tuple[Near, ...]]) -> list[Added | JmemError]:
    return [
        replace(one, similar=tuple(n for n in names if n.id != one.memory.id))
        if isinstance(one, Added) and not one.duplicate
        else one
        for one, names in zip(stored, near, strict=True)
    ]
