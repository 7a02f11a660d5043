"""What the server says of itself: the same whether the SDK says it or, before it is there, `early`."""

from __future__ import annotations

from jmem.core.mcp.tools import instructions

INSTRUCTIONS = instructions("it stays on their machine")
