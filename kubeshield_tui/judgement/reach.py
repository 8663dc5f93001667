"""Who can reach a component now, by zone, from judged cells alone: what was not measured is said, never a no."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kubeshield_tui.judgement.cluster_view import ClusterView, listed
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import CellKey, VantageId
from kubeshield_tui.model.vantage import Vantage, Zone
from kubeshield_tui.model.verdict import Verdict

REACHED = frozenset({Verdict.EXPOSED, Verdict.REACHABLE})
STOPPED = frozenset({Verdict.BLOCKED, Verdict.DEAD})
NOT_PROVEN = frozenset({Verdict.UNPROVEN, Verdict.BROKEN})
WORST_FIRST = (Zone.OUTSIDE, Zone.POD, Zone.NODE, Zone.ADMIN)


class Reach(NamedTuple):
    """Vantages by what they get from a set of endpoints; those from where all are out of scope stand nowhere."""

    endpoints: tuple[Endpoint, ...] = ()
    reached: tuple[Vantage, ...] = ()
    """At least one endpoint answers them; the worst zone first."""
    stopped: tuple[Vantage, ...] = ()
    """Proven, or nothing listens, at every endpoint."""
    not_proven: tuple[Vantage, ...] = ()
    unmeasured: tuple[Vantage, ...] = ()
    """At least one endpoint was not measured, and none of the others answers."""
    worst: tuple[Endpoint, Vantage] | None = None
    """A cell that answers, from the worst zone."""

    @property
    def zone(self) -> Zone | None:
        """The worst zone that reaches it."""
        return self.reached[0].zone if self.reached else None

    @property
    def ids(self) -> tuple[VantageId, ...]:
        """Vantages that reach it."""
        return tuple(vantage.id for vantage in self.reached)

    @property
    def measured(self) -> int:
        """Vantages that say something about it."""
        return len(self.reached) + len(self.stopped) + len(self.not_proven)

    def summary(self) -> str:
        """`reachable from 37 of 41 vantages`, short enough for a title."""
        if not self.measured:
            return "who reaches it was not measured"
        return f"reachable from {len(self.reached)} of {self.measured} vantages"

    def sentences(self, components: str) -> Iterator[str]:
        """Who reaches it, who does not, and what is not known."""
        if not self.endpoints:
            yield f"no endpoint of {components} is in the grid: who reaches it was not measured"
            return
        yield self.summary() + (f" ({_by_zone(self.reached)})" if self.reached else "")
        if self.stopped:
            yield f"not reachable from {_names(self.stopped)}"
        if self.not_proven:
            yield f"not answered, and not proven to be blocked, from {_names(self.not_proven)}"
        if self.unmeasured:
            yield f"not measured from {_names(self.unmeasured)}"
        seen = {vantage.zone for vantage in (*self.reached, *self.stopped, *self.not_proven)}
        if blind := [zone for zone in (Zone.OUTSIDE, Zone.POD) if zone not in seen]:
            yield f"nothing was measured from zone {' and '.join(blind)}: it may be reachable from there"


def reach_of(view: ClusterView, endpoints: tuple[Endpoint, ...]) -> Reach:
    """Sort all vantages by what they get from these endpoints."""
    groups: dict[str, list[Vantage]] = {"reached": [], "stopped": [], "not_proven": [], "unmeasured": []}
    answered: dict[VantageId, Endpoint] = {}
    for vantage in sorted(view.vantages, key=lambda each: (WORST_FIRST.index(each.zone), each.id)):
        verdicts: set[Verdict | None] = set()
        for endpoint in endpoints:
            sight = view.look(CellKey(endpoint.id, vantage.id))
            if not sight.out_of_scope:
                verdicts.add(sight.verdict)
            if sight.verdict in REACHED:
                answered[vantage.id] = endpoint
                break  # one is enough, and there may be thousands of nodes
        if verdicts:
            groups[_group(verdicts)].append(vantage)
    first = groups["reached"][0] if groups["reached"] else None
    return Reach(
        endpoints=endpoints,
        worst=(answered[first.id], first) if first else None,
        **{name: tuple(vantages) for name, vantages in groups.items()},
    )


def _group(verdicts: set[Verdict | None]) -> str:
    if verdicts & REACHED:
        return "reached"
    if verdicts <= STOPPED:
        return "stopped"
    return "not_proven" if verdicts <= STOPPED | NOT_PROVEN else "unmeasured"


def _by_zone(vantages: tuple[Vantage, ...]) -> str:
    zones = {zone: [vantage.id for vantage in vantages if vantage.zone is zone] for zone in WORST_FIRST}
    return "; ".join(f"{zone}: {listed([*ids])}" for zone, ids in zones.items() if ids)


def _names(vantages: tuple[Vantage, ...]) -> str:
    return listed([vantage.id for vantage in vantages])
