"""The two walls of a namespace: the addresses by which pods reach the API, and those of cloud metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from kubeshield_tui.discovery.catalogue import Catalogue, Where
from kubeshield_tui.evidence.netpol.party import EndKind
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.judgement.leaving import API_LABEL, Closed

API_NAMESPACE, API_SERVICE = "default", "kubernetes"
API_PORT = 6443


def api_addresses(world: World, named: Iterable[str] = ()) -> tuple[Closed, ...]:
    """Where the API is reached: what is behind Service default/kubernetes, all addresses of the nodes that hold it, the
    Service's own, those that the caller names. Empty: none is known.
    """
    found: dict[str, Closed] = {}
    for address, port in (*_behind_service(world), *_of_pods(world)):
        held = world.holder(address)
        node = world.node(held.name) if held is not None and held.kind is EndKind.NODE else None
        others = (
            [str(ip_address(value.to_bytes(4 if version == 4 else 16, "big"))) for version, value in node.addresses]
            if node
            else []
        )
        for each in (address, *others):
            found.setdefault(each, Closed(address=each, says=_where(node.node if node else ""), port=port))
    for address in named:
        found.setdefault(str(ip_address(address)), Closed(address=str(ip_address(address)), says="the API, as named"))
    service = world.service(API_NAMESPACE, API_SERVICE)
    if found and service is not None:
        for address in service.addresses:
            says = f"Service {API_NAMESPACE}/{API_SERVICE} before translation"
            found.setdefault(address, Closed(address=address, says=says))
    return tuple(found.values())


def _where(node: str) -> str:
    return f"the API on node {node}" if node else "the API"


def _behind_service(world: World) -> Iterator[tuple[str, int]]:
    service = world.service(API_NAMESPACE, API_SERVICE)
    for record in world.slices_of(service) if service else ():
        ports = [port.port for port in record.ports if port.protocol == "TCP"] or [API_PORT]
        yield from ((backend.address, ports[0]) for backend in record.backends)


def _of_pods(world: World) -> Iterator[tuple[str, int]]:
    """Where no slice tells: the API server's own pods."""
    for end in world.pods:
        pod = world.pod(end.namespace, end.name)
        if pod and pod.namespace == "kube-system" and API_LABEL in pod.labels.known.items() and not pod.is_finished:
            for version, value in pod.addresses:
                yield str(ip_address(value.to_bytes(4 if version == 4 else 16, "big"))), API_PORT


def metadata_addresses(catalogue: Catalogue) -> tuple[Closed, ...]:
    """Every address at which a cloud serves metadata or identities to whoever asks from a node."""
    found: dict[str, list[str]] = {}
    for row in catalogue.at(Where.METADATA):
        if row.address:
            found.setdefault(row.address, []).append(row.title)
    return tuple(Closed(address=address, says=titles[0]) for address, titles in sorted(found.items()))
