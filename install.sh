#!/bin/sh
# Installs jmem for the user who runs this: with uv, else pipx, else in a virtual environment of its own.
# Run it again to upgrade. It never uses sudo and never touches the system's Python packages.
set -eu

usage() {
    cat <<'END'
Usage: ./install.sh [options]

  --method uv|pipx|venv   choose how to install (default: as before, else the first that is there)
  --python PATH           the Python to use (default: the newest of 3.13, 3.12, 3.11 that is found)
  --uninstall             stop jmem and remove the program; your memories stay
  --purge                 with --uninstall: delete your memories too, after you confirm it
  --yes                   with --purge: do not ask
  --help                  this text
END
}

say() { printf '%s\n' "$*"; }
warn() { printf 'install: %s\n' "$*" >&2; }

# fail MESSAGE [REMEDY]
fail() {
    warn "$1"
    if [ $# -gt 1 ]; then printf '         %s\n' "$2" >&2; fi
    exit 1
}

METHOD='' PYTHON='' ACTION=install PURGE=no YES=no
while [ $# -gt 0 ]; do
    case $1 in
        --method) METHOD=${2:-}; shift ;;
        --method=*) METHOD=${1#*=} ;;
        --python) PYTHON=${2:-}; shift ;;
        --python=*) PYTHON=${1#*=} ;;
        --uninstall) ACTION=uninstall ;;
        --purge) PURGE=yes ;;
        --yes | -y) YES=yes ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; fail "unknown option: $1" ;;
    esac
    [ $# -gt 0 ] && shift
done
case $METHOD in '' | uv | pipx | venv) ;; *) fail "--method is uv, pipx or venv, not '$METHOD'" ;; esac
if [ "$PURGE" = yes ] && [ "$ACTION" != uninstall ]; then fail "--purge goes with --uninstall"; fi
[ -n "${HOME:-}" ] || fail "HOME is not set" "set it to your home folder: export HOME=/path/to/it"

# Settings of somebody else's Python must not leak into this one.
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV 2>/dev/null || :
PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_PYTHON_DOWNLOADS=never
# The system's certificates, as pip uses them: a company's own authority is known there.
UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} UV_NATIVE_TLS=${UV_NATIVE_TLS:-true}
export PIP_USER PIP_DISABLE_PIP_VERSION_CHECK UV_PYTHON_DOWNLOADS UV_SYSTEM_CERTS UV_NATIVE_TLS

DATA=${XDG_DATA_HOME:-$HOME/.local/share}
VENV=$DATA/jmem-venv
LOG=''
# On a terminal uv and pip show how far they are.
if [ -t 1 ] && [ -t 2 ]; then QUIET=''; else QUIET=yes; fi
trap '[ -z "$LOG" ] || rm -f "$LOG"' EXIT

# step MESSAGE REMEDY COMMAND...   its output is shown as it comes on a terminal, else only when it fails
step() {
    message=$1 remedy=$2
    shift 2
    if [ -t 1 ] && [ -t 2 ]; then
        "$@" </dev/null && return 0
        warn "$message failed (above)"
        fail "jmem is not installed" "$remedy"
    fi
    [ -n "$LOG" ] || LOG=$(mktemp "${TMPDIR:-/tmp}/jmem-install.XXXXXX")
    if ! "$@" >"$LOG" 2>&1 </dev/null; then
        warn "$message failed:"
        tail -n 25 "$LOG" | sed 's/^/    /' >&2
        fail "jmem is not installed" "$remedy"
    fi
}

have() { command -v "$1" >/dev/null 2>&1; }

on_path() { case ":$PATH:" in *":$1:"*) return 0 ;; *) return 1 ;; esac }

# The folder this script lies in, when it is a checkout of jmem.
checkout() {
    case $0 in */*) ;; *) return 1 ;; esac
    folder=$(CDPATH='' cd -- "$(dirname -- "$0")" 2>/dev/null && pwd -P) || return 1
    grep -q '^name = "jmem"' "$folder/pyproject.toml" 2>/dev/null || return 1
    printf '%s\n' "$folder"
}

# The real interpreter behind a command (not a shim, not one of a virtual environment), when it is new enough.
interpreter() {
    "$1" -c 'import os, sys
if sys.version_info < (3, 11): sys.exit(1)
print(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))' 2>/dev/null
}

find_python() {
    if [ -n "$PYTHON" ]; then
        found=$(interpreter "$PYTHON") || fail "$PYTHON is not Python 3.11 or newer"
        PYTHON=$found
        return
    fi
    for name in python3.13 python3.12 python3.11 python3 python3.14; do
        for folder in '' /usr/local/bin/ /opt/homebrew/bin/ "$HOME/.local/bin/" /usr/bin/; do
            if found=$(interpreter "$folder$name"); then
                PYTHON=$found
                return
            fi
        done
    done
    if have uv && found=$(uv python find --no-project '>=3.11' 2>/dev/null); then
        PYTHON=$found
        return
    fi
    case $(uname -s) in
        Darwin) remedy='brew install python@3.13   or get it from python.org' ;;
        *) remedy='install it first, for example: apt install python3 python3-venv   or: dnf install python3.12' ;;
    esac
    fail "no Python 3.11 or newer is found" "$remedy"
}

uv_has() { have uv && [ -x "$(uv tool dir 2>/dev/null)/jmem/bin/python" ]; }
pipx_venv() { printf '%s/jmem\n' "$(pipx environment --value PIPX_LOCAL_VENVS 2>/dev/null)"; }
pipx_has() { have pipx && [ -x "$(pipx_venv)/bin/python" ]; }
venv_has() { [ -e "$VENV/pyvenv.cfg" ]; }

# An upgrade stays where the last installation went, so that there is never a second one.
choose_method() {
    if [ -n "$METHOD" ]; then
        case $METHOD in
            venv) ;;
            *) have "$METHOD" || fail "$METHOD is not on your PATH" "leave --method out, or install $METHOD first" ;;
        esac
    elif uv_has; then METHOD=uv
    elif pipx_has; then METHOD=pipx
    elif venv_has; then METHOD=venv
    elif have uv; then METHOD=uv
    elif have pipx; then METHOD=pipx
    else METHOD=venv
    fi
}

# Sets BIN (the folder with the program) and JMEM (the program), which exist after an installation.
locate() {
    case $METHOD in
        uv) BIN=$(uv tool dir --bin) TARGET=$(uv tool dir)/jmem/bin/jmem ;;
        pipx) BIN=$(pipx environment --value PIPX_BIN_DIR) TARGET=$(pipx_venv)/bin/jmem ;;
        venv) BIN=${XDG_BIN_HOME:-$HOME/.local/bin} TARGET=$VENV/bin/jmem ;;
    esac
    JMEM=$BIN/jmem
}

NETWORK='check the lines above; where a package could not be fetched, check your network and run this again'

install_uv() {
    step "uv tool install" "$NETWORK" \
        uv tool install ${QUIET:+--quiet} --force --reinstall-package jmem --compile-bytecode --python "$PYTHON" "$SOURCE"
}

install_pipx() {
    step "pipx install" "$NETWORK" pipx install --force --python "$PYTHON" "$SOURCE"
}

install_venv() {
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || fail "$PYTHON has no venv module" \
        "install it, for example: apt install python3-venv   or install uv, and run this again"
    if ! "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
        mkdir -p "$DATA"
        step "making $VENV" "remove it and run this again: rm -r $VENV" "$PYTHON" -m venv --clear "$VENV"
    fi
    step "pip install" "$NETWORK" "$VENV/bin/python" -m pip install ${QUIET:+--quiet} --upgrade --no-compile "$SOURCE"
    # On every core, which pip does not do. A file that can't be compiled is one that is never imported.
    "$VENV/bin/python" -m compileall -q -j 0 "$VENV/lib" >/dev/null 2>&1 || :
    mkdir -p "$BIN"
    if [ -e "$JMEM" ] && [ ! -L "$JMEM" ]; then
        fail "$JMEM is there and is not jmem's link" "move it away and run this again"
    fi
    ln -sf "$TARGET" "$JMEM"
}

# Folders that people's own programs go to, in the order of preference.
link_folders() { printf '%s\n' "$HOME/.local/bin" "$HOME/bin" /opt/homebrew/bin /usr/local/bin; }

is_our_link() {
    [ -L "$1" ] || return 1
    case $(readlink "$1") in "$JMEM" | "$TARGET") return 0 ;; *) return 1 ;; esac
}

# Whether a link to the program may be put there: nothing is, or a link to some jmem, as one that is gone.
may_link() {
    [ -e "$1" ] || [ -L "$1" ] || return 0
    [ -L "$1" ] || return 1
    case $(readlink "$1") in */jmem) return 0 ;; *) return 1 ;; esac
}

# Makes `jmem` a command of this very shell, where a folder of the PATH is the user's own to write.
put_on_path() {
    on_path "$BIN" && return 0
    for folder in $(link_folders); do
        on_path "$folder" && [ -d "$folder" ] && [ -w "$folder" ] || continue
        if may_link "$folder/jmem"; then
            ln -sf "$JMEM" "$folder/jmem" && say "linked $folder/jmem, since $BIN is not on your PATH" && return 0
        fi
    done
    say "$BIN is not on your PATH. Add it and open a new terminal:"
    case $(basename -- "${SHELL:-sh}") in
        fish) say "    fish_add_path $BIN" ;;
        zsh) say "    echo 'export PATH=\"$BIN:\$PATH\"' >> ~/.zshrc" ;;
        bash) say "    echo 'export PATH=\"$BIN:\$PATH\"' >> ~/.bashrc" ;;
        *) say "    echo 'export PATH=\"$BIN:\$PATH\"' >> ~/.profile" ;;
    esac
}

other_jmem() {
    first=$(command -v jmem 2>/dev/null) || return 0
    [ "$first" = "$JMEM" ] || is_our_link "$first" || warn "another jmem comes first on your PATH: $first"
}

do_install() {
    SOURCE=$(checkout) || SOURCE=jmem
    find_python
    choose_method
    locate
    verb=installed
    [ -x "$JMEM" ] && verb=upgraded
    say "installing jmem with $METHOD and $("$PYTHON" -c 'import platform; print("Python", platform.python_version())')"
    say "this takes a minute or two"
    "install_$METHOD"
    [ -x "$JMEM" ] || fail "the installation ended without $JMEM" "please report this with the output above"
    # The old version's daemon would go on serving: the next command starts the new one.
    if [ "$verb" = upgraded ]; then "$JMEM" daemon stop >/dev/null 2>&1 || :; fi
    say "$verb $("$JMEM" version 2>/dev/null || echo jmem): $JMEM"
    put_on_path
    other_jmem
    "$JMEM" doctor || warn "jmem is $verb, but doctor found something to mend (above)"
}

# Where memories are, as jmem itself decides it.
memories() {
    if [ -n "${JMEM_HOME:-}" ]; then printf '%s\n' "$JMEM_HOME"
    elif [ "$(uname -s)" = Darwin ]; then printf '%s\n' "$HOME/Library/Application Support/jmem"
    else printf '%s\n' "$DATA/jmem"
    fi
}

confirm_purge() {
    [ "$PURGE" = yes ] && [ -d "$STORE" ] || return 0
    [ -e "$STORE/users.json" ] || [ -d "$STORE/users" ] || fail "$STORE does not look like jmem's; nothing was removed"
    [ "$YES" = yes ] && return 0
    say "This deletes every memory in $STORE, its backups included. It can't be undone."
    printf 'Type "delete my memories" to go on: '
    read -r answer || answer=''
    [ "$answer" = 'delete my memories' ] || fail "not confirmed; nothing was removed"
}

remove_links() {
    for folder in $(link_folders) "$BIN"; do
        if is_our_link "$folder/jmem"; then rm -f "$folder/jmem"; fi
    done
}

# What `jmem --install-completion` wrote is the shell's own file, which is for its owner to edit.
completion_left() {
    for file in "$HOME/.bashrc" "$HOME/.zshrc" "$HOME/.bash_completions/jmem.sh" "$HOME/.zfunc/_jmem" \
        "$HOME/.config/fish/completions/jmem.fish"; do
        if grep -Eq 'bash_completions/jmem\.sh|_JMEM_COMPLETE' "$file" 2>/dev/null; then
            say "the shell completion of jmem is still in $file; remove it there"
        fi
    done
}

do_uninstall() {
    STORE=$(memories)
    confirm_purge
    removed=no
    for METHOD in uv pipx venv; do
        "${METHOD}_has" || continue
        locate
        [ -x "$JMEM" ] || JMEM=$TARGET
        if [ -x "$JMEM" ] && [ -d "$STORE" ]; then
            "$JMEM" disconnect --all --yes --quiet || warn "not every client could be disconnected"
            "$JMEM" daemon uninstall >/dev/null 2>&1 || :
            "$JMEM" daemon stop >/dev/null 2>&1 || :
        fi
        JMEM=$BIN/jmem
        case $METHOD in
            uv) step "uv tool uninstall" "run: uv tool uninstall jmem" uv tool uninstall jmem ;;
            pipx) step "pipx uninstall" "run: pipx uninstall jmem" pipx uninstall jmem ;;
            venv) rm -rf "$VENV" ;;
        esac
        remove_links
        removed=yes
        say "removed jmem (installed with $METHOD)"
    done
    completion_left
    [ "$removed" = yes ] || say "jmem is not installed"
    [ -d "$STORE" ] || return 0
    if [ "$PURGE" = yes ]; then
        rm -rf "$STORE"
        say "deleted $STORE"
    else
        say "your memories are kept in $STORE"
    fi
}

"do_$ACTION"
