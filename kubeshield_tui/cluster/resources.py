"""From raw JSON to slim records. The world's mess never raises here: what can't be read is left out or empty."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubeshield_tui.model.cluster import (
    Backend,
    BackendPort,
    BackendRecord,
    ContainerPort,
    Labels,
    NamespaceRecord,
    NodeRecord,
    PodRecord,
    PolicyRecord,
    ServicePort,
    ServiceRecord,
)
from kubeshield_tui.model.text import printable

NAME_LIMIT = 253
LABELS_KEPT = 100
SPEC_LIMIT = 20_000
ROLE_PREFIX = "node-role.kubernetes.io/"


def as_dict(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def _text(value: Any, limit: int = NAME_LIMIT) -> str:
    return printable(value, limit) if isinstance(value, str) else ""


def _number(value: Any, default: int = 0) -> int:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 65536
    return int(value) if good else default


def _labels(value: Any) -> Labels:
    pairs = sorted((str(key), item) for key, item in as_dict(value).items())
    return tuple((_text(key), _text(item)) for key, item in pairs[:LABELS_KEPT])


def _names(raw: dict[str, Any]) -> tuple[str, str]:
    metadata = as_dict(raw.get("metadata"))
    return _text(metadata.get("namespace")), _text(metadata.get("name"))


def _addresses(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for value in values if (text := _text(value, 64))))


def node_record(raw: dict[str, Any], cluster: str) -> NodeRecord | None:
    """A node, None without a name."""
    _, name = _names(raw)
    if not name:
        return None
    status = as_dict(raw.get("status"))
    endpoint = as_dict(as_dict(status.get("daemonEndpoints")).get("kubeletEndpoint"))
    labels = _labels(as_dict(raw.get("metadata")).get("labels"))
    listed = [as_dict(item) for item in as_list(status.get("addresses"))]
    return NodeRecord(
        cluster=cluster,
        name=name,
        addresses=_addresses(
            item.get("address") for item in listed if item.get("type") in {"InternalIP", "ExternalIP"}
        ),
        kubelet_port=_number(endpoint.get("Port"), 10250) or 10250,
        labels=labels,
        roles=tuple(key.removeprefix(ROLE_PREFIX) for key, _ in labels if key.startswith(ROLE_PREFIX)),
    )


def namespace_record(raw: dict[str, Any], cluster: str) -> NamespaceRecord | None:
    """A namespace, None without a name."""
    _, name = _names(raw)
    labels = _labels(as_dict(raw.get("metadata")).get("labels"))
    return NamespaceRecord(cluster=cluster, name=name, labels=labels) if name else None


def pod_record(raw: dict[str, Any], cluster: str) -> PodRecord | None:
    """A pod, None without a name. Finished pods keep no address: it may belong to another by now."""
    namespace, name = _names(raw)
    if not name:
        return None
    spec, status = as_dict(raw.get("spec")), as_dict(raw.get("status"))
    phase = _text(status.get("phase"), 32)
    listed = [as_dict(item).get("ip") for item in as_list(status.get("podIPs"))]
    containers = [as_dict(item) for item in as_list(spec.get("containers"))]
    return PodRecord(
        cluster=cluster,
        namespace=namespace,
        name=name,
        labels=_labels(as_dict(raw.get("metadata")).get("labels")),
        addresses=() if phase in {"Succeeded", "Failed"} else _addresses([status.get("podIP"), *listed]),
        node=_text(spec.get("nodeName")),
        phase=phase,
        host_network=spec.get("hostNetwork") is True,
        ports=tuple(
            ContainerPort(
                port=_number(port.get("containerPort")),
                name=_text(port.get("name"), 15),
                protocol=_text(port.get("protocol"), 8) or "TCP",
            )
            for container in containers
            for port in map(as_dict, as_list(container.get("ports")))
        ),
    )


def policy_record(raw: dict[str, Any], cluster: str) -> PolicyRecord | None:
    """A NetworkPolicy, None without a name."""
    namespace, name = _names(raw)
    if not name:
        return None
    spec = as_dict(raw.get("spec"))
    selector = as_dict(spec.get("podSelector"))
    # The API server has defaulted them; an old record without them is read as the defaulting rule has it.
    types = [_text(item, 16) for item in as_list(spec.get("policyTypes"))]
    directions = types or ["Ingress", *(["Egress"] if as_list(spec.get("egress")) else [])]
    return PolicyRecord(
        cluster=cluster,
        namespace=namespace,
        name=name,
        directions=tuple(directions),
        match_labels=_labels(selector.get("matchLabels")),
        match_expressions=tuple(
            (
                _text(item.get("key")),
                _text(item.get("operator"), 32),
                tuple(_text(value) for value in as_list(item.get("values"))),
            )
            for item in map(as_dict, as_list(selector.get("matchExpressions")))
        ),
        spec=_yaml(spec),
    )


def _yaml(spec: dict[str, Any]) -> str:
    import yaml

    return printable(yaml.safe_dump(spec, sort_keys=False, allow_unicode=True), SPEC_LIMIT, lines=True)


def service_record(raw: dict[str, Any]) -> ServiceRecord | None:
    """A Service, None without a name."""
    namespace, name = _names(raw)
    if not name:
        return None
    spec, status = as_dict(raw.get("spec")), as_dict(raw.get("status"))
    cluster_ips = _addresses([spec.get("clusterIP"), *as_list(spec.get("clusterIPs"))])
    balancers = [as_dict(item) for item in as_list(as_dict(status.get("loadBalancer")).get("ingress"))]
    return ServiceRecord(
        namespace=namespace,
        name=name,
        type=_text(spec.get("type"), 32) or "ClusterIP",
        addresses=tuple(address for address in cluster_ips if address != "None"),
        headless="None" in cluster_ips,
        external_ips=_addresses(as_list(spec.get("externalIPs"))),
        balancers=_addresses(item.get("ip") or item.get("hostname") for item in balancers),
        ports=tuple(
            ServicePort(
                port=_number(port.get("port")),
                name=_text(port.get("name"), 63),
                protocol=_text(port.get("protocol"), 8) or "TCP",
                target=printable(port.get("targetPort", ""), 63),
                node_port=_number(port.get("nodePort")),
                app_protocol=_text(port.get("appProtocol"), 63),
            )
            for port in map(as_dict, as_list(spec.get("ports")))
            if _number(port.get("port"))
        ),
    )


def slice_record(raw: dict[str, Any]) -> BackendRecord | None:
    """An EndpointSlice, None without a name."""
    namespace, name = _names(raw)
    if not name:
        return None
    labels = as_dict(as_dict(raw.get("metadata")).get("labels"))
    return BackendRecord(
        namespace=namespace,
        name=name,
        service=_text(labels.get("kubernetes.io/service-name")),
        managed=labels.get("endpointslice.kubernetes.io/managed-by") == "endpointslice-controller.k8s.io",
        backends=tuple(
            _backend(address, item, as_dict(item.get("conditions")).get("ready") is not False)
            for item in map(as_dict, as_list(raw.get("endpoints")))
            for address in _addresses(as_list(item.get("addresses")))
        ),
        ports=_ports(as_list(raw.get("ports"))),
    )


def endpoints_record(raw: dict[str, Any]) -> BackendRecord | None:
    """A core/v1 Endpoints object as backends of the Service of its name."""
    namespace, name = _names(raw)
    if not name:
        return None
    subsets = [as_dict(item) for item in as_list(raw.get("subsets"))]
    return BackendRecord(
        namespace=namespace,
        name=name,
        service=name,
        backends=tuple(
            _backend(_text(item.get("ip"), 64), item, key == "addresses")
            for subset in subsets
            for key in ("addresses", "notReadyAddresses")
            for item in map(as_dict, as_list(subset.get(key)))
            if item.get("ip")
        ),
        ports=_ports(port for subset in subsets for port in as_list(subset.get("ports"))),
    )


def _backend(address: str, item: dict[str, Any], ready: bool) -> Backend:
    reference = as_dict(item.get("targetRef"))
    is_pod = reference.get("kind") == "Pod"
    return Backend(
        address=address,
        ready=ready,
        node=_text(item.get("nodeName")),
        pod=_text(reference.get("name")) if is_pod else "",
        namespace=_text(reference.get("namespace")) if is_pod else "",
    )


def _ports(values: Iterable[Any]) -> tuple[BackendPort, ...]:
    return tuple(
        BackendPort(
            port=_number(port.get("port")),
            name=_text(port.get("name"), 63),
            protocol=_text(port.get("protocol"), 8) or "TCP",
        )
        for port in map(as_dict, values)
        if _number(port.get("port"))
    )
