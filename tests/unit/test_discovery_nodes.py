"""The control plane, nodes and clouds: where their components are asked, and where not."""

from __future__ import annotations

from typing import Any

import pytest

from kubeshield_tui.cluster.kubeconfig import ContextEntry
from kubeshield_tui.discovery import catalogue, control_plane, nodes
from kubeshield_tui.model.endpoint import Scope
from tests.unit.raw_objects import Raw, behind, estate_of, found, node, owned, pod, rows, service


def test_the_apis_own_service_is_the_control_plane_not_a_service() -> None:
    own = service({"clusterIP": "10.96.0.1", "ports": [{"port": 443}]}, name="kubernetes", namespace="default")
    slices = behind("kubernetes", ("", "10.0.0.11"), port=6443, namespace="default")
    endpoints = found(services=[own], endpointslices=[slices])
    assert rows(endpoints, "kube-apiserver") == [
        ("203.0.113.10", 6443, Scope.GLOBAL),
        ("10.96.0.1", 443, Scope.CLUSTER),
        ("10.0.0.11", 6443, Scope.GLOBAL),
    ]
    assert not [each for each in endpoints if each.component == catalogue.SERVICE]


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
        ("https://a b", "", ("", 443)),
        ("", "", ("", 443)),
    ],
)
def test_the_address_that_a_kubeconfig_names(server: str, shown: str, expected: tuple[str, int]) -> None:
    context = ContextEntry(name="c", cluster="c", server=server, shown_address=shown)
    assert control_plane.shown_server(context) == expected
    assert len(rows(estate_of(context).endpoints(), "kube-apiserver")) == bool(expected[0])


def test_a_node_is_asked_at_all_its_addresses() -> None:
    machine = node("n1", "10.0.0.11", "fd00::11", "External=203.0.113.11")
    machine["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 10999}}
    endpoints = found(nodes=[machine])
    assert rows(endpoints, "kubelet") == [
        (host, 10999, Scope.GLOBAL) for host in ("10.0.0.11", "fd00::11", "203.0.113.11")
    ]
    assert [each.id for each in endpoints if each.component == "kubelet"] == [
        "c/Node/n1:10999/tcp",
        "c/Node/n1@[fd00::11]:10999/tcp",
        "c/Node/n1@203.0.113.11:10999/tcp",
    ]
    assert {each.component for each in endpoints if each.object == "Node/n1"} >= {
        "kubelet-read-only",
        "kubelet-healthz",
    }
    assert not rows(endpoints, "etcd")  # no sign of a control plane


def static(name: str, component: str, address: str = "10.0.0.11", **more: Any) -> Raw:
    labels = {"component": component, "tier": "control-plane"}
    more = {"hostNetwork": True, **more}
    return pod(name, address, namespace="kube-system", metadata=owned("Node", "n1", **labels), **more)


@pytest.mark.parametrize("sign", ["role", "pod", "API server"])
def test_the_control_plane_is_where_roles_or_its_pods_say(sign: str) -> None:
    labels = {"node-role.kubernetes.io/control-plane": ""} if sign == "role" else {}
    machines = [node("n1", "10.0.0.11", labels=labels), node("n2", "10.0.0.12")]
    endpoints = found(
        nodes=machines,
        pods=[static("etcd-n1", "etcd")] if sign == "pod" else [],
        endpointslices=[behind("kubernetes", ("", "10.0.0.11"), namespace="default")] if sign == "API server" else [],
    )
    for component in ("etcd", "etcd-peer", "kube-scheduler", "kube-controller-manager"):
        assert {host for host, _, _ in rows(endpoints, component)} == {"10.0.0.11"}


def test_a_control_plane_in_pods_is_asked_where_they_are() -> None:
    hosted = static("etcd-0", "etcd", "10.244.0.7", hostNetwork=False)
    hidden = static("kube-scheduler-n9", "kube-scheduler", "10.0.0.19", nodeName="n9")
    endpoints = found(pods=[hosted, hidden])  # nodes may not be listed
    assert rows(endpoints, "etcd") == [("10.244.0.7", 2379, Scope.CLUSTER)]
    assert rows(endpoints, "kube-scheduler") == [("10.0.0.19", 10259, Scope.GLOBAL)]
    assert not rows(endpoints, "kube-controller-manager")


@pytest.mark.parametrize(
    ("version", "there"),
    [
        ("v1.22.17", {"kube-scheduler-insecure", "kube-controller-manager-insecure", "kube-apiserver-insecure"}),
        ("v1.23.0", {"kube-controller-manager-insecure", "kube-apiserver-insecure"}),
        ("v1.24.0-rc.1", set()),
        ("v2.0", set()),
        ("", set(control_plane.GONE_SINCE)),
    ],
)
def test_ports_that_a_version_no_longer_has_are_not_asked(version: str, there: set[str]) -> None:
    slices = behind("kubernetes", ("", "10.0.0.11"), port=6443, namespace="default")
    machine = node("n1", "10.0.0.11", labels={"node-role.kubernetes.io/master": ""})
    endpoints = estate_of(version=version, nodes=[machine], endpointslices=[slices]).endpoints()
    assert {each.component for each in endpoints if each.component in control_plane.GONE_SINCE} == there


@pytest.mark.parametrize(("provider_id", "there"), [("", False), ("kind://podman/k/n1", False), ("aws:///a/i-1", True)])
def test_a_cloud_controller_is_asked_where_there_is_a_cloud(provider_id: str, there: bool) -> None:
    machine = node("n1", "10.0.0.11", labels={"node-role.kubernetes.io/master": ""}, providerID=provider_id)
    assert bool(rows(found(nodes=[machine]), "cloud-controller-manager")) is there


def test_many_nodes_are_asked_for_what_matters_and_the_rest_is_said() -> None:
    estate = estate_of(nodes=[node(f"n{number:03}", f"10.0.0.{number}") for number in range(nodes.NODES_WHOLE + 7)])
    endpoints = estate.endpoints()
    assert len(rows(endpoints, "kubelet")) == len(rows(endpoints, "kubelet-read-only")) == nodes.NODES_WHOLE + 7
    assert len(rows(endpoints, "kube-proxy-healthz")) == nodes.NODES_WHOLE
    assert [each.name for each in estate.skipped if "kube-proxy-healthz" in each.why] == ["7 of 57 nodes"]


@pytest.mark.parametrize(("runtime", "asked"), [("containerd://2.0", False), ("docker://20.10", True), ("", True)])
def test_docker_behind_tls_is_asked_where_docker_runs(runtime: str, asked: bool) -> None:
    machine = node("n1", "10.0.0.11")
    machine["status"]["nodeInfo"] = {"containerRuntimeVersion": runtime}
    endpoints = found(nodes=[machine])
    assert bool(rows(endpoints, "docker-api-tls")) is asked
    assert rows(endpoints, "docker-api")


def test_metadata_of_the_cloud_that_it_is_or_of_all() -> None:
    def metadata(*machines: Raw) -> set[str]:
        return {each.component for each in found(nodes=list(machines)) if each.group == catalogue.METADATA_GROUP}

    all_rows = {row.component: row for row in catalogue.builtin().at(catalogue.Where.METADATA)}
    assert metadata() == set(all_rows)  # no node may be read: it may be any cloud
    usual = {"cloud-metadata", "aws-imds-token", "gcp-metadata", "azure-imds"}  # one open address is not eight clouds
    assert {all_rows[name].address for name in usual} == {catalogue.METADATA_ADDRESS}
    assert metadata(node("n1", "10.0.0.1", providerID="of-no-cloud-that-we-know")) == usual
    for provider, provider_id in (("aws", "aws:///a/i-1"), ("gcp", "gce://p/z/n")):
        expected = {name for name, row in all_rows.items() if row.provider in {"", provider}}
        assert metadata(node("n1", "10.0.0.1", "fd00::1", providerID=provider_id)) == expected
        without_ipv6 = {name for name in expected if ":" not in all_rows[name].address}
        assert metadata(node("n1", "10.0.0.1", providerID=provider_id)) == without_ipv6 < expected
    assert {each.scope for each in found() if each.group == catalogue.METADATA_GROUP} == {Scope.NODE}


def test_where_nodes_may_not_be_listed_their_pods_tell_of_them() -> None:
    told = pod("web-1", "10.244.0.5")
    told["status"] |= {"hostIP": "10.0.0.11", "hostIPs": [{"ip": "10.0.0.11"}, {"ip": "fd00::11"}]}
    served = service({"clusterIP": "10.96.0.5", "ports": [{"port": 80, "nodePort": 30080}]})
    endpoints = found(pods=[told], services=[served])
    assert {host for host, _, _ in rows(endpoints, "kubelet")} == {"10.0.0.11", "fd00::11"}
    assert {each.host for each in endpoints if each.port == 30080} == {"10.0.0.11", "fd00::11"}
    # Which cloud it is in is as unknown as before.
    assert rows(endpoints, "alibaba-metadata")
    nothing = estate_of(services=[served])
    assert [each.why for each in nothing.skipped] == ["no address of a node is known"]
