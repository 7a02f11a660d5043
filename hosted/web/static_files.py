"""The files that are served as they are. They know nobody, so no cookie comes or goes with them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hosted.web.site import Site
from jmem.core.errors import NotFound

YEAR = "public, max-age=31536000, immutable"


def route(site: Site) -> Route:
    """A file of ours; its address changes with its content."""

    async def static(request: Request) -> Response:
        found = site.static.get(request.path_params["name"])
        if found is None:
            raise NotFound("there is no such file")
        headers = {"cache-control": YEAR if request.query_params.get("v") == found.digest else "no-cache"}
        return Response(found.content, headers=headers, media_type=found.media)

    return Route("/static/{name}", static, methods=["GET"], include_in_schema=False)
