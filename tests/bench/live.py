"""Following a cluster of 5,000 pods and 1,000 Services: what one event costs, and what the screen meets meanwhile."""

from __future__ import annotations

import asyncio
import statistics
import time

from msgspec.structs import replace

from kubeshield_tui.model.cluster import (
    Backend,
    BackendPort,
    BackendRecord,
    NamespaceRecord,
    NodeRecord,
    PodRecord,
    ServicePort,
    ServiceRecord,
)
from kubeshield_tui.settings.runtime import tune_collector
from tests.bench.figure import figure
from tests.unit.following import Bench

PODS, SERVICES, NODES, NAMESPACES, VANTAGES = 5_000, 1_000, 100, 50, 20
ROUNDS = 10
CHANGES = 50
"""Pods a second whose labels change: a busy day."""
SECONDS = 4.0


def estate() -> tuple[Bench, list[PodRecord]]:
    pods = [
        PodRecord(
            cluster="prod",
            namespace=f"ns-{number % NAMESPACES}",
            name=f"pod-{number}",
            labels=(("app", f"app-{number % SERVICES}"),),
            addresses=(f"10.244.{number // 250}.{number % 250}",),
            node=f"node-{number % NODES}",
            phase="Running",
        )
        for number in range(PODS)
    ]
    ports = (ServicePort(port=80, name="http"), ServicePort(port=9090, name="metrics"))
    services = [
        ServiceRecord(
            namespace=f"ns-{number % NAMESPACES}",
            name=f"svc-{number}",
            addresses=(f"10.96.{number // 250}.{number % 250}",),
            ports=ports,
        )
        for number in range(SERVICES)
    ]
    slices = [
        BackendRecord(
            namespace=service.namespace,
            name=f"{service.name}-x",
            service=service.name,
            managed=True,
            ports=(BackendPort(port=80, name="http"),),
            backends=tuple(
                Backend(address=pod.addresses[0], pod=pod.name, namespace=pod.namespace)
                for pod in pods[number::SERVICES]
            ),
        )
        for number, service in enumerate(services)
    ]
    bench = Bench(*(f"pod:ns-{number}" for number in range(VANTAGES)))
    bench.lists(
        nodes=[NodeRecord(cluster="prod", name=f"node-{n}", addresses=(f"172.16.0.{n}",)) for n in range(NODES)],
        namespaces=[NamespaceRecord(cluster="prod", name=f"ns-{n}") for n in range(NAMESPACES)],
        pods=pods,
        services=services,
        endpointslices=slices,
    )
    return bench, pods


def labelled(pod: PodRecord, number: int) -> PodRecord:
    return replace(pod, labels=(*pod.labels, ("number", str(number))))


async def _gaps(found: list[float]) -> None:
    """What the screen's timer would meet."""
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.001)
        now = time.monotonic()
        found.append(now - last - 0.001)
        last = now


async def measure() -> bool:
    bench, pods = estate()
    await bench.live.publish_first()
    beat = []
    for _ in range(1000):
        same = replace(pods[7])
        begun = time.perf_counter()
        bench.put("pods", same)
        beat.append(time.perf_counter() - begun)
    published = []
    for number in range(ROUNDS):
        bench.put("pods", labelled(pods[7], number))
        begun = time.perf_counter()
        await bench.live.publish()
        published.append(time.perf_counter() - begun)
    one = statistics.median(published) * 1000
    gaps: list[float] = []
    watcher = asyncio.create_task(_gaps(gaps))
    follower = asyncio.create_task(bench.live._publish_when_quiet())
    await bench.live.started.wait()
    gaps.clear()
    busy, end, number = time.process_time(), time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        number += 1
        bench.put("pods", labelled(pods[number % PODS], number))
        await asyncio.sleep(1 / CHANGES)
    busy = time.process_time() - busy
    for task in (watcher, follower):
        task.cancel()
    await asyncio.gather(watcher, follower, return_exceptions=True)
    gaps.sort()
    figure("live", "a heartbeat of one pod", statistics.median(beat) * 1e6, "us")
    figure("live", f"one changed pod of {PODS:,}", one, "ms")
    figure("live", f"CPU at {CHANGES} changed pods a second", 100 * busy / SECONDS, "%")
    figure("live", "stall of the loop meanwhile, p99", gaps[int(len(gaps) * 0.99)] * 1000, "ms")
    return figure("live", "longest stall / working out the rows", gaps[-1] * 1000 / one, "ratio", 1.0)


def main() -> int:
    tune_collector()
    return 0 if asyncio.run(measure()) else 1
