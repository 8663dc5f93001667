"""`python -m tests.bench NAME...`: figures as JSON lines; exits 1 where one misses its bar.

Ratios against a peer of the same run, never times alone: a busy machine slows both.
"""

from __future__ import annotations

import importlib
import sys

NAMES = ("filtered", "ports", "ssh", "ssh-direct", "matrix", "start", "discovery", "live", "expectations", "netpol",
         "netfilter", "judge", "page")  # fmt: skip


def main(wanted: list[str]) -> int:
    """Run the suites named, all where none is; returns the exit code."""
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(f"no such bench: {unknown[0]}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    return max(int(importlib.import_module(f"tests.bench.{name.replace('-', '_')}").main()) for name in wanted or NAMES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
