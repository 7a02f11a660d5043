"""Texts that were written apart, on the page: two real machines write them, the page settles them on both."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from hosted.web import words
from tests.hosted.web.conftest import PASSWORD, Person, Visitor, accessible, shown
from tests.hosted.world import World
from tests.sync.conftest import ME, Device, Devices

Somebody = Callable[..., Person]
Make = Callable[..., "Pair"]


@dataclass
class Pair:
    """Two machines of one account."""

    devices: Devices
    here: Device
    there: Device

    def apart(self, *texts: str, tags: tuple[str, ...] = ()) -> str:
        """A memory that both machines have, and of which each writes another text; the second machine's is the later one."""
        first, left, right = texts
        id = self.here.add(first, tags=tags)
        self.devices.settle()
        self.here.user.service.edit(id, {"content": left}, ME)
        time.sleep(0.003)
        self.there.user.service.edit(id, {"content": right}, ME)
        self.devices.settle()
        return id

    def texts(self) -> dict[str, str]:
        """What both have, once they have heard of everything; without a conflict."""
        self.devices.settle()
        assert self.here.texts() == self.there.texts()
        for device in (self.here, self.there):
            assert device.user.service.conflicts(ME)[0] == []
        return self.here.texts()


@pytest.fixture
def machines(world: World, tmp_path: Path) -> Iterator[Make]:
    """Makes two machines of whoever has an address and the usual password."""
    made: list[Devices] = []

    def make(email: str) -> Pair:
        answer = httpx.post(
            f"{world.supabase.url}/auth/v1/token?grant_type=password", json={"email": email, "password": PASSWORD},
            headers={"apikey": world.supabase.settings.publishable_key},
        )  # fmt: skip
        devices = Devices(world.url, tmp_path / str(len(made)))
        devices.account = answer.raise_for_status().json()["access_token"]
        made.append(devices)
        pair = Pair(devices, devices.make(), devices.make())
        for device, name in ((pair.here, "laptop"), (pair.there, "desk in the office")):
            device.remote._http.headers["x-jmem-device-name"] = httpx.QueryParams({"": name})[""].replace(" ", "%20")
        return pair

    yield make
    for devices in made:
        devices.close()


def test_what_is_kept_on_the_page_is_kept_on_both_machines(world: World, somebody: Somebody, machines: Make) -> None:
    me = somebody()
    pair = machines(me.email)
    tea = pair.apart("tea", "green tea in the morning", "black tea in the morning", tags=("drinks",))
    dogs = pair.apart("a dog", "a small dog", "a black dog")
    world.settle()  # the machines' names
    page = me.go("/memories")
    assert me.texts() == ["a black dog", "black tea in the morning"]
    page.get_by_role("link", name="Conflicts 2 waiting").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Conflicts")
    assert accessible(page) == []
    first = page.locator("article").first
    expect(first.get_by_role("heading", level=2)).to_have_text("2 texts of: black tea in the morning")
    expect(first.locator(".side-text.is-found")).to_contain_text("This one is found")
    expect(first.locator(".side-text.is-found")).to_contain_text("cli, on desk in the office")
    expect(first.locator(".side-text").last).to_contain_text("cli, on laptop")
    assert [text.split(": ")[-1] for text in first.locator("mark").all_text_contents()] == ["black", "green"]
    first.get_by_role("button", name="Keep this").last.click()
    expect(page.locator(".toast")).to_contain_text("Settled")
    expect(page.locator("article")).to_have_count(1)
    expect(page.get_by_role("link", name="Conflicts 1 waiting")).to_be_visible()
    expect(page.get_by_role("button", name="Keep this").first).to_be_focused()
    page.get_by_role("button", name="Keep both, as two memories").click()
    expect(page.get_by_role("heading", name="Nothing was written apart")).to_be_visible()
    expect(page.locator(".toast")).to_contain_text("2 memories now")
    expect(page.get_by_role("link", name="Conflicts", exact=True)).to_be_visible()
    texts = pair.texts()
    assert texts[tea] == "green tea in the morning"
    assert sorted(texts.values()) == ["a black dog", "a small dog", "green tea in the morning"]
    page.locator(".toast").get_by_role("button", name="Undo").click()
    page.locator(".toast").get_by_text("Taken back").wait_for()
    assert pair.texts() == {tea: "green tea in the morning", dogs: "a black dog"}
    page.goto(f"{me.url}/activity?view=changes")
    expect(page.locator("#activity")).to_contain_text("You settled")


def test_a_memory_with_a_conflict_is_marked_wherever_it_is_listed(somebody: Somebody, machines: Make) -> None:
    me = somebody(viewport={"width": 390, "height": 844})
    me.remember("Nothing about tea")
    id = machines(me.email).apart("tea", "green tea in the morning", "black tea in the morning")
    for place in ("/memories", "/timeline"):
        page = me.go(place)
        expect(page.locator(".card").filter(has_text="black tea").get_by_role("link", name="Conflict")).to_be_visible()
        expect(page.locator(".card").filter(has_text="Nothing").get_by_role("link", name="Conflict")).to_have_count(0)
        assert accessible(page) == []
    page = me.go("/memories")
    page.get_by_label("Search your memories").fill("tea")
    expect(page.locator(".card mark").first).to_have_text("tea")
    card = page.locator(".card").filter(has_text="black tea")
    card.get_by_role("button", name="Archive").click()
    expect(page.locator(".toast")).to_contain_text("Archived")
    me.go("/memories?view=archived")
    card.get_by_role("button", name="Make active").click()
    expect(page.locator(".toast")).to_contain_text("Active again")
    me.go("/memories")
    card.get_by_role("link", name="Conflict").click()
    page.wait_for_url(f"**/conflicts/{id}")
    page.get_by_role("button", name="Keep this").first.click()
    page.wait_for_url("**/conflicts")
    me.go("/memories")
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(".card").get_by_role("link", name="Conflict")).to_have_count(0)


def test_one_text_is_written_from_both_and_asked_about_where_it_holds_a_secret(
    somebody: Somebody, machines: Make
) -> None:
    me = somebody(viewport={"width": 390, "height": 844}, color_scheme="dark")
    pair = machines(me.email)
    id = pair.apart("door code", "the door is blue", "the door is green")
    page = me.go(f"/memories/{id}")
    page.get_by_role("link", name="Say which one holds").click()
    assert page.url.endswith(f"/conflicts/{id}")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_text("Write one text from both").click()
    assert accessible(page) == []
    field = page.get_by_label("The text that holds")
    assert field.input_value() == "the door is green\n\nthe door is blue"
    field.fill("the door: my password: hunter2xyz9!Q")
    page.get_by_role("button", name="Save it in the place of both").click()
    expect(page.get_by_role("alert")).to_contain_text("looks as if it holds a password")
    assert accessible(page) == []
    assert field.input_value() == "the door: my password: hunter2xyz9!Q"
    field.fill("the door is blue and green")
    page.get_by_role("button", name="Save it in the place of both").click()
    expect(page.locator(".toast")).to_contain_text("Settled")
    assert pair.texts() == {id: "the door is blue and green"}
    page.goto(f"{me.url}/conflicts/{id}")
    assert page.url.endswith(f"/memories/{id}")
    expect(page.get_by_role("link", name="Say which one holds")).to_have_count(0)


def test_without_a_script_and_with_the_keyboard_alone(somebody: Somebody, machines: Make) -> None:
    me = somebody(java_script_enabled=False)
    pair = machines(me.email)
    id = pair.apart("tea", "green tea", "black tea")
    page = me.go("/conflicts")
    page.locator("main").focus()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.get_by_role("button", name="Keep this").last.evaluate("one => one === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Settled")
    expect(page.get_by_role("heading", name="Nothing was written apart")).to_be_visible()
    assert pair.texts() == {id: "green tea"}
    page.locator(".toast").get_by_role("button", name="Undo").click()
    assert pair.texts() == {id: "black tea"}


def test_what_was_settled_or_changed_meanwhile_is_looked_at_first(somebody: Somebody, machines: Make) -> None:
    me = somebody()
    pair = machines(me.email)
    id = pair.apart("tea", "green tea", "black tea")
    page = me.go("/conflicts")
    pair.here.user.service.settle(id, ME, "keep", version="2")
    pair.devices.settle()
    page.get_by_role("button", name="Keep this").first.click()
    expect(page.locator(".toast")).to_contain_text("changed meanwhile")
    expect(page.get_by_role("heading", name="Nothing was written apart")).to_be_visible()
    assert pair.texts() == {id: "green tea"}

    for settled in (False, True):
        pair.here.user.service.edit(id, {"content": f"white tea {settled}"}, ME)
        pair.there.user.service.edit(id, {"content": f"red tea {settled}"}, ME)
        pair.devices.settle()
        page = me.go(f"/conflicts/{id}")
        page.get_by_text("Write one text from both").click()
        page.get_by_label("The text that holds").fill("red and white tea")
        pair.here.user.service.settle(id, ME, "keep", version="1")
        if not settled:
            pair.there.user.service.edit(id, {"content": "no tea"}, ME)
        pair.devices.settle()
        page.get_by_role("button", name="Save it in the place of both").click()
        expect(page.get_by_role("alert")).to_contain_text("meanwhile")
        assert accessible(page) == []
        if settled:  # the form of the memory, with what was typed
            assert page.get_by_label("Memory", exact=True).input_value() == "red and white tea"
            page.get_by_role("button", name="Save").click()
        else:
            assert page.get_by_label("The text that holds").input_value() == "red and white tea"
            expect(page.locator(".texts")).to_contain_text("no tea")
            page.get_by_role("button", name="Save it in the place of both").click()
        page.locator(".toast").get_by_text(re.compile("Settled|Saved")).wait_for()
        assert pair.texts() == {id: "red and white tea"}


def test_three_texts_and_equal_ones_and_a_page_of_many(visitors: Callable[..., Visitor], machines: Make) -> None:
    me = visitors(signed_in=True)
    pair = machines(me.email)
    third = pair.devices.make()
    id = pair.here.add("tea")
    pair.devices.settle()
    for device, content in ((pair.here, "green <b>tea</b>"), (pair.there, "black tea"), (third, "green <b>tea</b>")):
        device.user.service.edit(id, {"content": content}, ME)
    pair.devices.settle()
    page = me.get("/conflicts")
    assert page.text.count("Keep this") == 2
    assert page.text.count("<b>") == 0
    assert len(re.findall(r"cli, on", page.text)) == 3
    third.user.service.edit(id, {"content": "white tea"}, ME)
    pair.devices.settle()
    assert "texts of:" not in shown(me.get("/conflicts"))
    for n in range(21):
        pair.here.add(f"memory {n}")
    pair.devices.settle()
    for n, one in enumerate(pair.here.texts()):
        for device in (pair.here, pair.there, third):
            device.user.service.edit(one, {"content": f"{device.remote.device} {n}"}, ME)
    pair.devices.settle()
    page = me.get("/conflicts")
    assert "Keep all 3, as memories of their own" in page.text
    assert page.text.count("texts of:") == 20
    following = re.search(r'href="(/conflicts\?cursor=[^"]+)"', page.text)
    assert following
    assert me.get(following[1]).text.count("texts of:") == 2
    assert me.get("/conflicts?cursor=nonsense").text.count("texts of:") == 20
    assert "22 memories have texts that were written apart" in shown(me.get("/devices"))


def test_a_form_that_makes_no_sense_does_nothing(visitors: Callable[..., Visitor], machines: Make) -> None:
    me, other = visitors(signed_in=True), visitors(signed_in=True)
    pair = machines(me.email)
    id = pair.apart("tea", "green tea", "black tea")
    stamps = re.findall(r'name="stamp" value="([^"]+)"', me.get("/conflicts").text)[:2]
    assert me.post(f"/conflicts/{id}", how="none").status_code == 404
    assert me.post("/conflicts/0199f3a1", how="both").status_code == 404
    assert me.post(f"/conflicts/{id}", how="keep", version="1").headers["location"] == "/conflicts"  # saw no texts
    assert me.post(f"/conflicts/{id}", how="text", content=" ", stamp=stamps).status_code == 422
    assert me.post(f"/conflicts/{id}", how="keep", version="3", stamp=stamps).status_code == 404
    other.get("/conflicts")
    for how in ("both", "text"):
        assert other.post(f"/conflicts/{id}", how=how, content="mine now").status_code == 404
    assert "green" not in other.get("/conflicts").text
    for nothing in (id, "0199f3a1", "no-id"):
        assert other.get(f"/conflicts/{nothing}").status_code == 404
    assert "green tea" in shown(me.get("/conflicts"))


@pytest.mark.parametrize(("left", "right", "marks"), [
    ("a b c", "a x c", (["b"], ["x"])), ("one two three", "one three", (["two "], [])),
    ("the red big dog", "the small old dog", (["red big"], ["small old"])), ("nothing", "at all", ([], [])),
    ("<b>", "<b> more", ([], [" more"])), ("same", "same", ([], [])),
])  # fmt: skip
def test_what_only_one_of_two_texts_has_is_marked_in_it(
    left: str, right: str, marks: tuple[list[str], list[str]]
) -> None:
    told = words.sides(left, right)
    plain = tuple(re.sub(r'<span class="sr">[^<]*</span>|</?mark>', "", side) for side in told)
    assert plain == tuple(text.replace("<", "&lt;").replace(">", "&gt;") for text in (left, right))
    assert tuple(re.findall(r"<mark><span[^>]*>[^<]*</span>([^<]*)</mark>", side) for side in told) == marks
