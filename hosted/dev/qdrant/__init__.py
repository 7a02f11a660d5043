"""A vector double for development and tests: speaks Qdrant's REST, so that the official client is used as it is.

Stricter than the real one where that matters: it refuses a filter on a field without an index, and every search, scroll,
count, change or delete of points that does not name one tenant.
"""

from hosted.dev.qdrant.app import make_app
from hosted.dev.qdrant.connection import in_process
from hosted.dev.qdrant.store import Store

__all__ = ["Store", "in_process", "make_app"]
