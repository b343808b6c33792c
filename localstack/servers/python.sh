#!/bin/sh
# Runs a script with the newest Python that is new enough for the local stack: python.sh SCRIPT [ARGUMENT ...]
# Without arguments it prints the interpreter's path. It tries the interpreters in the usual places one by one, because a
# name on PATH may be an older version, or a version manager's shim that does not run.
set -eu

minimum=12 # Python 3.12: tomllib, and what LocalStack needs

candidates() {
    [ -z "${PYTHON:-}" ] || command -v "$PYTHON" || true
    for minor in 15 14 13 12; do
        command -v "python3.$minor" || true
        for place in "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin "$HOME/.local/share/uv/python/cpython-3.$minor".*/bin \
            "/opt/homebrew/opt/python@3.$minor/bin" "/usr/local/opt/python@3.$minor/bin" /usr/local/bin /usr/bin; do
            [ ! -x "$place/python3.$minor" ] || echo "$place/python3.$minor"
        done
    done
    command -v python3 || true
}

fits() {
    "$1" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, $minimum))" >/dev/null 2>&1
}

found=$(candidates | while IFS= read -r candidate; do
    if fits "$candidate"; then
        echo "$candidate"
        break
    fi
done)

if [ -z "$found" ]; then
    cat >&2 <<END
No Python 3.$minimum or newer with the venv module was found (on PATH, in ~/.pyenv/versions, in the usual places).
  Debian/Ubuntu: sudo apt-get install python3 python3-venv   (Debian 12 and older: install 3.$minimum with pyenv or uv)
  Fedora:        sudo dnf install python3
  macOS:         brew install python
To use an interpreter elsewhere, set the variable PYTHON.
END
    others=
    for program in cargo mvn cc make cmake git; do
        command -v "$program" >/dev/null || others="$others $program"
    done
    [ -z "$others" ] || echo "Also missing on PATH:$others (with a Python installed, \`stack.py prerequisites\` shows how to get them)" >&2
    exit 1
fi

if [ $# -eq 0 ]; then
    echo "$found"
else
    exec "$found" "$@"
fi
