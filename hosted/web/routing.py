"""A page is one declaration: its path, who may see it, and what happens with its form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from hosted.api.routing import body_of
from hosted.db.engine import DATABASE_FAILURES
from hosted.identity.errors import BadToken
from hosted.web import browser, unsaved
from hosted.web.flashes import Flash
from hosted.web.site import SESSIONS, Form, Site, Visit
from jmem.core.errors import Invalid, JmemError, Refused

Handler = Callable[[Visit], Awaitable[Response]]
MAX_FORM = 512 * 1024
"""Bytes of a form: a memory of 64 KiB with every byte escaped, and room."""
MAX_FIELDS = 3_000


@dataclass(frozen=True, slots=True)
class Declared:
    """One page of a group."""

    method: str
    path: str
    handler: Handler
    private: bool
    leaving: bool


class Pages:
    """A group of pages; each decorator declares one. A private page is for whoever is signed in."""

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self.declared: list[Declared] = []

    def get(self, path: str, *, private: bool | None = None) -> Callable[[Handler], Handler]:
        """A page to look at."""
        return self._declare("GET", path, private)

    def post(self, path: str, *, private: bool | None = None, leaving: bool = False) -> Callable[[Handler], Handler]:
        """A form that is sent; it carries the token of its session. `leaving`: whoever has the session may send it, also
        while it can't be told whether it still counts."""
        return self._declare("POST", path, private, leaving=leaving)

    def _declare(
        self, method: str, path: str, private: bool | None, *, leaving: bool = False
    ) -> Callable[[Handler], Handler]:
        def declare(handler: Handler) -> Handler:
            only = self._private if private is None else private
            self.declared.append(Declared(method, path, handler, only, leaving))
            return handler

        return declare

    def routes(self, site: Site) -> list[Route]:
        """As the application takes them."""
        return [Route(d.path, _endpoint(site, d), methods=[d.method], include_in_schema=False) for d in self.declared]


def _endpoint(site: Site, declared: Declared) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        visit = await arrive(site, request, strict=declared.private, leaving=declared.leaving)
        posted = declared.method == "POST"
        if posted:
            try:
                visit.form = await _form(request)
            except ClientDisconnect:  # a newer question took the place of this one before it had arrived
                return Response(status_code=400)
        if declared.private and (visit.held if declared.leaving else visit.principal) is None:
            return finish(visit, _sign_in_first(visit))
        if posted:
            try:
                browser.check_form(request, visit.form.get("csrf"), visit.secret, site.origins)
            except Refused:
                again = unsaved.kept(visit) if declared.private else None
                if again is None:
                    raise
                return finish(visit, again)
        elif declared.private and not visit.live:
            await visit.count()
        return finish(visit, await declared.handler(visit))

    return endpoint


def _sign_in_first(visit: Visit) -> Response:
    site = visit.site
    response = unsaved.kept(visit) or visit.sign_in_first()
    if site.cookies.read(visit.request, browser.SESSION):
        site.cookies.take(response, browser.SESSION)
        flash = browser.packed(Flash("session_over").dict())
        site.cookies.give(response, browser.FLASH, flash, browser.FLASH_AGE)
    return response


async def arrive(site: Site, request: Request, *, strict: bool = True, leaving: bool = False) -> Visit:
    """Who visits. Not `strict`: a session that can't be told now counts as none, so that public pages stay up.

    `leaving`: a session that is here is the visit's, whatever its tokens are worth; `principal` may be None beside it.
    """
    visit = Visit(request, site, visitor=site.cookies.read(request, browser.VISITOR))
    visit.flash = Flash.of(browser.unpacked(site.cookies.read(request, browser.FLASH)))
    if not 40 <= len(visit.visitor) <= 64:
        visit.visitor = browser.new_visitor()
    if secret := site.cookies.read(request, browser.SESSION):
        try:
            held = await site.sessions.find(secret, ended=leaving)
            visit.held = held if leaving else None
            visit.principal = await site.identity.of_bearer(held.tokens.access_token, SESSIONS)
            visit.held = held
        except BadToken:
            return visit
        except (JmemError, *DATABASE_FAILURES):
            if strict and visit.held is None:
                raise
    return visit


def finish(visit: Visit, response: Response) -> Response:
    """The headers of every page, and the cookies that come and go with it."""
    for name, value in browser.HEADERS.items():
        response.headers.setdefault(name, value)
    cookies, request = visit.site.cookies, visit.request
    if visit.held is None and cookies.read(request, browser.VISITOR) != visit.visitor:
        cookies.give(response, browser.VISITOR, visit.visitor, browser.VISITOR_AGE)
    if visit.flash is not None and response.status_code not in (303, 204) and not visit.live:
        cookies.take(response, browser.FLASH)
    return response


async def _form(request: Request) -> Form:
    raw = await body_of(request, MAX_FORM)
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Invalid("this address takes a form", fix="send the form of the page")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise Invalid("the form can't be read", fix="reload the page and send it again") from error
    return Form([(name, value.replace("\r\n", "\n")) for name, value in pairs])
