"""From an object of a manifest to the records that an evaluation needs, checked as the API server checks them.

Only the fields that matter to policies are looked at. Raises FieldError for those that an API server would refuse.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, NamedTuple

from msgspec.structs import replace

from kubeshield_tui.evidence.netpol.fields import Cursor, FieldError
from kubeshield_tui.evidence.netpol.parse_parts import named
from kubeshield_tui.evidence.netpol.party import TRANSPORTS, TemplatePod
from kubeshield_tui.evidence.netpol.policy import ObjectKey
from kubeshield_tui.evidence.netpol.world import NAME_LABEL
from kubeshield_tui.model.cluster import ContainerPort, Labels, NamespaceRecord, NodeRecord, PodRecord
from kubeshield_tui.model.text import printable

CLUSTER = "manifests"
"""Cluster of the records that are made of files."""
NODE_ADDRESSES = frozenset({"InternalIP", "ExternalIP"})
PHASES = frozenset({"Pending", "Running", "Succeeded", "Failed", "Unknown"})


class Workload(NamedTuple):
    """How a kind of workload makes its pods."""

    template: tuple[str, ...]
    """Path of the pod template."""
    open_labels: tuple[str, ...] = ()
    """Labels that its controller adds, with values known at run time only."""
    pods_field: str = ""
    """Field of spec that says how many pods there are; empty: as many as there are nodes."""


_JOB_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-completion-index")
_JOB_NAMES = ("job-name", "batch.kubernetes.io/job-name")
_TEMPLATE = ("spec", "template")
WORKLOADS = {
    "Deployment": Workload(_TEMPLATE, ("pod-template-hash",), "replicas"),
    "ReplicaSet": Workload(_TEMPLATE, (), "replicas"),
    "ReplicationController": Workload(_TEMPLATE, (), "replicas"),
    "StatefulSet": Workload(
        _TEMPLATE,
        ("controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"),
        "replicas",
    ),
    "DaemonSet": Workload(_TEMPLATE, ("controller-revision-hash", "pod-template-generation")),
    "Job": Workload(_TEMPLATE, _JOB_LABELS, "parallelism"),
    "CronJob": Workload(("spec", "jobTemplate", "spec", "template"), (*_JOB_LABELS, *_JOB_NAMES), "parallelism"),
}
"""Kinds that make pods of a template."""


def namespace_of(whole: Cursor) -> NamespaceRecord:
    """A namespace, with the label that the control plane gives it."""
    key = named(whole, "Namespace", namespaced=False)
    labels = dict(label_pairs(whole.get("metadata").get("labels"))) | {NAME_LABEL: key.name}
    return NamespaceRecord(cluster=CLUSTER, name=key.name, labels=tuple(sorted(labels.items())))


def node_of(whole: Cursor) -> NodeRecord:
    """A node."""
    key = named(whole, "Node", namespaced=False)
    listed = [
        address(item.get("address"))
        for item in whole.get("status").get("addresses").items()
        if item.get("type").value in NODE_ADDRESSES
    ]
    labels = label_pairs(whole.get("metadata").get("labels"))
    return NodeRecord(cluster=CLUSTER, name=key.name, addresses=tuple(dict.fromkeys(listed)), labels=labels)


def pod_of(whole: Cursor) -> PodRecord:
    """A pod."""
    key = named(whole, "Pod", namespaced=True)
    status = whole.get("status")
    listed = [status.get("podIP"), *(item.get("ip") for item in status.get("podIPs").items())]
    phase = status.get("phase")
    return replace(
        _pod(key, whole),
        addresses=tuple(dict.fromkeys(address(item) for item in listed if not item.is_empty)),
        phase="" if phase.is_empty else phase.one_of(PHASES),
    )


def pods_of_workload(whole: Cursor, kind: str) -> TemplatePod:
    """The pods of a workload, under its name."""
    workload = WORKLOADS[kind]
    key = named(whole, kind, namespaced=True)
    template = whole
    for name in workload.template:
        template = template.get(name)
    record = _pod(key, template)
    if kind == "Job":
        labels = dict(record.labels) | dict.fromkeys(_JOB_NAMES, key.name)
        record = replace(record, labels=tuple(sorted(labels.items())))
    return TemplatePod(pod=record, open_labels=workload.open_labels, is_several=_is_several(whole, kind, workload))


def _is_several(whole: Cursor, kind: str, workload: Workload) -> bool:
    if not workload.pods_field:
        return True
    spec = whole.get("spec") if kind != "CronJob" else whole.get("spec").get("jobTemplate").get("spec")
    count = spec.get(workload.pods_field)
    return not count.is_absent and count.number(0, 10_000_000) > 1


def _pod(key: ObjectKey, whole: Cursor) -> PodRecord:
    """What a pod and a pod template have in common."""
    spec = whole.get("spec")
    host_network = spec.get("hostNetwork")
    if not isinstance(host_network.value, bool | None):
        raise host_network.refuse("expected true or false")
    node = spec.get("nodeName")
    return PodRecord(
        cluster=CLUSTER,
        namespace=key.namespace,
        name=key.name,
        labels=label_pairs(whole.get("metadata").get("labels")),
        node="" if node.is_empty else node.object_name(),
        host_network=host_network.value is True,
        ports=tuple(_ports(spec)),
    )


def _ports(spec: Cursor) -> Iterator[ContainerPort]:
    containers = [(item, False) for item in spec.get("containers").items()]
    sidecars = [
        (item, True) for item in spec.get("initContainers").items() if item.get("restartPolicy").value == "Always"
    ]
    for container, sidecar in (*containers, *sidecars):
        for port in container.get("ports").items():
            name, protocol, host_port = port.get("name"), port.get("protocol"), port.get("hostPort")
            yield ContainerPort(
                port=port.get("containerPort").number(1, 65535),
                name="" if name.is_empty else printable(name.text(), 63),
                protocol="TCP" if protocol.is_empty else protocol.one_of(TRANSPORTS),
                host_port=0 if host_port.is_absent else host_port.number(0, 65535),
                host_ip=address(port.get("hostIP")) if not port.get("hostIP").is_empty else "",
                sidecar=sidecar,
            )


def label_pairs(at: Cursor) -> Labels:
    """Labels in the order of their keys."""
    return tuple(sorted(at.labels().items()))


def owner_of(value: dict[str, Any], key: ObjectKey) -> ObjectKey | None:
    """The controller of an object, None where it has none or it can't be read."""
    try:
        for item in Cursor(value).get("metadata").get("ownerReferences").items():
            if item.get("controller").value is True:
                return ObjectKey(
                    kind=item.get("kind").text(), namespace=key.namespace, name=item.get("name").object_name()
                )
    except FieldError:
        return None
    return None


def address(at: Cursor) -> str:
    """An IP address."""
    try:
        return str(ip_address(at.text()))
    except ValueError:
        raise at.refuse(f"{printable(at.value, 60)!r} is no IP address") from None
