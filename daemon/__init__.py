"""The local process that owns a machine's memories."""
