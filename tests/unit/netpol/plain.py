"""NetworkPolicy v1 word by word, over raw objects: slow, two-valued, no index; what the evaluator is held against.

Pods match an ipBlock by address, as some plugins have it; nothing here is host-networked.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

Raw = dict[str, Any]


class PlainPod(NamedTuple):
    """A pod, or an address outside where it has no namespace."""

    namespace: str
    name: str
    labels: dict[str, str]
    address: str
    ports: tuple[tuple[str, str, int], ...] = ()
    """Name, protocol, number."""


class PlainWorld(NamedTuple):
    """Labels of namespaces, and policies as the API has them; those of the admin API each with its own priority."""

    namespaces: dict[str, dict[str, str]]
    policies: list[Raw]
    admin: tuple[Raw, ...] = ()

    def allows(self, source: PlainPod, destination: PlainPod, protocol: str, port: int) -> bool:
        """Whether a connection may be made."""
        if source.namespace and (source.namespace, source.name) == (destination.namespace, destination.name):
            return True
        return all(
            self._direction(direction, subject, peer, destination, protocol, port)
            for direction, subject, peer in (
                ("Egress", source, destination),
                ("Ingress", destination, source),
            )
        )

    def _direction(
        self, direction: str, subject: PlainPod, peer: PlainPod, destination: PlainPod, protocol: str, port: int
    ) -> bool:
        if not subject.namespace:
            return True
        first = self._tier("Admin", direction, subject, peer, destination, protocol, port)
        if first is not None:
            return first
        applying = [
            policy
            for policy in self.policies
            if policy["metadata"]["namespace"] == subject.namespace
            and _selects(policy["spec"].get("podSelector") or {}, subject.labels)
            and direction in _types(policy["spec"])
        ]
        if not applying:
            last = self._tier("Baseline", direction, subject, peer, destination, protocol, port)
            return True if last is None else last
        key, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
        return any(
            _ports(rule.get("ports"), destination, protocol, port)
            and self._peers(rule.get(peers), policy["metadata"]["namespace"], peer)
            for policy in applying
            for rule in policy["spec"].get(key) or []
        )

    def _tier(
        self,
        tier: str,
        direction: str,
        subject: PlainPod,
        peer: PlainPod,
        destination: PlainPod,
        protocol: str,
        port: int,
    ) -> bool | None:
        """What a tier of the admin API decides; None where it passes or says nothing."""
        key, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
        for policy in sorted(self.admin, key=lambda item: int(item["spec"]["priority"])):
            spec = policy["spec"]
            if spec["tier"] != tier or not self._admin_peer(spec["subject"], subject):
                continue
            for rule in spec[key]:
                if any(self._admin_peer(item, peer) for item in rule[peers]) and _protocols(
                    rule.get("protocols"), destination, protocol, port
                ):
                    return None if rule["action"] == "Pass" else rule["action"] == "Accept"
        return None

    def _admin_peer(self, item: Raw, peer: PlainPod) -> bool:
        if "networks" in item:
            return any(ip_address(peer.address) in ip_network(cidr) for cidr in item["networks"])
        if not peer.namespace or "nodes" in item:
            return False
        if "namespaces" in item:
            return _selects(item["namespaces"], self.namespaces[peer.namespace])
        pods = item["pods"]
        return _selects(pods["namespaceSelector"], self.namespaces[peer.namespace]) and _selects(
            pods["podSelector"], peer.labels
        )

    def _peers(self, peers: list[Raw] | None, namespace: str, peer: PlainPod) -> bool:
        return not peers or any(self._peer(item, namespace, peer) for item in peers)

    def _peer(self, item: Raw, namespace: str, peer: PlainPod) -> bool:
        if item.get("ipBlock") is not None:
            address = ip_address(peer.address)
            block = item["ipBlock"]
            return address in ip_network(block["cidr"]) and not any(
                address in ip_network(hole) for hole in block.get("except") or []
            )
        if not peer.namespace:
            return False
        if item.get("namespaceSelector") is not None:
            if not _selects(item["namespaceSelector"], self.namespaces[peer.namespace]):
                return False
        elif peer.namespace != namespace:
            return False
        return item.get("podSelector") is None or _selects(item["podSelector"], peer.labels)


def _types(spec: Raw) -> list[str]:
    return spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _selects(selector: Raw, labels: dict[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for item in selector.get("matchExpressions") or []:
        key, values = item["key"], item.get("values") or []
        held = {
            "In": key in labels and labels[key] in values,
            "NotIn": key not in labels or labels[key] not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[item["operator"]]
        if not held:
            return False
    return True


def _ports(ports: list[Raw] | None, destination: PlainPod, protocol: str, port: int) -> bool:
    if not ports:
        return True
    for item in ports:
        if item.get("protocol", "TCP") != protocol:
            continue
        wanted = item.get("port")
        if wanted is None:
            return True
        if isinstance(wanted, str):
            if (wanted, protocol, port) in destination.ports:
                return True
        elif wanted <= port <= item.get("endPort", wanted):
            return True
    return False


def _protocols(protocols: list[Raw] | None, destination: PlainPod, protocol: str, port: int) -> bool:
    if not protocols:
        return True
    for item in protocols:
        if "destinationNamedPort" in item:
            if (item["destinationNamedPort"], protocol, port) in destination.ports:
                return True
            continue
        if protocol.lower() not in item:
            continue
        wanted = item[protocol.lower()].get("destinationPort")
        if wanted is None or wanted.get("number") == port:
            return True
        if "range" in wanted and wanted["range"]["start"] <= port <= wanted["range"]["end"]:
            return True
    return False
