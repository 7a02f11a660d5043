"""The hosted account that a user of this machine is signed in to: a file that says which, and the secret kept apart."""

from __future__ import annotations

import platform
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from daemon.files import read_json, write_json
from jmem.core import outbox
from jmem.core.addresses import account_address
from jmem.core.errors import Conflict, Invalid, JmemError, StorageFailed

if TYPE_CHECKING:
    import httpx

    from jmem.core.store import Store
    from sync.keeper import FileKeeper, KeyringKeeper
    from sync.remote import AccountGone
    from sync.session import Account, Project, Tokens

FILE = "account.json"
_NAMES = frozenset(("url", "supabase_url", "publishable_key", "sub", "email", "keeper"))
KEY = "jmk_"
"""Begins an API key of the hosted account."""


class Bearer(Protocol):
    """Hands out bearer tokens; raises SignedOut, Offline."""

    def token(self, refused: str | None = None) -> str:
        """One that is good; another one than `refused`."""

    def end(self) -> None:
        """Sign out."""


class KeyToken:
    """An API key in the place of a session."""

    def __init__(self, key: str) -> None:
        self._key = key

    def token(self, refused: str | None = None) -> str:
        """The key, which is good until it is refused."""
        from sync.remote import SignedOut

        if refused is not None:
            raise SignedOut("the account refuses the key")
        return self._key

    def end(self) -> None:
        """Nothing to end: a key is revoked in the account."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account, what proves it, and where that is kept."""

    account: Account
    tokens: Bearer
    keeper: FileKeeper | KeyringKeeper | None
    """None: the key is in the settings"""

    def as_dict(self) -> dict[str, Any]:
        """For people and programs: no secret."""
        return {"url": self.account.url, "email": self.account.email, "account": self.account.sub,
                "kept": "the settings" if self.keeper is None else self.keeper.where}  # fmt: skip


def stored(folder: Path) -> dict[str, Any] | None:
    """What account.json says, a text under each of its names; None when nobody is signed in. Raises StorageFailed."""
    try:
        said = read_json(folder / FILE)
    except StorageFailed as error:
        error.fix = "jmem login"
        raise
    if said is not None and not (said.keys() == _NAMES and all(isinstance(value, str) for value in said.values())):
        raise StorageFailed(f"{folder / FILE} is damaged", code="damaged", fix="jmem login")
    return said


def told(folder: Path) -> dict[str, Any]:
    """The same where it can be read, else nothing: to sign in is what mends it."""
    try:
        return stored(folder) or {}
    except StorageFailed:
        return {}


def load(folder: Path, name: str, url: str, key: str, http: httpx.Client) -> SignedIn | None:
    """Who is signed in: by the file, else by a key in the settings; None for nobody. Raises Offline, StorageFailed."""
    from sync.keeper import keeper
    from sync.session import Account, Project, Session

    said = stored(folder)
    if said is None:
        if not (url and key):
            return None
        return SignedIn(Account(url, "", "", "", ""), KeyToken(key), None)
    kind = said.pop("keeper")
    account = Account(**said)
    kept = keeper(folder, name, kind)
    if not account.supabase_url:
        return SignedIn(account, KeyToken(kept.load() or ""), kept)
    return SignedIn(account, Session(Project(account.supabase_url, account.publishable_key, http), kept), kept)


def save(folder: Path, signed_in: SignedIn) -> None:
    """Remember it; durable when this returns."""
    assert signed_in.keeper is not None
    write_json(folder / FILE, {**signed_in.account.as_dict(), "keeper": signed_in.keeper.kind})


def leave(folder: Path, name: str, store: Store) -> None:
    """The account is no more: what is on this machine stays, and is nobody's until the next sign-in."""
    forget(folder, name)
    outbox.unbind(store)


def is_gone(url: str, account: str, http: httpx.Client) -> AccountGone | None:
    """That the account with that id was deleted, where the backend at that address knows it; raises Offline."""
    from sync.remote import AccountGone
    from sync.session import where_to_sign_in

    try:
        where_to_sign_in(account_address(url), http, account)
    except AccountGone as gone:
        return gone
    return None


def meant(failure: JmemError, known: SignedIn | None) -> JmemError:
    """What ended an exchange: a session ends with its account, and its own end is all that it is told of."""
    from sync.remote import Offline, SignedOut, connections

    if isinstance(failure, SignedOut) and known is not None and known.account.sub:
        with suppress(Offline), closing(connections(10.0)) as http:
            return is_gone(known.account.url, known.account.sub, http) or failure
    return failure


def end_soon(signed_in: SignedIn, seconds: float, then: Callable[[], object]) -> None:
    """End the session at Supabase, without waiting for a network that hangs; `then` is called whenever that is over."""

    def run() -> None:
        try:
            signed_in.tokens.end()
        finally:
            then()

    thread = threading.Thread(target=run, name="jmem-sign-out", daemon=True)
    thread.start()
    thread.join(seconds)


def about() -> dict[str, str]:
    """How this machine calls itself to the account, for its owner's list: headers."""
    name = socket.gethostname()[:100]
    system = {"Darwin": "macOS"}.get(platform.system(), platform.system())
    return {"x-jmem-device-name": quote(name), "x-jmem-platform": f"{system} {platform.machine()}".strip()}


def where_kept(folder: Path, kind: str) -> str:
    """Where what proves a sign-in lies, in words; asks no keyring."""
    from sync.keeper import FILE, FileKeeper

    return FileKeeper(folder / FILE).where if kind == FileKeeper.kind else "the system's keyring"


def forget(folder: Path, name: str) -> None:
    """Nobody is signed in from here on."""
    from sync import keeper
    from sync.remote import Offline

    kind = told(folder).get("keeper")
    (folder / FILE).unlink(missing_ok=True)
    keeper.FileKeeper(folder / keeper.FILE).forget()  # whatever is known of where it lay
    with suppress(Offline):
        keeper.keeper(folder, name, kind).forget()


@dataclass(frozen=True, slots=True)
class At:
    """Where one signs in to a hosted account."""

    project: Project
    supabase_url: str
    publishable_key: str


def project_of(url: str, http: httpx.Client) -> At:
    """The Supabase project of a hosted account; raises Invalid, Offline."""
    from sync.session import Project, where_to_sign_in

    supabase_url, key = where_to_sign_in(account_address(url), http)
    return At(Project(supabase_url, key, http), supabase_url, key)


def bind(store: Store, sub: str, url: str, http: httpx.Client, *, anew: bool) -> None:
    """Tie these memories to the account that is signed in to; with `anew` also where the one they belonged to was deleted.
    Raises Conflict `bound`, Offline."""
    try:
        outbox.bind(store, sub)
    except Conflict as refused:
        held = str(refused.detail["account"])
        if not (anew and is_gone(url, held, http)):
            raise
        outbox.bind(store, sub, instead_of=held)


def by_tokens(
    folder: Path, name: str, url: str, at: At, tokens: Tokens, store: Store, http: httpx.Client, *, anew: bool
) -> SignedIn:  # fmt: skip
    """Go on with a session that has just begun; its refresh token is kept first. Raises as `bind`."""
    from sync.keeper import keeper
    from sync.remote import Offline
    from sync.session import Account, Session

    try:
        bind(store, tokens.sub, url, http, anew=anew)
    except JmemError:
        with suppress(Offline):
            at.project.sign_out(tokens.access)  # nobody will use it
        raise
    kept = keeper(folder, name)
    session = Session(at.project, kept)
    session.begin(tokens)
    return SignedIn(Account(url, at.supabase_url, at.publishable_key, tokens.sub, tokens.email), session, kept)


def by_key(
    folder: Path, name: str, url: str, key: str, store: Store, http: httpx.Client, *, anew: bool
) -> SignedIn:  # fmt: skip
    """Go on with an API key, whose account the account itself says. Raises as `bind`, and SignedOut."""
    from sync.keeper import keeper
    from sync.remote import Remote
    from sync.session import Account

    if not key.startswith(KEY):
        raise Invalid(f"an API key begins with {KEY}", code="bad_key", field="token")
    bearer = KeyToken(key)
    sub = Remote(url, outbox.device(store), bearer.token, http, about()).hello().account
    bind(store, sub, url, http, anew=anew)
    kept = keeper(folder, name)
    kept.save(key)
    return SignedIn(Account(url, "", "", sub, ""), bearer, kept)
