"""networking.k8s.io/v1, each detail that tools get wrong."""

from __future__ import annotations

from typing import Any

import pytest

from kubeshield_tui.evidence.netpol.policy import OpaquePolicy, Policy
from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.evidence.netpol.tri import Assumption
from kubeshield_tui.evidence.netpol.world import World
from tests.unit.netpol.stage import (
    ALLOW,
    DENY,
    PODS,
    SHOP,
    UNKNOWN,
    ask,
    hangs_on,
    live,
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


class TestDirections:
    @pytest.mark.parametrize(
        ("spec", "ingress", "egress"),
        [
            ("", DENY, ALLOW),
            ("policyTypes: []", DENY, ALLOW),
            ("policyTypes: null", DENY, ALLOW),
            ("egress: []", DENY, ALLOW),
            ("egress: null", DENY, ALLOW),
            ("egress: [{}]", DENY, ALLOW),
            ("egress: [{to: [{podSelector: {matchLabels: {app: nobody}}}]}]", DENY, DENY),
            ("policyTypes: [Egress]", ALLOW, DENY),
            ("policyTypes: [Egress]\ningress: []", ALLOW, DENY),
            ("policyTypes: [Egress]\ningress: [{from: [{podSelector: {}}]}]", ALLOW, DENY),
            ("policyTypes: [Ingress]\negress: [{ports: [{port: 1}]}]", DENY, ALLOW),
            ("policyTypes: [Ingress, Egress]", DENY, DENY),
            ("policyTypes: [Ingress, Egress]\ningress: [{}]", ALLOW, DENY),
        ],
    )
    def test_types_are_defaulted_and_isolate(self, spec: str, ingress: str, egress: str) -> None:
        world = selected(spec)
        assert says(world, "shop/web", "shop/db") == ingress
        assert says(world, "shop/db", "shop/web") == egress

    @pytest.mark.parametrize("rules", ["", "ingress: []", "ingress: null"])
    def test_no_rule_is_deny_all_whether_missing_or_empty(self, rules: str) -> None:
        assert says(selected(rules), "shop/web", "shop/db") == DENY

    @pytest.mark.parametrize("rules", [None, []])
    def test_an_empty_list_of_an_api_server_is_deny_all_too(self, rules: object) -> None:
        world = shop_with()
        world.put(live({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": rules}))
        assert says(world, "shop/web", "shop/db") == DENY

    def test_one_empty_rule_is_allow_all(self) -> None:
        world = selected("ingress: [{}]")
        for source in ("shop/web", "ops/agent", "203.0.113.9", "2001:db8::9"):
            assert says(world, source, "shop/db", 9) == ALLOW
            assert says(world, source, "shop/db", 9, "SCTP") == ALLOW

    def test_a_missing_spec_or_pod_selector_selects_all_pods(self) -> None:
        bare = "\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: all, namespace: shop}\n"
        for text in (bare, bare + "spec: {}\n", bare + "spec: {podSelector: null}\n"):
            world = shop_with(text)
            assert says(world, "ops/web", "shop/web") == DENY
            assert says(world, "shop/web", "ops/web") == ALLOW

    def test_a_policy_selects_in_its_own_namespace_only(self) -> None:
        world = shop_with(policy("podSelector: {}"))
        assert says(world, "shop/web", "ops/web") == ALLOW
        assert says(world, "ops/web", "shop/web") == DENY

    def test_both_sides_must_allow(self) -> None:
        out = policy("podSelector: {matchLabels: {app: web}}\npolicyTypes: [Egress]", "out")
        into = policy(f"{DB}\ningress: [{{}}]", "into")
        assert says(shop_with(into), "shop/web", "shop/db") == ALLOW
        verdict = ask(shop_with(out, into), "shop/web", "shop/db")
        assert [direction.verdict for direction in verdict.directions] == [DENY, ALLOW]
        assert verdict.verdict == DENY

    def test_policies_are_a_union_in_any_order(self) -> None:
        deny, allow = policy(DB, "a-deny"), policy(f"{DB}\ningress: [{{ports: [{{port: 80}}]}}]", "b-allow")
        for order in ((deny, allow), (allow, deny)):
            world = shop_with(*order)
            assert says(world, "shop/web", "shop/db", 80) == ALLOW
            assert says(world, "shop/web", "shop/db", 81) == DENY

    def test_ends_outside_the_pod_network_have_no_policy(self) -> None:
        world = shop_with(policy("podSelector: {}\npolicyTypes: [Ingress, Egress]\negress: [{}]\ningress: [{}]"))
        verdict = ask(world, "203.0.113.9", "shop/db")
        assert verdict.verdict == ALLOW
        assert verdict.directions[0].policies == ()


class TestPeers:
    @pytest.mark.parametrize("peers", ["", "from: []", "from: null"])
    def test_no_peer_is_any_peer_addresses_outside_too(self, peers: str) -> None:
        world = selected(f"ingress:\n- {{ports: [{{port: 80}}], {peers}}}")
        for source in ("shop/web", "ops/agent", "203.0.113.9"):
            assert says(world, source, "shop/db", 80) == ALLOW
            assert says(world, source, "shop/db", 81) == DENY

    @pytest.mark.parametrize(
        ("peers", "allowed"),
        [
            (["podSelector: {matchLabels: {app: web}}"], ["shop/web"]),
            (["podSelector: {}"], ["shop/web"]),
            (["namespaceSelector: {matchLabels: {team: blue}}"], ["ops/web", "ops/agent"]),
            (["namespaceSelector: {}"], ["shop/web", "ops/web", "ops/agent"]),
            (["{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}"], ["shop/web", "ops/web"]),
            (["{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: web}}}"], ["ops/web"]),
            (
                ["namespaceSelector: {matchLabels: {team: blue}}", "podSelector: {matchLabels: {app: web}}"],
                ["shop/web", "ops/web", "ops/agent"],
            ),
            (["{namespaceSelector: {matchLabels: {team: blue}}, podSelector: null}"], ["ops/web", "ops/agent"]),
            (["namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}"], ["ops/web", "ops/agent"]),
        ],
        ids=str,
    )
    def test_selectors(self, peers: list[str], allowed: list[str]) -> None:
        world = from_peer(*peers)
        found = [source for source in ("shop/web", "ops/web", "ops/agent") if says(world, source, "shop/db") == ALLOW]
        assert found == allowed

    def test_selectors_never_match_what_is_no_pod(self) -> None:
        world = from_peer("{namespaceSelector: {}, podSelector: {}}", "namespaceSelector: {}")
        for source in ("203.0.113.9", "node:n1", "192.168.0.1"):
            assert says(world, source, "shop/db") == DENY

    @pytest.mark.parametrize(
        ("expression", "web", "agent"),
        [
            ("{key: tier, operator: In, values: [system, other]}", DENY, ALLOW),
            ("{key: tier, operator: NotIn, values: [system]}", ALLOW, DENY),
            ("{key: tier, operator: NotIn, values: [other]}", ALLOW, ALLOW),
            ("{key: tier, operator: Exists}", DENY, ALLOW),
            ("{key: tier, operator: DoesNotExist}", ALLOW, DENY),
            ("{key: tier, operator: DoesNotExist, values: []}", ALLOW, DENY),
        ],
    )
    def test_operators_not_in_also_where_the_key_is_missing(self, expression: str, web: str, agent: str) -> None:
        world = from_peer(f"{{namespaceSelector: {{}}, podSelector: {{matchExpressions: [{expression}]}}}}")
        assert says(world, "ops/web", "shop/db") == web
        assert says(world, "ops/agent", "shop/db") == agent

    def test_match_labels_and_expressions_are_both_asked_for(self) -> None:
        selector = "{matchLabels: {app: agent}, matchExpressions: [{key: tier, operator: DoesNotExist}]}"
        assert says(from_peer(f"{{namespaceSelector: {{}}, podSelector: {selector}}}"), "ops/agent", "shop/db") == DENY

    def test_the_name_label_is_added_to_namespaces_of_files_only(self) -> None:
        peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "old"}}}
        from kubeshield_tui.model.cluster import NamespaceRecord, PodRecord

        world = shop_with()
        world.put(live({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [peer]}]}))
        world.put(NamespaceRecord(cluster="c", name="old"))
        world.put(PodRecord(cluster="c", namespace="old", name="web", addresses=("10.0.9.1",), phase="Running"))
        assert says(world, "old/web", "shop/db") == DENY

    def test_a_namespace_that_is_not_in_the_files_has_labels_that_are_not_known(self) -> None:
        lone = pod("lone/web", "10.0.2.1")
        rules = "ingress:\n- from:\n  - namespaceSelector: {matchLabels: {team: blue}}"
        verdict = ask(shop_with(policy(f"{DB}\n{rules}"), lone), "lone/web", "shop/db")
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.LABEL_NOT_KNOWN}
        rules = "ingress:\n- from:\n  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: lone}}"
        assert says(shop_with(policy(f"{DB}\n{rules}"), lone), "lone/web", "shop/db") == ALLOW
        rules = "ingress:\n- from:\n  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}"
        assert says(shop_with(policy(f"{DB}\n{rules}"), lone), "lone/web", "shop/db") == DENY


class TestEmptyPeer:
    def test_in_a_file_it_is_refused_and_never_counts_as_allow(self) -> None:
        from tests.unit.netpol.stage import reading_of

        reading = reading_of(SHOP + PODS + policy(f"{DB}\ningress:\n- from: [{{}}]"))
        assert "must specify a peer" in reading.problems[0].text
        assert says(reading.world(), "shop/web", "shop/db") == UNKNOWN

    def test_of_an_api_server_it_fails_closed_and_the_others_count(self) -> None:
        world = shop_with()
        peers: list[dict[str, Any]] = [{}, {"podSelector": {"matchLabels": {"app": "web"}}}]
        world.put(live({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": peers[:1]}]}))
        assert says(world, "shop/web", "shop/db") == DENY
        world.put(live({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": peers}]}))
        assert says(world, "shop/web", "shop/db") == ALLOW
        assert says(world, "ops/web", "shop/db") == DENY


class TestIpBlock:
    BLOCK = "ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.128/25]}"

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("203.0.113.0", ALLOW),
            ("203.0.113.127", ALLOW),
            ("203.0.113.128", DENY),
            ("203.0.113.255", DENY),
            ("203.0.112.255", DENY),
            ("203.0.114.0", DENY),
        ],
    )
    def test_bounds(self, source: str, expected: str) -> None:
        assert says(from_peer(self.BLOCK), source, "shop/db") == expected

    def test_except_is_no_deny(self) -> None:
        assert says(from_peer(self.BLOCK, "ipBlock: {cidr: 203.0.113.200/32}"), "203.0.113.200", "shop/db") == ALLOW

    def test_families_stand_apart(self) -> None:
        assert says(from_peer("ipBlock: {cidr: 0.0.0.0/0}"), "2001:db8::1", "shop/db") == DENY
        assert says(from_peer("ipBlock: {cidr: '::/0'}"), "203.0.113.1", "shop/db") == DENY
        assert says(from_peer("ipBlock: {cidr: '2001:db8::/32'}"), "2001:db8::1", "shop/db") == ALLOW

    def test_bits_behind_the_prefix_are_masked(self) -> None:
        assert says(from_peer("ipBlock: {cidr: 203.0.113.77/24}"), "203.0.113.1", "shop/db") == ALLOW

    @pytest.mark.parametrize(
        ("source", "knob", "assumption"),
        [
            ("shop/web", "ipblock_matches_pods", Assumption.IPBLOCK_PODS),
            ("10.0.0.1", "ipblock_matches_pods", Assumption.IPBLOCK_PODS),
            ("node:n1", "ipblock_matches_nodes", Assumption.IPBLOCK_NODES),
            ("192.168.0.1", "ipblock_matches_nodes", Assumption.IPBLOCK_NODES),
        ],
    )
    def test_pods_and_nodes_are_the_plugins_choice(self, source: str, knob: str, assumption: Assumption) -> None:
        world = from_peer("ipBlock: {cidr: 0.0.0.0/0}")
        verdict = ask(world, source, "shop/db")
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {assumption}
        for value, expected in ((True, ALLOW), (False, DENY)):
            world.profile = Profile(**{knob: value})
            assert says(world, source, "shop/db") == expected

    @pytest.mark.parametrize("source", ["shop/web", "node:n1"])
    def test_a_range_that_does_not_hold_the_address_never_matches(self, source: str) -> None:
        assert says(from_peer("ipBlock: {cidr: 172.16.0.0/12}"), source, "shop/db") == DENY
        assert (
            says(from_peer("ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 192.168.0.0/16]}"), source, "shop/db")
            == DENY
        )

    def test_another_peer_may_decide(self) -> None:
        assert says(from_peer("ipBlock: {cidr: 10.0.0.0/8}", "podSelector: {}"), "shop/web", "shop/db") == ALLOW

    def test_a_pod_without_a_known_address(self) -> None:
        lone = pod("shop/late", "", phase="Pending")
        world = shop_with(policy(f"{DB}\ningress:\n- from:\n  - ipBlock: {{cidr: 10.0.0.0/8}}"), lone)
        assert says(world, "shop/late", "shop/db") == UNKNOWN
        world.profile = Profile(ipblock_matches_pods=True)
        assert hangs_on(ask(world, "shop/late", "shop/db")) == {Assumption.ADDRESS_NOT_KNOWN}
        world.profile = Profile(ipblock_matches_pods=False)
        assert says(world, "shop/late", "shop/db") == DENY

    def test_each_family_of_a_pod_is_judged(self) -> None:
        dual = """
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: shop, labels: {app: NAME}}
spec: {nodeName: n1, containers: []}
status: {phase: Running, podIPs: [{ip: 10.0.5.N}, {ip: '2001:db8::N'}]}
"""
        pods = dual.replace("NAME", "one").replace("N}", "1}").replace("::N", "::1")
        pods += dual.replace("NAME", "two").replace("N}", "2}").replace("::N", "::2")
        rule = "podSelector: {matchLabels: {app: two}}\ningress:\n- from:\n  - ipBlock: {cidr: 10.0.0.0/8}"
        world = world_of(SHOP + pods + policy(rule), profile=Profile(ipblock_matches_pods=True))
        assert says(world, "shop/one", "shop/two") == UNKNOWN
        world.put(live({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}]}))
        assert says(world, "shop/one", "shop/two") == ALLOW


def test_policies_parse_to_what_can_be_evaluated() -> None:
    assert isinstance(live({"podSelector": {}}), Policy)
    assert isinstance(live({"podSelector": {}, "ingress": [{"from": [{"newPeer": {}}]}]}), OpaquePolicy)
