#!/bin/sh
# Install the Debian packages of the named parts of packages.txt that are missing.
set -eu
cd "$(dirname "$0")/.."

wanted=
unpack=
part=
while read -r line; do
    case $line in
    '# build') part=build ;;
    '# test') part='test' ;;
    '# unpack') part=unpack ;;
    '#'*|'') ;;
    *)
        package=${line%% unless *}
        if [ "$package" != "$line" ] && command -v "${line##* unless }" >/dev/null; then
            continue
        fi
        for asked in "$@"; do
            [ "$asked" != "$part" ] || wanted="$wanted $package"
            [ "$asked $part" != "test unpack" ] || unpack="$unpack $package"
        done
        ;;
    esac
done < packages.txt

missing=
for package in $wanted; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
        missing="$missing $package"
done
fetch=
for package in $unpack; do
    [ -d "build-packages/$package" ] || fetch="$fetch $package"
done
install() {
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || {
            echo "these packages are missing; install them as root:$missing" >&2
            exit 1
        }
        as_root=sudo
    fi
    echo "installing:$missing"
    # Servers that come with the packages are started by the tests themselves, in directories of their own.
    policy=/usr/sbin/policy-rc.d
    made_policy=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
        $as_root chmod 755 $policy
        made_policy=yes
    fi
    status=0
    $as_root apt-get update -q >/dev/null || status=$?
    # shellcheck disable=SC2086
    [ $status -ne 0 ] || $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null || status=$?
    [ -z "$made_policy" ] || $as_root rm -f $policy
    [ $status -eq 0 ] || exit $status
}

# What cannot be fetched is missing from the tests only, and they say so.
unpack() {
    echo "unpacking: $1"
    rm -rf "build-packages/$1.new"
    mkdir -p "build-packages/$1.new"
    if (cd "build-packages/$1.new" && apt-get download -q "$1" >/dev/null 2>&1 && dpkg-deb -x ./*.deb . && rm -f ./*.deb); then
        mv "build-packages/$1.new" "build-packages/$1"
    else
        echo "cannot fetch $1" >&2
    fi
}

[ -z "$missing" ] || install
for package in $fetch; do
    unpack "$package"
done
