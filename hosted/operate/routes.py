"""`/health`, `/ready` and `/metrics`: what a platform and its monitoring ask."""

from __future__ import annotations

import hmac

from fastapi import FastAPI, Request, Response
from pydantic_core import to_json

import jmem
from hosted.operate.health import Readiness
from hosted.operate.metrics import CONTENT_TYPE, Metrics
from jmem.core.errors import Unauthorized
from jmem.core.wire.refusals import HttpProblem

_JSON = "application/json"


def add(app: FastAPI, metrics: Metrics, readiness: Readiness, metrics_token: str) -> None:
    """Add the routes. Without a token nobody is told the metrics."""

    async def health(request: Request) -> Response:
        """This process answers."""
        return Response(to_json({"status": "ok", "version": jmem.__version__}), media_type=_JSON)

    async def ready(request: Request) -> Response:
        """This replica may be asked: its database answers, at a revision it can use."""
        good, told = await readiness.ask()
        return Response(to_json(told), 200 if good else 503, media_type=_JSON)

    async def exposition(request: Request) -> Response:
        """The metrics of this replica, for Prometheus."""
        if not metrics_token:
            raise HttpProblem(404, "no_route", "metrics are off here", fix="set METRICS_TOKEN")
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {metrics_token}".encode()):
            raise Unauthorized("metrics need the bearer token of METRICS_TOKEN")
        return Response(await metrics.text(), media_type=CONTENT_TYPE)

    for path, endpoint in (("/health", health), ("/ready", ready), ("/metrics", exposition)):
        app.add_api_route(path, endpoint, methods=["GET", "HEAD"], include_in_schema=False)
