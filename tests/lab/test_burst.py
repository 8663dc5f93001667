"""A firewall that lets only so many new connections a second pass: our own burst must not look like a block."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.probes.protocol import BOOTSTRAP
from kubeshield_tui.vantages.link import AgentLink
from kubeshield_tui.vantages.local import ProcessChannel
from tests.lab.netns import SERVER4, Lab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.netns

PORTS = range(10_000, 11_200)
LISTENER = """
import socket, sys
server = socket.socket(); server.setsockopt(1, 2, 1); server.bind(("0.0.0.0", 9977)); server.listen(1024)
print("ready", flush=True)
while True:
    server.accept()[0].close()
"""


@pytest.fixture
def choked(network: Lab) -> Iterator[Lab]:
    """All of PORTS are one open port; the router lets 400 new connections a second pass."""
    process = network.spawn("server", sys.executable, "-c", LISTENER)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    nat = (
        "table inet all_open { chain before { type nat hook prerouting priority -100;\n"
        f"tcp dport {PORTS.start}-{PORTS.stop} redirect to :9977\n}}\n}}\n"
    )
    network.on("server", "nft", "-f", "-", given=nat)
    network.rules("router", "tcp flags & (syn | ack) == syn limit rate over 400/second burst 20 packets drop")
    yield network
    process.kill()
    process.wait()
    network.on("server", "nft", "flush", "ruleset")
    network.on("router", "nft", "flush", "ruleset")


@asynccontextmanager
async def agent(lab: Lab) -> AsyncIterator[AgentLink]:
    process = await asyncio.create_subprocess_exec(
        *lab.argv("client", sys.executable, "-I", "-S", *BOOTSTRAP[1:]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    link = await AgentLink.start(ProcessChannel(process))
    try:
        yield link
    finally:
        await link.close()


def probe(port: int) -> Probe:
    return Probe(
        endpoint=EndpointId(f"{SERVER4}:{port}"),
        vantage=VantageId("local"),
        host=SERVER4,
        port=port,
        timing=Timing(timeout=1.2, confirm=1.2),
    )


async def test_what_our_own_burst_lost_is_asked_again(choked: Lab) -> None:
    async with agent(choked) as link:
        known = await link.ask(probe(PORTS.stop))
        assert known.state is State.OPEN
        seen = await asyncio.gather(*(link.ask(probe(port)) for port in PORTS))
    states = Counter(each.state for each in seen)
    assert states == {State.OPEN: len(PORTS)}, states


async def test_without_a_known_open_port_nothing_is_made_up(choked: Lab) -> None:
    choked.rules("router", f"ip daddr {SERVER4} tcp dport {PORTS.start}-{PORTS.stop} drop")
    async with agent(choked) as link:
        seen = await asyncio.gather(*(link.ask(probe(port)) for port in PORTS))
    assert {(each.state, each.reason, len(each.attempts)) for each in seen} == {(State.FILTERED, Reason.NO_RESPONSE, 2)}
