#!/usr/bin/env python3
"""Gets a package of npm's registry where there is no npm.

    download.py NAME VERSION FILE

The registry is the one that npm would ask: npm_config_registry in the environment, or "registry" in
~/.npmrc, or the public one. Who calls checks what came. Standard library only.
"""

import http.client
import os
import pathlib
import sys
import urllib.request

PUBLIC = "https://registry.npmjs.org/"
BYTES_MAX = 64 << 20
SILENCE_MAX_S = 20


def registry():
    for name, value in os.environ.items():
        if name.lower() == "npm_config_registry" and value:
            return value
    try:
        lines = (pathlib.Path.home() / ".npmrc").read_text().splitlines()
    except (OSError, RuntimeError):
        lines = []
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() == "registry" and value.strip():
            return value.strip()
    return PUBLIC


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    name, version, path = sys.argv[1:]
    address = f"{registry().rstrip('/')}/{name}/-/{name}-{version}.tgz"
    try:
        with urllib.request.urlopen(address, timeout=SILENCE_MAX_S) as answer:
            content = answer.read(BYTES_MAX + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.exit(f"{address}: {error}")
    if len(content) > BYTES_MAX:
        sys.exit(f"{address}: more than {BYTES_MAX} bytes")
    pathlib.Path(path).write_bytes(content)


if __name__ == "__main__":
    main()
