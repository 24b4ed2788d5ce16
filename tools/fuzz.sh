#!/bin/sh
# Build every fuzz target and run each for the given seconds. A crash leaves its input in build-fuzz/ and fails.
set -eu
seconds=${1:-60}
cd "$(dirname "$0")/.."
build=build-fuzz
[ -e $build/build.ninja ] ||
    CC=clang meson setup $build -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false -Dseccomp=disabled -Dtests=disabled
ninja -C $build
passed=0
failed=0
for target in $(find $build/src -type f -name 'fuzz_*' -perm -u+x | sort); do
    name=$(basename "$target")
    mkdir -p "$build/corpus/$name"
    dict=$(find src -name "$name.dict" -o -name "${name#fuzz_*_}.dict" | head -1)
    if "$target" "$build/corpus/$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
        -artifact_prefix="$build/$name-" ${dict:+-dict="$dict"} >"$build/$name.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $name: $(grep -c . "$build/$name.log") lines, $(tail -1 "$build/$name.log")"
    else
        failed=$((failed + 1))
        echo "FAILED  $name: see $build/$name.log"
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
