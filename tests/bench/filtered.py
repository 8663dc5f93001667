"""10,000 silently dropped targets, one attempt, timeout 1.0 s: how much longer than the timeout does it take?"""

from __future__ import annotations

import asyncio
from collections import Counter

from kubeshield_tui.model.observation import State
from kubeshield_tui.model.probe import Timing
from kubeshield_tui.settings.runtime import tune_collector
from tests.bench.agent import lag, probes, sweep, unprivileged_agent
from tests.bench.figure import figure
from tests.lab.netns import Lab, lab

TARGETS = 10_000
HOSTS = 40
TIMING = Timing(timeout=1.0, confirm=1.0, attempts=1)
ROUNDS = 5


async def _measure(network: Lab) -> tuple[float, float]:
    network.rules("router", "tcp dport 10000-19999 drop")
    each = TARGETS // HOSTS
    asked = [
        probe
        for number in range(HOSTS)
        for probe in probes(f"198.51.100.{number + 1}", range(10000, 10000 + each), TIMING)
    ]
    loop = asyncio.get_running_loop()
    async with unprivileged_agent(network) as link:
        times, lags = [], []
        for _ in range(ROUNDS):
            stop = asyncio.Event()
            watch = asyncio.create_task(lag(stop))
            begun = loop.time()
            answers = await sweep(link, asked)
            times.append(loop.time() - begun)
            stop.set()
            lags.append(await watch)
            states = Counter(answer.state for answer in answers)
            assert states == {State.FILTERED: TARGETS}, states
    return sorted(times)[ROUNDS // 2], sorted(lags)[ROUNDS // 2]


def main() -> int:
    tune_collector()  # as a session does
    with lab() as network:
        seconds, worst = asyncio.run(_measure(network))
    good = figure("filtered", "time / timeout", seconds / TIMING.timeout, "ratio", 1.3)
    figure("filtered", "longest hold of the loop", worst * 1000, "ms")
    return 0 if good else 1
