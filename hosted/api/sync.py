"""Sync: devices push their ops into the account's feed and pull what they have not seen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from hosted.api.routing import Call, Routes, answer
from hosted.db.engine import DATABASE_FAILURES
from hosted.identity.principal import owner, still_owner
from hosted.ops import feed
from jmem.core.clock import wall_ms
from jmem.core.wire.base import Ask, NoQuery, Query
from sync import protocol

routes = Routes("sync")
KEEP_ALIVE_S = 15.0
_LIMITS = protocol.Limits(tree_names=protocol.MAX_TREE_NAMES, logs=protocol.MAX_LOGS)
EVENTS = "text/event-stream"
log = logging.getLogger(__name__)


class _Push(Ask, protocol.PushAsk):
    """Ops of one device, in any order."""


class _Pull(Query, protocol.PullQuery):
    """Where to go on. With `device`, what that device pushed comes back as stamp and digest only."""


@routes.route("GET", "/sync/hello", NoQuery, "The server's clock and limits", answers={200: protocol.Hello}, who=owner)
async def hello(call: Call, ask: NoQuery) -> Response:
    """Asked before the first push of a connection: a device whose clock is off stamps anew what it has never sent."""
    _seen(call)
    return answer(protocol.Hello(now=wall_ms(), account=str(call.principal.user_id), limits=_LIMITS).model_dump())


@routes.route("POST", "/sync/push", _Push, "Push ops", answers={200: protocol.PushAnswer}, problems=(413, 426), who=owner,
              body_limit=protocol.MAX_PUSH_BYTES)  # fmt: skip
async def push(call: Call, ask: _Push) -> Response:
    """Idempotent; all that is taken is taken in one transaction. An op leaves the outbox only when it is seen in the feed."""
    outcomes = await feed.push(call.backend.database, call.backend.bus, call.principal.user_id, ask.device, ask.ops)
    _seen(call, ask.device, pushed=max((outcome.seq for outcome in outcomes if outcome.seq is not None), default=None))
    acked = [outcome.stamp for outcome in outcomes if outcome.code is None]
    rejected = [{"stamp": o.stamp, "code": o.code} for o in outcomes if o.code is not None]
    return answer({"acked": acked, "rejected": rejected, "now": wall_ms()})


@routes.route("GET", "/sync/pull", _Pull, "Pull ops", answers={200: protocol.PullAnswer}, problems=(409,), who=owner)
async def pull(call: Call, ask: _Pull) -> Response:
    """409 `cursor_invalid` when the server was restored from a copy: begin without a cursor, and push everything anew."""
    found = await feed.pull(call.backend.database, call.principal.user_id, ask.cursor, ask.limit, ask.device)
    _seen(call, ask.device, pulled=protocol.parse_cursor(found.cursor)[0])
    end = to_json({"cursor": found.cursor, "more": found.more, "newest": found.newest})[1:]
    body = b'{"ops":[' + ",".join(found.ops).encode() + b"]," + end  # the ops as they were sealed
    return Response(body, media_type="application/json")


@routes.route("GET", "/sync/events", NoQuery, "Hints to pull", answers={200: EVENTS}, who=owner)
async def events(call: Call, ask: NoQuery) -> Response:
    """Server-sent events: `{"seq": n}` at first and whenever there is something new. While it is up nothing is polled."""
    call.backend.bus.room_for(call.principal.user_id)
    _seen(call)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_hints(call), media_type=EVENTS, headers=headers)


def _seen(call: Call, device: str | None = None, **told: Any) -> None:
    call.request.app.state.devices.seen(call.request, call.principal, device, **told)


async def _hints(call: Call) -> AsyncIterator[bytes]:
    bus, user_id = call.backend.bus, call.principal.user_id
    told = -1
    with bus.listening(user_id) as listener:
        yield b"retry: 1000\n\n"
        while not bus.closing:
            listener.changed.clear()
            try:
                async with listener.turn:
                    seq = await feed.newest(call.backend.database, user_id)
                    if told >= 0 and not await still_owner(call.request):
                        return
            except DATABASE_FAILURES as error:
                log.warning("a stream of hints ends: %s", type(error).__name__)
                return  # who listens asks again
            if seq != told:
                told = seq
                yield b'event: feed\ndata: {"seq":%d}\n\n' % seq
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):  # wait_for of Python 3.11 may swallow a cancellation
                    await listener.changed.wait()
            except TimeoutError:
                _seen(call, idle=True)
                yield b": keep-alive\n\n"
