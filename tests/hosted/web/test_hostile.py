"""What no page sends: cookies, ids and filters that somebody wrote by hand. None of it is a fault of the server."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest

from hosted.web.browser import packed, unpacked
from tests.hosted.web.conftest import Visitor, shown
from tests.hosted.world import World

Make = Callable[..., Visitor]
DEEP = "[" * 15_000


def test_a_cookie_that_nests_without_end_is_none() -> None:
    assert unpacked(DEEP) == {}
    assert unpacked(quote('{"a":' * 15_000)) == {}
    assert unpacked(packed({"k": "added"})) == {"k": "added"}


@pytest.mark.parametrize("path", ["/", "/sign-in", "/auth/return/link?code=x"])
def test_a_page_takes_any_cookie(world: World, path: str) -> None:
    for value in (DEEP, quote('{"v":"\\u0000\\ud800","n":"\\ud800"}'), quote('{"v":["x"]}'), '"><script>'):
        cookie = "; ".join(f"jmem-{name}={value}" for name in ("flash", "flow-link", "visitor", "session"))
        answer = httpx.get(world.url + path, headers={"cookie": cookie, "accept": "text/html"})
        assert answer.status_code in (200, 400), (path, value[:20])
        assert "<script>" not in answer.text.replace("<script src", "")


@pytest.mark.parametrize("path", ["/connections/{}", "/connections/{}/check", "/memories/{}", "/keys/{}"])
def test_an_id_with_a_nul_is_refused(visitors: Make, path: str) -> None:
    me = visitors(signed_in=True)
    assert me.get(path.format("a%00b")).status_code in (404, 422)
    assert me.get("/activity", params={"client": "a\0b"}).status_code == 422
    assert "NUL" in shown(me.get("/activity", params={"client": "\0"}))


def test_a_filter_with_a_nul_is_refused(world: World) -> None:
    me = world.person()
    for path in ("/memories", "/log", "/access"):
        answer = me.ask("GET", f"/api/v1{path}", params={"client": "a\0b"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), path
    assert me.ask("DELETE", "/api/v1/connections/a%00b").status_code == 422


WRONG = {
    "permissions": "1",
    "read": "on",
    "review": "on",
    "scope": "tags",
    "tags": "work, home",
    "writes_per_hour": "many",
}


def assert_kept(answer: httpx.Response) -> None:
    assert answer.status_code == 422, shown(answer)
    ticked = {field for field in ("read", "write", "delete", "review")
              if re.search(rf'name="{field}" value="1" checked', answer.text)}  # fmt: skip
    assert ticked == {"read", "review"}
    assert re.search(r'name="scope" value="tags" checked', answer.text)
    assert 'value="work, home"' in answer.text
    assert 'value="many"' in answer.text


def test_a_form_with_a_wrong_number_keeps_what_was_ticked(visitors: Make) -> None:
    me = visitors(signed_in=True)
    page = me.post("/connections/new", program="claude-code", **WRONG)
    assert_kept(page)
    assert re.search(r'<details class="why" open>', page.text), "where the wrong number is"
    page = me.post("/keys/new", name="Script", days="90", **WRONG)
    assert_kept(page)
    assert '<option value="90" selected>' in page.text
    me.post("/keys/new", name="Script", permissions="1", read="on", write="on")
    found = re.search(r'href="(/keys/[0-9a-f-]{36})"', me.get("/connections").text)
    assert found
    page = me.post(found[1], name="Other", **WRONG)
    assert_kept(page)
    assert 'value="Other"' in page.text
