"""Adding with extraction: the facts of a passage where the model gives them, else the passage itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jmem.core import extract
from jmem.core.actor import Actor
from jmem.core.asked import asked
from jmem.core.drafts import Draft, checked_fields
from jmem.core.errors import JmemError, RateLimited
from jmem.core.extract import Extraction, ExtractionFailed, Extractor, Remembered
from jmem.core.filter import Filter
from jmem.core.model import Memory, now_iso
from jmem.core.query import SearchQuery

if TYPE_CHECKING:
    from jmem.core.service import MemoryService

log = logging.getLogger(__name__)


def remember(service: MemoryService, extractor: Extractor | None, draft: Draft, actor: Actor) -> Remembered:
    """Add what a passage says: its facts where the model gives them, else the passage itself.

    Raises what `MemoryService.add` raises for the passage (a secret, bad fields, a full disk); no failure of
    the model is among that.
    """
    with asked(service.access, actor, "add"):
        actor.may("write")
        fields = checked_fields(draft, actor)
    draft = extract.passage_of(draft, fields)
    if extractor is None:
        return Remembered([service.add(draft, actor)], reason=extract.NO_MODEL)
    if (why := extract.held_back(extractor, draft)) is not None:
        return _verbatim(service, draft, actor, "skipped", why)
    known = _known(service, extractor, draft, actor)
    said_at = fields.get("occurred_at") or now_iso()
    try:
        extraction = extractor.extract(draft.content, known, said_at=said_at, speaker=draft.speaker)
    except ExtractionFailed as error:
        log.warning("extraction failed: %s", error)
        return _verbatim(service, draft, actor, "failed", str(error))
    return _store(service, draft, actor, extraction)


def _known(service: MemoryService, extractor: Extractor, draft: Draft, actor: Actor) -> list[Memory]:
    """Near memories that this actor may read and this model may see; none when search fails."""
    if not actor.read or service.searcher is None:
        return []
    privacy = None if extractor.may_see("local") else "synced"
    # the model may be on this machine and the embedder on another one
    stays = draft.privacy == "local" and not extractor.allow_remote_for_local
    mode = "text" if stays and getattr(service.searcher, "remote", False) else "hybrid"
    query = SearchQuery(draft.content[: extract.MAX_QUERY_CHARS], extract.MAX_KNOWN, Filter(privacy=privacy), mode)
    try:
        hits = service.search(query, actor, keep_query=False).hits
    except JmemError as error:
        log.warning("extraction goes on without what is known: %s", error.message)
        return []
    return extract.to_show(extractor, (hit.memory for hit in hits))


def _store(service: MemoryService, draft: Draft, actor: Actor, extraction: Extraction) -> Remembered:
    if not extraction.facts:
        return Remembered([], list(extraction.known), inferred=True)
    drafts = extract.drafts_of(draft, extraction)
    try:
        results = service.add_many(drafts, actor)
    except RateLimited:  # the passage is one change, where its facts are more than the hour has left
        return _verbatim(service, draft, actor, "failed", extract.NO_ROOM)
    if any(isinstance(result, JmemError) for result in results):
        again = service.add_many(extract.unlinked(drafts, results), actor)
        if any(isinstance(result, JmemError) for result in again):
            return _verbatim(service, draft, actor, "failed", extract.NOT_STORED)
        results = [*results, *again]
    return extract.remembered(results, extraction)


def _verbatim(service: MemoryService, draft: Draft, actor: Actor, mark: str, reason: str) -> Remembered:
    return Remembered([service.add(extract.marked(draft, mark, reason), actor)], reason=reason)
