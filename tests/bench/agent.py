"""An unprivileged agent in the lab's client namespace, asked through the product's own link."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.probes.protocol import BOOTSTRAP
from kubeshield_tui.vantages.link import AgentLink
from kubeshield_tui.vantages.local import LocalVantage, ProcessChannel
from tests.lab.netns import Lab

CHUNK = 500
UNPRIVILEGED = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


@asynccontextmanager
async def unprivileged_agent(lab: Lab) -> AsyncIterator[AgentLink]:
    process = await asyncio.create_subprocess_exec(
        *lab.argv("client", *UNPRIVILEGED, sys.executable, "-I", "-S", *BOOTSTRAP[1:]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    link = await AgentLink.start(ProcessChannel(process))
    try:
        yield link
    finally:
        await link.close()


def probes(host: str, ports: range, timing: Timing) -> list[Probe]:
    return [
        Probe(endpoint=EndpointId(f"{host}:{port}"), vantage=VantageId("local"), host=host, port=port, timing=timing)
        for port in ports
    ]


async def sweep(asker: AgentLink | LocalVantage, wanted: list[Probe]) -> list[Observation]:
    """Ask all, a few hundred a turn of the loop: the engine does not make all its questions in one breath either."""
    tasks = []
    for begin in range(0, len(wanted), CHUNK):
        tasks += [asyncio.create_task(asker.ask(probe)) for probe in wanted[begin : begin + CHUNK]]
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks)


async def lag(stop: asyncio.Event) -> float:
    """The longest time, in seconds, that the loop let nobody else run."""
    loop, worst = asyncio.get_running_loop(), 0.0
    while not stop.is_set():
        begun = loop.time()
        await asyncio.sleep(0.005)
        worst = max(worst, loop.time() - begun - 0.005)
    return worst
