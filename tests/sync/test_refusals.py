"""What a status means: only the account itself ends a sign-in, by its codes; whatever lies on the way may answer anything."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

import hosted
from jmem.core.errors import Invalid, JmemError
from sync.remote import OUR_401, AccountGone, Offline, Remote, SignedOut

PORTAL = "<html>sign in to the café's network</html>"


class Asked:
    """A remote whose every request gets one answer, and how often it asked for another token."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.renewed = 0
        http = httpx.Client(transport=httpx.MockTransport(answer))
        self.remote = Remote("https://memory.example.com", "d1", self._token, http)

    def _token(self, refused: str | None) -> str:
        self.renewed += refused is not None
        return f"token {self.renewed}"

    def fails(self) -> JmemError:
        with pytest.raises(JmemError) as caught:
            self.remote.hello()
        return caught.value


@pytest.mark.parametrize("body", [{"json": {}}, {"json": {"code": "gone"}}, {"json": [1]}, {"text": PORTAL}])
@pytest.mark.parametrize("status", [302, 401, 410, 511])
def test_a_status_alone_ends_nothing(status: int, body: dict[str, object]):
    asked = Asked(lambda request: httpx.Response(status, **body))  # type: ignore[arg-type]
    assert type(asked.fails()) is Offline
    assert asked.renewed == 0, "a refresh token serves once: it is not spent on what a proxy said"


@pytest.mark.parametrize("body", [{"text": PORTAL}, {"json": {"status": "ok"}}, {"json": [1]}, {"json": {"ops": 0}}])
def test_a_page_in_the_place_of_an_answer_is_a_line_that_is_down(body: dict[str, object]):
    asked = Asked(lambda request: httpx.Response(200, **body))  # type: ignore[arg-type]
    assert type(asked.fails()) is Offline
    with pytest.raises(Offline):
        asked.remote.pull(None)


def test_no_token_goes_to_an_address_that_is_neither_safe_nor_here():
    with pytest.raises(Invalid) as refused:
        Remote("http://127.0.0.1.evil.com", "d1", lambda refused: "a token")
    assert refused.value.code == "bad_address"


def test_the_account_ends_a_sign_in_by_its_codes():
    gone = Asked(lambda request: httpx.Response(410, json={"code": "account_deleted", "detail": "it was deleted"}))
    assert type(gone.fails()) is AccountGone
    for code in sorted(OUR_401):
        out = Asked(lambda request, code=code: httpx.Response(401, json={"code": code}))  # type: ignore[misc]
        assert type(out.fails()) is SignedOut
        assert out.renewed == 1, "another token is tried once"


def test_every_code_of_a_bad_token_is_known_here():
    codes = set()
    for path in Path(hosted.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "BadToken":
                codes |= {ast.literal_eval(word.value) for word in node.keywords if word.arg == "code"}
    assert {*codes, "bad_token"} == OUR_401
