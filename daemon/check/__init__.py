"""`python -P -m daemon check [--json] [--fix]`: the deep half of `jmem doctor`.

It reads the home, the running daemon and copies of the databases; it starts nothing. With --fix it mends what is
safe to mend: for what needs the store to itself it stops the daemon first, which the next command starts again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from daemon.check.account import account_checks
from daemon.check.derived import derived_checks
from daemon.check.home import home_checks
from daemon.check.process import process_checks
from daemon.check.store import store_checks
from jmem.core.errors import JmemError
from jmem.core.finding import Check, Finding, examine
from jmem.core.settings import Settings, default_home, load


def main(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Check and print; 1 when something failed."""
    parser = argparse.ArgumentParser(prog="python -P -m daemon check", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--fix", action="store_true", help="mend what can be mended safely")
    given = parser.parse_args(argv)
    findings = examine_home(environ, mend=given.fix)
    failed = sum(finding.status == "fail" for finding in findings)
    if given.json:
        json.dump({"ok": not failed, "checks": [finding.as_dict() for finding in findings]}, sys.stdout)
        sys.stdout.write("\n")
    else:
        for finding in findings:
            sys.stdout.write(
                "\t".join(filter(None, (finding.status, finding.name, finding.message, finding.fix))) + "\n"
            )
    return 1 if failed else 0


def examine_home(environ: Mapping[str, str], *, mend: bool = False) -> list[Finding]:
    """Everything that can be found out about the home of an environment."""
    try:
        settings = load(environ)
    except JmemError as error:
        bad = Finding("config", "fail", error.message, error.fix)
        return [bad, *examine(home_checks(default_home(environ), None), mend=mend)]
    return examine(_checks(settings, environ), mend=mend)


def _checks(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    yield from home_checks(settings.home, settings)
    if not settings.home.is_dir():
        return
    yield from process_checks(settings, environ)
    yield from store_checks(settings)
    yield from derived_checks(settings)
    yield from account_checks(settings)
