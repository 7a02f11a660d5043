"""What may be told to others, all of it off unless a setting turns it on: failures to Sentry, uses to PostHog.

Neither is told a word of anybody's memories: failures go without messages, variables and requests, uses as the name of what
was done. An account is a hash there, from which its id can't be had back.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import structlog

import jmem
from hosted.background import background
from hosted.operate.metrics import program_of
from hosted.settings import Settings
from jmem.core.errors import Invalid

MAX_WAITING = 5_000
BATCH = 500
EVERY_S = 5.0
_log = structlog.get_logger(__name__)


def report_failures(settings: Settings) -> bool:
    """Have logged errors reported to Sentry, where SENTRY_DSN names it; raises Invalid `setting` for a wrong address."""
    if not settings.sentry_dsn:
        return False
    import sentry_sdk
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration

    try:
        sentry_sdk.init(
            dsn=settings.sentry_dsn, release=jmem.__version__, default_integrations=False,
            integrations=[LoggingIntegration(level=None, event_level=40), ExcepthookIntegration(), DedupeIntegration()],
            include_local_variables=False, include_source_context=False, max_breadcrumbs=0,
            max_request_body_size="never", before_send=without_words, server_name="", auto_session_tracking=False,
        )  # fmt: skip
    except sentry_sdk.utils.BadDsn as error:
        raise Invalid("SENTRY_DSN is no address of Sentry's", code="setting", field="SENTRY_DSN") from error
    return True


def without_words(event: Any, hint: Any) -> Any:
    """What Sentry is told: where in the code and what kind of failure; no message, request, variable or address."""
    failures = event.get("exception", {}).get("values", [])
    kept = {
        name: event[name]
        for name in ("event_id", "timestamp", "level", "logger", "platform", "release")
        if name in event
    }
    kept["exception"] = {"values": [{"type": each.get("type"), "module": each.get("module"), "stacktrace": {"frames": [
        {name: frame.get(name) for name in ("filename", "function", "lineno", "module", "in_app")}
        for frame in (each.get("stacktrace") or {}).get("frames", [])
    ]}} for each in failures]}  # fmt: skip
    if not failures:  # a line without an exception: its words may be anybody's
        kept["message"] = f"an error of {event.get('logger', 'jmem')}"
    return kept


def account_of(user_id: UUID) -> str:
    """A name for an account that its id can't be had back from."""
    return hashlib.sha256(b"jmem-telemetry" + user_id.bytes).hexdigest()[:32]


class Uses:
    """Tells PostHog what was done, in batches behind the answers. What it can't be told is dropped."""

    def __init__(self, http: httpx.AsyncClient, host: str, key: str) -> None:
        self._http, self._url, self._key = http, f"{host.rstrip('/')}/batch/", key
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MAX_WAITING)

    def note(self, user_id: UUID, operation: str, client: str) -> None:
        """Something was done, by one of the programs that are told apart; never blocks."""
        self._waiting.append({
            "event": operation, "distinct_id": account_of(user_id), "timestamp": datetime.now(UTC).isoformat(),
            "properties": {"client": program_of(client), "version": jmem.__version__, "$process_person_profile": False,
                           "$geoip_disable": True, "$lib": "jmem"},
        })  # fmt: skip

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tell, until this is left; what waits then is told once more."""
        try:
            async with background(self._work()):
                yield
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Tell what waits."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            try:
                answer = await self._http.post(self._url, json={"api_key": self._key, "batch": batch})
                answer.raise_for_status()
            except httpx.HTTPError as error:
                _log.info("uses_not_told", lost=len(batch), error=type(error).__name__)
                return

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self.flush()
