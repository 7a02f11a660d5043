"""MCP of the account: personal URLs, and one address for programs that sign in by OAuth."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI


def mount(app: FastAPI) -> None:
    """Add the addresses of MCP to the app, over the parts in `app.state`."""
    from hosted.mcp.routes import (
        install,  # the protocol's library is large, and a part of this package needs none of it
    )

    install(app)
