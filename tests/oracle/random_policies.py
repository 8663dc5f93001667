"""Random estates with NetworkPolicies, by seed: what the evaluator and an independent one are both asked about."""

from __future__ import annotations

import random
from typing import Any

Raw = dict[str, Any]
SPACES = ("red", "blue", "green")
KEYS, VALUES = ("app", "tier", "rack"), ("a", "b", "c")
PORT_NAMES = ("web", "dns", "sql")
PROTOCOLS = ("TCP", "UDP", "SCTP")
NUMBERS = (53, 80, 443, 1024, 5432, 65535)
BLOCKS = (
    ("192.0.2.0/24", ("192.0.2.0/26", "192.0.2.255/32", "192.0.2.64/27")),
    ("198.51.100.0/25", ("198.51.100.64/26", "198.51.100.3/32")),
    ("0.0.0.0/0", ("192.0.2.0/24", "10.0.0.0/8", "128.0.0.0/1")),
    ("203.0.113.7/32", ()),
)
"""Ranges, each with exceptions that it may have."""


def estate(seed: int) -> list[Raw]:
    """The objects of one estate: namespaces, pods, policies."""
    draw = random.Random(seed)
    spaces = [_namespace(name, draw) for name in SPACES[: draw.randint(1, 3)]]
    names = [space["metadata"]["name"] for space in spaces]
    pods = [_pod(number, draw.choice(names), draw) for number in range(draw.randint(2, 6))]
    policies = [_policy(number, draw.choice(names), draw) for number in range(draw.randint(1, 6))]
    return [*spaces, *pods, *policies]


def _labels(draw: random.Random) -> dict[str, str]:
    return {key: draw.choice(VALUES) for key in KEYS if draw.random() < 0.6}


def _namespace(name: str, draw: random.Random) -> Raw:
    labels = {**_labels(draw), "kubernetes.io/metadata.name": name}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _pod(number: int, namespace: str, draw: random.Random) -> Raw:
    ports = [
        {"name": name, "containerPort": draw.choice(NUMBERS), "protocol": draw.choice(PROTOCOLS)}
        for name in PORT_NAMES
        if draw.random() < 0.5
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{number}", "namespace": namespace, "labels": _labels(draw)},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "x", "ports": ports}]},
        "status": {"phase": "Running", "podIP": f"10.0.0.{number + 1}", "hostIP": "172.16.0.1"},
    }


def _selector(draw: random.Random) -> Raw:
    found: Raw = {}
    if draw.random() < 0.5:
        found["matchLabels"] = {draw.choice(KEYS): draw.choice(VALUES)}
    if draw.random() < 0.4:
        found["matchExpressions"] = [_expression(draw) for _ in range(draw.randint(1, 2))]
    return found


def _expression(draw: random.Random) -> Raw:
    operator = draw.choice(("In", "NotIn", "Exists", "DoesNotExist"))
    found: Raw = {"key": draw.choice(KEYS), "operator": operator}
    if operator in {"In", "NotIn"}:
        found["values"] = draw.sample(VALUES, draw.randint(1, 2))
    return found


def _space_selector(draw: random.Random) -> Raw:
    if draw.random() < 0.3:
        return {"matchLabels": {"kubernetes.io/metadata.name": draw.choice(SPACES)}}
    return _selector(draw)


def _peer(draw: random.Random) -> Raw:
    kind = draw.randrange(4)
    if kind == 0:
        cidr, holes = draw.choice(BLOCKS)
        block: Raw = {"cidr": cidr}
        if holes and draw.random() < 0.6:
            block["except"] = draw.sample(holes, draw.randint(1, len(holes)))
        return {"ipBlock": block}
    found: Raw = {}
    if kind in {1, 3}:
        found["namespaceSelector"] = _space_selector(draw)
    if kind in {2, 3}:
        found["podSelector"] = _selector(draw)
    return found


def _port(draw: random.Random) -> Raw:
    found: Raw = {}
    if draw.random() < 0.8:
        found["protocol"] = draw.choice(PROTOCOLS)
    if draw.random() < 0.85:
        found["port"] = draw.choice((*NUMBERS, *PORT_NAMES))
        if isinstance(found["port"], int) and draw.random() < 0.3:
            found["endPort"] = min(found["port"] + draw.choice((0, 1, 100, 4000)), 65535)
    return found


def _rule(peers: str, draw: random.Random) -> Raw:
    found: Raw = {}
    if draw.random() < 0.8:
        found[peers] = [_peer(draw) for _ in range(draw.randint(0, 3))]
    if draw.random() < 0.7:
        found["ports"] = [_port(draw) for _ in range(draw.randint(0, 3))]
    return found


def _policy(number: int, namespace: str, draw: random.Random) -> Raw:
    spec: Raw = {"podSelector": _selector(draw)}
    types = draw.choice((None, ["Ingress"], ["Egress"], ["Ingress", "Egress"]))
    if types:
        spec["policyTypes"] = types
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        # The independent evaluator refuses rules of a direction that policyTypes leaves out.
        if draw.random() < 0.7 and (types is None or direction.capitalize() in types):
            spec[direction] = [_rule(peers, draw) for _ in range(draw.randint(0, 2))]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"policy-{number}", "namespace": namespace},
        "spec": spec,
    }
