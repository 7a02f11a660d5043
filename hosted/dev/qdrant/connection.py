"""The official client on the double in this process: no socket, otherwise the same requests."""

from __future__ import annotations

import httpx
from qdrant_client import AsyncQdrantClient

from hosted.dev.qdrant.app import make_app
from hosted.dev.qdrant.store import Store
from hosted.vectors.client import connect


def in_process(store: Store) -> AsyncQdrantClient:
    """A client whose requests the store answers."""
    return connect("http://qdrant.local", transport=httpx.ASGITransport(app=make_app(store)))
