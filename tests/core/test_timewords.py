from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from jmem.core.errors import Invalid
from jmem.core.timewords import parse_moment

NOW = datetime(2026, 11, 22, 20, 13, 5, tzinfo=ZoneInfo("UTC"))  # a Sunday
BERLIN = datetime(2026, 11, 22, 20, 13, 5, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("words", "start", "end"),
    [
        ("2026-11-20", "2026-11-20T00:00", "2026-11-21T00:00"),
        ("2026-11-20T10:30", "2026-11-20T10:30", "2026-11-20T10:30"),
        ("2026-11-20T10:30:00+02:00", "2026-11-20T08:30", "2026-11-20T08:30"),
        ("2026-03", "2026-03-01T00:00", "2026-04-01T00:00"),
        ("2025", "2025-01-01T00:00", "2026-01-01T00:00"),
        ("today", "2026-11-22T00:00", "2026-11-23T00:00"),
        ("Yesterday", "2026-11-21T00:00", "2026-11-22T00:00"),
        ("3 days ago", "2026-11-19T00:00", "2026-11-20T00:00"),
        ("two weeks ago", "2026-11-08T00:00", "2026-11-09T00:00"),
        ("in 2 weeks", "2026-12-06T00:00", "2026-12-07T00:00"),
        ("in a month", "2026-12-22T00:00", "2026-12-23T00:00"),
        ("10 days from now", "2026-12-02T00:00", "2026-12-03T00:00"),
        ("in 3 hours", "2026-11-22T23:13", "2026-11-22T23:13"),
        ("last week", "2026-11-09T00:00", "2026-11-16T00:00"),
        ("this week", "2026-11-16T00:00", "2026-11-23T00:00"),
        ("last month", "2026-10-01T00:00", "2026-11-01T00:00"),
        ("the past year", "2025-01-01T00:00", "2026-01-01T00:00"),
        ("last 3 days", "2026-11-19T00:00", "2026-11-22T20:13"),
        ("2 hours ago", "2026-11-22T18:13", "2026-11-22T18:13"),
        ("monday", "2026-11-16T00:00", "2026-11-17T00:00"),
        ("last sunday", "2026-11-15T00:00", "2026-11-16T00:00"),
        ("sun", "2026-11-22T00:00", "2026-11-23T00:00"),
        ("march", "2026-03-01T00:00", "2026-04-01T00:00"),
        ("december", "2025-12-01T00:00", "2026-01-01T00:00"),
        ("march 2024", "2024-03-01T00:00", "2024-04-01T00:00"),
        ("5 March 2024", "2024-03-05T00:00", "2024-03-06T00:00"),
        ("March 5th", "2026-03-05T00:00", "2026-03-06T00:00"),
        ("yesterday at 5pm", "2026-11-21T17:00", "2026-11-21T17:00"),
    ],
)
def test_words(words: str, start: str, end: str) -> None:
    found = parse_moment(words, NOW)
    assert (found[0][:16], found[1][:16]) == (start, end)


SUMMER, JANUARY = datetime(2026, 7, 10, 12, tzinfo=ZoneInfo("UTC")), datetime(2026, 1, 10, 12, tzinfo=ZoneInfo("UTC"))
SYDNEY = datetime(2026, 11, 22, 12, tzinfo=ZoneInfo("Australia/Sydney"))


@pytest.mark.parametrize(
    ("words", "now", "start", "end"),
    [
        ("last summer", NOW, "2026-06-01", "2026-09-01"),
        ("last summer", SUMMER, "2025-06-01", "2025-09-01"),
        ("this summer", SUMMER, "2026-06-01", "2026-09-01"),
        ("this summer", NOW, "2026-06-01", "2026-09-01"),
        ("the summer", SUMMER, "2026-06-01", "2026-09-01"),
        ("next summer", NOW, "2027-06-01", "2027-09-01"),
        ("in spring", NOW, "2026-03-01", "2026-06-01"),
        ("spring", JANUARY, "2025-03-01", "2025-06-01"),
        ("last fall", SUMMER, "2025-09-01", "2025-12-01"),
        ("autumn", NOW, "2026-09-01", "2026-12-01"),
        ("last autumn", NOW, "2025-09-01", "2025-12-01"),
        ("last winter", NOW, "2025-12-01", "2026-03-01"),
        ("last winter", JANUARY, "2024-12-01", "2025-03-01"),
        ("this winter", JANUARY, "2025-12-01", "2026-03-01"),
        ("this winter", NOW, "2026-12-01", "2027-03-01"),
        ("Summer of 2024", NOW, "2024-06-01", "2024-09-01"),
        ("winter 2024", NOW, "2024-12-01", "2025-03-01"),
    ],
)
def test_seasons(words: str, now: datetime, start: str, end: str) -> None:
    found = parse_moment(words, now)
    assert (found[0][:10], found[1][:10]) == (start, end)


def test_seasons_are_the_other_way_round_where_january_is_summer() -> None:
    start, end = parse_moment("last summer", SYDNEY)
    assert (start[:13], end[:13]) == ("2025-11-30T13", "2026-02-28T13")
    assert parse_moment("last winter", SYDNEY)[0].startswith("2026-05-31T14")


@pytest.mark.parametrize("words", ["last summer 2024", "summer 99999", "summer 0000"])
def test_what_is_no_season(words: str) -> None:
    with pytest.raises(Invalid):
        parse_moment(words, NOW)


def test_the_time_zone_decides_when_a_day_begins() -> None:
    assert parse_moment("today", BERLIN) == ("2026-11-21T23:00:00.000Z", "2026-11-22T23:00:00.000Z")
    assert parse_moment("march", BERLIN) == ("2026-02-28T23:00:00.000Z", "2026-03-31T22:00:00.000Z")


@pytest.mark.parametrize("words", ["", "  ", "banana", "2026-13", "99999 years ago", "x" * 500, "\ud800", "0"])
def test_nonsense_is_refused_with_examples(words: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_moment(words, NOW, field="since")
    assert caught.value.detail["field"] == "since"
    assert "last week" in str(caught.value.fix)


def test_common_words_do_not_import_dateparser() -> None:
    code = (
        "import sys; from jmem.core.timewords import parse_moment as p\n"
        "[p(w) for w in ('today', 'last week', '3 days ago', '2026-03', 'march', 'monday', '2026-11-22')]\n"
        "assert 'dateparser' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
