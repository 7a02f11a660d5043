"""Signing up, in and out: with a password, a mailed link or code, or another account."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from hosted.identity import grants, signing_out
from hosted.identity.errors import IdentityUnavailable
from hosted.identity.jwt import session_of
from hosted.identity.supabase import Pkce, Session, SignInRefused
from hosted.web import browser
from hosted.web.flashes import Flash
from hosted.web.refusals import refusal
from hosted.web.routing import Pages
from hosted.web.site import SESSIONS, Visit
from jmem.core.errors import NotFound

pages = Pages(private=False)
FLOWS = ("link", "signup", "reset", "email", "provider")
KINDS = {"signup": "signup", "link": "email", "reset": "recovery"}
"""What a mailed code is of, by the flow that had it mailed."""


# ---- forms ------------------------------------------------------------------------------------


@pages.get("/sign-in")
async def sign_in(visit: Visit) -> Response:
    """The ways to sign in."""
    if visit.principal is not None:
        return visit.go(browser.safe_next(visit.query.get("next", "")))
    return await _sign_in_page(visit)


async def _sign_in_page(visit: Visit, status: int = 200, problem: str = "", email: str = "") -> Response:
    wanted = visit.form.get("next") or visit.query.get("next", "")
    return visit.page(
        "sign_in.html",
        status,
        problem=problem,
        email=email,
        next=browser.safe_next(wanted),
        providers=await visit.site.supabase.offers(),
    )


@pages.post("/sign-in")
async def with_password(visit: Visit) -> Response:
    """With a password."""
    email, password = visit.form.get("email").strip(), visit.form.get("password")
    try:
        session = await visit.site.supabase.sign_in(email, password)
    except SignInRefused as refused:
        if refused.reason == "email_not_confirmed":
            return visit.page("mailed.html", kind="signup", email=email, problem="", next=_next(visit))
        return await _sign_in_page(visit, 422, refusal(refused), email)
    return await enter(visit, session, _next(visit))


@pages.get("/sign-up")
async def sign_up(visit: Visit) -> Response:
    """A new account."""
    if visit.principal is not None:
        return visit.go("/memories")
    return await _sign_up_page(visit)


async def _sign_up_page(visit: Visit, status: int = 200, problem: str = "", email: str = "") -> Response:
    wanted = browser.safe_next(visit.form.get("next") or visit.query.get("next", ""), "/welcome")
    return visit.page(
        "sign_up.html", status, problem=problem, email=email, next=wanted, providers=await visit.site.supabase.offers()
    )


@pages.post("/sign-up")
async def create(visit: Visit) -> Response:
    """With an address and a password; a project that confirms addresses mails a link and a code first."""
    email, password = visit.form.get("email").strip(), visit.form.get("password")
    pkce = Pkce.make()
    try:
        session = await visit.site.supabase.sign_up(email, password, redirect_to=_back(visit, "signup"), pkce=pkce)
    except SignInRefused as refused:
        return await _sign_up_page(visit, 422, refusal(refused), email)
    wanted = browser.safe_next(visit.form.get("next"), "/welcome")
    if session is not None:
        return await enter(visit, session, wanted)
    return _mailed(visit, "signup", email, pkce, wanted)


@pages.post("/sign-in/link")
async def mail_link(visit: Visit) -> Response:
    """Mail a link and a code."""
    email, pkce = visit.form.get("email").strip(), Pkce.make()
    try:
        await visit.site.supabase.mail_link(email, redirect_to=_back(visit, "link"), pkce=pkce)
    except SignInRefused as refused:
        return await _sign_in_page(visit, 422, refusal(refused), email)
    return _mailed(visit, "link", email, pkce, _next(visit))


@pages.post("/forgot")
async def forgot(visit: Visit) -> Response:
    """Mail a link to choose a new password; the answer is the same for an unknown address."""
    email, pkce = visit.form.get("email").strip(), Pkce.make()
    try:
        await visit.site.supabase.mail_recovery(email, redirect_to=_back(visit, "reset"), pkce=pkce)
    except SignInRefused as refused:
        return visit.page("forgot.html", 422, problem=refusal(refused), email=email)
    return _mailed(visit, "reset", email, pkce, "/settings/password")


@pages.get("/forgot")
async def forgotten(visit: Visit) -> Response:
    """Ask for a new password."""
    return visit.page("forgot.html", problem="", email="")


def _mailed(visit: Visit, kind: str, email: str, pkce: Pkce, wanted: str) -> Response:
    response = visit.page("mailed.html", kind=kind, email=email, problem="", next=wanted)
    return remember(visit, response, kind, pkce, wanted)


@pages.post("/sign-in/code")
async def with_code(visit: Visit) -> Response:
    """With the code of a mail: on another device than the one that asked for it, too."""
    email, kind = visit.form.get("email").strip(), visit.form.get("kind")
    code = "".join(visit.form.get("code").split())
    if kind not in KINDS:
        raise NotFound("there is no such code")
    wanted = browser.safe_next(visit.form.get("next"))
    try:
        session = await visit.site.supabase.verify(KINDS[kind], email=email, token=code)
    except SignInRefused as refused:
        return visit.page("mailed.html", 422, kind=kind, email=email, problem=refusal(refused), next=wanted)
    return await enter(visit, session, "/settings/password" if kind == "reset" else wanted)


# ---- links and other accounts -----------------------------------------------------------------


@pages.get("/sign-in/with/{provider}")
async def with_provider(visit: Visit) -> Response:
    """Off to another account's sign-in; what comes back is worth something to this browser alone."""
    provider = visit.request.path_params["provider"]
    if provider not in await visit.site.supabase.offers():
        raise NotFound("this way to sign in is not offered", fix="sign in with a password or a mailed link")
    pkce = Pkce.make()
    address = visit.site.supabase.authorize_url(provider, redirect_to=_back(visit, "provider"), pkce=pkce)
    return remember(visit, RedirectResponse(address, 303), "provider", pkce, _next(visit))


@pages.get("/auth/return/{flow}")
async def come_back(visit: Visit) -> Response:
    """From a mailed link or another account: a code that this browser's verifier turns into a session."""
    flow = visit.request.path_params["flow"]
    if flow not in FLOWS:
        raise NotFound("there is no such way back")
    known = browser.unpacked(visit.site.cookies.read(visit.request, f"{browser.FLOW}-{flow}"))
    code, verifier = visit.query.get("code", ""), known.get("v")
    if not code or not isinstance(verifier, str) or not verifier.isascii():
        return visit.page("no_return.html", 400, flow=flow, refused="", code=bool(code))
    try:
        session = await visit.site.supabase.exchange(code, verifier)
    except SignInRefused as error:
        return visit.page("no_return.html", 400, flow=flow, refused=refusal(error), code=True)
    wanted = browser.safe_next(str(known.get("n", "")))
    flash = Flash("email_changed") if flow == "email" else None
    response = await enter(visit, session, "/settings/password" if flow == "reset" else wanted, flash)
    visit.site.cookies.take(response, f"{browser.FLOW}-{flow}")
    return response


async def enter(visit: Visit, session: Session, wanted: str, flash: Flash | None = None) -> Response:
    """Open the session in this browser, with a new secret, whatever it had before."""
    if visit.held is not None:
        await visit.site.sessions.end(visit.held)
    await visit.site.identity.of_bearer(session.access_token, SESSIONS)  # raises for whom this backend refuses
    secret = await visit.site.sessions.open(session, visit.request.headers.get("user-agent", ""))
    response = visit.go(wanted, flash)
    visit.site.cookies.give_session(response, secret)
    visit.site.cookies.take(response, browser.VISITOR)
    visit.visitor = visit.site.cookies.read(visit.request, browser.VISITOR)
    return response


def remember(visit: Visit, response: Response, flow: str, pkce: Pkce, wanted: str) -> Response:
    """Have this browser keep what makes the code worth something that the flow brings back."""
    kept = browser.packed({"v": pkce.verifier, "n": wanted})
    visit.site.cookies.give(response, f"{browser.FLOW}-{flow}", kept, browser.FLOW_AGE)
    return response


# ---- out --------------------------------------------------------------------------------------


@pages.post("/sign-out", private=True, leaving=True)
async def sign_out(visit: Visit) -> Response:
    """This browser's session, or with `scope` global all of them: refused here at once, ended at Supabase if it answers."""
    held, site, saying = visit.session, visit.site, "signed_out"
    user_id, token = held.user_id, held.tokens.access_token
    if visit.form.get("scope") == "global":
        saying = "signed_out_everywhere"
        await site.sessions.end_all(user_id)
        try:
            await signing_out.everywhere(site.backend.database, site.supabase, user_id, token)
        except (SignInRefused, IdentityUnavailable):
            saying = "signed_out_in_part"
    else:
        async with site.backend.database.tenant(user_id) as conn:
            await grants.sign_out(conn, user_id, session_of(token))
        await site.sessions.end(held)
        try:
            await site.supabase.sign_out(token)
        except (SignInRefused, IdentityUnavailable):  # its refresh token was in the row that is gone, and nowhere else
            saying = "signed_out_unheard"
    response = visit.go("/sign-in", Flash(saying))
    visit.site.cookies.take(response, browser.SESSION)
    return response


# ---- inside -----------------------------------------------------------------------------------


def _next(visit: Visit) -> str:
    return browser.safe_next(visit.form.get("next") or visit.query.get("next", ""))


def _back(visit: Visit, flow: str) -> str:
    return f"{visit.site.public_url}/auth/return/{flow}"
