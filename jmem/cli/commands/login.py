"""`jmem login`."""

from __future__ import annotations

from jmem.cli import stdin
from jmem.cli.ask import confirmed, typed
from jmem.cli.options import YES
from jmem.cli.spec import Command, Option
from jmem.cli.text import cut, one_line
from jmem.core.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jmem.cli.args import Args

COMMAND = Command(
    "login",
    "Sign in to a hosted account: from then on it and your machines know the same.",
    run="jmem.cli.commands.login:run",
    help="Before the first sign-in it tells what would leave this machine, and asks. Private memories (`jmem add --local`)\n"
    "never leave it. Without a password a code is mailed to you. The address of the account is `hosted.url`\n"
    "(`jmem config set hosted.url https://…`) or --url.",
    params=(
        Option("--email", "-e", help="Your address.", metavar="ADDRESS"),
        Option("--password-stdin", help="Read the password from stdin.", kind="flag"),
        Option("--code", help="The code that was mailed to you.", metavar="CODE"),
        Option(
            "--token-stdin",
            help="Read an API key of the account from stdin, for machines without a person.",
            kind="flag",
        ),
        Option("--url", help="The address of the hosted account.", metavar="URL"),
        YES,
    ),
    examples=(
        ("jmem login --email me@example.com", "mails a code and asks for it"),
        ("jmem login --email me@example.com --password-stdin < password.txt", ""),
        ("jmem login --token-stdin < key.txt", "on a server"),
    ),
)


def run(args: Args) -> int:
    """Sign in."""
    out = args.out
    given = [args.password_stdin, args.token_stdin, args.code is not None]
    if given.count(True) > 1:
        raise Invalid("say one of --password-stdin, --code and --token-stdin", code="usage")
    email = None if args.token_stdin else args.email or typed(out, "Your address")
    if not _agreed(args):
        return 0
    ask: dict[str, Any] = {"url": args.url, "email": email, "code": args.code}
    if args.token_stdin:
        ask["token"] = stdin.read_text().strip()
    elif args.password_stdin:
        ask["password"] = stdin.read_text()
    answer = args.daemon.request("POST", "/account/login", ask)
    if answer.get("code_sent"):
        out.note(f"a code was mailed to {email}")
        if out.json:
            out.document(answer)
            return 0
        if not stdin.is_terminal() or not out.stderr_tty:
            out.note(f"go on with: jmem login --email {email} --code CODE")
            return 0
        answer = args.daemon.request("POST", "/account/login", {**ask, "code": typed(out, "The code")})
    if out.json:
        out.document(answer)
    else:
        out.note(f"signed in to {answer['url']}" + (f" as {answer['email']}" if answer["email"] else ""))
        out.note("it exchanges by itself from now on; how it goes: jmem sync")
    return 0


def _agreed(args: Args) -> bool:
    """Whether what would leave may leave."""
    if args.yes or args.daemon.request("GET", "/account")["signed_in"]:
        return True
    out = args.out
    would = args.daemon.request("GET", "/sync/preview")
    count = would["memories"]
    if not count:
        return True
    out.note(f"{count:,} {'memory' if count == 1 else 'memories'} would go to the account, the newest of them:")
    for text in would["samples"]:
        out.note("  " + cut(one_line(text), max(out.columns - 4, 20)))
    if would["local"] or would["held"]:
        out.note(f"{would['local']:,} private and {would['held']:,} held back by rules stay here (jmem sync rules)")
    return confirmed(out, "Sign in and let them go", False)
