"""The exchange with the hosted account: how it goes, now, paused, and what stays here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from daemon import replies
from daemon.http import Answer, Call, Routes, json_answer
from jmem.core import outbox
from jmem.core import rules as kept
from jmem.core.wire.asks import ClientName, Tags
from jmem.core.wire.base import Ask, NoBody, NoQuery, Query

routes = Routes("sync")
WAIT_S = 55.0
"""How long `POST /sync/now` waits before it says that the exchange goes on."""
SAMPLES = 5


class PauseAsk(Ask):
    """Whether to stop exchanging."""

    paused: bool


class RulesAsk(Ask):
    """What stays on this machine though it is not private; all three lists are replaced."""

    tags: Tags = ()
    clients: tuple[ClientName, ...] = Field((), json_schema_extra={"maxItems": 64})
    folders: tuple[Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": 4096})], ...] = Field(
        (), json_schema_extra={"maxItems": 64}
    )


class PreviewQuery(Query):
    """For whom."""

    anew: bool = Field(False, description="for another account than the one that these memories belonged to")


@routes.route("GET", "/sync", NoQuery, "How the exchange goes", answers={200: replies.Sync}, problems=(404,))
def status(call: Call, ask: NoQuery) -> Answer:
    """What waits, since when, and what mends it."""
    return json_answer(call.user.syncer.status())


@routes.route("GET", "/sync/preview", PreviewQuery, "What would go to an account", answers={200: replies.SyncPreview}, problems=(404,))  # fmt: skip
def preview(call: Call, ask: PreviewQuery) -> Answer:
    """Counts and the newest texts of what would leave this machine, before anything does; what the account has is left out."""
    with call.user.store.reader() as conn:
        return json_answer(outbox.preview(conn, SAMPLES, anew=ask.anew))


@routes.route("POST", "/sync/now", NoBody, "Exchange now", answers={200: replies.Sync}, problems=(401, 404, 409, 503))
def now(call: Call, ask: NoBody) -> Answer:
    """Answers once this machine and the account know the same, or with what keeps them apart."""
    return json_answer(call.user.syncer.now(WAIT_S))


@routes.route("POST", "/sync/pause", PauseAsk, "Pause or go on", answers={200: replies.Sync}, problems=(404,))
def pause(call: Call, ask: PauseAsk) -> Answer:
    """Also over a restart."""
    return json_answer(call.user.syncer.pause(ask.paused))


@routes.route("PUT", "/sync/rules", RulesAsk, "What stays here", answers={200: replies.Sync}, problems=(404,))
def rules(call: Call, ask: RulesAsk) -> Answer:
    """What the account has already stays there; purge it to take it away."""
    kept.change(call.user.store, kept.Rules(ask.tags, ask.clients, ask.folders))
    call.user.syncer.wrote()
    return json_answer(call.user.syncer.status())
