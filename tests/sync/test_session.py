"""One session over the double of Supabase: tokens that serve once, answers that are lost, and who may refresh."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from sync.keeper import FileKeeper
from sync.remote import Offline, SignedOut
from sync.session import Project, Session, SignInRefused, Tokens
from tests.hosted.identity.conftest import Running

EMAIL, PASSWORD = "me@example.com", "correct horse"


@pytest.fixture
def supabase() -> Iterator[Running]:
    with Running() as running:
        signed = httpx.post(
            f"{running.url}/auth/v1/signup", json={"email": EMAIL, "password": PASSWORD},
            headers={"apikey": running.settings.publishable_key},
        )  # fmt: skip
        assert signed.is_success, signed.text
        yield running


class Line(httpx.BaseTransport):
    """A line to the project: what is asked, and what goes wrong next."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()
        self.asked: list[str] = []
        self.next: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path.rpartition("/")[2])
        fault = self.next.pop(0) if self.next else ""
        if fault == "lost_request":
            raise httpx.ConnectError("no way there", request=request)
        if fault.isdigit():
            return httpx.Response(int(fault), json={}, request=request)
        if fault == "no_json":
            return httpx.Response(200, text="<html>sign in to the café's network</html>", request=request)
        answer = self._inner.handle_request(request)
        if fault == "lost_reply":
            answer.read()
            answer.close()
            raise httpx.ReadError("cut", request=request)
        return answer

    def close(self) -> None:
        self._inner.close()


class Device:
    """A process that is signed in."""

    def __init__(self, supabase: Running, folder: Path) -> None:
        self.supabase, self.line, self.keeper, self.now = supabase, Line(), FileKeeper(folder / "session"), 0.0
        self.project = Project(supabase.url, supabase.settings.publishable_key, httpx.Client(transport=self.line))
        self.session = Session(self.project, self.keeper, lambda: self.now)

    def sign_in(self) -> Tokens:
        tokens = self.project.by_password(EMAIL, PASSWORD)
        self.session.begin(tokens)
        self.line.asked.clear()
        return tokens

    def close(self) -> None:
        self.project._http.close()

    def restart(self) -> None:
        self.session = Session(self.project, self.keeper, lambda: self.now)

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.supabase.ahead += seconds


@pytest.fixture
def device(supabase: Running, tmp_path: Path) -> Iterator[Device]:
    made = Device(supabase, tmp_path)
    yield made
    made.close()


def test_a_token_serves_until_a_minute_before_its_end(device: Device):
    first = device.sign_in()
    assert device.session.token() == first.access
    device.later(3500)
    assert device.session.token() == first.access
    assert device.line.asked == []
    device.later(50)
    assert device.session.token() != first.access
    assert device.line.asked == ["token"]


def test_each_refresh_gives_another_token_which_is_kept_first(device: Device):
    kept = {device.sign_in().refresh}
    for _ in range(5):
        device.later(3600)
        access = device.session.token()
        assert access == device.session.token()
        kept.add(device.keeper.load() or "")
    assert len(kept) == 6


def test_a_new_process_goes_on_with_what_was_kept(device: Device):
    device.sign_in()
    device.restart()
    assert device.session.token()
    assert device.line.asked == ["token"]


def test_only_a_token_that_was_refused_is_renewed_early(device: Device):
    first = device.sign_in()
    device.later(20)
    second = device.session.token(first.access)
    assert second != first.access
    assert device.session.token(first.access) == second, "somebody else has renewed it"
    assert device.line.asked == ["token"]


def test_an_answer_that_was_lost_ends_nothing(device: Device):
    device.sign_in()
    device.later(3600)
    device.line.next = ["lost_reply"]
    with pytest.raises(Offline):
        device.session.token()
    device.later(3600)
    assert device.session.token()


def test_a_process_that_ends_between_the_answer_and_its_keeping_ends_nothing(
    device: Device, monkeypatch: pytest.MonkeyPatch
):
    device.sign_in()
    device.later(3600)

    class Killed(BaseException):
        pass

    def killed(token: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(device.keeper, "save", killed)
        with pytest.raises(Killed):
            device.session.token()
    device.later(60)
    device.restart()
    token = device.session.token()
    assert token
    device.later(3600)
    assert device.session.token() != token


def test_what_can_not_be_kept_is_not_used(device: Device, monkeypatch: pytest.MonkeyPatch):
    first = device.sign_in()
    device.later(3600)
    saved = device.keeper.save
    used: list[str] = []

    def save(token: str) -> None:
        used.append(device.session._access)
        saved(token)

    monkeypatch.setattr(device.keeper, "save", save)
    assert device.session.token() not in used
    assert used == [first.access]


def test_a_copy_of_an_old_token_ends_the_session_for_both(device: Device, supabase: Running, tmp_path: Path):
    device.sign_in()
    (tmp_path / "copy").mkdir()
    copy = Device(supabase, tmp_path / "copy")
    copy.keeper.save(device.keeper.load() or "")
    for _ in range(2):
        device.later(3600)
        device.session.token()
    supabase.ahead += 60
    with pytest.raises(SignedOut):
        copy.session.token()
    copy.close()
    device.later(3600)
    with pytest.raises(SignedOut) as ended:
        device.session.token()
    assert ended.value.fix == "jmem login"
    device.line.asked.clear()
    with pytest.raises(SignedOut):
        device.session.token()
    assert device.line.asked == [], "what has ended is not asked for again"


@pytest.mark.parametrize("fault", ["lost_request", "400", "403", "500", "503", "429", "no_json"])
def test_a_line_that_is_down_signs_nobody_out(device: Device, fault: str):
    device.sign_in()
    device.later(3600)
    device.line.next = [fault]
    with pytest.raises(Offline):
        device.session.token()
    assert device.session.ended is None
    assert device.session.token()


def test_twenty_threads_ask_once(device: Device):
    device.sign_in()
    device.later(3600)
    together = threading.Barrier(20)

    def ask(_: int) -> str:
        together.wait(10)
        return device.session.token()

    with ThreadPoolExecutor(20) as pool:
        found = set(pool.map(ask, range(20)))
    assert len(found) == 1
    assert device.line.asked == ["token"]


def test_twenty_threads_whose_token_was_refused_ask_once(device: Device):
    refused = device.sign_in().access
    device.later(1)
    with ThreadPoolExecutor(20) as pool:
        found = set(pool.map(lambda _: device.session.token(refused), range(20)))
    assert len(found) == 1
    assert refused not in found
    assert device.line.asked == ["token"]


def test_signed_out_is_signed_out_though_nobody_answers(device: Device):
    device.sign_in()
    device.line.next = ["lost_request"]
    device.session.end()
    with pytest.raises(SignedOut):
        device.session.token()
    assert device.line.asked == ["logout"]


def test_a_wrong_password_is_refused(device: Device):
    with pytest.raises(SignInRefused) as refused:
        device.project.by_password(EMAIL, "wrong")
    assert refused.value.detail["reason"] == "invalid_credentials"


def test_nobody_is_signed_in_where_nothing_is_kept(device: Device):
    with pytest.raises(SignedOut):
        device.session.token()
    assert device.line.asked == []


def refreshed(device: Device, token: str) -> bool:
    """Whether somebody who holds the refresh token still gets in."""
    try:
        device.project.by_refresh_token(token)
    except SignInRefused:
        return False
    return True


def test_a_session_whose_access_token_has_ended_is_ended_at_supabase_too(device: Device):
    kept = device.sign_in().refresh
    device.later(7200)
    device.session.end()
    assert not refreshed(device, kept)
    assert not refreshed(device, device.keeper.load() or "")


def test_a_token_that_was_refused_though_it_looked_good_ends_the_session_all_the_same(device: Device):
    kept = device.sign_in().refresh
    device.line.next = ["403"]
    device.session.end()
    assert not refreshed(device, kept)


def test_a_refresh_that_comes_back_after_the_sign_out_keeps_nothing(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    device.sign_in()
    device.later(3600)
    under_way, go_on = threading.Event(), threading.Event()
    refresh = device.project.by_refresh_token

    def slow(token: str) -> Tokens:
        under_way.set()
        go_on.wait(10)
        return refresh(token)

    with ThreadPoolExecutor(2) as pool, monkeypatch.context() as patch:
        patch.setattr(device.project, "by_refresh_token", slow)
        asked = pool.submit(device.session.token)
        assert under_way.wait(10)
        ended = pool.submit(device.session.end)
        try:
            ended.result(0.3)
        except TimeoutError:
            pass  # it waits for the network, while what is kept here is forgotten
        device.keeper.forget()
        go_on.set()
        with pytest.raises(SignedOut):
            asked.result(10)
        ended.result(10)
    assert device.keeper.load() is None
