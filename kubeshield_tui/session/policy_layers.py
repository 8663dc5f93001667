"""What a cluster's policies say of each cell, as layers: worked out once for all cells that no policy tells apart."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from kubeshield_tui.evidence.enforcement import Enforcement
from kubeshield_tui.evidence.netpol.explain import evaluate
from kubeshield_tui.evidence.netpol.party import Address, EndKind, Party, PartyKind, Question
from kubeshield_tui.evidence.netpol.policy import ObjectKey
from kubeshield_tui.evidence.netpol.services import resolve
from kubeshield_tui.evidence.netpol.tiers import NOTHING, Without
from kubeshield_tui.evidence.netpol.tri import Assumption, Reason
from kubeshield_tui.evidence.netpol.verdict import DirectionVerdict, Verdict
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.judgement.chain import LayerName
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.verdict import Layer
from kubeshield_tui.session.flows import NO_ADDRESS
from kubeshield_tui.session.worlds import KnownWorld

REF = "policy:"
_NAMED = frozenset({Assumption.FOREIGN_POLICY, Assumption.UNDECIDABLE, Assumption.EQUAL_PRIORITY, Assumption.NOT_THERE})
"""Assumptions whose subject is a policy, or what was asked for; others may be about one pod of many that are alike."""
_TAKEN_FOR_GRANTED = frozenset({Assumption.OWN_NODE})
"""What the specification says: no assumption that an answer rests on."""


class Target(NamedTuple):
    """What a cell's address leads to."""

    shape: Hashable
    """Targets of one shape get the same answers from one source, unless something ties the two."""
    pods: frozenset[tuple[str, str]] = frozenset()
    nodes: frozenset[str] = frozenset()
    """Where those pods run, or the node itself."""
    is_policed: bool = False
    """A pod is there: policies of its cluster speak of what arrives."""
    front: bool = False
    """A node port or balancer answers in its place."""
    listener: bool | None = None
    listener_text: str = ""


class Said(NamedTuple):
    """What policies of one cluster say of a connection."""

    egress: Layer | None = None
    """None where no policy can speak of it."""
    ingress: Layer | None = None
    changed_at: float = 0.0
    """When the newest policy that bears on it came to be as it is."""


class PolicyLayers:
    """One cluster's policies. Make another one when its World or its enforcement changed."""

    def __init__(self, known: KnownWorld, enforcement: Enforcement) -> None:
        self.known = known
        self.revision = known.revision
        self.enforcement = enforcement
        self._world = known.world
        if self._world.profile != enforcement.profile:
            self._world.profile = enforcement.profile
        self._targets: dict[tuple[str, int, str], Target] = {}
        self._said: dict[Hashable, Said] = {}

    @property
    def is_past(self) -> bool:
        """Whether the cluster is another by now."""
        return self.revision != self.known.revision

    def target(self, question: Question) -> Target:
        """Tell what a question's address leads to."""
        place = (question.destination.name, question.port, question.protocol)
        found = self._targets.get(place)
        if found is None:
            found = self._targets[place] = _target(self._world, question, lacks_pods=self.known.lacks_pods)
        return found

    def of(self, question: Question) -> Said:
        """Say what policies make of a connection, in words that hold for all that are alike."""
        key = self._key(question)
        found = self._said.get(key)
        if found is None:
            found = self._said[key] = self._evaluated(question, NOTHING, exact=False)
        return found

    def exactly(self, question: Question) -> Said:
        """Say it of this connection alone: with the pods' names, near misses, and what it hangs on."""
        return self._evaluated(question, NOTHING, exact=True)

    def without(self, question: Question, refs: frozenset[str]) -> Said:
        """Say what policies make of it with some of them left out."""
        key = (self._key(question), refs)
        found = self._said.get(key)
        if found is None:
            left_out = Without(policies=frozenset(filter(None, map(key_of_ref, refs))))
            found = self._said[key] = self._evaluated(question, left_out, exact=False)
        return found

    def _key(self, question: Question) -> Hashable:
        target, source = self.target(question), question.source
        place: Hashable = target.shape
        if source.kind is EndKind.NODE:
            place = (target.shape, target.nodes)  # a node always reaches its own pods
        elif source.kind is EndKind.POD:
            pod = self._world.pod(source.namespace, source.name)
            is_tied = (source.namespace, source.name) in target.pods or (pod is not None and pod.host_network)
            place = question.destination if is_tied else target.shape
        return source, place, question.port, question.protocol

    def _evaluated(self, question: Question, left_out: Without, *, exact: bool) -> Said:
        verdict = evaluate(self._world, question, left_out)
        target = self.target(question)
        makes = _Maker(self.known, self.enforcement, verdict, exact)
        egress = makes.layer(LayerName.EGRESS_POLICY) if question.source.kind is EndKind.POD else None
        ingress = None
        if target.is_policed:
            ingress = makes.layer(LayerName.INGRESS_POLICY) if target.pods else makes.unknown(target)
        keys = {effect.key for direction in verdict.directions for effect in direction.policies}
        changed = max((self.known.changed_at.get(key, 0.0) for key in keys), default=0.0)
        return Said(egress, ingress, max(changed, self.known.removed_at))


class _Maker(NamedTuple):
    """Makes layers of one verdict."""

    known: KnownWorld
    enforcement: Enforcement
    verdict: Verdict
    exact: bool

    def layer(self, name: LayerName) -> Layer:
        """One direction as a layer."""
        directions = self.verdict.directions
        cluster = self.known.cluster
        enforced = self.enforcement.enforces
        if not directions:
            told = self._texts(self.verdict.assumptions)
            why = "; ".join(told) or "nothing to evaluate was found"
            return Layer(
                layer=name.value,
                verdict=Predicted.UNKNOWN,
                decider=why,
                domain=f"policies of {cluster}",
                enforced=enforced,
                missing=why,
            )
        direction = directions[0 if name is LayerName.EGRESS_POLICY else 1]
        deciding = [effect for effect in direction.policies if effect.decides] or list(direction.policies)
        near = next((f"{it.key.text}: {it.near_miss}" for it in direction.policies if it.near_miss), "")
        return Layer(
            layer=name.value,
            verdict=direction.verdict,
            decider=direction.because,
            domain=f"policies of {cluster}",
            place=direction.subject if self.exact else "",
            how=self.enforcement.deny_style if direction.verdict is Predicted.DENY else "",
            enforced=enforced,
            refs=tuple(dict.fromkeys(ref_of(cluster, effect.key) for effect in direction.policies)),
            assumptions=self._assumptions(direction),
            near_miss=near if self.exact or name is LayerName.INGRESS_POLICY else "",
            where=next((effect.where.text for effect in deciding if effect.where.text), ""),
        )

    def unknown(self, target: Target) -> Layer:
        """What arrives at pods of which nothing is known."""
        why = f"{target.listener_text or 'pods there'}: none of them was read"
        return Layer(
            layer=LayerName.INGRESS_POLICY.value,
            verdict=Predicted.UNKNOWN,
            decider=why,
            domain=f"policies of {self.known.cluster}",
            enforced=self.enforcement.enforces,
            missing=why,
        )

    def _assumptions(self, direction: DirectionVerdict) -> tuple[str, ...]:
        # What a whole question rests on, such as a source that a node replaces, is said of both directions.
        own = [reason for reason in direction.reasons if reason.assumption not in _TAKEN_FOR_GRANTED]
        shared = [
            reason
            for reason in self.verdict.assumptions
            if reason.assumption in {Assumption.SOURCE_REWRITTEN, Assumption.BACKENDS}
        ]
        return self._texts((*own, *shared))

    def _texts(self, reasons: Iterable[Reason]) -> tuple[str, ...]:
        told = (it.text if self.exact or it.assumption in _NAMED else it.assumption.sentence for it in reasons)
        return tuple(dict.fromkeys(told))


def ref_of(cluster: str, key: ObjectKey) -> str:
    """Name a policy: `policy:prod/NetworkPolicy/shop/db`."""
    return f"{REF}{cluster}/{key.kind}/{key.namespace}/{key.name}"


def key_of_ref(ref: str) -> ObjectKey | None:
    """Read a policy's name back; None for what names none. A context's name may hold slashes, the rest does not."""
    parts = ref.removeprefix(REF).rsplit("/", 3)
    if not ref.startswith(REF) or len(parts) != 4:
        return None
    return ObjectKey(kind=parts[1], namespace=parts[2], name=parts[3])


# --- what an address leads to


def _target(world: World, question: Question, *, lacks_pods: bool) -> Target:
    held = world.holder(question.destination.name)
    exact = question.destination
    if held is None:
        outside = world.outside(question.destination.name)
        # Where pods may not be listed, an address that nothing is known of may be one's.
        is_link_local = any(map(_is_link_local, outside.addresses))
        return Target(("outside", world.policies.class_of(outside)), is_policed=lacks_pods and not is_link_local)
    parties = tuple(dict.fromkeys(_arrivals(world, question)))
    pods = frozenset((party.namespace, party.name) for party, _ in parties if party.kind is PartyKind.POD)
    found = Target(
        shape=exact,
        pods=pods,
        nodes=frozenset(party.node for party, _ in parties if party.node),
        is_policed=bool(pods) or held.kind is EndKind.POD,
    )
    if held.kind is EndKind.NODE:
        return found._replace(front=world.node_port(question.port, question.protocol) is not None)
    if held.kind is EndKind.SERVICE:
        service = world.service(held.namespace, held.name)
        if service is None:
            return found
        is_own = question.destination.name in service.addresses
        listener, text = _listener(world, held.namespace, held.name)
        found = found._replace(front=not is_own, listener=listener, listener_text=text)
        # It is there for a pod even where no pod is behind it now.
        found = found._replace(is_policed=bool(pods) or bool(service.selector))
        if not is_own or service.internal_traffic_policy == "Local":
            return found
    plain = all(party.kind is PartyKind.POD and not party.is_node_like for party, _ in parties)
    if not parties or not plain:
        return found
    kinds = frozenset(
        (party.namespace, world.policies.class_of(party), party.versions, port) for party, port in parties
    )
    return found._replace(shape=("pods", kinds, question.port if held.kind is EndKind.POD else 0))


def _is_link_local(address: Address) -> bool:
    version, value = address
    return value >> 16 == 0xA9FE if version == 4 else value >> 118 == 0x3FA


def _arrivals(world: World, question: Question) -> Iterator[tuple[Party, int]]:
    """Where a connection from outside may arrive, with the port there."""
    for path in resolve(world, replace(question, source=NO_ADDRESS)).paths:
        yield path.ingress.destination, path.ingress.traffic.port


def _listener(world: World, namespace: str, name: str) -> tuple[bool | None, str]:
    """Whether a Service has a ready backend; None where nothing tells of its backends."""
    service = world.service(namespace, name)
    slices = world.slices_of(service) if service is not None else []
    if service is None or not slices:
        return None, ""
    ready = sum(backend.ready or service.publish_not_ready for record in slices for backend in record.backends)
    total = sum(len(record.backends) for record in slices)
    return ready > 0, f"{ready} of {total} backends ready"
