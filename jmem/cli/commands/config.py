"""`jmem config`."""

from __future__ import annotations

import os

from jmem.cli.spec import Argument, Command, Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from jmem.cli.args import Args

_RUN = "jmem.cli.commands.config:"
_KEY = Argument("key", complete="settings", help="The setting, as `jmem config list` names it.")
GROUP = Group("config", "Settings, kept in config.toml.", default="list")
COMMANDS = (
    Command(
        "list",
        "List all settings, their values and where each comes from.",
        group="config",
        run=_RUN + "show",
        examples=(("jmem config", ""), ("jmem config list --json", "")),
    ),
    Command(
        "get", "Print one setting.", group="config", run=_RUN + "get", params=(_KEY,), examples=(("jmem config get port", ""),)
    ),
    Command(
        "set",
        "Change one setting.",
        group="config",
        run=_RUN + "set_",
        help="A running daemon takes it in when it restarts; where to sign in (`hosted.url`) is taken by `jmem login` at once.",
        params=(_KEY, Argument("value", "Its new value.")),
        examples=(("jmem config set idle.stop 3600", ""), ("jmem config set llm.model gpt-4o-mini", "")),
    ),
    Command(
        "unset",
        "Set one setting back to its default.",
        group="config",
        run=_RUN + "unset",
        params=(_KEY,),
        examples=(("jmem config unset idle.stop", ""),),
    ),
    Command("path", "Print where config.toml is.", group="config", run=_RUN + "path", examples=(("jmem config path", ""),)),
    Command(
        "edit", "Open config.toml in your editor.", group="config", run=_RUN + "edit", examples=(("jmem config edit", ""),)
    ),
)  # fmt: skip


def show(args: Args) -> int:
    """List them; what is secret is not shown."""
    from jmem.core.settings import SETTINGS, load

    settings = load(args.environ)
    out = args.out
    shown = {s.key: "(set)" if s.secret and settings[s.key] else settings[s.key] for s in SETTINGS}
    if out.json:
        out.document({key: {"value": value, "origin": settings.origins[key]} for key, value in shown.items()})
        return 0
    widest = max(map(len, shown))
    for setting in SETTINGS:
        value, origin = _text(shown[setting.key]), settings.origins[setting.key]
        if not out.human:
            out.row(setting.key, value, origin)
            continue
        styled = value if origin == "default" else out.paint("bold", value)
        gap = " " * max(24 - len(value), 1)
        out.line(
            f"{out.paint('id', setting.key)}{' ' * (widest - len(setting.key) + 2)}{styled}{gap}{out.paint('dim', origin)}"
        )
    return 0


def get(args: Args) -> int:
    """Print its value; a secret is shown, since it was asked for by name."""
    from jmem.core.settings import load, parse_setting

    settings = load(args.environ)
    if args.key not in settings.values:
        parse_setting(args.key, "")  # raises, naming what mends it
    if args.out.json:
        args.out.document({"key": args.key, "value": settings[args.key], "origin": settings.origins[args.key]})
    else:
        args.out.row(_text(settings[args.key]))
    return 0


def set_(args: Args) -> int:
    """Check the value, then write it."""
    from jmem.cli.configfile import put
    from jmem.core.settings import BY_KEY, parse_setting

    value = parse_setting(args.key, args.value)
    put(_path(args), args.key, value)
    return _changed(args, value, secret=BY_KEY[args.key].secret)


def unset(args: Args) -> int:
    """Take it out of the file."""
    from jmem.cli.configfile import take
    from jmem.core.settings import BY_KEY

    found = take(_path(args), args.key)
    if not found and args.key not in BY_KEY:
        from jmem.core.settings import parse_setting

        parse_setting(args.key, "")  # raises, naming what mends it
    setting = BY_KEY.get(args.key)
    return _changed(args, setting.default if setting else None)


def path(args: Args) -> int:
    """Print it, whether or not the file is there."""
    if args.out.json:
        args.out.document({"path": str(_path(args)), "exists": _path(args).exists()})
    else:
        args.out.line(str(_path(args)))
    return 0


def edit(args: Args) -> int:
    """Open the file, and check it afterwards."""
    from jmem.cli.editor import open_file
    from jmem.core.settings import load, read_config

    os.makedirs(args.home, mode=0o700, exist_ok=True)
    file = _path(args)
    if not file.exists():
        file.touch(mode=0o600)
    open_file(args.environ, str(file))
    read_config(file.parent)
    load(args.environ)
    _tell(args)
    return 0


def _path(args: Args) -> Path:
    from pathlib import Path

    from jmem.core.settings import config_path

    return config_path(Path(args.home))


def _changed(args: Args, value: Any, secret: bool = False) -> int:
    if args.out.json:
        args.out.document({"key": args.key, "value": "(set)" if secret else value})
    if args.key == "hosted.url" and value and not _signs_in_by_key(args):
        args.out.note("the next sign-in goes there: jmem login")
    else:
        _tell(args)
    return 0


def _signs_in_by_key(args: Args) -> bool:
    """Whether the daemon signs in by itself, with a key of the settings."""
    from jmem.core.settings import load

    return bool(load(args.environ)["hosted.token"])


def _tell(args: Args) -> None:
    """Say that a restart applies it, where a daemon runs that does not know it yet."""
    from jmem.client import Client

    if Client(args.home, autostart=False).running():
        args.out.note("the daemon takes this in when it restarts: jmem daemon restart")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
