"""Ports of networking.k8s.io/v1: numbers, ranges, protocols, names."""

from __future__ import annotations

import pytest

from kubeshield_tui.evidence.netpol.tri import Assumption
from kubeshield_tui.evidence.netpol.world import World
from tests.unit.netpol.stage import (
    ALLOW,
    DENY,
    SHOP,
    UNKNOWN,
    ask,
    hangs_on,
    pod,
    policy,
    says,
    shop_with,
    world_of,
)

DB = "podSelector: {matchLabels: {app: db}}"


def selected(extra: str) -> World:
    """The shop, with a policy on shop/db."""
    return shop_with(policy(f"{DB}\n{extra}"))


def from_peer(peer: str, *more: str) -> World:
    """The shop, where shop/db lets in what one rule says."""
    return selected("ingress:\n- from:\n  - " + "\n  - ".join((peer, *more)))


def with_ports(*ports: str) -> World:
    """The shop, where shop/db lets everybody in on some ports."""
    return selected(f"ingress:\n- ports: [{', '.join(ports)}]")


class TestPorts:
    @pytest.mark.parametrize("ports", ["ports: []", "ports: null", ""])
    def test_no_port_is_any_port_of_any_protocol(self, ports: str) -> None:
        world = selected(f"ingress:\n- {{from: [{{podSelector: {{}}}}], {ports}}}")
        for protocol in ("TCP", "UDP", "SCTP"):
            assert says(world, "shop/web", "shop/db", 65535, protocol) == ALLOW

    @pytest.mark.parametrize(
        ("port", "asked", "protocol", "expected"),
        [
            ("{port: 80}", 80, "TCP", ALLOW),
            ("{port: 80}", 80, "UDP", DENY),
            ("{port: 80}", 81, "TCP", DENY),
            ("{port: 53, protocol: UDP}", 53, "UDP", ALLOW),
            ("{port: 53, protocol: UDP}", 53, "TCP", DENY),
            ("{port: 99, protocol: SCTP}", 99, "SCTP", ALLOW),
            ("{protocol: UDP}", 4242, "UDP", ALLOW),
            ("{protocol: UDP}", 4242, "TCP", DENY),
            ("{}", 4242, "TCP", ALLOW),
            ("{}", 4242, "UDP", DENY),
            ("{port: 80, endPort: 80}", 80, "TCP", ALLOW),
            ("{port: 80, endPort: 90}", 80, "TCP", ALLOW),
            ("{port: 80, endPort: 90}", 90, "TCP", ALLOW),
            ("{port: 80, endPort: 90}", 91, "TCP", DENY),
            ("{port: 80, endPort: 90}", 79, "TCP", DENY),
        ],
    )
    def test_numbers_ranges_and_protocols(self, port: str, asked: int, protocol: str, expected: str) -> None:
        assert says(with_ports(port), "shop/web", "shop/db", asked, protocol) == expected

    def test_a_named_port_is_looked_up_on_the_destination_in_both_directions(self) -> None:
        web = pod("shop/front", "10.0.0.9", ports="{containerPort: 8080, name: http}")
        api = pod("shop/api", "10.0.0.8", ports="{containerPort: 9090, name: http}")
        out = policy(
            "podSelector: {matchLabels: {app: front}}\npolicyTypes: [Egress]\negress: [{ports: [{port: http}]}]"
        )
        world = world_of(SHOP + web + api + out)
        assert says(world, "shop/front", "shop/api", 9090) == ALLOW
        assert says(world, "shop/front", "shop/api", 8080) == DENY
        into = policy("podSelector: {}\ningress: [{ports: [{port: http}]}]")
        world = world_of(SHOP + web + api + into)
        assert says(world, "shop/front", "shop/api", 9090) == ALLOW
        assert says(world, "shop/api", "shop/front", 8080) == ALLOW
        assert says(world, "shop/api", "shop/front", 9090) == DENY

    def test_a_named_port_of_another_protocol_or_another_name_never_matches(self) -> None:
        assert says(with_ports("{port: pg}"), "shop/web", "shop/db", 5432) == ALLOW
        assert says(with_ports("{port: pg, protocol: UDP}"), "shop/web", "shop/db", 5432, "UDP") == DENY
        assert says(with_ports("{port: pg, protocol: UDP}"), "shop/web", "shop/db", 5432) == DENY
        assert says(with_ports("{port: sql}"), "shop/web", "shop/db", 5432) == DENY

    def test_a_named_port_never_matches_an_address_outside_or_a_node(self) -> None:
        out = policy("podSelector: {}\npolicyTypes: [Egress]\negress: [{ports: [{port: pg}]}]")
        world = shop_with(out)
        assert says(world, "shop/web", "203.0.113.9", 5432) == DENY
        assert says(world, "shop/web", "node:n2", 5432) == DENY

    def test_the_name_of_a_sidecar_is_the_plugins_choice(self) -> None:
        sidecar = """
---
apiVersion: v1
kind: Pod
metadata: {name: meshed, namespace: shop, labels: {app: db}}
spec:
  nodeName: n1
  containers: [{name: main, ports: [{containerPort: 80, name: http}]}]
  initContainers:
  - {name: proxy, restartPolicy: Always, ports: [{containerPort: 15001, name: mesh}]}
  - {name: setup, ports: [{containerPort: 15002, name: once}]}
status: {phase: Running, podIP: 10.0.0.7}
"""
        allow = policy(f"{DB}\ningress: [{{ports: [{{port: mesh}}, {{port: http}}, {{port: once}}]}}]")
        world = shop_with(allow, sidecar)
        assert says(world, "shop/web", "shop/meshed", 80) == ALLOW
        verdict = ask(world, "shop/web", "shop/meshed", 15001)
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.SIDECAR_PORT}
        assert says(world, "shop/web", "shop/meshed", 15002) == DENY, "an init container has ended"
        assert says(world, "shop/web", "shop/meshed", 81) == DENY

    def test_a_name_that_stands_for_two_ports(self) -> None:
        twice = pod("shop/twice", "10.0.0.6", "app: db", "{containerPort: 80, name: w}, {containerPort: 81, name: w}")
        world = shop_with(policy(f"{DB}\ningress: [{{ports: [{{port: w}}]}}]"), twice)
        assert says(world, "shop/web", "shop/twice", 80) == UNKNOWN
        assert says(world, "shop/web", "shop/twice", 81) == UNKNOWN
        assert says(world, "shop/web", "shop/twice", 82) == DENY

    def test_a_rule_asks_for_a_port_and_a_peer(self) -> None:
        rules = """ingress:
- {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]}
- {from: [{namespaceSelector: {matchLabels: {team: blue}}}], ports: [{port: 81}]}"""
        world = selected(rules)
        assert says(world, "shop/web", "shop/db", 80) == ALLOW
        assert says(world, "ops/web", "shop/db", 81) == ALLOW
        assert says(world, "shop/web", "shop/db", 81) == DENY
        assert says(world, "ops/web", "shop/db", 80) == DENY

    @pytest.mark.parametrize("protocol", ["ICMP", "GRE"])
    def test_other_protocols_are_not_defined(self, protocol: str) -> None:
        for rules in ("", "ingress: [{}]"):
            verdict = ask(selected(rules), "shop/web", "shop/db", 0, protocol)
            assert verdict.verdict == UNKNOWN
            assert hangs_on(verdict) == {Assumption.PROTOCOL}
        assert says(shop_with(), "shop/web", "shop/db", 0, protocol) == ALLOW
