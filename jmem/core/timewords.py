"""Moments in words, for `--since` and `--until`: English, in the local time zone, in the past when in doubt.

A moment is a span: "last week" begins on its Monday and ends with its Sunday, so that `--since "last week"`
means from its start and `--until yesterday` means to its end.

A season is three whole months, as meteorologists count: summer is June to August, and a winter has the year in which
it begins. South of the equator it is the other way round; that is taken from the local zone, where it sets its clocks
forward in January rather than in July, and a zone that never does counts as northern.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta

from jmem.core.errors import Invalid

MAX_CHARS = 100
EXAMPLES = ("2026-03-14", "2026-03", "yesterday", "3 days ago", "last week", "monday", "march 2024")

_WEEKDAYS = [name.lower() for name in calendar.day_name]
_MONTHS = [name.lower() for name in calendar.month_name]
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
            "nine": 9, "ten": 10, "couple of": 2, "a couple of": 2, "few": 3, "a few": 3}  # fmt: skip
_UNITS = "second|minute|hour|day|week|month|year"
_AGO = re.compile(rf"(\d{{1,5}}|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))}) ({_UNITS})s? ago")
_IN_SOME = re.compile(
    rf"(?:in )?(\d{{1,5}}|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))}) ({_UNITS})s?(?: from now)?"
)
_LAST_SOME = re.compile(rf"(?:the )?(?:last|past) (\d{{1,5}}|{'|'.join(_NUMBERS)}) ({_UNITS})s?")
_PERIOD = re.compile(r"(?:the )?(?:(this|last|past|previous|next) )(day|week|month|year)")
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""The month in which each begins in the north."""
_SEASON = re.compile(rf"(?:in |the )*(?:(this|last|past|previous|next) )?({'|'.join(_SEASONS)})(?: (?:of )?(\d{{4}}))?")
_YEAR_MONTH = re.compile(r"(\d{4})-(\d{1,2})")
_YEAR = re.compile(r"(?:in )?(\d{4})")
_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

Span = tuple[datetime, datetime]


def parse_moment(text: str, now: datetime | None = None, *, field: str = "time") -> tuple[str, str]:
    """(start, end) of a moment in the form of `model.iso`, the end exclusive; raises Invalid with examples.

    `now` is aware and decides the time zone; by default it is the clock in the local zone.
    """
    words = " ".join(text.lower().split()).strip(" .,")
    here = now.replace(tzinfo=None) if now is not None else datetime.now()
    try:
        span = None
        if words and len(words) <= MAX_CHARS:
            span = (
                _iso(text.strip(), now)
                or _relative(words, here, _southern(now))
                or _calendar(words, here)
                or _parsed(words, here)
            )
        if span is None:
            raise ValueError
        start, end = (_utc(moment, now) for moment in span)
    except (ValueError, OverflowError, OSError):
        shown = text if len(text) <= 40 else text[:40] + "…"
        raise Invalid(f"{field} is not a date or time: {shown!r}", field=field,
                      fix="write it like " + ", ".join(EXAMPLES)) from None  # fmt: skip
    return start, end


def _utc(moment: datetime, now: datetime | None) -> str:
    if moment.tzinfo is None and now is not None:
        moment = moment.replace(tzinfo=now.tzinfo)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _iso(text: str, now: datetime | None) -> Span | None:
    """An ISO 8601 day or time. A time is its own end, to the millisecond."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if _ISO_DAY.fullmatch(text):
        return moment, moment + timedelta(days=1)
    return (moment, moment) if len(text) > 10 else None


def _relative(words: str, now: datetime, southern: bool) -> Span | None:
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if words in ("now", "just now"):
        return now, now
    if words in ("today", "yesterday", "tomorrow", "the day before yesterday"):
        start = day + timedelta(days={"today": 0, "yesterday": -1, "tomorrow": 1}.get(words, -2))
        return start, start + timedelta(days=1)
    if match := _AGO.fullmatch(words):
        return _ago(int(_NUMBERS.get(match[1], 0) or match[1]), match[2], now)
    if (match := _IN_SOME.fullmatch(words)) and (words.startswith("in ") or words.endswith(" from now")):
        return _ago(-int(_NUMBERS.get(match[1], 0) or match[1]), match[2], now)
    if match := _LAST_SOME.fullmatch(words):
        start, _ = _ago(int(_NUMBERS.get(match[1], 0) or match[1]), match[2], now)
        return start, now
    if (match := _SEASON.fullmatch(words)) and not (match[1] and match[3]):
        which = {"past": "last", "previous": "last"}.get(match[1], match[1] or "")
        begins = (_SEASONS[match[2]] + 6 * southern) % 12 or 12
        return _season(which, begins, int(match[3]) if match[3] else None, now)
    if match := _PERIOD.fullmatch(words):
        step = {"this": 0, "next": 1}.get(match[1], -1)
        return _period(match[2], _shift(now, match[2], step))
    name = words.removeprefix("on ").removeprefix("last ").removeprefix("this ")
    full = [d for d in _WEEKDAYS if d == name or d[:3] == name]
    if full:
        back = (now.weekday() - _WEEKDAYS.index(full[0])) % 7
        start = day - timedelta(days=back or (7 if words.startswith("last ") else 0))
        return start, start + timedelta(days=1)
    return None


def _ago(count: int, unit: str, now: datetime) -> Span:
    """ "3 hours ago" is that minute; "3 days ago" that day; "3 weeks ago" the day three weeks ago, "in 3 weeks" in three."""
    moment = _shift(now, unit, -count)
    if unit in ("second", "minute", "hour"):
        return moment, moment
    start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return start, start + timedelta(days=1)


def _shift(moment: datetime, unit: str, count: int) -> datetime:
    if unit in ("month", "year"):
        months = moment.year * 12 + moment.month - 1 + count * (12 if unit == "year" else 1)
        year, month = divmod(months, 12)
        if not 1 <= year <= 9999:
            raise ValueError("out of range")
        return moment.replace(year=year, month=month + 1, day=min(moment.day, calendar.monthrange(year, month + 1)[1]))
    return moment + timedelta(**{unit + "s": count})


def _period(unit: str, inside: datetime) -> Span:
    """The day, week (from Monday), month or year around a moment."""
    start = inside.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "week":
        start -= timedelta(days=start.weekday())
    elif unit == "month":
        start = start.replace(day=1)
    elif unit == "year":
        start = start.replace(month=1, day=1)
    return start, _shift(start, unit, 1)


def _season(which: str, month: int, year: int | None, now: datetime) -> Span:
    """That which begins in `month` of a year; without one the latest that has begun, `last` the latest that is over."""
    first = datetime(now.year if year is None else year, month, 1)
    if year is None and which != "this":
        while (first if which != "last" else _shift(first, "month", 3)) > now:
            first = _shift(first, "year", -1)
        if which == "next":
            first = _shift(first, "year", 1)
    elif which == "this" and _shift(first, "month", -9) > now:  # the winter that one is in began last year
        first = _shift(first, "year", -1)
    return first, _shift(first, "month", 3)


def _southern(now: datetime | None) -> bool:
    """Whether clocks go forward for a summer in January."""
    moments = [datetime((now or datetime.now()).year, month, 1) for month in (1, 7)]
    january, july = (m.astimezone() if now is None else m.replace(tzinfo=now.tzinfo) for m in moments)
    return (january.utcoffset() or timedelta()) > (july.utcoffset() or timedelta())


def _calendar(words: str, now: datetime) -> Span | None:
    """Years and months: "2026", "2026-03", "march", "march 2024"; one without a year is the latest that has begun."""
    if match := _YEAR_MONTH.fullmatch(words):
        return _period("month", datetime(int(match[1]), int(match[2]), 1))
    if match := _YEAR.fullmatch(words):
        return _period("year", datetime(int(match[1]), 1, 1))
    parts = words.removeprefix("in ").removeprefix("last ").replace(",", " ").split()
    if 1 <= len(parts) <= 2 and len(parts[0]) >= 3:
        month = next((i for i, name in enumerate(_MONTHS) if i and (name == parts[0] or name[:3] == parts[0])), 0)
        if month and len(parts) == 1:
            return _period("month", datetime(now.year - (month > now.month), month, 1))
        if month and len(parts[1]) == 4 and parts[1].isdecimal():
            return _period("month", datetime(int(parts[1]), month, 1))
    return None


def _parsed(words: str, now: datetime) -> Span | None:
    """Everything else that dateparser (an import of a third of a second) understands."""
    from dateparser.date import DateDataParser

    parser = DateDataParser(
        languages=["en"],
        settings={"PREFER_DATES_FROM": "past", "RELATIVE_BASE": now, "PREFER_DAY_OF_MONTH": "first",
                  "PREFER_MONTH_OF_YEAR": "first", "RETURN_TIME_AS_PERIOD": True},
    )  # fmt: skip
    data = parser.get_date_data(words)
    if data is None or data.date_obj is None:
        return None
    if data.period in ("day", "week", "month", "year"):
        return _period(data.period, data.date_obj)
    return data.date_obj, data.date_obj
