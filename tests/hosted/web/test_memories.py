"""Memories in the browser: search as one types, edit, undo, several at once, history; whatever the text holds."""

from __future__ import annotations

import io
import re
import time
import zipfile
from collections.abc import Callable
from html import unescape

import pytest
from playwright.sync_api import Page, Route, expect

from hosted.web.finding import Wanted, unpacked
from tests.hosted.web.conftest import Person, Visitor, made, shown, written_by
from tests.hosted.world import World

Somebody = Callable[..., Person]


def test_add_search_and_narrow(somebody: Somebody) -> None:
    me = somebody()
    page = me.go("/memories")
    expect(page.get_by_role("heading", name="Nothing is remembered yet")).to_be_visible()
    for text, tags in (
        ("Allergic to penicillin", "health"),
        ("Deploys go out on Tuesdays", "work, #ops"),
        ("Tea must be oolong", ""),
    ):
        page.goto(f"{me.url}/memories")
        page.get_by_text("Add a memory").click()
        page.get_by_label("Memory").fill(text)
        page.get_by_label("Tags if you like").fill(tags)
        page.get_by_role("button", name="Remember it").click()
        expect(page.locator(".toast")).to_contain_text("Remembered")
        expect(page.locator("#results")).to_contain_text(text)  # it is there without a reload
    page.goto(f"{me.url}/memories")
    assert me.texts() == ["Tea must be oolong", "Deploys go out on Tuesdays", "Allergic to penicillin"]
    with page.expect_response("**/memories/find") as answered:
        page.get_by_label("Search your memories").press_sequentially("penicillin", delay=15)
    expect(page.locator(".card mark").first).to_have_text("penicillin")
    assert me.texts()[0] == "Allergic to penicillin"
    assert "penicillin" not in answered.value.url + page.url  # a question is in no address
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator(
        ".why summary"
    ).first.click()  # leaving the field asks nothing anew: the click would be lost with the list
    page.wait_for_timeout(500)
    assert asked == []
    expect(page.locator(".why dl").first).to_be_visible()
    expect(page.locator(".why dl").first).to_contain_text("place 1 by words")
    expect(page.get_by_label("Order")).to_be_hidden()
    page.get_by_label("Search your memories").fill("")
    expect(page.locator("#results")).to_contain_text("3 memories")
    expect(page.get_by_label("Order")).to_be_visible()
    page.locator(".chip").filter(has_text="ops").click()
    expect(page.locator("#results")).to_contain_text("1 memory")
    assert me.texts() == ["Deploys go out on Tuesdays"]
    page.wait_for_url("**/memories?tag=ops")
    page.reload()
    assert me.texts() == ["Deploys go out on Tuesdays"]


def test_the_newest_question_wins_however_slow_the_one_before(somebody: Somebody) -> None:
    me = somebody()
    me.remember("The boat is called Wind Rose")
    me.remember("The cat is called Tuesday")
    page = me.go("/memories")
    held: list[Route] = []

    def late(route: Route) -> None:
        if "q=boat&" in (route.request.post_data or "") + "&":
            held.append(route)
        else:
            route.continue_()

    page.route("**/memories/find", late)
    box = page.get_by_label("Search your memories")
    with page.expect_request("**/memories/find"):
        box.fill("boat")
    box.fill("cat")
    expect(page.locator(".card mark").first).to_have_text("cat")
    held[0].continue_()
    page.wait_for_timeout(300)
    expect(page.locator(".card mark").first).to_have_text("cat")


def test_edit_in_place_and_a_change_by_another_is_never_overwritten_unseen(somebody: Somebody) -> None:
    me = somebody()
    me.remember("The meeting is at nine", "work")
    page = me.go("/memories")
    page.get_by_role("link", name="Edit").click()
    field = page.get_by_role("textbox", name="Memory").last
    expect(field).to_be_focused()
    address = (page.locator("article form").get_attribute("action") or "").removesuffix("/edit")

    elsewhere = me.watch(me.context.new_page())
    elsewhere.goto(f"{me.url}{address}/edit")
    elsewhere.get_by_label("Memory").fill("The meeting is at ten")
    elsewhere.get_by_role("button", name="Save").click()
    expect(elsewhere.locator(".toast")).to_contain_text("Saved")

    field.fill("The meeting is at noon")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("changed meanwhile")
    expect(page.locator("article del").filter(has_text="ten")).to_be_visible()
    expect(page.locator("article ins").filter(has_text="noon")).to_be_visible()
    page.get_by_role("button", name="Save mine over it").click()
    expect(page.locator(".toast")).to_contain_text("Saved")
    assert me.texts() == ["The meeting is at noon"]

    page.goto(me.url + address)
    history = page.locator(".steps li")
    expect(history).to_have_count(3)
    expect(history.nth(0).locator("del")).to_contain_text("ten")
    history.nth(2).get_by_role("button", name="Go back to this").click()
    expect(page.locator("article .text")).to_have_text("The meeting is at nine")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".toast")).to_contain_text("Taken back")
    expect(page.locator("article .text")).to_have_text("The meeting is at noon")


def test_the_focus_stays_where_one_has_gone_since_the_form_opened(somebody: Somebody) -> None:
    me = somebody()
    me.remember("The ferry leaves at nine", "ferry")
    page = me.go("/memories")
    page.evaluate("htmx.config.defaultSettleDelay = 300")
    page.get_by_role("link", name="Edit").click()
    tags = page.locator(".card").get_by_label("Tags")
    tags.focus()
    expect(page.locator(".htmx-settling")).to_have_count(0)
    expect(tags).to_be_focused()


def test_delete_and_take_it_back(somebody: Somebody) -> None:
    me = somebody()
    me.remember("Keep me")
    me.remember("Delete me")
    page = me.go("/memories")
    page.locator(".card").filter(has_text="Delete me").get_by_role("button", name="Delete").click()
    expect(page.locator(".toast")).to_contain_text("Deleted.")
    assert me.texts() == ["Keep me"]
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator("#results")).to_contain_text("Delete me")
    page.locator(".card").filter(has_text="Delete me").get_by_role("button", name="Delete").click()
    expect(page.locator(".card").filter(has_text="Delete me")).to_have_count(0)
    page.goto(f"{me.url}/memories?view=deleted")
    page.get_by_role("button", name="Bring back").first.click()
    expect(page.locator(".toast")).to_contain_text("Brought back")
    me.go("/memories")
    assert me.texts() == ["Delete me", "Keep me"]
    page.get_by_role("link", name="More").first.click()
    page.get_by_text("Forget it for ever").first.click()
    page.get_by_role("button", name="Forget it for ever").click()
    expect(page.locator(".toast")).to_contain_text("Forgotten for ever")
    expect(page.locator(".toast").get_by_role("button", name="Undo")).to_have_count(0)


def test_make_active_in_lists(somebody: Somebody) -> None:
    me = somebody()
    me.remember("Kept for later")
    page = me.go("/memories")
    page.get_by_role("button", name="Archive").click()
    expect(page.locator(".card")).to_have_count(0)
    page.goto(f"{me.url}/memories?view=all")
    page.get_by_role("button", name="Make active").click()
    expect(page.get_by_role("button", name="Archive")).to_be_visible()  # it is for every state
    expect(page.locator("#cards > li > .card")).to_have_count(1)
    page.get_by_role("button", name="Archive").click()  # what has come in its place is a card as it was
    expect(page.get_by_role("button", name="Make active")).to_be_visible()
    page.goto(f"{me.url}/memories?view=archived")
    page.get_by_role("button", name="Make active").click()
    expect(page.locator(".toast")).to_contain_text("Active again")
    expect(page.locator(".card")).to_have_count(0)
    page.goto(f"{me.url}/memories")
    assert me.texts() == ["Kept for later"]


@pytest.mark.parametrize("width", [390, 1280])
def test_a_notice_lies_over_no_button(somebody: Somebody, width: int) -> None:
    me = somebody(viewport={"width": width, "height": 600})
    for n in range(5):
        me.remember(f"Fact {n} " + "with more to read " * 12)
    page = me.go("/memories")
    for n in (1, 2):
        page.get_by_role("button", name="Archive").first.click()
        expect(page.locator(".toast")).to_have_count(n)
    page.wait_for_timeout(300)  # the focus goes to the next card, and the page with it
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    last, notice = page.locator(".card .acts").last.bounding_box(), page.locator(".toast").first.bounding_box()
    assert last
    assert notice
    assert last["y"] + last["height"] <= notice["y"]
    beside = "getComputedStyle(document.getElementById('toasts')).pointerEvents"
    assert page.evaluate(beside) == "none"


def test_several_at_once_are_one_step(somebody: Somebody) -> None:
    me = somebody()
    for number in range(4):
        me.remember(f"Number {number}")
    page = me.go("/memories")
    expect(page.locator("#bar")).to_be_hidden()
    for number in (1, 2, 3):
        page.get_by_role("checkbox", name=f"Mark: Number {number}").check()
    expect(page.locator("#bar")).to_contain_text("3 marked")
    expect(page.locator("#bar")).to_be_in_viewport()
    page.get_by_role("button", name="Archive", exact=True).last.click()
    expect(page.locator(".toast")).to_contain_text("3 memories are archived")
    assert me.texts() == ["Number 0"]
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator("#results")).to_contain_text("4 memories")
    page.get_by_role("checkbox", name="Mark: Number 0").check()
    page.get_by_label("Tag to add or take off").fill("zero")
    page.get_by_role("button", name="Add tag").click()
    expect(page.locator(".chips")).to_contain_text("#zero")
    page.goto(f"{me.url}/activity?view=changes")
    page.locator("#activity li").first.get_by_role("button", name=re.compile("Undo")).click()
    expect(page.locator(".toast")).to_contain_text("Taken back")
    me.go("/memories")
    expect(page.locator(".chips")).to_be_hidden()


def test_what_is_done_to_several_leaves_the_question_as_it_is(somebody: Somebody) -> None:
    me = somebody()
    for text in ("Bees like lavender", "Bees sleep in winter", "Goats like leaves"):
        me.remember(text, "animals")
    page = me.go("/memories?tag=animals")
    page.get_by_label("Search your memories").fill("bees")
    expect(page.locator(".card mark").first).to_have_text("Bees")
    page.get_by_role("checkbox", name="Mark: Bees sleep in winter").check()
    page.get_by_label("Tag to add or take off").fill("winter")
    page.get_by_label("Tag to add or take off").press("Enter")  # adds the tag that is written there
    expect(page.locator(".toast")).to_contain_text("Tags saved")
    expect(page.locator(".cards")).to_contain_text("#winter")
    expect(page.get_by_label("Search your memories")).to_have_value("bees")
    expect(page.locator(".card mark").first).to_have_text("Bees")
    expect(page.get_by_role("group", name="Tags")).to_contain_text("#winter")
    expect(page.get_by_role("checkbox", name=re.compile("^Mark")).first).to_be_focused()
    page.get_by_role("checkbox", name="Mark: Bees sleep in winter").check()
    page.locator("#bar").get_by_role("button", name="Archive").click()
    expect(page.locator(".cards")).not_to_contain_text("sleep")
    assert me.texts()[0] == "Bees like lavender"
    page.locator(".toast").last.get_by_role("button", name="Undo").click()
    expect(page.locator(".cards")).to_contain_text("sleep")
    expect(page.get_by_label("Search your memories")).to_have_value("bees")
    page.get_by_role("checkbox", name="Mark: Bees sleep in winter").check()
    page.get_by_role("button", name="Take off").click()
    expect(page.locator(".toast").last).to_contain_text("Write a tag into the field")
    expect(page.locator("#bar")).to_contain_text("1 marked")
    assert "bees" not in page.url


def test_what_is_done_to_several_without_a_script_answers_the_question_again(visitors: Callable[..., Visitor]) -> None:
    me = visitors(signed_in=True)
    for text in ("Bees like lavender", "Bees sleep in winter", "Goats like leaves"):
        me.post("/memories/new", content=text, tags="animals")
    found = me.get("/memories?tag=animals")
    ids = re.findall(r'name="id" value="([0-9a-f-]{36})" aria-label="Mark: Bees sleep', found.text)
    asked = {"q": "bees", "tag": "animals", "sort": "-created", "view": "active", "limit": "30"}
    answered = me.post("/memories/find", **asked)
    hidden = re.search(r'id="marked".*?class="bar"', answered.text, re.DOTALL)
    assert hidden
    for name, value in asked.items():
        assert f'name="{name}" value="{value}"' in hidden[0], name
    done = me.post("/memories/marked", id=ids, do="archive", **asked)
    assert done.status_code == 200
    page = shown(done)
    assert "Archived." in page
    assert "lavender" in done.text
    assert "sleep in winter" not in done.text
    assert 'name="back" value="/memories"' in done.text  # where the undo leads
    plain = me.post("/memories/marked", id=ids, do="resume", **{**asked, "q": "", "view": "archived"})
    assert plain.headers["location"] == "/memories?view=archived&tag=animals"


def test_the_numbers_follow_what_is_done_in_place(somebody: Somebody) -> None:
    me = somebody()
    page = me.go("/memories")
    states, chips = page.get_by_label("State"), page.locator(".chips")
    expect(chips).to_be_hidden()
    page.get_by_text("Add a memory").click()
    for text in ("The ferry leaves at nine", "The ferry costs twelve"):
        page.get_by_label("Memory").fill(text)
        page.get_by_label("Tags if you like").fill("ferry")
        page.get_by_role("button", name="Remember it").click()
        expect(page.locator("#results")).to_contain_text(text)
    expect(states).to_contain_text("Active (2)")
    expect(chips).to_contain_text("#ferry 2")
    me.go("/memories")
    page.locator(".card").first.get_by_role("button", name="Archive").click()
    expect(states).to_contain_text("Archived (1)")
    expect(page.locator("#total")).to_have_text("1 memory")
    page.locator(".card").first.get_by_role("link", name="Edit").click()
    page.locator(".card").get_by_label("Tags").fill("boats")
    page.get_by_role("button", name="Save").click()
    expect(chips).to_contain_text("#boats 1")
    me.go("/memories?view=archived")
    page.locator(".card").first.get_by_role("button", name="Delete").click()
    expect(states).to_contain_text("Archived (0)")
    expect(states).to_have_value("archived")


def test_what_is_left_out_is_asked_for_where_one_is(somebody: Somebody) -> None:
    me = somebody()
    me.remember("The boat is called Wind Rose")
    page = me.go("/memories")
    page.get_by_role("checkbox", name="Mark: The boat").check()
    page.get_by_role("button", name="Add tag").click()
    expect(page.locator(".toast")).to_contain_text("Write a tag into the field")
    assert me.texts() == ["The boat is called Wind Rose"]
    me.go("/keys/new")
    page.get_by_label("What is it for?").fill("A script")
    page.get_by_label("Only those with one of these tags").check()
    page.get_by_role("button", name="Make it").click()
    expect(page.locator("main")).to_contain_text(re.compile("name at least one tag", re.I))
    for id in ("zz", "01a20704-0000-7000-8000-000000000000"):
        me.go(f"/memories/{id}")
        expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    expect(page.get_by_role("link", name="Your memories", exact=True)).to_be_visible()  # one is still signed in
    expect(page.get_by_role("link", name="Sign in")).to_have_count(0)


HOSTILE = {
    "script": "<script>document.title='owned'</script><img src=x onerror=alert(1)>",
    "escapes": "\x1b[31mred\x1b[0m and a bell \x07",
    "overrides": "abc \u202edrowssap\u202c def",
    "arabic": "أفضل المقاعد بجانب الممر",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 family",
    "template": "{{ 7*7 }} {% raw %} ${7*7} </textarea></article>",
}


def test_whatever_a_memory_holds_is_shown_as_text(somebody: Somebody) -> None:
    me = somebody()
    for text in HOSTILE.values():
        me.remember(text, "<b>tag</b>")
    for path in ("/memories", "/timeline", "/activity?view=changes"):
        page = me.go(path)
        shown = page.locator("main").inner_text()
        assert "owned" not in page.title()
        for part in (
            "<script>document.title='owned'</script>",
            "\\x1b[31mred",
            "{{ 7*7 }}",
            "</textarea></article>",
            "أفضل المقاعد",
            "👩‍👩‍👧‍👦",
        ):
            assert part in shown, (path, part)
        assert "\u202e" not in shown
        assert "\x1b" not in page.content()
        assert page.locator("main script, main img").count() == 0
    page = me.go("/memories")
    page.locator(".card").filter(has_text="</textarea>").get_by_role("link", name="Edit").click()
    expect(page.get_by_role("textbox", name="Memory").last).to_have_value(HOSTILE["template"])
    page.get_by_label("Search your memories").fill("<script>alert(1)</script> \x1b[31m")
    page.get_by_text(re.compile("found|nearest")).wait_for()


def test_a_text_of_64_kib_is_cut_in_lists_and_whole_on_its_page(somebody: Somebody) -> None:
    me = somebody()
    long = ("word " * 13_200)[: 64 * 1024 - 4].strip() + " end"
    me.remember(long)
    page = me.go("/memories")
    assert len(me.texts()[0]) < 600
    page.get_by_role("link", name="Read all of it").click()
    assert page.locator("article .text").inner_text().endswith(" end")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Memory").fill(long[:-3] + "END")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text("Saved")
    page.goto(f"{me.url}/memories/new")
    page.get_by_label("Memory").fill(long + "x" * 10)
    page.get_by_role("button", name="Remember it").click()
    expect(page.get_by_role("alert")).to_contain_text("a memory holds at most 65,536")


def test_a_secret_is_asked_about(somebody: Somebody) -> None:
    me = somebody()
    page = me.go("/memories/new")
    page.get_by_label("Memory").fill("my key is sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH")
    page.get_by_role("button", name="Remember it").click()
    expect(page.get_by_role("alert")).to_contain_text("password or key")
    page.get_by_role("button", name="Remember it").click()
    expect(page.locator(".toast")).to_contain_text("Remembered")
    assert "abcdefghijklmnopqrstuvwxyz" not in me.go("/memories").content()


def test_a_long_list_goes_on_by_itself(somebody: Somebody, world: World) -> None:
    me = somebody()
    written_by(world, me, "web", *(f"Line number {n:03}" for n in range(70)))
    page = me.go("/memories")
    assert len(me.texts()) == 30
    deadline = time.monotonic() + 20
    while page.locator(".card").count() < 70 and time.monotonic() < deadline:
        page.keyboard.press("End")
        page.wait_for_timeout(100)
    expect(page.locator(".card")).to_have_count(70)
    assert len(set(me.texts())) == 70


def test_who_goes_back_finds_the_answer_that_they_left(somebody: Somebody) -> None:
    me = somebody()
    for text, tag in (("The ferry leaves at nine", "boats"), ("The ferry is blue", ""), ("It rains in Ghent", "boats")):
        me.remember(text, tag)
    page = me.go("/memories")
    page.get_by_label("Search your memories").fill("when does the ferry leave")
    expect(page.locator(".card mark").first).to_be_visible()
    page.locator(".chip", has_text="#boats").click()
    expect(page.locator(".card")).to_have_count(2)
    page.get_by_role("link", name="More").first.click()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Search your memories")).to_have_value("when does the ferry leave")
    expect(page.locator(".card mark").first).to_be_visible()
    expect(page.locator(".card")).to_have_count(2)
    assert "ferry" not in page.url
    page.reload()
    expect(page.locator(".card mark").first).to_be_visible()
    page.get_by_label("Search your memories").fill("")
    expect(page.locator(".card mark")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Search your memories")).to_have_value("")
    me.go("/memories")
    expect(page.get_by_label("Search your memories")).to_have_value("")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_list_of_several_programs_stays_as_it_was_chosen(somebody: Somebody, world: World, width: int) -> None:
    me = somebody(viewport={"width": width, "height": 900})
    written_by(world, me, "cursor", "The ferry leaves at nine", "The ferry costs twelve", "The ferry is blue")
    written_by(
        world, me, "a-name-as-long-as-a-program-may-have-and-nobody-would-choose", "The quay is closed", "It rains"
    )
    me.remember("Written here")
    page = me.go("/memories")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    boxes = [select.bounding_box() for select in page.locator(".filters select").all()]
    assert len({box["y"] for box in boxes if box}) == (1 if width > 860 else 2)
    for client, left in (("", 6), ("cursor", 3)):
        if client:
            page.get_by_label("From which program").select_option(client)
        expect(page.locator(".card")).to_have_count(left)
        page.get_by_role("button", name="Archive").first.click()
        expect(page.get_by_label("State")).to_contain_text("Archived (1)")
        expect(page.get_by_label("From which program")).to_have_value(client)
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_label("State")).to_contain_text("Archived (0)")
        expect(page.locator(".card")).to_have_count(left)
        expect(page.get_by_label("From which program")).to_have_value(client)
        page.get_by_role("button", name="Close this message").click()
    page.goto(f"{me.url}/activity?view=changes")
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_with_the_keyboard_alone(somebody: Somebody) -> None:
    me = somebody()
    me.remember("Reached without a mouse")
    page = me.go("/memories")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("summary.button")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("Typed, never clicked")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Remembered")
    page.get_by_label("Search your memories").focus()
    page.keyboard.type("mouse")
    expect(page.locator(".card mark").first).to_have_text("mouse")
    _tab_to(page, "Mark: Reached without a mouse")
    page.keyboard.press("Space")
    expect(page.locator("#bar")).to_contain_text("1 marked")
    _tab_to(page, "Edit")
    _settled(page)
    page.keyboard.press("Enter")
    field = page.get_by_role("textbox", name="Memory").last
    expect(field).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type(" at all")
    _tab_to(page, "Save")
    _settled(page)
    page.keyboard.press("Enter")
    expect(page.locator("#results")).to_contain_text("Reached without a mouse at all")
    expect(page.locator(".card").filter(has_text="at all").get_by_role("link", name="Edit")).to_be_focused()
    _tab_to(page, "Delete")
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.get_by_role("link", name="Edit")).to_be_focused()  # of the one that is left
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def _settled(page: Page) -> None:
    """Until what a list got last has its script: a link that is followed before leads to a page of its own."""
    page.wait_for_function("""() => {
        const busy = document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling, .htmx-added')
        if (busy || !window.quietSince) window.quietSince = performance.now()
        return performance.now() - window.quietSince > 700
    }""")  # longer than the page waits with a list that changes by itself


def _tab_to(page: Page, name: str) -> None:
    """On by Tab until what has this name has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate("(document.activeElement.ariaLabel || document.activeElement.textContent || '').trim()")
        if found == name:
            return
    raise AssertionError(f"Tab never reaches {name}")


def test_everything_works_without_a_script(somebody: Somebody) -> None:
    me = somebody(java_script_enabled=False)
    me.remember("Plain forms only", "plain")
    me.remember("Another one")
    page = me.go("/memories")
    page.get_by_label("Search your memories").fill("forms")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".card mark").first).to_have_text("forms")
    page.goto(f"{me.url}/memories?tag=plain")
    assert me.texts() == ["Plain forms only"]
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Memory").fill("Plain forms, changed")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text("Saved")
    expect(page.locator(".steps li")).to_have_count(2)
    page.goto(f"{me.url}/memories")
    for box in page.get_by_role("checkbox", name=re.compile("^Mark")).all():
        box.check()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".toast")).to_contain_text("2 memories are paused")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".toast")).to_contain_text("2 changes are taken back")
    page.locator(".card").first.get_by_role("button", name="Delete").click()
    expect(page.locator(".toast")).to_contain_text("Deleted.")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    page.goto(f"{me.url}/connections/new")
    page.get_by_role("radio", name=re.compile("Claude Code")).check(force=True)
    page.get_by_role("button", name="Connect it").click()
    expect(page.locator("pre").first).to_contain_text("claude mcp add --transport http")
    page.get_by_role("link", name="Look again").click()
    expect(page.get_by_text("Waiting for its first call")).to_be_visible()
    page.get_by_role("link", name="Connections", exact=True).first.click()
    page.get_by_role("link", name="Change").first.click()
    page.get_by_label("Delete memories").uncheck()
    page.get_by_label("What it writes waits for me").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".list").first).to_contain_text("reads, writes · under review")
    page.get_by_role("button", name="Sign out").first.click()
    expect(page.locator(".toast")).to_contain_text("You are signed out")


def test_the_download_is_what_a_machine_takes_back(visitors: Callable[..., Visitor]) -> None:
    import json

    from jmem.core.portable.jsonl import parse_item

    me, other = visitors(signed_in=True), visitors(signed_in=True)
    me.post("/memories/new", content="Goes with me", tags="own")
    me.post("/memories/new", content="Deleted, and still mine")
    other.post("/memories/new", content="Another's")
    page = me.get("/memories").text
    id = re.findall(r"/memories/([0-9a-f-]{36})/act", page)[0]
    me.post(f"/memories/{id}/act", do="delete")
    answer = me.post("/export")
    assert "attachment" in answer.headers["content-disposition"]
    whole = zipfile.ZipFile(io.BytesIO(answer.content))
    assert {"memories.jsonl", "keys.json", "connections.json", "activity.jsonl", "audit.jsonl"} < set(whole.namelist())
    lines = [json.loads(line) for line in whole.read("memories.jsonl").splitlines()]
    assert {line["content"] for line in lines} == {"Goes with me", "Deleted, and still mine"}
    assert [len(line["ops"]) for line in lines] == [1, 2]
    assert all(parse_item(line) for line in lines)


def test_a_tag_of_two_words_stays_one(visitors: Callable[..., Visitor]) -> None:
    me = visitors(signed_in=True)
    me.post("/memories/new", content="Sourdough wants a night", tags="slow food,")
    me.post("/memories/new", content="Nothing about that", tags="food")
    found = me.get("/memories", params={"tag": "slow food"})
    assert "Sourdough" in found.text
    assert "Nothing about" not in found.text
    address = re.search(r"/memories/[0-9a-f-]{36}", found.text)
    assert address
    form = me.get(f"{address[0]}/edit").text
    fields = {name: re.search(rf'name="{name}" value="([^"]*)"', form) for name in ("tags", "version")}
    me.post(f"{address[0]}/edit", content="Sourdough wants two nights",
            **{name: value[1] for name, value in fields.items() if value})  # fmt: skip
    assert "two nights" in me.get("/memories", params={"tag": "slow food"}).text


def test_an_edit_of_the_text_leaves_the_tags_as_they_are(world: World, visitors: Callable[..., Visitor]) -> None:
    me = visitors(signed_in=True)
    tags = ["red, green", "#one", '"said"', "plain"]
    line = '"red, green", "#one", """said""", plain'
    me.post("/memories/new", content="Traffic lights", tags=line)
    address = made(me.get("/memories"), r"/memories/[0-9a-f-]{36}")
    sql = "SELECT tags FROM jmem.memories WHERE id = $1"
    assert world.query(sql, address[10:])[0]["tags"] == tags
    form = me.get(f"{address}/edit")
    fields = {name: unescape(made(form, rf'name="{name}" value="([^"]*)"')) for name in ("tags", "version")}
    assert me.post(f"{address}/edit", content="Lights at a crossing", **fields).status_code == 303
    assert world.query(sql, address[10:])[0]["tags"] == tags
    asked = {"name": "a script", "permissions": "1", "read": "on", "scope": "tags", "tags": line, "days": ""}
    me.get("/keys/new")
    me.post("/keys/new", **asked)
    shown_again = me.get(made(me.get("/connections"), r"/keys/[0-9a-f-]{36}"))
    assert unescape(made(shown_again, r'name="tags"[^>]* value="([^"]*)"')) == line


def test_a_button_of_a_card_and_undo_leave_the_list_as_it_was_asked_for_without_a_script(somebody: Somebody) -> None:
    me = somebody(java_script_enabled=False)
    for text in ("Bees like lavender", "Bees sleep in winter", "Goats like leaves"):
        me.remember(text, "animals, a+b")
    page = me.go("/memories?tag=animals&tag=a%2Bb&sort=created")
    page.get_by_label("Search your memories").fill("bees sleep")
    page.get_by_role("button", name="Search").click()
    first = page.get_by_role("article", name="Bees sleep in winter")

    def stands() -> None:
        expect(page.get_by_label("Search your memories")).to_have_value("bees sleep")
        expect(page.get_by_label("Order")).to_have_value("created")
        chosen = page.locator('.chips input[name="tag"]:checked').all()
        assert {box.get_attribute("value") for box in chosen} == {"animals", "a+b"}
        assert "bees" not in page.url

    for button, said in (("Archive", "Archived."), ("Delete", "Deleted.")):
        first.get_by_role("button", name=button).click()
        expect(page.locator(".toast")).to_contain_text(said)
        stands()
        expect(first).to_have_count(0)
        page.locator(".toast").get_by_role("button", name="Undo").click()
        expect(page.locator(".toast")).to_contain_text("Taken back.")
        stands()
        expect(first).to_have_count(1)
    page.goto(f"{me.url}/memories?view=all&tag=animals")
    page.locator(".card").first.get_by_role("button", name="Archive").click()
    expect(page).to_have_url(f"{me.url}/memories?view=all&tag=animals")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page).to_have_url(f"{me.url}/memories?view=all&tag=animals")
    page.goto(f"{me.url}/activity?view=changes&client=web")
    page.get_by_role("button", name=re.compile("^Undo: added")).first.click()
    expect(page).to_have_url(f"{me.url}/activity?view=changes&client=web")


def test_what_a_list_was_asked_for_is_one_field() -> None:
    asked = Wanted("a question & more", "archived", ("a,b", "c=d"), "claude", "week", "created", "", 60)
    assert unpacked(asked.packed) == asked
    assert unpacked(Wanted().packed) == Wanted()
    assert Wanted().packed == ""
    assert unpacked("&".join("tag=x" for _ in range(1000))) == Wanted()
