"""What kind of cluster it is: each answer with its evidence, and none where nothing tells."""

from __future__ import annotations

import pytest

from kubeshield_tui.discovery.known import is_of, repository
from kubeshield_tui.discovery.recognise import AGENTS, named
from kubeshield_tui.model.cluster import Recognition
from tests.unit.raw_objects import Raw, estate_of, node, owned, pod


def recognised(version: str = "", **raws: list[Raw]) -> tuple[Recognition, ...]:
    return estate_of(version=version, **raws).inventory().cluster.recognised


def agent(image: str, name: str = "agent", label: str = "", kind: str = "DaemonSet") -> Raw:
    labels = {"k8s-app": label} if label else {}
    return pod(f"{name}-x", "10.0.0.1", namespace="kube-system", image=image, metadata=owned(kind, name, **labels))


@pytest.mark.parametrize(
    ("provider_id", "provider"),
    [
        ("aws:///us-east-1a/i-0123", "aws"),
        ("gce://project/zone/name", "gcp"),
        ("azure:///subscriptions/x", "azure"),
        ("hcloud://123", "hetzner"),
        ("digitalocean://123", "digitalocean"),
        ("openstack:///x", "openstack"),
        ("cn-hangzhou.i-bp1abc", "alibaba"),
        ("ocid1.instance.oc1.iad.x", "oci"),
        ("oci://ocid1.instance", "oci"),
        ("kind://docker/kind/n1", None),
        ("myown://x", None),
        ("aws", None),
        ("", None),
    ],
)
def test_the_provider_by_the_ids_of_nodes(provider_id: str, provider: str | None) -> None:
    found = recognised(nodes=[node("n1", "10.0.0.1", providerID=provider_id)])
    assert [each.name for each in found if each.what == "provider"] == [provider] * (provider is not None)
    assert all(each.evidence == f"Node n1 spec.providerID {provider_id}" for each in found)


@pytest.mark.parametrize(
    ("version", "labels", "expected"),
    [
        ("v1.29.3-eks-adc7111", {}, {("distribution", "eks")}),
        ("v1.30.1-gke.100", {}, {("distribution", "gke")}),
        ("v1.31.0+k3s1", {}, {("distribution", "k3s")}),
        ("v1.31.0+rke2r1", {}, {("distribution", "rke2")}),
        ("v1.33.4", {}, set()),
        ("", {"eks.amazonaws.com/nodegroup": "a"}, {("distribution", "eks"), ("provider", "aws")}),
        ("", {"kubernetes.azure.com/cluster": "a"}, {("distribution", "aks"), ("provider", "azure")}),
        ("", {"node.openshift.io/os_id": "rhcos"}, {("distribution", "openshift")}),
        ("", {"cloud.google.com/gke-nodepool-like": "a"}, set()),
    ],
)
def test_the_distribution_by_version_and_labels(version: str, labels: Raw, expected: set[tuple[str, str]]) -> None:
    found = recognised(version, nodes=[node("n1", "10.0.0.1", labels=labels)])
    assert {(each.what, each.name) for each in found if each.what != "version"} == expected
    assert all(version in each.evidence or "label" in each.evidence for each in found if each.what != "version")


@pytest.mark.parametrize(
    ("image", "label", "expected"),
    [
        ("quay.io/cilium/cilium:v1.16.0@sha256:0", "", {("cni", "cilium"), ("policy-engine", "cilium")}),
        ("mirror:5000/mirrored-calico-node:v3", "calico-node", {("cni", "calico"), ("policy-engine", "calico")}),
        ("docker.io/flannel/flannel:v0.25", "", {("cni", "flannel")}),
        ("docker.io/kindest/kindnetd:v20240813-c6f155d6", "", {("cni", "kindnet"), ("policy-engine", "kindnet")}),
        ("docker.io/kindest/kindnetd:v20230511-dc714da8", "", {("cni", "kindnet")}),
        ("docker.io/kindest/kindnetd:latest", "", {("cni", "kindnet")}),
        ("602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon-k8s-cni:v1.18", "aws-node", {("cni", "aws-vpc-cni")}),
        ("registry.k8s.io/kube-proxy:v1.30", "kube-proxy", {("service-proxy", "kube-proxy")}),
        ("registry.k8s.io/kube-network-policies:v1", "", {("policy-engine", "kube-network-policies")}),
        ("example.org/not-cilium-at-all:1", "", set()),
        ("", "", set()),
    ],
)
def test_network_agents_by_their_images(image: str, label: str, expected: set[tuple[str, str]]) -> None:
    found = recognised(pods=[agent(image, label=label)])
    assert {(each.what, each.name) for each in found} == expected
    assert all(each.evidence.startswith("DaemonSet kube-system/agent ") for each in found)
    # An ordinary pod of the same image, a build or a debug session, says nothing of the cluster.
    assert not recognised(pods=[agent(image, label=label, kind="ReplicaSet")])


def test_an_engine_beside_the_network_is_named_beside_it() -> None:
    found = recognised(pods=[agent("flannel/flannel:1", "a"), agent("cloudnativelabs/kube-router:1", "b")])
    assert named(found, "cni") == {"flannel", "kube-router"}
    assert named(found, "policy-engine") == {"kube-router"}


def test_versions_that_differ_are_told() -> None:
    machines = [node("n1", "10.0.0.1"), node("n2", "10.0.0.2")]
    for machine, version in zip(machines, ("v1.30.0", "v1.29.1"), strict=True):
        machine["status"]["nodeInfo"] = {"kubeletVersion": version}
    (found,) = recognised("v1.30.0", nodes=machines)
    assert (found.what, found.name) == ("version", "v1.30.0")
    assert found.evidence == "GET /version; kubelets 1 x v1.29.1, 1 x v1.30.0"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("coredns", "coredns"),
        ("registry.k8s.io/coredns/coredns:v1.11.1", "registry.k8s.io/coredns/coredns"),
        ("localhost:5000/a/b", "localhost:5000/a/b"),
        ("localhost:5000/a/b:1@sha256:00", "localhost:5000/a/b"),
        ("", ""),
        (":", ""),
    ],
)
def test_the_repository_of_an_image(image: str, expected: str) -> None:
    assert repository(image) == expected
    assert not is_of(image, ("dns",))  # whole path elements only


def test_every_agent_has_something_to_be_known_by() -> None:
    assert len({each.name for each in AGENTS}) == len(AGENTS)
    assert all(each.images and (each.networks or each.enforces) for each in AGENTS)
