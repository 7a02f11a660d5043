"""The short commands of `python -m hosted`: what they print and how they end."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from sqlalchemy.exc import ArgumentError

from hosted.db.engine import DATABASE_FAILURES
from hosted.db.migrate import revisions, upgrade
from hosted.operate import copies, sealed
from hosted.operate.environment import read_settings
from hosted.settings import Settings
from jmem.core.errors import Invalid, Unreachable
from jmem.core.redaction import redacted


def migrate() -> None:
    """Bring the database to the newest revision, and let the application's role in. Raises Invalid, Unreachable."""
    settings = read_settings()
    owner = _owner(settings)
    try:
        asyncio.run(upgrade(owner, application_url=settings.database_url))
    except (ArgumentError, *DATABASE_FAILURES) as error:
        cause = getattr(error, "orig", None) or error
        raise Unreachable(
            f"the database could not be migrated, and is as it was: {redacted(str(cause))}", code="not_migrated",
            fix="python -m hosted check",
        ) from error  # fmt: skip
    sys.stdout.write(f"the database is at revision {revisions()[-1]}\n")


def check(*, as_json: bool) -> int:
    """Print every finding; 1 when something is wrong."""
    from hosted.operate import checks  # asks with all that a replica asks with, which takes a while to load

    found = asyncio.run(checks.check())
    if as_json:
        sys.stdout.write(json.dumps({"checks": [each.document() for each in found]}) + "\n")
    else:
        width = max(len(each.name) for each in found)
        for each in found:
            mends = f"  → {each.mends}" if each.mends else ""
            sys.stdout.write(f"{each.state:4}  {each.name:{width}}  {each.about}{mends}\n")
    return 1 if any(each.state == "fail" for each in found) else 0


def backup(path: Path) -> None:
    """Write an encrypted copy of the database; `-` is standard output. Raises JmemError."""
    settings = read_settings()
    key = sealed.keys(settings.backup_key)[0]
    if str(path) == "-":
        done = asyncio.run(copies.write(_owner(settings), sys.stdout.buffer, key))
        sys.stdout.buffer.flush()
    else:
        done = asyncio.run(copies.backup(_owner(settings), path, key))
    sys.stderr.write(f"{path}: {done.rows:,} rows of {len(done.tables)} tables, {done.size:,} bytes\n")


def restore(path: Path, *, force: bool, verify: bool) -> None:
    """Put an encrypted copy in the place of what the database holds, or only read it. Raises JmemError."""
    settings = read_settings()
    keys = sealed.keys(settings.backup_key)
    if verify:
        manifest, totals = copies.verify(path, keys)
        rows = sum(total.rows for total in totals.values())
        sys.stdout.write(f"{path}: whole, of {manifest.created_at}, {rows:,} rows of {len(totals)} tables\n")
        return
    done = asyncio.run(
        copies.restore(_owner(settings), path, keys, force=force, application_url=settings.database_url)
    )  # fmt: skip
    forgotten = f"; {done.forgotten:,} accounts deleted since then stay deleted" if done.forgotten else ""
    sys.stdout.write(f"restored {done.rows:,} rows of {len(done.tables)} tables, as of {done.created_at}{forgotten}\n")


def backup_key() -> None:
    """Print a new key for BACKUP_KEY."""
    sys.stdout.write(sealed.new_key() + "\n")


def _owner(settings: Settings) -> str:
    if not settings.migration_database_url:
        raise Invalid("MIGRATION_DATABASE_URL is not set: the role that owns the tables", code="setting",
                      field="MIGRATION_DATABASE_URL")  # fmt: skip
    return settings.migration_database_url
