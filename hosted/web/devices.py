"""Machines that sync with the account, and browsers that are signed in."""

from __future__ import annotations

from sqlalchemy import text
from starlette.responses import Response

from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.clock import stamp_ms
from jmem.core.model import iso

pages = Pages(private=True)
_DEVICES = text(
    "SELECT device, count(*) AS ops, max(seq) AS seq, max(stamp) AS stamp FROM jmem.ops"
    " WHERE user_id = :user AND device IS NOT NULL GROUP BY device ORDER BY max(seq) DESC LIMIT 100"
)
_HEAD = text("SELECT seq FROM jmem.sync_heads WHERE user_id = :user")


@pages.get("/devices")
async def devices(visit: Visit) -> Response:
    """Each machine with what it sent and when; each browser with its last visit."""
    user = {"user": visit.me.user_id}
    async with visit.site.backend.database.tenant(visit.me.user_id) as conn:
        found = (await conn.execute(_DEVICES, user)).all()
        head = (await conn.execute(_HEAD, user)).scalar_one_or_none() or 0
    machines = [
        {"name": row.device, "ops": row.ops, "seen": iso(stamp_ms(row.stamp)), "behind": head - row.seq}
        for row in found
    ]
    browsers = [{"agent": browser_of(agent), "since": since, "used": used, "here": here}
                for agent, since, used, here in await visit.site.sessions.listed(visit.session)]  # fmt: skip
    return visit.page("devices.html", machines=machines, browsers=browsers)


def browser_of(agent: str) -> str:
    """What a browser calls itself, in two words; the order matters, since each claims to be the ones before it."""
    kinds = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
    places = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"),
              ("Linux", "Linux"))  # fmt: skip
    kind = next((name for mark, name in kinds if mark in agent), "A browser")
    place = next((name for mark, name in places if mark in agent), "")
    return f"{kind} on {place}" if place else kind
