"""Times are written by the clock of whoever reads them, where their browser has told which that is."""

from __future__ import annotations

import re
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from hosted.web import words
from jmem.core.drafts import Draft
from tests.hosted.web.conftest import Person, Visitor, written_by
from tests.hosted.world import World

Somebody = Callable[..., Person]


def test_times_are_those_of_the_person(somebody: Somebody, world: World) -> None:
    spring = {"occurred_at": "2026-03-13T23:00:00.000Z", "expires_at": "2026-12-31T23:00:00.000Z"}
    ghent, york = "14 Mar 2026", "13 Mar 2026"
    for zone, day, end in (
        ("Europe/Brussels", ghent, "end of 31 Dec 2026"),
        ("America/New_York", york, "31 Dec 2026, 18:00 EST"),
    ):
        me = somebody(signed_in=False, timezone_id=zone)
        me.go("/sign-up")
        me.sign_up()
        written_by(world, me, "web", Draft("The choir sings", **spring))
        page = me.go("/memories")
        expect(page.locator(".card .meta")).to_contain_text(day)
        page.get_by_role("link", name="More").click()
        expect(page.locator(".facts")).to_contain_text(f"Happened{day}")
        expect(page.locator(".facts")).to_contain_text(end)
        expect(page.locator(".steps")).to_contain_text(f"happened: {day}")
        expect(page.locator(".steps")).to_contain_text(f"expires: {end}")
        page.goto(f"{me.url}/timeline")
        expect(page.locator(".day h2")).to_have_text(day)
        assert page.locator(".day time").get_attribute("datetime") == ("2026-03-14" if day == ghent else "2026-03-13")


@pytest.mark.parametrize("zone", ["", "nowhere", "Europe", "../etc/passwd", "/etc/passwd", "x" * 3000])
def test_a_zone_that_is_none_is_utc(visitors: Callable[..., Visitor], zone: str) -> None:
    me = visitors(signed_in=True)
    me.post("/memories/new", content="The choir sings", tags="")
    page = me.http.get(
        "/memories",
        headers={"cookie": f"{'; '.join(f'{c.name}={c.value}' for c in me.http.cookies.jar)}; jmem-zone={zone}"},
    )
    assert page.status_code == 200
    assert re.search(r'<time datetime="[^"]+" title="\d+ \w{3} \d{4}, \d\d:\d\d UTC">just now</time>', page.text)


def test_the_ends_of_the_calendar_have_a_date() -> None:
    for at, far in (("9999-12-31T23:59:59Z", "Pacific/Kiritimati"), ("0001-01-01T00:00:00Z", "America/New_York")):
        assert words.date(at, ZoneInfo(far)) in ("31 Dec 9999", "1 Jan 0001", "1 Jan 1")
