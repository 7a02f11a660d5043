"""Whether this machine and its account know the same: proven by their hash trees, and put right."""

from __future__ import annotations

from daemon import replies
from daemon.http import Answer, Call, Routes, json_answer
from jmem.core.wire.base import Ask, NoQuery

routes = Routes("verify")
WAIT_S = 3000.0
"""How long an exchange may take before the two are compared: the first one of a large store."""


class VerifyAsk(Ask):
    """Whether to put right what differs."""

    fix: bool = False


@routes.route("POST", "/sync/verify", VerifyAsk, "Compare with the account", answers={200: replies.Verdict},
              problems=(401, 404, 409, 503))  # fmt: skip
def verify(call: Call, ask: VerifyAsk) -> Answer:
    """What waits is exchanged first. `differing` are the ids of memories that are not the same on both sides; with `fix`
    they are put right, and compared again. What never leaves this machine does not count."""
    return json_answer(call.user.syncer.verify(WAIT_S, fix=ask.fix).as_dict())


@routes.route("GET", "/sync/verify", NoQuery, "How far it has come", answers={200: replies.Verifying}, problems=(404,))
def verifying(call: Call, ask: NoQuery) -> Answer:
    """`what` is exchanged, compared or mended, empty while nobody compares; `done` how many ops, rows or memories."""
    what, done = call.user.syncer.verifying
    return json_answer({"what": what, "done": done})
