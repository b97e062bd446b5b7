# What the run scripts of the examples share. Sourced by them, with the script's arguments.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
self=${BASH_SOURCE[1]}

die() { printf '%s: %s\n' "$self" "$*" >&2; exit 1; }

# Prints the comment at the head of the script.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$self"; }

# requires NAME...: programs of the example that were built before; they lie in $bin.
requires() {
    local name
    for name; do
        [[ -x $bin/$name ]] || die "$bin/$name is not built: cmake --build $build --target ${bin##*/}"
    done
}

# finish PID NAME: waits for a process that this script started, and requires that it succeeded.
finish() {
    local code=0
    wait "$1" || code=$?
    ((code == 0)) || die "$2 failed (exit code $code)"
}

# destroy PID: kills a process that this script started, without a word of the shell about it.
destroy() {
    { kill -KILL "$1" && wait "$1"; } 2>/dev/null || true
}

# Ends what this script started and still runs, by id, and leaves nothing behind.
tidy() {
    local pids
    exec 2>/dev/null # the shell's "Killed"
    pids=$(jobs -pr)
    if [[ $pids ]]; then
        # shellcheck disable=SC2086 # one id a word
        kill -KILL $pids
        wait
    fi
    rm -rf "$room"
}

# 1234567 as 1,234,567.
thousands() {
    local number=$1
    while [[ $number =~ ^([0-9]+)([0-9]{3}.*)$ ]]; do
        number=${BASH_REMATCH[1]},${BASH_REMATCH[2]}
    done
    printf '%s' "$number"
}

# green TEXT: coloured for a person, plain otherwise.
green() {
    if [[ $person && -z ${NO_COLOR-} ]]; then printf '\e[32m%s\e[0m\n' "$*"; else printf '%s\n' "$*"; fi
}

case ${1-} in
'' | -h | --help) usage; [[ ${1-} ]]; exit ;;
esac
[[ -d $1 ]] || die "$1: no such directory; give the build directory, for example build/release"
build=$(cd "$1" && pwd)
bin=$build/examples/${here##*/}
shift

person=
if [[ -t 1 ]]; then
    person=yes
    export CLICOLOR_FORCE=1  # programs whose output passes through the script
fi
room=$(mktemp -d "${TMPDIR:-/tmp}/cairn.XXXXXX")  # endpoints and results
trap tidy EXIT
trap 'exit 130' INT TERM
