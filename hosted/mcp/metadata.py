"""Where a program learns how to sign in: RFC 9728's document, which names the Supabase project's authorization server."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hosted.identity.compose import issuer_of

WELL_KNOWN = "/.well-known/oauth-protected-resource"
_HEADERS = {"cache-control": "public, max-age=3600", "access-control-allow-origin": "*"}
"""The document holds nothing of anybody's, and programs in web pages read it too."""


def document(public_url: str, path: str, supabase_url: str) -> dict[str, object]:
    """The metadata of the resource at `path`."""
    return {
        "resource": public_url + path,
        "authorization_servers": [issuer_of(supabase_url)],
        "bearer_methods_supported": ["header"],
        "resource_name": "jmem",
    }


def discovery(public_url: str, path: str, supabase_url: str) -> list[Route]:
    """The addresses of the document: for the whole server, and for the resource at `path`."""
    made = document(public_url, path, supabase_url)

    async def metadata(request: Request) -> Response:
        return JSONResponse(made, headers=_HEADERS)

    return [Route(where, metadata, include_in_schema=False) for where in (WELL_KNOWN, WELL_KNOWN + path)]
