"""What a request's filters and moments mean, and answers of a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from jmem.core.drafts import Added, Draft
from jmem.core.errors import Invalid, JmemError, TooLarge
from jmem.core.filter import EVERYTHING, Filter
from jmem.core.model import ACCEPTED, MAX_ANSWER_BYTES, MAX_LIMIT, STATES, check_tags, iso, milliseconds, now_iso
from jmem.core.query import Hit, SearchOutcome, SearchQuery
from jmem.core.receipts import BatchResult
from jmem.core.timewords import parse_moment
from jmem.core.wire.asks import EditAsk, ExportQuery, ListQuery, MemoryAsk, ReviewAsk, SearchAsk

if TYPE_CHECKING:
    from jmem.core.extract import Remembered

ROOM = 2_048
"""bytes of an answer beside its memories"""


def start_of(text: str | None, name: str = "since") -> str | None:
    """Where a moment begins, given as ISO 8601 or in words, in the form of `model.iso`; raises Invalid."""
    return None if text is None else parse_moment(text, field=name)[0]


def end_of(text: str | None, name: str = "until") -> str | None:
    """Where a moment ends: `until yesterday` takes all of yesterday in."""
    return None if text is None else parse_moment(text, field=name)[1]


def past_of(text: str | None, name: str = "as_of") -> str | None:
    """The moment to look back to: `yesterday` is the end of yesterday, `today` is now. Raises Invalid for the future."""
    if text is None:
        return None
    start, end = parse_moment(text, field=name)
    if start > now_iso():
        raise Invalid(f"{name} lies in the future: {text[:60]!r}", field=name, fix="name a moment of the past")
    return start if start == end else min(iso(milliseconds(end) - 1), now_iso())


def states_of(state: str) -> tuple[str, ...]:
    """The states that a name stands for."""
    return ACCEPTED if state == "all" else (state,)


def make_filter(
    *, tags: Sequence[str] = (), clients: Sequence[str] = (), states: Sequence[str] = ("active",),
    since: str | None = None, until: str | None = None, privacy: str | None = None, thread: str | None = None,
    source: str | None = None, deleted: bool = False, expired: bool = False,
) -> Filter:  # fmt: skip
    """The filter of a request; raises Invalid, TooLarge. Deleted memories are found in any state, expired ones with every state,
    and with `expired` nothing but those."""
    wanted = tuple(dict.fromkeys(states))  # a database is asked with each of them
    if len(clients) > MAX_LIMIT:
        raise TooLarge(
            f"{len(clients):,} clients; a filter has at most {MAX_LIMIT:,}", field="clients", limit=MAX_LIMIT
        )
    every = set(wanted) >= set(ACCEPTED)
    return Filter(
        tags=tuple(check_tags(tags)), clients=tuple(clients), states=STATES if deleted else wanted or ACCEPTED,
        since=start_of(since), until=end_of(until), privacy=privacy, thread=thread, source=source,
        deleted=deleted, expired=every or deleted, lapsed=expired,
    )  # fmt: skip


def bounded(items: Iterable[Any], room: int = MAX_ANSWER_BYTES - ROOM) -> list[bytes]:
    """Values as JSON, the first ones that fit into one answer (one at least)."""
    pieces: list[bytes] = []
    size = 0
    for item in items:
        piece = to_json(item)
        size += len(piece) + 1
        if size > room and pieces:
            break
        pieces.append(piece)
    return pieces


def query_asked(ask: SearchAsk) -> SearchQuery:
    """The question of a search; raises Invalid, TooLarge."""
    filter = make_filter(
        tags=ask.tags, clients=ask.clients, states=ask.states, since=ask.since, until=ask.until, privacy=ask.privacy,
        thread=ask.thread, source=ask.source,
    )  # fmt: skip
    return SearchQuery(ask.query, ask.limit, filter, ask.mode, ask.fold, ask.explain, past_of(ask.as_of))


def found_head(query: SearchQuery, outcome: SearchOutcome) -> dict[str, Any]:
    """What a search answers beside its hits."""
    return {
        "query": outcome.query, "took_ms": outcome.took_ms, "confident": outcome.confident, "mode": outcome.mode,
        **({} if query.as_of is None else {"as_of": query.as_of}),
        **({} if outcome.degraded is None else {"degraded": outcome.degraded}),
    }  # fmt: skip


def hit_told(query: SearchQuery, hit: Hit) -> dict[str, Any]:
    """A hit as a search answers it."""
    found = {"score": hit.score, **hit.memory.as_dict(), "also": hit.also}
    return {**found, "explain": hit.explain} if query.explain else found


def list_filter(ask: ListQuery) -> Filter:
    """The filter of a list."""
    return make_filter(
        tags=ask.tag, clients=ask.client, states=states_of(ask.state), since=ask.since, until=ask.until,
        privacy=ask.privacy, thread=ask.thread, source=ask.source, deleted=ask.deleted, expired=ask.expired,
    )  # fmt: skip


def export_filter(ask: ExportQuery) -> Filter:
    """What an export takes."""
    filter = make_filter(
        tags=ask.tag, clients=ask.client, states=states_of(ask.state), since=ask.since, until=ask.until,
        privacy=ask.privacy, thread=ask.thread, source=ask.source, deleted=ask.deleted,
    )  # fmt: skip
    return replace(filter, states=EVERYTHING.states) if ask.state == "all" or ask.deleted else filter


def export_detail(ask: ExportQuery) -> dict[str, Any]:
    """What the access log keeps of an export."""
    asked = {"tags": ask.tag, "clients": ask.client, "thread": ask.thread, "source": ask.source}
    return {"format": ask.format, **{name: value for name, value in asked.items() if value}}


def draft_asked(ask: MemoryAsk) -> Draft:
    """The draft of a memory to add."""
    return Draft(
        ask.content, ask.tags, ask.metadata, ask.state, ask.occurred_at, ask.expires_at, ask.privacy, ask.source,
        ask.thread, ask.speaker, ask.client, ask.supersedes, secrets=ask.secrets,
    )  # fmt: skip


def changes_asked(ask: EditAsk) -> dict[str, Any]:
    """The fields that an edit names; raises Invalid when there are none, or for a null where none can be."""
    changes = ask.model_dump(exclude_unset=True, exclude={"secrets"})
    for name in ("content", "tags", "add_tags", "remove_tags", "metadata", "privacy", "state"):
        if name in changes and changes[name] is None:
            raise Invalid(f"{name} can't be null", field=name)
    if not changes:
        raise Invalid("nothing to change was given", code="empty")
    return changes


def check_review_ask(ask: ReviewAsk) -> None:
    """Raise Invalid unless exactly one of ids, client and all is said."""
    if [ask.ids is not None, ask.client is not None, ask.all].count(True) != 1:
        raise Invalid("say one of ids, client and all", fix="give exactly one of them")
    if ask.ids == ():
        raise Invalid("nothing was given", code="empty", field="ids")


def skipped_dict(id: str, error: JmemError) -> dict[str, Any]:
    """The wire shape of what was left alone, and why."""
    return {"id": id, "code": error.code, "reason": error.message, **({"fix": error.fix} if error.fix else {})}


def added_dict(added: Added) -> dict[str, Any]:
    """The wire shape of what an add stored."""
    near = [one.as_dict() for one in added.similar]
    return {**added.memory.as_dict(), "duplicate": added.duplicate, "differs": list(added.differs), "similar": near}


def inferred_dict(done: Remembered) -> dict[str, Any]:
    """The wire shape of what an add with `infer` stored."""
    memories = [{**memory.as_dict(), "duplicate": duplicate} for memory, duplicate in done.memories]
    found = {"memories": memories, "superseded": done.superseded, "inferred": done.inferred}
    return {**found, "reason": done.reason} if done.reason else found


def batch_dict(results: Sequence[BatchResult]) -> dict[str, Any]:
    """The wire shape of a batch: where whole memories would be too large an answer, the last ones as ids only."""
    full = [_result(result) for result in results]
    shown = len(bounded(full))
    short = [_shortened(result) for result in full[shown:]]
    return {"results": full[:shown] + short, **({"truncated": True} if short else {})}


def _shortened(result: dict[str, Any]) -> dict[str, Any]:
    """A result of a batch whose answer is full: the memory is left to be read by its id."""
    memory = result.get("memory")
    return {**result, "memory": {"id": memory["id"], "duplicate": memory["duplicate"]}} if memory else result


def _result(result: BatchResult) -> dict[str, Any]:
    if result.error is not None:
        return {"status": result.status, "problem": result.error.problem()}
    found: dict[str, Any] = {"status": result.status}
    if result.memory is not None:
        memory = {**result.memory.as_dict(), "duplicate": result.duplicate, "differs": list(result.differs)}
        found["memory"] = {**memory, "replaces": result.replaces} if result.replaces else memory
    if result.deleted is not None:
        found["deleted"] = [result.deleted]
    if result.purged is not None:
        found["purged"] = {"id": result.purged, "receipt": [r.as_dict() for r in result.receipt]}
    return found
