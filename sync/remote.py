"""The hosted account as a device sees it: the calls of the wire over httpx, and what their failures mean."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

from jmem.core.addresses import account_address
from jmem.core.errors import JmemError, from_problem
from jmem.core.model import Op
from jmem.core.outbox import Page
from sync.protocol import MAX_PUSH_OPS, VERSION, Hello, MendAnswer, PushAnswer, TreeAnswer, next_chain, parse_cursor

QUIET = 45.0
"""Seconds without a byte after which the stream of hints is taken for dead; the server says something every 15."""
KEPT_S = 60.0
"""How long a connection is kept that nothing uses; the account keeps it longer."""
T = TypeVar("T", bound=BaseModel)
OUR_401 = frozenset(("bad_token", "token_expired", "key_revoked", "device_revoked", "signed_out", "unauthorized",
                     "program_not_allowed"))  # fmt: skip
"""What the account says of a token it refuses. Any other 401 is of something on the way to it, and proves nothing."""
Token = Callable[[str | None], str]
"""The bearer token; given one that was refused, another one. Raises SignedOut, Offline."""


class Offline(JmemError):
    """The account can't be asked now. `retry_after` in seconds where it said when to come back."""

    code, status, exit_code = "offline", 503, 1

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, fix="look at the network and the address, and repeat the command")
        self.retry_after = retry_after


class Slow(Offline):
    """The request was not through in time: less of it may be."""


class Failing(Offline):
    """The account failed at this very request, or all of it fails."""


class Renewed(Offline):
    """The token was refused, and there is another one now: what goes on the wire is to be chosen anew."""


class SignedOut(JmemError):
    """Nobody is signed in any more: what waits goes on waiting."""

    code, status, exit_code = "signed_out", 401, 4

    def __init__(self, message: str = "the sign-in has ended") -> None:
        super().__init__(message, fix="jmem login")


class AccountGone(JmemError):
    """The account was deleted. What is on this machine stays."""

    code, status, exit_code = "account_deleted", 410, 4


class OtherFeed(JmemError):
    """The feed is another one than the one that was read: the server was restored from a copy."""

    code, status = "cursor_invalid", 409


class TooBig(JmemError):
    """The batch has to be smaller. `said`: by the account itself, not by something on the way to it."""

    code, status = "batch_too_large", 413

    def __init__(self, message: str, *, said: bool) -> None:
        super().__init__(message)
        self.said = said


class TooNew(JmemError):
    """The account does not know this kind of op yet, or this program not the account's; `stamps` are the ops."""

    code, status, exit_code = "upgrade_required", 426, 2

    def __init__(self, message: str, stamps: tuple[str, ...] = ()) -> None:
        super().__init__(message, fix="./install.sh   upgrades jmem to the newest version")
        self.stamps = stamps


class Rejected(JmemError):
    """The account refused the request itself: a mistake of one of the two programs."""

    code, status, exit_code = "sync_refused", 400, 1
    said: Mapping[str, Any] = {}
    """the account's problem document"""
    of_body = False
    """what was sent is refused, perhaps for one op of it; else whoever sent it is, whatever it was"""


@dataclass(frozen=True, slots=True)
class Pulled:
    """A page of the feed, how much of it there is, and whether there is more already."""

    page: Page
    count: int
    more: bool
    newer: bool
    """an op behind this page is of a kind that this program does not know"""
    coming: int = 0
    """how many ops the feed has behind this page, as far as the account says"""


def connections(seconds: float = 30.0) -> httpx.Client:
    """Connections to an account, kept open while its owner thinks: a new one costs two round trips more.

    `seconds` is how long an answer may take.
    """
    return httpx.Client(
        timeout=httpx.Timeout(seconds, connect=10.0), headers={"user-agent": "jmem"},
        limits=httpx.Limits(keepalive_expiry=KEPT_S),
    )  # fmt: skip


class Remote:
    """One account behind one address, asked by one device. Thread-safe as far as httpx's client is."""

    def __init__(
        self, url: str, device: str, token: Token, client: httpx.Client | None = None, about: Mapping[str, str] | None = None
    ) -> None:  # fmt: skip
        """`about` are headers that tell the account which machine this is, for its owner's list. Raises Invalid
        `bad_address` where a token must not be sent. `device` may be set to another id."""
        self.url = account_address(url)
        self.device = device
        self._named = about or {}
        self._token = token
        self._renewed: str | None = None
        self._stream: Any = None
        self._http = client or connections()

    @property
    def _about(self) -> dict[str, str]:
        return {"x-jmem-device": self.device, **self._named}

    def hello(self) -> Hello:
        """The account's clock and limits."""
        return _as(Hello, self._ask("GET", "/sync/hello"))

    def ready(self) -> None:
        """Have a token at hand, so that what is chosen next goes on the wire at once. Raises SignedOut, Offline."""
        self._token(None)

    def push(self, texts: Mapping[str, str]) -> PushAnswer:
        """Push ops by their canonical texts. Nothing of it is sent a second time by itself.

        Raises TooBig, TooNew, Slow, Failing, Renewed, Offline, Rejected, SignedOut, AccountGone.
        """
        body = f'{{"device":{json.dumps(self.device)},"ops":[{",".join(texts.values())}]}}'.encode()
        token = self._token(None)
        answer = self._send("POST", "/sync/push", body, None, token)
        if _refuses_token(answer) and token != self._renewed:
            self._renewed = self._token(token)
            raise Renewed("the push needs a fresh token")
        return _as(PushAnswer, _taken(answer))

    def pull(self, cursor: str | None, *, own: bool = False, limit: int = MAX_PUSH_OPS) -> Pulled:
        """The part of the feed behind a cursor; `own`: with the whole of what this device pushed itself.

        Raises OtherFeed, Offline, SignedOut, AccountGone, and Rejected for a page that is not what its cursor says.
        """
        asked = {
            "limit": str(limit),
            **({} if cursor is None else {"cursor": cursor}),
            **({} if own else {"device": self.device}),
        }
        answer = self._ask("GET", "/sync/pull", params=asked)
        said = _json(answer)
        if not (isinstance(said, dict) and isinstance(said.get("ops"), list)):
            raise _of_another(answer)
        return _page(cursor, said)

    def tree(self, under: Sequence[str] = ()) -> TreeAnswer:
        """A part of the account's hash tree: the nodes below the root, the buckets below nodes, the memories of buckets."""
        params = {"under": ",".join(under)} if under else None
        return _as(TreeAnswer, self._ask("GET", "/sync/tree", params=params))

    def logs_of(self, ids: Sequence[str]) -> dict[str, list[Op]]:
        """Every op of memories that the account holds, by their ids; as many as `hello` allows at once."""
        found: dict[str, list[Op]] = {id: [] for id in ids}
        left, behind = list(ids), ""
        while left:
            params = {"id": left[0], **({"behind": behind} if behind else {}),
                      **({"then": ",".join(left[1:])} if len(left) > 1 else {})}  # fmt: skip
            said = _json(self._ask("GET", "/sync/log", params=params))
            try:
                fresh, more = [Op.of(raw) for raw in said["ops"]], bool(said["more"])
                for op in fresh:
                    found[op.id].append(op)
            except (KeyError, TypeError, AttributeError) as error:
                raise Rejected(f"not the log of a memory: {error!r}") from None
            if not more or not fresh:
                break
            left, behind = left[left.index(fresh[-1].id) :], fresh[-1].stamp
        return found

    def mend(self, ids: Sequence[str]) -> list[str]:
        """Have the account fold the rows of memories anew; those that were wrong."""
        return _as(MendAnswer, self._ask("POST", "/sync/mend", json.dumps({"ids": list(ids)}).encode())).mended

    @contextmanager
    def hints(self) -> Iterator[Iterator[int]]:
        """The stream of hints: the newest seq, whenever there is something new. Raises Offline when it ends."""
        timeout = httpx.Timeout(30.0, connect=10.0, read=QUIET)
        token = self._token(None)
        headers = {**self._about, "authorization": f"Bearer {token}", "accept": "text/event-stream"}
        try:
            with self._http.stream("GET", f"{self.url}/api/v1/sync/events", headers=headers, timeout=timeout) as answer:
                if answer.status_code != 200:
                    answer.read()
                    if _refuses_token(answer):
                        self._token(token)
                        raise Offline("the stream needs a fresh token", retry_after=0)
                    raise _refusal(answer)
                network = answer.extensions.get("network_stream")
                self._stream = None if network is None else network.get_extra_info("socket")
                yield _seqs(answer.iter_lines())
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # OSError: hung up while it was read
            raise Offline(_why(error, self.url)) from None
        except RuntimeError as error:
            raise self._closed(error) from None
        finally:
            self._stream = None

    def hang_up(self) -> None:
        """End the stream of hints, whoever reads it."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.shutdown(socket.SHUT_RDWR)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Another call of the account's API: the JSON of its answer. Raises what the account's problem says."""
        try:
            return _json(self._ask(method, path, None if body is None else json.dumps(body).encode()))
        except Rejected as refusal:
            raise _said(refusal) from None

    def pieces(self, path: str) -> Iterator[bytes]:
        """The body of a call of the account's API as it arrives. Raises as `call`, and Offline when it breaks off."""
        token = self._token(None)
        timeout = httpx.Timeout(30.0, connect=10.0, read=QUIET)
        for last in (False, True):
            headers = {**self._about, "authorization": f"Bearer {token}"}
            try:
                with self._http.stream("GET", f"{self.url}/api/v1{path}", headers=headers, timeout=timeout) as answer:
                    if answer.status_code == 200:
                        yield from answer.iter_bytes()
                        return
                    answer.read()
                    if last or not _refuses_token(answer):
                        raise _refusal(answer)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise Offline(_why(error, self.url)) from None
            except Rejected as refusal:
                raise _said(refusal) from None
            token = self._token(token)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _ask(
        self, method: str, path: str, body: bytes | None = None, params: Mapping[str, str] | None = None
    ) -> httpx.Response:
        token = self._token(None)
        answer = self._send(method, path, body, params, token)
        if _refuses_token(answer):
            answer = self._send(method, path, body, params, self._token(token))
        return _taken(answer)

    def _send(
        self, method: str, path: str, body: bytes | None, params: Mapping[str, str] | None, token: str
    ) -> httpx.Response:
        headers = {**self._about, "authorization": f"Bearer {token}"}
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            return self._http.request(method, f"{self.url}/api/v1{path}", content=body, params=params, headers=headers)
        except httpx.WriteTimeout as error:
            raise Slow(_why(error, self.url)) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Offline(_why(error, self.url)) from None
        except RuntimeError as error:
            raise self._closed(error) from None

    def _closed(self, error: RuntimeError) -> Exception:
        """What httpx means by a RuntimeError when another thread has closed the connections."""
        return Offline("the sign-in has changed meanwhile") if self._http.is_closed else error


def _said(refusal: Rejected) -> JmemError:
    """What the account's problem says, where it said one."""
    return from_problem(dict(refusal.said)) if refusal.said.get("code") else refusal


def _taken(answer: httpx.Response) -> httpx.Response:
    if answer.status_code >= 300:
        raise _refusal(answer)
    return answer


def _why(error: Exception, url: str) -> str:
    return f"{url} can't be reached: {error or type(error).__name__}"


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise _of_another(answer) from None


def _of_another(answer: httpx.Response) -> Offline:
    """Whoever answered, it was not the account."""
    return Offline(f"{answer.request.url.host} answers with something else")


def _as(kind: type[T], answer: httpx.Response) -> T:
    try:
        return kind.model_validate_json(answer.content)
    except ValueError:
        raise _of_another(answer) from None


def _problem(answer: httpx.Response) -> dict[str, Any]:
    """The account's problem document; empty for what something else has answered."""
    try:
        problem = answer.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) and isinstance(problem.get("code"), str) else {}


def _refuses_token(answer: httpx.Response) -> bool:
    return answer.status_code == 401 and _problem(answer).get("code") in OUR_401


def _refusal(answer: httpx.Response) -> JmemError:
    """What a status means. What ends a sign-in is believed of the account alone, by its codes: a proxy, or the page of a
    network that wants to be paid, answers with any status too."""
    problem, status = _problem(answer), answer.status_code
    code = problem.get("code", "")
    detail = str(problem.get("detail") or problem.get("title") or f"the account answered {status}")
    if status == 401 and code in OUR_401:
        return SignedOut(detail)
    if status == 410 and code == AccountGone.code:
        return AccountGone(detail, fix="jmem logout   keeps the memories on this machine")
    if code == "cursor_invalid":
        return OtherFeed(detail)
    if status == 413 and answer.request.method == "POST":
        return TooBig(detail, said=bool(code))
    if status == 426:
        return TooNew(detail, tuple(str(stamp) for stamp in problem.get("stamps", ()) if stamp))
    if status == 408:
        return Slow(detail)
    if status == 500:
        return Failing(detail)
    if status < 400 or status in (401, 410, 413, 429) or status >= 500:
        return Offline(detail, retry_after=_seconds(answer.headers.get("retry-after")))
    rejected = Rejected(detail, code=code or "sync_refused", fix="jmem sync status")
    rejected.said, rejected.of_body = problem, not code or status in (400, 422)
    return rejected


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None


def _page(cursor: str | None, answer: Any) -> Pulled:
    """The page of an answer, up to the first op of a kind that is unknown here; its chain is checked."""
    seq, chain = parse_cursor(cursor)
    ops: list[Op] = []
    own: list[tuple[str, str]] = []
    newer = False
    try:
        for raw in answer["ops"]:
            if isinstance(raw.get("v"), int) and raw["v"] > VERSION:
                newer = True
                break
            if "id" in raw:
                ops.append(Op.of(raw))
            else:
                own.append((raw["stamp"], raw["digest"]))
            seq, chain = seq + 1, next_chain(chain, raw["stamp"])
        end = f"{seq}:{chain}"
        if not newer and end != answer["cursor"]:
            raise Rejected(f"the feed is not in order: {end} where {answer['cursor']} was said", fix="jmem sync verify")
        coming = max(0, int(answer.get("newest", 0)) - seq)
        return Pulled(Page(ops, own, end), len(ops) + len(own), bool(answer["more"]) or newer, newer, coming)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Rejected(f"not a page of a feed: {error!r}") from None


def _seqs(lines: Iterator[str]) -> Iterator[int]:
    for line in lines:
        if line.startswith("data:"):
            try:
                yield int(json.loads(line[5:])["seq"])
            except (ValueError, KeyError, TypeError):
                continue
