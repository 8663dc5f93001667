"""Who talks to whom in a cell, as policies see it: pods, nodes, Services and addresses, never guessed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from kubeshield_tui.evidence.netpol.party import BrokenPod, End, EndKind, Question, address_of
from kubeshield_tui.model.cluster import PodRecord
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.vantage import Vantage, VantageKind
from kubeshield_tui.session.firewalls import Arrival, Walk
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import KnownWorld, Worlds

NOWHERE = Walk()
"""The way of a cell of which nothing is known."""
NO_ADDRESS = End(kind=EndKind.ADDRESS, name="")
"""An end outside the cluster whose address is not known."""


NOBODY = End(kind=EndKind.POD, namespace="another-context", name="pod")
"""A pod that is in no World: nothing that it takes part in is known."""


class Flow(NamedTuple):
    """A cell's connection."""

    source: End
    destination: End
    port: int
    protocol: str
    """TCP or UDP."""
    source_cluster: str = ""
    """Cluster whose policies see it leave; empty where none does."""
    target_cluster: str = ""
    """Cluster whose policies see it arrive; empty where none is known to."""
    comes_as: End | None = None
    """Who it is to the target's cluster, where that does not know the source."""
    arrivals: tuple[Arrival, ...] = ()
    """As whom, and where to, policies may see it arrive, where hosts on the way replace its source or hand it on."""
    notes: tuple[str, ...] = ()
    """What is not certain of its ends, one sentence each."""

    @property
    def leaving(self) -> Question:
        """The connection as the source's cluster sees it."""
        return Question(source=self.source, destination=self.destination, port=self.port, protocol=self.protocol)

    @property
    def arriving(self) -> Question:
        """The connection as the target's cluster sees it: a visitor from elsewhere comes as who knows whom."""
        source = self.comes_as or self.source
        return Question(source=source, destination=self.destination, port=self.port, protocol=self.protocol)

    @property
    def arriving_as(self) -> tuple[Question, ...]:
        """It for each way in which the policies that it arrives at may see it."""
        plain = self.arriving
        return tuple(
            Question(
                source=plain.source if seen.source is None else End(kind=EndKind.ADDRESS, name=seen.source),
                destination=End(kind=EndKind.ADDRESS, name=seen.target),
                port=seen.port,
                protocol=self.protocol,
            )
            for seen in self.arrivals
        ) or (plain,)


def flow_of(store: Store, worlds: Worlds, key: CellKey, walk: Walk = NOWHERE) -> Flow | None:
    """Return the connection of a cell; None where its endpoint or vantage is gone, or its target has no address yet.

    Pods of vantages that no list told of are put into their World as they said of themselves.
    """
    endpoint, vantage = store.endpoints.get(key.endpoint), store.vantages.get(key.vantage)
    if endpoint is None or vantage is None:
        return None
    observation = store.cell(key).observation
    target = address_of(endpoint.host) or address_of(observation.peer if observation else "")
    if target is None or target.is_loopback:
        return None
    own = vantage.cluster if vantage.spec.kind in {VantageKind.POD, VantageKind.NODE} else ""
    target_cluster = endpoint.cluster or own or _cluster_with(store, worlds, str(target))
    comes_as: End | None = None
    doubts: tuple[str, ...] = ()
    if own and own != target_cluster:
        comes_as, doubts = _as_foreigner(store, own, target_cluster)
        target_cluster = target_cluster if comes_as is not None else own
    told = observation.source if observation is not None else ""
    source, notes = _source(worlds.of(own or target_cluster), vantage, told or walk.source, target)
    return Flow(
        source=source,
        destination=End(kind=EndKind.ADDRESS, name=str(target)),
        port=endpoint.port,
        protocol=str(endpoint.protocol).upper(),
        source_cluster=own if vantage.spec.kind is VantageKind.POD else "",
        target_cluster=target_cluster,
        comes_as=comes_as,
        arrivals=walk.arrivals if comes_as is None else (),
        notes=(*notes, *doubts),
    )


def _as_foreigner(store: Store, own: str, other: str) -> tuple[End | None, tuple[str, ...]]:
    """Who a pod or node of one context is to the cluster of another; None where both name one cluster."""
    told = [store.clusters[each].namespaces if each in store.clusters else () for each in (own, other)]
    ids = [next((each.uid for each in spaces if each.name == "kube-system"), "") for spaces in told]
    if not all(ids):
        return NOBODY, (f"whether {own} and {other} name one cluster is not known",)
    if ids[0] == ids[1]:
        return None, ()
    return NO_ADDRESS, (f"it comes from cluster {own}, and as which address is not known here",)


def _cluster_with(store: Store, worlds: Worlds, address: str) -> str:
    """The one cluster in which something has an address; empty where none or several do."""
    found = [name for name in store.clusters if (known := worlds.of(name)) and known.world.holder(address) is not None]
    return found[0] if len(found) == 1 else ""


_Address = IPv4Address | IPv6Address
_Source = tuple[End, tuple[str, ...]]


def _source(known: KnownWorld | None, vantage: Vantage, likely: str, target: _Address) -> _Source:
    """The end that a vantage is, and what is not certain of it."""
    match vantage.spec.kind:
        case VantageKind.POD:
            return _pod(known, vantage), ()
        case VantageKind.NODE:
            return End(kind=EndKind.NODE, name=vantage.spec.node), ()
    told = vantage.facts.addresses if vantage.facts is not None else ()
    if known is not None:
        # A node comes to its own pods as an address of a bridge that no list tells of.
        nodes = {held.name for own in told if (held := known.world.holder(own)) and held.kind is EndKind.NODE}
        if len(nodes) == 1:
            return End(kind=EndKind.NODE, name=nodes.pop()), ()
    own = address_of(likely) or _only(told, target)
    if own is None:
        return NO_ADDRESS, (f"the address that {vantage.id} comes as is not known",)
    if own.is_private and target.is_global:
        return NO_ADDRESS, (f"{own} is a private address: what it is translated to on the way is not known",)
    return End(kind=EndKind.ADDRESS, name=str(own)), (f"{vantage.id} comes as {own}, its own address",)


def _only(told: tuple[str, ...], target: _Address) -> _Address | None:
    """The one address of a vantage that it can come as; None where it has several."""
    found = [own for text in told if (own := address_of(text)) is not None and own.version == target.version]
    fit = [own for own in found if not (own.is_loopback or own.is_link_local)]
    return fit[0] if len(fit) == 1 else None


def _pod(known: KnownWorld | None, vantage: Vantage) -> End:
    facts = vantage.facts
    made = facts.created.rpartition("/")[2] if facts is not None else ""
    end = End(kind=EndKind.POD, namespace=vantage.spec.namespace, name=vantage.spec.pod or made or "own-pod")
    if known is None:
        return end
    if facts is None or not facts.labels:
        known.visit(BrokenPod(namespace=end.namespace, name=end.name, why="its labels are not known"))
        return end
    known.visit(
        PodRecord(
            cluster=known.cluster,
            namespace=end.namespace,
            name=end.name,
            labels=facts.labels,
            addresses=facts.addresses,
            node=facts.node,
            phase="Running",
        )
    )
    return end
