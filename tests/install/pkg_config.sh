#!/bin/sh
# pkg_config.sh COMPILER FLAGS SOURCE PREFIX DIRECTORY: builds SOURCE against the cairn installed under
# PREFIX as a plain makefile would, runs it, and does both again with pkg-config --static.
set -eu
compiler=$1 flags=$2 source=$3 prefix=$4 directory=$5

mkdir -p "$directory"
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name cairn.pc)")
export PKG_CONFIG_PATH
for kind in --shared --static; do
    # shellcheck disable=SC2086,SC2046 # lists of words
    "$compiler" -std=c++20 $flags "$source" $(pkg-config "$kind" --cflags --libs cairn) \
        -o "$directory/program"
    "$directory/program"
done
