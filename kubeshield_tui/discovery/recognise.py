"""What kind of cluster it is, each answer with its evidence. What nothing tells stays unsaid."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kubeshield_tui.discovery.known import is_of
from kubeshield_tui.model.cluster import Inventory, NodeRecord, PodRecord, Recognition

PROVIDER = "provider"
DISTRIBUTION = "distribution"
VERSION = "version"
CNI = "cni"
POLICY_ENGINE = "policy-engine"
SERVICE_PROXY = "service-proxy"

PROVIDER_IDS = {
    "aws": "aws",
    "azure": "azure",
    "gce": "gcp",
    "digitalocean": "digitalocean",
    "hcloud": "hetzner",
    "openstack": "openstack",
    "ibm": "ibm",
    "linode": "linode",
    "vultr": "vultr",
    "scaleway": "scaleway",
    "exoscale": "exoscale",
    "oci": "oci",
    "qcloud": "tencent",
    "alicloud": "alibaba",
    "huaweicloud": "huawei",
    "vsphere": "vsphere",
    "equinixmetal": "equinix",
}
"""Schemes of spec.providerID, which each cloud's controller manager sets."""
ALIBABA_ID = re.compile(r"[a-z]{2}-[a-z0-9-]+\.i-[a-z0-9]+")
"""Alibaba's has no scheme: REGION.INSTANCE."""


class Mark(NamedTuple):
    """A label of nodes that only one distribution sets."""

    label: str
    """A key, or the beginning of keys where it ends in `/`."""
    distribution: str
    provider: str = ""


MARKS = (
    Mark("eks.amazonaws.com/", "eks", "aws"),
    Mark("cloud.google.com/gke-nodepool", "gke", "gcp"),
    Mark("kubernetes.azure.com/", "aks", "azure"),
    Mark("doks.digitalocean.com/", "doks", "digitalocean"),
    Mark("lke.linode.com/", "lke", "linode"),
    Mark("vke.vultr.com/", "vke", "vultr"),
    Mark("k8s.scaleway.com/", "kapsule", "scaleway"),
    Mark("ibm-cloud.kubernetes.io/", "iks", "ibm"),
    Mark("alibabacloud.com/nodepool-id", "ack", "alibaba"),
    Mark("node.openshift.io/os_id", "openshift"),
    Mark("minikube.k8s.io/name", "minikube"),
    Mark("microk8s.io/cluster", "microk8s"),
)
VERSION_MARKS = {
    "-eks-": "eks",
    "-gke.": "gke",
    "+k3s": "k3s",
    "+rke2": "rke2",
    "+k0s": "k0s",
    "+vmware": "tanzu",
    "-aliyun": "ack",
    "-tke": "tke",
    "+IKS": "iks",
}
LOCAL_IDS = {"kind": "kind", "k3s": "k3s"}
"""Schemes of spec.providerID that name a distribution and no cloud."""


class Agent(NamedTuple):
    """A network agent that runs on every node."""

    name: str
    images: tuple[str, ...]
    labels: tuple[str, ...] = ()
    """Values of k8s-app, app, name or component of its DaemonSet, for mirrored images with other names."""
    networks: bool = True
    """It gives pods their network."""
    enforces: bool = False
    """It enforces NetworkPolicies unless it was told not to."""


AGENTS = (
    Agent("cilium", ("cilium/cilium", "cilium"), ("cilium",), enforces=True),
    Agent("calico", ("calico/node",), ("calico-node", "canal"), enforces=True),
    Agent("flannel", ("flannel", "flannel/flannel", "flannel-cni-plugin"), ("flannel", "kube-flannel")),
    Agent("antrea", ("antrea-agent-ubuntu", "antrea-agent-ubi", "antrea-ubuntu"), ("antrea-agent",), enforces=True),
    Agent("ovn-kubernetes", ("ovn-kube-u", "ovn-kube-f", "ovn-kube"), ("ovnkube-node",), enforces=True),
    Agent("kube-ovn", ("kube-ovn",), ("kube-ovn-cni",), enforces=True),
    Agent("weave", ("weave-kube",), ("weave-net",), enforces=True),
    Agent("kube-router", ("kube-router",), ("kube-router",), enforces=True),
    Agent("kindnet", ("kindnetd",), ("kindnet",)),
    Agent("aws-vpc-cni", ("amazon-k8s-cni",), ("aws-node",)),
    Agent("azure-cni", ("azure-cns",), ("azure-cns",)),
    Agent("azure-npm", ("azure-npm",), ("azure-npm",), networks=False, enforces=True),
    Agent(
        "kube-network-policies", ("kube-network-policies",), ("kube-network-policies",), networks=False, enforces=True
    ),
)
"""Sources: each project's manifests; which of them enforce: the CNI profile table of the policy documentation."""
KINDNET_ENFORCES_SINCE = 20240813
"""kindnetd before this image leaves policies alone."""
KUBE_PROXY = ("kube-proxy", "kube-proxy-amd64", "eks/kube-proxy", "hyperkube")
_AGENT_LABELS = ("k8s-app", "app.kubernetes.io/name", "app", "name", "component")
_KINDNET_DATE = re.compile(r":v(\d{8})")


def recognise(inventory: Inventory) -> tuple[Recognition, ...]:
    """Tell what a cluster is from what was read of it. Several of a kind are all named: clusters may span clouds."""
    found = (*_version(inventory), *_clouds(inventory), *_agents(inventory.pods))
    unique: dict[tuple[str, str], Recognition] = {}
    for each in found:
        unique.setdefault((each.what, each.name), each)
    return tuple(unique.values())


def named(recognised: Iterable[Recognition], what: str) -> frozenset[str]:
    """Names that a cluster was recognised by, for one question."""
    return frozenset(each.name for each in recognised if each.what == what)


def _version(inventory: Inventory) -> Iterator[Recognition]:
    version = inventory.cluster.version
    if version:
        kubelets = Counter(node.kubelet_version for node in inventory.nodes if node.kubelet_version)
        others = ", ".join(f"{count} x {each}" for each, count in sorted(kubelets.items()))
        yield Recognition(
            what=VERSION, name=version, evidence="GET /version" + (f"; kubelets {others}" if others else "")
        )
    for mark, distribution in VERSION_MARKS.items():
        if mark in version:
            yield Recognition(what=DISTRIBUTION, name=distribution, evidence=f"version {version}")


def _clouds(inventory: Inventory) -> Iterator[Recognition]:
    for node in inventory.nodes:
        yield from _cloud_of(node)


def _cloud_of(node: NodeRecord) -> Iterator[Recognition]:
    scheme, separator, _ = node.provider_id.partition("://")
    evidence = f"Node {node.name} spec.providerID {node.provider_id}"
    if separator and scheme in PROVIDER_IDS:
        yield Recognition(what=PROVIDER, name=PROVIDER_IDS[scheme], evidence=evidence)
    elif separator and scheme in LOCAL_IDS:
        yield Recognition(what=DISTRIBUTION, name=LOCAL_IDS[scheme], evidence=evidence)
    elif ALIBABA_ID.fullmatch(node.provider_id):
        yield Recognition(what=PROVIDER, name="alibaba", evidence=evidence)
    elif node.provider_id.startswith("ocid1.instance."):
        yield Recognition(what=PROVIDER, name="oci", evidence=evidence)
    for key, _ in node.labels:
        for mark in MARKS:
            if key == mark.label or (mark.label.endswith("/") and key.startswith(mark.label)):
                evidence = f"Node {node.name} label {key}"
                yield Recognition(what=DISTRIBUTION, name=mark.distribution, evidence=evidence)
                if mark.provider:
                    yield Recognition(what=PROVIDER, name=mark.provider, evidence=evidence)
    if node.os_image.startswith("Talos"):
        yield Recognition(what=DISTRIBUTION, name="talos", evidence=f"Node {node.name} osImage {node.os_image}")


def _agents(pods: Iterable[PodRecord]) -> Iterator[Recognition]:
    """Network agents: pods of a DaemonSet, or static ones, looked at once a DaemonSet."""
    seen: set[tuple[str, str, str]] = set()
    for pod in pods:
        if pod.owner is None or pod.owner.kind not in {"DaemonSet", "Node"}:
            continue
        key = (pod.namespace, pod.owner.kind, pod.owner.name if pod.owner.kind == "DaemonSet" else pod.name)
        if key not in seen:
            seen.add(key)
            yield from _agent_of(pod, f"{'DaemonSet' if pod.owner.kind == 'DaemonSet' else 'Pod'} {key[0]}/{key[2]}")


def _agent_of(pod: PodRecord, owner: str) -> Iterator[Recognition]:
    have = dict(pod.labels)
    words = {have[label] for label in _AGENT_LABELS if label in have}
    for image in pod.images:
        if is_of(image, KUBE_PROXY) and ("kube-proxy" in image or "kube-proxy" in words):
            yield Recognition(what=SERVICE_PROXY, name="kube-proxy", evidence=f"{owner} image {image}")
    for agent in AGENTS:
        image = next((image for image in pod.images if is_of(image, agent.images)), "")
        label = next((label for label in agent.labels if label in words), "")
        if not image and not label:
            continue
        evidence = f"{owner} " + (f"image {image}" if image else f"label {label}")
        if agent.networks:
            yield Recognition(what=CNI, name=agent.name, evidence=evidence)
        if agent.enforces or (agent.name == "kindnet" and _kindnet_enforces(image)):
            yield Recognition(what=POLICY_ENGINE, name=agent.name, evidence=evidence)


def _kindnet_enforces(image: str) -> bool:
    date = _KINDNET_DATE.search(image)
    return date is not None and int(date[1]) >= KINDNET_ENFORCES_SINCE
