"""The first frame on a pseudo-terminal, beside a minimal Textual app: what our screens cost before anybody sees one."""

from __future__ import annotations

import os
import pty
import select
import statistics
import subprocess
import sys
import time

from tests.bench.figure import figure

ROUNDS = 7
MINIMAL = """
from textual.app import App
from textual.widgets import Static
class Minimal(App[None]):
    def compose(self):
        yield Static("hello")
Minimal().run()
"""
OURS = "from kubeshield_tui.cli.main import main; main()"


def _first_frame(program: str) -> float:
    """Seconds until the program drew its first frame: the end of a synchronized update, or a screenful."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40", "HOME": "/nonexistent"}
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    seen = b""
    try:
        while len(seen) < 2000:  # more than the switches that set the terminal up
            ready, _, _ = select.select([ours], [], [], 20)
            if not ready:
                raise TimeoutError("no frame in 20 s")
            seen += os.read(ours, 65536)
        return time.monotonic() - begun
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def main() -> int:
    mine, minimal = [], []
    for _ in range(ROUNDS):
        minimal.append(_first_frame(MINIMAL))
        mine.append(_first_frame(OURS))
    ours, peer = statistics.median(mine), statistics.median(minimal)
    figure("start", "ours", ours * 1000, "ms")
    figure("start", "minimal Textual app", peer * 1000, "ms")
    return 0 if figure("start", "ours / minimal", ours / peer, "ratio", 1.25) else 1
