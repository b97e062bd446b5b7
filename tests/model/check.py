#!/usr/bin/env python3
"""Checks a Promela model exhaustively with Spin.

usage: check.py MODEL DIRECTORY [PLANTED]

Builds the verifier in DIRECTORY and runs it over all states. Without PLANTED there must be no
error; with it (a BUG_ macro of the model) there must be one. With CAIRN_TEST_LONG two faults happen
instead of one.
"""

import os
import pathlib
import re
import subprocess
import sys


def run(*command, directory):
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


arguments = sys.argv[1:]
model, directory = pathlib.Path(arguments[0]).resolve(), pathlib.Path(arguments[1])
planted = arguments[2] if len(arguments) > 2 else None
directory.mkdir(parents=True, exist_ok=True)
macros = ["-DFAULTS=2"] if os.environ.get("CAIRN_TEST_LONG") else []
if planted:
    assert f"def {planted}\n" in model.read_text(), f"{model.name} knows no {planted}"
    macros.append(f"-D{planted}")

print(run("spin", *macros, "-a", str(model), directory=directory), end="")
# A planted mistake is found before a compiler's care has paid. Compressed (COLLAPSE) the states of
# this model take twice the time and no less memory.
care = "-O0" if planted else "-O1"
print(run("cc", care, "-DSAFETY", "-o", "pan", "pan.c", directory=directory), end="")
report = run("./pan", "-m1000000", directory=directory)
print(report)
found = re.search(r"errors: (\d+)", report)
if not found or "search depth too small" in report or "out of memory" in report:
    sys.exit("the search did not come to its end")
if bool(int(found[1])) != bool(planted):
    sys.exit(f"{planted} was not found" if planted else "the model breaks its own rules")
