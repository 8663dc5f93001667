"""The admin API: tiers, priorities, first match, Pass, peers that fail closed."""

from __future__ import annotations

from typing import Any

import pytest

from kubeshield_tui.evidence.netpol.parse import parse_policy
from kubeshield_tui.evidence.netpol.policy import OpaquePolicy, Policy
from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.evidence.netpol.tri import Assumption
from tests.unit.netpol.stage import ALLOW, DENY, UNKNOWN, ask, hangs_on, pod, policy, reading_of, says, shop_with

SHOP_PODS = "subject: {namespaces: {matchLabels: {team: red}}}"
FROM_OPS = "from: [{namespaces: {matchLabels: {team: blue}}}]"
TO_OPS = "to: [{namespaces: {matchLabels: {team: blue}}}]"


def anp(rules: str, name: str = "anp", priority: int = 10, subject: str = SHOP_PODS) -> str:
    """An AdminNetworkPolicy."""
    head = f"apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {{name: {name}}}"
    return f"\n---\n{head}\nspec:\n  priority: {priority}\n  {subject}\n  {rules}\n"


def banp(rules: str, subject: str = SHOP_PODS) -> str:
    """The BaselineAdminNetworkPolicy."""
    head = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: default}"
    return f"\n---\n{head}\nspec:\n  {subject}\n  {rules}\n"


def cnp(rules: str, name: str = "cnp", priority: int = 10, tier: str = "Admin", subject: str = SHOP_PODS) -> str:
    """A ClusterNetworkPolicy."""
    head = f"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}"
    return f"\n---\n{head}\nspec:\n  tier: {tier}\n  priority: {priority}\n  {subject}\n  {rules}\n"


def ingress(*rules: str) -> str:
    return f"ingress: [{', '.join(rules)}]"


def egress(*rules: str) -> str:
    return f"egress: [{', '.join(rules)}]"


DENY_OPS = f"{{action: Deny, {FROM_OPS}}}"
ACCEPT_OPS = f"{{action: Accept, {FROM_OPS}}}"
ALLOW_OPS = f"{{action: Allow, {FROM_OPS}}}"
PASS_OPS = f"{{action: Pass, {FROM_OPS}}}"
OPEN = policy("podSelector: {}\ningress: [{}]", "open")
CLOSED = policy("podSelector: {}", "closed")


class TestTiers:
    @pytest.mark.parametrize(
        ("policies", "expected"),
        [
            ([anp(ingress(DENY_OPS)), OPEN], DENY),
            ([anp(ingress(ALLOW_OPS)), CLOSED], ALLOW),
            ([anp(ingress(PASS_OPS)), CLOSED], DENY),
            ([anp(ingress(PASS_OPS))], ALLOW),
            ([anp(ingress(PASS_OPS)), banp(ingress(DENY_OPS))], DENY),
            ([banp(ingress(DENY_OPS))], DENY),
            ([banp(ingress(DENY_OPS)), OPEN], ALLOW),
            ([banp(ingress(ALLOW_OPS)), CLOSED], DENY),
            ([cnp(ingress(DENY_OPS)), OPEN], DENY),
            ([cnp(ingress(ACCEPT_OPS)), CLOSED], ALLOW),
            ([cnp(ingress(DENY_OPS), tier="Baseline"), OPEN], ALLOW),
            ([cnp(ingress(DENY_OPS), tier="Baseline")], DENY),
            ([cnp(ingress(PASS_OPS, DENY_OPS), tier="Baseline")], ALLOW),
            ([cnp(ingress(PASS_OPS), priority=1), cnp(ingress(DENY_OPS), "next", 2)], ALLOW),
        ],
    )
    def test_admin_then_network_policy_then_baseline_then_allow(self, policies: list[str], expected: str) -> None:
        assert says(shop_with(*policies), "ops/web", "shop/db") == expected

    def test_a_policy_that_matches_nothing_isolates_nothing(self) -> None:
        world = shop_with(cnp(ingress("{action: Accept, from: [{pods: {podSelector: {matchLabels: {app: x}}}}]}")))
        assert says(world, "ops/web", "shop/db") == ALLOW

    def test_an_egress_policy_leaves_the_baseline_of_ingress_in_force(self) -> None:
        world = shop_with(policy("podSelector: {}\npolicyTypes: [Egress]"), cnp(ingress(DENY_OPS), tier="Baseline"))
        assert says(world, "ops/web", "shop/db") == DENY

    def test_both_sides_are_asked(self) -> None:
        deny_out = cnp(
            egress("{action: Deny, to: [{namespaces: {matchLabels: {team: red}}}]}"),
            subject="subject: {namespaces: {matchLabels: {team: blue}}}",
        )
        world = shop_with(deny_out, cnp(ingress(ACCEPT_OPS), "in"))
        verdict = ask(world, "ops/web", "shop/db")
        assert [direction.verdict for direction in verdict.directions] == [DENY, ALLOW]
        assert verdict.verdict == DENY


class TestOrder:
    def test_the_first_rule_that_matches_decides(self) -> None:
        assert says(shop_with(cnp(ingress(ACCEPT_OPS, DENY_OPS))), "ops/web", "shop/db") == ALLOW
        assert says(shop_with(cnp(ingress(DENY_OPS, ACCEPT_OPS))), "ops/web", "shop/db") == DENY

    @pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
    def test_the_lower_priority_wins_whatever_the_names(self, names: tuple[str, str]) -> None:
        world = shop_with(cnp(ingress(DENY_OPS), names[0], 5), cnp(ingress(ACCEPT_OPS), names[1], 6))
        assert says(world, "ops/web", "shop/db") == DENY

    def test_equal_priorities_that_disagree_are_unknown(self) -> None:
        world = shop_with(cnp(ingress(DENY_OPS), "a"), cnp(ingress(ACCEPT_OPS), "b"))
        verdict = ask(world, "ops/web", "shop/db")
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.EQUAL_PRIORITY}
        world.profile = Profile(ties_by_name=True)
        assert says(world, "ops/web", "shop/db") == DENY
        world.profile = Profile(ties_by_name=False)
        assert says(world, "ops/web", "shop/db") == UNKNOWN

    def test_equal_priorities_that_agree_or_lead_to_the_same_are_decided(self) -> None:
        assert says(shop_with(cnp(ingress(DENY_OPS), "a"), cnp(ingress(DENY_OPS), "b")), "ops/web", "shop/db") == DENY
        world = shop_with(cnp(ingress(PASS_OPS), "a"), cnp(ingress(ACCEPT_OPS), "b"))
        assert says(world, "ops/web", "shop/db") == ALLOW

    def test_a_tie_matters_only_where_both_match(self) -> None:
        other = "{action: Deny, from: [{pods: {podSelector: {matchLabels: {app: agent}}}}]}"
        world = shop_with(cnp(ingress(other), "a"), cnp(ingress(ACCEPT_OPS), "b"))
        assert says(world, "ops/web", "shop/db") == ALLOW
        assert says(world, "ops/agent", "shop/db") == UNKNOWN

    def test_a_tie_is_named_only_where_it_is_the_question(self) -> None:
        named = "{action: Accept, to: [{domainNames: [a.example.org]}]}"
        everywhere = "{action: Deny, to: [{networks: [0.0.0.0/0]}]}"
        other = "{action: Deny, to: [{networks: [192.0.2.0/24]}]}"
        world = shop_with(cnp(egress(named, everywhere), "a"), cnp(egress(other), "b"))
        assert hangs_on(ask(world, "shop/web", "203.0.113.9")) == {Assumption.DOMAIN_NAME}


class TestPeers:
    def test_a_namespace_selector_that_is_absent_selects_all(self) -> None:
        rule = "{action: Deny, from: [{pods: {podSelector: {matchLabels: {app: web}}}}]}"
        world = shop_with(cnp(ingress(rule)))
        assert says(world, "ops/web", "shop/db") == DENY
        assert says(world, "shop/web", "shop/db") == DENY
        assert says(world, "ops/agent", "shop/db") == ALLOW

    def test_what_comes_from_outside_never_matches_an_ingress_rule(self) -> None:
        world = shop_with(cnp(ingress("{action: Deny, from: [{namespaces: {}}]}")))
        for source in ("203.0.113.9", "node:n1"):
            assert says(world, source, "shop/db") == ALLOW
        assert says(world, "shop/web", "shop/db") == DENY

    @pytest.mark.parametrize("version", [anp, cnp])
    def test_networks_match_pods_and_nodes_by_address(self, version: Any) -> None:
        world = shop_with(version(egress("{action: Deny, to: [{networks: [10.0.1.0/24, 192.168.0.2/32]}]}")))
        assert says(world, "shop/web", "ops/web") == DENY
        assert says(world, "shop/web", "shop/db") == ALLOW
        assert says(world, "shop/web", "node:n2") == DENY
        assert says(world, "shop/web", "203.0.113.9") == ALLOW

    def test_networks_are_compared_with_known_addresses_only(self) -> None:
        world = shop_with(
            cnp(egress("{action: Deny, to: [{networks: [10.0.1.0/24]}]}")), pod("ops/late", phase="Pending")
        )
        assert hangs_on(ask(world, "shop/web", "ops/late")) == {Assumption.ADDRESS_NOT_KNOWN}

    def test_nodes_by_their_labels(self) -> None:
        world = shop_with(cnp(egress("{action: Deny, to: [{nodes: {matchLabels: {zone: b}}}]}")))
        assert says(world, "shop/web", "node:n2") == DENY
        assert says(world, "shop/db", "node:n1") == ALLOW
        assert says(world, "shop/web", "ops/web") == ALLOW

    def test_domain_names_are_known_at_run_time(self) -> None:
        allow = "{action: Accept, to: [{domainNames: ['*.example.org']}]}"
        world = shop_with(cnp(egress(allow, "{action: Deny, to: [{networks: [0.0.0.0/0]}]}")))
        verdict = ask(world, "shop/web", "203.0.113.9")
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.DOMAIN_NAME}

    def test_host_network_pods_are_no_subjects_and_no_peers(self) -> None:
        host = pod("ops/host", "192.168.0.2", "app: host", node="n2", host_network=True)
        world = shop_with(
            cnp(ingress("{action: Deny, from: [{namespaces: {}}]}"), subject="subject: {namespaces: {}}"), host
        )
        assert says(world, "ops/host", "shop/web") == ALLOW
        assert says(world, "shop/web", "ops/host") == ALLOW
        assert says(world, "ops/web", "shop/web") == DENY

    def test_a_pod_reaches_itself_but_by_a_service_it_is_a_subject(self) -> None:
        service = """
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, clusterIP: 10.96.0.9, ports: [{port: 80}]}
"""
        world = shop_with(cnp(ingress("{action: Deny, from: [{namespaces: {}}]}")), service)
        assert says(world, "shop/web", "shop/web") == ALLOW
        assert says(world, "shop/web", "service:shop/web") == DENY

    @pytest.mark.parametrize("rule_action", ["Accept", "Deny", "Pass"])
    def test_a_peer_that_is_not_known_fails_closed(self, rule_action: str) -> None:
        rule = f"{{action: {rule_action}, from: [{{namespaces: {{}}}}, {{planets: {{}}}}], protocols: [{{tcp: {{}}}}]}}"
        world = shop_with(cnp(ingress(rule)))
        expected = ALLOW if rule_action == "Accept" else DENY
        assert says(world, "ops/web", "shop/db") == expected, "an Accept that matches nothing leaves the default"
        assert says(world, "203.0.113.9", "shop/db", 53, "UDP") == expected
        assert says(shop_with(cnp(ingress(rule)), CLOSED), "ops/web", "shop/db") == DENY

    def test_an_empty_peer_of_an_api_server_fails_closed_that_of_a_file_is_refused(self) -> None:
        raw = {
            "apiVersion": "policy.networking.k8s.io/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": "live"},
            "spec": {
                "tier": "Admin",
                "priority": 1,
                "subject": {"namespaces": {}},
                "ingress": [{"action": "Deny", "from": [{}]}],
            },
        }
        world = shop_with()
        found = parse_policy(raw)
        assert isinstance(found, Policy)
        world.put(found)
        assert says(world, "ops/web", "shop/db") == DENY
        assert reading_of(cnp(ingress("{action: Deny, from: [{}]}"))).problems


class TestPorts:
    @pytest.mark.parametrize(
        ("protocols", "port", "protocol", "denied"),
        [
            ("[{tcp: {destinationPort: {number: 80}}}]", 80, "TCP", True),
            ("[{tcp: {destinationPort: {number: 80}}}]", 80, "UDP", False),
            ("[{tcp: {destinationPort: {number: 80}}}]", 81, "TCP", False),
            ("[{udp: {destinationPort: {range: {start: 50, end: 60}}}}]", 60, "UDP", True),
            ("[{udp: {destinationPort: {range: {start: 50, end: 60}}}}]", 61, "UDP", False),
            ("[{sctp: {}}]", 9, "SCTP", True),
            ("[{destinationNamedPort: pg}]", 5432, "TCP", True),
            ("[{destinationNamedPort: pg}]", 5432, "UDP", False),
            ("[{destinationNamedPort: pg}]", 5433, "TCP", False),
        ],
    )
    def test_protocols_of_v1alpha2(self, protocols: str, port: int, protocol: str, denied: bool) -> None:
        world = shop_with(cnp(ingress(f"{{action: Deny, {FROM_OPS}, protocols: {protocols}}}")))
        assert says(world, "ops/web", "shop/db", port, protocol) == (DENY if denied else ALLOW)

    @pytest.mark.parametrize(
        ("ports", "port", "protocol", "denied"),
        [
            ("[{portNumber: {port: 80}}]", 80, "TCP", True),
            ("[{portNumber: {port: 80}}]", 80, "UDP", False),
            ("[{portNumber: {protocol: UDP, port: 80}}]", 80, "UDP", True),
            ("[{portRange: {start: 80, end: 90}}]", 90, "TCP", True),
            ("[{portRange: {protocol: SCTP, start: 80, end: 90}}]", 91, "SCTP", False),
            ("[{namedPort: pg}]", 5432, "TCP", True),
        ],
    )
    def test_ports_of_v1alpha1(self, ports: str, port: int, protocol: str, denied: bool) -> None:
        world = shop_with(anp(ingress(f"{{action: Deny, {FROM_OPS}, ports: {ports}}}")))
        assert says(world, "ops/web", "shop/db", port, protocol) == (DENY if denied else ALLOW)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (cnp(ingress(DENY_OPS), tier="Middle"), "spec.tier"),
        (cnp(ingress(DENY_OPS), priority=1001), "spec.priority"),
        (cnp(ingress(DENY_OPS), subject="subject: {}"), "spec.subject"),
        (cnp(ingress(DENY_OPS), subject="other: 1"), "spec.other"),
        (cnp(ingress(f"{{action: Allow, {FROM_OPS}}}")), "spec.ingress[0].action"),
        (cnp(ingress("{action: Deny}")), "spec.ingress[0]"),
        (cnp(ingress("{action: Deny, from: [{networks: [10.0.0.0/8]}]}")), "spec.ingress[0].from[0]"),
        (cnp(egress("{action: Deny, to: [{domainNames: [a.example]}]}")), "spec.egress[0].to[0].domainNames"),
        (cnp(egress("{action: Deny, to: [{networks: [10.0.0.0]}]}")), "spec.egress[0].to[0].networks[0]"),
        (cnp(ingress(f"{{action: Deny, {FROM_OPS}, protocols: [{{tcp: {{}}, udp: {{}}}}]}}")), "protocols[0]"),
        (anp(ingress(f"{{action: Deny, {FROM_OPS}, ports: [{{portRange: {{start: 9, end: 9}}}}]}}")), "portRange"),
        (banp(ingress(PASS_OPS)), "spec.ingress[0].action"),
        (banp(ingress(DENY_OPS)).replace("default", "other"), "metadata.name"),
        (cnp(ingress(DENY_OPS)).replace("v1alpha2", "v1beta7"), "apiVersion"),
        (cnp(ingress(*[DENY_OPS] * 26)), "spec.ingress"),
    ],
)
def test_what_the_api_refuses_makes_its_subjects_unknown(text: str, field: str) -> None:
    reading = reading_of(text)
    (problem,) = reading.problems
    assert field in problem.text
    world = shop_with()
    kept = next(iter(reading.world().policies))
    assert isinstance(kept, OpaquePolicy)
    world.put(kept)
    assert hangs_on(ask(world, "ops/web", "shop/db")) == {Assumption.UNDECIDABLE}
    assert says(world, "shop/web", "shop/web") == ALLOW


def test_a_refused_policy_touches_only_whom_it_may_select() -> None:
    world = shop_with()
    kept = next(iter(reading_of(cnp(ingress(DENY_OPS), priority=1001)).world().policies))
    world.put(kept)
    assert says(world, "shop/web", "ops/web") == UNKNOWN, "it may have a rule for egress"
    assert says(world, "ops/web", "ops/agent") == ALLOW
