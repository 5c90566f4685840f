"""Run a relay: `__main__.py exabgp SOCKET`, or `bird SOCKET PIDFILE BIRD CONFIG [OPTION]...`.

This package is imported by a path of its own, since Headrace's would bring all of it along.
"""

import importlib
import os.path
import sys

if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib is slow
    sys.path.append(os.path.dirname(here))  # noqa: PTH120
    kind, *arguments = sys.argv[1:]
    sys.exit(importlib.import_module(f"relay.{kind}_process").main(*arguments))
