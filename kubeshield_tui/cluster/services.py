"""Services, what is behind them, and the Ingresses before them: from raw JSON to slim records. Nothing here raises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kubeshield_tui.cluster.raw import (
    ADDRESS_LIMIT,
    Raw,
    addresses,
    as_dict,
    as_list,
    balancers,
    labels,
    labels_of,
    names,
    number,
    objects,
    protocol,
    text,
    texts,
)
from kubeshield_tui.model.cluster import (
    Backend,
    BackendPort,
    BackendRecord,
    IngressRecord,
    ServicePort,
    ServiceRecord,
)
from kubeshield_tui.model.text import printable

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGER_LABEL = "endpointslice.kubernetes.io/managed-by"

CLASS_ANNOTATION = "kubernetes.io/ingress.class"


def service_record(raw: Raw, cluster: str) -> ServiceRecord | None:
    """A Service, None without a name."""
    namespace, name = names(raw)
    if not name:
        return None
    spec, status = as_dict(raw.get("spec")), as_dict(raw.get("status"))
    cluster_ips = addresses([spec.get("clusterIP"), *as_list(spec.get("clusterIPs"))])
    return ServiceRecord(
        namespace=namespace,
        name=name,
        type=text(spec.get("type"), 32) or "ClusterIP",
        addresses=tuple(address for address in cluster_ips if address != "None"),
        headless="None" in cluster_ips,
        external_ips=texts(spec.get("externalIPs"), ADDRESS_LIMIT),
        balancers=balancers(status),
        external_name=text(spec.get("externalName")),
        selector=labels(spec.get("selector")),
        external_traffic_policy=text(spec.get("externalTrafficPolicy"), 32),
        internal_traffic_policy=text(spec.get("internalTrafficPolicy"), 32),
        session_affinity=text(spec.get("sessionAffinity"), 32),
        source_ranges=texts(spec.get("loadBalancerSourceRanges"), ADDRESS_LIMIT),
        publish_not_ready=spec.get("publishNotReadyAddresses") is True,
        labels=labels_of(raw),
        ports=tuple(
            ServicePort(
                port=number(port.get("port")),
                name=text(port.get("name"), 63),
                protocol=protocol(port.get("protocol")),
                target=_port_name(port.get("targetPort")),
                node_port=number(port.get("nodePort")),
                app_protocol=text(port.get("appProtocol"), 63),
            )
            for port in objects(spec.get("ports"))
            if number(port.get("port"))
        ),
    )


def _port_name(value: object) -> str:
    """A port that is a number or a name."""
    return printable(value, 63) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def slice_record(raw: Raw, cluster: str) -> BackendRecord | None:
    """An EndpointSlice, None without a name. v1 and v1beta1 differ in where the node's name stands only."""
    namespace, name = names(raw)
    if not name:
        return None
    own = as_dict(as_dict(raw.get("metadata")).get("labels"))
    return BackendRecord(
        namespace=namespace,
        name=name,
        service=text(own.get(SERVICE_LABEL)),
        managed=own.get(MANAGER_LABEL) == "endpointslice-controller.k8s.io",
        backends=tuple(
            _backend(address, item, as_dict(item.get("conditions")).get("ready") is not False)
            for item in objects(raw.get("endpoints"))
            for address in texts(item.get("addresses"), ADDRESS_LIMIT)
        ),
        ports=tuple(_ports(objects(raw.get("ports")))),
    )


def endpoints_record(raw: Raw, cluster: str) -> BackendRecord | None:
    """A core/v1 Endpoints object as backends of the Service of its name."""
    namespace, name = names(raw)
    if not name:
        return None
    subsets = objects(raw.get("subsets"))
    return BackendRecord(
        namespace=namespace,
        name=name,
        service=name,
        backends=tuple(
            _backend(address, item, key == "addresses")
            for subset in subsets
            for key in ("addresses", "notReadyAddresses")
            for item in objects(subset.get(key))
            if (address := text(item.get("ip"), ADDRESS_LIMIT))
        ),
        ports=tuple(_ports(port for subset in subsets for port in objects(subset.get("ports")))),
    )


def _backend(address: str, item: Raw, ready: bool) -> Backend:
    reference = as_dict(item.get("targetRef"))
    is_pod = reference.get("kind") == "Pod"
    topology = as_dict(item.get("topology"))
    return Backend(
        address=address,
        ready=ready,
        node=text(item.get("nodeName")) or text(topology.get("kubernetes.io/hostname")),
        pod=text(reference.get("name")) if is_pod else "",
        namespace=text(reference.get("namespace")) if is_pod else "",
    )


def _ports(values: Iterable[Raw]) -> Iterator[BackendPort]:
    for port in values:
        if number(port.get("port")):
            yield BackendPort(
                port=number(port.get("port")), name=text(port.get("name"), 63), protocol=protocol(port.get("protocol"))
            )


def ingress_record(raw: Raw, cluster: str) -> IngressRecord | None:
    """An Ingress, None without a name. v1 and v1beta1 name a backend differently."""
    namespace, name = names(raw)
    if not name:
        return None
    spec, status = as_dict(raw.get("spec")), as_dict(raw.get("status"))
    annotations = as_dict(as_dict(raw.get("metadata")).get("annotations"))
    rules = objects(spec.get("rules"))
    backends = [as_dict(spec.get("defaultBackend")), as_dict(spec.get("backend"))]
    for rule in rules:
        backends += [as_dict(path.get("backend")) for path in objects(as_dict(rule.get("http")).get("paths"))]
    return IngressRecord(
        namespace=namespace,
        name=name,
        class_name=text(spec.get("ingressClassName")) or text(annotations.get(CLASS_ANNOTATION)),
        addresses=balancers(status),
        hosts=texts([rule.get("host") for rule in rules]),
        tls_hosts=texts([host for entry in objects(spec.get("tls")) for host in as_list(entry.get("hosts"))]),
        services=tuple(dict.fromkeys(filter(None, map(_service_behind, backends)))),
    )


def _service_behind(backend: Raw) -> str:
    service = as_dict(backend.get("service"))
    port = as_dict(service.get("port"))
    name = text(service.get("name")) or text(backend.get("serviceName"))
    behind = _port_name(port.get("number")) or _port_name(port.get("name")) or _port_name(backend.get("servicePort"))
    return f"{name}:{behind}" if name and behind else name
