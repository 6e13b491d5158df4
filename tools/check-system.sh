#!/bin/sh
# Is what `make` needs on this machine? Usage: tools/check-system.sh PYTHON
# Says what is missing and the one line that brings it; exit status 1 then.
set -u
python=${1:-python3}
line='apt install make g++ python3-dev python3-venv'
missing=''

# C++20, which the engine is written in.
if ! echo 'int main() { return 0; }' | "${CXX:-g++}" -std=c++20 -x c++ -fsyntax-only - 2>/dev/null; then
  missing="$missing a C++20 compiler (${CXX:-g++});"
fi
if ! command -v "$python" >/dev/null 2>&1; then
  missing="$missing $python;"
else
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    found=$("$python" -c 'import platform; print(platform.python_version())')
    echo "limbeck needs Python 3.11 or newer; $python is $found." >&2
    echo "Name a newer one, as in: make PYTHON=python3.12" >&2
    exit 1
  fi
  # Debian packs these apart from the interpreter. The headers are for packages without a wheel for this Python.
  "$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing the venv module of $python;"
  "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
    missing="$missing the headers of $python;"
fi

if [ -n "$missing" ]; then
  echo "Missing:$missing install with:" >&2
  echo "$line" >&2
  exit 1
fi
