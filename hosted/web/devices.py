"""Machines that sync with the account, browsers that are signed in, and letting this browser's machine in."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from starlette.responses import Response

from hosted.identity import device_codes
from hosted.identity import devices as machines
from hosted.web.flashes import Flash
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.errors import Invalid, NotFound

pages = Pages(private=True)
MAX_NAME = 60
_STATE = re.compile(r"[A-Za-z0-9_-]{16,128}")
_PORT = re.compile(r"[1-9][0-9]{3,4}")


@pages.get("/devices")
async def devices(visit: Visit) -> Response:
    """Each machine with what it has and when it was seen; each browser with its last visit."""
    await visit.request.app.state.devices.flush(visit.me.user_id)
    async with visit.site.backend.database.tenant(visit.me.user_id) as conn:
        found = await machines.listed(conn, visit.me.user_id)
    browsers = [{"agent": browser_of(agent), "since": since, "used": used, "here": here}
                for agent, since, used, here in await visit.site.sessions.listed(visit.session)]  # fmt: skip
    return visit.page("devices.html", machines=found, browsers=browsers)


@pages.post("/devices/revoke")
async def revoke(visit: Visit) -> Response:
    """Shut a machine out."""
    try:
        async with visit.site.backend.database.tenant(visit.me.user_id) as conn:
            await machines.revoke(conn, visit.me.user_id, visit.form.get("device"))
    except NotFound:
        return visit.go("/devices")  # it was done before
    return visit.go("/devices", Flash("device_revoked"))


@pages.get("/devices/new")
async def new(visit: Visit) -> Response:
    """Whether to connect the computer that this browser runs on; `jmem login` opens this page."""
    asked = _asked(visit.query)
    return visit.page("device_new.html", 200, **asked)


@pages.post("/devices/new")
async def decide(visit: Visit) -> Response:
    """Back to the program that waits on this computer: with a code that is worth something to it alone, or refused."""
    asked = _asked(visit.form)
    if visit.form.get("decision") != "allow":
        return _onward(visit, asked, error="access_denied")
    async with visit.site.backend.database.tenant(visit.me.user_id) as conn:
        code = await device_codes.make(conn, visit.me.user_id, asked["challenge"], asked["name"])
    return _onward(visit, asked, code=code)


def _asked(given: object) -> dict[str, str]:
    get = given.get  # type: ignore[attr-defined]  # a query or a form
    asked = {name: str(get(name, "")) for name in ("challenge", "port", "state", "name")}
    if not (
        device_codes.CHALLENGE.fullmatch(asked["challenge"])
        and _STATE.fullmatch(asked["state"])
        and _PORT.fullmatch(asked["port"])
        and int(asked["port"]) < 65536
    ):
        raise Invalid("this address is not whole", fix="start again with: jmem login")
    asked["name"] = "".join(c for c in asked["name"] if c.isprintable()).strip()[:MAX_NAME]
    return asked


def _onward(visit: Visit, asked: dict[str, str], **told: str) -> Response:
    """Not by a redirect, which `form-action` would hold back for an address that is not ours."""
    address = f"http://127.0.0.1:{asked['port']}/?" + urlencode({**told, "state": asked["state"]})
    return visit.page("device_onward.html", address=address, let_in="code" in told)


def browser_of(agent: str) -> str:
    """What a browser calls itself, in two words; the order matters, since each claims to be the ones before it."""
    kinds = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
    places = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"),
              ("Linux", "Linux"))  # fmt: skip
    kind = next((name for mark, name in kinds if mark in agent), "A browser")
    place = next((name for mark, name in places if mark in agent), "")
    return f"{kind} on {place}" if place else kind
