"""What differs between two texts, and a page with many of them: quick whatever the texts are, and nobody else waits."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from markupsafe import Markup

from hosted.web import memory as memory_page
from hosted.web import words
from tests.hosted.web.conftest import Visitor
from tests.hosted.world import World

Make = Callable[..., Visitor]
ALIKE, OTHERS = "a\n" * 1000, "a\nb\n" * 500


def _sides(told: str) -> tuple[str, str]:
    """The two texts that a difference was made of."""
    plain = re.sub(r'<span class="sr">[^<]*</span>', "", told)
    before = re.sub(r"<ins>.*?</ins>", "", plain, flags=re.DOTALL)
    after = re.sub(r"<del>.*?</del>", "", plain, flags=re.DOTALL)
    return re.sub(r"</?del>", "", before), re.sub(r"</?ins>", "", after)


@pytest.mark.parametrize(
    ("before", "after"),
    [("", "a"), ("a", ""), ("a b", "a b"), ("a b c", "a x c"), ("a a a", "a a"), ("a a", "a a a"), ("x b", "y b"),
     (ALIKE, OTHERS), ("one two\n" * 300, "one two\n" * 150 + "three\n" + "one two\n" * 150), ("a" * 9, "b " * 60_000)],
)  # fmt: skip
def test_both_texts_are_in_a_difference(before: str, after: str) -> None:
    assert _sides(words.diff(before, after)) == (before, after)


def test_a_long_text_with_one_change_tells_that_change_alone() -> None:
    begin = time.perf_counter()
    told = words.diff(
        "one two three\n" * 4000 + "four " + "five " * 4000, "one two three\n" * 4000 + "4 " + "five " * 4000
    )
    assert re.findall(r"<(del|ins)>(?:<span.*?</span>)([^<]*)<", told) == [("del", "four"), ("ins", "4")]
    assert time.perf_counter() - begin < 1


def test_texts_that_agree_in_every_other_line_are_told_apart_quickly() -> None:
    begin = time.perf_counter()
    for n in range(90, 150, 7):
        words.diff("a\n" * n, "a\nb\n" * (n // 2))
    words.diff(ALIKE, OTHERS)
    assert time.perf_counter() - begin < 2


def _edited(me: Visitor, *texts: str) -> str:
    """The id of a memory that had each of these texts."""
    me.get("/memories")
    me.post("/memories/new", content=texts[0])
    found = re.search(r"/memories/([0-9a-f-]{36})", me.get("/memories").text)
    assert found
    for text in texts[1:]:
        version = re.search(r'name="version" value="([^"]+)"', me.get(f"/memories/{found[1]}/edit").text)
        assert version
        assert me.post(f"/memories/{found[1]}/edit", content=text, tags="", version=version[1]).status_code == 303
    return found[1]


def test_the_newest_changes_alone_are_compared_and_the_others_told_in_short(
    visitors: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    compare = words.diff

    def counted(before: str, after: str) -> Markup:
        asked.append((before, after))
        return compare(before, after)

    me = visitors(signed_in=True)
    texts = [f"text {n} " + "and more " * 200 for n in range(9)]
    id = _edited(me, *texts)
    monkeypatch.setattr(memory_page, "COMPARED_REVISIONS", 3)
    monkeypatch.setattr(memory_page, "SHOWN_REVISIONS", 7)
    monkeypatch.setattr(words, "diff", counted)
    page = me.get(f"/memories/{id}").text
    assert [(before[:6], after[:6]) for before, after in asked] == [
        ("text 7", "text 8"), ("text 6", "text 7"), ("text 5", "text 6")
    ]  # fmt: skip
    told = re.findall(r'<p class="change text"[^>]*>(.*?)</p>', page, re.DOTALL)
    assert len(told) == 7
    assert all(one.startswith(f"text {n} ") and len(one) < 500 for n, one in zip((5, 4, 3, 2), told[3:], strict=True))


def test_nobody_waits_for_what_is_compared(visitors: Make, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    going, go_on = threading.Event(), threading.Event()

    def slow(before: str, after: str) -> Markup:
        going.set()
        go_on.wait(10)
        return Markup("compared")

    me = visitors(signed_in=True)
    id = _edited(me, "one", "two")
    monkeypatch.setattr(words, "diff", slow)
    page: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: page.append(me.http.get(f"/memories/{id}")))
    asking.start()
    try:
        assert going.wait(10)
        assert httpx.get(f"{world.url}/health", timeout=5).status_code == 200
    finally:
        go_on.set()
        asking.join(20)
    assert "compared" in page[0].text
