"""A browser gets a page where a program gets a problem document: what happened, and what helps."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from hosted.memories.inbox import NOTHING
from hosted.web import browser
from hosted.web.site import Site

_PROGRAMS = (
    "/api/",
    "/mcp",
    "/openapi.json",
    "/health",
    "/ready",
    "/metrics",
    "/.well-known",
    "/static/",
    "/openmemory",
)
_TITLES = {
    401: "You are signed out", 403: "That is not permitted", 404: "There is nothing here", 405: "That does not work here",
    409: "Something changed meanwhile", 410: "This account was deleted", 413: "That is too long",
    422: "Something is not as it should be", 429: "Slowly, please", 500: "Something broke on our side",
    503: "Not now", 507: "Not now",
}  # fmt: skip
_HELP = {
    404: "The address may be mistyped, or what was here has been deleted. A deleted memory can be brought back from the list of deleted ones.",
    410: "Nothing of it is left here. Memories on your own machines are untouched. You are free to sign up anew.",
    429: "Too many requests came from you in a short time. Wait a moment and try again; nothing is lost.",
    500: "It is not your doing, and nothing that you had saved is lost. Try again; if it stays, tell us the number below.",
    503: "A part that this page needs does not answer at the moment. Nothing that you had saved is lost. Try again in a minute.",
}  # fmt: skip


def wants_page(request: Request) -> bool:
    """Whether a person in a browser asks, rather than a program."""
    if request.url.path.startswith(_PROGRAMS):
        return False
    return "hx-request" in request.headers or "text/html" in request.headers.get("accept", "")


def install(app: FastAPI, site: Site) -> None:
    """Have every failure that a browser meets answered as a page, those before any route too."""

    def page_of(request: Request, answer: Response) -> Response:
        if not wants_page(request):
            return answer
        return as_page(site, request, answer.status_code, bytes(answer.body), answer.headers)

    app.state.page_of = page_of
    for kind, handler in list(app.exception_handlers.items()):
        if kind is not Exception:  # told by the edge
            app.add_exception_handler(kind, _paged(page_of, handler))


def _paged(page_of: Callable[[Request, Response], Response], handler: Any) -> Any:
    async def handle(request: Request, error: Exception) -> Response:
        found = handler(request, error)
        return page_of(request, await found if inspect.isawaitable(found) else found)

    return handle


def _signed_in(site: Site, request: Request, status: int) -> bool:
    """Whether the page's head leads to the memories, rather than to signing in; the session itself is not asked."""
    return status not in (401, 410) and bool(site.cookies.read(request, browser.SESSION))


def as_page(
    site: Site, request: Request, status: int, problem: bytes, headers: Mapping[str, str] | None = None
) -> Response:
    """A problem document as a page; for htmx as a note at the page's foot."""
    try:
        said: dict[str, Any] = json.loads(problem)
    except ValueError:
        said = {}
    context = {
        "status": status, "title": _TITLES.get(status, "That did not work"), "help": _HELP.get(status, ""),
        "message": str(said.get("title", "")), "fix": str(said.get("fix") or ""), "code": str(said.get("code", "")),
        "number": str(said.get("request", "")), "me": _signed_in(site, request, status), "csrf": "", "path": request.url.path, "flash": None,
        "live": False, "waiting": NOTHING, "zone": browser.zone_of(request),
    }  # fmt: skip
    if status == 410:
        context["fix"] = ""
    if "hx-request" in request.headers:
        response = HTMLResponse(site.html("_problem.html", context), status)
        response.headers.update({"hx-retarget": "#toasts", "hx-reswap": "beforeend"})
    else:
        response = HTMLResponse(site.html("problem.html", context), status)
    if status in (401, 410):
        site.cookies.take(response, browser.SESSION)
    response.headers.update({name: value for name, value in (headers or {}).items() if name.lower() == "retry-after"})
    for name, value in browser.HEADERS.items():
        response.headers.setdefault(name, value)
    return response
