# What the scripts share. Sourced by them; leaves the shell at the project's root.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 2; }

# Runs a command with the rights to install packages.
as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo -- "$@"
    fi
}

# Runs a command whose output matters only when it fails.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        die "failed: $*"
    fi
    rm -f "$log"
}

is_installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# install_packages LIST: installs what the file LIST names and the system lacks. Says nothing when
# nothing is missing.
install_packages() {
    local list=$1 package missing=()
    if ! command -v dpkg-query >/dev/null; then
        say "No Debian system: expecting the equivalents of $list to be installed."
        return
    fi
    while read -r package; do
        is_installed "$package" || missing+=("$package")
    done < <(sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$list")
    ((${#missing[@]})) || return 0

    local install=(apt-get install -y --no-install-recommends "${missing[@]}")
    if ((EUID)) && ! command -v sudo >/dev/null; then
        die "packages are missing and there is no sudo; run as root: ${install[*]}"
    fi
    say "Installing: ${missing[*]}"
    # sudo asks here, because quietly() would hide its question.
    ((EUID == 0)) || sudo true
    quietly as_root apt-get update
    quietly as_root env DEBIAN_FRONTEND=noninteractive "${install[@]}"
}

# configure PRESET [cmake options]: a compiler cache is used where there is one.
configure() {
    if command -v ccache >/dev/null; then
        export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER-ccache}
    fi
    quietly cmake --preset "$@"
}

# build PRESET [targets]: as many jobs as processors, compiler messages only.
build() {
    local preset=$1
    shift
    cmake --build --preset "$preset" --parallel "$(nproc)" ${1+--target "$@"} -- --quiet
}
