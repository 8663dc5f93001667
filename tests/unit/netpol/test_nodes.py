"""Nodes, hostNetwork pods, pods that meet themselves, pods that have finished."""

from __future__ import annotations

import pytest

from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.evidence.netpol.tri import Assumption
from tests.unit.netpol.stage import ALLOW, DENY, UNKNOWN, ask, hangs_on, pod, policy, says, shop_with

CLOSED = policy("podSelector: {}\npolicyTypes: [Ingress, Egress]", "closed")
CLOSED_OPS = policy("podSelector: {}\npolicyTypes: [Ingress, Egress]", "closed", "ops")
HOST = pod("ops/host", "192.168.0.1", node="n1", host_network=True)
"""A hostNetwork pod on the node of shop/web; shop/db is on the other."""


class TestNodes:
    def test_a_pods_own_node_always_reaches_it(self) -> None:
        world = shop_with(CLOSED)
        for node in ("node:n1", "192.168.0.1"):
            assert says(world, node, "shop/web") == ALLOW
        for node in ("node:n2", "192.168.0.2"):
            assert says(world, node, "shop/web") == DENY

    def test_the_way_to_a_pods_own_node_is_not_specified(self) -> None:
        world = shop_with(CLOSED)
        verdict = ask(world, "shop/web", "node:n1", 10250)
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.POD_TO_OWN_NODE}
        assert says(world, "shop/web", "node:n2", 10250) == DENY
        world.profile = Profile(pod_to_own_node=True)
        assert says(world, "shop/web", "node:n1", 10250) == ALLOW
        world.profile = Profile(pod_to_own_node=False)
        assert says(world, "shop/web", "node:n1", 10250) == DENY

    def test_without_a_policy_a_pod_reaches_every_node(self) -> None:
        assert says(shop_with(), "shop/web", "node:n1", 10250) == ALLOW

    def test_where_the_node_is_not_known_it_may_be_the_pods_own(self) -> None:
        world = shop_with(CLOSED, pod("shop/free", "10.0.0.9", node=""))
        verdict = ask(world, "node:n1", "shop/free")
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.NODE_NOT_KNOWN}


class TestHostNetwork:
    def test_on_the_same_node_it_counts_as_the_node(self) -> None:
        verdict = ask(shop_with(CLOSED, HOST), "ops/host", "shop/web")
        assert verdict.verdict == ALLOW
        assert hangs_on(verdict) == {Assumption.OWN_NODE}

    def test_as_a_subject_it_is_the_plugins_choice(self) -> None:
        world = shop_with(CLOSED_OPS, HOST)
        verdict = ask(world, "shop/db", "ops/host")
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.HOSTNETWORK_SUBJECT}
        assert not verdict.directions[1].isolated
        world.profile = Profile(hostnetwork_subject=True)
        assert says(world, "shop/db", "ops/host") == DENY
        world.profile = Profile(hostnetwork_subject=False)
        assert says(world, "shop/db", "ops/host") == ALLOW

    def test_a_subject_that_is_allowed_anyway_is_allowed(self) -> None:
        assert (
            says(shop_with(policy("podSelector: {}\ningress: [{}]", "open", "ops"), HOST), "shop/db", "ops/host")
            == ALLOW
        )

    def test_as_a_peer_it_is_a_pod_or_its_nodes_address(self) -> None:
        peer = "from: [{namespaceSelector: {matchLabels: {team: blue}}}]"
        world = shop_with(policy(f"podSelector: {{}}\ningress: [{{{peer}}}]"), HOST)
        verdict = ask(world, "ops/host", "shop/db")
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.HOSTNETWORK_PEER}
        world.profile = Profile(hostnetwork_peer=True)
        assert says(world, "ops/host", "shop/db") == ALLOW
        world.profile = Profile(hostnetwork_peer=False)
        assert says(world, "ops/host", "shop/db") == DENY

    def test_a_range_is_compared_as_with_a_node(self) -> None:
        block = policy("podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 192.168.0.0/16}}]}]")
        world = shop_with(block, HOST)
        assert hangs_on(ask(world, "ops/host", "shop/db")) == {Assumption.IPBLOCK_NODES}
        world.profile = Profile(ipblock_matches_nodes=True, ipblock_matches_pods=False)
        assert says(world, "ops/host", "shop/db") == ALLOW


class TestSelf:
    def test_a_pod_always_reaches_itself(self) -> None:
        world = shop_with(CLOSED)
        assert says(world, "shop/web", "shop/web") == ALLOW
        assert says(world, "shop/web", "10.0.0.1") == ALLOW

    @pytest.mark.parametrize(("replicas", "expected"), [("replicas: 1", ALLOW), ("", ALLOW), ("replicas: 3", UNKNOWN)])
    def test_a_workload_of_several_pods_is_not_only_itself(self, replicas: str, expected: str) -> None:
        web = f"""
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: many, namespace: shop}}
spec:
  {replicas or "paused: false"}
  template: {{metadata: {{labels: {{app: many}}}}, spec: {{containers: []}}}}
"""
        verdict = ask(shop_with(CLOSED, web), "shop/many", "shop/many")
        assert verdict.verdict == expected
        if expected == UNKNOWN:
            assert hangs_on(verdict) == {Assumption.REPLICAS}


class TestFinished:
    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_a_pod_that_has_finished_is_no_peer(self, phase: str) -> None:
        done = pod("shop/done", "10.0.0.1", "app: other", phase=phase)
        world = shop_with(
            done, policy("podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {app: other}}}]}]")
        )
        assert says(world, "10.0.0.1", "shop/db") == DENY, "its address is another's by now"
        verdict = ask(world, "shop/done", "shop/db")
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.NOT_THERE}

    def test_who_is_not_there_is_unknown(self) -> None:
        world = shop_with()
        assert says(world, "shop/nobody", "shop/db") == UNKNOWN
        assert says(world, "shop/web", "node:none") == UNKNOWN
        assert says(world, "shop/web", "service:shop/none") == UNKNOWN
