#!/usr/bin/python3
"""Checks what the compiler does not: who may include whom, sizes, words, contracts, commands.

style.py [--root DIRECTORY] RULE...     prints path:line: what is wrong, returns 1 if anything is
style.py --list                         the rules, one a line
style_test.py plants a violation of each rule and expects it to be found.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

RULES = {}


def rule(check):
    """Registers a rule: a generator of (path, line number, what is wrong) over a Tree."""
    RULES[check.__name__.replace("_", "-")] = check
    return check


class Tree:
    """The project's own files: what git knows or would add; without git, all but build folders."""

    def __init__(self, root):
        self.root = Path(root).resolve()
        self.files = sorted(self._listed())
        self._texts = {}

    def _listed(self):
        git = ["git", "-C", str(self.root), "ls-files", "-z", "--cached", "--others",
               "--exclude-standard"]
        if (self.root / ".git").exists():
            done = subprocess.run(git, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return [f for f in done.stdout.split("\0") if f and (self.root / f).is_file()]
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if f not in (".git", ".cache", "build", "__pycache__")]
            found += [os.path.relpath(os.path.join(folder, n), self.root) for n in names]
        return found

    def text(self, path):
        if path not in self._texts:
            self._texts[path] = (self.root / path).read_text(encoding="utf-8", errors="replace")
        return self._texts[path]

    def lines(self, path):
        return enumerate(self.text(path).splitlines(), 1)

    def matching(self, pattern):
        return [f for f in self.files if re.search(pattern, f)]

    def sources(self):
        return self.matching(r"\.(cpp|hpp)$")

    def headers(self):
        return self.matching(r"\.hpp$")

    def public_headers(self):
        return self.matching(r"^(framework|patterns)/.*include/cairn/[^/]+\.hpp$")

    def texts(self):
        """What people write by hand; not data, and not these rules, which name what they ban."""
        written = self.matching(r"(\.(cpp|hpp|md|cmake|in|py|sh|txt|json)|/(run|demo|test))$")
        return [f for f in written
                if not f.startswith("tests/style/") and "/data/" not in f]


# Who may include whom: per folder what may not appear in an #include, and why. The first folder
# that fits counts.
PATTERN = r"<cairn/(cairn|node|publisher|subscriber|pusher|puller|msgpack)\.hpp>"
ZMQ, MSGPACK, LMDB = r"[<\"]zmq", r"[<\"]msgpack", r"[<\"]lmdb"
LAYERS_BELOW = r"<cairn/(runtime|protocol|wire)/"
THREADS = r"<(thread|(shared_)?mutex|condition_variable|future|semaphore|latch|barrier|stop_token)>"
SYSTEM = r"<(sys/|netinet/|arpa/|unistd\.h|poll\.h|fcntl\.h|pthread\.h|signal\.h)"
FILES = r"<(fstream|iostream)>"
LAYERS = [
    ("framework/wire/", "the wire is bytes: standard library and xxhash only",
     [r"<cairn/(?!wire/|attributes\.hpp|error\.hpp|ids\.hpp)", ZMQ, MSGPACK, LMDB, THREADS,
      SYSTEM, FILES]),
    ("framework/protocol/", "the protocol has no I/O and no threads",
     [r"<cairn/runtime/", PATTERN, ZMQ, MSGPACK, LMDB, THREADS, SYSTEM, FILES]),
    ("framework/include/", "public headers need the standard library only",
     [LAYERS_BELOW, PATTERN, ZMQ, MSGPACK, LMDB]),
    ("framework/", "the runtime does not know the patterns or a store",
     [PATTERN, MSGPACK, LMDB, r"<cairn/store/"]),
    ("patterns/include/cairn/msgpack.hpp", "the opt-in header adds msgpack and nothing else",
     [LAYERS_BELOW, ZMQ, LMDB]),
    ("patterns/include/", "public headers need the standard library only",
     [LAYERS_BELOW, ZMQ, MSGPACK, LMDB]),
    ("patterns/", "patterns use the runtime, not its libraries",
     [ZMQ, MSGPACK, LMDB, r"<cairn/store/"]),
    ("tools/programs/", "what programs share knows nothing else of the project",
     [r"<cairn/", ZMQ, MSGPACK, LMDB]),
    ("store/include/", "public headers need the standard library only",
     [r"<cairn/(runtime|protocol)/", PATTERN, ZMQ, MSGPACK, LMDB]),
    ("store/", "the store knows bytes and LMDB: no sockets, no rules of the protocol, no patterns",
     [r"<cairn/(runtime|protocol)/", PATTERN, ZMQ, MSGPACK, r"<(sys/socket|netinet/|arpa/)"]),
    ("daemon/include/", "public headers need the standard library and the store's",
     [LAYERS_BELOW, PATTERN, ZMQ, MSGPACK, LMDB]),
    ("daemon/", "the daemon is sockets in front of the store: no patterns, no libraries below",
     [PATTERN, ZMQ, MSGPACK, LMDB]),
    ("tools/", "tools use what users have",
     [LAYERS_BELOW, ZMQ, MSGPACK, LMDB, r"<cairn/(store/|store_server|access)"]),
    ("examples/", "examples use what users have",
     [LAYERS_BELOW, ZMQ, LMDB]),
]


@rule
def layering(tree):
    include = re.compile(r"\s*#\s*include\s*([<\"][^>\"]+[>\"])")
    for path in tree.sources():
        for folder, why, forbidden in LAYERS:
            if not path.startswith(folder):
                continue
            for number, line in tree.lines(path):
                found = include.match(line)
                if found and any(re.match(f, found[1]) for f in forbidden):
                    yield path, number, f"includes {found[1]}: {why}"
            break


# What may appear only in certain files: pattern, where it is looked for, where it is allowed, why.
LIBRARY = r"^(framework|patterns)/"
FACTORY = r"^framework/runtime/src/socket_factory\.cpp$"
ONLY_IN = [
    (r"\bzmq_socket\s*\(|zmq::socket_t\s*(\w+\s*)?[({][^)}]*(socket_type::|\bZMQ_)",
     LIBRARY, FACTORY, "sockets are made in socket_factory.cpp, where every option is set"),
    (r"ZMQ_HEARTBEAT|sockopt::heartbeat", r"", r"(?!)",
     "libzmq's heartbeats abort the process when a reader stalls; liveness is our own"),
    (r"\bmsgpack::unpack\b", r"^(?!bench/|tests/)", r"^patterns/include/cairn/msgpack\.hpp$",
     "one decode function, with limits"),
    (r"\bsleep_(for|until)\b|::sleep\s*\(|\bsleep\s*\(\d|\b(u|nano)sleep\s*\(",
     r"^(framework|patterns|tests)/", r"(?!)", "wait for what you mean, not for time"),
    (r"std::(cerr|cout|clog)\b|\bf?printf\s*\(|\bf?puts\s*\(", LIBRARY, r"(?!)",
     "a library does not print; use the log sink"),
    (r"\bstd::(exit|abort|terminate|quick_exit)\b|\b_?exit\s*\(|\babort\s*\(", LIBRARY, r"(?!)",
     "a library does not end the process"),
    (r"\bsigaction\s*\(|std::signal\b", LIBRARY, r"(?!)", "a library installs no signal handlers"),
    (r"::now\(\)|system_clock::now|time\(nullptr\)|random_device", r"^framework/(wire|protocol)/",
     r"(?!)", "time and randomness are passed in"),
]


@rule
def one_place(tree):
    for pattern, where, allowed, why in ONLY_IN:
        wanted = re.compile(pattern)
        for path in tree.sources():
            if not re.search(where, path) or re.search(allowed, path):
                continue
            for number, line in tree.lines(path):
                found = wanted.search(line.split("//")[0])
                if found:
                    yield path, number, f"{found[0]}: {why}"


@rule
def sizes(tree):
    public = set(tree.public_headers())
    for path in tree.sources():
        if path.endswith(".hpp"):
            limit = 300 if path in public else 400
        else:
            limit = 600 if path.startswith("tests/") else 800
        count = len(tree.text(path).splitlines())
        if count > limit:
            yield path, count, f"{count} lines, {limit} are the limit"
    for path in tree.matching(r"(\.(cpp|hpp|py|cmake)|CMakeLists\.txt)$"):
        for number, line in tree.lines(path):
            if len(line) > 100:
                yield path, number, f"{len(line)} columns, 100 are the limit"


@rule
def headers(tree):
    for path in tree.headers():
        code = [l for l in tree.text(path).splitlines() if l.strip() and not l.startswith("//")]
        if not code or code[0] != "#pragma once":
            yield path, 1, "does not begin with #pragma once"
        if path.startswith(("framework/", "patterns/")):
            for number, line in tree.lines(path):
                if re.match(r"\s*using namespace\b", line):
                    yield path, number, "using namespace in a header"
    for path in tree.matching(r"(^|/)CMakeLists\.txt$|\.cmake$"):
        for listed in re.finditer(r"target_precompile_headers\([^)]*<cairn/", tree.text(path)):
            number = tree.text(path).count("\n", 0, listed.end()) + 1
            yield path, number, "precompiles a header of ours (cmake/CairnTest.cmake says why not)"


@rule
def readmes(tree):
    folders = {f.split("/")[0] for f in tree.files if "/" in f and not f.startswith(".")}
    for folder in sorted(folders):
        if f"{folder}/README.md" not in tree.files:
            yield folder, 1, "has no README.md"
    # A folder inside one of them has its own, or a word in that one's.
    for inner in sorted({tuple(f.split("/")[:2]) for f in tree.files if f.count("/") > 1}):
        folder, name = inner
        readme = f"{folder}/README.md"
        if name in ("src", "include") or readme not in tree.files:
            continue
        named = re.search(rf"(?<![\w-]){re.escape(name)}(/|\))", tree.text(readme))
        if not named and f"{folder}/{name}/README.md" not in tree.files:
            yield readme, 1, f"says nothing of {name}/, which has no README.md"


# Words that say nothing, or that belong into an issue instead of the tree.
BANNED = [
    (r"\b(TODO|FIXME|XXX|HACK)\b", "finish it, or open an issue"),
    (r"(?i)\b(leverag(e|es|ing)|utili[sz](e|es|ing)|seamless(ly)?|blazing(ly)?|cutting.edge)\b",
     "say what it does"),
    (r"(?i)\bsimply\b|\bobviously\b|\bof course\b", "if it were, nobody would read this"),
    (r"/home/\w|/root/|/Users/\w", "somebody's machine"),
    (r"[ \t]+$", "space at the end of a line"),
]


@rule
def words(tree):
    for path in tree.texts():
        for number, line in tree.lines(path):
            for pattern, why in BANNED:
                found = re.search(pattern, line)
                if found:
                    yield path, number, f"{found[0].strip() or 'blank'}: {why}"
        if tree.text(path) and not tree.text(path).endswith("\n"):
            yield path, len(tree.text(path).splitlines()), "no line end at the end"


CONTRACT = ["Owns:", "Threads:", "Fails:", "Limits:"]
THREAD_WORDS = ("thread-safe", "one at a time", "loop", "receiving one at a time")


@rule
def contracts(tree):
    """Every class that users hold says what it owns, which threads may use it, how it fails and
    what limits it. Templates and derived classes are exempt: they follow what they wrap."""
    for path in tree.public_headers():
        lines = tree.text(path).splitlines()
        for number, line in enumerate(lines):
            if not re.match(r"class \w+ (final )?\{", line):
                continue
            first = number
            while first and lines[first - 1].startswith("///"):
                first -= 1
            block = "\n".join(lines[first:number])
            if first and lines[first - 1].startswith("template"):
                continue
            places = [block.find("/// " + word) for word in CONTRACT]
            if -1 in places:
                missing = " ".join(w for w, p in zip(CONTRACT, places) if p < 0)
                yield path, number + 1, f"{line[:-2]} has no {missing}"
            elif places != sorted(places):
                yield path, number + 1, f"{line[:-2]}: the order is {' '.join(CONTRACT)}"
            elif not re.search(rf"Threads:\s+({'|'.join(THREAD_WORDS)})\b", block):
                yield path, number + 1, f"{line[:-2]}: Threads: {' | '.join(THREAD_WORDS[:3])}"


def fences(tree, path):
    """The fenced blocks of a text: (number of the first line, language, lines, line before)."""
    block, before, last = None, "", ""
    for number, line in tree.lines(path):
        if line.startswith("```"):
            if block is None:
                block, language, before = [], line[3:].strip(), last
                begin = number + 1
            else:
                yield begin, language, block, before
                block = None
        elif block is not None:
            block.append(line)
        elif line.strip():
            last = line


def command_problem(tree, presets, words_):
    program = words_[0]
    if program.startswith("build/"):
        preset, name = program.split("/")[1], program.split("/")[-1]
        if preset not in presets:
            return f"there is no preset {preset}"
        programs = "\n".join(tree.text(f) for f in tree.matching(r"CMakeLists\.txt$"))
        if not re.search(rf"\b{re.escape(name)}\b", programs):
            return f"no CMakeLists.txt builds {name}"
    elif "/" in program and not program.startswith("/"):
        if not os.access(tree.root / program, os.X_OK):
            return f"{program} cannot be run"
    if "--preset" in words_:
        preset = words_[words_.index("--preset") + 1]
        if preset not in presets:
            return f"there is no preset {preset}"
    return None


@rule
def commands(tree):
    """The commands that texts show exist: programs, scripts, presets."""
    presets = {p["name"] for p in json.loads(tree.text("CMakePresets.json"))["configurePresets"]}
    for path in tree.matching(r"\.md$"):
        for begin, language, block, _ in fences(tree, path):
            if language not in ("sh", "bash", "console"):
                continue
            for offset, line in enumerate(block):
                line = line.removeprefix("$ ").split(" #")[0]
                for part in re.split(r"&&|\|\||[|;]", line):
                    parts = [w for w in part.split() if not re.match(r"[A-Z_]+=", w)]
                    problem = parts and command_problem(tree, presets, parts)
                    if problem:
                        yield path, begin + offset, problem


@rule
def excerpts(tree):
    """A fence after `<!-- excerpt: FILE -->` shows that file, or a run of its lines, as it is."""
    for path in tree.matching(r"\.md$"):
        for begin, _, block, before in fences(tree, path):
            found = re.fullmatch(r"<!-- excerpt: (\S+) -->", before)
            if found and found[1] not in tree.files:
                yield path, begin, f"there is no {found[1]}"
            elif found and "\n".join(block) + "\n" not in tree.text(found[1]):
                yield path, begin, f"differs from {found[1]}"


@rule
def links(tree):
    """Relative links in texts lead somewhere."""
    for path in tree.matching(r"\.md$"):
        for number, line in tree.lines(path):
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
                if ":" not in target and not (tree.root / path).parent.joinpath(target).exists():
                    yield path, number, f"leads nowhere: {target}"


@rule
def claims(tree):
    """`Suite.Name` or `Suite.*` in a text begins the name of a test."""
    macro = re.compile(r"TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)|TYPED_TEST\(\s*(\w+),\s*(\w+)")
    tests = {".".join(part for part in found if part)
             for path in tree.matching(r"^tests/.*\.(cpp|hpp)$")
             for found in macro.findall(tree.text(path))}
    tests |= {name for path in tree.matching(r"^(tests|examples|bench)/.*CMakeLists\.txt$")
              for name in re.findall(r"cairn_test_command\(\s*([\w.]+)", tree.text(path))}
    for path in tree.matching(r"\.md$"):
        for number, line in tree.lines(path):
            for suite, name in re.findall(r"`([A-Z]\w*)\.([A-Z]\w*|\*)`", line):
                beginning = f"{suite}.{name.rstrip('*')}"
                if not any(test.startswith(beginning) for test in tests):
                    yield path, number, f"there is no test {beginning}"


@rule
def format(tree):
    """clang-format has nothing to change."""
    done = subprocess.run(
        ["clang-format", "--dry-run", "--Werror", *tree.sources()],
        cwd=tree.root, capture_output=True, text=True, check=False) if tree.sources() else None
    if done and done.returncode:
        for path, number in sorted(set(re.findall(r"^(\S+?):(\d+):\d+: error", done.stderr, re.M))):
            yield path, int(number), "clang-format would change this"


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--root", default=Path(__file__).resolve().parents[2])
    arguments.add_argument("--list", action="store_true")
    arguments.add_argument("rules", nargs="*", choices=[[], *RULES])
    wanted = arguments.parse_args()
    if wanted.list:
        print("\n".join(RULES))
        return 0
    tree = Tree(wanted.root)
    if not tree.files:
        sys.exit(f"{tree.root} holds no files")
    problems = 0
    for name in wanted.rules or RULES:
        for path, line, text in RULES[name](tree):
            print(f"{path}:{line}: {text}")
            problems += 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
