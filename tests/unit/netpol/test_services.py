"""Services: what policies see is the backend and its port; which source they see may be open."""

from __future__ import annotations

import pytest

from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.evidence.netpol.tri import Assumption
from tests.unit.netpol.stage import ALLOW, DENY, UNKNOWN, ask, hangs_on, pod, policy, says, shop_with

DB = pod("shop/db-2", "10.0.0.3", "app: db", "{containerPort: 6543, name: pg}", node="n1")
"""A second backend, whose port of the same name has another number."""


def service(spec: str, name: str = "db") -> str:
    return f"\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{{spec}}}\n"


def slices(endpoints: str, ports: str, name: str = "db-1") -> str:
    labels = "{kubernetes.io/service-name: db}"
    head = f"\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, namespace: shop"
    return f"{head}, labels: {labels}}}\naddressType: IPv4\nendpoints: {endpoints}\nports: {ports}\n"


CLUSTER = service("selector: {app: db}, clusterIP: 10.96.0.5, ports: [{port: 5432, targetPort: pg}]")
WEB_IN = (
    "podSelector: {matchLabels: {app: db}}\ningress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [%s]}]"
)


class TestClusterIp:
    @pytest.mark.parametrize("destination", ["service:shop/db", "10.96.0.5"])
    def test_the_port_behind_counts_on_each_backend(self, destination: str) -> None:
        both = shop_with(CLUSTER, DB, policy(WEB_IN % "{port: pg}"))
        verdict = ask(both, "shop/web", destination, 5432)
        assert verdict.verdict == ALLOW
        assert [(path.destination, path.port) for path in verdict.paths] == [("shop/db", 5432), ("shop/db-2", 6543)]
        one = shop_with(CLUSTER, DB, policy(WEB_IN % "{port: 5432}"))
        verdict = ask(one, "shop/web", destination, 5432)
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.BACKENDS}
        assert [path.verdict for path in verdict.paths] == [ALLOW, DENY]
        assert says(shop_with(CLUSTER, policy(WEB_IN % "{port: 80}")), "shop/web", destination, 5432) == DENY

    def test_the_source_stays_what_it_is(self) -> None:
        world = shop_with(CLUSTER, policy(WEB_IN % "{port: pg}"))
        assert says(world, "shop/web", "service:shop/db", 5432) == ALLOW
        assert says(world, "ops/web", "service:shop/db", 5432) == DENY

    def test_egress_is_judged_after_translation(self) -> None:
        to_services = "egress: [{to: [{ipBlock: {cidr: 10.96.0.0/16}}]}]"
        out = policy(f"podSelector: {{matchLabels: {{app: web}}}}\npolicyTypes: [Egress]\n{to_services}")
        assert says(shop_with(CLUSTER, out), "shop/web", "service:shop/db", 5432) == DENY

    def test_numbers_and_defaults_of_the_target_port(self) -> None:
        plain = service("selector: {app: db}, ports: [{port: 90}, {port: 91, name: b, targetPort: 92}]")
        world = shop_with(plain, policy(WEB_IN % "{port: 90}, {port: 92}"))
        assert says(world, "shop/web", "service:shop/db", 90) == ALLOW
        assert says(world, "shop/web", "service:shop/db", 91) == ALLOW
        assert says(world, "shop/web", "service:shop/db", 92) == UNKNOWN, "the Service has no such port"

    def test_a_pod_that_reaches_itself_by_its_service(self) -> None:
        own = service("selector: {app: web}, ports: [{port: 80}]", "web")
        world = shop_with(own, policy("podSelector: {}\npolicyTypes: [Ingress, Egress]"))
        verdict = ask(world, "shop/web", "service:shop/web")
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.HAIRPIN}
        world.profile = Profile(hairpin=True)
        assert says(world, "shop/web", "service:shop/web") == ALLOW
        world.profile = Profile(hairpin=False)
        assert says(world, "shop/web", "service:shop/web") == DENY

    def test_internal_traffic_stays_on_the_node_where_the_service_says_so(self) -> None:
        local = CLUSTER.replace("spec: {", "spec: {internalTrafficPolicy: Local, ")
        world = shop_with(local, DB, policy(WEB_IN % "{port: 6543}"))
        assert says(world, "shop/web", "service:shop/db", 5432) == ALLOW, "only db-2 is on n1"

    def test_a_backend_outside(self) -> None:
        out = "podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{ipBlock: {cidr: %s}}]}]"
        behind = slices("[{addresses: [203.0.113.9]}]", "[{port: 5432, name: ''}]")
        bare = service("clusterIP: 10.96.0.5, ports: [{port: 5432}]")
        world = shop_with(bare, behind, policy(out % "203.0.113.0/24"))
        assert says(world, "shop/web", "service:shop/db", 5432) == UNKNOWN
        assert says(shop_with(bare, behind, policy(out % "0.0.0.0/0")), "shop/web", "service:shop/db", 5432) == ALLOW
        assert says(shop_with(bare, behind, policy(out % "8.8.8.8/32")), "shop/web", "service:shop/db", 5432) == DENY


class TestBackends:
    def test_slices_win_over_the_selector_and_only_ready_ones_count(self) -> None:
        endpoints = (
            "[{addresses: [10.0.0.2], conditions: {ready: true}, targetRef: {kind: Pod, name: db, namespace: shop}},"
            " {addresses: [10.0.0.3], conditions: {ready: false}}]"
        )
        world = shop_with(CLUSTER, DB, slices(endpoints, "[{port: 5432, name: ''}]"), policy(WEB_IN % "{port: 5432}"))
        verdict = ask(world, "shop/web", "service:shop/db", 5432)
        assert verdict.verdict == ALLOW
        assert [path.destination for path in verdict.paths] == ["shop/db"]

    def test_ports_of_slices_are_found_by_name(self) -> None:
        named = service("clusterIP: 10.96.0.5, ports: [{port: 1, name: a}, {port: 2, name: b}]")
        ports = "[{port: 80, name: a}, {port: 81, name: b}]"
        world = shop_with(named, slices("[{addresses: [10.0.0.2]}]", ports), policy(WEB_IN % "{port: 81}"))
        assert says(world, "shop/web", "service:shop/db", 1) == DENY
        assert says(world, "shop/web", "service:shop/db", 2) == ALLOW

    def test_endpoints_objects_count_where_there_are_no_slices(self) -> None:
        old = "\n---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: db, namespace: shop}\nsubsets:\n"
        old += "- {addresses: [{ip: 10.0.0.2}], notReadyAddresses: [{ip: 10.0.0.3}], ports: [{port: 5432}]}\n"
        bare = service("clusterIP: 10.96.0.5, ports: [{port: 5432}]")
        verdict = ask(shop_with(bare, old, DB), "shop/web", "service:shop/db", 5432)
        assert [path.destination for path in verdict.paths] == ["shop/db"]

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ("clusterIP: 10.96.0.5, ports: [{port: 80}]", "no ready backend"),
            ("selector: {app: nobody}, ports: [{port: 80}]", "no ready backend"),
            ("type: ExternalName, externalName: db.example.org", "db.example.org"),
            ("selector: {app: db}, ports: [{port: 81}]", "81/TCP"),
            ("selector: {app: db}, ports: [{port: 80, targetPort: nothing}]", "no ready backend"),
        ],
    )
    def test_nothing_behind_is_unknown_and_said(self, spec: str, said: str) -> None:
        verdict = ask(shop_with(service(spec)), "shop/web", "service:shop/db", 80)
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.NOT_THERE}
        assert said in verdict.assumptions[0].text

    def test_a_headless_service_leads_straight_to_the_pods_port(self) -> None:
        headless = service("clusterIP: None, selector: {app: db}, ports: [{port: 5432, targetPort: 80}]")
        world = shop_with(headless, policy(WEB_IN % "{port: 5432}"))
        assert says(world, "shop/web", "service:shop/db", 5432) == ALLOW
        assert says(world, "shop/web", "service:shop/db", 80) == DENY


NODE_PORT = service("type: NodePort, selector: {app: db}, clusterIP: 10.96.0.5, ports: [{port: 5432, nodePort: 30432}]")
OUTSIDE_IN = "podSelector: {matchLabels: {app: db}}\ningress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]"


class TestNodePort:
    @pytest.mark.parametrize("node", ["node:n1", "192.168.0.1"])
    def test_the_source_may_be_replaced_by_the_nodes(self, node: str) -> None:
        verdict = ask(shop_with(NODE_PORT, policy(OUTSIDE_IN)), "203.0.113.9", node, 30432)
        assert verdict.verdict == UNKNOWN
        assert Assumption.SOURCE_REWRITTEN in hangs_on(verdict)

    def test_that_is_said_even_where_it_makes_no_difference(self) -> None:
        verdict = ask(shop_with(NODE_PORT), "203.0.113.9", "node:n1", 30432)
        assert verdict.verdict == ALLOW
        assert Assumption.SOURCE_REWRITTEN in hangs_on(verdict)

    def test_a_local_traffic_policy_keeps_the_source_and_asks_for_a_backend_there(self) -> None:
        local = NODE_PORT.replace("spec: {", "spec: {externalTrafficPolicy: Local, ")
        world = shop_with(local, policy(OUTSIDE_IN))
        assert says(world, "203.0.113.9", "node:n2", 30432) == ALLOW
        assert says(world, "198.51.100.1", "node:n2", 30432) == DENY
        verdict = ask(world, "203.0.113.9", "node:n1", 30432)
        assert verdict.verdict == UNKNOWN
        assert "no ready backend on this node" in verdict.assumptions[0].text

    def test_a_pod_by_a_node_port_may_come_as_the_node(self) -> None:
        verdict = ask(shop_with(NODE_PORT, policy(WEB_IN % "{port: 5432}")), "shop/web", "node:n2", 30432)
        assert verdict.verdict == UNKNOWN
        assert Assumption.SOURCE_REWRITTEN in hangs_on(verdict)

    def test_a_pods_egress_may_see_the_node_or_the_backend(self) -> None:
        out = "podSelector: {matchLabels: {app: web}}\npolicyTypes: [Egress]\negress: [{to: [{podSelector: {}}]}]"
        assert says(shop_with(NODE_PORT, policy(out)), "shop/web", "node:n2", 30432) == UNKNOWN

    @pytest.mark.parametrize("address", ["198.51.100.7", "198.51.100.8"])
    def test_balancers_and_external_addresses(self, address: str) -> None:
        spec = "type: LoadBalancer, externalIPs: [198.51.100.8], selector: {app: db}, ports: [{port: 5432}]"
        text = service(spec) + "status: {loadBalancer: {ingress: [{ip: 198.51.100.7}]}}\n"
        verdict = ask(shop_with(text, policy(OUTSIDE_IN)), "203.0.113.9", address, 5432)
        assert verdict.verdict == UNKNOWN
        assert Assumption.SOURCE_REWRITTEN in hangs_on(verdict)

    def test_a_service_asked_from_outside_comes_by_a_node(self) -> None:
        verdict = ask(shop_with(CLUSTER, policy(OUTSIDE_IN)), "203.0.113.9", "service:shop/db", 5432)
        assert Assumption.SOURCE_REWRITTEN in hangs_on(verdict)


class TestHostPorts:
    def test_a_host_port_leads_to_the_pod(self) -> None:
        edge = pod("shop/edge", "10.0.0.9", ports="{containerPort: 8080, hostPort: 80}", node="n1")
        closed = policy("podSelector: {matchLabels: {app: edge}}\ningress: [{ports: [{port: 80}]}]")
        assert says(shop_with(edge), "203.0.113.9", "node:n1", 80) == ALLOW
        verdict = ask(shop_with(edge, closed), "203.0.113.9", "node:n1", 80)
        assert verdict.verdict == DENY
        assert verdict.paths[0].port == 8080
        assert says(shop_with(edge, closed), "203.0.113.9", "node:n2", 80) == ALLOW

    def test_a_host_network_pod_behind_its_nodes_port(self) -> None:
        edge = pod("shop/edge", "192.168.0.1", ports="{containerPort: 80}", node="n1", host_network=True)
        verdict = ask(shop_with(edge, policy("podSelector: {}")), "203.0.113.9", "node:n1", 80)
        assert verdict.verdict == UNKNOWN
        assert hangs_on(verdict) == {Assumption.HOSTNETWORK_SUBJECT}


def test_a_service_opens_no_connections() -> None:
    assert says(shop_with(CLUSTER), "10.96.0.5", "shop/web") == UNKNOWN
