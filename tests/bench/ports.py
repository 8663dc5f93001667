"""20,000 loopback ports, some open, most closed, beside `nmap -sT -T5` over the same ports."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import time
from collections import Counter

from kubeshield_tui.model.observation import State
from kubeshield_tui.model.probe import Timing
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.settings.runtime import tune_collector
from kubeshield_tui.vantages.local import LocalVantage
from tests.bench.agent import probes, sweep
from tests.bench.figure import figure

PORTS = range(10_000, 30_000)
OPEN = range(12_000, 12_050)
ROUNDS = 5


async def _ours() -> float:
    async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    servers = []
    for port in OPEN:
        try:
            servers.append(await asyncio.start_server(idle, "127.0.0.1", port))
        except OSError:
            continue  # somebody listens there: just as good
    vantage = LocalVantage(parse_vantage("local"))
    await vantage.open()
    times = []
    peer = []
    for _ in range(ROUNDS):
        begun = time.monotonic()
        answers = await sweep(vantage, probes("127.0.0.1", PORTS, Timing()))
        times.append(time.monotonic() - begun)
        states = Counter(answer.state for answer in answers)
        assert states[State.OPEN] >= len(OPEN)
        assert states[State.OPEN] + states[State.CLOSED] == len(PORTS), states
        peer.append(await asyncio.to_thread(_nmap))
    await vantage.close()
    for server in servers:
        server.close()
    ours, theirs = sorted(times)[ROUNDS // 2], sorted(peer)[ROUNDS // 2]
    figure("ports", "ours", ours, "s")
    figure("ports", "nmap -sT -T5", theirs, "s")
    return ours / theirs


def _nmap() -> float:
    begun = time.monotonic()
    ports = f"{PORTS.start}-{PORTS.stop - 1}"
    command = ["nmap", "-sT", "-T5", "-n", "-Pn", "-p", ports, "127.0.0.1"]
    subprocess.run(command, capture_output=True, check=True, timeout=300)
    return time.monotonic() - begun


def main() -> int:
    if shutil.which("nmap") is None:
        print("nmap is not installed", file=sys.stderr)
        return 3
    tune_collector()  # as a session does
    return 0 if figure("ports", "ours / nmap", asyncio.run(_ours()), "ratio", 1.5) else 1
