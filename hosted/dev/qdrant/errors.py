"""What the double refuses."""

from __future__ import annotations


class QdrantError(Exception):
    """An answer other than 200, in Qdrant's form."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def no_collection(name: str) -> QdrantError:
    """As Qdrant says it."""
    return QdrantError(404, f"Not found: Collection `{name}` doesn't exist!")
