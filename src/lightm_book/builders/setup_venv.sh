#!/bin/sh
# Make .venv and install what requirements/ and pyproject.toml ask for; do nothing if that was done. Called by make.
# Usage: PYTHON=python3 sh src/lightm_book/builders/setup_venv.sh STAMP
set -eu
stamp=$1
fail() { echo "$1" >&2; exit 1; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

command -v git >/dev/null || fail "git is missing: install it (e.g. apt install git, brew install git) and run make again."
if ! new_enough "$PYTHON"; then
    [ "$PYTHON" = python3 ] || fail "PYTHON=$PYTHON is not a Python 3.11 or newer: name one that is, e.g. make book PYTHON=python3.12."
    for candidate in python3.14 python3.13 python3.12 python3.11 none; do
        if new_enough "$candidate"; then break; fi
    done
    [ "$candidate" != none ] || fail "Python 3.11 or newer is needed and python3 is $(python3 -V 2>&1 || true): install one and name it, e.g. make book PYTHON=python3.12."
    PYTHON=$candidate
fi
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$PYTHON has no venv module: install it (Debian, Ubuntu: apt install python3-venv) and run make again."

# The stamp holds a hash of the requirements: a checkout that only touched the files costs nothing.
wanted=$(cat requirements/all.in requirements/constraints.txt pyproject.toml | git hash-object --stdin)
if .venv/bin/python -c 'import lightm' 2>/dev/null && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    touch "$stamp"
    exit 0
fi
.venv/bin/python -c '' 2>/dev/null || { echo "Making .venv with $("$PYTHON" -V) ..."; rm -rf .venv; "$PYTHON" -m venv .venv; }
echo "Installing packages into .venv (the first time 1 to 3 GB are downloaded, most of it PyTorch) ..."
if [ -t 1 ]; then quiet=""; else quiet="-qq"; fi # a terminal gets pip's progress bars, a log only what went wrong
pip() { .venv/bin/python -m pip --disable-pip-version-check $quiet "$@"; }
pip install --constraint requirements/constraints.txt -r requirements/all.in ||
    fail "pip could not install the packages, see above; make continues from here when you run it again."
pip install --no-deps -e . || fail "pip could not install lightm itself, see above."
echo "$wanted" >"$stamp"
