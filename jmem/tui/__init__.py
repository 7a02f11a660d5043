"""The terminal interface: a client of the daemon like any other."""
