# `just` lists the recipes; each is one plain command, so nothing here needs just.

python := ".venv/bin/python"

_default:
    @just --list --unsorted

# everything that must pass before a change goes in
check:
    ./test.sh

# tests alone: just test tests/core -k undo
test *args:
    {{python}} -m pytest {{args}}

# a benchmark: just bench recall
bench name *args:
    {{python}} -m bench.{{name}} {{args}}

# format, and mend what lint can mend
fix:
    .venv/bin/ruff check --fix
    .venv/bin/ruff format

# what is wrong with the jmem of this checkout
doctor *args:
    {{python}} -m jmem doctor {{args}}

# whether every command, setting and error code is documented
docs:
    {{python}} -m pytest tests/docs
