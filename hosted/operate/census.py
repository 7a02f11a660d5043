"""What is known of all accounts together, asked as the role that may count and read nobody's words.

The answers are kept for a minute: a scrape costs the database a few queries, however many ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import structlog
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import text

from hosted.db.engine import DATABASE_FAILURES, Database
from hosted.operate.metrics import CLIENTS
from hosted.vectors.alias import VectorIndex

KEPT_S = 60.0
_log = structlog.get_logger(__name__)

_SEEN = """
    SELECT user_id, max(at) AS at FROM (
        SELECT user_id, last_used_at AS at FROM jmem.api_keys WHERE last_used_at IS NOT NULL
        UNION ALL SELECT user_id, last_used_at FROM jmem.grants WHERE last_used_at IS NOT NULL
        UNION ALL SELECT user_id, used_at FROM jmem.web_sessions
        UNION ALL SELECT user_id, to_timestamp(('x' || lpad(left(last_stamp, 12), 16, '0'))::bit(64)::bigint / 1000.0)
            FROM jmem.sync_heads WHERE last_stamp <> ''
    ) uses GROUP BY user_id"""
_ACCOUNTS = text(f"""
    WITH seen AS ({_SEEN}), known AS (
        SELECT coalesce(h.user_id, s.user_id) AS user_id, coalesce(h.created_at, s.at) AS since, s.at
        FROM jmem.sync_heads h FULL JOIN seen s ON s.user_id = h.user_id)
    SELECT count(*) AS accounts,
        count(*) FILTER (WHERE at > now() - interval '1 day') AS day,
        count(*) FILTER (WHERE at > now() - interval '7 days') AS week,
        count(*) FILTER (WHERE at > now() - interval '30 days') AS month,
        count(*) FILTER (WHERE since BETWEEN now() - interval '14 days' AND now() - interval '7 days') AS week_old,
        count(*) FILTER (WHERE since BETWEEN now() - interval '14 days' AND now() - interval '7 days'
            AND at > now() - interval '7 days') AS week_kept,
        count(*) FILTER (WHERE since BETWEEN now() - interval '60 days' AND now() - interval '30 days') AS month_old,
        count(*) FILTER (WHERE since BETWEEN now() - interval '60 days' AND now() - interval '30 days'
            AND at > now() - interval '30 days') AS month_kept
    FROM known""")
_ADOPTION = text("""
    SELECT CASE WHEN client = ANY (:known) THEN client ELSE 'other' END AS program, count(DISTINCT user_id) FROM (
        SELECT user_id, client FROM jmem.api_keys WHERE kind = 'connector' AND last_used_at > now() - interval '7 days'
        UNION ALL SELECT user_id, client FROM jmem.grants WHERE last_used_at > now() - interval '7 days'
    ) calls GROUP BY 1 ORDER BY 1""")
_ADOPTERS = text("""
    SELECT count(DISTINCT user_id) FROM (
        SELECT user_id FROM jmem.api_keys WHERE kind = 'connector' AND last_used_at > now() - interval '7 days'
        UNION ALL SELECT user_id FROM jmem.grants WHERE last_used_at > now() - interval '7 days') calls""")
_SIZES = text("""
    SELECT (SELECT coalesce(sum(seq), 0)::bigint FROM jmem.sync_heads) AS ops,
        (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'jmem.memories'::regclass) AS memories""")
_DELETIONS = text("""
    SELECT count(*), coalesce(extract(epoch FROM now() - min(asked_at)), 0)::float8, coalesce(max(attempts), 0)
    FROM jmem.deletions""")


@dataclass(slots=True)
class _Known:
    at: float = float("-inf")
    families: Sequence[GaugeMetricFamily] = field(default_factory=tuple)
    complete: bool = False


class Counts:
    """The census of one replica."""

    def __init__(self, database: Database, index: VectorIndex | None = None, kept: float = KEPT_S) -> None:
        self._database, self._index, self._kept = database, index, kept
        self._known = _Known()
        self._asking = asyncio.Lock()

    async def refresh(self) -> None:
        """Ask the database, unless it was asked a moment ago; what can't be told is left out."""
        async with self._asking:
            if time.monotonic() - self._known.at < self._kept:
                return
            try:
                families = await self._ask()
                self._known = _Known(time.monotonic(), families, True)
            except DATABASE_FAILURES as error:
                _log.warning("accounts_not_counted", error=type(error).__name__)
                self._known = _Known(time.monotonic())

    def families(self) -> Iterable[GaugeMetricFamily]:
        """What was told last."""
        yield from self._known.families
        yield GaugeMetricFamily("jmem_census_up", "Whether the accounts could be counted", int(self._known.complete))

    async def _ask(self) -> list[GaugeMetricFamily]:
        async with self._database.system("jmem_metrics") as conn:
            accounts = (await conn.execute(_ACCOUNTS)).one()
            adoption = (await conn.execute(_ADOPTION, {"known": list(CLIENTS)})).all()
            adopters = (await conn.execute(_ADOPTERS)).scalar_one()
            sizes = (await conn.execute(_SIZES)).one()
        async with self._database.system("jmem_deletion") as conn:
            deletions = (await conn.execute(_DELETIONS)).one()
        found = [
            _family("jmem_accounts", "Accounts", accounts.accounts),
            _family("jmem_accounts_active", "Accounts seen within so many days", "days", {
                "1": accounts.day, "7": accounts.week, "30": accounts.month}),
            _family("jmem_cohort_accounts", "Accounts begun 7 to 14, or 30 to 60, days ago", "days", {
                "7": accounts.week_old, "30": accounts.month_old}),
            _family("jmem_cohort_retained", "Those of them seen within the last 7, or 30, days", "days", {
                "7": accounts.week_kept, "30": accounts.month_kept}),
            _family("jmem_mcp_accounts", "Accounts with an assistant's call within 7 days, by program", "client", dict(
                [tuple(row) for row in adoption])),
            _family("jmem_mcp_accounts_any", "Accounts with any assistant's call within 7 days", adopters),
            _family("jmem_ops", "Operations of all accounts", sizes.ops),
            _family("jmem_memories_estimate", "Memories of all accounts, as the planner estimates them", sizes.memories),
            _family("jmem_deletions_pending", "Accounts whose deletion is under way", deletions[0]),
            _family("jmem_deletions_oldest_seconds", "Since when the oldest of them is", deletions[1]),
            _family("jmem_deletions_attempts", "The most attempts that one of them has needed", deletions[2]),
        ]  # fmt: skip
        if self._index is not None:
            depth = await self._index.depth()
            found += [
                _family("jmem_index_behind_accounts", "Accounts the vector index is behind for", depth.accounts),
                _family("jmem_index_behind_changes", "Changes it is behind by", depth.changes),
                _family("jmem_index_behind_worst", "Changes it is behind by for the worst account", depth.worst),
            ]
        return found


def _family(name: str, about: str, value: float | str, by: dict[str, float] | None = None) -> GaugeMetricFamily:
    if not isinstance(value, str):
        return GaugeMetricFamily(name, about, float(value))
    family = GaugeMetricFamily(name, about, labels=[value])
    for label, count in (by or {}).items():
        family.add_metric([label], float(count))
    return family
