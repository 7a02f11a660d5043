"""`jmem connect`."""

from __future__ import annotations

from jmem.cli.options import YES
from jmem.cli.spec import Argument, Command, Option

COMMAND = Command(
    "connect",
    "Give a program your memory over MCP.",
    run="jmem.cli.connect.commands:connect",
    help="Writes jmem into the program's own settings: shows the change, asks, and keeps a backup beside the file. "
    "Knows claude (Claude Desktop), claude-code, cursor, vscode, windsurf, zed, codex and gemini; any other name works "
    "with --print. Without a name: which of them are installed and connected. `jmem disconnect` takes it back.",
    params=(
        Argument("name", "The program.", required=False, complete="programs"),
        Option("--print", help="Only print its URLs and its command, as JSON; changes no settings.", kind="flag"),
        Option("--http", help="Connect by URL instead of a command, and let the daemon start at login.", kind="flag"),
        Option("--stdio", help="Connect by a command that the program runs (what is done anyway).", kind="flag"),
        Option("--check", help="Prove that the program can add and find: through what its settings say.", kind="flag"),
        Option("--rotate", help="Make a new key: the old URLs stop working.", kind="flag"),
        Option("--dry-run", help="Show the change only.", kind="flag"),
        Option("--force", help="Write the settings of a program that does not seem to be installed.", kind="flag"),
        Option("--no-service", help="With --http: do not let the daemon start at login.", kind="flag"),
        YES,
    ),
    examples=(
        ("jmem connect", "what is installed, what is connected"),
        ("jmem connect claude", "Claude Desktop"),
        ("jmem connect cursor --yes --check", ""),
        ("jmem connect my-agent --print", "URLs and command for any program"),
    ),
)
