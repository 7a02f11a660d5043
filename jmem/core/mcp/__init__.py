"""MCP as the daemon and the hosted backend both speak it: the tools' words, their answers as text, and the transports.

Only `exchange` and what stands on it (`serving`, `streamable`, `sse`, `endpoints`) import the protocol's library.
"""
