"""From a raw object to a policy: defaulted as the API server does it, checked as the API server does it.

An object that is not as its API has it becomes opaque: named, and whatever may depend on it is unknown.
"""

from __future__ import annotations

from typing import Any

from kubeshield_tui.evidence.netpol.fields import Cursor, FieldError
from kubeshield_tui.evidence.netpol.foreign import FOREIGN_GROUPS, foreign_policy
from kubeshield_tui.evidence.netpol.parse_admin import ADMIN_GROUP, ADMIN_VERSIONS, admin_policy, admin_subject
from kubeshield_tui.evidence.netpol.parse_parts import DEFAULT_NAMESPACE, block_of, named, port_name, selector_of
from kubeshield_tui.evidence.netpol.policy import (
    Block,
    BlockPeer,
    Direction,
    ObjectKey,
    OpaquePolicy,
    Peer,
    PodPeer,
    PodSet,
    Policy,
    PortMatch,
    Reach,
    Rule,
    Tier,
    Where,
)
from kubeshield_tui.model.text import printable

GROUP = "networking.k8s.io"
PROTOCOLS = ("TCP", "UDP", "SCTP")

SPEC_FIELDS = frozenset({"podSelector", "policyTypes", "ingress", "egress"})
POLICY_TYPES = {"Ingress": Direction.INGRESS, "Egress": Direction.EGRESS}
OTHER_KINDS_OF_GROUP = frozenset({"Ingress", "IngressClass", "IPAddress", "ServiceCIDR"})


def is_policy(raw: dict[str, Any]) -> bool:
    """Whether an object is, or claims to be, a policy of any system. Staged ones of Calico are not in force."""
    group, _, _ = str(raw.get("apiVersion") or "").rpartition("/")
    kind = str(raw.get("kind") or "")
    if group == GROUP:
        return kind not in OTHER_KINDS_OF_GROUP
    return group == ADMIN_GROUP or (kind.endswith("NetworkPolicy") and not kind.startswith("Staged"))


def parse_policy(raw: dict[str, Any], where: Where = Where()) -> Policy | OpaquePolicy:  # noqa: B008 - frozen
    """Make a policy of an object for which `is_policy` holds. Never raises.

    `where` is the place it was read from. Without a file it is what an API server said: then a peer in which nothing
    is set is one that the server knows and we don't, and it matches nobody, as the API asks for.
    """
    whole = Cursor(raw, line=where.line)
    try:
        return _parsed(whole, where)
    except FieldError as error:
        return _opaque(whole, where, error)


def unread_policies(what: str, why: str, namespace: str | None = None) -> OpaquePolicy:
    """Stands for policies that may be there and could not be read: of a namespace, or of the whole cluster."""
    key = ObjectKey(kind="unread", namespace=namespace or "", name=what)
    return OpaquePolicy(key=key, reach=Reach.SUBJECT, why=why, subject=PodSet(namespace=namespace))


def _parsed(whole: Cursor, where: Where) -> Policy | OpaquePolicy:
    version, kind = whole.get("apiVersion"), whole.get("kind")
    group, _, number = version.text().rpartition("/")
    what = kind.text()
    if group == GROUP and what == "NetworkPolicy":
        if number != "v1":
            raise version.refuse(f"{printable(version.text(), 80)!r} is not known; NetworkPolicy is {GROUP}/v1")
        return _network_policy(whole, where)
    if group == ADMIN_GROUP:
        if (number, what) not in ADMIN_VERSIONS:
            known = ", ".join(f"{kind} in {version}" for version, kind in ADMIN_VERSIONS)
            raise version.refuse(
                f"{printable(version.text(), 80)} {printable(what, 80)} is not known; there are {known}"
            )
        return admin_policy(whole, where)
    if group == GROUP:
        raise kind.refuse(f"{printable(what, 80)!r} is not known in {GROUP}; a policy there is a NetworkPolicy")
    if group in FOREIGN_GROUPS or what not in {"NetworkPolicy", *(kind for _, kind in ADMIN_VERSIONS)}:
        return foreign_policy(whole, where, group)
    raise version.refuse(f"{printable(version.text(), 80)!r} is not known for a {printable(what, 80)}")


def _network_policy(whole: Cursor, where: Where) -> Policy:
    fields = whole.fields({"apiVersion", "kind", "metadata", "spec", "status"})
    key = named(whole, "NetworkPolicy", namespaced=True)
    spec = fields.get("spec") or Cursor(None, "spec", whole.line)
    parts = spec.fields(SPEC_FIELDS)
    pods = selector_of(parts.get("podSelector"))
    directions = _directions(spec)
    live = not where.file
    return Policy(
        key=key,
        tier=Tier.NETWORK_POLICY,
        subject=PodSet(namespace=key.namespace, pods=pods),
        # Rules of a direction that policyTypes leaves out are checked, and say nothing.
        ingress=_kept(_rules(spec.get("ingress"), "from", key.namespace, where, live), Direction.INGRESS, directions),
        egress=_kept(_rules(spec.get("egress"), "to", key.namespace, where, live), Direction.EGRESS, directions),
        where=where,
    )


def _kept(rules: tuple[Rule, ...], direction: Direction, kept: set[Direction]) -> tuple[Rule, ...] | None:
    return rules if direction in kept else None


def _directions(spec: Cursor) -> set[Direction]:
    """policyTypes, defaulted: Ingress always, Egress where there is a rule for it. Raises FieldError."""
    types = [POLICY_TYPES[item.one_of(POLICY_TYPES)] for item in spec.get("policyTypes").items()]
    if types:
        return set(types)
    has_egress = any(True for _ in spec.get("egress").items())
    return {Direction.INGRESS, Direction.EGRESS} if has_egress else {Direction.INGRESS}


def _rules(at: Cursor, peers: str, namespace: str, where: Where, live: bool) -> tuple[Rule, ...]:
    rules = []
    for index, item in enumerate(at.items()):
        fields = item.fields({peers, "ports"})
        listed = list(fields[peers].items()) if peers in fields else []
        found = [_peer(peer, f"{peers}[{number}]", namespace, live) for number, peer in enumerate(listed)]
        ports = list(fields["ports"].items()) if "ports" in fields else []
        rules.append(
            Rule(
                index=index,
                peers=tuple(peer for peer in found if peer is not None) if listed else None,
                ports=tuple(_port(port, f"ports[{number}]") for number, port in enumerate(ports)) or None,
                where=Where(file=where.file, line=item.line),
            )
        )
    return tuple(rules)


def _peer(at: Cursor, path: str, namespace: str, live: bool) -> Peer | None:
    fields = at.fields({"podSelector", "namespaceSelector", "ipBlock"})
    if not fields:
        if live:
            return None
        raise at.refuse("must specify a peer: podSelector, namespaceSelector or ipBlock")
    if "ipBlock" in fields:
        if len(fields) > 1:
            raise at.refuse("sets both ipBlock and a selector; a peer is one or the other")
        return BlockPeer(path=path, block=_block(fields["ipBlock"]))
    namespaces = selector_of(fields["namespaceSelector"]) if "namespaceSelector" in fields else None
    pods = selector_of(fields["podSelector"]) if "podSelector" in fields else None
    own = namespace if namespaces is None else None
    return PodPeer(path=path, pods=PodSet(namespace=own, namespaces=namespaces, pods=pods))


def _block(at: Cursor) -> Block:
    fields = at.fields({"cidr", "except"})
    if "cidr" not in fields:
        raise at.refuse("cidr is missing")
    excepted = list(fields["except"].items()) if "except" in fields else []
    return block_of(fields["cidr"], excepted)


def _port(at: Cursor, path: str) -> PortMatch:
    fields = at.fields({"protocol", "port", "endPort"})
    protocol = fields["protocol"].one_of(PROTOCOLS) if "protocol" in fields else "TCP"
    port, end = fields.get("port"), fields.get("endPort")
    if port is None:
        if end is not None:
            raise end.refuse("stands without port")
        return PortMatch(path=path, protocol=protocol)
    if isinstance(port.value, str):
        if end is not None:
            raise end.refuse("stands beside a named port; a range needs numbers")
        return PortMatch(path=path, protocol=protocol, name=port_name(port))
    first = port.number(1, 65535)
    last = end.number(1, 65535) if end is not None else first
    if end is not None and last < first:
        raise end.refuse(f"{last} is below port {first}")
    return PortMatch(path=path, protocol=protocol, first=first, last=last)


def _opaque(whole: Cursor, where: Where, error: FieldError) -> OpaquePolicy:
    """A policy that is refused, with what can still be said of whom it selects."""
    raw = whole.value if isinstance(whole.value, dict) else {}
    kind = printable(raw.get("kind"), 80) or "policy"
    group = str(raw.get("apiVersion") or "").rpartition("/")[0]
    metadata = raw.get("metadata")
    names = metadata if isinstance(metadata, dict) else {}
    ours = group in {GROUP, "extensions"} or (kind == "NetworkPolicy" and group not in FOREIGN_GROUPS)
    namespace = Cursor(names.get("namespace"))
    given = DEFAULT_NAMESPACE if namespace.is_empty else printable(namespace.value, 253)
    subject, directions = PodSet(), tuple(Direction)
    if ours and (namespace.is_empty or namespace.is_namespace_name):
        subject, directions = _still_said(Cursor(raw.get("spec")), given)
    elif group == ADMIN_GROUP:
        subject = admin_subject(Cursor(raw.get("spec")))
    at = f"{error.path}: " if error.path else ""
    return OpaquePolicy(
        key=ObjectKey(
            kind=kind, namespace=given if ours else "", name=printable(names.get("name"), 253) or "(no name)"
        ),
        reach=Reach.NETWORK_POLICY if ours else Reach.SUBJECT,
        why=f"{at}{error.message}",
        subject=subject,
        directions=directions,
        where=Where(file=where.file, line=error.line or where.line),
    )


def _still_said(spec: Cursor, namespace: str) -> tuple[PodSet, tuple[Direction, ...]]:
    """Whom a refused NetworkPolicy may select, and in which directions: all where even that can't be read."""
    try:
        spec.fields(SPEC_FIELDS)
        pods, directions = selector_of(spec.get("podSelector")), _directions(spec)
    except FieldError:
        return PodSet(namespace=namespace), tuple(Direction)
    return PodSet(namespace=namespace, pods=pods), tuple(sorted(directions))
