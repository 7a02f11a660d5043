"""Counts addresses on the way in, and tells in every answer how much is left."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hosted.edge.address import bucket_of, is_here
from hosted.edge.answers import refuse
from hosted.edge.context import current
from hosted.edge.rates import Counted, Rates, TooMany, kind_of

EXEMPT = ("/health", "/ready", "/metrics")


class Counting:
    """A layer that every request but those of EXEMPT goes through."""

    def __init__(self, app: ASGIApp, *, rates: Rates) -> None:
        self._app, self._rates = app, rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through unless its address has asked too much; anything else passes."""
        asking = current.get()
        if scope["type"] != "http" or asking is None or scope["path"] in EXEMPT:
            await self._app(scope, receive, send)
            return
        asking.kind, asking.rates = kind_of(scope["method"], scope["path"]), self._rates
        asking.state = scope["app"].state

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and asking.counted:
                _tell(MutableHeaders(scope=message), asking.counted)
            await send(message)

        try:
            await self._address(asking.address, asking.kind, asking.counted)
        except TooMany as error:
            asking.counted.append(error.counted)
            await refuse(error, scope, receive, sending, {"retry-after": str(error.counted.reset)})
            return
        await self._app(scope, receive, sending)

    async def _address(self, address: str, kind: str, counted: list[Counted]) -> None:
        if is_here(address):
            return
        bucket = bucket_of(address)
        names = ("address", "sign_in") if kind == "sign_in" else ("address",)
        counted += [found for name in names if (found := await self._rates.count(name, bucket)) is not None]


def _tell(headers: MutableHeaders, counted: list[Counted]) -> None:
    headers["ratelimit-policy"] = ", ".join(f'"{one.name}";q={one.limit};w=60' for one in counted)
    headers["ratelimit"] = ", ".join(f'"{one.name}";r={one.left};t={one.reset}' for one in counted)
