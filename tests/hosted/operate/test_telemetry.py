"""What is told to others: nothing unless a setting says so, and then no word, id or address of anybody."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import pytest

from hosted.operate.telemetry import Uses, account_of, report_failures
from hosted.settings import Settings
from jmem.core.errors import Invalid
from tests.hosted.identity.conftest import Running
from tests.hosted.operate.conftest import Receiver
from tests.hosted.world import served

SECRETS = ("treasure", "old oak", "hunter2", "jmc_abcdefghijkl")
FAILING = """
import logging, sys
from hosted.operate.telemetry import report_failures
from hosted.settings import Settings
assert report_failures(Settings(database_url="", sentry_dsn=sys.argv[1]))
def dig(where):
    raise ValueError("the treasure is under the old oak " + where)
try:
    dig("hunter2")
except ValueError:
    logging.getLogger("hosted.somewhere").error("request %s failed at /mcp/claude/http/%s", "treasure", "jmc_abcdefghijkl", exc_info=True)
logging.getLogger("hosted.somewhere").error("the treasure of %s", "hunter2")
import sentry_sdk
sentry_sdk.flush(10)
"""


def test_failures_are_reported_by_their_place_alone(receiver: Receiver) -> None:
    dsn = receiver.url.replace("://", "://public@") + "/1"
    subprocess.run([sys.executable, "-c", FAILING, dsn], check=True, timeout=60, cwd=Path(__file__).parents[3])
    assert {path for path, _ in receiver.posted} == {"/api/1/envelope/"}
    events = [found for found in receiver.documents() if "exception" in found]
    failure = next(each for each in events if each["exception"]["values"])
    (value,) = failure["exception"]["values"]
    assert value["type"] == "ValueError"
    assert {frame["function"] for frame in value["stacktrace"]["frames"]} == {"<module>", "dig"}
    assert len(events) == 2
    assert not [secret for secret in SECRETS if secret in receiver.text]


def test_nothing_is_reported_unless_a_setting_says_so() -> None:
    assert not report_failures(Settings(database_url=""))
    with pytest.raises(Invalid, match="SENTRY_DSN"):
        report_failures(Settings(database_url="", sentry_dsn="not an address"))


def test_uses_are_told_without_words_or_names(
    database_url: str, owner_url: str, supabase: Running, receiver: Receiver
) -> None:
    with served(
        database_url, owner_url, supabase, vectors=False, posthog_api_key="phc_project", posthog_host=receiver.url
    ) as world:
        ada = world.person("secretive")
        ada.add("the treasure is under the old oak", tags=["private-tag"])
        ada.must("POST", "/search", {"query": "treasure"})
    (path, body), *_ = receiver.posted  # what waits is told at the end
    told = json.loads(body)
    assert (path, told["api_key"]) == ("/batch/", "phc_project")
    assert {each["event"] for each in told["batch"]} >= {"add", "search"}
    assert {each["distinct_id"] for each in told["batch"]} == {account_of(ada.user)}
    assert {each["properties"]["client"] for each in told["batch"]} == {"web"}
    for secret in ("treasure", "oak", "private-tag", str(ada.user), ada.user.hex, ada.email):
        assert secret not in receiver.text


def test_uses_are_told_to_nobody_by_default(
    database_url: str, owner_url: str, supabase: Running, receiver: Receiver
) -> None:
    with served(database_url, owner_url, supabase, vectors=False, posthog_host=receiver.url) as world:
        world.person().add("something")
    assert receiver.posted == []


async def test_uses_that_cannot_be_told_are_dropped(receiver: Receiver) -> None:
    receiver.status = 500
    async with httpx.AsyncClient() as http:
        uses = Uses(http, receiver.url, "key")
        for _ in range(1200):
            uses.note(uuid.uuid4(), "add", "a name of one's own")
        await uses.flush()
        assert len(receiver.posted) == 1
        receiver.status = 200
        await uses.flush()
    assert "of one's own" not in receiver.text
    assert [len(json.loads(body)["batch"]) for _, body in receiver.posted] == [500, 500, 200]
