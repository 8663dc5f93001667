"""From raw objects to records: nothing an API says raises, and what is kept is printable and right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as any_of
from msgspec.structs import replace

from kubeshield_tui.cluster import extensions, resources, services
from kubeshield_tui.cluster.kinds import KINDS, Kind, key_of
from kubeshield_tui.model.cluster import (
    Backend,
    BackendPort,
    ContainerPort,
    Owner,
    PodRecord,
    PolicyRecord,
    ServiceRecord,
)
from kubeshield_tui.model.record import Record
from tests.unit.raw_objects import Raw, named, raw

VERSIONS = {f"{version.path}": version for kind in KINDS for version in kind.versions}
QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def texts(value: Any) -> list[str]:
    """All text inside a record."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple | list):
        return [text for item in value for text in texts(item)]
    fields = getattr(value, "__struct_fields__", ())
    return [text for field in fields for text in texts(getattr(value, field))]


@pytest.mark.parametrize("path", VERSIONS)
@QUICK
@given(data=any_of.data())
def test_no_object_is_too_hostile(path: str, data: any_of.DataObject) -> None:
    kind = VERSIONS[path]
    record = kind.make(data.draw(raw(kind.name)), "c")
    assert all(text.replace("\n", "").isprintable() for text in texts(record))


def undocumented(record: Record | None) -> Record | None:
    """A policy is kept as it stands too: whoever evaluates it refuses what is of a wrong kind."""
    return replace(record, document="") if isinstance(record, PolicyRecord) else record


@pytest.mark.parametrize("path", VERSIONS)
@pytest.mark.parametrize("value", [None, [], "text", 7, True, {}, [None, 7, "text", []]])
def test_fields_of_a_wrong_kind_are_as_good_as_missing(path: str, value: object) -> None:
    make = VERSIONS[path].make
    assert make({}, "c") is None
    whole = named("n", "s", labels={"kubernetes.io/service-name": "n"})
    assert make(whole, "c") is not None
    for field in ("spec", "status", "endpoints", "subsets", "ports", "webhooks"):
        assert undocumented(make({**whole, field: value}, "c")) == undocumented(make(whole, "c"))
    assert make({"metadata": value}, "c") is None


@pytest.mark.parametrize("path", VERSIONS)
def test_what_is_huge_is_kept_small(path: str) -> None:
    huge = "A" * 10_000_000
    many = [{"name": "x", "port": 1, "addresses": ["10.0.0.1"], "host": "h", "ip": "10.0.0.1"}] * 50_000
    whole = named("n", "s", annotations={"a": huge}, labels={f"l{number}": huge for number in range(2)})
    fields = ("endpoints", "subsets", "ports", "webhooks")
    spec = {
        "ports": many,
        "rules": many,
        "containers": many,
        "clusterIPs": [huge],
        "nodeName": huge,
        "externalName": huge,
    }
    record = VERSIONS[path].make(
        {**whole, **dict.fromkeys(fields, many), "spec": spec, "status": {"podIPs": many}}, "c"
    )
    assert sum(map(len, texts(record))) < 100_000


def test_a_policy_nested_too_deep_to_be_written_is_a_policy() -> None:
    deep: Any = "x"
    for _ in range(5_000):
        deep = [deep]
    record = resources.policy_record({**named("p", "s"), "spec": {"ingress": deep}}, "c")
    assert record is not None
    assert record.spec == ""
    assert record.directions == ("Ingress",)


def test_each_object_keeps_its_identity() -> None:
    def keys(kind: Kind) -> Iterator[tuple[str, str]]:
        for version in kind.versions:
            whole = {**named("n", "s"), "spec": {"service": {"namespace": "other", "name": "x"}}}
            record = version.make(whole, "c")
            assert record is not None
            yield key_of(record)

    found = {kind.name: set(keys(kind)) for kind in KINDS}
    scoped = {"nodes", "namespaces", "validatingwebhookconfigurations", "mutatingwebhookconfigurations", "apiservices"}
    assert found == {name: {("", "n")} if name in scoped else {("s", "n")} for name in found}


def test_kinds_say_where_they_are_listed() -> None:
    paths = {kind.resource: [version.path for version in kind.versions] for kind in KINDS}
    assert paths["pods"] == ["/api/v1/pods"]
    assert paths["endpointslices.discovery.k8s.io"] == [
        "/apis/discovery.k8s.io/v1/endpointslices",
        "/apis/discovery.k8s.io/v1beta1/endpointslices",
        "/api/v1/endpoints",
    ]
    assert all(kind.needed_for.endswith(".") for kind in KINDS)
    assert not any("secret" in path for listed in paths.values() for path in listed)


# --- what is read of a clean world


def test_a_finished_pod_keeps_no_address() -> None:
    for phase, kept in (("Running", ("10.0.0.1",)), ("Pending", ("10.0.0.1",)), ("Succeeded", ()), ("Failed", ())):
        status = {"phase": phase, "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}
        record = resources.pod_record({**named("p", "n"), "status": status}, "c")
        assert record is not None
        assert record.addresses == kept


def test_what_a_pod_is() -> None:
    spec = {
        "serviceAccountName": "builder",
        "containers": [
            {
                "image": "a:1",
                "ports": [
                    {"containerPort": 80, "name": "http"},
                    {"containerPort": 53, "protocol": "UDP", "hostPort": 5353, "hostIP": "10.0.0.1"},
                ],
            },
            {"image": "a:1"},
        ],
        "initContainers": [
            {"image": "once:1", "ports": [{"containerPort": 1}]},
            {"image": "mesh:1", "restartPolicy": "Always", "ports": [{"containerPort": 15001}]},
        ],
    }
    references = [{"kind": "X", "name": "other"}, {"kind": "ReplicaSet", "name": "web-1", "controller": True}]
    record = resources.pod_record({**named("p", "n", ownerReferences=references), "spec": spec}, "c")
    assert isinstance(record, PodRecord)
    assert record.ports == (
        ContainerPort(port=80, name="http"),
        ContainerPort(port=53, protocol="UDP", host_port=5353, host_ip="10.0.0.1"),
        ContainerPort(port=15001, sidecar=True),
    )
    assert (record.images, record.service_account) == (("a:1", "mesh:1"), "builder")
    assert record.owner == Owner(kind="ReplicaSet", name="web-1")


def test_a_nodes_own_address_comes_first() -> None:
    addresses = [
        {"type": "ExternalIP", "address": "203.0.113.1"},
        {"type": "Hostname", "address": "n1"},
        {"type": "InternalIP", "address": "10.0.0.1"},
        {"type": "InternalIP", "address": "fd00::1"},
    ]
    info = {"kubeletVersion": "v1.33.4", "containerRuntimeVersion": "containerd://2.0", "osImage": "Debian"}
    status = {"addresses": addresses, "nodeInfo": info, "daemonEndpoints": {"kubeletEndpoint": {"Port": 10260}}}
    spec = {"providerID": "aws:///a/i-1", "podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "fd01::/64"]}
    record = resources.node_record({**named("n1"), "spec": spec, "status": status}, "c")
    assert record is not None
    assert record.addresses == ("10.0.0.1", "fd00::1", "203.0.113.1")
    assert record.pod_ranges == ("10.244.0.0/24", "fd01::/64")
    assert (record.kubelet_port, record.provider_id, record.runtime) == (10260, "aws:///a/i-1", "containerd://2.0")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"policyTypes": ["Egress"]}, ("Egress",)),
        ({}, ("Ingress",)),
        ({"ingress": []}, ("Ingress",)),
        ({"egress": [{}]}, ("Ingress", "Egress")),
    ],
)
def test_directions_of_a_policy_follow_the_apis_defaulting(spec: Raw, expected: tuple[str, ...]) -> None:
    record = resources.policy_record({**named("p"), "spec": spec}, "c")
    assert record is not None
    assert record.directions == expected


def test_an_empty_value_of_an_expression_is_a_value() -> None:
    selector = {"matchExpressions": [{"key": "k", "operator": "In", "values": ["", "a"]}]}
    record = resources.policy_record({**named("p"), "spec": {"podSelector": selector}}, "c")
    assert record is not None
    assert record.match_expressions == (("k", "In", ("", "a")),)


def test_slices_of_both_versions_and_endpoints_say_the_same() -> None:
    reference = {"kind": "Pod", "name": "p", "namespace": "s"}
    ports = [{"name": "http", "port": 80}]
    labels = {"kubernetes.io/service-name": "web"}
    expected = (Backend(address="10.0.0.1", node="n1", pod="p", namespace="s"),)
    told = [
        services.slice_record(
            {
                **named("web", "s", labels=labels),
                "endpoints": [{"addresses": ["10.0.0.1"], "targetRef": reference, **place}],
                "ports": ports,
            },
            "c",
        )
        for place in ({"nodeName": "n1"}, {"topology": {"kubernetes.io/hostname": "n1"}})
    ]
    subset = {"addresses": [{"ip": "10.0.0.1", "nodeName": "n1", "targetRef": reference}], "ports": ports}
    told.append(services.endpoints_record({**named("web", "s"), "subsets": [subset]}, "c"))
    for record in told:
        assert record is not None
        assert (record.service, record.backends, record.ports) == (
            "web",
            expected,
            (BackendPort(port=80, name="http"),),
        )


def test_a_service_with_everything() -> None:
    text = """{"metadata": {"name": "w", "namespace": "s", "labels": {"app": "w"}}, "spec": {"type": "LoadBalancer",
      "clusterIPs": ["10.96.0.1", "fd00::1"], "clusterIP": "10.96.0.1", "externalIPs": ["198.51.100.1"],
      "selector": {"app": "w"}, "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Cluster",
      "sessionAffinity": "ClientIP", "loadBalancerSourceRanges": ["192.0.2.0/24"], "publishNotReadyAddresses": true,
      "ports": [{"port": 80, "targetPort": "http"}, {"port": 0}, {"name": "no port"}]},
      "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.2"}, {"hostname": "lb.example.org"}, {}]}}}"""
    record = services.service_record(json.loads(text), "c")
    assert isinstance(record, ServiceRecord)
    assert record.addresses == ("10.96.0.1", "fd00::1")
    assert record.balancers == ("198.51.100.2", "lb.example.org")
    assert (record.external_traffic_policy, record.internal_traffic_policy) == ("Local", "Cluster")
    assert (record.session_affinity, record.source_ranges) == ("ClientIP", ("192.0.2.0/24",))
    assert (record.selector, record.labels, record.publish_not_ready) == ((("app", "w"),), (("app", "w"),), True)
    assert [(port.port, port.target) for port in record.ports] == [(80, "http")]


def test_ingresses_of_both_versions() -> None:
    newer = {"backend": {"service": {"name": "web", "port": {"number": 80}}}}
    older = {"backend": {"serviceName": "api", "servicePort": "http"}}
    rules = [{"host": "a.example.org", "http": {"paths": [newer, older]}}, {"host": "*.example.org"}]
    spec = {"ingressClassName": "nginx", "rules": rules, "tls": [{"hosts": ["a.example.org"]}]}
    status = {"loadBalancer": {"ingress": [{"ip": "198.51.100.9"}]}}
    record = services.ingress_record({**named("i", "s"), "spec": spec, "status": status}, "c")
    assert record is not None
    assert (record.class_name, record.addresses) == ("nginx", ("198.51.100.9",))
    assert (record.hosts, record.tls_hosts) == (("a.example.org", "*.example.org"), ("a.example.org",))
    assert record.services == ("web:80", "api:http")


def test_what_the_api_server_calls() -> None:
    webhooks = [
        {
            "name": "a.example.org",
            "clientConfig": {"service": {"namespace": "s", "name": "w"}},
            "failurePolicy": "Fail",
        },
        {"name": "b.example.org", "clientConfig": {"url": "https://hooks.example.org:8443/x"}},
    ]
    configuration = extensions.validating_configuration({**named("c"), "webhooks": webhooks}, "c")
    assert configuration is not None
    by_service, by_url = configuration.webhooks
    assert by_service.name == "ValidatingWebhookConfiguration/c/a.example.org"
    assert (by_service.namespace, by_service.service, by_service.port) == ("s", "w", 443)
    assert (by_url.service, by_url.url) == ("", "https://hooks.example.org:8443/x")
    conditions = [{"type": "Available", "status": "False"}]
    aggregated = extensions.aggregated_record(
        {
            **named("v1.metrics"),
            "spec": {"service": {"namespace": "k", "name": "m", "port": 444}},
            "status": {"conditions": conditions},
        },
        "c",
    )
    assert aggregated is not None
    assert (aggregated.service, aggregated.port, aggregated.available) == ("m", 444, False)
