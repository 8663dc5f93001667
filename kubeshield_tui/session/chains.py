"""Every cell's chain of layers, built of all that is known: policies, hosts' firewalls, clouds, who listens.

Kept as things were when they were last told to be others: whoever judges many cells pays for each kind of cell once.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace as replace_fields
from functools import lru_cache
from itertools import count
from time import time
from typing import NamedTuple

from msgspec import field
from msgspec.structs import replace

from kubeshield_tui.evidence.enforcement import Enforcement
from kubeshield_tui.evidence.netpol.party import End, EndKind, Question, address_of
from kubeshield_tui.judgement.chain import (
    EMPTY,
    FIREWALLS,
    POLICIES,
    Chain,
    Imagined,
    LayerName,
    first_denying,
    imagine,
    in_order,
)
from kubeshield_tui.model.cluster import Inventory
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.vantage import Vantage, VantageKind
from kubeshield_tui.model.verdict import Layer
from kubeshield_tui.session.enforcing import enforcement
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.flows import NO_ADDRESS, Flow, flow_of
from kubeshield_tui.session.host_layers import HostLayers
from kubeshield_tui.session.policy_layers import PolicyLayers, Said
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings

KEPT_SECONDS = 60.0
"""How long a chain is kept: readings of hosts grow old."""
PROVIDER = "provider"
SIDECAR = re.compile(r"istio/proxyv2|linkerd2?[/-].*proxy|envoyproxy/envoy|consul-dataplane|kuma-dp")
"""Images of proxies that meshes put beside a pod's own containers, by which all its connections go."""


class Row(Record, frozen=True):
    """What tells one endpoint from others, as far as policies and the places of its pods go."""

    cluster: str = ""
    kind: int | None = None
    """Number of its kind; None where it is one of its kind."""
    pods: frozenset[tuple[str, str]] = frozenset()


class Visitor(Record, frozen=True):
    """A pod that asks, and the chains of its cells by the kinds of their rows."""

    vantage: Vantage
    policies: PolicyLayers
    pod: tuple[str, str]
    chains: dict[int, Chain] = field(default_factory=dict)


class Spoken(NamedTuple):
    """What policies say of a cell."""

    egress: Layer | None
    ingress: Layer | None
    changed_at: float


class Chains:
    """Chains of a session's cells."""

    def __init__(self, store: Store, worlds: Worlds, firewalls: Firewalls, settings: Settings) -> None:
        self._store = store
        self._worlds = worlds
        self._firewalls = firewalls
        self._settings = settings
        self._policies: dict[str, PolicyLayers] = {}
        self._enforcement: dict[str, Enforcement] = {}
        self._hosts: HostLayers | None = None
        self._rows: dict[EndpointId, Row] = {}
        self._kinds: dict[Hashable, int] = {}
        """Numbers of kinds of rows. None is given twice: a chain may be kept by one that was forgotten meanwhile."""
        self._numbers = count()
        self._visitors: dict[VantageId, Visitor] = {}
        self._kept: dict[CellKey, tuple[tuple[str, str], Chain]] = {}
        """Chains of cells that are of no kind, with the ends that they were made for."""
        self._kept_at = 0.0
        self._chains: dict[Hashable, Chain] = {}
        self._layers: dict[Layer, Layer] = {}

    def changed(self) -> None:
        """Look again at everything when next asked: something that chains are made of is another now."""
        self._enforcement.clear()
        self._hosts = None
        self._forget_classes()

    def _forget_classes(self) -> None:
        for known in (self._rows, self._kinds, self._visitors, self._kept, self._chains, self._layers):
            known.clear()

    def of(self, key: CellKey) -> Chain:
        """Return a cell's chain, in words that hold for all cells that are alike."""
        visitor = self._visitors.get(key.vantage)
        if visitor is None or visitor.vantage is not self._store.vantages.get(key.vantage) or visitor.policies.is_past:
            visitor = self._visitor(key.vantage)
        if visitor is None:
            return self._alone(key)
        row = self._rows.get(key.endpoint)
        if row is None:
            row = self._rows[key.endpoint] = self._row(key.endpoint)
        if row.kind is None or row.cluster != visitor.vantage.cluster or visitor.pod in row.pods:
            return self._alone(key)
        found = visitor.chains.get(row.kind)
        if found is None:
            found = visitor.chains[row.kind] = self._chain(key, exact=False)
        return found

    def exactly(self, key: CellKey) -> Chain:
        """Return it in words about this cell alone: names of pods, near misses, what each answer hangs on."""
        return self._chain(key, exact=True)

    def imagine(self, key: CellKey, left_out: frozenset[str]) -> Imagined | None:
        """Say what a judged cell would be with something left out; None where it was not measured.

        `left_out`: kinds of layers, failure domains, and what the `refs` of layers name.
        """
        judgement = self._store.cell(key).judgement
        if judgement is None:
            return None

        def reconsider(layer: Layer, refs: frozenset[str]) -> Layer:
            return self._without(key, layer, refs)

        told = imagine(judgement.layers, judgement.verdict, left_out, reconsider)
        return told._replace(opens=False) if judgement.listens is False else told

    # --- cells that are alike

    def _visitor(self, key: VantageId) -> Visitor | None:
        """The pod that asks, as it is now; None for others, whose cells are each one of its kind."""
        vantage = self._store.vantages.get(key)
        if vantage is None or vantage.spec.kind is not VantageKind.POD or self._host_layers().ways.gathered:
            return None  # rules of hosts may speak of every single address
        policies = self._policy_of(vantage.cluster)
        if policies is None:
            return None
        made = vantage.facts.created.rpartition("/")[2] if vantage.facts is not None else ""
        pod = (vantage.spec.namespace, vantage.spec.pod or made)
        visitor = self._visitors[key] = Visitor(vantage=vantage, policies=policies, pod=pod)
        return visitor

    def _alone(self, key: CellKey) -> Chain:
        """The chain of a cell that is one of its kind. The next answer most often finds it as it was."""
        observation = self._store.cell(key).observation
        ends = (observation.source, observation.peer) if observation is not None else ("", "")
        now = time()
        if now - self._kept_at > KEPT_SECONDS:
            self._kept.clear()
            self._kept_at = now
        kept = self._kept.get(key)
        if kept is None or kept[0] != ends:
            kept = self._kept[key] = (ends, self._as_others(self._chain(key, exact=False)))
        return kept[1]

    def _as_others(self, chain: Chain) -> Chain:
        """The chain that is the same as this one, if there was one: a large grid holds few different ones."""
        # Policies' layers are the same only where the very same policies were asked of ends that are alike.
        layers = tuple(
            layer if layer.layer in POLICIES else self._layers.setdefault(layer, layer) for layer in chain.layers
        )
        rest = (chain.listener, chain.listener_text, chain.front, chain.deny_style, chain.changed_at)
        key = (*map(id, layers), rest, chain.rejecters, chain.notes)
        found = self._chains.get(key)
        if found is None:
            found = self._chains[key] = replace_fields(chain, layers=layers)
        return found

    def _row(self, key: EndpointId) -> Row:
        endpoint = self._store.endpoints.get(key)
        policy = self._policy_of(endpoint.cluster) if endpoint is not None else None
        target = address_of(endpoint.host) if endpoint is not None else None
        if endpoint is None or policy is None or target is None:
            return Row()
        end = End(kind=EndKind.ADDRESS, name=str(target))
        protocol = str(endpoint.protocol).upper()
        leads = policy.target(Question(source=NO_ADDRESS, destination=end, port=endpoint.port, protocol=protocol))
        if leads.shape == end or not leads.pods:
            return Row()
        behind = (bool(endpoint.backends), endpoint.backend_port.isdecimal(), endpoint.port, protocol)
        kind = (leads._replace(pods=frozenset()), behind)
        number = self._kinds.setdefault(kind, next(self._numbers))
        return Row(cluster=endpoint.cluster, kind=number, pods=leads.pods)

    # --- building

    def _chain(self, key: CellKey, *, exact: bool) -> Chain:
        endpoint, vantage = self._store.endpoints.get(key.endpoint), self._store.vantages.get(key.vantage)
        if endpoint is None or vantage is None:
            return EMPTY
        target = address_of(endpoint.host)
        if target is not None and target.is_loopback:
            return EMPTY  # nobody stands between a machine and itself
        hosts = self._host_layers().of(key, endpoint, vantage, time(), exact=exact)
        flow = flow_of(self._store, self._worlds, key, hosts.walk)
        spoken = self._spoken(flow, exact=exact) if flow is not None else Spoken(*_unnamed(endpoint, vantage), 0.0)
        layers = in_order(filter(None, (*hosts.layers, spoken.egress, spoken.ingress, *self._clouds(flow, vantage))))
        denying = first_denying(layers)
        policy = self._policy_of(flow.target_cluster) if flow is not None else None
        leads = policy.target(flow.arriving) if policy is not None and flow is not None else None
        style = ""
        if denying is not None and denying.layer in POLICIES and flow is not None:
            style = denying.how
        listener, text = hosts.listener, hosts.listener_text
        if listener is None and leads is not None:
            listener, text = leads.listener, leads.listener_text
        return Chain(
            layers=layers,
            listener=listener,
            listener_text=text,
            front=(leads is not None and leads.front) or (flow is not None and self._is_meshed(flow)),
            deny_style=style,
            changed_at=spoken.changed_at,
            rejecters=hosts.rejecters,
            notes=flow.notes if flow is not None and spoken.ingress is not None else (),
        )

    def _host_layers(self) -> HostLayers:
        if self._hosts is None:
            self._hosts = HostLayers(self._firewalls.ways())
        return self._hosts

    def enforcement(self, cluster: str) -> Enforcement:
        """Return what is known of a cluster's enforcement of policies."""
        found = self._enforcement.get(cluster)
        if found is None:
            found = self._enforcement[cluster] = enforcement(self._store, self._settings, cluster)
        return found

    def _policy_of(self, cluster: str) -> PolicyLayers | None:
        made = self._policies.get(cluster)
        same = made is not None and not made.is_past
        if made is not None and same and made.enforcement is self._enforcement.get(cluster):
            return made
        known = self._worlds.of(cluster)
        if known is None:
            return None
        told = self.enforcement(cluster)
        if made is not None and same and made.enforcement == told:
            self._enforcement[cluster] = made.enforcement
            return made
        self._forget_classes()
        made = self._policies[cluster] = PolicyLayers(known, told)
        return made

    def _spoken(self, flow: Flow, *, exact: bool) -> Spoken:
        leaving = self._policy_of(flow.source_cluster)
        arriving = leaving if flow.source_cluster == flow.target_cluster else self._policy_of(flow.target_cluster)
        egress, ingress = Said(), Said()
        if leaving is not None:
            egress = leaving.exactly(flow.leaving) if exact else leaving.of(flow.leaving)
        if arriving is not None:
            if flow.arrivals:
                ask = arriving.exactly if exact else arriving.of
                ingress = _either([(question, ask(question)) for question in flow.arriving_as])
            elif arriving is leaving:
                ingress = egress
            else:
                ingress = arriving.exactly(flow.arriving) if exact else arriving.of(flow.arriving)
        unread_source = bool(flow.source_cluster) and leaving is None
        unread_target = bool(flow.target_cluster) and arriving is None
        return Spoken(
            _unread(LayerName.EGRESS_POLICY, flow.source_cluster) if unread_source else egress.egress,
            _unread(LayerName.INGRESS_POLICY, flow.target_cluster) if unread_target else ingress.ingress,
            max(egress.changed_at, ingress.changed_at),
        )

    def _without(self, key: CellKey, layer: Layer, refs: frozenset[str]) -> Layer:
        """A layer with policies or rules left out, asked anew."""
        if layer.layer in FIREWALLS:
            lesser = self._host_layers().without(key, layer, refs, time())
            if lesser is not None:
                return lesser
        flow = flow_of(self._store, self._worlds, key, self._host_layers().ways.walk(key))
        is_egress = layer.layer == LayerName.EGRESS_POLICY.value
        if flow is None or layer.layer not in POLICIES:
            why = f"what decides without {', '.join(sorted(refs))} was not worked out"
            return replace(layer, verdict=Predicted.UNKNOWN, decider=why, missing=why, how="", answer="")
        policy = self._policy_of(flow.source_cluster if is_egress else flow.target_cluster)
        if policy is None:
            return layer
        if is_egress:
            return policy.without(flow.leaving, refs).egress or layer
        return _either([(question, policy.without(question, refs)) for question in flow.arriving_as]).ingress or layer

    def _is_meshed(self, flow: Flow) -> bool:
        """Whether a proxy beside the source takes what it sends: it says `open` whatever becomes of it then."""
        known, source = self._worlds.of(flow.source_cluster), flow.source
        if known is None or source.kind is not EndKind.POD:
            return False
        pod = self._host_layers().ways.pod(flow.source_cluster, source.namespace, source.name)
        labels = known.world.namespace_labels(source.namespace).known
        images = pod.images if pod is not None else ()
        injected = pod is None and (labels.get("istio-injection") == "enabled" or "istio.io/rev" in labels)
        return injected or any(SIDECAR.search(image) for image in images)

    def _clouds(self, flow: Flow | None, vantage: Vantage) -> Iterator[Layer]:
        """Groups of a cloud, which are not read: between nodes of one, and between it and the rest of the world."""
        if flow is None:
            return
        inside = vantage.cluster if vantage.spec.kind in {VantageKind.POD, VantageKind.NODE} else ""
        policy = self._policy_of(flow.target_cluster)
        leads = policy.target(flow.arriving) if policy is not None else None
        if leads is not None and inside == flow.target_cluster and leads.nodes == {vantage.node}:
            return  # it stays on its node
        held = leads is not None and bool(leads.nodes or leads.pods)
        for name, cluster in ((LayerName.CLOUD_SOURCE, inside), (LayerName.CLOUD_TARGET, flow.target_cluster)):
            if name is LayerName.CLOUD_TARGET and not held:
                continue
            provider = _provider(self._store.clusters.get(cluster))
            if cluster and provider:
                why = f"groups of {provider} are not read"
                yield Layer(
                    layer=name.value,
                    verdict=Predicted.UNKNOWN,
                    decider=why,
                    domain=f"cloud of {cluster}",
                    missing=why,
                )


def _provider(inventory: Inventory | None) -> str:
    """The cloud that a cluster's nodes are in; empty where they are in none, or nothing tells of one."""
    recognised = inventory.cluster.recognised if inventory is not None else ()
    return next((each.name for each in recognised if each.what == PROVIDER), "")


def _either(told: Sequence[tuple[Question, Said]]) -> Said:
    """What policies make of a visitor who is seen in one of several ways: which, hangs on where they are enforced."""
    first = told[0][1]
    said = [(question, each.ingress) for question, each in told if each.ingress is not None]
    if not said:
        return first
    is_replaced = len({asked.source for asked, _ in said}) > 1 or said[0][0].source.kind is EndKind.ADDRESS
    texts = [f"as {asked.source.text}: {layer.decider}" if is_replaced else layer.decider for asked, layer in said]
    decider = "; or ".join(dict.fromkeys(texts))
    verdicts = {layer.verdict for _, layer in said}
    verdict = verdicts.pop() if len(verdicts) == 1 else Predicted.UNKNOWN
    refs = tuple(dict.fromkeys(ref for _, layer in said for ref in layer.refs))
    how = said[0][1].how if verdict is Predicted.DENY else ""
    doubts = tuple(dict.fromkeys(text for _, layer in said for text in layer.assumptions))
    ingress = replace(said[0][1], verdict=verdict, decider=decider, refs=refs, how=how, assumptions=doubts)
    return Said(first.egress, ingress, max(each.changed_at for _, each in told))


@lru_cache(256)
def _unread(name: LayerName, cluster: str) -> Layer:
    why = f"cluster {cluster} was not read"
    return Layer(
        layer=name.value,
        verdict=Predicted.UNKNOWN,
        decider=why,
        domain=f"policies of {cluster}",
        enforced=None,
        missing=why,
    )


def _unnamed(endpoint: Endpoint, vantage: Vantage) -> tuple[Layer | None, Layer | None]:
    """Policies where it is not known which address a name stands for."""
    why = f"which address {endpoint.host} stands for there is not known"

    def layer(name: LayerName, cluster: str) -> Layer | None:
        if not cluster:
            return None
        unread = _unread(name, cluster)
        return replace(unread, decider=why, missing=why)

    source = vantage.cluster if vantage.spec.kind is VantageKind.POD else ""
    return layer(LayerName.EGRESS_POLICY, source), layer(LayerName.INGRESS_POLICY, endpoint.cluster)
