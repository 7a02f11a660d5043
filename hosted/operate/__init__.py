"""Running the hosted backend: serving it, looking after it, keeping copies of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from hosted.operate.metrics import Metrics


def mount(app: FastAPI, metrics: Metrics | None = None) -> None:
    """Add `/health`, `/ready` and `/metrics`; the metrics are in `app.state.metrics`."""
    from hosted.operate.compose import mount as compose  # a command that serves nothing must not need the routes

    compose(app, metrics)


def watch_requests(app: FastAPI) -> None:
    """Count and log every request: the last layer to be put around the app."""
    from hosted.operate.watch import Watch

    app.add_middleware(Watch, metrics=app.state.metrics)
