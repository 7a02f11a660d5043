"""The short commands of `python -m hosted`: what they print and how they end."""

from __future__ import annotations

import asyncio
import json
import sys

from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from hosted.app import read_settings
from hosted.db.migrate import revisions, upgrade
from hosted.operate import checks
from jmem.core.errors import Invalid, Unreachable
from jmem.core.redaction import redacted


def migrate() -> None:
    """Bring the database to the newest revision, and let the application's role in. Raises Invalid, Unreachable."""
    settings = read_settings()
    if not settings.migration_database_url:
        raise Invalid("MIGRATION_DATABASE_URL is not set: the role that owns the tables", code="setting",
                      field="MIGRATION_DATABASE_URL")  # fmt: skip
    try:
        asyncio.run(upgrade(settings.migration_database_url, application_url=settings.database_url))
    except (SQLAlchemyError, ArgumentError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise Unreachable(
            f"the database could not be migrated, and is as it was: {redacted(str(cause))}", code="not_migrated",
            fix="python -m hosted check",
        ) from error  # fmt: skip
    sys.stdout.write(f"the database is at revision {revisions()[-1]}\n")


def check(*, as_json: bool) -> int:
    """Print every finding; 1 when something is wrong."""
    found = asyncio.run(checks.check())
    if as_json:
        sys.stdout.write(json.dumps({"checks": [each.document() for each in found]}) + "\n")
    else:
        width = max(len(each.name) for each in found)
        for each in found:
            mends = f"  → {each.mends}" if each.mends else ""
            sys.stdout.write(f"{each.state:4}  {each.name:{width}}  {each.about}{mends}\n")
    return 1 if any(each.state == "fail" for each in found) else 0
