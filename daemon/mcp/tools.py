"""The tools: what they are for, in words that make a model call them at the right moment, and what they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from daemon.mcp import arguments
from daemon.mcp.caller import Caller
from daemon.mcp.render import fit, item
from jmem.core.asked import asked
from jmem.core.drafts import Added, Draft
from jmem.core.extract import remember
from jmem.core.filter import Filter
from jmem.core.model import MAX_BATCH, is_id
from jmem.core.query import SearchQuery
from jmem.core.wire.common import make_filter

SEARCH_LIMIT = 10
LIST_LIMIT = 50
_WAITS = ", to wait until the owner has looked at it"
_STILL_WAITS = "; it still waits until its owner has looked at it"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool answers: data that fits its output schema, and the same for a reader."""

    data: dict[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. `run` blocks, and raises JmemError for whatever the caller can be told."""

    name: str
    title: str
    description: str
    takes: type[arguments.Arguments]
    answers: dict[str, Any]
    run: Callable[[Caller, Any], Outcome]
    reads: bool = False
    destroys: bool = False

    @property
    def hints(self) -> dict[str, bool]:
        """The annotations. Doing anything here twice changes nothing more, and nothing leaves this machine."""
        hints = {"readOnlyHint": self.reads, "openWorldHint": False}
        return hints if self.reads else hints | {"destructiveHint": self.destroys, "idempotentHint": True}


# ---- add --------------------------------------------------------------------------------------


def add(caller: Caller, given: arguments.Add) -> Outcome:
    """Store the text, once."""
    draft = Draft(content=given.text, tags=tuple(given.tags or ()), thread=caller.thread)
    if given.infer:
        return _infer(caller, draft)
    added = caller.user.service.add(draft, caller.actor)
    fitted = fit([item(added.memory, duplicate=added.duplicate), *(near.as_dict() for near in added.similar)])
    text = f"{_stored(added)}\n{fitted.texts[0]}"
    if "tags" in added.differs:
        text += "\nIts tags stayed as they were: the given ones were not added."
    if similar := fitted.items[1:]:
        act = "" if caller.actor.review else "; delete what is no longer true"
        text += f"\nIt resembles what was saved before{act}:\n" + "\n".join(fitted.texts[1:])
    return Outcome({"memories": fitted.items[:1], "similar": similar}, text)


def _stored(added: Added) -> str:
    waits = added.memory.state == "review"
    if added.duplicate:
        return f"This was known already, so nothing new was stored{_STILL_WAITS if waits else ''}:"
    return "Saved; it waits until its owner has looked at it:" if waits else "Saved:"


def _infer(caller: Caller, draft: Draft) -> Outcome:
    """Store what a language model makes of the text; the text itself where none is set up, or it fails."""
    done = remember(caller.user.service, caller.user.extractor, draft, caller.actor)
    fitted = fit([item(memory, duplicate=duplicate) for memory, duplicate in done.memories])
    if not done.inferred:
        text = f"Saved word for word ({done.reason}){_WAITS if caller.actor.review else ''}:\n{fitted.text}"
    elif fitted.items:
        new = sum(not one["duplicate"] for one in fitted.items)
        text = f"Saved {_memories(new)}{_WAITS if new and caller.actor.review else ''}; "
        text += f"{len(fitted.items) - new} known already:\n{fitted.text}"
    else:
        text = "Nothing in the text was worth saving."
    if done.superseded:
        when = "Once accepted, this" if caller.actor.review else "This"
        text += f"\n{when} takes the place of: {', '.join(done.superseded)}"
    return Outcome({"memories": fitted.items, "similar": []}, text)


# ---- search and list --------------------------------------------------------------------------


def search(caller: Caller, given: arguments.Search) -> Outcome:
    """The memories that answer the question best."""
    filter = make_filter(tags=given.tags or (), since=given.since, until=given.until)
    query = SearchQuery(query=given.query, limit=given.limit or SEARCH_LIMIT, filter=filter)
    outcome = caller.user.service.search(query, caller.actor)
    if caller.searches is not None:
        caller.searches.add((outcome.mode,), outcome.took_ms / 1000)
    fitted = fit(
        [item(hit.memory, score=round(hit.score, 4), also=list(hit.also) or None) for hit in outcome.hits],
        numbered=True,
    )
    if not fitted.items:
        text = "Nothing is remembered that fits."
    elif outcome.confident:
        text = f"{_memories(len(fitted.items))}, best first:\n{fitted.text}"
    else:
        text = f"Probably nothing is remembered about this. The nearest {_memories(len(fitted.items))}:\n{fitted.text}"
    data: dict[str, Any] = {"memories": fitted.items, "confident": outcome.confident}
    if fitted.left_out:
        data["truncated"] = True
        text += f"\n({fitted.left_out} more would make the answer too long: ask for less, or more exactly.)"
    return Outcome(data, text)


def list_(caller: Caller, given: arguments.List) -> Outcome:
    """The newest memories, in pages."""
    service = caller.user.service
    filter = make_filter(tags=given.tags or ())
    limit = given.limit or LIST_LIMIT
    page = service.list(filter, caller.actor, limit=limit, cursor=given.cursor)
    fitted = fit([item(memory) for memory in page.memories])
    if fitted.left_out:  # a shorter page knows where the next one begins
        page = service.list(filter, caller.actor, limit=len(fitted.items), cursor=given.cursor)
    text = (
        f"{_memories(len(fitted.items))}, newest first:\n{fitted.text}"
        if fitted.items
        else "Nothing is remembered here."
    )
    if page.next_cursor:
        text += f"\n(There are more: list_memories with cursor {page.next_cursor})"
    return Outcome({"memories": fitted.items, "next_cursor": page.next_cursor}, text)


def _memories(count: int) -> str:
    return f"{count} {'memory' if count == 1 else 'memories'}"


# ---- delete -----------------------------------------------------------------------------------


def delete(caller: Caller, given: arguments.Delete) -> Outcome:
    """Delete what the client may delete. A part of an id is not enough: a model that makes one up must hit nothing."""
    wanted = list(dict.fromkeys(id.strip().lower() for id in given.memory_ids))
    whole = [id for id in wanted if is_id(id)]
    deleted, missing = [], [id for id in wanted if not is_id(id)]
    if whole:
        outcome = caller.user.service.delete(whole, caller.actor)
        deleted = outcome.deleted
        missing = [id for id in wanted if id not in deleted]
    else:
        with asked(caller.user.service.access, caller.actor, "delete"):
            caller.actor.may("delete")
    return _gone(deleted, missing)


def delete_all(caller: Caller, given: arguments.DeleteAll) -> Outcome:
    """Delete every memory that the client can see."""
    service = caller.user.service
    with asked(service.access, caller.actor, "delete"):
        caller.actor.may("read", "delete")
    mine = caller.actor.review  # it may delete nothing but what it wrote and still waits
    everything = Filter(states=("review",), clients=(caller.client,)) if mine else Filter(states=())
    everything = replace(everything, expired=True)
    deleted: list[str] = []
    actions = 0
    while page := service.list(everything, caller.actor, limit=MAX_BATCH).memories:
        gone = service.delete([memory.id for memory in page], caller.actor).deleted
        if not gone:
            break
        deleted += gone
        actions += 1
    text = f"Deleted {_memories(len(deleted))}."
    if actions:
        text += f" The owner can take it back: jmem undo{f' -n {actions}' if actions > 1 else ''}."
    if mine:
        text += " Only what waited for the owner's review; what was accepted is the owner's to delete."
    return Outcome({"deleted": deleted[:MAX_BATCH], "missing": [], "count": len(deleted)}, text)


def _gone(deleted: list[str], missing: list[str]) -> Outcome:
    parts = []
    if deleted:
        parts.append(f"Deleted {_memories(len(deleted))}: {', '.join(deleted)}. The owner can take it back: jmem undo.")
    if missing:
        parts.append(
            f"Not found, or not yours to see: {', '.join(missing)}. Ids must be whole, as search_memory shows them."
        )
    return Outcome({"deleted": deleted, "missing": missing}, "\n".join(parts))


# ---- the list ---------------------------------------------------------------------------------

_TEXTS = {"type": "array", "items": {"type": "string"}}
_MEMORY = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "The id that delete_memories takes."},
        "content": {"type": "string"},
        "tags": _TEXTS,
        "created_at": {"type": "string", "description": "When it was saved, UTC."},
        "occurred_at": {"type": "string", "description": "When what it tells of happened, if that is known."},
        "speaker": {"type": "string", "description": "Who said it, if that is known."},
        "source": {"type": "string", "description": "Where it comes from, if that is known."},
        "client": {"type": "string", "description": "The program that saved it."},
        "expires_at": {"type": "string", "description": "Until when it holds, UTC, if it does not hold for good."},
        "superseded_by": {
            "type": "string",
            "description": "The id of the newer memory that holds instead of this one.",
        },
        "score": {"type": "number", "description": "How well it fits the search."},
        "also": _TEXTS | {"description": "Ids of memories with the very same text."},
        "state": {"type": "string", "description": "review: it waits until the owner has looked at it."},
        "duplicate": {"type": "boolean", "description": "It was known already; nothing new was stored."},
    },
    "required": ["id", "content"],
}


def _answers(required: list[str], **more: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": more, "required": required}


_MEMORIES = {"type": "array", "items": _MEMORY}
_GONE = {"deleted": _TEXTS, "missing": _TEXTS}

TOOLS: tuple[Tool, ...] = (
    Tool(
        "add_memories",
        "Save a memory",
        "Save something worth remembering to the user's long-term memory, which every assistant they use shares. Call "
        "it whenever the user states a fact, preference, decision, plan or correction that will matter in a later "
        "conversation, and whenever they ask you to remember something; do not wait to be asked. One statement a call. "
        "The answer shows what was stored, with its id. Saving the same again stores nothing new. Passwords and keys "
        "are refused.",
        arguments.Add,
        _answers(
            ["memories"],
            memories=_MEMORIES,
            similar={"type": "array", "items": _MEMORY, "description": "Earlier memories that resemble it."},
        ),
        add,
    ),
    Tool(
        "search_memory",
        "Search the memory",
        "Search the user's long-term memory by meaning and by words. Call it before you answer anything that may depend "
        "on who the user is, what they prefer, whom they know, what they decided or what was said in an earlier "
        "conversation with any assistant, and whenever they mention something as if you knew it. Answers the best "
        "matches first, with ids and dates; the newer of two that disagree is more likely to hold, and one with superseded_by no longer does.",
        arguments.Search,
        _answers(
            ["memories"],
            memories=_MEMORIES,
            confident={"type": "boolean", "description": "False when probably nothing is remembered about this."},
            truncated={"type": "boolean", "description": "True when hits were left out to keep the answer short."},
        ),
        search,
        reads=True,
    ),
    Tool(
        "list_memories",
        "List memories",
        "List what is remembered, newest first, in pages. Call it when the user wants to see or tidy up their memory; to "
        "answer a question, search_memory is better.",
        arguments.List,
        _answers(
            ["memories"],
            memories=_MEMORIES,
            next_cursor={"type": ["string", "null"], "description": "What to pass as cursor for the next page; null after the last."},
        ),
        list_,
        reads=True,
    ),
    Tool(
        "delete_memories",
        "Delete memories",
        "Delete memories by their ids: when the user asks to forget something, or when what they just said makes a memory "
        "untrue. Search first to get the ids. The owner can undo it.",
        arguments.Delete,
        _answers(["deleted", "missing"], **_GONE),
        delete,
        destroys=True,
    ),
    Tool(
        "delete_all_memories",
        "Delete all memories",
        "Delete every memory that this assistant can see. Only when the user has asked to forget everything, and has "
        "confirmed it in this conversation.",
        arguments.DeleteAll,
        _answers(["deleted", "missing", "count"], **_GONE, count={"type": "integer"}),
        delete_all,
        destroys=True,
    ),
)  # fmt: skip
