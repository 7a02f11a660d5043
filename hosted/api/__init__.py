"""The HTTP API, one route group a module."""

from __future__ import annotations

from hosted.api.routing import Routes


def groups() -> list[Routes]:
    """Every group of routes."""
    from hosted.api import (
        activity,
        audit,
        conflicts,
        duplicates,
        events,
        history,
        memories,
        overview,
        portable,
        review,
        search,
        sync,
        timeline,
        verify,
    )

    own = (
        memories,
        search,
        history,
        timeline,
        duplicates,
        conflicts,
        activity,
        review,
        audit,
        overview,
        portable,
        events,
        sync,
        verify,
    )
    return [module.routes for module in own]


def account_groups() -> list[Routes]:
    """The routes of the account itself, which need identity's services."""
    from hosted.api import account, clients, connections, devices, keys, portable

    return [*(module.routes for module in (account, clients, connections, keys, devices)), portable.whole]
