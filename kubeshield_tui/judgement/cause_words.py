"""A cause in words: what is open or broken and to whom, how often, and a handful of cells that show it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kubeshield_tui.discovery.catalogue import METADATA_GROUP
from kubeshield_tui.judgement.cluster_view import listed
from kubeshield_tui.judgement.comparison import Code
from kubeshield_tui.model.cause import Reach
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.vantage import Vantage, Zone

SHOWN = 4
"""Cells that stand for all; the rest is counted."""
OBSERVED = "observed "
"""What the line of a finding begins with that tells what its cell answered."""
NAMED = 2
"""Names in a title before they are counted."""
OF_CELLS: dict[str, str] = {
    "broken": "must be reachable and is not",
    "different-target": "is not the same server from everywhere",
    Code.NOT_ENFORCED: "answers, though the rules say no",
    Code.BYPASSED: "answers past the rule that should stop it",
    Code.BLOCKED_ELSEWHERE: "does not answer, though the rules allow it",
    Code.REJECTED_ELSEWHERE: "is rejected by something that the rules do not name",
    Code.NOTHING_LISTENS: "has nothing that listens",
    Code.UNEXPECTED_LISTENER: "answers, and nothing should listen",
}
NAMED_CAUSE: dict[str, str] = {
    Code.NOT_ENFORCED: "not enforced: ",
    Code.BYPASSED: "bypassed: ",
    Code.BLOCKED_ELSEWHERE: "blocked by something else than the rules: ",
    Code.REJECTED_ELSEWHERE: "rejected by something else than the rules: ",
}


class Member(NamedTuple):
    """A finding with the two ends of its cell, None where they are gone from the grid or it has none."""

    finding: Finding
    endpoint: Endpoint | None
    vantage: Vantage | None
    depth: int
    """Layers that would still hold in its cell."""


def is_workload(endpoint: Endpoint) -> bool:
    """Whether it stands under its namespace in the grid; the control plane has objects in namespaces too."""
    return bool(endpoint.namespace) and endpoint.group == endpoint.namespace


def what_of(members: list[Member]) -> str:
    """What is so, and for whom, without the count. `members` have one cause, the worst first."""
    worst = members[0].finding
    if worst.cause:
        return f"{NAMED_CAUSE.get(worst.code, f'{worst.code}: ')}{worst.cause}"
    if worst.code == "exposed":
        return f"{_target(members)} open {_to_whom(members)}"
    if len(members) == 1 or worst.code not in OF_CELLS:
        return worst.title
    return f"{_target(members)} {OF_CELLS[worst.code]}"


def count_of(members: list[Member], reach: Reach) -> str:
    """How often: `37 cells, 12 pods`, `3 vantages`, `4 objects`; the vantage where it is one cell that is open."""
    if len(members) == 1:
        return members[0].finding.vantage if members[0].finding.code == "exposed" else ""
    if not reach.cells:
        return f"{len(members)} objects"
    who = _counted(members)
    return who if reach.endpoints == 1 else f"{reach.cells} cells, {who}"


def _counted(members: list[Member]) -> str:
    """`12 pods`, `1 node`, `3 vantages`."""
    count = len({each.finding.vantage for each in members})
    zones = {each.vantage.zone if each.vantage else None for each in members}
    noun = {Zone.POD: "pod", Zone.NODE: "node"}.get(next(iter(zones)) or Zone.ADMIN) if len(zones) == 1 else None
    return f"{count} {noun or 'vantage'}{'s' * (count != 1)}"


def _to_whom(members: list[Member]) -> str:
    """`from outside`, `to pods of shop and pay`, `to pods of 9 namespaces, to 3 nodes and to local`."""
    if members[0].vantage is not None and members[0].vantage.zone is Zone.OUTSIDE:
        return "from outside"
    groups = [f"pods of {_few(_namespaces(members), 'namespaces')}"] if _namespaces(members) else []
    for zone, one, many in ((Zone.NODE, "node ", "nodes"), (Zone.ADMIN, "", "places of admins")):
        names = sorted({_place(each.vantage) for each in members if each.vantage and each.vantage.zone is zone})
        if names:
            groups.append(_few([f"{one}{name}" for name in names], many))
    return _joined([f"to {group}" for group in groups or [members[0].finding.vantage]])


def _namespaces(members: Iterable[Member]) -> list[str]:
    """Namespaces of the visitors in the zone of pods; what stands there without one is named itself."""
    pods = (each.vantage for each in members if each.vantage is not None and each.vantage.zone is Zone.POD)
    return sorted({vantage.spec.namespace or vantage.id for vantage in pods})


def _place(vantage: Vantage) -> str:
    return vantage.node or vantage.id if vantage.zone is Zone.NODE else vantage.id


def _few(names: list[str], many: str) -> str:
    return _joined(names) if len(names) <= NAMED else f"{len(names)} {many}"


def _joined(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _target(members: list[Member]) -> str:
    """What it is about: an address, or what all addresses have in common and how many there are."""
    worst = members[0]
    ends = list({each.endpoint.id: each.endpoint for each in members if each.endpoint is not None}.values())
    if worst.endpoint is None or not ends:
        return worst.finding.component or worst.finding.endpoint
    if worst.endpoint.group == METADATA_GROUP:
        hosts = {each.host for each in ends}
        return "cloud metadata" if len(hosts) == 1 else f"cloud metadata at {len(hosts)} addresses"
    if len(ends) == 1:
        return _address(worst.endpoint)
    if is_workload(worst.endpoint):
        return _workloads(worst.endpoint.namespace, ends)
    nodes = sorted({each.node for each in ends} - {""})
    if len(nodes) > 1:
        return f"{worst.endpoint.component} on " + (f"{len(nodes)} nodes" if len(nodes) > NAMED else _joined(nodes))
    return _at(worst.endpoint.component, ends)


def _workloads(namespace: str, ends: list[Endpoint]) -> str:
    objects = sorted({each.object for each in ends})
    if len(objects) == 1:
        return _at(f"{namespace}/{objects[0].partition('/')[2]}", ends)
    are_services = all(each.startswith("Service/") for each in objects)
    return f"{len(objects)} {'Services' if are_services else 'workloads'} of {namespace}"


def _at(name: str, ends: list[Endpoint]) -> str:
    hosts, ports = sorted({each.host for each in ends}), {each.port for each in ends}
    if len(hosts) > 1:
        return f"{name} at {len(hosts)} addresses"
    return f"{name} {_bracketed(hosts[0])}" + (f":{ports.pop()}" if len(ports) == 1 else f", {len(ports)} ports")


def _address(endpoint: Endpoint) -> str:
    return f"{endpoint.name} {_bracketed(endpoint.host)}:{endpoint.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def because_of(members: list[Member]) -> tuple[str, ...]:
    """What all have in common, a few cells that show it, and how many more there are."""
    worst = members[0].finding
    if len(members) == 1:
        return worst.because
    common = set(worst.because).intersection(*(each.finding.because for each in members))
    declared = list(dict.fromkeys(line for each in members for line in _declared(each.finding)))
    lines = [line for line in worst.because if line in common and line not in declared]
    lines = [*declared[:SHOWN], *lines]
    if len(declared) > SHOWN:
        lines.append(f"and {len(declared) - SHOWN} more that are declared")
    if len(namespaces := _namespaces(members)) > NAMED:
        lines.append(f"pods of {listed(namespaces)}")
    nodes = sorted({each.endpoint.node for each in members if each.endpoint is not None} - {""})
    if len(nodes) > NAMED:
        lines.append(f"on nodes {listed(nodes)}")
    lines.extend(f"{_where(member)}: {_own(member.finding, common)}" for member in _telling(members))
    if len(members) > SHOWN:
        lines.append(f"and {len(members) - SHOWN} more")
    return tuple(lines)


def _telling(members: list[Member]) -> list[Member]:
    """The worst, then those that name another end than the ones before, then the rest."""
    seen: set[str] = set()
    telling: list[Member] = []
    others: list[Member] = []
    for member in members:
        if len(telling) == SHOWN:
            return telling
        ends = {member.finding.endpoint, member.finding.vantage} if member.finding.endpoint else {member.finding.id}
        (others if ends <= seen else telling).append(member)
        seen |= ends
    return [*telling, *others][:SHOWN]


def _where(member: Member) -> str:
    finding = member.finding
    if not finding.endpoint:
        return "/".join(filter(None, (finding.namespace, finding.object)))
    target = finding.endpoint if member.endpoint is None else _address(member.endpoint)
    return f"{target} from {finding.vantage}"


def _declared(finding: Finding) -> tuple[str, ...]:
    """What is declared for a cell: the lines before the one that says what was observed."""
    observed = [number for number, line in enumerate(finding.because) if line.startswith(OBSERVED)]
    return finding.because[: observed[0]] if observed else ()


def _own(finding: Finding, common: set[str]) -> str:
    """The line of a finding that tells most about it alone: what was observed."""
    own = [line for line in finding.because if line not in common]
    observed = [line for line in finding.because if line.startswith(OBSERVED)]
    return next(iter([*observed, *own]), finding.because[0])
