"""The vector index as the application puts it together."""

from __future__ import annotations

from qdrant_client import AsyncQdrantClient

from hosted.db.engine import Database
from hosted.settings import Settings
from hosted.vectors.alias import VectorIndex
from hosted.vectors.client import Vectors, connect
from hosted.vectors.embed import Model, Source, configured, source_of


def vector_index(settings: Settings, database: Database, client: AsyncQdrantClient | None = None) -> VectorIndex | None:
    """The index of the settings, not started; None without Qdrant: search is by words then.

    `client` is asked in the place of the Qdrant of the settings. Raises Invalid `setting`.
    """
    if client is None:
        if not settings.qdrant_host:
            return None
        client = connect(settings.qdrant_host, settings.qdrant_port, settings.qdrant_api_key)
    source = configured(settings.embedder_provider, settings.embedder_model, settings.openai_api_key)

    def other(model: Model) -> Source | None:
        return source_of(model, settings.openai_api_key)

    return VectorIndex(database, Vectors(client), settings.main_qdrant_collection_name, source, other)
