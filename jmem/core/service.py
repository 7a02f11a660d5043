"""The memory of one user: every surface (command line, HTTP, MCP, imports) goes through `MemoryService`.

It checks what comes in, enforces what the actor may see and change, turns every change into ops, and logs
every access. Reads go to pooled connections, writes to the store's one writer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from jmem.core import (
    asof,
    duplicates,
    foreign,
    history,
    ids,
    listing,
    moments,
    paging,
    purge,
    quota,
    review,
    undo,
    writes,
)
from jmem.core import batch as batches
from jmem.core.access import Access, AccessLog, Answer, Wanted
from jmem.core.accesses import MAX_ANSWERS, Told, access_of
from jmem.core.actor import Actor
from jmem.core.asked import asks, note
from jmem.core.chain import with_successors
from jmem.core.conflicts import Conflicts
from jmem.core.decisions import Decided, Decision
from jmem.core.drafts import Added, Draft, Near, checked_fields, draft_of
from jmem.core.edits import Edited
from jmem.core.errors import Ambiguous, Invalid, JmemError, NotFound, RateLimited, Refused, TooLarge
from jmem.core.filter import Filter
from jmem.core.foreign import Applied
from jmem.core.model import MAX_BATCH, MAX_CONTENT_BYTES, Memory, Op, new_id, now_iso, parse_time
from jmem.core.nearness import Nearness
from jmem.core.neighbours import Neighbours
from jmem.core.paging import Page
from jmem.core.purge import PurgeHook
from jmem.core.receipts import BatchResult, PlaceReceipt, Purged, erased
from jmem.core.revert import Group, Undone, UndoReport
from jmem.core.revisions import History, LogEntry, Revision, edit_kind
from jmem.core.store import Store, Tx, oplog
from jmem.core.timeline import Timeline

if TYPE_CHECKING:
    from jmem.core.query import SearchOutcome, SearchQuery

__all__ = [
    "Actor", "Added", "Applied", "BatchResult", "Decided", "Deleted", "Draft", "Edited", "History", "LogEntry", "MemoryService",
    "Near", "Page", "PlaceReceipt", "PurgeHook", "Purged", "Revision", "Searcher", "Undone", "UndoReport", "draft_of",
]  # fmt: skip

T = TypeVar("T")
log = logging.getLogger(__name__)


class Searcher(Protocol):
    """What finds memories: `jmem.core.search.Searcher`."""

    def search(self, query: SearchQuery) -> SearchOutcome:
        """The best hits of a query."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """Whole ids that were deleted, and the ids, as given, that fit no memory."""

    deleted: list[str]
    missing: list[str]


class MemoryService(Timeline, Neighbours, Conflicts):
    """All that can be done with one user's memories. Thread-safe; every method raises JmemError's subclasses only."""

    def __init__(
        self,
        store: Store,
        access: AccessLog,
        searcher: Searcher | None = None,
        *,
        purge_hooks: Sequence[PurgeHook] = (),
        nearness: Nearness | None = None,
    ) -> None:
        self.store = store
        self.access = access
        self.searcher = searcher
        self.past = asof.Kept()
        self.nearness = nearness or Nearness(store)
        self._hooks: tuple[PurgeHook, ...] = (self._forget_accesses, *purge_hooks)

    # ---- adding -------------------------------------------------------------------------------

    @asks("add")
    def add(self, draft: Draft, actor: Actor, *, similar: bool = True) -> Added:
        """Store a memory durably; the equal one the actor can read is returned instead (`duplicate`).

        Raises Invalid, TooLarge, SecretFound, Refused, NotFound (`supersedes`), StorageFailed.
        """
        actor.may("write")
        fields = checked_fields(draft, actor)
        id = new_id()
        pending = self.store.submit(lambda tx: writes.add(tx, _begin(tx, actor, "add"), draft, fields, actor, id))
        near: tuple[Near, ...] = ()
        if similar:
            pending.committing()
            (near,) = self._near([draft], actor, without=id)
        added = pending.result()
        self._log(actor, "add", [added.memory])
        return added if added.duplicate else replace(added, similar=near)

    @asks("add")
    def add_many(
        self, drafts: Sequence[Draft], actor: Actor, *, kind: str = "add", similar: bool = False
    ) -> list[Added | JmemError]:
        """Store up to 1,000 memories as one action in one commit; each result stands for itself."""
        actor.may("write")
        _check_batch(drafts)
        checked: list[tuple[Draft, dict[str, Any]] | JmemError] = []
        for draft in drafts:
            try:
                checked.append((draft, checked_fields(draft, actor)))
            except JmemError as error:
                checked.append(error)
        near = self._near(drafts, actor) if similar else [()] * len(drafts)

        def run(tx: Tx) -> list[Added | JmemError]:
            action = _begin(tx, actor, kind)
            results: list[Added | JmemError] = []
            for entry in checked:
                if isinstance(entry, JmemError):
                    results.append(entry)
                    continue
                try:
                    results.append(writes.add(tx, action, *entry, actor))
                except RateLimited:
                    raise  # all of them or none: the half of a passage is worse than a word to come back
                except JmemError as error:
                    results.append(error)
            return results

        results = self.store.write(run)
        self._log(actor, kind, [r.memory for r in results if isinstance(r, Added)])
        self._log_refused(actor, [(kind, error) for error in results if isinstance(error, Refused)])
        return [
            replace(r, similar=n) if isinstance(r, Added) and not r.duplicate else r
            for r, n in zip(results, near, strict=True)
        ]

    # ---- reading ------------------------------------------------------------------------------

    @asks("get")
    def get(self, id: str, actor: Actor, *, deleted: bool = False, as_of: str | None = None) -> Memory:
        """A memory by any unique part of its id, as it is or as it was `as_of` a moment; raises NotFound, Ambiguous."""
        actor.may("read")
        if as_of is not None:
            memory = self.memory_at(id, actor, as_of, deleted=deleted)
            self._log(actor, "get", [memory])
            return memory
        with self.store.reader() as conn:
            whole = ids.resolve(conn, id, actor, deleted=deleted)
            (memory,) = with_successors([(conn, actor.narrow(Filter()))], now_iso(), [ids.load(conn, whole)])
        self._log(actor, "get", [memory])
        return memory

    @asks("list")
    def list(
        self, filter: Filter, actor: Actor, *, limit: int = 100, cursor: str | None = None, sort: str = "-created",
        offset: int = 0, as_of: str | None = None,
    ) -> Page:  # fmt: skip
        """A page of memories, `as_of` a moment or now. `sort`: created, updated or occurred, "-" for the newest first."""
        actor.may("read")
        if as_of is not None:
            page = self.page_at(filter, actor, as_of, limit=limit, cursor=cursor, sort=sort, offset=offset)
        else:
            with self.store.reader() as conn:
                page = listing.page(conn, actor.narrow(filter), now_iso(), limit, cursor, sort, offset)
                shown = with_successors([(conn, actor.narrow(Filter()))], now_iso(), page.memories)
            page = Page(shown, page.next_cursor)
        self._log(actor, "list", page.memories)
        return page

    @asks("search")
    def search(self, query: SearchQuery, actor: Actor, *, keep_query: bool = True) -> SearchOutcome:
        """Search within what the actor may see; raises Invalid for an empty query, TooLarge.

        Without `keep_query` the access log does not get its words: they are a memory's, and a purge would miss them.
        """
        actor.may("read")
        if not query.query.strip():
            raise Invalid("the query is empty", field="query")
        if len(query.query) > MAX_CONTENT_BYTES:  # it is kept in the access log and told in the answer
            raise TooLarge(
                f"a query has at most {MAX_CONTENT_BYTES:,} characters", field="query", limit=MAX_CONTENT_BYTES
            )
        paging.check_limit(query.limit)
        if query.as_of is not None:
            actor.may(*moments.PAST)
            query = replace(query, as_of=moments.checked_moment(query.as_of))
        if self.searcher is None:
            raise JmemError("this service has no search", code="no_search")
        outcome = self.searcher.search(replace(query, filter=actor.narrow(query.filter)))
        if actor.tags is not None:  # the legs filter already; this is the promise itself
            outcome = replace(outcome, hits=[hit for hit in outcome.hits if actor.sees(hit.memory.tags)])
        answers = [Answer(hit.memory.id, hit.score, hit.legs) for hit in outcome.hits[:MAX_ANSWERS]]
        detail = {"mode": outcome.mode, "took_ms": outcome.took_ms, "confident": outcome.confident}
        if query.as_of is not None:
            detail["as_of"] = query.as_of
        self.access.record(Access(actor.client, "search", answers, query.query if keep_query else None, detail))
        return outcome

    @asks("tags")
    def tags(self, actor: Actor, filter: Filter | None = None) -> Sequence[tuple[str, int]]:
        """(tag, count) over active memories (or those of `filter`), most used first."""
        actor.may("read")
        with self.store.reader() as conn:
            return listing.tag_counts(conn, actor.narrow(filter or Filter()), now_iso())

    @asks("stats")
    def stats(self, actor: Actor) -> dict[str, Any]:
        """Counts of memories: all, by state, client, privacy and day; see `listing.stats`."""
        actor.may("read")
        with self.store.reader() as conn:
            return listing.stats(conn, actor.narrow(Filter(states=())), now_iso())

    @asks("count")
    def count(self, filter: Filter, actor: Actor, *, as_of: str | None = None) -> int:
        """How many memories pass the filter, or passed it `as_of` a moment."""
        actor.may("read")
        if as_of is not None:
            return self.count_at(filter, actor, as_of)
        with self.store.reader() as conn:
            return listing.count(conn, actor.narrow(filter), now_iso())

    def short_ids(self, whole: Sequence[str]) -> dict[str, str]:
        """id -> its shortest unique suffix of at least 6 characters."""
        with self.store.reader() as conn:
            return ids.short_ids(conn, whole)

    @asks("history")
    def history(self, id: str, actor: Actor) -> History:
        """Every revision of a memory, deleted ones included; raises NotFound, Ambiguous."""
        actor.may("read", "every_tag")  # an earlier revision may not have had the tag it is visible by now
        with self.store.reader() as conn:
            return history.history(conn, id, actor)

    @asks("log")
    def log(
        self, actor: Actor, *, limit: int = 50, cursor: str | None = None, id: str | None = None,
        client: str | None = None, since: str | None = None,
    ) -> tuple[Sequence[LogEntry], str | None]:  # fmt: skip
        """Actions, newest first, and the next cursor; for actors with access to everything."""
        actor.may("everything")
        moment = None if since is None else parse_time(since, "since")
        with self.store.reader() as conn:
            whole = None if id is None else ids.resolve(conn, id, actor, deleted=True)
            return history.log_page(conn, limit=limit, cursor=cursor, id=whole, client=client, since=moment)

    @asks("access")
    def accesses(
        self, actor: Actor, *, id: str | None = None, client: str | None = None, what: Sequence[str] = (),
        after: int | None = None, before: int | None = None, limit: int = 100,
    ) -> Sequence[Access]:  # fmt: skip
        """Who asked for what, newest first: of one client, with one memory in the answer, newer or older than one."""
        actor.may("everything")
        paging.check_limit(limit)
        whole = None
        if id is not None:
            with self.store.reader() as conn:
                whole = ids.resolve(conn, id, actor, deleted=True)
        return self.access.find(Wanted(client, tuple(what), whole, after, before), limit)

    def told(self, accesses: Sequence[Access], actor: Actor) -> Sequence[Sequence[Told]]:
        """For each answer of each access, the text as it was then, and what has become of it."""
        actor.may("everything")
        with self.store.reader() as conn:
            return history.told(conn, accesses)

    # ---- changing -----------------------------------------------------------------------------

    @asks("edit")
    def edit(
        self, id: str, changes: Mapping[str, Any], actor: Actor, *, expected: str | None = None, secrets: str = "refuse"
    ) -> Edited:
        """Change fields; `expected` is the version that was read (raises Conflict `changed` if it is another now).

        `secrets` is what to do with new text that carries one: refuse (SecretFound), mask or allow.
        """
        actor.may("read", "write")

        def run(tx: Tx) -> Edited:
            kind = edit_kind(changes, lambda: ids.load(tx.conn, ids.resolve(tx.conn, id, actor)).state)
            return writes.edit(tx, _begin(tx, actor, kind), id, changes, actor, expected, secrets)

        edited = self.store.write(run)
        if edited.replaces is not None:
            self.finish_purges()
        self._log(actor, "edit", [edited.memory])
        return edited

    @asks("delete")
    def delete(self, id: str | Sequence[str], actor: Actor) -> Deleted:
        """Hide memories until they are restored, as one action; raises Ambiguous, nothing is deleted then."""
        actor.may("delete")
        parts = [id] if isinstance(id, str) else list(id)
        _check_batch(parts)

        def run(tx: Tx) -> Deleted:
            whole: dict[str, None] = {}
            missing: dict[str, None] = {}
            for part in parts:
                try:
                    whole[ids.resolve(tx.conn, part, actor)] = None
                except NotFound as error:
                    if isinstance(error, Ambiguous):
                        raise
                    missing[part] = None
            quota.spend(tx, actor, len(whole))  # all of them or none
            action = _begin(tx, actor, "delete")
            return Deleted([writes.delete(tx, action, id, actor) for id in whole], list(missing))

        outcome = self.store.write(run)
        self._log_ids(actor, "delete", outcome.deleted)
        return outcome

    @asks("restore")
    def restore(self, id: str, actor: Actor, *, rev: str | int | None = None) -> Edited:
        """Bring a deleted memory back, or its fields as they were at a revision (number or stamp)."""
        actor.may("read", "write", *(() if rev is None else ("every_tag",)))
        wanted = None if rev is None else str(rev)
        edited = self.store.write(lambda tx: writes.restore(tx, _begin(tx, actor, "restore"), id, actor, wanted))
        self._log(actor, "restore", [edited.memory])
        return edited

    @asks("purge")
    def purge(self, id: str | Sequence[str], actor: Actor) -> Sequence[Purged]:
        """Forget memories for ever, in every place; a receipt each. Raises NotFound, Ambiguous, changing nothing."""
        actor.may("delete")
        parts = [id] if isinstance(id, str) else list(id)
        _check_batch(parts)

        def run(tx: Tx) -> Sequence[str]:
            action = _begin(tx, actor, "purge")
            whole = list(dict.fromkeys(ids.resolve(tx.conn, part, actor, deleted=True) for part in parts))
            return [writes.purge(tx, action, each, actor) for each in whole]

        whole = self.store.write(run)
        receipt = self.finish_purges()
        self._log_ids(actor, "purge", [])
        return [Purged(each, receipt) for each in whole]

    @asks("review")
    def review(
        self, decision: Decision, actor: Actor, *, parts: Sequence[str] = (), client: str | None = None
    ) -> Decided:
        """Accept or reject what waits for review, as one action: `parts` of ids, or all (of one `client`).

        Raises NotFound `not_waiting` where none of the given waits, Ambiguous (nothing is changed then), Refused.
        """
        actor.may("everything")
        decided = review.decide(self.store, decision, actor, parts, client)
        self._log_ids(actor, decision, decided.ids)
        return decided

    @asks("undo")
    def undo(
        self, actor: Actor, *, n: int | None = None, redo: bool = False, dry_run: bool = False,
        client: str | None = None, since: str | None = None, upto: int | None = None,
    ) -> UndoReport:  # fmt: skip
        """Take back the newest `n` actions (or repeat the last undone ones); a purge can't be taken back.

        With `client`, `since` or both: all of its actions since then, none newer than `upto`, as one step for redo.
        Raises Invalid.
        """
        actor.may("everything")
        grouped = client is not None or since is not None
        if grouped and (redo or n is not None):
            raise Invalid("redo and n go without client and since", field="redo" if redo else "n")
        if upto is not None and not grouped:
            raise Invalid("upto goes with client or since", field="upto")
        steps = paging.check_limit(1 if n is None else n)
        group = Group(client, None if since is None else parse_time(since, "since"), upto)

        def run(tx: Tx) -> UndoReport:
            report = undo.run_group(tx, actor.client, group) if grouped else undo.run(tx, actor.client, steps, redo)
            if dry_run:
                raise _DryRun(report)
            return report

        try:
            report = self.store.write(run)
        except _DryRun as dry:
            return dry.report
        self._log_ids(actor, "redo" if redo else "undo", list(dict.fromkeys(i for u in report.undone for i in u.ids)))
        return report

    @asks("batch")
    def batch(self, operations: Sequence[Mapping[str, Any]], actor: Actor) -> Sequence[BatchResult]:
        """Up to 1,000 operations as one action; each has a result of its own, in order."""
        _check_batch(operations)
        results, purged = self.store.write(lambda tx: batches.run(tx, _begin(tx, actor, "batch"), operations, actor))
        if purged:
            receipt = self.finish_purges()
            results = [replace(r, receipt=receipt) if r.purged else r for r in results]
        self._log(actor, "batch", [r.memory for r in results if r.memory is not None])
        named = zip((str(operation.get("op")) for operation in operations), results, strict=True)
        self._log_refused(actor, [(op, result.error) for op, result in named if isinstance(result.error, Refused)])
        return results

    @asks("import")
    def apply_ops(self, ops: Sequence[Op], actor: Actor, *, kind: str = "import") -> Applied:
        """Take in ops made elsewhere; idempotent."""
        actor.may("everything")
        applied = foreign.apply_ops(self.store, ops, actor.client, kind)
        if applied.purged:
            self.finish_purges()
        self._log_ids(actor, kind, applied.ids)
        return applied

    def replay_purges(self) -> Sequence[str]:
        """At start: forget again what a restored backup brought back, finish what was cut short; the ids."""
        back = purge.replay(self.store)
        with self.store.reader() as conn:
            due = purge.due(conn)
        if due:
            self.finish_purges()
        return back

    def reach_on_purge(self, hook: PurgeHook) -> None:
        """One more place to be told of what is forgotten."""
        self._hooks = (*self._hooks, hook)

    def finish_purges(self) -> tuple[PlaceReceipt, ...]:
        """After purges were committed: reach every other place, whatever wrote them; the receipt."""
        self.nearness.release()
        return purge.finish(self.store, self._hooks)

    # ---- inside -------------------------------------------------------------------------------

    def _near(self, drafts: Sequence[Draft], actor: Actor, without: str | None = None) -> Sequence[tuple[Near, ...]]:
        """What resembles each draft; nothing when that can't be found out, since a write doesn't fail for it."""
        try:
            with self.store.reader() as conn:
                now = now_iso()
                return [duplicates.near_memories(conn, d.content, actor, now, without=without) for d in drafts]
        except Exception:
            log.exception("what resembles an added memory could not be found")
            return [()] * len(drafts)

    def _forget_accesses(self, whole: Sequence[str]) -> PlaceReceipt:
        self.past.clear()
        return erased("access log", "erased" if self.access.forget(whole) else "nothing there")

    def _log(self, actor: Actor, what: str, memories: Sequence[Memory]) -> None:
        held = what == "add" and any(memory.state == "review" for memory in memories)
        self._log_ids(actor, what, [memory.id for memory in memories], {"review": True} if held else {})

    def _log_refused(self, actor: Actor, refused: Sequence[tuple[str, Refused]]) -> None:
        """Of several that were refused for one reason, one record."""
        for what, error in {(what, error.code): (what, error) for what, error in refused}.values():
            note(self.access, actor, what, error)

    def _log_ids(self, actor: Actor, what: str, whole: Sequence[str], more: Mapping[str, Any] | None = None) -> None:
        self.access.record(access_of(actor, what, whole, more))


class _DryRun(Exception):
    def __init__(self, report: UndoReport) -> None:
        self.report = report


def _begin(tx: Tx, actor: Actor, kind: str) -> int:
    return oplog.begin_action(tx, actor.client, kind)


def _check_batch(items: Sequence[Any]) -> None:
    if not items:
        raise Invalid("nothing was given", code="empty")
    if len(items) > MAX_BATCH:
        raise TooLarge(f"{len(items):,} items; a batch holds at most {MAX_BATCH:,}", limit=MAX_BATCH)
