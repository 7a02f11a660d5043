"""The served backend with its page, Debian's Chromium, and people in browsers of their own.

Whatever a page logs as an error, and whatever the content security policy blocks, fails the test that saw it.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import axe_playwright_python
import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from tests.hosted.identity.conftest import Running
from tests.hosted.world import World, served

T = TypeVar("T")
PASSWORD = "correct horse battery"
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_EXPECTED = re.compile(
    r"Failed to load resource: the server responded with a status of 4\d\d|htmx:(afterRequest|sendAbort), "
)
"""Refusals that a test brings about, and what htmx says of a question whose place a newer one took."""
_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]+)"')


@pytest.fixture(scope="module")
def supabase() -> Iterator[Running]:
    """A double of the project."""
    with Running() as running:
        yield running


@pytest.fixture(scope="module")
def world(database_url: str, owner_url: str, supabase: Running) -> Iterator[World]:
    """The whole backend."""
    with served(database_url, owner_url, supabase, support_contact="help@example.com") as found:
        supabase.settings.site_url = found.url
        supabase.settings.consent_path = "/oauth/consent"
        yield found


@pytest.fixture(scope="module")
def browser(world: World) -> Iterator[Browser]:
    """Debian's Chromium: Playwright's own can't be had everywhere."""
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert program, "Chromium is needed: apt install chromium"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield found
        found.close()


@dataclass
class Person:
    """Somebody at a browser."""

    context: BrowserContext
    page: Page
    url: str
    email: str
    problems: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> Page:
        """Note what goes wrong on a page."""
        page.set_default_timeout(10_000)
        page.on("console", lambda said: self._said(said.type, said.text))
        page.on("pageerror", lambda error: self.problems.append(f"{page.url}: {error}"))
        return page

    def _said(self, kind: str, text: str) -> None:
        if kind == "error" and not _EXPECTED.match(text):
            self.problems.append(text)

    def go(self, path: str) -> Page:
        """To a page of the site."""
        self.page.goto(self.url + path)
        return self.page

    def sign_up(self) -> None:
        """A new account, without the page for it; the browser has its session."""
        assert self._send("/sign-up", email=self.email, password=PASSWORD) == "/welcome"

    def sign_in(self) -> None:
        """In again, without the page for it."""
        assert self._send("/sign-in", email=self.email, password=PASSWORD) == "/memories"

    def remember(self, text: str, tags: str = "") -> None:
        """Add a memory, without the page for it."""
        assert self._send("/memories/new", content=text, tags=tags) == "/memories"

    def _send(self, path: str, **fields: str) -> str:
        """Send the form of a page with the browser's cookies; the path where that leads."""
        form = self.context.request.get(self.url + path).text()
        token = _TOKEN.search(form)
        assert token, form
        answer = self.context.request.post(self.url + path, form={"csrf": token[1], **fields})
        assert answer.ok, answer.text()
        return urlsplit(answer.url).path

    def texts(self) -> list[str]:
        """The memories that the page shows."""
        return [text.strip() for text in self.page.locator(".card .text").all_inner_texts()]


@pytest.fixture
def somebody(world: World, browser: Browser) -> Iterator[Callable[..., Person]]:
    """Makes people, each with a browser that shares nothing; fails for what their pages complained of."""
    made: list[Person] = []

    def make(*, signed_in: bool = True, **options: Any) -> Person:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        person = Person(context, context.new_page(), world.url, f"{uuid.uuid4().hex[:12]}@example.com")
        person.watch(person.page)
        made.append(person)
        if signed_in:
            person.sign_up()
        return person

    yield make
    for person in made:
        person.context.close()
    assert [problem for person in made for problem in person.problems] == []


def written_by(world: World, me: Person, client: str, *texts: str | Draft) -> None:
    """Memories that a program has written, without the program."""
    found = world.supabase.double._context.users.by_email(me.email)
    assert found is not None
    of = world.app.state.backend.of(uuid.UUID(str(found["id"])))
    world.run(of.add_many([text if isinstance(text, Draft) else Draft(text) for text in texts], Actor(client)))


def accessible(page: Page) -> list[str]:
    """What axe has against the page."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{page.url}: {v['id']}: {[n['html'][:200] for n in v['nodes']][:3]}" for v in found["violations"]]


def aside(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Asynchronous work beside a browser, whose driver keeps this thread's event loop."""
    done: list[Any] = []

    def run() -> None:
        try:
            done.append(asyncio.run(work()))
        except BaseException as error:
            done.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    if isinstance(done[0], BaseException):
        raise done[0]
    found: T = done[0]
    return found


class Visitor:
    """Somebody without a browser: forms are sent as a browser without a script sends them."""

    def __init__(self, world: World) -> None:
        self.http = httpx.Client(base_url=world.url, headers={"accept": "text/html"}, timeout=20)
        self.email = f"{uuid.uuid4().hex[:12]}@example.com"
        self.form_token = ""

    def get(self, path: str, **named: Any) -> httpx.Response:
        found = self.http.get(path, **named)
        if token := _TOKEN.search(found.text):
            self.form_token = token[1]
        return found

    def post(self, path: str, **fields: Any) -> httpx.Response:
        """Send a form with the token of the page that was read last."""
        return self.http.post(path, data={"csrf": self.form_token, **fields})

    def sign_up(self) -> None:
        self.get("/sign-up")
        answer = self.post("/sign-up", email=self.email, password=PASSWORD)
        assert (answer.status_code, answer.headers["location"]) == (303, "/welcome"), answer.text
        self.get("/memories")

    def close(self) -> None:
        self.http.close()


@pytest.fixture
def visitors(world: World) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors."""
    made: list[Visitor] = []

    def make(*, signed_in: bool = False) -> Visitor:
        made.append(Visitor(world))
        if signed_in:
            made[-1].sign_up()
        return made[-1]

    yield make
    for visitor in made:
        visitor.close()


def shown(answer: httpx.Response) -> str:
    """The text of a page, without its marks."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def made(answer: httpx.Response, pattern: str) -> str:
    """What a page shows there: the group of the pattern, or all of it."""
    found = re.search(pattern, answer.text)
    assert found, answer.text
    return str(found[found.re.groups])
