"""The ingress policy that closes a port of some pods to all but those that must, or legitimately do, reach it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address

from kubeshield_tui.evidence.netpol.party import EndKind, Party, PartyKind
from kubeshield_tui.evidence.netpol.policy import Direction
from kubeshield_tui.evidence.netpol.services import Flow, resolve
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.judgement.admitting import admission, host_range
from kubeshield_tui.judgement.draft import Draft, Part, Raw
from kubeshield_tui.judgement.draft_peers import (
    EVERY_NAMESPACE,
    EVERY_POD,
    is_own_probe,
    namespace_selector,
    pod_selector,
)
from kubeshield_tui.judgement.leaving import port_item
from kubeshield_tui.judgement.remedy import Remedy
from kubeshield_tui.judgement.trial import KnownFlow
from kubeshield_tui.model.cluster import ServiceRecord
from kubeshield_tui.model.expectation import Must

_NOT_NAME = re.compile(r"[^a-z0-9]+")
NAME_LENGTH = 50
"""Of the part of a name that says which pods: an object's name has its own limit."""
Place = tuple[str, int]
"""Protocol and port."""


def close_arriving(world: World, flows: Sequence[KnownFlow]) -> Remedy:
    """Close a port of the pods that the flows with `closing` lead to, and keep what else reaches these pods."""
    closing = [flow for flow in flows if flow.closing]
    arrivals = [arrival for flow in closing for arrival in arrivals_of(world, flow)]
    pods = {arrival.destination.text: arrival.destination for arrival in arrivals}
    closed = {(arrival.traffic.protocol, arrival.traffic.port) for arrival in arrivals}
    notes = [f"{pod.text} is on its node's network: no policy reaches it" for pod in pods.values() if pod.host_network]
    if notes or not pods or len({pod.namespace for pod in pods.values()}) > 1:
        return Remedy(notes=tuple(notes or ["it leads to no pods of one namespace: no ingress policy can close it"]))
    namespace = next(iter(pods.values())).namespace
    selected = _subject(world, namespace, closing, list(pods.values()))
    if selected is None:
        return Remedy(notes=(f"no lasting label tells {', '.join(sorted(pods))} from the other pods of {namespace}",))
    subject, name = selected
    # One of ours that is there already counts too: another in its place would open what it closes.
    admissions = [admission(world, flow.question, Direction.INGRESS) for flow in closing]
    rules = {(rule.policy, rule.rule): rule for found in admissions for rule in found.rules}
    if any(found.is_isolated for found in admissions):
        return Remedy(admitting=tuple(rules.values()), notes=tuple(notes))
    unwanted = [flow for flow in flows if flow.closing or flow.must is Must.BLOCKED]
    sources = [arrival.source for flow in unwanted for arrival in arrivals_of(world, flow)]
    admitted, unnamed = _admitted(world, namespace, pods, closed, sources, flows)
    others = _other_places(world, pods.values(), closed, flows)
    shown = ", ".join(f"{port}/{protocol}" for protocol, port in sorted(closed))
    parts = [Part(says=says, peers=peers, ports=_items(closed)) for says, peers in admitted]
    if others:
        parts.append(Part(says="Their other ports stay as they were: open to everybody.", ports=_items(others)))
    draft = Draft(
        namespace=namespace,
        name=name,
        direction=Direction.INGRESS,
        subject=subject,
        parts=tuple(parts),
        says=(
            f"Port {shown} of these pods of {namespace} is reached only by those that must, or are known to, reach it.",
            "Nodes always reach the pods that run on them. Who else needs it is to be added before this is applied.",
        ),
    )
    return Remedy(draft=draft, admitting=tuple(rules.values()), notes=(*notes, *unnamed))


def arrivals_of(world: World, flow: KnownFlow) -> list[Flow]:
    """What arrives at pods, after translation."""
    paths = resolve(world, flow.question).paths
    return [path.ingress for path in paths if path.ingress.destination.kind is PartyKind.POD]


def _items(places: Iterable[Place]) -> tuple[Raw, ...]:
    return tuple(port_item(protocol, port) for protocol, port in sorted(places, key=lambda place: (place[1], place[0])))


def _subject(
    world: World, namespace: str, closing: Iterable[KnownFlow], pods: Sequence[Party]
) -> tuple[Raw, str] | None:
    """Which pods, and the policy's name: by the Service that leads to them, else by their labels. None where only a
    policy on all pods of the namespace would select them.
    """
    service = _service(world, closing)
    if service is not None and service.selector:
        return {"matchLabels": dict(sorted(service.selector))}, _name(service.name)
    texts = {pod.text for pod in pods}
    others = [pod for pod in world.pods_in(namespace) if pod.text not in texts]
    selector = pod_selector(pods, others)
    if selector is None:
        return None if others else ({}, _name(namespace))
    return selector, _name("-".join(selector["matchLabels"].values()))


def _service(world: World, closing: Iterable[KnownFlow]) -> ServiceRecord | None:
    for flow in closing:
        end = flow.destination
        held = world.holder(end.name) if end.kind is EndKind.ADDRESS else end
        if held is not None and held.kind is EndKind.SERVICE:
            return world.service(held.namespace, held.name)
        if held is not None and held.kind is EndKind.NODE and (found := world.node_port(flow.port, flow.protocol)):
            return found[0]
    return None


def _name(text: str) -> str:
    return f"kubeshield-ingress-{_NOT_NAME.sub('-', text.lower()).strip('-')[:NAME_LENGTH].strip('-')}"


def _admitted(
    world: World,
    namespace: str,
    pods: dict[str, Party],
    closed: set[Place],
    unwanted: Sequence[Party],
    flows: Iterable[KnownFlow],
) -> tuple[list[tuple[str, tuple[Raw, ...]]], list[str]]:
    """Peers that stay admitted, each with what they are, and those that no policy can name."""
    found: dict[str, tuple[Raw, ...]] = {}
    notes = []
    if all(source.namespace != namespace for source in unwanted):
        found["The other pods of its namespace."] = ({"podSelector": EVERY_POD},)
    for flow in flows:
        if not flow.is_legitimate:
            continue
        for arrival in arrivals_of(world, flow):
            place = (arrival.traffic.protocol, arrival.traffic.port)
            if arrival.destination.text not in pods or place not in closed:
                continue
            named = _peer(world, namespace, arrival.source)
            if named is None:
                notes.append(f"no policy can name {arrival.source.text}, which reaches it: {flow.text}")
            else:
                says, peers = named
                found.setdefault(says, peers)
    return list(found.items()), list(dict.fromkeys(notes))


def _peer(world: World, namespace: str, source: Party) -> tuple[str, tuple[Raw, ...]] | None:
    """How a rule names a source, and what it says of it."""
    if source.kind is not PartyKind.POD or source.host_network:
        ranges = tuple(_range(*address) for address in source.addresses)
        return (f"{source.text}.", ranges) if ranges else None
    where: Raw = {}
    if source.namespace != namespace:
        selector = namespace_selector(world, source.namespace)
        where = {"namespaceSelector": selector} if selector else EVERY_NAMESPACE
    others = [pod for pod in world.pods_in(source.namespace) if pod.text != source.text]
    which = None if is_own_probe(source) else pod_selector([source], others)
    if where is EVERY_NAMESPACE and which is None:
        return None
    if which is None:
        return f"Pods of {source.namespace}.", (where or {"podSelector": EVERY_POD},)
    labels = ", ".join(f"{key}={value}" for key, value in which["matchLabels"].items())
    return f"Pods of {source.namespace} with {labels}.", ({**where, "podSelector": which},)


def _range(version: int, value: int) -> Raw:
    address = ip_address(value.to_bytes(4 if version == 4 else 16, "big"))
    return {"ipBlock": {"cidr": host_range(str(address))}}


def _other_places(world: World, pods: Iterable[Party], closed: set[Place], flows: Iterable[KnownFlow]) -> set[Place]:
    """Ports of these pods that are known beside the closed ones: declared, led to by Services, or asked."""
    listed = list(pods)
    texts = {pod.text for pod in listed}
    found = {(port.protocol, port.port) for pod in listed for port in pod.ports}
    found |= {place for service in world.services for place in _led_to(world, service, texts)}
    for flow in flows:
        found |= {
            (arrival.traffic.protocol, arrival.traffic.port)
            for arrival in arrivals_of(world, flow)
            if arrival.destination.text in texts
        }
    return found - closed


def _led_to(world: World, service: ServiceRecord, pods: set[str]) -> Iterator[Place]:
    for record in world.slices_of(service):
        if any(f"{backend.namespace}/{backend.pod}" in pods for backend in record.backends):
            yield from ((port.protocol, port.port) for port in record.ports)
