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
