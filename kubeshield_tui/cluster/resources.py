"""Nodes, namespaces, pods and policies: from raw JSON to slim records. Nothing here raises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from kubeshield_tui.cluster.raw import (
    Raw,
    addresses,
    as_dict,
    as_list,
    labels,
    labels_of,
    names,
    number,
    objects,
    protocol,
    text,
)
from kubeshield_tui.model.cluster import (
    ContainerPort,
    NamespaceRecord,
    NodeRecord,
    Owner,
    PodRecord,
    PolicyRecord,
)
from kubeshield_tui.model.text import printable

SPEC_LIMIT = 20_000
DOCUMENT_LIMIT = 64_000
"""Characters of a policy that is evaluated: what it says is unknown beyond that."""
IMAGE_LIMIT = 300
ROLE_PREFIX = "node-role.kubernetes.io/"
ADDRESS_TYPES = ("InternalIP", "ExternalIP")
"""Addresses of a node that are asked; the first is the one that the cluster itself uses."""
KUBELET_PORT = 10250


def node_record(raw: Raw, cluster: str) -> NodeRecord | None:
    """A node, None without a name."""
    _, name = names(raw)
    if not name:
        return None
    spec, status = as_dict(raw.get("spec")), as_dict(raw.get("status"))
    endpoint = as_dict(as_dict(status.get("daemonEndpoints")).get("kubeletEndpoint"))
    system = as_dict(status.get("nodeInfo"))
    listed = objects(status.get("addresses"))
    own = labels_of(raw)
    return NodeRecord(
        cluster=cluster,
        name=name,
        addresses=addresses(
            item.get("address") for kind in ADDRESS_TYPES for item in listed if item.get("type") == kind
        ),
        kubelet_port=number(endpoint.get("Port"), KUBELET_PORT) or KUBELET_PORT,
        labels=own,
        roles=tuple(key.removeprefix(ROLE_PREFIX) for key, _ in own if key.startswith(ROLE_PREFIX)),
        pod_ranges=addresses([spec.get("podCIDR"), *as_list(spec.get("podCIDRs"))]),
        provider_id=text(spec.get("providerID"), IMAGE_LIMIT),
        kubelet_version=text(system.get("kubeletVersion"), 64),
        proxy_version=text(system.get("kubeProxyVersion"), 64),
        runtime=text(system.get("containerRuntimeVersion"), 64),
        os_image=text(system.get("osImage"), 128),
        kernel=text(system.get("kernelVersion"), 128),
    )


def namespace_record(raw: Raw, cluster: str) -> NamespaceRecord | None:
    """A namespace, None without a name."""
    _, name = names(raw)
    if not name:
        return None
    uid = text(as_dict(raw.get("metadata")).get("uid"), 64)
    return NamespaceRecord(cluster=cluster, name=name, labels=labels_of(raw), uid=uid)


def pod_record(raw: Raw, cluster: str) -> PodRecord | None:
    """A pod, None without a name. Finished pods keep no address: it may belong to another by now."""
    namespace, name = names(raw)
    if not name:
        return None
    spec, status = as_dict(raw.get("spec")), as_dict(raw.get("status"))
    phase = text(status.get("phase"), 32)
    listed = [item.get("ip") for item in objects(status.get("podIPs"))]
    hosts = [item.get("ip") for item in objects(status.get("hostIPs"))]
    sidecars = [item for item in objects(spec.get("initContainers")) if item.get("restartPolicy") == "Always"]
    containers = objects(spec.get("containers"))
    images = (text(item.get("image"), IMAGE_LIMIT) for item in (*containers, *sidecars))
    return PodRecord(
        cluster=cluster,
        namespace=namespace,
        name=name,
        labels=labels_of(raw),
        addresses=() if phase in {"Succeeded", "Failed"} else addresses([status.get("podIP"), *listed]),
        node=text(spec.get("nodeName")),
        node_addresses=addresses([status.get("hostIP"), *hosts]),
        phase=phase,
        host_network=spec.get("hostNetwork") is True,
        ports=(*_container_ports(containers, sidecar=False), *_container_ports(sidecars, sidecar=True)),
        images=tuple(dict.fromkeys(filter(None, images))),
        service_account=text(spec.get("serviceAccountName")),
        owner=_owner(raw),
    )


def _container_ports(containers: list[Raw], *, sidecar: bool) -> Iterator[ContainerPort]:
    for container in containers:
        for port in objects(container.get("ports")):
            yield ContainerPort(
                port=number(port.get("containerPort")),
                name=text(port.get("name"), 15),
                protocol=protocol(port.get("protocol")),
                host_port=number(port.get("hostPort")),
                host_ip=text(port.get("hostIP"), 64),
                sidecar=sidecar,
            )


def _owner(raw: Raw) -> Owner | None:
    for reference in objects(as_dict(raw.get("metadata")).get("ownerReferences")):
        if reference.get("controller") is True:
            kind, name = text(reference.get("kind"), 63), text(reference.get("name"))
            return Owner(kind=kind, name=name) if kind and name else None
    return None


def policy_record(
    raw: Raw, cluster: str, *, api_version: str = "networking.k8s.io/v1", kind: str = "NetworkPolicy"
) -> PolicyRecord | None:
    """A policy of any kind, None without a name. Items of lists do not name their kind themselves."""
    namespace, name = names(raw)
    if not name:
        return None
    spec = as_dict(raw.get("spec"))
    selector = as_dict(spec.get("podSelector"))
    # The API server has defaulted them; an old record without them is read as the defaulting rule has it.
    types = [text(item, 16) for item in as_list(spec.get("policyTypes"))]
    directions = types or ["Ingress", *(["Egress"] if as_list(spec.get("egress")) else [])]
    return PolicyRecord(
        cluster=cluster,
        namespace=namespace,
        name=name,
        api_version=api_version,
        kind=kind,
        directions=tuple(directions),
        match_labels=labels(selector.get("matchLabels")),
        match_expressions=tuple(
            (
                text(item.get("key")),
                text(item.get("operator"), 32),
                tuple(text(value) for value in as_list(item.get("values"))),
            )
            for item in objects(selector.get("matchExpressions"))
        ),
        spec=_yaml(spec),
        document=_document(raw, api_version, kind),
        changed_at=_changed_at(as_dict(raw.get("metadata"))),
    )


def _document(raw: Raw, api_version: str, kind: str) -> str:
    metadata = as_dict(raw.get("metadata"))
    kept: Raw = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {field: metadata[field] for field in ("name", "namespace") if field in metadata},
        **{field: raw[field] for field in ("spec", "specs") if field in raw},
    }
    try:
        told = json.dumps(kept, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return ""
    return told if len(told) <= DOCUMENT_LIMIT else ""


def _changed_at(metadata: Raw) -> float:
    """The newest of the times that a server tells of an object, without those of its status."""
    managed = [item for item in objects(metadata.get("managedFields")) if item.get("subresource") != "status"]
    return max(map(_seconds, (metadata.get("creationTimestamp"), *(item.get("time") for item in managed))), default=0.0)


def _seconds(time: object) -> float:
    try:
        return datetime.fromisoformat(time).timestamp() if isinstance(time, str) else 0.0
    except (ValueError, OverflowError, OSError):
        return 0.0


def _yaml(spec: Raw) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # in Python a thousand policies take more than a second
    try:
        told = yaml.dump(spec, Dumper=dumper, sort_keys=False, allow_unicode=True)
    except (yaml.YAMLError, RecursionError, UnicodeError):
        return ""
    return printable(told, SPEC_LIMIT, lines=True)
