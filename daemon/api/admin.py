"""The daemon itself: health, status, metrics, token, stop."""

from __future__ import annotations

import os

import jmem
from daemon.http import Answer, Call, NoBody, NoQuery, Routes, json_answer

routes = Routes("daemon")
outside = Routes("daemon", prefix="")


@outside.route("GET", "/health", NoQuery, "Whether the daemon serves", answers={200: dict}, needs_user=False)
async def health(call: Call, ask: NoQuery) -> Answer:
    """Answers before anything is loaded, to anybody on this machine."""
    return json_answer({"status": "ok", "version": jmem.__version__, "pid": os.getpid(), "build": call.daemon.build})


@routes.route("POST", "/daemon/stop", NoBody, "Stop the daemon", answers={200: dict}, needs_user=False)
async def stop(call: Call, ask: NoBody) -> Answer:
    """What is under way is finished first."""
    call.daemon.stop()
    return json_answer({"stopping": True, "pid": os.getpid()})
