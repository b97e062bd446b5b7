#!/usr/bin/python3
"""Plants a violation of each rule in a small tree and expects style.py to find it, and only it."""

import tempfile
import unittest
from pathlib import Path

import style

CONTRACT = """/// A thing.
///
/// Owns:    nothing.
/// Threads: thread-safe.
/// Fails:   never.
/// Limits:  none.
"""
CLEAN = {
    ".clang-format": Path(__file__).parents[2].joinpath(".clang-format").read_text("utf-8"),
    "CMakePresets.json": '{"configurePresets": [{"name": "dev"}]}\n',
    "README.md": "Run this:\n\n```sh\nscripts/test\ncmake --preset dev && build/dev/thing\n```\n"
                 "<!-- excerpt: framework/CMakeLists.txt -->\n"
                 "```cmake\nadd_executable(thing)\n```\n"
                 "[tests](scripts/README.md)\n",
    "framework/README.md": "# framework\nHere are `protocol/`, `runtime/` and `wire/`.\n",
    "framework/CMakeLists.txt": "# one program\nadd_executable(thing)\n",
    "framework/include/cairn/thing.hpp":
        f"#pragma once\n\n{CONTRACT}class thing {{\npublic:\n    int size();\n}};\n",
    "framework/runtime/src/socket_factory.cpp":
        "#include <zmq.hpp>\n\n"
        "zmq::socket_t make(zmq::context_t& context) {\n"
        "    return zmq::socket_t(context, zmq::socket_type::dealer);\n}\n",
    "scripts/README.md": "# scripts\n",
    "scripts/test": "#!/bin/sh\n",
}
# rule: what is changed in the clean tree so that it is broken; None as a text removes the file.
PLANTED = {
    "claims": [
        ("README.md", "Shown by `Thing.Works`.\n"),
        ("README.md", "Shown by `Thing.*`.\n"),
    ],
    "layering": [
        ("framework/wire/src/a.cpp", "#include <zmq.hpp>\n"),
        ("framework/wire/src/a.cpp", "#include <cairn/message.hpp>\n"),
        ("framework/protocol/src/a.cpp", "#include <mutex>\n"),
        ("framework/protocol/include/cairn/protocol/a.hpp",
         "#pragma once\n#include <cairn/runtime/loop.hpp>\n"),
        ("framework/runtime/src/a.cpp", "#include <cairn/publisher.hpp>\n"),
        ("framework/include/cairn/a.hpp", "#pragma once\n#  include <zmq.hpp>\n"),
        ("framework/include/cairn/a.hpp", "#pragma once\n#include <msgpack.hpp>\n"),
        ("framework/runtime/src/a.cpp", "#include <lmdb.h>\n"),
        ("tools/programs/a.cpp", "#include <cairn/error.hpp>\n"),
    ],
    "one-place": [
        ("framework/runtime/src/a.cpp", "zmq::socket_t s(context, zmq::socket_type::pub);\n"),
        ("framework/runtime/src/a.cpp", "auto s = zmq::socket_t{context, ZMQ_PUB};\n"),
        ("framework/runtime/src/a.cpp", "void* s = zmq_socket(context, ZMQ_PUB);\n"),
        ("framework/runtime/src/a.cpp", "s.set(zmq::sockopt::heartbeat_ivl, 1);\n"),
        ("framework/runtime/src/a.cpp", "auto o = msgpack::unpack(data, size);\n"),
        ("framework/runtime/src/a.cpp", "std::this_thread::sleep_for(1s);\n"),
        ("framework/runtime/src/a.cpp", 'std::cerr << "oh";\n'),
        ("framework/runtime/src/a.cpp", "if (bad) std::exit(1);\n"),
        ("framework/protocol/src/a.cpp", "const auto now = clock::now();\n"),
    ],
    "sizes": [
        ("framework/include/cairn/a.hpp", "#pragma once\n" + "\n" * 300),
        ("framework/runtime/src/a.cpp", "\n" * 801),
        ("framework/runtime/src/a.cpp", "// " + "x" * 100 + "\n"),
    ],
    "headers": [
        ("framework/include/cairn/a.hpp", "#include <string>\n"),
        ("framework/include/cairn/a.hpp", "#pragma once\nusing namespace std;\n"),
        ("framework/CMakeLists.txt",
         "# one program\nadd_executable(thing)\n"
         "target_precompile_headers(thing PRIVATE <map>\n  <cairn/cairn.hpp>)\n"),
    ],
    "readmes": [
        ("scripts/README.md", None),
        ("framework/README.md", "# framework\nHere are `untimed-runtime/` and `wire/`.\n"),
    ],
    "words": [
        ("framework/README.md", "# framework\nTODO: write this\n"),
        ("framework/README.md", "# framework\nleverages synergies\n"),
        ("framework/README.md", "# framework"),
        ("framework/README.md", "# framework \n"),
    ],
    "contracts": [
        ("framework/include/cairn/a.hpp", "#pragma once\n\n/// A thing.\nclass a {\n};\n"),
        ("framework/include/cairn/a.hpp",
         f"#pragma once\n\n{CONTRACT.replace('thread-safe', 'mostly harmless')}class a {{\n}};\n"),
    ],
    "commands": [
        ("framework/README.md", "```sh\nscripts/nothing --fast\n```\n"),
        ("framework/README.md", "```sh\ncmake --preset fast\n```\n"),
        ("framework/README.md", "```sh\nbuild/dev/nothing\n```\n"),
    ],
    "excerpts": [("framework/CMakeLists.txt", "add_executable(thing)  # changed\n")],
    "links": [("framework/README.md", "[there](nowhere.md)\n")],
    "format": [("framework/runtime/src/a.cpp", "int   x ;\n")],
}


def problems(changes, rules=style.RULES):
    """Which of the rules find something in the clean tree with these changes."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**CLEAN, **changes}.items():
            if text is None:
                continue
            file = Path(root, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            file.chmod(0o755)
        tree = style.Tree(root)
        return {name for name in rules if list(style.RULES[name](tree))}


class Style(unittest.TestCase):
    def test_finds_nothing_in_a_clean_tree(self):
        self.assertEqual(problems({}), set())

    def test_plants_a_violation_of_every_rule(self):
        self.assertEqual(set(PLANTED), set(style.RULES))

    def test_finds_each_planted_violation(self):
        for rule, plants in PLANTED.items():
            for path, text in plants:
                with self.subTest(rule=rule, path=path, text=text and text[:60]):
                    self.assertIn(rule, problems({path: text}, [rule]))


if __name__ == "__main__":
    unittest.main()
