"""The hosted account of this user: signing in and out on this machine, and who one is."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from daemon import account
from daemon.http import Answer, Call, Routes, json_answer
from daemon.users import key_of
from jmem.core.errors import Invalid, Refused, Unauthorized
from jmem.core.wire import answers
from jmem.core.wire.base import Ask, NoBody, NoQuery

routes = Routes("account")
_TEXT = Annotated[str, Field(max_length=4096)]


class LoginAsk(Ask):
    """How to sign in: an address with a password, with a mailed code, or alone (then a code is mailed); or an API key."""

    url: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="the hosted account; else `hosted.url`"
    )
    email: Annotated[str, Field(max_length=320)] | None = None
    password: _TEXT | None = None
    code: Annotated[str, Field(max_length=64)] | None = None
    token: _TEXT | None = Field(None, description="an API key of the account, for machines without a person")


@routes.route("GET", "/account", NoQuery, "Who is signed in", answers={200: answers.Account}, problems=(404,))
def whoami(call: Call, ask: NoQuery) -> Answer:
    """Asks nobody: as this machine knows it."""
    return json_answer(_who(call))


@routes.route("POST", "/account/login", LoginAsk, "Sign in", answers={200: answers.Account, 202: answers.CodeSent},
              problems=(401, 403, 404, 409, 503))  # fmt: skip
def login(call: Call, ask: LoginAsk) -> Answer:
    """From then on what may leave this machine goes to the account. By the unix socket only.

    202 when a code was mailed: ask again with it. 409 `bound` when these memories belong to another account.
    """
    import httpx

    if not call.identity.local:
        raise Refused("signing in is for the unix socket only", code="socket_only", fix="jmem login")
    url = (ask.url or call.daemon.settings["hosted.url"]).rstrip("/")
    if not url:
        raise Invalid("no hosted account is named", code="no_account_url", field="url",
                      fix="jmem config set hosted.url https://…")  # fmt: skip
    user = call.user
    with httpx.Client() as http:
        if ask.token:
            begun = account.by_key(user.folder, user.id, url, ask.token.strip(), user.store, http)
        elif not ask.email:
            raise Invalid("sign in with an address or with an API key", code="empty", field="email")
        elif ask.password is None and ask.code is None:
            account.project_of(url, http).project.mail_code(ask.email)
            return json_answer({"code_sent": True, "email": ask.email}, 202)
        else:
            at = account.project_of(url, http)
            tokens = (at.project.by_code(ask.email, ask.code) if ask.password is None and ask.code is not None
                      else at.project.by_password(ask.email, ask.password or ""))  # fmt: skip
            begun = account.by_tokens(user.folder, user.id, url, at, tokens, user.store)
    account.save(user.folder, begun)
    user.syncer.restart()
    return json_answer(_who(call))


@routes.route("POST", "/account/logout", NoBody, "Sign out on this machine", answers={200: answers.Account}, problems=(403, 404))  # fmt: skip
def logout(call: Call, ask: NoBody) -> Answer:
    """What waits goes on waiting, and everything stays: here and in the account. By the unix socket only."""
    if not call.identity.local:
        raise Refused("signing out is for the unix socket only", code="socket_only", fix="jmem logout")
    user = call.user
    if account.stored(user.folder) is None:
        raise Unauthorized("nobody is signed in", code="not_signed_in", fix="jmem login")
    known = user.syncer.signed_in
    user.syncer.stop()
    if known is not None:
        known.tokens.end()
    account.forget(user.folder, user.id)
    user.syncer.restart()
    return json_answer(_who(call))


def _who(call: Call) -> dict[str, Any]:
    said = account.stored(call.user.folder)
    key = bool(key_of(call.daemon.settings, call.identity.user or ""))
    if said is None:
        return {"signed_in": key, "email": "", "account": "", "url": call.daemon.settings["hosted.url"],
                "kept": "the settings" if key else ""}  # fmt: skip
    return {"signed_in": True, "email": said.get("email", ""), "account": said.get("sub", ""), "url": said.get("url", ""),
            "kept": said.get("keeper", "")}  # fmt: skip
