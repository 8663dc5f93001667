"""400 targets through one sshd, log-in and end included, beside `ssh HOST nmap -sT` to the same ports.

Open ports that say nothing cost what the agent waits for a greeting, which nmap -sT does not read; closed ones do not.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kubeshield_tui.model.observation import State
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.vantages.ssh import SshVantage
from tests.contract.sshd import Estate, probe

TARGETS = 400
ROUNDS = 5
BAR = 1.5
"""Times what nmap needs, medians of one run."""

Figure = dict[str, object]


def run() -> list[Figure]:
    """Measure. Rounds alternate, so that a busy machine slows both. Without nmap the ratio is null."""
    os.environ.pop("SSH_AUTH_SOCK", None)
    with tempfile.TemporaryDirectory() as folder:
        estate = Estate(Path(folder))
        try:
            estate.server("jump", f"SetEnv PATH={os.environ['PATH']}")  # where nmap is for us
            return _figures(estate)
        finally:
            estate.stop()


def _figures(estate: Estate) -> list[Figure]:
    has_nmap = shutil.which("nmap") is not None
    taken: dict[tuple[State, str], list[float]] = {}
    for _ in range(ROUNDS):
        sockets = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(TARGETS)]
        ports = [one.getsockname()[1] for one in sockets]
        nmap = ["nmap", "-sT", "-Pn", "-n", "--reason", "-oX", "-", "-p", ",".join(map(str, ports)), "127.0.0.1"]
        for state in (State.OPEN, State.CLOSED):
            taken.setdefault((state, "ours"), []).append(asyncio.run(_ours(estate, ports, state)))
            if has_nmap:
                taken.setdefault((state, "nmap"), []).append(_ssh(estate, nmap))
            for one in sockets:
                one.close()
    return [_figure("ssh", taken, State.OPEN), _figure("ssh-closed", taken, State.CLOSED)]


def _figure(name: str, taken: dict[tuple[State, str], list[float]], state: State) -> Figure:
    ours, beside = statistics.median(taken[state, "ours"]), taken.get((state, "nmap"))
    theirs = statistics.median(beside) if beside else None
    ratio = ours / theirs if theirs else None
    return {
        "name": name,
        "targets": TARGETS,
        "state": state.value,
        "seconds": round(ours, 3),
        "nmap_seconds": theirs and round(theirs, 3),
        "ratio": ratio and round(ratio, 2),
        "bar": BAR,
        "ok": ratio is not None and ratio <= BAR,
    }


async def _ours(estate: Estate, ports: list[int], state: State) -> float:
    begin = time.perf_counter()
    point = SshVantage(parse_vantage("ssh:jump"), ssh_config=estate.config)
    try:
        await point.open()
        seen = await asyncio.gather(*(point.ask(probe("127.0.0.1", port)) for port in ports))
    finally:
        await point.close()
    taken = time.perf_counter() - begin
    wrong = sum(one.state is not state for one in seen)
    if wrong:
        raise AssertionError(f"{wrong} of {len(ports)} ports were not seen {state.value}")
    return taken


def _ssh(estate: Estate, argv: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(
        ["ssh", "-F", str(estate.config), "-o", "BatchMode=yes", "jump", *argv],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return time.perf_counter() - begin


def main() -> int:
    """Print one JSON line a figure. 0 within the bar, 1 above it, 3 where nmap is missing."""
    figures = run()
    for figure in figures:
        print(json.dumps(figure))
    if figures[0]["ratio"] is None:
        print("nmap is not installed: nothing to measure against", file=sys.stderr)
        return 3
    return 0 if all(figure["ok"] for figure in figures) else 1
