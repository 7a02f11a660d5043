"""The op feed: the one write path, push and pull, purge, events."""
