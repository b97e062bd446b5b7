#!/bin/sh
# fuzz.sh FUZZER FOUND CORPUS: fuzzes for four seconds, or with CAIRN_TEST_LONG for twenty times as long.
# What is new goes to FOUND, from where the next run goes on; an input that breaks a promise lies there too.
set -eu
fuzzer=$1 found=$2 corpus=$3
seconds=4
if [ "${CAIRN_TEST_LONG-}" ]; then seconds=80; fi
mkdir -p "$found"
exec "$fuzzer" -max_total_time=$seconds -timeout=10 -print_final_stats=1 \
    -artifact_prefix="$found/broken-" "$found" "$corpus"
