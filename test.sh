#!/bin/sh
# Everything that must pass: formatting, lint, types, import contracts, tests. Arguments go to pytest.
# Makes .venv on first use and keeps it up to date with pyproject.toml.
set -eu
cd -- "$(dirname -- "$0")"

say() { printf '\n== %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV 2>/dev/null || :
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}" UV_NATIVE_TLS="${UV_NATIVE_TLS:-true}"
export PIP_DISABLE_PIP_VERSION_CHECK=1

find_python() {
    for name in "${PYTHON:-python3}" python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            PYTHON=$name
            return
        fi
    done
    echo "test.sh: no Python 3.11 or newer is found; set PYTHON to one" >&2
    exit 1
}

# The test programs that are not Python packages. As root they are installed; else the command is named.
need() {
    have "$1" && return 0
    if [ "$(id -u)" = 0 ] && have apt-get; then
        say "installing $2"
        apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$2" >/dev/null
    else
        echo "test.sh: $1 is needed; install it: sudo apt install $2   or: brew install $2" >&2
        exit 1
    fi
}

prepare() {
    find_python
    wanted="$("$PYTHON" -V) $(cksum <pyproject.toml) $(pwd)"
    if [ "$(cat .venv/.prepared 2>/dev/null)" = "$wanted" ]; then return; fi
    say "preparing .venv"
    "$PYTHON" -m venv --clear .venv
    # uv takes a tenth of pip's time; pip does where uv can't be had
    have uv || .venv/bin/python -m pip install --quiet uv || :
    PATH=$PATH:.venv/bin uv pip install --quiet --python .venv/bin/python -e '.[dev]' ||
        .venv/bin/python -m pip install --quiet -e '.[dev]'
    printf '%s' "$wanted" >.venv/.prepared
}

need tmux tmux
need redis-server redis-server
have chromium-browser || have google-chrome || need chromium chromium
prepare
PATH=$PWD/.venv/bin:$PATH
export PATH

failed=''
check() {
    say "$*"
    "$@" || failed="$failed${failed:+, }$*"
}

# What needs no more than a processor works beside the tests, which mostly wait, and is told after them.
mypy >.venv/mypy.said 2>&1 &
mypy=$!
lint-imports >.venv/lint-imports.said 2>&1 &
imports=$!
ended() {
    say "$1"
    wait "$2" || failed="$failed${failed:+, }$1"
    cat ".venv/$1.said"
}

# Real processes, browsers and terminals wait for each other with limits that a busy machine may pass: a test that fails
# beside the others is run once more, alone. What fails twice fails; what does not is named.
tests() {
    status=0
    python -m pytest -n 3 --dist loadfile "$@" || status=$?
    [ "$status" = 1 ] || return "$status"
    say 'once more, alone'
    python -m pytest -v --last-failed --last-failed-no-failures none || return 1
    echo 'test.sh: these failed beside the others, and passed alone'
}

check ruff check
check ruff format --check
check tests "$@"
ended mypy "$mypy"
ended lint-imports "$imports"

if [ -n "$failed" ]; then
    echo "test.sh: failed: $failed"
    exit 1
fi
