"""Every page, visited by a stranger with everything of another account: ids in paths, in forms and in query strings."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any

import httpx
import pytest

from hosted.web.groups import groups
from hosted.web.routing import Declared
from jmem.core.model import new_id
from tests.hosted.conftest import APP, Databases
from tests.hosted.identity.conftest import Running
from tests.hosted.isolation.attack import Leak, Owner, Watch, forms, owner, secrets_of, stranger
from tests.hosted.world import Person, World, served

PASSWORD = "correct horse"
FORMS: Mapping[str, dict[str, str]] = {
    "/memories/marked": {"id": "memory", "do": "=pause"}, "/undo": {"action": "action"}, "/review": {"decision": "=approve", "id": "waiting"},
    "/memories/find": {"q": "words"}, "/memories/new": {"content": "=something new by a form"},
    "/memories/{id}/edit": {"content": "=changed by a form", "version": "stamp"}, "/memories/{id}/act": {"do": "=pause"},
    "/memories/{id}/restore": {"rev": "=1"}, "/connections/new": {"program": "=claude"},
    "/connections/{id}": {"name": "=changed", "read": "=1"}, "/connections/{id}/rotate": {}, "/connections/{id}/revoke": {},
    "/keys/new": {"name": "=made", "read": "=1"}, "/keys/{id}": {"name": "=changed", "read": "=1"}, "/keys/{id}/rotate": {},
    "/keys/{id}/revoke": {}, "/settings/name": {"name": "=Somebody"}, "/export": {}, "/memories/counts": {"q": "words"},
    "/devices/revoke": {"device": "machine"}, "/conflicts/{id}": {"how": "=both"},
}  # fmt: skip
"""Fields of the forms: the name of a place, or `=` and a value."""
ELSEWHERE = frozenset((
    "/sign-out", "/settings/password", "/settings/email", "/settings/delete", "/oauth/consent", "/devices/new",
))  # fmt: skip
"""Forms that name nothing but the one who sends them, and end or change a session: tests/hosted/web."""
PAGES = [page for group in groups() for page in group.declared if page.private]
QUERY = {"q": "words", "tag": "tag", "client": "client", "id": "memory", "cursor": "cursor", "memory": "memory"}
_CHANGING = re.compile(r'[0-9a-f]{16,}|value="[^"]*"|nonce-[\w-]+|\d{4}-\d\d-\d\d|\d\d:\d\d')


@pytest.fixture(scope="module")
def world(databases: Databases, database_name: str, supabase: Running) -> Iterator[World]:
    url, behind = databases.cluster.url(database_name, APP), databases.cluster.url(database_name)
    with served(url, behind, supabase, vectors=False) as made:
        yield made


@pytest.fixture(scope="module")
def watch(world: World) -> Iterator[Watch]:
    with contextlib.closing(Watch(world.owner_url)) as made:
        yield made


class Visitor:
    """Somebody in a browser."""

    def __init__(self, world: World, person: Person) -> None:
        self.http = httpx.Client(base_url=world.url, headers={"accept": "text/html"}, timeout=20)
        self.person, self.token = person, ""
        self.get("/sign-in")
        entered = self.send("POST", "/sign-in", {"email": person.email, "password": PASSWORD})
        assert entered.status_code == 303, entered.text
        self.get("/memories")

    def get(self, path: str, **query: Any) -> httpx.Response:
        answer = self.http.get(path, params=query)
        if found := re.search(r'name="csrf" value="([0-9a-f]+)"', answer.text):
            self.token = found[1]
        return answer

    def send(self, method: str, path: str, fields: Mapping[str, str]) -> httpx.Response:
        if method == "GET":
            return self.get(path, **fields)
        return self.http.post(path, data={"csrf": self.token, **fields})


@pytest.fixture(scope="module")
def theirs(world: World) -> Owner:
    return owner(world)


@pytest.fixture(scope="module")
def two(world: World, theirs: Owner) -> Iterator[tuple[Visitor, Visitor]]:
    """The owner, and a stranger."""
    mine, other = Visitor(world, theirs.person), Visitor(world, stranger(world))
    yield mine, other
    mine.http.close()
    other.http.close()


def place_of(page: Declared) -> str:
    return {"keys": "key", "connections": "connection", "conflicts": "conflict"}.get(page.path.split("/")[1], "memory")


def fields_of(page: Declared) -> dict[str, str]:
    if page.method == "GET":
        return {}
    assert page.path in FORMS, (
        f"POST {page.path}: what does its form have? Say so in FORMS (or ELSEWHERE) of {__file__}"
    )
    return FORMS[page.path]


@pytest.mark.parametrize("page", [p for p in PAGES if p.path not in ELSEWHERE], ids=lambda p: f"{p.method} {p.path}")
def test_no_page_shows_or_changes_another_account(
    world: World, watch: Watch, theirs: Owner, two: tuple[Visitor, Visitor], page: Declared
) -> None:
    mine, other = two
    fields = fields_of(page)
    inside = "{id}" in page.path
    wanted = {name for name in fields.values() if not name.startswith("=")} | ({place_of(page)} if inside else set())
    values = theirs.fresh(world, wanted | {"stamp"}, "") | {"cursor": "nonsense"}
    secrets = secrets_of(theirs, (before := _rows(world, watch, theirs)))

    def ask(who: Visitor, id: str, given: Mapping[str, str]) -> httpx.Response:
        filled = {k: v[1:] if v.startswith("=") else str(given.get(v, values[v])) for k, v in fields.items()}
        path = page.path.replace("{id}", id)
        answer = who.send(page.method, path, filled)
        if who is other:
            said = path + str(filled) + str(given)
            told = unescape(f"{answer.headers} {answer.text}").lower()
            shown = [secret for secret in secrets if secret.lower() in told and secret not in said]
            if shown:
                raise Leak(f"{page.method} {path} shows {shown[:3]}")
        return answer

    if inside:
        for value, twin in forms(place_of(page), values[place_of(page)]):
            found, nothing = ask(other, str(value), {}), ask(other, str(twin), {})
            assert found.status_code == nothing.status_code, (found.status_code, nothing.status_code)
            assert found.status_code in (404, 422)
            assert _plain(found, value) == _plain(nothing, twin)
    elif page.method == "GET":
        assert ask(other, "", {}).status_code in (200, 303)
        for name, place in QUERY.items():
            answer = other.get(page.path, **{name: values.get(place) or new_id()})
            told = unescape(answer.text).lower()
            assert theirs.canary.lower() not in told, f"GET {page.path}?{name}="
            assert answer.status_code < 500
    else:
        answer = ask(other, "", {})
        assert answer.status_code < 500, answer.text
    assert _rows(world, watch, theirs) == before, f"{page.method} {page.path} changed another account"
    control = ask(mine, str(values[place_of(page)]) if inside else "", {})
    assert control.status_code in (200, 204, 303), (control.status_code, control.text[-2000:])


def _rows(world: World, watch: Watch, theirs: Owner) -> list[str]:
    world.settle()
    return [row for row in watch.of(theirs.person.user) if not row.startswith("web_sessions ")]


def _plain(answer: httpx.Response, given: object) -> str:
    return _CHANGING.sub("…", unescape(answer.text).replace(str(given), "…"))


def test_another_browsers_cookie_and_form_token_open_nothing(world: World, two: tuple[Visitor, Visitor]) -> None:
    mine, other = two
    with httpx.Client(base_url=world.url, headers={"accept": "text/html"}) as nobody:
        for name in mine.http.cookies:
            nobody.cookies.set(name, "A" * len(mine.http.cookies[name]))
        assert nobody.get("/memories").status_code == 303
    answer = other.http.post("/memories/new", data={"csrf": mine.token, "content": "by another's form"})
    assert answer.status_code == 403
