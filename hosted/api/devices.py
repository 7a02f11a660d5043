"""Machines that sync with the account: which there are, shutting one out, and handing one its sign-in."""

from __future__ import annotations

from fastapi import Request, Response
from pydantic import Field

from hosted.api import access
from hosted.api.routing import Call, Routes, answer, body_of, problems_of, takes
from hosted.identity import device_codes, devices
from hosted.identity.device_codes import BadCode
from hosted.identity.principal import owner, person
from hosted.identity.services import services_of
from jmem.core.wire import answers
from jmem.core.wire.base import Ask, NoQuery

routes = Routes("devices")
MAX_BODY = 4096


class RedeemAsk(Ask):
    """What the browser brought, and what the page's challenge was made of."""

    code: str = Field(max_length=128)
    verifier: str = Field(max_length=128)


@routes.route("GET", "/devices", NoQuery, "Machines that sync", answers={200: access.Devices}, who=owner)
async def list_devices(call: Call, ask: NoQuery) -> Response:
    """With when each was seen last, and how many changes it has not read; another replica tells of it within a minute."""
    user_id = call.principal.user_id
    await call.request.app.state.devices.flush(user_id)
    async with call.backend.database.tenant(user_id) as conn:
        found = await devices.listed(conn, user_id)
    return answer({"devices": [device.public() for device in found]})


@routes.route("DELETE", "/devices/{device}", NoQuery, "Shut a machine out", answers={200: answers.Device}, problems=(404,), who=person)  # fmt: skip
async def revoke(call: Call, ask: NoQuery) -> Response:
    """The session or API key that it used last is refused from the next request on; it may sign in anew."""
    user_id = call.principal.user_id
    async with call.backend.database.tenant(user_id) as conn:
        found = await devices.revoke(conn, user_id, call.params["device"])
    return answer(found.public())


@routes.router.post("/devices/redeem", summary="Take a sign-in from a browser", operation_id="devices_redeem",
                    response_model=access.SignIn, responses=problems_of(401, 413, 422, 429, 503),
                    openapi_extra=takes("/devices/redeem", RedeemAsk))  # fmt: skip
async def redeem(request: Request) -> Response:
    """What is worth one session of its own at the account's Supabase project, by `POST /auth/v1/verify` with type `email`.

    Between `jmem login` and the account alone. Needs no token: the code, which is good once and for two minutes, and the verifier prove whose it is.
    """
    asked = RedeemAsk.model_validate_json(await body_of(request, MAX_BODY) or b"{}")
    user_id = device_codes.account_of(asked.code)
    async with request.app.state.backend.database.tenant(user_id) as conn:
        good = await device_codes.take(conn, user_id, asked.code, asked.verifier)
    if not good:
        raise BadCode()
    email, token_hash = await services_of(request).supabase.one_time_hash(user_id)
    made = answer({"email": email, "token_hash": token_hash})
    made.headers["cache-control"] = "no-store"
    return made
