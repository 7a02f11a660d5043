"""`jmem login`."""

from __future__ import annotations

from jmem.cli import stdin
from jmem.cli.ask import confirmed, typed
from jmem.cli.options import YES
from jmem.cli.spec import Command, Option
from jmem.cli.text import cut, one_line
from jmem.core.addresses import account_address
from jmem.core.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

WAIT_S = 300
COMMAND = Command(
    "login",
    "Sign in to a hosted account: from then on it and your machines know the same.",
    run="jmem.cli.commands.login:run",
    help="Before the first sign-in it tells what would leave this machine, and asks. Private memories (`jmem add --local`)\n"
    "never leave it. Where the account that your memories belonged to was deleted, it says so and asks the same. It opens\n"
    "the account's page in your browser, where you confirm; over SSH, or without a browser, use --email: without a password\n"
    "a code is mailed to you. The address of the account is `hosted.url` (`jmem config set hosted.url https://…`) or --url.",
    params=(
        Option("--email", "-e", help="Sign in with your address, without a browser.", metavar="ADDRESS"),
        Option("--password-stdin", help="Read the password from stdin.", kind="flag"),
        Option("--code", help="The code that was mailed to you.", metavar="CODE"),
        Option(
            "--token-stdin",
            help="Read an API key of the account from stdin, for machines without a person.",
            kind="flag",
        ),
        Option("--no-browser", help="Print the address of the page instead of opening it.", kind="flag"),
        Option(
            "--timeout", help="Seconds to wait for the browser.", kind="int", default=WAIT_S, low=1, high=3600,
            metavar="SECONDS",
        ),
        Option("--url", help="The address of the hosted account.", metavar="URL"),
        YES,
    ),
    examples=(
        ("jmem login", "in your browser"),
        ("jmem login --email me@example.com", "mails a code and asks for it"),
        ("jmem login --email me@example.com --password-stdin < password.txt", ""),
        ("jmem login --token-stdin < key.txt", "on a server"),
    ),
)  # fmt: skip


def run(args: Args) -> int:
    """Sign in."""
    out = args.out
    if [args.password_stdin, args.token_stdin, args.code is not None].count(True) > 1:
        raise Invalid("say one of --password-stdin, --code and --token-stdin", code="usage")
    if (args.password_stdin or args.code is not None) and not args.email:
        raise Invalid("whose? say --email ADDRESS too", code="usage")
    if args.token_stdin and args.email:
        raise Invalid("an API key knows its account: say --email or --token-stdin", code="usage")
    known = args.daemon.request("GET", "/account")
    url = (args.url or _address(args, known)).rstrip("/")
    if not url:
        raise Invalid("no hosted account is named", code="no_account_url", field="url",
                      fix="jmem config set hosted.url https://…")  # fmt: skip
    url = account_address(url)
    gone = _gone(args, url)
    if gone:
        out.note("the account that these memories belonged to was deleted; all of them are still here")
    if (gone or not known["signed_in"]) and not _agreed(args, gone):
        return 0
    ask: dict[str, Any] = {"url": url, "email": args.email, "code": args.code, "anew": gone}
    if args.token_stdin:
        ask["token"] = stdin.read_text().strip()
    elif args.password_stdin:
        ask["password"] = stdin.read_text()
    elif not args.email:
        ask |= _by_browser(args, url)
    answer = args.daemon.request("POST", "/account/login", ask)
    if answer.get("code_sent"):
        out.note(f"a code was mailed to {args.email}")
        if out.json:
            out.document(answer)
            return 0
        if not stdin.is_terminal() or not out.stderr_tty:
            out.note(f"go on with: jmem login --email {args.email} --code CODE")
            return 0
        answer = args.daemon.request(
            "POST", "/account/login", {**ask, "code": typed(out, "The code", "jmem login --help")}
        )
    if out.json:
        out.document(answer)
    else:
        out.note(f"signed in to {answer['url']}" + (f" as {answer['email']}" if answer["email"] else ""))
        out.note(f"what proves it is kept in {answer['kept']}")
        out.note("it exchanges by itself from now on; how it goes: jmem sync")
    return 0


def _address(args: Args, known: dict[str, Any]) -> str:
    """Of the account that is signed in, else as the settings have it now: a daemon that runs may not know them yet."""
    from jmem.core.settings import load

    return str(known["url"] if known["signed_in"] else load(args.environ)["hosted.url"] or known["url"])


def _gone(args: Args, url: str) -> bool:
    """Whether the account that these memories belong to was deleted."""
    try:
        return bool(args.daemon.request("POST", "/account/check", {"url": url})["gone"])
    except NotFound as error:
        if error.code != "unknown_user":
            raise
        return False  # a user that the sign-in makes


def _by_browser(args: Args, url: str) -> dict[str, str]:
    """Have the person confirm on the account's page; what came of it."""
    import socket

    from jmem.cli.loopback import Loopback, open_browser

    out = args.out
    waiting = Loopback()
    try:
        address = waiting.address(url, socket.gethostname())
        if not args.no_browser and open_browser(address):
            out.note("your browser asks whether to connect this computer; if it does not, open this address:")
        else:
            out.note("open this address in a browser on this computer (elsewhere: jmem login --email ADDRESS):")
        out.note(f"  {address}")
        return {"browser_code": waiting.wait(args.timeout), "verifier": waiting.verifier}
    finally:
        waiting.close()


def _agreed(args: Args, gone: bool) -> bool:
    """Whether what would leave may leave; to the next account where the one before is `gone`."""
    if args.yes:
        return True
    out = args.out
    try:
        would = args.daemon.request("GET", "/sync/preview" + ("?anew=true" if gone else ""))
    except NotFound as error:
        if error.code != "unknown_user":
            raise
        return True  # a user that the sign-in makes
    live, deleted = would["memories"], would["deleted"]
    if not live + deleted:
        return True
    size = f"{would['bytes']:,} bytes" if would["bytes"] < 10_000 else f"{would['bytes'] / 1000:,.0f} KB"
    what = [f"{live:,} {'memory' if live == 1 else 'memories'}"] if live else []
    what += [f"{deleted:,} deleted {'memory' if deleted == 1 else 'memories'}"] if deleted else []
    out.note(f"{' and '.join(what)} ({size} of text) would go to the account, the newest of them:")
    for text in would["samples"]:
        out.note("  " + cut(one_line(text), max(out.columns - 4, 20)))
    for text in would["deleted_samples"]:
        out.note("  (deleted) " + cut(one_line(text), max(out.columns - 14, 20)))
    if would["local"] or would["held"]:
        out.note(f"{would['local']:,} private and {would['held']:,} held back by rules stay here (jmem sync rules)")
    return confirmed(out, "Sign in and let them go", False)
