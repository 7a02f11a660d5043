from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmem.cli import text

ANY = st.text(max_size=80)


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\r\tx", "two\\nlines\\r\\tx"),
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("\x9b31m\x85\x7f\0", "\\x9b31m\\x85\\x7f\\x00"),
        ("a\u202eb\u2066c\u2028d", "a\\u202eb\\u2066c\\u2028d"),
        ("日本 café 👩‍👩‍👧", "日本 café 👩‍👩‍👧"),
    ],
)
def test_controls_are_shown(given_text: str, shown: str) -> None:
    assert text.one_line(given_text) == shown


@given(ANY)
def test_nothing_that_a_terminal_obeys_is_left(value: str) -> None:
    for shown, allowed in ((text.one_line(value), ""), (text.block(value), "\n")):
        assert not [c for c in shown if (ord(c) < 32 or 127 <= ord(c) < 160) and c not in allowed]


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        ("abc", 3),
        ("日本", 4),
        ("cafe\u0301", 4),
        ("👍", 2),
        ("👍🏽", 2),
        ("👩‍👩‍👧", 2),
        ("❤️", 2),
        ("🇩🇪", 2),
        ("", 0),
        ("ｆ", 2),
    ],
)
def test_width(value: str, columns: int) -> None:
    assert text.width(value) == columns


@given(ANY.map(text.one_line), st.integers(1, 40))
def test_cut_fits(value: str, columns: int) -> None:
    shown = text.cut(value, columns)
    assert text.width(shown) <= columns
    assert shown == value if text.width(value) <= columns else shown.endswith("…")


@given(ANY.map(text.block), st.integers(2, 40))
def test_wrap_fits_and_keeps_every_character(value: str, columns: int) -> None:
    lines = text.wrap(value, columns)
    assert all(text.width(line) <= columns for line in lines)
    kept = "".join("".join(lines).split())
    assert kept == "".join(value.replace("\n", " ").split())


@given(ANY.map(text.block), st.integers(2, 40), st.integers(1, 4))
def test_wrap_stops(value: str, columns: int, lines: int) -> None:
    found = text.wrap(value, columns, lines)
    assert len(found) <= lines
    if found != text.wrap(value, columns):
        assert found[-1].endswith("…")


@given(st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1)))
def test_epoch(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    iso = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    iso = iso.rjust(24, "0")
    assert abs(text.epoch(iso) - moment.timestamp()) < 1e-3
    assert text.epoch(moment.isoformat()) == pytest.approx(moment.timestamp(), abs=1e-3)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "now"), (59, "now"), (60, "1m"), (3599, "59m"), (3600, "1h"), (86400, "1d"), (6 * 86400, "6d"), (7 * 86400, "1w"),
     (29 * 86400, "4w"), (31 * 86400, "1mo"), (364 * 86400, "11mo"), (366 * 86400, "1y"), (-3600, "in 1h"), (-30, "now")],
)  # fmt: skip
def test_age(seconds: int, shown: str) -> None:
    now = 1_700_000_000.0
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now - seconds))
    assert text.age(moment, now) == shown


def test_short_ids_are_unique_endings_of_six_or_more() -> None:
    ids = [
        "0199f3a1-c2d4-7b3e-9c1a-0123456789ab",
        "0199f3a1-c2d4-7b3e-9c1a-0123156789ab",
        "0199f3a1-c2d4-7b3e-9c1a-ffffff123456",
    ]
    short = text.short_ids([*ids, ids[0]])
    assert short[ids[2]] == "123456"
    assert short[ids[0]] == "456789ab"
    assert short[ids[1]] == "156789ab"


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        ("2026-12-31T05:00:00.000Z", "end of 2026-12-30"),
        ("2026-12-31T00:00:00.000Z", "2026-12-30 19:00"),
        ("2026-12-31T05:00:30.000Z", "2026-12-31 00:00"),
        ("2026-07-01T04:00:00.000Z", "end of 2026-06-30"),
    ],
)
def test_an_end_is_a_whole_day_where_it_is_midnight_here(
    moment: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        assert text.end_time(moment) == shown
    time.tzset()
