"""The hosted account of this user: signing in and out on this machine, and who one is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from pydantic import Field

from daemon import account, replies
from daemon.http import ZIP, Answer, Call, Routes, Stream, json_answer
from daemon.users import key_of
from jmem.core import outbox
from jmem.core.errors import Invalid, NotFound, Refused, StorageFailed, Unauthorized
from jmem.core.wire.base import Ask, NoBody, NoQuery

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from sync.session import Tokens

routes = Routes("account")
SIGN_OUT_S = 2.0
"""How long signing out waits for a network that hangs."""
_TEXT = Annotated[str, Field(max_length=4096)]


class LoginAsk(Ask):
    """How to sign in: an address with a password, with a mailed code, or alone (then a code is mailed); the code that a
    browser brought; or an API key."""

    url: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="the hosted account; else `hosted.url`"
    )
    email: Annotated[str, Field(max_length=320)] | None = None
    password: _TEXT | None = None
    code: Annotated[str, Field(max_length=64)] | None = None
    browser_code: Annotated[str, Field(max_length=128)] | None = Field(
        None, description="what the account's page brought to this machine"
    )
    verifier: Annotated[str, Field(max_length=128)] | None = Field(None, description="of the page's challenge")
    token: _TEXT | None = Field(None, description="an API key of the account, for machines without a person")
    anew: bool = Field(
        False, description="give what may leave to this account where the one it belonged to was deleted"
    )


class CheckAsk(Ask):
    """Whom to ask."""

    url: Annotated[str, Field(max_length=2048)] = Field(description="the hosted account")


class DeleteAsk(Ask):
    """A deletion that was meant."""

    confirm: Annotated[str, Field(max_length=320)] = Field(description="the account's address")


@routes.route("GET", "/account", NoQuery, "Who is signed in", answers={200: replies.Account}, needs_user=False)
def whoami(call: Call, ask: NoQuery) -> Answer:
    """Asks nobody: as this machine knows it. A user that is not there yet is signed in nowhere."""
    name = call.identity.user or ""
    try:
        return json_answer(_who(call, call.daemon.users.folder(name)))
    except NotFound:
        return json_answer(_who(call, None))


@routes.route("POST", "/account/check", CheckAsk, "Look whether the account of these memories lives",
              answers={200: replies.AccountChecked}, problems=(403, 404, 503))  # fmt: skip
def check(call: Call, ask: CheckAsk) -> Answer:
    """Asks the account without a sign-in, and nobody where these memories belong to none. By the unix socket only."""
    import httpx

    if not call.identity.local:
        raise Refused("the account is asked by the unix socket only", code="socket_only", fix="jmem login")
    with call.user.store.reader() as conn:
        bound = outbox.position(conn).account
    with httpx.Client(headers={"user-agent": "jmem"}) as http:
        gone = bound is not None and account.is_gone(ask.url, bound, http) is not None
    return json_answer({"bound": bound or "", "gone": gone})


@routes.route("POST", "/account/login", LoginAsk, "Sign in", answers={200: replies.Account, 202: replies.CodeSent},
              problems=(401, 403, 404, 409, 503), writes=True)  # fmt: skip
def login(call: Call, ask: LoginAsk) -> Answer:
    """From then on what may leave this machine goes to the account. By the unix socket only.

    202 when a code was mailed: ask again with it. 409 `bound` when these memories belong to another account, with `anew`
    only where that one lives.
    """
    import httpx

    if not call.identity.local:
        raise Refused("signing in is for the unix socket only", code="socket_only", fix="jmem login")
    url = (ask.url or call.daemon.settings["hosted.url"]).rstrip("/")
    if not url:
        raise Invalid("no hosted account is named", code="no_account_url", field="url",
                      fix="jmem config set hosted.url https://…")  # fmt: skip
    user = call.user
    with httpx.Client(headers={"user-agent": "jmem"}) as http:
        if ask.token:
            begun = account.by_key(user.folder, user.id, url, ask.token.strip(), user.store, http, anew=ask.anew)
        else:
            at = account.project_of(url, http)
            tokens = _tokens(ask, url, at, http)
            if tokens is None:
                return json_answer({"code_sent": True, "email": ask.email}, 202)
            begun = account.by_tokens(user.folder, user.id, url, at, tokens, user.store, http, anew=ask.anew)
    account.save(user.folder, begun)
    user.syncer.restart()
    return json_answer(_who(call, user.folder))


def _tokens(ask: LoginAsk, url: str, at: account.At, http: httpx.Client) -> Tokens | None:
    """A session as it was asked for; None when a code was mailed instead."""
    from sync.session import redeem

    if ask.browser_code is not None:
        return at.project.by_hash(redeem(url, ask.browser_code, ask.verifier or "", http))
    if not ask.email:
        raise Invalid("sign in with an address, a browser or an API key", code="empty", field="email")
    if ask.password is not None:
        return at.project.by_password(ask.email, ask.password)
    if ask.code is not None:
        return at.project.by_code(ask.email, ask.code)
    at.project.mail_code(ask.email)
    return None


@routes.route("POST", "/account/logout", NoBody, "Sign out on this machine", answers={200: replies.Account}, problems=(403, 404))  # fmt: skip
def logout(call: Call, ask: NoBody) -> Answer:
    """What waits goes on waiting, and everything stays: here and in the account. By the unix socket only."""
    if not call.identity.local:
        raise Refused("signing out is for the unix socket only", code="socket_only", fix="jmem logout")
    from sync.remote import Offline

    user = call.user
    if not (user.folder / account.FILE).exists():
        if key_of(call.daemon.settings, call.identity.user or ""):
            raise Refused("the key that signs this machine in is in the settings", code="key_in_settings",
                          fix="unset JMEM_TOKEN, or: jmem config unset hosted.token")  # fmt: skip
        raise Unauthorized("nobody is signed in", code="not_signed_in", fix="jmem login")
    user.syncer.stop()
    try:
        user.syncer.sign_out(SIGN_OUT_S)
    except (Offline, StorageFailed) as error:  # the keyring is away, or what is kept is damaged: it is forgotten here
        call.daemon.log.bind("account").warning("the session could not be ended at the account", why=error.message)
    account.forget(user.folder, user.id)
    user.syncer.restart()
    return json_answer(_who(call, user.folder))


@routes.route("GET", "/account/devices", NoQuery, "Machines that sync with the account", answers={200: replies.Devices},
              problems=(401, 403, 404, 503))  # fmt: skip
def list_devices(call: Call, ask: NoQuery) -> Answer:
    """As the account knows them; `here` is this machine."""
    mine = outbox.device(call.user.store)
    with closing(call.user.syncer.remote()) as remote:
        found = remote.call("GET", "/devices")["devices"]
    return json_answer({"devices": [{**device, "here": device["id"] == mine} for device in found]})


@routes.route("DELETE", "/account/devices/{device}", NoQuery, "Shut a machine out", answers={200: replies.Device},
              problems=(401, 403, 404, 503))  # fmt: skip
def revoke_device(call: Call, ask: NoQuery) -> Answer:
    """What is on it stays there, and it may sign in anew. By the unix socket only; not where an API key signs this one in."""
    if not call.identity.local:
        raise Refused("devices are for the unix socket only", code="socket_only", fix="jmem account devices")
    device = call.params["device"]
    with closing(call.user.syncer.remote()) as remote:
        found = remote.call("DELETE", f"/devices/{quote(device, safe='')}")
    return json_answer({**found, "here": found["id"] == outbox.device(call.user.store)})


@routes.route("GET", "/account/export", NoQuery, "Everything that the account keeps", answers={200: ZIP},
              problems=(401, 403, 404, 503))  # fmt: skip
def export(call: Call, ask: NoQuery) -> Stream:
    """An archive, as the account makes it; one that breaks off is not whole. Not where an API key signs this machine in."""
    remote = call.user.syncer.remote()
    pieces = remote.pieces("/account/export")
    try:
        first = next(pieces, b"")  # before the answer begins, so that a refusal is still told by a status
    except BaseException:
        remote.close()
        raise

    def all() -> Iterator[bytes]:
        try:
            yield first
            yield from pieces
        finally:
            remote.close()

    return Stream(all(), ZIP)


@routes.route("POST", "/account/delete", DeleteAsk, "Delete the account", answers={200: replies.AccountEnded},
              problems=(401, 403, 404, 503))  # fmt: skip
def delete(call: Call, ask: DeleteAsk) -> Answer:
    """The account and all that is in it, for ever. What is on machines stays there. By the unix socket only."""
    if not call.identity.local:
        raise Refused("deleting the account is for the unix socket only", code="socket_only", fix="jmem account delete")
    user = call.user
    with closing(user.syncer.remote()) as remote:
        gone = remote.call("DELETE", "/account", {"confirm": ask.confirm})["deleted"]
    user.syncer.stop()
    account.leave(user.folder, user.id, user.store)
    user.syncer.restart()
    return json_answer({"deleted": True, "complete": gone})


def _who(call: Call, folder: Path | None) -> dict[str, Any]:
    said = {} if folder is None else account.told(folder)
    key = bool(key_of(call.daemon.settings, call.identity.user or ""))
    if not said or folder is None:
        return {"signed_in": key, "email": "", "account": "", "url": call.daemon.settings["hosted.url"],
                "kept": "the settings" if key else ""}  # fmt: skip
    return {"signed_in": True, "email": said.get("email", ""), "account": said.get("sub", ""), "url": said.get("url", ""),
            "kept": account.where_kept(folder, str(said.get("keeper", "")))}  # fmt: skip
