#!/bin/sh
# clang-tidy and cppcheck over what the build compiles. Fails on any finding.
set -eu
build=${1:-build}
cd "$(dirname "$0")/.."
for tool in clang-tidy cppcheck; do
    command -v $tool >/dev/null || { echo "$tool is missing: run 'make deps' first" >&2; exit 1; }
done
status=0
files=$(git ls-files 'src/*.c' 'bench/*.c' | grep -v -e '/test_' -e '/fuzz_' -e '/bench_')
echo "clang-tidy"
# shellcheck disable=SC2086
printf '%s\n' $files | xargs -P "$(nproc)" -n 8 clang-tidy -p "$build" --quiet --warnings-as-errors='*' 2>/dev/null || status=1
echo "cppcheck"
# shellcheck disable=SC2086
cppcheck --quiet --enable=warning,portability,performance --inline-suppr --error-exitcode=1 -j "$(nproc)" \
    --suppressions-list=tools/cppcheck.txt -I src -D_GNU_SOURCE -DPOSTERN_VERSION='"lint"' $files || status=1
[ $status -eq 0 ] && echo "lint: nothing found"
exit $status
