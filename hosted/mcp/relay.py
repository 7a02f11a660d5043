"""Hands a message on to the replica that holds its stream, when a balancer brought it to another one.

Postgres carries it: a notice has the message in parts, all replicas hear them, and the one with the stream answers
whether it took it. Who asks is not in the notice: the holder looks the stream's own key up again, and the two paths
must be the same. No answer in time means that nobody holds the stream.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import secrets
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hosted.ops.events import Bus
from jmem.core.errors import JmemError, Unreachable
from jmem.core.mcp import exchange
from jmem.core.mcp.asker import Asker
from jmem.core.mcp.exchange import BadMessage
from jmem.core.mcp.sse import Sse

CHANNEL = "jmem_mcp"
PART = 7_000
"""Characters of a message in one notice, whose payload is limited to 8,000 bytes."""
ANSWER_S = 3.0
MAX_ARRIVING = 64
"""Messages that have come in part; the parts of one come together, so more were broken off."""
MAX_HANDED = 256
"""Messages of other replicas that are being taken at once; more are not heard."""
log = logging.getLogger(__name__)

Authenticate = Callable[[str], Awaitable[Asker]]
"""Who the key in a stream's path belongs to now; raises JmemError when nobody."""


@dataclass(slots=True)
class _Parts:
    """A message that is arriving."""

    version: str | None
    session: str
    path: str
    texts: list[str] = field(default_factory=list)


class Relay:
    """One replica's end. Lives on one event loop."""

    def __init__(self, bus: Bus, authenticate: Authenticate) -> None:
        self._bus, self._authenticate = bus, authenticate
        self._sse: Sse | None = None
        self._asked: dict[str, asyncio.Future[int]] = {}
        self._arriving: dict[str, _Parts] = {}
        self._taking: set[asyncio.Task[None]] = set()

    def start(self, sse: Sse) -> None:
        """Begin to hear of messages for this replica's streams."""
        self._sse = sse
        self._bus.carry(CHANNEL, self._heard)

    async def hand_on(self, session: str, path: str, version: str | None, body: bytes) -> int:
        """The status with which the holder of a stream took a message; 404 when nobody holds it.

        Raises Unreachable while replicas can't reach each other.
        """
        if self._bus.alone:
            return 404
        number = secrets.token_hex(8)
        packed = base64.b64encode(zlib.compress(body, 1)).decode()
        parts = [packed[at : at + PART] for at in range(0, len(packed), PART)]
        about = {"n": number, "s": session[:64], "p": _digest(path), "v": version and version[:32], "of": len(parts)}
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            await self._bus.send(CHANNEL, [json.dumps({**about, "b": part}) for part in parts])
            return await asyncio.wait_for(answer, ANSWER_S)
        except ConnectionError as error:
            raise Unreachable(
                "the stream can't be reached now", code="unavailable", fix="ask again in a second", retry_after=1
            ) from error
        except TimeoutError:
            return 404
        finally:
            del self._asked[number]

    def _heard(self, payload: str) -> None:
        told = json.loads(payload)
        if "a" in told:
            answer = self._asked.get(told["n"])
            if answer is not None and not answer.done():
                answer.set_result(int(told["a"]))
            return
        assert self._sse is not None
        if self._sse.get(told["s"]) is None:
            return
        parts = self._arriving.setdefault(told["n"], _Parts(told["v"], told["s"], told["p"]))
        parts.texts.append(told["b"])
        if len(parts.texts) < told["of"]:
            if len(self._arriving) > MAX_ARRIVING:
                del self._arriving[next(iter(self._arriving))]
            return
        del self._arriving[told["n"]]
        if len(self._taking) < MAX_HANDED:
            task = asyncio.create_task(self._take(self._sse, told["n"], parts))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def _take(self, sse: Sse, number: str, parts: _Parts) -> None:
        try:
            status = await self._status(sse, parts)
            await self._bus.send(CHANNEL, [json.dumps({"n": number, "a": status})])
        except ConnectionError as error:
            log.warning("a message of another replica was not acknowledged: %s", error)

    async def _status(self, sse: Sse, parts: _Parts) -> int:
        stream = sse.get(parts.session)
        if stream is None or _digest(stream.path) != parts.path:
            return 404
        try:
            caller = await self._authenticate(stream.path)
            message = exchange.parse(zlib.decompress(base64.b64decode("".join(parts.texts))))
            return sse.take(stream, parts.session, message, parts.version, caller)
        except BadMessage:
            return 400
        except JmemError as error:
            return error.status


def _digest(path: str) -> str:
    """What stands for a path in a notice: its key is nobody's to read."""
    return hashlib.sha256(b"jmem mcp stream\0" + path.encode()).hexdigest()
