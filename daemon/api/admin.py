"""The daemon itself: health, status, metrics, token, stop, the API's own description."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import jmem
from daemon import replies
from daemon.http import Answer, Call, Routes, json_answer
from daemon.metrics import rss_bytes
from jmem.core import places
from jmem.core.actor import Actor
from jmem.core.embed import EmbedderUnavailable
from jmem.core.errors import NotFound, Refused
from jmem.core.filter import Filter
from jmem.core.wire.base import NoBody, NoQuery
from jmem.wire import HAS_UNIX

routes = Routes("daemon")
outside = Routes("daemon", prefix="")


@outside.route("GET", "/health", NoQuery, "Whether the daemon serves", answers={200: replies.Health}, needs_user=False)
async def health(call: Call, ask: NoQuery) -> Answer:
    """Answers before anything is loaded, to anybody on this machine."""
    return json_answer({"status": "ok", "version": jmem.__version__, "pid": os.getpid(), "build": call.daemon.build})


@outside.route("GET", "/metrics", NoQuery, "Prometheus metrics", answers={200: "text/plain"}, needs_user=False)
def metrics(call: Call, ask: NoQuery) -> Answer:
    """Made at every scrape; nothing runs between scrapes. By user on the unix socket only, else their sums."""
    return Answer(
        200, call.daemon.metrics.text(by_user=call.identity.local), "text/plain; version=0.0.4; charset=utf-8"
    )


@outside.route("GET", "/openapi.json", NoQuery, "This API, described", answers={200: dict}, needs_user=False)
def openapi(call: Call, ask: NoQuery) -> Answer:
    """OpenAPI 3.1."""
    from daemon.openapi import document

    return json_answer(document())


@routes.route("GET", "/status", NoQuery, "How jmem is", answers={200: replies.Status}, needs_user=False)
def status(call: Call, ask: NoQuery) -> Answer:
    """Of a user who has no memory yet, the same with zeros."""
    user_id, memories, waiting, pending, index = None, 0, 0, 0, "ready"
    warning: dict[str, str] = {}
    sync: dict[str, Any] | None = None
    try:
        user = call.daemon.users.open(call.identity.user or "")
    except NotFound:
        pass
    else:
        user_id, warning = user.id, user.warning()
        memories = user.service.count(Filter(states=(), expired=True), Actor("cli"))
        waiting = user.service.count(Filter(states=("review",)), Actor("cli"))
        index, pending = user.indexer.course()
        exchange = user.syncer.status()
        sync = None if exchange["state"] == "off" else exchange
    return json_answer(
        {
            "version": jmem.__version__, "user_id": user_id, "memories": memories, "review": waiting,
            "pending_index": pending,
            "index": index, "daemon": _daemon(call), "embedder": _embedder(call), "sync": sync, **warning,
        }
    )  # fmt: skip


@routes.route("GET", "/daemon/token", NoQuery, "The bearer token for TCP", answers={200: replies.Token}, problems=(403, 404), needs_user=False)  # fmt: skip
def token(call: Call, ask: NoQuery) -> Answer:
    """By the unix socket only."""
    if not call.identity.local:
        raise Refused("the token is told on the unix socket only", fix="jmem daemon token")
    return json_answer({"token": call.daemon.users.token(call.identity.user or "")})


@routes.route("POST", "/daemon/stop", NoBody, "Stop the daemon", answers={200: replies.Stopping}, problems=(403,), needs_user=False)  # fmt: skip
async def stop(call: Call, ask: NoBody) -> Answer:
    """What is under way is finished first. By the unix socket only: it would stop for every user of this machine."""
    if not call.identity.local and HAS_UNIX:
        raise Refused("the daemon is stopped on the unix socket only", code="socket_only", fix="jmem daemon stop")
    call.daemon.stop()
    return json_answer({"stopping": True, "pid": os.getpid()})


def _daemon(call: Call) -> dict[str, Any]:
    daemon = call.daemon
    return {
        "pid": os.getpid(), "version": jmem.__version__, "build": daemon.build,
        "rss_mb": round(rss_bytes() / 1e6, 1), "uptime_s": round(time.time() - daemon.started),
        "socket": places.socket_path(str(daemon.settings.home)), "port": daemon.tcp.port,
        "listens": daemon.tcp.sock is not None, "trouble": daemon.tcp.trouble, "activated": daemon.activated,
        "threads": threading.active_count(), "events": daemon.hub.count(),
    }  # fmt: skip


def _embedder(call: Call) -> dict[str, Any]:
    embedder = call.daemon.embedder
    try:
        fingerprint = embedder.fingerprint
        state = "loaded" if embedder.loaded else "not loaded"
    except EmbedderUnavailable as error:
        fingerprint, state = None, error.message
    return {"name": embedder.name, "state": state, "fingerprint": fingerprint, "remote": embedder.remote}
