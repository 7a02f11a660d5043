"""How routes are declared."""

from __future__ import annotations

import pytest
from fastapi import Depends, Request, Response

from hosted.api.routing import Routes


async def endpoint(request: Request) -> Response:
    return Response()


def test_what_would_never_run_before_a_route_is_refused() -> None:
    routes = Routes("group")
    routes.router.get("/without")(endpoint)
    with pytest.raises(TypeError, match=r"/with: a dependency would never run"):
        routes.router.get("/with", dependencies=[Depends(lambda: None)])(endpoint)
