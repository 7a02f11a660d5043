"""The vector index: derived from the rows, drained into Qdrant in the background, one collection a model."""
