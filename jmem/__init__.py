"""One person's memory for every AI assistant they use."""

__version__ = "0.1.0"
