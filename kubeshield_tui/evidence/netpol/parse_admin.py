"""The admin API: AdminNetworkPolicy and BaselineAdminNetworkPolicy of v1alpha1, ClusterNetworkPolicy of v1alpha2."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kubeshield_tui.evidence.netpol.fields import Cursor, FieldError
from kubeshield_tui.evidence.netpol.parse_parts import block_of, named, port_name, selector_of
from kubeshield_tui.evidence.netpol.policy import (
    Action,
    BlockPeer,
    DomainPeer,
    NodePeer,
    Peer,
    PodPeer,
    PodSet,
    Policy,
    PortMatch,
    Rule,
    Tier,
    Where,
)
from kubeshield_tui.model.text import printable

ADMIN_GROUP = "policy.networking.k8s.io"
ADMIN_VERSIONS = {
    ("v1alpha1", "AdminNetworkPolicy"): Tier.ADMIN,
    ("v1alpha1", "BaselineAdminNetworkPolicy"): Tier.BASELINE,
    ("v1alpha2", "ClusterNetworkPolicy"): None,
}
"""Version and kind -> tier; None where the object names it."""
TIERS = {"Admin": Tier.ADMIN, "Baseline": Tier.BASELINE}
PRIORITY_LIMIT = 1000
RULES_LIMIT = {"v1alpha1": 100, "v1alpha2": 25}
PROTOCOLS = ("TCP", "UDP", "SCTP")
NOT_UNDERSTOOD = "a peer of it is not understood, so the rule fails closed"
_ALLOW = {"Allow": Action.ALLOW, "Deny": Action.DENY, "Pass": Action.PASS}
_BASELINE = {"Allow": Action.ALLOW, "Deny": Action.DENY}
_ACCEPT = {"Accept": Action.ALLOW, "Deny": Action.DENY, "Pass": Action.PASS}
_IN_CLUSTER = frozenset({"namespaces", "pods"})
_EVERYWHERE = _IN_CLUSTER | {"nodes", "networks", "domainNames"}


class _Form(NamedTuple):
    """How one kind writes its rules."""

    peers: str
    """`from` or `to`."""
    peer_fields: frozenset[str]
    actions: dict[str, Action]
    ports: str
    """`ports` or `protocols`."""
    port: Callable[[Cursor, str], PortMatch]
    live: bool
    file: str


def admin_policy(whole: Cursor, where: Where) -> Policy:
    """Make a policy of an object of the admin API. Raises FieldError."""
    version = whole.get("apiVersion").text().rpartition("/")[2]
    kind = whole.get("kind").text()
    tier = ADMIN_VERSIONS[version, kind]
    fields = whole.fields({"apiVersion", "kind", "metadata", "spec", "status"})
    key = named(whole, kind, namespaced=False)
    if kind == "BaselineAdminNetworkPolicy" and key.name != "default":
        raise whole.get("metadata").get("name").refuse("the one BaselineAdminNetworkPolicy is named 'default'")
    spec = fields.get("spec") or Cursor(None, "spec", whole.line)
    allowed = {"subject", "ingress", "egress"}
    allowed |= {"priority"} if tier is not Tier.BASELINE else set()
    allowed |= {"tier"} if tier is None else set()
    parts = spec.fields(allowed)
    for name in ("subject", *(allowed & {"priority", "tier"})):
        if name not in parts:
            raise spec.refuse(f"{name} is missing")
    actions = _ACCEPT if tier is None else _BASELINE if tier is Tier.BASELINE else _ALLOW
    ports, port = ("protocols", _protocol) if version == "v1alpha2" else ("ports", _port)
    form = _Form("from", _IN_CLUSTER, actions, ports, port, not where.file, where.file)
    outward = form._replace(peers="to", peer_fields=_EVERYWHERE)
    return Policy(
        key=key,
        tier=tier or TIERS[parts["tier"].one_of(TIERS)],
        subject=_subject(parts["subject"]),
        ingress=_rules(spec.get("ingress"), form, RULES_LIMIT[version]),
        egress=_rules(spec.get("egress"), outward, RULES_LIMIT[version]),
        priority=parts["priority"].number(0, PRIORITY_LIMIT) if "priority" in parts else 0,
        where=where,
    )


def admin_subject(spec: Cursor) -> PodSet:
    """Whom a refused object may select: every pod where even that can't be read."""
    try:
        return _subject(spec.get("subject"))
    except FieldError:
        return PodSet()


def _subject(at: Cursor) -> PodSet:
    fields = at.fields(_IN_CLUSTER)
    if len(fields) != 1:
        raise at.refuse("must set one of namespaces and pods")
    return _pods(fields)


def _pods(fields: dict[str, Cursor]) -> PodSet:
    if "namespaces" in fields:
        return PodSet(namespaces=selector_of(fields["namespaces"]))
    parts = fields["pods"].fields({"namespaceSelector", "podSelector"})
    return PodSet(
        namespaces=selector_of(parts.get("namespaceSelector")),
        pods=selector_of(parts.get("podSelector")),
    )


def _rules(at: Cursor, form: _Form, limit: int) -> tuple[Rule, ...]:
    items = list(at.items())
    if len(items) > limit:
        raise at.refuse(f"more than {limit} rules")
    return tuple(_rule(item, index, form) for index, item in enumerate(items))


def _rule(at: Cursor, index: int, form: _Form) -> Rule:
    fields = at.fields({"name", "action", form.peers, form.ports})
    if "action" not in fields:
        raise at.refuse("action is missing")
    action = form.actions[fields["action"].one_of(form.actions)]
    listed = list(fields[form.peers].items()) if form.peers in fields else []
    if not listed:
        raise at.refuse(f"{form.peers} must name at least one peer")
    name = printable(fields["name"].text(), 100) if "name" in fields else ""
    where = Where(file=form.file, line=at.line)
    peers: list[Peer] = []
    for number, item in enumerate(listed):
        found = _peers(item, f"{form.peers}[{number}]", action, form)
        if found is None:
            # Fail closed: an Allow matches nothing, a Deny or a Pass denies all.
            if action is Action.ALLOW:
                return Rule(index=index, peers=(), name=name, action=action, note=NOT_UNDERSTOOD, where=where)
            return Rule(index=index, name=name, action=Action.DENY, note=NOT_UNDERSTOOD, where=where)
        peers += found
    ports = list(fields[form.ports].items()) if form.ports in fields else []
    return Rule(
        index=index,
        peers=tuple(peers),
        ports=tuple(form.port(port, f"{form.ports}[{number}]") for number, port in enumerate(ports)) or None,
        action=action,
        name=name,
        where=where,
    )


def _peers(at: Cursor, path: str, action: Action, form: _Form) -> list[Peer] | None:
    """The peers of one item; None where it says something that is not known here."""
    misplaced = next((at.get(name) for name in _EVERYWHERE - form.peer_fields if not at.get(name).is_absent), None)
    if misplaced is not None:
        raise misplaced.refuse("can stand in an egress rule only")
    known = {name: at.get(name) for name in form.peer_fields if not at.get(name).is_absent}
    if not known:
        is_empty = not any(value is not None for value in at.value.values()) if at.value else True
        if is_empty and not form.live:
            raise at.refuse(f"must set one of {', '.join(sorted(form.peer_fields))}")
        return None
    if len(at.fields({*form.peer_fields, *at.value})) > 1:
        raise at.refuse("sets more than one of its fields; a peer is one of them")
    if "nodes" in known:
        return [NodePeer(path=path, nodes=selector_of(known["nodes"]))]
    if "networks" in known:
        blocks = [block_of(item) for item in known["networks"].items()]
        if not blocks:
            raise at.refuse("networks must name at least one range")
        return [BlockPeer(path=path, block=block, admin=True) for block in blocks]
    if "domainNames" in known:
        if action is not Action.ALLOW:
            raise known["domainNames"].refuse("can stand in a rule that accepts, in no other")
        names = tuple(printable(item.text(), 253) for item in known["domainNames"].items())
        return [DomainPeer(path=path, names=names)]
    return [PodPeer(path=path, pods=_pods(known), admin=True)]


def _port(at: Cursor, path: str) -> PortMatch:
    """A port of v1alpha1."""
    fields = at.fields({"portNumber", "namedPort", "portRange"})
    if len(fields) != 1:
        raise at.refuse("must set one of portNumber, namedPort and portRange")
    if "namedPort" in fields:
        return PortMatch(path=path, protocol=None, name=port_name(fields["namedPort"]))
    if "portNumber" in fields:
        parts = fields["portNumber"].fields({"protocol", "port"})
        number = _needed(fields["portNumber"], parts, "port").number(1, 65535)
        return PortMatch(path=path, protocol=_transport(parts), first=number, last=number)
    parts = fields["portRange"].fields({"protocol", "start", "end"})
    first, last = _range(fields["portRange"], parts)
    return PortMatch(path=path, protocol=_transport(parts), first=first, last=last)


def _protocol(at: Cursor, path: str) -> PortMatch:
    """A protocol of v1alpha2."""
    fields = at.fields({"tcp", "udp", "sctp", "destinationNamedPort"})
    if len(fields) != 1:
        raise at.refuse("must set one of tcp, udp, sctp and destinationNamedPort")
    ((name, value),) = fields.items()
    if name == "destinationNamedPort":
        return PortMatch(path=path, protocol=None, name=port_name(value))
    port = value.fields({"destinationPort"}).get("destinationPort")
    if port is None:
        return PortMatch(path=path, protocol=name.upper())
    parts = port.fields({"number", "range"})
    if len(parts) != 1:
        raise port.refuse("must set one of number and range")
    if "number" in parts:
        number = parts["number"].number(1, 65535)
        return PortMatch(path=path, protocol=name.upper(), first=number, last=number)
    first, last = _range(parts["range"], parts["range"].fields({"start", "end"}))
    return PortMatch(path=path, protocol=name.upper(), first=first, last=last)


def _transport(parts: dict[str, Cursor]) -> str:
    return parts["protocol"].one_of(PROTOCOLS) if "protocol" in parts else "TCP"


def _range(at: Cursor, parts: dict[str, Cursor]) -> tuple[int, int]:
    first = _needed(at, parts, "start").number(1, 65535)
    last = _needed(at, parts, "end").number(1, 65535)
    if last <= first:
        raise at.refuse(f"end {last} is not above start {first}")
    return first, last


def _needed(at: Cursor, parts: dict[str, Cursor], name: str) -> Cursor:
    if name not in parts:
        raise at.refuse(f"{name} is missing")
    return parts[name]
