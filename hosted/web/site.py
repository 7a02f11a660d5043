"""What all pages stand on, and one visit of one browser."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

import jmem
from hosted.identity.principal import Identity, Principal, Via
from hosted.identity.services import Services
from hosted.memories.inbox import NOTHING, Waiting
from hosted.memories.service import Backend, Memories
from hosted.settings import Settings
from hosted.web import browser, words
from hosted.web.browser import Cookies
from hosted.web.flashes import Flash
from hosted.web.sessions import Held, WebSessions, csrf_token
from jmem.core.actor import Actor

HERE = Path(__file__).parent
SESSIONS: Collection[Via] = frozenset(("session",))
"""How a page is told who asks: by nothing but a person's own session."""


class Site:
    """The parts of the application that pages reach, and the templates."""

    def __init__(self, backend: Backend, identity: Identity, services: Services, settings: Settings | None) -> None:
        self.backend, self.identity, self.services = backend, identity, services
        self.supabase = services.supabase
        self.sessions = WebSessions(backend.database, self.supabase.refresh)
        self.cookies = Cookies(secure=services.public_url.startswith("https:"))
        self.public_url = services.public_url
        parts = urlsplit(self.public_url)
        self.host = parts.netloc
        self.origins = frozenset((f"{parts.scheme}://{parts.netloc}",))
        self.support = getattr(settings, "support_contact", "")
        self.static = _static()
        self.templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
            trim_blocks=True, lstrip_blocks=True, auto_reload=False,
        )  # fmt: skip
        self.templates.filters.update(words.FILTERS)
        self.templates.globals.update(
            static=self._address, version=jmem.__version__, support=self.support, host=self.host
        )

    def _address(self, name: str) -> str:
        return f"/static/{name}?v={self.static[name].digest}"

    def html(self, template: str, context: Mapping[str, Any]) -> str:
        """A template with its values; every value is escaped."""
        return self.templates.get_template(template).render(context)


@dataclass(frozen=True, slots=True)
class File:
    """A file that is served as it is."""

    content: bytes
    media: str
    digest: str


def _static() -> dict[str, File]:
    found: dict[str, File] = {}
    for path in sorted((HERE / "static").iterdir()):
        content = path.read_bytes()
        media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        charset = "; charset=utf-8" if media.startswith("text/") else ""
        found[path.name] = File(content, media + charset, hashlib.sha256(content).hexdigest()[:12])
    return found


@dataclass(slots=True)
class Visit:
    """One request for a page. `principal` None: nobody is signed in."""

    request: Request
    site: Site
    held: Held | None = None
    principal: Principal | None = None
    visitor: str = ""
    flash: Flash | None = None
    waiting: Waiting = NOTHING
    """what waits for the person's word, once it was counted"""
    form: Form = field(default_factory=lambda: Form(()))

    @property
    def me(self) -> Principal:
        """Who is signed in, on pages that only they reach."""
        assert self.principal is not None
        return self.principal

    @property
    def session(self) -> Held:
        """Their session, on the same pages."""
        assert self.held is not None
        return self.held

    @property
    def memories(self) -> Memories:
        """The memories of the account that is signed in."""
        return self.site.backend.of(self.me.user_id)

    @property
    def actor(self) -> Actor:
        """What the person may do: everything."""
        return self.me.actor

    @property
    def live(self) -> bool:
        """Whether htmx asks, for a part of a page."""
        return "hx-request" in self.request.headers and "hx-history-restore-request" not in self.request.headers

    @property
    def secret(self) -> str:
        """What this browser's forms are bound to."""
        return self.held.secret if self.held else self.visitor

    @property
    def zone(self) -> tzinfo:
        """Where the person's clock is."""
        return browser.zone_of(self.request)

    @property
    def query(self) -> Mapping[str, str]:
        """The query string."""
        return self.request.query_params

    async def count(self) -> None:
        """Count what waits for the person's word."""
        self.waiting = await self.memories.waiting(self.actor)

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page or a part of one."""
        context = {
            "me": self.principal, "csrf": csrf_token(self.secret), "path": self.request.url.path, "here": self.here,
            "flash": self.flash, "live": self.live, "waiting": self.waiting, "zone": self.zone, **values,
        }  # fmt: skip
        return HTMLResponse(self.site.html(template, context), status)

    def go(self, path: str, flash: Flash | None = None) -> Response:
        """On to another page of ours, with something to say there."""
        if self.live:
            response = Response(status_code=204, headers={"hx-redirect": path})
        else:
            response = RedirectResponse(path, 303)
        if flash is not None:
            self.site.cookies.give(response, browser.FLASH, browser.packed(flash.dict()), browser.FLASH_AGE)
        return response

    @property
    def here(self) -> str:
        """The address of this page, as far as one can come back to it: what a form was sent with is not in it."""
        path, query = self.request.url.path, self.request.url.query
        return f"{path}?{query}" if query and self.request.method == "GET" else path

    def sign_in_first(self) -> Response:
        """Off to sign in, and back here."""
        if self.request.method == "GET" and not self.live:
            back = self.here
        else:
            back = browser.path_of(self.request.headers.get("hx-current-url", "")) or "/memories"
        return self.go(f"/sign-in?next={quote(browser.safe_next(back), safe='')}")


class Form:
    """The fields of a form; a field may stand several times."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = pairs

    def get(self, name: str, otherwise: str = "") -> str:
        """The first value of a field."""
        return next((value for key, value in self.pairs if key == name), otherwise)

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for key, value in self.pairs if key == name]

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        return any(key == name for key, _ in self.pairs)
