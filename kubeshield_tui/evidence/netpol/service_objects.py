"""Services of manifests and what is behind them, checked as far as policies need them. Raises FieldError."""

from __future__ import annotations

from kubeshield_tui.evidence.netpol.fields import Cursor
from kubeshield_tui.evidence.netpol.objects import address, label_pairs
from kubeshield_tui.evidence.netpol.parse_parts import named
from kubeshield_tui.evidence.netpol.party import TRANSPORTS
from kubeshield_tui.model.cluster import Backend, BackendPort, BackendRecord, ServicePort, ServiceRecord
from kubeshield_tui.model.text import printable

TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
TRAFFIC_POLICIES = ("Cluster", "Local")
SERVICE_LABEL = "kubernetes.io/service-name"
HEADLESS = "None"


def service_of(whole: Cursor) -> ServiceRecord:
    """A Service."""
    key = named(whole, "Service", namespaced=True)
    spec = whole.get("spec")
    given = [spec.get("clusterIP"), *spec.get("clusterIPs").items()]
    kind, external_name = spec.get("type"), spec.get("externalName")
    balancers = [item.get("ip") for item in whole.get("status").get("loadBalancer").get("ingress").items()]
    return ServiceRecord(
        namespace=key.namespace,
        name=key.name,
        type="ClusterIP" if kind.is_empty else kind.one_of(TYPES),
        addresses=_addresses([item for item in given if item.value != HEADLESS]),
        headless=any(item.value == HEADLESS for item in given),
        external_ips=_addresses(list(spec.get("externalIPs").items())),
        balancers=_addresses(balancers),
        external_name="" if external_name.is_empty else printable(external_name.text(), 253),
        selector=label_pairs(spec.get("selector")),
        external_traffic_policy=_traffic_policy(spec.get("externalTrafficPolicy")),
        internal_traffic_policy=_traffic_policy(spec.get("internalTrafficPolicy")),
        publish_not_ready=spec.get("publishNotReadyAddresses").value is True,
        ports=tuple(_port(item) for item in spec.get("ports").items()),
    )


def _traffic_policy(at: Cursor) -> str:
    return "" if at.is_empty else at.one_of(TRAFFIC_POLICIES)


def _addresses(values: list[Cursor]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(address(item) for item in values if not item.is_empty))


def _port(at: Cursor) -> ServicePort:
    target, node_port = at.get("targetPort"), at.get("nodePort")
    number = at.get("port").number(1, 65535)
    behind = "" if target.is_empty else target.value if isinstance(target.value, str) else target.number(1, 65535)
    return ServicePort(
        port=number,
        name=_name(at.get("name")),
        protocol=_protocol(at.get("protocol")),
        target=printable(behind, 63),
        node_port=0 if node_port.is_absent else node_port.number(0, 65535),
    )


def _name(at: Cursor) -> str:
    return "" if at.is_empty else printable(at.text(), 63)


def _protocol(at: Cursor) -> str:
    return "TCP" if at.is_empty else at.one_of(TRANSPORTS)


def slice_of(whole: Cursor) -> BackendRecord:
    """An EndpointSlice."""
    key = named(whole, "EndpointSlice", namespaced=True)
    labels = dict(label_pairs(whole.get("metadata").get("labels")))
    return BackendRecord(
        namespace=key.namespace,
        name=key.name,
        service=labels.get(SERVICE_LABEL, ""),
        backends=tuple(
            _backend(at, item, item.get("conditions").get("ready").value is not False)
            for item in whole.get("endpoints").items()
            for at in item.get("addresses").items()
        ),
        ports=_ports(whole.get("ports")),
    )


def endpoints_of(whole: Cursor) -> BackendRecord:
    """An Endpoints object, as what is behind the Service of its name."""
    key = named(whole, "Endpoints", namespaced=True)
    subsets = list(whole.get("subsets").items())
    return BackendRecord(
        namespace=key.namespace,
        name=key.name,
        service=key.name,
        backends=tuple(
            _backend(item.get("ip"), item, field == "addresses")
            for subset in subsets
            for field in ("addresses", "notReadyAddresses")
            for item in subset.get(field).items()
        ),
        ports=tuple(port for subset in subsets for port in _ports(subset.get("ports"))),
    )


def _backend(at: Cursor, item: Cursor, ready: bool) -> Backend:
    target = item.get("targetRef")
    is_pod = target.get("kind").value == "Pod"
    return Backend(
        address=address(at),
        ready=ready,
        node="" if item.get("nodeName").is_empty else item.get("nodeName").object_name(),
        pod=target.get("name").object_name() if is_pod else "",
        namespace=target.get("namespace").namespace_name() if is_pod else "",
    )


def _ports(at: Cursor) -> tuple[BackendPort, ...]:
    return tuple(
        BackendPort(
            port=item.get("port").number(1, 65535),
            name=_name(item.get("name")),
            protocol=_protocol(item.get("protocol")),
        )
        for item in at.items()
        if not item.get("port").is_absent
    )
