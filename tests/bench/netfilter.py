"""Read the ruleset of a node with 20,000 rules of kube-proxy, and judge packets by it with their traces.

The peer of nft's dump is the same text through `json.loads`, which is what any reader has to pay.
Times are those of the processor: what else the machine does is not in them.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from random import Random
from typing import TypeVar

from kubeshield_tui.evidence.netfilter import iptables
from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.merge import merge
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.packet import Packet
from kubeshield_tui.evidence.netfilter.ruleset import Ruleset
from kubeshield_tui.settings.runtime import tune_collector
from tests.bench import kube_proxy
from tests.bench.figure import figure

RULES = 20_000
SERVICES = RULES // kube_proxy.IPTABLES_RULES_A_SERVICE
PACKETS, ROUNDS = 300, 3
T = TypeVar("T")


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the median time of some rounds, and the last result."""
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        result = work()
        times.append(time.process_time() - begun)
    return statistics.median(times), result


def _ask(firewall: Firewall, packet: Packet) -> float:
    begun = time.process_time()
    result = firewall.judge(packet)
    spent = time.process_time() - begun
    assert result.outcomes[0].trace
    return spent


def measure(name: str, text: str, parse: Callable[[str], Ruleset]) -> bool:
    """Print the figures of one kind of dump; returns whether all are within their bars."""
    ours, ruleset = _timed(lambda: parse(text))
    rules = sum(len(chain.rules) for table in ruleset.tables for chain in table.chains.values())
    assert rules >= RULES, rules
    assert not ruleset.doubts, ruleset.doubts
    firewall = Firewall(ruleset)
    random = Random(1)
    packets = [
        Packet(
            family="ip", protocol="tcp", src="10.244.1.9", dst=kube_proxy.address(random.randrange(SERVICES)),
            sport=40_000, dport=random.choice((80, 80, 81)), iif="cni0", oif="eth0", hook="forward",
        )
        for _ in range(PACKETS)
    ]  # fmt: skip
    times = [_ask(firewall, packet) for packet in packets]
    figure("netfilter", f"{name}: rules", rules, "rules")
    results = [
        figure("netfilter", f"{name}: parse", ours, "s", 1.0),
        figure("netfilter", f"{name}: first verdict", times[0], "s"),
        figure("netfilter", f"{name}: traced verdict, median", statistics.median(times), "s", 0.005),
        figure("netfilter", f"{name}: traced verdict, 99 %", sorted(times)[PACKETS * 99 // 100], "s", 0.005),
    ]
    return all(results)


def main() -> int:
    tune_collector()  # as a session does
    text = kube_proxy.nftables(RULES // kube_proxy.RULES_A_SERVICE)
    figure("netfilter", "nftables mode: json.loads", _timed(lambda: json.loads(text))[0], "s")
    within = measure("nftables mode", text, parse_nft)
    text = kube_proxy.iptables(SERVICES)
    return 0 if measure("iptables mode", text, _saved) and within else 1


def _saved(text: str) -> Ruleset:
    return merge(None, [iptables.parse(text)])
