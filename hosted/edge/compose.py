"""The edge as the application has it: the layers in their order, with the settings."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from hosted.background import background
from hosted.edge.bodies import Bodies
from hosted.edge.counting import Counting
from hosted.edge.idempotency import keep_sweeping
from hosted.edge.rates import Rates
from hosted.edge.requests import Requests
from hosted.settings import Settings
from jmem.core.errors import Invalid
from jmem.core.model import MAX_BATCH_BYTES

PAGE_BYTES = 1024 * 1024
"""What a form or a call of an assistant may be; batches and pushes are larger."""
_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
_TAKEN = ("authorization", "content-type", "idempotency-key", "if-match", "last-event-id", "x-request-id", "mcp-protocol-version",
          "mcp-session-id", "x-api-key")  # fmt: skip
_SHOWN = ("idempotency-replayed", "mcp-session-id", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate",
          "x-request-id")  # fmt: skip


def wrap(app: FastAPI, settings: Settings | None) -> None:
    """Wrap the app; the innermost layer is added first."""
    known = settings or Settings(database_url="")
    app.add_middleware(
        Bodies, limit=body_limit, body_timeout=known.body_timeout, request_timeout=known.request_timeout
    )  # fmt: skip
    rates = Rates(limits_of(known) if settings else {}, known.redis_url)
    app.state.rates = rates
    app.state.contexts.append(rates.running)
    if (backend := getattr(app.state, "backend", None)) is not None:
        app.state.contexts.append(lambda: background(keep_sweeping(backend.database)))
    app.add_middleware(Counting, rates=rates)
    if origins := origins_of(known):
        app.add_middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=_METHODS, allow_headers=_TAKEN, expose_headers=_SHOWN,
            allow_credentials=False, max_age=600,
        )  # fmt: skip
    https = known.public_url.startswith("https://")
    app.add_middleware(Requests, trusted_proxies=known.trusted_proxies, https=https)


def limits_of(settings: Settings) -> dict[str, int]:
    """What may be asked a minute, by what it is counted as."""
    return {
        "address": settings.rate_address, "sign_in": settings.rate_sign_in, "read": settings.rate_read,
        "search": settings.rate_search, "write": settings.rate_write, "sync": settings.rate_sync,
    }  # fmt: skip


def origins_of(settings: Settings) -> list[str]:
    """The web pages that may ask, exactly as browsers name them; raises Invalid `setting` for anything else."""
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    for origin in origins:
        scheme, separator, rest = origin.partition("://")
        if scheme not in ("http", "https") or not separator or not rest or set(rest) & set("/*?#@"):
            raise Invalid(f"CORS_ORIGINS: {origin!r} is no origin, as https://example.com is", code="setting",
                          field="CORS_ORIGINS")  # fmt: skip
    return origins


def body_limit(method: str, path: str) -> int:
    """How many bytes a request to an address may have, whether there is anything at it or not."""
    if path.startswith("/api/"):
        return MAX_BATCH_BYTES
    return PAGE_BYTES
