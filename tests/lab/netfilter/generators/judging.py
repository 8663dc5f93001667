"""Send a place's packets, and say whether what the kernel did was said to be possible, addresses included."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Iterator, Sequence

from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.result import Outcome
from kubeshield_tui.evidence.netfilter.words import ICMP6_CODES, ICMP_CODES
from tests.lab.netfilter.cases import Batch, Case, Path, assign_paths
from tests.lab.netfilter.compare import Idle, Score, explain, fits, idle_rules, path_of, without_idle
from tests.lab.netfilter.rulesets import TRACE
from tests.lab.netfilter.world import World

TOGETHER = 100
PATIENCE = 4
Listening = frozenset[tuple[str, int, str]]
"""Address, port, and tcp or udp."""
PORT_UNREACHABLE = {
    "ip": ("icmp", 3, ICMP_CODES["port-unreachable"]),
    "ip6": ("icmp", 1, ICMP6_CODES["port-unreachable"]),
}


def listening(sockets: Iterable[socket.socket]) -> Listening:
    """Return where somebody listens."""
    return frozenset((*made.getsockname()[:2], "tcp" if made.type == socket.SOCK_STREAM else "udp") for made in sockets)


def send(world: World, batch: Batch, cases: Sequence[Case], *, keeps_ports: bool) -> None:
    """Send all packets; those whose source ports may change go one at a time, so that nothing can be mixed up."""
    world.nft.add(TRACE % "")
    for some in _portions(cases, TOGETHER if keeps_ports else 1):
        world.conntrack.flush()
        world.trace.read()
        batch.run(some, PATIENCE if len(some) > 1 else 1)
        events, whole = world.trace.read()
        if whole and keeps_ports:
            assign_paths(some, events)
            for case in some:
                own = {leg: [step for step in path if step[0] != "trace"] for leg, path in case.paths.items()}
                case.paths = {leg: path for leg, path in own.items() if path}
    world.nft.add("delete table inet trace")


def _portions(cases: Sequence[Case], size: int) -> Iterator[Sequence[Case]]:
    for begin in range(0, len(cases), size):
        yield cases[begin : begin + size]


def compare(firewall: Firewall, cases: Iterable[Case], there: Listening, score: Score) -> list[tuple[Case, str]]:
    """Count cases and return those in which the kernel did what was not said, and what that was."""
    idle = idle_rules(firewall.ruleset, of_all=False)
    wrong = []
    for case in cases:
        score.cases += 1
        result = firewall.judge(case.packet)
        score.decided += result.decided
        if not any(happened(outcome, case, there) for outcome in result.outcomes):
            wrong.append((case, "OUTCOME " + explain(case, firewall, result.outcomes)))
        elif case.paths:
            branches, is_all = firewall.branches(case.packet)
            score.traced += is_all
            if is_all and not any(_same_way(path_of(branch.end), case, idle) for branch in branches):
                wrong.append((case, "PATH " + explain(case, firewall, result.outcomes)))
    return wrong


def _same_way(path: dict[str, Path], case: Case, idle: Idle) -> bool:
    """Whether the kernel went this path; what refuses a connection is no leg of it."""
    here, there = without_idle(path, idle), without_idle(case.paths, idle)
    if case.got_through or case.packet.protocol.startswith("icmp"):
        return here == there
    return here.get("syn") == there.get("syn")


def happened(outcome: Outcome, case: Case, there: Listening) -> bool:
    """Whether what both ends saw is this outcome, where nobody need listen."""
    packet = case.packet
    nat = outcome.nat or {}
    target = nat.get("dnat", f"[{packet.dst}]:{packet.dport}" if ":" in packet.dst else f"{packet.dst}:{packet.dport}")
    if packet.protocol in {"tcp", "udp"} and not _listens(target, packet.protocol, there):
        return _closed(outcome, case)
    if case.ends is not None:
        source, *own = case.ends
        came_to = f"[{own[0]}]:{own[1]}" if ":" in str(own[0]) else f"{own[0]}:{own[1]}"
        if came_to != target or source != _address(nat.get("snat", packet.src)):
            return False
    return fits(outcome, case, answers_can_be_lost=False)


def _listens(target: str, protocol: str, there: Collection[tuple[str, int, str]]) -> bool:
    address, _, port = target.rpartition(":")
    return port.isdecimal() and (address.strip("[]"), int(port), protocol) in there


def _address(text: str) -> str:
    return text.rpartition(":")[0].strip("[]") if text.count(":") == 1 or text.startswith("[") else text


def _closed(outcome: Outcome, case: Case) -> bool:
    """Nobody is there: what would be accepted is refused by the target itself, unless its refusal is dropped."""
    if case.got_through or case.answered:
        return False
    if outcome.verdict != "accept" and outcome.leg == "syn":
        return fits(outcome, case, answers_can_be_lost=False)
    refusal = ("rst",) if case.packet.protocol == "tcp" else PORT_UNREACHABLE[case.packet.family]
    return case.error == refusal if outcome.leg != "syn-ack" else case.error is None
