"""The log: JSON lines on standard output, with the id of the request, and without contents, keys or tokens.

The message of an exception may quote what somebody wrote; so a traceback has the places and the exception's type, and
the message only where it quotes nothing.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog
from pydantic_core import to_json

from hosted.edge.context import request_id
from jmem.core.errors import Invalid
from jmem.core.redaction import redacted

LEVELS = ("debug", "info", "warning", "error")
_QUOTES_NOTHING = (OSError, TimeoutError, ImportError)
_ADDS = [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]


def configure(level: str, stream: TextIO | None = None) -> None:
    """Have everything that logs, libraries too, write such lines. Raises Invalid for another level than LEVELS."""
    if level not in LEVELS:
        raise Invalid(f"LOG_LEVEL is one of {', '.join(LEVELS)}", code="setting", field="LOG_LEVEL")
    shared: list[Any] = [*_ADDS, _request, _exception]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in (
        "httpx",
        "httpcore",
        "alembic",
        "qdrant_client",
        "uvicorn",
    ):  # whole addresses, and what `serve` says itself
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def _request(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The id of the request that is being answered."""
    asked = request_id()
    if asked is not None:
        event.setdefault("request_id", asked)
    return event


def _exception(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        if isinstance(error, _QUOTES_NOTHING):
            event["reason"] = str(error)
        event["traceback"] = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
    return event


def _render(logger: Any, method: str, event: Mapping[str, Any]) -> str:
    return redacted(to_json(event, fallback=repr, inf_nan_mode="strings").decode("utf-8", "replace"))
