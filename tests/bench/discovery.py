"""Reading a cluster of 5,000 pods and 1,000 Services, beside the client library's typed lists.

Each reader is a child process of its own: its time from the first list to the last record, its peak memory above what
it held once connected, and the longest time in which its event loop could draw nothing.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.figure import figure

PODS, SERVICES = 5_000, 1_000
ROUNDS = 3
FRAME = 0.05
"""Seconds between two frames of the screen."""


def peak_memory() -> float:
    """Most memory that this process ever held, MB. Not getrusage's, which remembers the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def _frames(gaps: list[float]) -> None:
    """What the screen's timer would meet."""
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.001)
        now = time.monotonic()
        gaps.append(now - last)
        last = now


async def ours(kubeconfig: Path) -> dict[str, float]:
    """Everything of discovery: all lists, records, endpoints."""
    from kubeshield_tui.cluster.client import connect
    from kubeshield_tui.discovery.discover import discover
    from kubeshield_tui.settings.runtime import tune_collector

    tune_collector()
    client = await connect("bench", kubeconfig)

    async def read() -> int:
        found = await discover(client)
        assert len(found.endpoints) > SERVICES
        return len(found.inventory.pods) + len(found.inventory.services)

    try:
        return await measured(read)
    finally:
        await client.close()


async def typed(kubeconfig: Path) -> dict[str, float]:
    """The same lists by the library's own models; no endpoint is made of them."""
    from kubernetes.aio import client, config

    await config.load_kube_config(config_file=str(kubeconfig))
    async with client.ApiClient() as api:
        core, discovery = client.CoreV1Api(api), client.DiscoveryV1Api(api)

        async def read() -> int:
            pods, services, *others = await asyncio.gather(
                core.list_pod_for_all_namespaces(),
                core.list_service_for_all_namespaces(),
                discovery.list_endpoint_slice_for_all_namespaces(),
                core.list_node(),
                core.list_namespace(),
            )
            assert all(other.items for other in others)
            return len(pods.items) + len(services.items)

        return await measured(read)


async def measured(read: Any) -> dict[str, float]:
    """Time, memory and gaps of one reading."""
    gaps: list[float] = []
    watcher = asyncio.create_task(_frames(gaps))
    await asyncio.sleep(0.05)
    gaps.clear()
    before, begun = peak_memory(), time.monotonic()
    read_objects = await read()
    took = time.monotonic() - begun
    await asyncio.sleep(0)
    await asyncio.sleep(0.002)
    watcher.cancel()
    assert read_objects == PODS + SERVICES, read_objects
    late = sum(int(gap / FRAME) for gap in gaps)
    return {"seconds": took, "memory": peak_memory() - before, "block": max(gaps) * 1000, "frames lost": float(late)}


def child(reader: str, kubeconfig: Path) -> dict[str, float]:
    """Run a reader in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.discovery", reader, str(kubeconfig)]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=240, check=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def main() -> int:
    command = [sys.executable, "-m", "tests.bench.cluster_server", str(PODS), str(SERVICES)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin
    assert server.stdout
    try:
        port = int(server.stdout.readline())
        with tempfile.TemporaryDirectory() as folder:
            kubeconfig = Path(folder, "kubeconfig")
            kubeconfig.write_text(
                f"""{{"current-context": "bench", "clusters": [{{"name": "bench", "cluster": {{"server":
                "http://127.0.0.1:{port}"}}}}], "contexts": [{{"name": "bench", "context": {{"cluster": "bench",
                "user": "u"}}}}], "users": [{{"name": "u", "user": {{"token": "t"}}}}]}}"""
            )
            told: dict[str, list[dict[str, float]]] = {"typed": [], "ours": []}
            for _ in range(ROUNDS):  # in turns: whatever else the machine does slows both
                for reader, rounds in told.items():
                    rounds.append(child(reader, kubeconfig))
    finally:
        server.stdin.close()
        server.wait(10)
    best = {reader: {name: min(each[name] for each in rounds) for name in rounds[0]} for reader, rounds in told.items()}
    peer, mine = best["typed"], best["ours"]
    for reader, figures in best.items():
        figure("discovery", f"{reader}: time", figures["seconds"] * 1000, "ms")
        figure("discovery", f"{reader}: memory", figures["memory"], "MB")
        figure("discovery", f"{reader}: longest block of the loop", figures["block"], "ms")
        figure("discovery", f"{reader}: frames lost", figures["frames lost"], "frames")
    fast = figure("discovery", "time, ours / typed", mine["seconds"] / peer["seconds"], "ratio", 0.15)
    small = figure("discovery", "memory, ours / typed", mine["memory"] / peer["memory"], "ratio", 0.1)
    return 0 if fast and small else 1


if __name__ == "__main__":
    print(json.dumps(asyncio.run({"ours": ours, "typed": typed}[sys.argv[1]](Path(sys.argv[2])))))
