"""What the tools answer: data that fits their output schemas, and the same in words for a model to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jmem.core.actor import Actor
from jmem.core.drafts import Added
from jmem.core.mcp.render import Fitted, fit, item
from jmem.core.model import MAX_BATCH, Memory, is_id
from jmem.core.query import SearchOutcome

if TYPE_CHECKING:
    from jmem.core.extract import Remembered

_WAITS = ", to wait until the owner has looked at it"
_STILL_WAITS = "; it still waits until its owner has looked at it"

TakeBack = Callable[[int], str]
"""How the owner takes back so many actions, in words."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool answers: data that fits its output schema, and the same for a reader."""

    data: dict[str, Any]
    text: str


def saved(added: Added, actor: Actor) -> Outcome:
    """Of add_memories, for a text that was kept word for word."""
    fitted = fit([item(added.memory, duplicate=added.duplicate), *(near.as_dict() for near in added.similar)])
    text = f"{_stored(added)}\n{fitted.texts[0]}"
    if "tags" in added.differs:
        text += "\nIts tags stayed as they were: the given ones were not added."
    if similar := fitted.items[1:]:
        act = "" if actor.review else "; delete what is no longer true"
        text += f"\nIt resembles what was saved before{act}:\n" + "\n".join(fitted.texts[1:])
    return Outcome({"memories": fitted.items[:1], "similar": similar}, text)


def _stored(added: Added) -> str:
    waits = added.memory.state == "review"
    if added.duplicate:
        return f"This was known already, so nothing new was stored{_STILL_WAITS if waits else ''}:"
    return "Saved; it waits until its owner has looked at it:" if waits else "Saved:"


def inferred(done: Remembered, actor: Actor) -> Outcome:
    """Of add_memories, for what a language model made of the text, or the text itself where it made nothing."""
    fitted = fit([item(memory, duplicate=duplicate) for memory, duplicate in done.memories])
    if not done.inferred:
        text = f"Saved word for word ({done.reason}){_WAITS if actor.review else ''}:\n{fitted.text}"
    elif fitted.items:
        new = sum(not one["duplicate"] for one in fitted.items)
        text = f"Saved {_memories(new)}{_WAITS if new and actor.review else ''}; "
        text += f"{len(fitted.items) - new} known already:\n{fitted.text}"
    else:
        text = "Nothing in the text was worth saving."
    if done.superseded:
        when = "Once accepted, this" if actor.review else "This"
        text += f"\n{when} takes the place of: {', '.join(done.superseded)}"
    return Outcome({"memories": fitted.items, "similar": []}, text)


def found(outcome: SearchOutcome) -> Outcome:
    """Of search_memory."""
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


def page(memories: Sequence[Memory]) -> Fitted:
    """What of a page of list_memories fits into one answer; where some are left out, a shorter page is asked for."""
    return fit([item(memory) for memory in memories])


def listed(fitted: Fitted, next_cursor: str | None) -> Outcome:
    """Of list_memories."""
    text = (
        f"{_memories(len(fitted.items))}, newest first:\n{fitted.text}"
        if fitted.items
        else "Nothing is remembered here."
    )
    if next_cursor:
        text += f"\n(There are more: list_memories with cursor {next_cursor})"
    return Outcome({"memories": fitted.items, "next_cursor": next_cursor}, text)


def wanted_ids(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """(all ids that were asked for, those of them that are whole). Part of an id hits nothing: a model may make one up."""
    wanted = list(dict.fromkeys(id.strip().lower() for id in given))
    return wanted, [id for id in wanted if is_id(id)]


def gone(wanted: Sequence[str], deleted: Sequence[str], take_back: TakeBack) -> Outcome:
    """Of delete_memories."""
    missing = [id for id in wanted if id not in deleted]
    parts = []
    if deleted:
        parts.append(
            f"Deleted {_memories(len(deleted))}: {', '.join(deleted)}. The owner can take it back: {take_back(1)}."
        )
    if missing:
        parts.append(
            f"Not found, or not yours to see: {', '.join(missing)}. Ids must be whole, as search_memory shows them."
        )
    return Outcome({"deleted": list(deleted), "missing": missing}, "\n".join(parts))


def all_gone(deleted: Sequence[str], actions: int, actor: Actor, take_back: TakeBack) -> Outcome:
    """Of delete_all_memories."""
    text = f"Deleted {_memories(len(deleted))}."
    if actions:
        text += f" The owner can take it back: {take_back(actions)}."
    if actor.review:
        text += " Only what waited for the owner's review; what was accepted is the owner's to delete."
    return Outcome({"deleted": list(deleted[:MAX_BATCH]), "missing": [], "count": len(deleted)}, text)


def _memories(count: int) -> str:
    return f"{count} {'memory' if count == 1 else 'memories'}"
