"""The places of the interface, one a module."""
