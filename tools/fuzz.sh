#!/bin/sh
# libFuzzer on the engine's C interface. Usage: tools/fuzz.sh fuzz|fuzz-planted MINUTES [libFuzzer's options]
# fuzz: exit status 0 when nothing was found. fuzz-planted: 0 when the planted bug was found.
# What is found lies in build/PRESET/findings; the corpus grows in build/PRESET/corpus.
set -eu
preset=$1
minutes=$2
shift 2

if ! command -v clang++ >/dev/null 2>&1; then
  echo 'Missing: clang, which brings libFuzzer; install with:' >&2
  echo 'apt install clang' >&2
  exit 1
fi
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"

build=build/$preset
fuzz=$build/native/fuzz/fuzz_engine
mkdir -p "$build/seeds" "$build/corpus" "$build/findings"
"$build/native/fuzz/write_seeds" "$build/seeds"
export UBSAN_OPTIONS=print_stacktrace=1
seconds=$(awk "BEGIN { print int($minutes * 60) }")

run() {
  "$fuzz" -max_total_time="$seconds" -max_len=256 -timeout=20 -artifact_prefix="$build/findings/" "$@"
}

if [ "$preset" = fuzz ]; then
  run "$@" "$build/corpus" "$build/seeds" && exit
  echo "Run a finding again with: $fuzz $build/findings/NAME" >&2
  exit 1
fi

# The seeds that every run starts from, but no corpus that may know the way already. A crash is the success here.
rm -rf "$build/findings" "$build/corpus" && mkdir "$build/findings" "$build/corpus"
start=$(date +%s)
if run "$@" "$build/corpus" "$build/seeds" >"$build/log" 2>&1; then
  tail -n 3 "$build/log" >&2
  echo "The planted bug was not found in $minutes minutes." >&2
  exit 1
fi
# An id past the tables shows where it is looked up, or in that the batch was accepted.
if ! grep -q -e '^SUMMARY: AddressSanitizer: .*ForwardPass::Embed' -e 'accepted in spite of: id' "$build/log"; then
  tail -n 40 "$build/log" >&2
  echo 'Something was found, but not the planted bug.' >&2
  exit 1
fi
grep -m 1 -e '^SUMMARY' -e 'accepted in spite of' "$build/log"
echo "The planted bug was found in $(($(date +%s) - start)) seconds."
