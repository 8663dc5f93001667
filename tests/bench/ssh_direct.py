"""400 targets through a host that forbids programs, beside bare asyncssh opening the same channels. Log-in included."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import statistics
import tempfile
import time
from pathlib import Path

import asyncssh

from kubeshield_tui.model.observation import State
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.settings.runtime import tune_collector
from kubeshield_tui.vantages.ssh import SshVantage
from tests.bench.figure import figure
from tests.contract.sshd import Estate, free_port, probe

TARGETS = 400
ROUNDS = 5
AT_ONCE = 100


async def _ours(estate: Estate, ports: list[int]) -> float:
    begun = time.perf_counter()
    point = SshVantage(parse_vantage("ssh:jump?via=direct"), ssh_config=estate.config)
    try:
        await point.open()
        seen = await asyncio.gather(*(point.ask(probe("127.0.0.1", port)) for port in ports))
    finally:
        await point.close()
    taken = time.perf_counter() - begun
    assert {each.state for each in seen} == {State.CLOSED}
    return taken


async def _bare(estate: Estate, ports: list[int]) -> float:
    begun = time.perf_counter()
    places = asyncio.Semaphore(AT_ONCE)
    async with asyncssh.connect("jump", config=[str(estate.config)]) as connection:

        async def one(port: int) -> None:
            async with places:
                with contextlib.suppress(asyncssh.ChannelOpenError):
                    _, writer = await connection.open_connection("127.0.0.1", port, encoding=None)
                    writer.close()

        await asyncio.gather(*(one(port) for port in ports))
    return time.perf_counter() - begun


def main() -> int:
    tune_collector()  # as a session does
    os.environ.pop("SSH_AUTH_SOCK", None)
    with tempfile.TemporaryDirectory() as folder:
        estate = Estate(Path(folder))
        try:
            estate.server("jump", "ForceCommand echo no")
            with contextlib.ExitStack() as stack:
                held = [stack.enter_context(socket.socket()) for _ in range(TARGETS)]
                for one in held:
                    one.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can open it meanwhile
                ports = [one.getsockname()[1] for one in held]
                assert free_port() not in ports
                ours, bare = [], []
                for _ in range(ROUNDS):
                    bare.append(asyncio.run(_bare(estate, ports)))
                    ours.append(asyncio.run(_ours(estate, ports)))
        finally:
            estate.stop()
    mine, peer = statistics.median(ours), statistics.median(bare)
    figure("ssh-direct", "ours", mine, "s")
    figure("ssh-direct", "bare asyncssh", peer, "s")
    return 0 if figure("ssh-direct", "ours / bare asyncssh", mine / peer, "ratio", 2.0) else 1
