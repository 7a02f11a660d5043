"""`python -m hosted serve`: one replica, until a signal."""

from __future__ import annotations

import contextlib

import structlog

import jmem
from hosted.app import app_of
from hosted.operate import logs, serving, telemetry
from hosted.operate.environment import read_settings

_log = structlog.get_logger(__name__)


def serve(*, port: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT: then take nothing new, end the streams, answer what is under way, and leave.

    Raises Invalid `setting`, Conflict `port_taken`.
    """
    settings = read_settings()
    logs.configure(settings.log_level)
    telemetry.report_failures(settings)
    with contextlib.suppress(serving.Interrupted), serving.interruptible():
        again = "PORT=8081 python -m hosted serve"
        with serving.listen(settings.bind_host, settings.port if port is None else port, again=again) as listening:
            app = app_of(settings)
            bus = app.state.backend.bus

            def ready() -> None:
                _log.info("serving", port=listening.getsockname()[1], version=jmem.__version__)

            def drain() -> None:
                _log.info("ending")
                bus.end_streams()

            options = serving.options(
                app, body_timeout=settings.body_timeout, request_timeout=settings.request_timeout,
                timeout_graceful_shutdown=settings.drain_timeout,
            )  # fmt: skip
            serving.run(serving.Server(options, ready, drain), [listening])
