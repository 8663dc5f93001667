"""Hosts whose rules were read, and the way of a cell's visitor through them: from the vantage's own to the target's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from operator import is_not
from typing import NamedTuple

from kubeshield_tui.evidence.engine_rules import without_engine
from kubeshield_tui.evidence.hosts import HostLayer, Visit, firewall_layer, own_source, visit_of
from kubeshield_tui.evidence.netfilter.gathered import FAMILIES, Gathered
from kubeshield_tui.evidence.netfilter.words import address, address_text
from kubeshield_tui.model.cluster import Inventory, PodRecord
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.evidence import Source
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.vantage import Vantage, VantageKind
from kubeshield_tui.session.store import Store

HOSTS_LIMIT = 6
"""Hosts that one way is followed through: a service with many backends names the first of them."""
NodeName = tuple[str, str]
"""Cluster and node."""


class Stop(NamedTuple):
    """A host on the way of a visitor."""

    layer: str
    """vantage-egress, source-firewall or node-firewall."""
    host: str
    """Its name: the node's, or as SSH knows it."""
    visit: Visit
    """The visitor as he comes there."""
    gathered: Gathered | None
    """None where its rules were not read."""
    reader: VantageId | None
    """The vantage that read it, or that can."""

    def judged(self, now: float) -> HostLayer | None:
        """What its rules make of him."""
        return None if self.gathered is None else firewall_layer(self.gathered, self.visit, now)


class Level(NamedTuple):
    """Hosts of which a visitor meets one: who answers for a service is drawn."""

    stops: tuple[Stop, ...]
    spared: int = 0
    """Ways on which he meets no further host instead: the backend is where he has been already."""
    others: bool = False
    """There may be hosts in their place that are not known."""


class Arrival(NamedTuple):
    """A visitor as he is seen bound for where he ends, once his target was translated."""

    source: str | None
    """None where it is still the one that he set out with; empty where it was replaced by one that is not known."""
    target: str
    port: int


class Walk(NamedTuple):
    """A visitor's way through hosts."""

    levels: tuple[Level, ...] = ()
    """In the order in which they are met."""
    source: str = ""
    """The address that he sets out with; empty where that is not known."""
    arrivals: tuple[Arrival, ...] = ()
    """Where hosts replace his source, or hand on what came to a node: each way in which a policy engine may see him.
    None otherwise, and where the way is not known to its end."""


class Firewalls:
    """Readings by vantage, parsed once each, and the ways through them as things are now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._gathered: dict[VantageId, Gathered] = {}
        self._ways: tuple[tuple[object, ...], Ways] | None = None

    def keep(self, vantage: VantageId, gathered: Gathered) -> None:
        """Keep a reading that was parsed elsewhere; its sources are in the store, or will be at once."""
        self._gathered[vantage] = gathered

    def gathered(self, vantage: VantageId) -> Gathered | None:
        """Return a host's reading; None where nothing of it was asked for."""
        sources = {item: source for (where, item), source in self._store.sources.items() if where == vantage}
        return self._of(vantage, sources) if sources else None

    def ways(self) -> Ways:
        """Return the ways as things are now. Hold it while many cells are looked at: nothing is looked up twice."""
        store = self._store
        sources: dict[VantageId, dict[str, Source]] = {}
        for (vantage, item), source in store.sources.items():
            sources.setdefault(vantage, {})[item] = source
        state = (*store.sources.values(), *store.clusters.values(), *store.vantages.values())
        known = self._ways
        if known is None or len(known[0]) != len(state) or any(map(is_not, known[0], state)):
            gathered = {vantage: self._of(vantage, told) for vantage, told in sources.items()}
            known = self._ways = (state, Ways(store, gathered))
        return known[1]

    def way(self, key: CellKey) -> tuple[Stop, ...]:
        """Return the hosts on a cell's way, in order; none where nothing is known of it."""
        return self.ways().of(key)

    def _of(self, vantage: VantageId, sources: Mapping[str, Source]) -> Gathered:
        known = self._gathered.get(vantage)
        if known is None or any(known.sources.get(item) is not source for item, source in sources.items()):
            known = self._gathered[vantage] = Gathered(tuple(sources.values()))
        return known


class Ways:
    """Who stands where, worked out once."""

    def __init__(self, store: Store, gathered: Mapping[VantageId, Gathered]) -> None:
        self._store = store
        self.gathered = gathered
        self._nodes_by_address: dict[str, NodeName] = {}
        self._pods: dict[tuple[str, str], PodRecord] = {}
        """By cluster and address, without those in their node's network."""
        self._named: dict[tuple[str, str, str], PodRecord] = {}
        for cluster, inventory in store.clusters.items():
            self._take(cluster, inventory)
        self._own = {vantage: tuple(_global_addresses(told)) for vantage, told in gathered.items()}
        self._node_of = {vantage.id: self._find_node(vantage) for vantage in store.vantages.values()}
        self._listed = dict(self._find_listed())
        """Addresses of nodes that no list tells of, such as those of bridges to their pods, each with one that is."""
        self._readers: dict[NodeName, VantageId] = {}
        for read_ones in (False, True):  # one that read it stands in for one that only could
            for vantage, node in self._node_of.items():
                if node is not None and (vantage in gathered) is read_ones and is_on_host(store.vantages[vantage]):
                    self._readers[node] = vantage

    def node_of(self, vantage: VantageId) -> NodeName | None:
        """Return the cluster and node that a vantage stands on; None where it is none, or not known."""
        return self._node_of.get(vantage)

    def endpoint(self, key: EndpointId) -> Endpoint | None:
        """Return a row; None for one that is not there."""
        return self._store.endpoints.get(key)

    def found_at(self, endpoint: EndpointId) -> float:
        """Return when a row came, seconds since the epoch; 0 for one that is not there."""
        return self._store.found_at.get(endpoint, 0.0)

    def addresses_of(self, stop: Stop) -> tuple[str, ...]:
        """Return the addresses that a host has by its own account; none where it was not read."""
        return self._own.get(stop.reader, ()) if stop.reader is not None else ()

    def pod(self, cluster: str, namespace: str, name: str) -> PodRecord | None:
        """Return a pod as it was listed."""
        return self._named.get((cluster, namespace, name))

    def stays_in_pod(self, key: CellKey) -> bool:
        """Whether a pod asks itself: no host sees that."""
        endpoint, vantage = self._store.endpoints.get(key.endpoint), self._store.vantages.get(key.vantage)
        if endpoint is None or vantage is None or address(endpoint.host) is None:
            return False
        visit = visit_of("", endpoint.host, endpoint.port)
        return visit is not None and self._stays_in_pod(vantage, visit)

    def pods_on(self, node: NodeName) -> Iterator[str]:
        """Yield addresses of pods of a node's pod network."""
        for (cluster, own), pod in self._pods.items():
            if cluster == node[0] and pod.node == node[1] and not pod.host_network and pod.phase == "Running":
                yield own

    def of(self, key: CellKey) -> tuple[Stop, ...]:
        """Return the hosts on a cell's way."""
        return tuple(stop for level in self.walk(key).levels for stop in level.stops)

    def walk(self, key: CellKey) -> Walk:
        """Return them in the order in which they are met, those of one level in each other's place, and whither."""
        endpoint, vantage = self._store.endpoints.get(key.endpoint), self._store.vantages.get(key.vantage)
        if endpoint is None or vantage is None:
            return Walk()
        observation = self._store.cell(key).observation
        target = endpoint.host if address(endpoint.host) is not None else observation.peer if observation else ""
        source = (observation.source if observation else "") or self._likely_source(vantage, target)
        visit = visit_of(source, target, endpoint.port, str(endpoint.protocol))
        if visit is None or self._stays_in_pod(vantage, visit):
            return Walk()
        first = self._first(vantage, visit)
        levels = [] if first is None else [Level((first,))]
        stops = [] if first is None else [first]
        onward, is_known = self._onward(first, visit, endpoint)
        seen, ends = [(visit.source, each) for each in onward], []
        for _ in range(HOSTS_LIMIT):  # a node port leads on from one node to another
            met = [self.at_target(each, endpoint) for each in onward]
            passed = [stop is not None and any(is_same(stop, each) for each in stops) for stop in met]
            found = [stop for stop, again in zip(met, passed, strict=True) if stop is not None and not again]
            ends += [each for each, again in zip(onward, passed, strict=True) if again]
            kept = tuple(found[: HOSTS_LIMIT - len(stops)])
            if not kept:
                if met and None not in met:
                    levels.append(Level((), len(met)))
                break
            levels.append(Level(kept, sum(passed), None in met or len(kept) < len(found)))
            stops += kept
            leaving = []
            for stop in kept:
                then, is_certain = self._onward(stop, stop.visit, endpoint)
                leaving += [(stop.visit.source, each) for each in then]
                is_known = is_known and is_certain
            seen += leaving
            onward = [each for _, each in leaving]
        is_known = is_known and bool(visit.source) and not levels[-1].stops and not any(it.others for it in levels)
        arrivals = self._arrivals(visit.source, seen, ends) if is_known else ()
        on_node = visit.target in self._nodes_by_address and all(end.target != visit.target for end in ends)
        if not on_node and all(arrival.source is None for arrival in arrivals):
            arrivals = ()
        return Walk(tuple(levels), visit.source, arrivals)

    def _arrivals(self, source: str, seen: Iterable[tuple[str, Visit]], ends: Sequence[Visit]) -> tuple[Arrival, ...]:
        """`seen`: visits as they leave a host, each with the source that it came with: a host's rules see that one."""
        places = {(end.target, end.port) for end in ends}
        as_whom = [(came_as, each) for came_as, each in seen if (each.target, each.port) in places]
        as_whom += [(end.source, end) for end in ends]
        begun = self._listed.get(source, source)
        named = ((self._listed.get(it, it), each) for it, each in as_whom)
        return tuple(dict.fromkeys(Arrival(None if it == begun else it, each.target, each.port) for it, each in named))

    # --- who stands where

    def _take(self, cluster: str, inventory: Inventory) -> None:
        for node in inventory.nodes:
            for own in node.addresses:
                self._nodes_by_address.setdefault(own, (cluster, node.name))
        for pod in inventory.pods:
            self._named[cluster, pod.namespace, pod.name] = pod
            for own in pod.addresses if pod.phase not in {"Succeeded", "Failed"} else ():
                if not pod.host_network:
                    self._pods[cluster, own] = pod

    def _find_listed(self) -> Iterator[tuple[str, str]]:
        """Yield addresses that read nodes have beside their listed ones; none that two of them have, as bridges do."""
        held = Counter(own for told in self._own.values() for own in told)
        for vantage, told in self._own.items():
            node = self._node_of.get(vantage)
            listed = [own for own, name in self._nodes_by_address.items() if name == node]
            for own in told:
                same = [each for each in listed if (":" in each) == (":" in own)]
                if same and own not in self._nodes_by_address and held[own] == 1:
                    yield own, same[0]

    def _find_node(self, vantage: Vantage) -> NodeName | None:
        if vantage.spec.kind in {VantageKind.NODE, VantageKind.POD}:
            return (vantage.cluster, vantage.node) if vantage.node else None
        if vantage.spec.kind is not VantageKind.SSH:
            return None
        told = vantage.facts.addresses if vantage.facts is not None else ()
        addresses = (*told, *self._own.get(vantage.id, ()))
        found = {self._nodes_by_address[own] for own in addresses if own in self._nodes_by_address}
        return found.pop() if len(found) == 1 else None

    def _pod(self, endpoint: Endpoint, target: str) -> PodRecord | None:
        """Return the pod that has an address; of another cluster only for an endpoint that is of none."""
        if endpoint.cluster:
            return self._pods.get((endpoint.cluster, target))
        found = [pod for (_, own), pod in self._pods.items() if own == target]
        return found[0] if len(found) == 1 else None

    def _likely_source(self, vantage: Vantage, target: str) -> str:
        """Return the address that a vantage comes as, where silence did not tell: as its own routes say, else the one
        of its addresses that fits; empty where several do.
        """
        if address(target) is None:
            return ""
        own = self.gathered.get(vantage.id)
        if own is not None and is_on_host(vantage):
            return own_source(own, target)
        told = vantage.facts.addresses if vantage.facts is not None else ()
        fit = [each for each in told if _can_be_source(each) and (":" in each) == (":" in target)]
        nodes = [each for each in fit if each in self._nodes_by_address]
        found = fit if len(fit) == 1 else nodes
        return found[0] if len(found) == 1 else ""

    def _stays_in_pod(self, vantage: Vantage, visit: Visit) -> bool:
        """Whether a pod asks itself: no host sees that. (One in its host's network asks the host.)"""
        if vantage.spec.kind is not VantageKind.POD or visit.source in self._nodes_by_address:
            return False
        own = vantage.facts.addresses if vantage.facts is not None else ()
        if self._is_in_hosts_network(vantage):
            return False
        return visit.target in own or ip_address(visit.target).is_loopback

    def _is_in_hosts_network(self, vantage: Vantage) -> bool:
        """Whether a pod has its node's addresses. (It may come as another of the host's: a bridge's, to pods there.)"""
        own = vantage.facts.addresses if vantage.facts is not None else ()
        return any(each in self._nodes_by_address for each in own)

    def _of_node(self, layer: str, node: NodeName, visit: Visit) -> Stop:
        reader = self._readers.get(node)
        return Stop(layer, node[1], visit, self.gathered.get(reader) if reader is not None else None, reader)

    def _first(self, vantage: Vantage, visit: Visit) -> Stop | None:
        """Return the host that the visitor starts on, or whose pod he is."""
        node = self._node_of.get(vantage.id)
        if is_on_host(vantage):
            begun = visit_of(visit.source, visit.target, visit.port, visit.protocol, begins_here=True) or visit
            if node is not None:
                return self._of_node("vantage-egress", node, begun)
            return Stop("vantage-egress", vantage.spec.host, begun, self.gathered.get(vantage.id), vantage.id)
        if vantage.spec.kind is not VantageKind.POD or node is None:
            return None
        on_host = self._nodes_by_address.get(visit.source) == node or self._is_in_hosts_network(vantage)
        layer = "vantage-egress" if on_host else "source-firewall"
        begun = visit_of(visit.source, visit.target, visit.port, visit.protocol, begins_here=on_host) or visit
        return self._of_node(layer, node, begun)

    def _onward(self, stop: Stop | None, visit: Visit, endpoint: Endpoint) -> tuple[Sequence[Visit], bool]:
        """Return the visitor as he goes on, and whether that is certain: as the host's rules translate him, else as the
        API says of a service.
        """
        # As if policies let him: what an engine's rules drop is not translated any more.
        if stop is not None and stop.gathered is not None:
            layer = firewall_layer(without_engine(stop.gathered), stop.visit, stop.gathered.at)
            if layer.onward:
                return layer.onward, not layer.astray
        if self._is_some_host(visit.target, endpoint):
            return (visit,), False
        return tuple(self._backends(visit, endpoint)) or (visit,), False

    def _is_some_host(self, target: str, endpoint: Endpoint) -> bool:
        return target in self._nodes_by_address or self._pod(endpoint, target) is not None

    def _backends(self, visit: Visit, endpoint: Endpoint) -> Iterator[Visit]:
        for behind in endpoint.backends:
            pod = self._named.get((endpoint.cluster, behind.namespace, behind.name))
            port = _target_port(pod, endpoint) if pod is not None else 0
            for own in pod.addresses if pod is not None and port else ():
                found = visit_of(visit.source, own, port, visit.protocol)
                if found is not None and found.family == visit.family:
                    yield found

    def at_target(self, visit: Visit, endpoint: Endpoint) -> Stop | None:
        """Return the host that has the visitor's target, or its pod; None where it is not known."""
        node = self._nodes_by_address.get(visit.target)
        pod = self._pod(endpoint, visit.target)
        if node is None and pod is not None and pod.node:
            node = (pod.cluster, pod.node)
        if node is not None:
            return self._of_node("node-firewall", node, visit)
        owners = [vantage for vantage, own in self._own.items() if visit.target in own]
        if len(owners) != 1:
            return None
        told = self.gathered[owners[0]]
        return Stop("node-firewall", told.host, visit, told, owners[0])


def is_on_host(vantage: Vantage) -> bool:
    """Whether a vantage stands in the network of a host whose rules it can read: over SSH, or a node's own pod."""
    return vantage.spec.kind in {VantageKind.SSH, VantageKind.NODE} and not vantage.spec.direct


def is_same(stop: Stop, passed: Stop) -> bool:
    """Whether two stops are at one host."""
    if stop.host == passed.host:
        return True
    return stop.gathered is not None and stop.gathered is passed.gathered


def _global_addresses(gathered: Gathered) -> Iterator[str]:
    for family in FAMILIES:
        for interface in gathered.network(family).interfaces or ():
            if interface.name != "lo":
                for own in interface.addresses:
                    if own.family == family and own.is_global:
                        yield address_text(own.number, family)


def _can_be_source(text: str) -> bool:
    try:
        own = ip_address(text)
    except ValueError:
        return False
    return not (own.is_loopback or own.is_link_local)


def _target_port(pod: PodRecord, endpoint: Endpoint) -> int:
    """Return the number of a service's target port on a pod; 0 where its name is not declared there."""
    told = endpoint.backend_port or str(endpoint.port)
    if told.isdecimal():
        return int(told)
    protocol = str(endpoint.protocol).upper()
    return next((port.port for port in pod.ports if port.name == told and port.protocol == protocol), 0)
