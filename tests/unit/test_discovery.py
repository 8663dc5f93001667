"""From records to endpoints: what is asked, under which name, and what is said not to be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as any_of

from kubeshield_tui.cluster.kinds import KINDS
from kubeshield_tui.discovery import catalogue, workloads
from kubeshield_tui.discovery.estate import Estate
from kubeshield_tui.discovery.ground import NODE_ADDRESSES
from kubeshield_tui.discovery.hosts import host_of
from kubeshield_tui.model.endpoint import Conversation, Protocol, Scope, TlsMode
from tests.unit.raw_objects import CONTEXT, Raw, behind, by_id, estate_of, found, named, node, owned, pod, raw, service
from tests.unit.test_kinds import texts

QUICK = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
ALL_KINDS = [version.name for kind in KINDS for version in kind.versions]


@QUICK
@given(world=any_of.fixed_dictionaries({}, optional={kind: any_of.lists(raw(kind), max_size=3) for kind in ALL_KINDS}))
def test_endpoints_of_a_hostile_world_can_be_asked(world: dict[str, list[Raw]]) -> None:
    estate = estate_of(**world)
    endpoints = estate.endpoints()
    for endpoint in endpoints:
        assert all(text.isprintable() for text in texts(endpoint))
        assert endpoint.host == host_of(endpoint.host) != ""
        assert 1 <= endpoint.port <= 65535
    assert len({endpoint.id for endpoint in endpoints}) == len(endpoints)
    assert all(text and text.isprintable() for text in texts(estate.inventory().cluster.recognised))
    assert all(skipped.name and skipped.why for skipped in estate.skipped)


@QUICK
@given(
    order=any_of.permutations(range(4)),
    world=any_of.fixed_dictionaries(
        {kind: any_of.lists(raw(kind), max_size=4) for kind in ("nodes", "pods", "services")}
    ),
)
def test_the_order_of_a_list_changes_no_id(order: list[int], world: dict[str, list[Raw]]) -> None:
    def shuffled(listed: list[Raw]) -> list[Raw]:
        return [listed[number] for number in order if number < len(listed)]

    # Of two objects with one name the last one counts, so names are made different.
    for listed in world.values():
        for number, each in enumerate(listed):
            each["metadata"] = {**named(f"x{number}", "s")["metadata"], **_kept(each.get("metadata"))}
    one = by_id(found(**world))
    other = by_id(found(**{kind: shuffled(listed) for kind, listed in world.items()}))
    assert set(one) == set(other)


def _kept(metadata: Any) -> Raw:
    kept = metadata if isinstance(metadata, dict) else {}
    return {key: value for key, value in kept.items() if key in {"labels", "ownerReferences"}}


def test_every_address_of_a_service_is_asked() -> None:
    spec = {
        "type": "LoadBalancer",
        "clusterIP": "10.96.0.5",
        "clusterIPs": ["10.96.0.5", "fd00::5"],
        "externalIPs": ["198.51.100.7", "127.0.0.1"],
        "ports": [
            {"port": 80, "name": "http", "nodePort": 30080, "targetPort": "web"},
            {"port": 53, "name": "dns", "protocol": "UDP"},
            {"port": 9, "protocol": "SCTP"},
        ],
    }
    status = {"loadBalancer": {"ingress": [{"ip": "198.51.100.8"}, {"hostname": "LB.example.org"}]}}
    machine = node("n1", "10.0.0.11", "fd00::11", "External=203.0.113.11")
    estate = estate_of(services=[service(spec, status)], nodes=[machine])
    served = [each for each in estate.endpoints() if each.object == "Service/web"]
    everywhere = {"10.96.0.5", "fd00::5", "198.51.100.7", "198.51.100.8", "lb.example.org"}
    udp = [each for each in served if each.protocol is Protocol.UDP]
    assert {(each.host, each.port, each.conversation) for each in udp} == {
        (host, 53, Conversation(datagram="dns")) for host in everywhere
    }
    tcp = [each for each in served if each.protocol is Protocol.TCP]
    inside = {"10.96.0.5", "fd00::5"}
    assert {(each.host, each.port, each.scope) for each in tcp} == {
        *((host, 80, Scope.CLUSTER if host in inside else Scope.GLOBAL) for host in everywhere),
        *((host, 30080, Scope.GLOBAL) for host in ("10.0.0.11", "fd00::11", "203.0.113.11")),
    }
    assert {each.backend_port for each in tcp} == {"web"}
    told = {each.name: each.why for each in estate.skipped if each.name.startswith("Service")}
    assert told["Service shop/web:9"] == "SCTP is not asked yet"
    assert "another target on every node" in told["Service shop/web:80 at 127.0.0.1"]
    assert estate.inventory().skipped == estate.skipped


def test_a_name_in_dns_is_said_and_not_asked() -> None:
    estate = estate_of(
        services=[service({"type": "ExternalName", "externalName": "db.example.org", "ports": [{"port": 1}]})]
    )
    assert not any(each.object for each in estate.endpoints() if each.component != "kube-apiserver")
    assert [each for each in estate.skipped if "db.example.org" in each.why]


def test_behind_a_headless_service_its_ready_pods_are_asked_by_their_names() -> None:
    slices = behind(
        "db", ("db-0", "10.244.0.5"), ("db-1", "10.244.0.6"), ("db-9", "127.0.0.1"), port=8080, port_name="http"
    )
    slices["endpoints"][1]["conditions"] = {"ready": False}
    slices["endpoints"].append({"addresses": ["10.7.7.7"]})
    spec = {"clusterIP": "None", "ports": [{"port": 80, "name": "http", "targetPort": 8080}]}
    estate = estate_of(services=[service(spec, name="db")], endpointslices=[slices])
    served = [each for each in estate.endpoints() if each.object == "Service/db"]
    assert [(each.id, each.host, each.scope) for each in served] == [
        ("c/shop/Service/db@db-0:8080/tcp", "10.244.0.5", Scope.CLUSTER),
        ("c/shop/Service/db@10.7.7.7:8080/tcp", "10.7.7.7", Scope.GLOBAL),
    ]
    assert [[pod.name for pod in each.backends] for each in served] == [["db-0"], []]
    assert any(each.name == "Service shop/db:80 at 127.0.0.1" for each in estate.skipped)


def test_of_equal_pods_behind_a_headless_service_one_is_asked() -> None:
    def estate(*suffixes: str) -> Estate:
        own = owned("ReplicaSet", "web-55", **{"pod-template-hash": "55"})
        pods = {f"web-55-{suffix}": f"10.244.0.{number}" for number, suffix in enumerate(suffixes)}
        exporter = pod("x-1", "10.0.0.11", metadata=owned("DaemonSet", "x"), hostNetwork=True)
        return estate_of(
            nodes=[node("n1", "10.0.0.11")],
            pods=[*(pod(name, address, metadata=own) for name, address in pods.items()), exporter],
            services=[service({"clusterIP": "None", "ports": [{"port": 80}]})],
            endpointslices=[behind("web", *pods.items(), ("x-1", "10.0.0.11"))],
        )

    def ids(estate: Estate) -> list[str]:
        return [each.id for each in estate.endpoints() if each.object == "Service/web"]

    first = estate("b", "a", "c")
    # A pod on the host's network is another on every node.
    assert ids(first) == ["c/shop/Service/web@web:80/tcp", "c/shop/Service/web@x/n1:80/tcp"]
    assert by_id(first.endpoints())["c/shop/Service/web@web:80/tcp"].host == "10.244.0.1"
    assert any("one is asked, not 2 more" in each.why for each in first.skipped)
    assert ids(estate("d")) == ids(first)


# --- many of something


def test_node_ports_are_asked_at_a_said_number_of_nodes() -> None:
    machines = [node(f"n{number:02}", f"10.0.0.{number}") for number in range(40)]
    spec = {"clusterIP": "10.96.0.1", "externalTrafficPolicy": "Local", "ports": [{"port": 80, "nodePort": 30080}]}
    local = behind("web", ("web-1", "10.244.0.1"))
    local["endpoints"][0]["nodeName"] = "n33"
    estate = estate_of(nodes=machines, services=[service(spec)], endpointslices=[local])
    asked = [each.host for each in estate.endpoints() if each.port == 30080]
    assert len(asked) == NODE_ADDRESSES
    assert asked[0] == "10.0.0.33"  # the only one that answers
    assert [each.why for each in estate.skipped if each.name.startswith("node ports")] == [
        "asked at 16 of 40 addresses of nodes each"
    ]


def test_node_ports_never_fill_the_grid() -> None:
    machines = [node(f"n{number:02}", f"10.0.0.{number}") for number in range(20)]
    many = [
        service({"ports": [{"port": 80, "nodePort": 30000 + number}]}, name=f"s{number}") for number in range(700)
    ]  # fmt: skip
    asked = [each for each in found(nodes=machines, services=many) if each.port >= 30000]
    assert 700 <= len(asked) <= workloads.NODE_PORT_ROWS


# --- pods


def test_ports_of_nodes_that_pods_take() -> None:
    exporter = pod(
        "node-exporter-x7", "10.0.0.11", {"containerPort": 9100, "name": "metrics"}, namespace="monitoring",
        hostNetwork=True, image="quay.io/prometheus/node-exporter:v1.9", metadata=owned("DaemonSet", "node-exporter"),
    )  # fmt: skip
    forwarded = pod("game-1", "10.244.0.9", {"containerPort": 7777, "hostPort": 7000, "protocol": "UDP"})
    bound = pod("one-1", "10.244.0.8", {"containerPort": 80, "hostPort": 8080, "hostIP": "10.0.0.11"})
    inside = pod("agent-1", "10.244.0.7", {"containerPort": 80, "hostPort": 8082, "hostIP": "127.0.0.1"})
    done = pod("done-1", "", {"containerPort": 80, "hostPort": 8081})
    done["status"]["phase"] = "Succeeded"
    machine = node("n1", "10.0.0.11", "External=203.0.113.11")
    estate = estate_of(nodes=[machine], pods=[exporter, forwarded, bound, inside, done])
    endpoints = by_id(estate.endpoints())
    assert endpoints["c/monitoring/DaemonSet/node-exporter@n1:9100/tcp"].component == "node-exporter"
    game = [endpoints[f"c/shop/Pod/game-1{at}:7000/udp"] for at in ("", "@203.0.113.11")]
    assert [(each.host, each.backend_port, each.component) for each in game] == [
        ("10.0.0.11", "7777", "host-port"),
        ("203.0.113.11", "7777", "host-port"),
    ]
    assert [each.name for each in game[0].backends] == ["game-1"]
    assert [each.host for each in endpoints.values() if each.port == 8080] == ["10.0.0.11"]
    assert not [each for each in endpoints.values() if each.port in {8081, 8082}]
    assert [each.name for each in estate.skipped if "loopback" in each.why] == ["Pod shop/agent-1:8082 at 127.0.0.1"]


def test_a_workload_keeps_its_name_when_its_pods_are_replaced() -> None:
    def ids(suffix: str) -> set[str]:
        labels = {"pod-template-hash": "6d4f9"}
        web = pod(f"web-6d4f9-{suffix}", "10.0.0.11", {"containerPort": 8080}, hostNetwork=True,
                  metadata=owned("ReplicaSet", "web-6d4f9", **labels))  # fmt: skip
        return {each.id for each in found(nodes=[node("n1", "10.0.0.11")], pods=[web])}

    assert "c/shop/Deployment/web@n1:8080/tcp" in ids("aaaaa")
    assert ids("aaaaa") == ids("bbbbb")


def test_what_a_pod_declares_on_its_node_is_the_nodes_component_not_another_row() -> None:
    proxy = pod("kube-proxy-1", "10.0.0.11", {"containerPort": 10256}, namespace="kube-system", hostNetwork=True,
                metadata=owned("DaemonSet", "kube-proxy"))  # fmt: skip
    endpoints = found(nodes=[node("n1", "10.0.0.11")], pods=[proxy])
    (row,) = [each for each in endpoints if each.port == 10256]
    assert (row.id, row.component) == ("c/Node/n1:10256/tcp", "kube-proxy-healthz")
    assert row.source == "Node n1; Pod kube-system/kube-proxy-1"


def test_an_add_on_is_known_by_what_it_is() -> None:
    """Dashboards and metrics, whatever their Services are called and whichever port these have."""
    dashboard = pod(
        "kd-1", "10.244.0.5", {"containerPort": 8443}, image="docker.io/kubernetesui/dashboard:v2.7.0@sha256:0"
    )
    renamed = service({"clusterIP": "10.96.0.9", "ports": [{"port": 9999, "targetPort": 8443}]}, name="admin-ui")
    by_label = service({"clusterIP": "10.96.0.8", "ports": [{"port": 9090}]}, name="prom")
    by_label["metadata"]["labels"] = {"app.kubernetes.io/name": "prometheus"}
    own = owned("ReplicaSet", "ksm-55", **{"pod-template-hash": "55"})
    image = "x/kube-state-metrics:v2"
    exporter = pod("k-1", "10.244.0.6", {"containerPort": 8080}, {"containerPort": 1234}, image=image, metadata=own)
    endpoints = by_id(
        found(
            services=[renamed, by_label],
            pods=[dashboard, exporter],
            endpointslices=[behind("admin-ui", ("kd-1", "10.244.0.5"), port=8443)],
        )
    )
    ui = endpoints["c/shop/Service/admin-ui:9999/tcp"]
    assert (ui.component, ui.conversation.tls) == ("kubernetes-dashboard", TlsMode.ON)
    assert endpoints["c/shop/Service/prom:9090/tcp"].component == "prometheus"
    # No Service leads to it: one pod stands for its Deployment, with the port that the catalogue knows.
    assert endpoints["c/shop/Deployment/ksm:8080/tcp"].scope is Scope.CLUSTER
    assert not [each for each in endpoints if ":1234/" in each or "Pod/kd-1" in each]


# --- ways in


def ingress(name: str, hosts: list[str], addresses: list[str], tls: list[str]) -> Raw:
    return {
        **named(name, "shop"),
        "spec": {"rules": [{"host": host} for host in hosts], "tls": [{"hosts": tls}] if tls else []},
        "status": {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]}},
    }


def test_an_ingress_is_asked_at_its_address_or_by_its_names() -> None:
    controller = service({"type": "LoadBalancer", "clusterIP": "10.96.0.2", "ports": [{"port": 443}]},
                         {"loadBalancer": {"ingress": [{"ip": "198.51.100.9"}]}}, name="nginx")  # fmt: skip
    many = [ingress(f"i{number}", ["a.example.org"], ["198.51.100.9"], ["a.example.org"]) for number in range(9)]
    nowhere = ingress("later", ["*.example.org", "b.example.org"], [], [])
    empty = ingress("empty", ["*.example.org"], [], [])
    estate = estate_of(services=[controller], ingresses=[*many, nowhere, empty])
    endpoints = by_id(estate.endpoints())
    # The balancer's port 443 is the controller's Service already: one row, which names all it is.
    shared = endpoints["c/shop/Service/nginx@198.51.100.9:443/tcp"]
    assert shared.source == "Service shop/nginx; Ingress shop/i0; Ingress shop/i1; and 7 more"
    assert endpoints["c/shop/Ingress/i0@198.51.100.9:80/tcp"].component == "ingress"
    assert endpoints["c/shop/Ingress/later@b.example.org:80/tcp"].scope is Scope.GLOBAL
    assert len([each for each in endpoints.values() if each.component == "ingress"]) == 2
    assert any(each.name == "Ingress shop/empty" for each in estate.skipped)


def test_webhooks_and_aggregated_apis_are_known_as_such() -> None:
    def hook(name: str, **client: Any) -> Raw:
        return {"name": name, "clientConfig": client}

    hooks = [
        hook("a", service={"namespace": "shop", "name": "guard", "port": 8443}),
        hook("b", service={"namespace": "shop", "name": "missing"}),
        hook("c", url="https://hooks.example.org/x"),
        hook("d", url="https://127.0.0.1:9/x"),
    ]
    called = [
        service({"clusterIP": "10.96.0.3", "ports": [{"port": 8443}, {"port": 80}]}, name="guard"),
        service({"clusterIP": "10.96.0.4", "ports": [{"port": 443}, {"port": 80}]}, name="metrics"),
    ]
    api = {**named("v1.x"), "spec": {"service": {"namespace": "shop", "name": "metrics"}}}
    estate = estate_of(
        services=called,
        apiservices=[api, named("v1.")],
        mutatingwebhookconfigurations=[{**named("m"), "webhooks": hooks}],
    )
    endpoints = by_id(estate.endpoints())
    guard = endpoints["c/shop/Service/guard:8443/tcp"]
    assert (guard.component, guard.conversation) == ("admission-webhook", Conversation(tls=TlsMode.ON))
    assert endpoints["c/shop/Service/guard:80/tcp"].component == "service"
    assert endpoints["c/shop/Service/metrics:443/tcp"].component == "aggregated-api"
    assert endpoints["c/MutatingWebhookConfiguration/m/c:443/tcp"].host == "hooks.example.org"
    told = {each.name.rpartition("/")[2] for each in estate.skipped if each.name.startswith("Mutating")}
    assert told == {"b", "d"}
    assert [each.name for each in estate.inventory().aggregated] == ["v1.x"]


def test_the_admission_port_of_ingress_nginx_is_not_its_front_door() -> None:
    controller = pod("c-1", "10.244.0.5", image="registry.k8s.io/ingress-nginx/controller:v1.11.4")
    listed = [
        service({"clusterIP": "10.96.0.3", "ports": [{"port": 443, "targetPort": "https"}]}, name="front"),
        service({"clusterIP": "10.96.0.4", "ports": [{"port": 443, "targetPort": "webhook"}]}, name="admission"),
    ]
    slices = [behind("front", ("c-1", "10.244.0.5"), port=443), behind("admission", ("c-1", "10.244.0.5"), port=8443)]
    hooks = [{"name": "v", "clientConfig": {"service": {"namespace": "shop", "name": "admission"}}}]
    endpoints = by_id(
        found(services=listed, pods=[controller], endpointslices=slices,
              validatingwebhookconfigurations=[{**named("nginx"), "webhooks": hooks}])
    )  # fmt: skip
    assert endpoints["c/shop/Service/front:443/tcp"].component == "service"
    admission = endpoints["c/shop/Service/admission:443/tcp"]
    assert (admission.component, admission.conversation.requests) == ("ingress-nginx-admission", ())


# --- state


def test_a_change_that_concerns_nobody_is_no_change() -> None:
    estate = estate_of(CONTEXT, pods=[pod("a", "10.244.0.1")])
    before = estate.endpoints()
    (record,) = estate.records("pods")
    assert estate.put("pods", record) is False
    assert estate.replace("pods", [record]) is False
    assert estate.endpoints() is before
    assert estate.drop("pods", ("shop", "nobody")) is False
    assert estate.drop("pods", ("shop", "a")) is True
    assert estate.inventory().pods == ()
    assert estate.put("pods", record) is True
    assert estate.inventory().pods == (record,)


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
