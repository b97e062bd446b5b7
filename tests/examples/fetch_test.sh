#!/usr/bin/env bash
# fetch_test.sh EXAMPLES
# What examples/data/fetch does where there is no npm, with a registry that is a directory: it asks there,
# takes nothing but the very package that it knows, and leaves nothing behind when it is another.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
die() { printf 'fetch_test: %s\n' "$*" >&2; exit 1; }

mkdir -p "$room/data" "$room/bin" "$room/registry/vega-datasets/-" "$room/home"
cp "$1"/data/{fetch,download.py,extract.py} "$room/data"
for tool in bash cat dirname env gzip mkdir mktemp mv printf python3 rm sed sha256sum tar wc; do
    ln -s "$(PATH=/usr/bin:/bin type -P $tool)" "$room/bin/$tool"
done
fetch() { env -i PATH="$room/bin" HOME="$room/home" "$@" "$room/data/fetch" >"$room/said" 2>&1; }
here=npm_config_registry=file://$room/registry/

fetch "$here" && die "it succeeded with nothing to fetch"
grep -q "vega-datasets-3.2.1.tgz" "$room/said" || die "it does not say what it did not get"

printf 'another package' >"$room/registry/vega-datasets/-/vega-datasets-3.2.1.tgz"
fetch "$here" && die "it took another package"
grep -q "FAILED" "$room/said" || die "it does not say that the sum is wrong"

printf 'registry=file://%s/registry\n' "$room" >"$room/home/.npmrc"
fetch LANG=C && die "it took another package"
grep -q "FAILED" "$room/said" || die "it did not ask the registry of .npmrc"
[[ ! -e $room/data/fetched ]] || die "something was left behind"
