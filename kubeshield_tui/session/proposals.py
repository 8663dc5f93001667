"""How to close what a finding is about: proposed from all that the session knows, and tried on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import NamedTuple

from msgspec.structs import replace

from kubeshield_tui.discovery.catalogue import API_SERVER, SERVICE, TARGET
from kubeshield_tui.evidence.enforcement import Enforcement
from kubeshield_tui.evidence.netpol.explain import decide
from kubeshield_tui.evidence.netpol.party import EndKind
from kubeshield_tui.evidence.netpol.policy import Direction
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.judgement.arriving import arrivals_of, close_arriving
from kubeshield_tui.judgement.leaving import Closed
from kubeshield_tui.judgement.possible import kinds_of, possible_flows
from kubeshield_tui.judgement.remedy import Remedy, close_leaving
from kubeshield_tui.judgement.trial import KnownFlow, Trial, try_policy
from kubeshield_tui.judgement.walls import api_addresses
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey, EndpointId
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.vantage import VantageKind
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.session.enforcing import enforcement
from kubeshield_tui.session.flows import flow_of
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.worlds import Worlds
from kubeshield_tui.settings.schema import Settings

NO_POLICY_BETWEEN = (
    "no NetworkPolicy lies between: it neither comes from a pod nor leads to one. A firewall is what can close it"
)

NOT_ENFORCED = (
    "policies deny it already, and it was seen open: another one changes nothing. Either they are not enforced there "
    "(`kubeshield selftest` shows it), or it goes a way that they do not see"
)
NEVER_ENFORCED = "policies are not enforced in this cluster, so that none closes anything"
WORKLOADS = frozenset({SERVICE, TARGET})
"""Components that have nothing in common but that nothing is known of them."""
_NOWHERE = ("", "")
_NO_ENDPOINT = EndpointId("")


class Proposal(Record, frozen=True):
    """One way to close some cells."""

    cluster: str
    cells: tuple[CellKey, ...]
    """Those that it is to close."""
    remedy: Remedy
    trial: Trial = Trial(asked=0)
    """On the cells that are known."""
    possible: Trial = Trial(asked=0)
    """On connections that nobody asked: what else it would cut."""
    alike: Mapping[str, int] = {}
    """By the name of a pod in `possible`: how many others it stands for."""
    concerned: tuple[CellKey, ...] = ()
    """Cells whose answer may be another once it is applied."""

    @property
    def text(self) -> str:
        """The manifest; empty where no new policy can close it."""
        return self.remedy.draft.text if self.remedy.draft is not None else ""

    @property
    def is_safe(self) -> bool:
        """It closes what it is to close, breaks nothing that is known to be needed, opens nothing."""
        return self.remedy.draft is not None and self.trial.closes and self.trial.is_safe and not self.possible.opened


def cells_of(store: Store, finding: Finding) -> tuple[CellKey, ...]:
    """The cells that a finding is about, and those that are exposed by the same: the endpoint to others, the component
    to the same namespace. Empty for one that is about no cell.
    """
    own = CellKey(finding.endpoint, finding.vantage)
    if finding.endpoint not in store.endpoints or finding.vantage not in store.vantages:
        return ()
    namespace = _namespace(store, own)
    alike = [own]
    for key, cell in store.cells.items():
        if key == own or cell.verdict is not Verdict.EXPOSED or key.endpoint not in store.endpoints:
            continue
        component = store.endpoints[key.endpoint].component
        same_wall = (
            namespace != _NOWHERE
            and component == finding.component
            and component not in WORKLOADS
            and _namespace(store, key) == namespace
        )
        if key.endpoint == finding.endpoint or same_wall:
            alike.append(key)
    return tuple(alike)


def _namespace(store: Store, key: CellKey) -> tuple[str, str]:
    """Cluster and namespace of a vantage that is a pod; empty for others."""
    vantage = store.vantages.get(key.vantage)
    is_pod = vantage is not None and vantage.spec.kind is VantageKind.POD
    return (vantage.cluster, vantage.spec.namespace) if is_pod and vantage is not None else _NOWHERE


def propose(store: Store, worlds: Worlds, settings: Settings, cells: Iterable[CellKey]) -> tuple[Proposal, ...]:
    """Ways to close cells, one for each set of pods or namespace that a policy can stand at."""
    wanted = tuple(dict.fromkeys(cells))
    made: list[Proposal] = []
    for cluster in store.clusters:
        known = worlds.of(cluster)
        if known is None:
            continue
        enforced = enforcement(store, settings, cluster)
        if known.world.profile != enforced.profile:
            known.world.profile = enforced.profile
        look = _Look(store, worlds, cluster, known.world, enforced)
        made += [_proposal(look, group) for group in _groups(look, wanted)]
    covered = {key for proposal in made for key in proposal.cells}
    rest = tuple(key for key in wanted if key not in covered)
    if rest:
        made.append(Proposal(cluster="", cells=rest, remedy=Remedy(notes=(NO_POLICY_BETWEEN,))))
    return tuple(made)


class _Look(NamedTuple):
    """The cells of a session as one cluster's policies see them."""

    store: Store
    worlds: Worlds
    cluster: str
    world: World
    enforcement: Enforcement

    def flow(self, key: CellKey, *, closing: bool = False) -> KnownFlow | None:
        """A cell's connection; None where these policies do not speak of it."""
        flow = flow_of(self.store, self.worlds, key)
        if flow is None or self.cluster not in {flow.source_cluster, flow.target_cluster}:
            return None
        question = flow.leaving if flow.source_cluster == self.cluster else flow.arriving
        cell = self.store.cell(key)
        return KnownFlow(
            key=key,
            source=question.source,
            destination=question.destination,
            port=question.port,
            protocol=question.protocol,
            must=cell.judgement.expectation.must if cell.judgement is not None else Must.ANY,
            state=cell.observation.state if cell.observation is not None else None,
            closing=closing,
        )


class _Group(NamedTuple):
    """Connections that one policy can close."""

    direction: Direction
    namespace: str
    flows: tuple[KnownFlow, ...]


def _groups(look: _Look, wanted: Iterable[CellKey]) -> list[_Group]:
    """Ingress where it leads to pods: one policy keeps out all who should not come. Egress for all else."""
    found: dict[tuple[Direction, str, tuple[str, ...]], list[KnownFlow]] = {}
    for key in wanted:
        flow = look.flow(key, closing=True)
        if flow is None:
            continue
        pods = {arrival.destination.text: arrival.destination for arrival in arrivals_of(look.world, flow)}
        namespaces = {pod.namespace for pod in pods.values()}
        if len(namespaces) == 1 and not any(pod.host_network for pod in pods.values()):
            place = (Direction.INGRESS, namespaces.pop(), tuple(sorted(pods)))
        elif flow.source.kind is EndKind.POD:
            place = (Direction.EGRESS, flow.source.namespace, ())
        else:
            continue
        found.setdefault(place, []).append(flow)
    return [_Group(direction, namespace, tuple(flows)) for (direction, namespace, _), flows in found.items()]


def _concerned(look: _Look, group: _Group) -> Iterator[KnownFlow]:
    """What is known of connections on which a policy of this namespace and direction may bear."""
    store, closing = look.store, {flow.key: flow for flow in group.flows}
    if group.direction is Direction.EGRESS:
        here = (look.cluster, group.namespace)
        columns = {vantage for vantage in store.vantages if _namespace(store, CellKey(_NO_ENDPOINT, vantage)) == here}
        keys = [key for key in store.cells if key.vantage in columns]
    else:
        rows = {endpoint.id for endpoint in store.endpoints.values() if _may_lead_to(look, endpoint, group.namespace)}
        keys = [key for key in store.cells if key.endpoint in rows]
    for key in dict.fromkeys((*closing, *keys)):
        flow = closing.get(key) or look.flow(key)
        if flow is not None:
            yield flow


def _may_lead_to(look: _Look, endpoint: Endpoint, namespace: str) -> bool:
    if endpoint.node or namespace in {endpoint.namespace, *(pod.namespace for pod in endpoint.backends)}:
        return True
    held = look.world.holder(endpoint.host)
    return held is not None and held.namespace == namespace


def _proposal(look: _Look, group: _Group) -> Proposal:
    world, known = look.world, tuple(_concerned(look, group))
    closed: tuple[Closed, ...] = ()
    if group.direction is Direction.INGRESS:
        remedy = close_arriving(world, known)
    else:
        closed = tuple(_closed(look, group.flows))
        remedy = close_leaving(world, group.namespace, closed, known)
    cells, draft = tuple(flow.key for flow in group.flows), remedy.draft
    if look.enforcement.enforces is False:
        evidence = "; ".join(look.enforcement.evidence)
        remedy = replace(remedy, notes=(f"{NEVER_ENFORCED}: {evidence}", *remedy.notes))
    elif any(flow.state is State.OPEN and decide(world, flow.question) is Predicted.DENY for flow in group.flows):
        remedy = replace(remedy, notes=(NOT_ENFORCED, *remedy.notes))
    if draft is None:
        return Proposal(cluster=look.cluster, cells=cells, remedy=remedy)
    asked = {flow.question for flow in known}
    unasked = [flow for flow in possible_flows(world, draft, closed) if flow.question not in asked]
    pods = (world.pod(end.namespace, end.name) for end in world.pods)
    return Proposal(
        cluster=look.cluster,
        cells=cells,
        remedy=remedy,
        trial=try_policy(world, draft.policy, known),
        possible=try_policy(world, draft.policy, unasked),
        alike={text: kind.alike for text, kind in kinds_of(pod for pod in pods if pod).items()},
        concerned=tuple(flow.key for flow in known),
    )


def _closed(look: _Look, flows: Iterable[KnownFlow]) -> Iterator[Closed]:
    """Addresses to close so that connections are: of the API all that lead to it."""
    told: set[str] = set()
    for flow in flows:
        endpoint = look.store.endpoints[flow.key.endpoint]
        address = str(ip_address(flow.destination.name))
        if endpoint.component == API_SERVER:
            for item in api_addresses(look.world):
                told.add(item.address)
                yield item
        if address not in told:
            told.add(address)
            held = look.world.holder(address)
            is_service = held is not None and held.kind is EndKind.SERVICE
            yield Closed(
                address=address, says=endpoint.name, port=0 if is_service else flow.port, protocol=flow.protocol
            )
