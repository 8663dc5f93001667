"""Two thousand targets of all kinds, asked by an unprivileged agent with several timings: each state, reason and sender
of ICMP errors as mixed.py demands, and equal to what nmap sees as root from the same place.

Where nmap says less or else, NMAP_DIFFERS names the kind and why.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import pytest

from kubeshield_tui.model.endpoint import Conversation, Protocol, TlsMode
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.probe import Probe, Timing
from kubeshield_tui.probes.datagrams import datagram_of
from tests.bench.agent import unprivileged_agent
from tests.lab import crowd, mixed
from tests.lab.mixed import Mix, Target
from tests.lab.netns import Lab
from tests.lab.opinion import Opinion, ask_nmap

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]

SEED = int(os.environ.get("KUBESHIELD_LAB_SEED", "20"))
TIMINGS = (
    Timing(),
    Timing(timeout=0.6, confirm=1.2, attempts=2),
    Timing(timeout=1.3, confirm=2.0, attempts=2),
    Timing(timeout=0.8, confirm=0.8, attempts=3),
)
NMAP_WORDS = {
    (State.CLOSED, Reason.CONN_REFUSED): {("closed", "reset")},
    # nmap resets the connection itself and looks no further than the SYN-ACK.
    (State.OPEN, Reason.RESET): {("open", "syn-ack")},
    # Its names of ICMPv6 1/0 and 1/6, which it takes for no kin of IPv4's codes.
    (State.FILTERED, Reason.NET_UNREACH): {("filtered", "net-unreach"), ("filtered", "no-route")},
    (State.FILTERED, Reason.ADMIN_PROHIBITED): {("filtered", "admin-prohibited"), ("filtered", "reject-route")},
}
UNASKED: tuple[str, str] | None = None
NO_RESPONSE = ("filtered", "no-response")
NMAP_DIFFERS: dict[str, tuple[tuple[int, ...], tuple[str, str] | None, str]] = {
    "dead on the own link": ((4, 6), UNASKED, "it asks for the neighbour itself and reports no port of a host without"),
    "own blackhole route": ((4, 6), UNASKED, "it ends with the local error: no route"),
    "own prohibit route": ((4, 6), UNASKED, "it ends with the local error: no route"),
    "own unreachable route": ((4, 6), UNASKED, "it ends with the local error: no route"),
    "own throw route": ((4, 6), UNASKED, "it ends with the local error: no route"),
    "own OUTPUT reject": ((4, 6), NO_RESPONSE, "its raw packets own no socket that the local error could reach"),
    "udp own OUTPUT drop": ((4, 6), ("open|filtered", "no-response"), "the same: it goes on after EPERM"),
    "goes round in circles": ((6,), NO_RESPONSE, "it knows no ICMPv6 time exceeded"),
    "router has no route": ((4,), NO_RESPONSE, "it asks in the storm"),
    "router prohibits": ((4,), NO_RESPONSE, "it asks in the storm"),
    "router cannot reach": ((4,), NO_RESPONSE, "it asks in the storm"),
}
TOLD_SOMETIMES = {"router has no route", "router prohibits", "router cannot reach"}


@dataclass
class Seen:
    """What agent and nmap saw."""

    agent: list[tuple[Target, Timing, Observation]]
    nmap: Opinion


@pytest.fixture(scope="module")
def seen(network: Lab) -> Iterator[Seen]:
    mixed.furnish(network)
    tcp, udp = Mix(mixed.TCP, mixed.TCP_HOSTS, SEED), Mix(mixed.UDP, mixed.UDP_HOSTS, SEED)
    assert len(tcp.targets) == 2000
    start_crowd(network, tcp.listeners() + udp.listeners())
    network.rules("router", f"{tcp.router_rules()}\n{udp.router_rules()}")
    network.rules("client", f"{tcp.own_rules()}\n{udp.own_rules()}", "output")

    both = tcp.targets + udp.targets

    async def ask() -> Seen:
        # Of a storm of ICMP errors the router would have nothing left for those of its own routes.
        calm = await ask_agent(network, [each for each in both if each.kind.name in TOLD_SOMETIMES])
        storm = [each for each in both if each.kind.name not in TOLD_SOMETIMES]
        agent, nmap = await asyncio.gather(ask_agent(network, storm), ask_nmap(network, both))
        return Seen(calm + agent, nmap)

    yield asyncio.run(ask())
    network.on("client", "nft", "flush", "ruleset")


def start_crowd(lab: Lab, listeners: list[list[object]]) -> None:
    process = lab.spawn("server", sys.executable, str(Path(crowd.__file__)))
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(listeners).encode() + b"\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"ready\n"


async def ask_agent(lab: Lab, targets: list[Target]) -> list[tuple[Target, Timing, Observation]]:
    """Ask all at once."""
    timings = list(islice(cycle(TIMINGS), len(targets)))
    async with unprivileged_agent(lab) as link:
        assert link.facts.user in {"nobody", "65534"}
        asked = [link.ask(probe_of(each, timing)) for each, timing in zip(targets, timings, strict=True)]
        return list(zip(targets, timings, await asyncio.gather(*asked), strict=True))


def probe_of(target: Target, timing: Timing) -> Probe:
    tls = TlsMode.ON if target.kind.listens == "resets-hello" else TlsMode.OFF
    udp = target.kind.protocol == "udp"
    return Probe(
        endpoint=EndpointId(f"{target.host}:{target.port}/{target.kind.protocol}"),
        vantage=VantageId("local"),
        host=target.host,
        port=target.port,
        protocol=Protocol(target.kind.protocol),
        conversation=Conversation(datagram=datagram_of(target.port)) if udp else Conversation(tls=tls),
        timing=timing,
    )


def test_each_state_and_reason_is_the_tables(seen: Seen) -> None:
    wrong = [
        (target, observation.state, observation.reason, observation.detail)
        for target, _, observation in seen.agent
        if (observation.state, observation.reason) != (target.kind.state, target.kind.reason)
    ]
    assert wrong == []


def test_the_sender_of_each_icmp_error_is_named(seen: Seen) -> None:
    for target, _, observation in seen.agent:
        source = observation.icmp.source if observation.icmp else ""
        family = target.family
        senders = {
            "": {""},
            "router": {mixed.ROUTER[family]},
            "own": {mixed.CLIENT[family]},
            "target": {target.host},
            "circle": {mixed.ROUTER[family], *mixed.TCP_HOSTS[family], *mixed.UDP_HOSTS[family]},
        }
        assert source in senders[target.kind.by], target


def test_silence_was_met_as_often_as_was_asked_for_and_an_answer_once(seen: Seen) -> None:
    for target, timing, observation in seen.agent:
        tried = [(each.state, each.reason) for each in observation.attempts]
        if observation.reason is Reason.NO_RESPONSE:
            assert len(tried) >= timing.attempts, target
            assert set(tried) == {(observation.state, Reason.NO_RESPONSE)}, target
        elif observation.state is not State.ERROR:
            assert tried[-1] == (observation.state, observation.reason), target
            # What came before an answer can only have been silence: a neighbour not known yet, a reject held back.
            assert {reason for _, reason in tried[:-1]} <= {Reason.NO_RESPONSE}, target


def test_a_reset_after_the_client_hello_is_noted(seen: Seen) -> None:
    for target, _, observation in seen.agent:
        if target.kind.listens == "resets-hello" and not target.kind.rule:
            assert observation.steps[-1].name == "tls"
            assert observation.steps[-1].detail == "reset after ClientHello"


def test_more_silence_than_is_asked_again_slowly_is_marked(seen: Seen) -> None:
    rejecting = {target.host for target, _, observation in seen.agent if observation.icmp is not None}
    for target, timing, observation in seen.agent:
        if observation.state is State.FILTERED and not observation.icmp and target.host in rejecting:
            asked_again = len(observation.attempts) > timing.attempts
            assert asked_again or observation.detail.startswith("maybe-rate-limited"), target


async def test_nmap_as_root_sees_the_same(network: Lab, seen: Seen) -> None:
    answers = [(target, observation) for target, _, observation in seen.agent]
    lost = [(target, observation) for target, observation, _ in differing(answers, seen.nmap)]
    # It asked in a storm, and a busy machine loses some: what it sees otherwise is asked once more, in calm.
    again = await ask_nmap(network, [target for target, _ in lost]) if lost else {}
    assert [(target.kind.name, target.family, opinion) for target, _, opinion in differing(lost, again)] == []


def differing(
    answers: list[tuple[Target, Observation]], opinions: Opinion
) -> Iterator[tuple[Target, Observation, tuple[str, str] | None]]:
    for target, observation in answers:
        opinion = opinions.get((target.host, target.port))
        pair = (observation.state, observation.reason)
        same = NMAP_WORDS.get(pair, {(observation.state.value, observation.reason.value)})
        families, instead, _ = NMAP_DIFFERS.get(target.kind.name, ((), None, ""))
        expected: set[tuple[str, str] | None] = {instead} if target.family in families else {*same}
        if target.kind.name in TOLD_SOMETIMES:
            expected = expected | same
        if opinion not in expected:
            yield target, observation, opinion


REJECTED, DROPPED = 13, 3
"""Together the ports of one host that are asked again slowly."""


async def test_rationed_icmp_errors_are_found_by_asking_slowly(network: Lab) -> None:
    """With the kernel's own limits most rejects of a burst look like silence at first."""
    network.rules(
        "router",
        f"tcp dport {9000}-{9000 + REJECTED - 1} reject with icmpx type admin-prohibited\n"
        f"tcp dport {9100}-{9100 + DROPPED - 1} drop",
    )
    network.rules("client", "", "output")
    network.limit_icmp(True)
    try:
        hosts = (mixed.TCP_HOSTS[4][0], mixed.TCP_HOSTS[6][0])
        for rejected in await asyncio.gather(*(ask_ports(network, host) for host in hosts)):
            assert rejected > 8  # a burst alone is told of six of IPv4 and one of IPv6
    finally:
        network.limit_icmp(False)


async def ask_ports(lab: Lab, host: str) -> int:
    """Ask rejected, dropped and closed ports of a host at once; returns how many rejects were found."""
    timing = Timing(timeout=0.4, confirm=1.5, attempts=2)
    ports = [*range(9000, 9000 + REJECTED), *range(9100, 9100 + DROPPED), *range(9200, 9210)]
    async with unprivileged_agent(lab) as link:
        probes = [
            Probe(
                endpoint=EndpointId(f"{host}:{port}"), vantage=VantageId("local"), host=host, port=port, timing=timing
            )
            for port in ports
        ]
        seen = dict(zip(ports, await asyncio.gather(*map(link.ask, probes)), strict=True))
    for port, observation in seen.items():
        pair = (observation.state, observation.reason)
        if port >= 9200:
            assert pair == (State.CLOSED, Reason.CONN_REFUSED)
        elif port >= 9100:
            assert pair == (State.FILTERED, Reason.NO_RESPONSE)
        else:
            assert observation.state is State.FILTERED
            assert observation.reason in {Reason.ADMIN_PROHIBITED, Reason.NO_RESPONSE}
    return sum(observation.reason is Reason.ADMIN_PROHIBITED for observation in seen.values())
