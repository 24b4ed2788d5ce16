#!/bin/sh
# Line coverage of the unit tests, by gcov through meson.
set -eu
cd "$(dirname "$0")/.."
build=build-coverage
[ -e $build/build.ninja ] || meson setup $build -Db_coverage=true -Dbuildtype=debug
ninja -C $build
meson test -C $build --no-rebuild >/dev/null || true
find $build -name '*.gcda' | while read -r data; do
    gcov -n "$data" 2>/dev/null | awk '/^File .*src\//{file=$2} /^Lines executed/{if (file) print file, $0; file=""}'
done | grep -v -e test_ -e fuzz_ | sort -u
