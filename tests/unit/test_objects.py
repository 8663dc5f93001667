"""What Services, slices and addresses give away before anything is asked: each with what must not be said of others."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kubeshield_tui.judgement.objects import object_findings
from kubeshield_tui.judgement.public_addresses import is_global, public_addresses
from kubeshield_tui.model.cluster import Backend, BackendRecord, Inventory, ServiceRecord
from kubeshield_tui.model.finding import Finding
from tests.unit.estate import endpoint
from tests.unit.holes_estate import API, OUTSIDE, POD, inventory, node, pod, view_of

DNS = ServiceRecord(namespace="kube-system", name="kube-dns", addresses=("10.96.0.10",))
WEB = ServiceRecord(namespace="shop", name="web", addresses=("10.96.1.10",), selector=(("app", "web"),))
DB = pod("db-0", "db:1", namespace="payments", addresses=("10.244.2.21",))
CART = pod("cart-1", "cart:1", namespace="shop", addresses=("10.244.1.11",))


def found(read: Inventory) -> list[Finding]:
    findings = list(object_findings(view_of(read)))
    for finding in findings:
        assert all(finding.because)
        assert finding.verify[0].startswith("kubectl --context prod -n ")
        assert finding.remedy
        assert (finding.endpoint, finding.vantage, finding.cluster) == ("", "", "prod")
    return findings


def services(*records: ServiceRecord) -> list[Finding]:
    return found(inventory(services=(DNS, *records), pods=(DB, CART)))


def test_an_ordinary_service_is_no_finding() -> None:
    balanced = replace(WEB, type="LoadBalancer", balancers=("203.0.113.9", "lb.example.com"))
    headless = replace(WEB, name="db", addresses=(), headless=True)
    assert services(WEB, balanced, headless) == []


def test_external_addresses_are_a_finding_and_a_grave_one_where_they_are_anothers() -> None:
    (plain,) = services(replace(WEB, external_ips=("203.0.113.9",)))
    assert (plain.code, plain.severity) == ("external-ips", "medium")
    assert plain.id == "external-ips:prod:shop:Service/web"
    assert plain.title == "Service shop/web claims 203.0.113.9 for itself"
    for address, whose in [
        ("10.96.0.10", "the address of Service kube-system/kube-dns"),
        ("10.244.2.21", "the address of Pod payments/db-0"),
        ("169.254.169.254", "a link-local address"),
        ("127.0.0.1", "a loopback address"),
        ("fe80::1", "a link-local address"),
    ]:
        (grave,) = services(replace(WEB, external_ips=("203.0.113.9", address)))
        assert grave.severity == "high"
        assert f"{address} is {whose}" in grave.title
        assert any("CVE-2020-8554" in line for line in grave.because)


def test_its_own_cluster_address_is_not_anothers() -> None:
    (finding,) = services(replace(WEB, external_ips=WEB.addresses))
    assert finding.severity == "medium"


def test_a_balancers_address_that_nobody_gave_is_a_finding() -> None:
    (strange,) = services(replace(WEB, balancers=("203.0.113.9",)))
    assert (strange.code, strange.severity) == ("unexpected-balancer", "medium")
    assert "the Service is of type ClusterIP: no load balancer serves it" in strange.because
    (taken,) = services(replace(WEB, type="LoadBalancer", balancers=("10.96.0.10",)))
    assert taken.severity == "high"
    (named,) = services(replace(WEB, type="NodePort", balancers=("lb.example.com",)))
    assert named.severity == "medium"


def slices(*records: BackendRecord, version: str = "v1.33.9", service: ServiceRecord = WEB) -> list[Finding]:
    host = pod("agent", "agent:1", namespace="kube-system", addresses=("10.0.0.11",), host_network=True)
    return found(inventory(version, services=(service,), pods=(DB, CART, host), backends=records))


def backends(*addresses: str, name: str = "web-x7k2p", managed: bool = False, namespace: str = "shop") -> BackendRecord:
    listed = tuple(Backend(address=address) for address in addresses)
    return BackendRecord(namespace=namespace, name=name, service="web", managed=managed, backends=listed)


def test_ordinary_backends_are_no_finding() -> None:
    assert slices(backends("10.244.1.11", managed=True), backends("10.244.1.11")) == []
    assert slices(backends("198.51.100.7", "db.example.com", "not an address", "")) == []  # outside, by hand
    assert slices(backends("10.0.0.11", namespace="ops")) == []  # a node's address belongs to every pod on its network


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "169.254.169.254", "::1", "fe80::1"])
@pytest.mark.parametrize(
    ("version", "severity"),
    [("v1.20.6", "high"), ("v1.20.7", "medium"), ("v1.20.6-gke.1", "medium"), ("", "medium"), ("v1.15.0", "medium")],
)
def test_a_backend_on_the_node_itself_is_a_finding(address: str, version: str, severity: str) -> None:
    (finding,) = slices(backends("10.244.1.11", address), version=version)
    assert (finding.code, finding.severity, finding.object) == ("backend-on-host", severity, "EndpointSlice/web-x7k2p")
    assert finding.title == f"EndpointSlice shop/web-x7k2p sends traffic to {address}"
    assert any("CVE-2021-25737" in line for line in finding.because)


def test_a_backend_in_another_namespace_is_a_finding_where_no_controller_keeps_it() -> None:
    bare = replace(WEB, selector=())
    (finding,) = slices(backends("10.244.1.11", "10.244.2.21"), service=bare)
    assert (finding.code, finding.severity) == ("cross-namespace-backend", "medium")
    assert finding.title.endswith("sends traffic to pods of another namespace: payments/db-0 (10.244.2.21)")
    (endpoints,) = slices(backends("10.244.2.21", name="web"), service=bare)
    assert endpoints.object == "Endpoints/web"
    assert " get endpoints web " in endpoints.verify[0]


def test_who_keeps_a_slice_decides_whether_it_may_point_elsewhere() -> None:
    # Written by a controller for a selector: the address changed hands between two lists.
    assert slices(backends("10.244.2.21", managed=True)) == []
    assert slices(backends("10.244.2.21", name="web")) == []
    # A label alone makes nobody a controller: without a selector nothing keeps it.
    assert len(slices(backends("10.244.2.21", managed=True), service=replace(WEB, selector=()))) == 1
    # Beside the controller's own slices somebody can lay one by hand.
    assert len(slices(backends("10.244.2.21"))) == 1


def public(read: Inventory, cells: dict | None = None) -> dict[str, Finding]:  # type: ignore[type-arg]
    findings = {finding.id: finding for finding in public_addresses(view_of(read, cells, vantages=(OUTSIDE, POD)))}
    for finding in findings.values():
        assert all(finding.because)
        assert finding.verify
        assert finding.remedy
    return findings


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "172.30.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "203.0.113.9", "fd00::1",
     "2001:db8::1", "fe80::1", "::1", "api.example.com", ""],
)  # fmt: skip
def test_addresses_that_are_not_routed_everywhere_are_no_finding(address: str) -> None:
    assert not is_global(address)
    api = replace(API, host=address)
    balanced = replace(WEB, type="LoadBalancer", balancers=(address,))
    assert (
        public(inventory(nodes=(node("n1", addresses=(address,)),), services=(balanced,)), {(api, POD): "open"}) == {}
    )


def test_global_addresses_are_findings_before_anything_was_asked() -> None:
    api = replace(API, host="8.8.4.4", source="kubeconfig")
    balanced = replace(WEB, type="LoadBalancer", balancers=("9.9.9.9", "lb.example.com"), source_ranges=("10.0.0.0/8",))
    read = inventory(
        nodes=(
            node("n1", addresses=("10.0.0.11", "8.8.8.8"), roles=("control-plane",)),
            node("n2", addresses=("10.0.0.12", "2001:4860:4860::8888")),
            node("n3", addresses=("10.0.0.13",)),
        ),
        services=(balanced,),
    )
    findings = public(read, {(api, OUTSIDE): "nothing"})
    assert {id_: str(finding.severity) for id_, finding in findings.items()} == {
        "public-address:prod:control-plane": "high",
        "public-address:prod:nodes": "medium",
        "public-address:prod:load-balancers": "low",
    }
    control_plane = findings["public-address:prod:control-plane"]
    assert control_plane.title == "control plane of prod: 2 global addresses (8.8.4.4, 8.8.8.8)"
    assert control_plane.because[:2] == (
        "8.8.4.4: API server (kubeconfig), 8.8.8.8: node n1",
        "nothing was measured from outside",
    )
    assert "may still hide it" in control_plane.because[2]
    assert "n3" not in findings["public-address:prod:nodes"].because[0]
    assert "source ranges 10.0.0.0/8" in findings["public-address:prod:load-balancers"].because[0]


@pytest.mark.parametrize(
    ("word", "severity", "said"),
    [
        ("exposed", "high", "answers from outside: ssh:phone"),
        ("blocked", "low", "the ports that were asked do not answer ssh:phone"),
        ("dead", "high", "the ports that were asked do not answer ssh:phone"),
        ("unproven", "high", "not proven to be blocked from ssh:phone"),
        ("lost", "high", "nothing was measured from outside"),
    ],
)
def test_only_a_proven_block_from_outside_lowers_it(word: str, severity: str, said: str) -> None:
    api = replace(API, host="8.8.4.4", source="kubeconfig")
    (finding,) = public(inventory(), {(api, OUTSIDE): word, (api, POD): "open"}).values()
    assert finding.severity == severity
    assert said in finding.because
    assert finding.reached_from == ((OUTSIDE.id,) if word == "exposed" else ())


def test_an_api_server_of_another_name_is_none_of_the_nodes() -> None:
    web = endpoint("web", host="8.8.8.8")
    assert public(inventory(), {(web, OUTSIDE): "open"}) == {}
