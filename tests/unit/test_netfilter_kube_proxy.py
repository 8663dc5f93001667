"""kube-proxy 1.36 in nftables mode as recorded from a node: each kind of Service is judged as its Service says.

The node is 172.30.0.1 with pods in 10.244.0.0/24; web has the endpoints 10.244.0.2 and .3, nobody has none.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kubeshield_tui.evidence.engine_rules import is_vacancy
from kubeshield_tui.evidence.netfilter.evaluate import Firewall
from kubeshield_tui.evidence.netfilter.host import parse_host
from kubeshield_tui.evidence.netfilter.nft import parse_nft
from kubeshield_tui.evidence.netfilter.packet import packet_from
from kubeshield_tui.evidence.netfilter.result import Result

FOLDER = Path(__file__).parent / "rulesets"
OUTSIDE, POD, NODE = "172.30.0.9", "10.244.0.2", "172.30.0.1"
WEB, NOBODY, KUBERNETES = "10.96.233.155", "10.96.186.37", "10.96.0.1"
BACKENDS = {"10.244.0.2:8080", "10.244.0.3:8080"}


@pytest.fixture(scope="module")
def node() -> Firewall:
    ruleset = parse_nft((FOLDER / "kube-proxy-1.36.nft.json").read_text("utf-8"))
    assert ruleset.doubts == ()
    return Firewall(ruleset, parse_host((FOLDER / "kube-proxy-1.36.host.json").read_text("utf-8")))


def ask(node: Firewall, source: str, destination: str, port: int) -> Result:
    hook, iif = ("output", "") if source == NODE else ("input", "cni0" if source == POD else "eth0")
    told = {"src": source, "sport": 40000, "dst": destination, "dport": port, "protocol": "tcp", "hook": hook,
            "iif": iif}  # fmt: skip
    return node.judge(packet_from(told))


def backends(result: Result) -> set[str]:
    assert result.decided
    assert {outcome.verdict for outcome in result.outcomes} == {"accept"}
    return {(outcome.nat or {})["dnat"] for outcome in result.outcomes}


def masqueraded(result: Result) -> set[bool]:
    return {"snat" in (outcome.nat or {}) for outcome in result.outcomes}


def test_a_cluster_ip_is_one_of_its_endpoints(node: Firewall) -> None:
    result = ask(node, OUTSIDE, WEB, 80)
    assert backends(result) == BACKENDS
    assert masqueraded(result) == {True}, "from outside the cluster it is masqueraded"


def test_a_pod_that_meets_itself_is_masqueraded(node: Firewall) -> None:
    result = ask(node, POD, WEB, 80)
    assert {(outcome.nat or {})["dnat"]: "snat" in (outcome.nat or {}) for outcome in result.outcomes} == {
        "10.244.0.2:8080": True,
        "10.244.0.3:8080": False,
    }


@pytest.mark.parametrize(("port", "masked"), [(30080, False), (30081, True)], ids=["Local", "Cluster"])
def test_node_ports_keep_the_source_only_with_the_local_policy(node: Firewall, port: int, masked: bool) -> None:
    result = ask(node, OUTSIDE, NODE, port)
    assert backends(result) == BACKENDS
    assert masqueraded(result) == {masked}


def test_affinity_that_nobody_has_yet_draws(node: Firewall) -> None:
    assert backends(ask(node, OUTSIDE, "10.96.82.95", 80)) == BACKENDS


def test_an_external_ip_is_a_service_too(node: Firewall) -> None:
    assert backends(ask(node, OUTSIDE, "198.51.100.77", 8443)) == BACKENDS


@pytest.mark.parametrize("source", [OUTSIDE, POD, NODE])
def test_a_service_without_endpoints_is_refused(node: Firewall, source: str) -> None:
    result = ask(node, source, NOBODY, 5432)
    (outcome,) = result.outcomes
    assert (outcome.verdict, outcome.answer, outcome.leg) == ("reject", "icmp-port-unreachable", "syn")
    assert (outcome.decider.chain, outcome.decider.handle) == ("reject-chain", 44)
    assert is_vacancy(outcome.decider)


def test_a_port_that_a_cluster_ip_does_not_have_is_refused(node: Firewall) -> None:
    (outcome,) = ask(node, OUTSIDE, WEB, 81).outcomes
    assert (outcome.verdict, outcome.decider.chain, outcome.decider.index) == ("reject", "cluster-ips-check", 0)
    assert is_vacancy(outcome.decider)


def test_an_address_of_no_service_is_dropped(node: Firewall) -> None:
    (outcome,) = ask(node, OUTSIDE, "10.96.9.9", 80).outcomes
    assert (outcome.verdict, outcome.decider.index, outcome.decider.text) == ("drop", 1, "ip daddr 10.96.0.0/16 drop")


def test_the_node_reaches_its_own_api_server_through_its_service(node: Firewall) -> None:
    assert backends(ask(node, NODE, KUBERNETES, 443)) == {"172.30.0.1:6443"}


def test_a_node_port_that_there_is_not_is_the_nodes_own(node: Firewall) -> None:
    (outcome,) = ask(node, OUTSIDE, NODE, 31999).outcomes
    assert (outcome.verdict, outcome.nat) == ("accept", None)
    assert outcome.trace[-1].hook == "input"
