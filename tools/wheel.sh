#!/bin/sh
# Build a wheel into dist/ and try it in a fresh environment, away from the sources.
# Usage: tools/wheel.sh PYTHON
set -eu
cd "$(dirname "$0")/.."
python=$1
rm -rf dist
"$python" -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .
wheel=$(echo dist/limbeck-*.whl)
echo "==> $wheel"
case $wheel in
*-py3-none-*.whl) ;;
*)
  echo "the wheel is tied to one Python version" >&2
  exit 1
  ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip --disable-pip-version-check install --quiet -c constraints.txt "$wheel"
"$python" -c 'from limbeck.bench.models import Shape, write_model; from pathlib import Path; import sys
write_model(Path(sys.argv[1]), Shape(layers=2, hidden=64, heads=4, ffn=128))' "$work/model"
# Away from the checkout, and with nothing but the wheel and what it requires.
cd "$work"
venv/bin/limbeck --help >help.txt
venv/bin/python - <<'PY'
import limbeck

answer = limbeck.pipeline("text-classification", "model")("one text")
assert set(answer[0]) == {"label", "score"}, answer
print("==> limbeck", limbeck.__version__, "answers from the wheel:", answer)
PY
