"""Discovery and the world's mess: nothing an API says raises, and what is kept is printable."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as any_of

from kubeshield_tui.cluster import resources
from kubeshield_tui.cluster.kubeconfig import ContextEntry
from kubeshield_tui.discovery import catalogue, control_plane, workloads
from kubeshield_tui.model.endpoint import Conversation, Endpoint, Protocol, Scope, TlsMode

Raw = dict[str, Any]
CONTEXT = ContextEntry(name="c", cluster="c", server="https://203.0.113.10:6443")
SIMPLE = any_of.none() | any_of.booleans() | any_of.integers() | any_of.floats() | any_of.text(max_size=6)
JSON = any_of.recursive(
    SIMPLE,
    lambda inner: any_of.lists(inner, max_size=3) | any_of.dictionaries(any_of.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def likely(**fields: Any) -> Any:
    """An object with some of these fields, each of them likely or anything."""
    return any_of.fixed_dictionaries({}, optional={name: values | JSON for name, values in fields.items()}) | JSON


def some(values: Any) -> Any:
    return any_of.lists(values | JSON, max_size=3)


NAME = any_of.text(max_size=5) | any_of.sampled_from(["a", "b", "kubernetes", "default", "kube-system"])
PORT = any_of.integers(-1, 70000)
ADDRESS = any_of.sampled_from(["10.0.0.1", "::1", "None", "", "x\x1b[2J"])
LABELS = any_of.dictionaries(
    any_of.sampled_from(["kubernetes.io/service-name", "component", "node-role.kubernetes.io/master"]), NAME | JSON
)
METADATA = likely(name=NAME, namespace=NAME, labels=LABELS)
REFERENCE = likely(kind=any_of.just("Pod"), name=NAME, namespace=NAME)
NODE_ADDRESS = any_of.fixed_dictionaries(
    {},
    optional={
        "type": any_of.sampled_from(["InternalIP", "ExternalIP", "Hostname"]) | SIMPLE,
        "address": ADDRESS | JSON,
    },
)
OBJECTS: dict[str, Any] = {
    "node": {
        "status": likely(
            addresses=any_of.lists(NODE_ADDRESS, max_size=3) | SIMPLE,
            daemonEndpoints=likely(kubeletEndpoint=likely(Port=PORT)),
        )
    },
    "namespace": {},
    "pod": {
        "spec": likely(
            nodeName=NAME,
            hostNetwork=any_of.booleans(),
            containers=some(likely(ports=some(likely(containerPort=PORT, name=NAME, protocol=NAME)))),
        ),
        "status": likely(
            phase=any_of.sampled_from(["Running", "Failed"]), podIP=ADDRESS, podIPs=some(likely(ip=ADDRESS))
        ),
    },
    "policy": {
        "spec": likely(
            podSelector=likely(
                matchLabels=LABELS, matchExpressions=some(likely(key=NAME, operator=NAME, values=some(NAME)))
            ),
            policyTypes=some(NAME),
            egress=some(JSON),
        )
    },
    "service": {
        "spec": likely(
            type=NAME,
            clusterIP=ADDRESS,
            clusterIPs=some(ADDRESS),
            externalIPs=some(ADDRESS),
            ports=some(
                likely(
                    port=PORT,
                    name=NAME,
                    protocol=any_of.sampled_from(["TCP", "UDP"]),
                    targetPort=PORT,
                    nodePort=PORT,
                    appProtocol=NAME,
                )
            ),
        ),
        "status": likely(loadBalancer=likely(ingress=some(likely(ip=ADDRESS, hostname=NAME)))),
    },
    "slice": {
        "endpoints": some(
            likely(addresses=some(ADDRESS), conditions=likely(ready=any_of.booleans()), targetRef=REFERENCE)
        ),
        "ports": some(likely(name=NAME, port=PORT)),
    },
    "endpoints": {
        "subsets": some(likely(addresses=some(likely(ip=ADDRESS, targetRef=REFERENCE)), ports=some(likely(port=PORT))))
    },
}
READERS: dict[str, Any] = {
    "node": lambda raw: resources.node_record(raw, "c"),
    "namespace": lambda raw: resources.namespace_record(raw, "c"),
    "pod": lambda raw: resources.pod_record(raw, "c"),
    "policy": lambda raw: resources.policy_record(raw, "c"),
    "service": resources.service_record,
    "slice": resources.slice_record,
    "endpoints": resources.endpoints_record,
}


def raw(kind: str) -> Any:
    likely_fields = {"metadata": METADATA, **OBJECTS[kind]}
    return any_of.fixed_dictionaries({}, optional={name: values | JSON for name, values in likely_fields.items()})


def texts(value: Any) -> list[str]:
    """All text inside a record."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple | list):
        return [text for item in value for text in texts(item)]
    fields = getattr(value, "__struct_fields__", ())
    return [text for field in fields for text in texts(getattr(value, field))]


def assert_clean(record: Any) -> None:
    assert all(text.replace("\n", "").isprintable() for text in texts(record))


QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("kind", READERS)
@QUICK
@given(data=any_of.data())
def test_no_object_is_too_hostile(kind: str, data: any_of.DataObject) -> None:
    assert_clean(READERS[kind](data.draw(raw(kind))))


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("value", [None, [], "text", 7, True, {}])
def test_fields_of_a_wrong_kind_are_as_good_as_missing(kind: str, value: object) -> None:
    reader = READERS[kind]
    assert reader({}) is None
    labels = {"kubernetes.io/service-name": "n"}
    whole = {"metadata": {"name": "n", "namespace": "s", "labels": labels}}
    assert reader(whole) is not None
    for field in ("spec", "status", "endpoints", "subsets", "ports"):
        assert reader({**whole, field: value}) == reader(whole)
    assert reader({"metadata": value}) is None


@QUICK
@given(
    nodes=any_of.lists(raw("node"), max_size=3),
    pods=any_of.lists(raw("pod"), max_size=3),
    services=any_of.lists(raw("service"), max_size=3),
    slices=any_of.lists(raw("slice"), max_size=3),
)
def test_endpoints_of_a_hostile_world_can_be_asked(
    nodes: list[Raw], pods: list[Raw], services: list[Raw], slices: list[Raw]
) -> None:
    node_records = [record for item in nodes if (record := READERS["node"](item))]
    pod_records = [record for item in pods if (record := READERS["pod"](item))]
    service_records = [record for item in services if (record := READERS["service"](item))]
    backends = [record for item in slices if (record := READERS["slice"](item))]
    skipped: list[workloads.Skipped] = []
    found = [
        *control_plane.api_servers(CONTEXT, service_records, backends),
        *control_plane.etcd_members("c", node_records, pod_records),
        *control_plane.kubelets(node_records),
        *workloads.services("c", service_records, backends, node_records, skipped),
    ]
    for endpoint in found:
        assert_clean(endpoint)
        assert endpoint.id
        assert endpoint.host
        assert 1 <= endpoint.port <= 65535
    assert all(name and why for name, why in skipped)


# --- what is made of a clean world


def service(spec: Raw, status: Raw | None = None, name: str = "web", namespace: str = "shop") -> Raw:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec, "status": status or {}}


def endpoints_of(*raws: Raw, slices: tuple[Raw, ...] = ()) -> tuple[list[Endpoint], list[workloads.Skipped]]:
    node = resources.node_record(
        {"metadata": {"name": "n1"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.11"}]}}, "c"
    )
    records = [record for item in raws if (record := resources.service_record(item))]
    backends = [record for item in slices if (record := resources.slice_record(item))]
    skipped: list[workloads.Skipped] = []
    assert node is not None
    return list(workloads.services("c", records, backends, [node], skipped)), skipped


def test_every_address_of_a_service_is_asked() -> None:
    found, skipped = endpoints_of(
        service(
            {
                "type": "LoadBalancer",
                "clusterIP": "10.96.0.5",
                "clusterIPs": ["10.96.0.5", "fd00::5"],
                "externalIPs": ["198.51.100.7"],
                "ports": [
                    {"port": 80, "name": "http", "nodePort": 30080, "targetPort": "web"},
                    {"port": 53, "name": "dns", "protocol": "UDP"},
                    {"port": 9, "protocol": "SCTP"},
                ],
            },
            {"loadBalancer": {"ingress": [{"ip": "198.51.100.8"}, {"hostname": "lb.example.org"}]}},
        )
    )
    udp = [each for each in found if each.protocol is Protocol.UDP]
    assert {(each.host, each.port, each.conversation) for each in udp} == {
        (host, 53, Conversation(datagram="dns"))
        for host in ("10.96.0.5", "fd00::5", "198.51.100.7", "198.51.100.8", "lb.example.org")
    }
    tcp = [each for each in found if each.protocol is Protocol.TCP]
    places = {(each.host, each.port, each.scope) for each in tcp}
    assert places == {
        ("10.96.0.5", 80, Scope.CLUSTER),
        ("fd00::5", 80, Scope.CLUSTER),
        ("198.51.100.7", 80, Scope.GLOBAL),
        ("198.51.100.8", 80, Scope.GLOBAL),
        ("lb.example.org", 80, Scope.GLOBAL),
        ("10.0.0.11", 30080, Scope.GLOBAL),
    }
    assert len({each.id for each in found}) == len(found)
    assert {each.backend_port for each in tcp} == {"web"}
    assert skipped == [("Service shop/web:9", "SCTP is not asked yet")]


def test_behind_a_headless_service_its_ready_pods_are_asked() -> None:
    def behind(address: str, name: str, ready: bool) -> Raw:
        reference = {"kind": "Pod", "name": name, "namespace": "shop"}
        return {"addresses": [address], "conditions": {"ready": ready}, "targetRef": reference}

    found, _ = endpoints_of(
        service({"clusterIP": "None", "ports": [{"port": 80, "name": "http", "targetPort": 8080}]}),
        slices=(
            {
                "metadata": {"namespace": "shop", "name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
                "endpoints": [behind("10.244.0.5", "web-0", True), behind("10.244.0.6", "web-1", False)],
                "ports": [{"name": "http", "port": 8080}],
            },
        ),
    )
    assert [(each.host, each.port) for each in found] == [("10.244.0.5", 8080)]
    assert [pod.name for pod in found[0].backends] == ["web-0"]


def test_the_apis_own_service_is_the_control_plane_not_a_service() -> None:
    own = service({"clusterIP": "10.96.0.1", "ports": [{"port": 443}]}, name="kubernetes", namespace="default")
    assert endpoints_of(own) == ([], [])
    record = resources.service_record(own)
    assert record is not None
    found = list(control_plane.api_servers(CONTEXT, [record], []))
    assert [(each.host, each.port, each.scope) for each in found] == [
        ("203.0.113.10", 6443, Scope.GLOBAL),
        ("10.96.0.1", 443, Scope.CLUSTER),
    ]


@pytest.mark.parametrize(
    ("server", "shown", "expected"),
    [
        ("https://h.example.org", "", ("h.example.org", 443)),
        ("http://h", "", ("h", 80)),
        ("https://[2001:db8::1]:6443/path", "", ("2001:db8::1", 6443)),
        ("h:6443", "", ("h", 6443)),
        ("https://127.0.0.1:5000", "203.0.113.10:6443", ("203.0.113.10", 6443)),
        ("https://h:99999", "", ("", 0)),
        ("https://h:port", "", ("", 0)),
        ("https://[::1", "", ("", 0)),
        ("", "", ("", 443)),
    ],
)
def test_the_address_that_a_kubeconfig_names(server: str, shown: str, expected: tuple[str, int]) -> None:
    context = ContextEntry(name="c", cluster="c", server=server, shown_address=shown)
    assert control_plane.shown_server(context) == expected
    assert len(list(control_plane.api_servers(context, [], []))) == bool(expected[0])


def test_a_finished_pod_keeps_no_address() -> None:
    for phase, kept in (("Running", ("10.0.0.1",)), ("Pending", ("10.0.0.1",)), ("Succeeded", ()), ("Failed", ())):
        status = {"phase": phase, "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}
        record = resources.pod_record({"metadata": {"name": "p", "namespace": "n"}, "status": status}, "c")
        assert record is not None
        assert record.addresses == kept


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
    record = resources.policy_record({"metadata": {"name": "p"}, "spec": spec}, "c")
    assert record is not None
    assert record.directions == expected


@pytest.mark.parametrize(
    ("port", "name", "protocol", "target", "tls", "asks"),
    [
        (80, "", "", "", False, True),
        (443, "", "", "", True, True),
        (5432, "", "", "", False, False),
        (5432, "http", "", "", False, True),
        (5432, "", "kubernetes.io/ws", "", False, True),
        (80, "", "https", "", True, True),
        (9000, "", "kubernetes.io/wss", "", True, True),
        (8443, "http", "", "", True, True),
        (7000, "", "", "metrics", False, True),
        (7000, "webhook", "", "", True, True),
        (7000, "grpc", "", "", False, False),
    ],
)
def test_how_a_services_port_is_asked(port: int, name: str, protocol: str, target: str, tls: bool, asks: bool) -> None:
    talk = catalogue.conversation_of_service(port, name, protocol, target)
    assert (talk.tls is TlsMode.ON, bool(talk.requests)) == (tls, asks)
