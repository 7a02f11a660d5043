"""What stands between the network and the routes: plain ASGI, so that streams stream and a disconnect is felt.

From the outside in:

    requests  a request's id, the headers every answer has, and the answer to a failure nobody foresaw
    cors      which web pages may ask, none by default
    rates     how much one address, and one user, may ask
    bodies    how large a body may be, how long it may take to arrive, and how long its answer may take

`idempotency` works inside the routes, in the tenant's transactions; `problems` is the form of every refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from hosted.settings import Settings


def install(app: FastAPI, settings: Settings | None = None) -> None:
    """Put the edge around the app; without settings, limits are as wide as they can be and nobody is counted."""
    from hosted.edge.compose import wrap  # whoever asks for the context alone must not need the routes

    wrap(app, settings)
