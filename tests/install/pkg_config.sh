#!/bin/sh
# pkg_config.sh COMPILER FLAGS PACKAGE SOURCE PREFIX DIRECTORY: builds SOURCE against the PACKAGE installed
# under PREFIX as a plain makefile would, runs it, and does both again with pkg-config --static.
set -eu
compiler=$1 flags=$2 package=$3 source=$4 prefix=$5 directory=$6

mkdir -p "$directory"
cd "$directory"
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name "$package.pc")")
export PKG_CONFIG_PATH
for kind in --shared --static; do
    # shellcheck disable=SC2086,SC2046 # lists of words
    "$compiler" -std=c++20 $flags "$source" $(pkg-config "$kind" --cflags --libs "$package") \
        -o program
    ./program
done
