"""Pods of the test's own that listen, and policies for them, by seed: what predictions are held against."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Raw = dict[str, Any]
SPACES: Mapping[str, Mapping[str, str]] = {
    "kst-netpol-red": {"team": "red", "env": "test"},
    "kst-netpol-blue": {"team": "blue"},
    "kst-netpol-bare": {},
}
RED, BLUE, BARE = SPACES
MARKS = "kst-netpol-mark"
"""Namespace of the pods that show when policies have taken effect."""
TCP_PORTS, UDP_PORT = (8080, 9090), 5300
LISTENER = f"""import socket,threading
def serve(port):
 server=socket.create_server(('',port))
 while 1: server.accept()[0].close()
for port in {TCP_PORTS}: threading.Thread(target=serve,args=(port,)).start()
echo=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
echo.bind(('',{UDP_PORT}))
while 1: echo.sendto(b'here',echo.recvfrom(2048)[1])"""
FIRST, OTHER, DATAGRAMS = ({"port": 8080}, {"port": 9090}, {"protocol": "UDP", "port": UDP_PORT})
PORTS: tuple[list[Raw], ...] = (
    [],
    [FIRST],
    [{"port": "http"}],
    [{"port": "dns", "protocol": "UDP"}],
    [{"port": "dns"}],
    [OTHER, DATAGRAMS],
    [{"protocol": "UDP"}],
    [{"protocol": "TCP"}],
    [{"port": 443}],
)
SUBJECTS: tuple[Raw, ...] = (
    {},
    {"matchLabels": {"app": "web"}},
    {"matchExpressions": [{"key": "tier", "operator": "Exists"}]},
    {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["back"]}]},
)


class Pod(NamedTuple):
    """A pod: where it is, its labels and what it calls its ports."""

    namespace: str
    name: str
    labels: Mapping[str, str] = {}
    ports: tuple[tuple[str, str, int], ...] = ()
    """Name, protocol, number."""

    @property
    def text(self) -> str:
        """As explanations name it."""
        return f"{self.namespace}/{self.name}"

    def manifest(self, node: str) -> Raw:
        """The object, bound to a node."""
        ports = [{"name": name, "protocol": protocol, "containerPort": port} for name, protocol, port in self.ports]
        container = {
            "name": "listener",
            "image": "python:3-slim",
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", LISTENER],
            "ports": ports,
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": self.namespace, "name": self.name, "labels": dict(self.labels)},
            "spec": {
                "nodeName": node,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "containers": [container],
            },
        }


PODS = (
    Pod(RED, "web", {"app": "web", "tier": "front"}, (("http", "TCP", 8080), ("dns", "UDP", UDP_PORT))),
    Pod(RED, "db", {"app": "db", "tier": "back"}, (("http", "TCP", 9090), ("dns", "TCP", 8080))),
    Pod(BLUE, "web", {"app": "web"}, (("http", "TCP", 8080),)),
    Pod(BLUE, "api", {"app": "api", "tier": "back"}, (("http", "TCP", 9090), ("dns", "UDP", UDP_PORT))),
    Pod(BARE, "tool"),
)


def peers_of(pod_address: str) -> tuple[Raw, ...]:
    """Peers of every kind; one exception is a pod's address."""
    blue = {"matchLabels": {"team": "blue"}}
    web = {"matchLabels": {"app": "web"}}
    has_team = {"matchExpressions": [{"key": "team", "operator": "Exists"}]}
    not_red = {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["red"]}]}
    tiers = {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["front", "back"]}]}
    no_tier = {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}
    return (
        {"podSelector": web},
        {"podSelector": {}},
        {"podSelector": no_tier},
        {"namespaceSelector": blue},
        {"namespaceSelector": {}},
        {"namespaceSelector": not_red},
        {"namespaceSelector": blue, "podSelector": web},
        {"namespaceSelector": has_team, "podSelector": tiers},
        {"namespaceSelector": {}, "podSelector": no_tier},
        {"ipBlock": {"cidr": "198.51.100.0/24"}},
        {"ipBlock": {"cidr": "172.30.0.0/24", "except": ["172.30.0.254/32"]}},
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "172.30.0.0/30"]}},
        {"ipBlock": {"cidr": "10.244.0.0/16", "except": [f"{pod_address}/32"]}},
    )


def policies(pod_address: str, seed: int) -> Iterator[tuple[str, Raw]]:
    """Namespace and spec of each: the plain forms, every peer in either direction, and mixtures by seed."""
    draw = random.Random(seed)
    plain: tuple[Raw, ...] = (
        {"policyTypes": ["Ingress"]},
        {"policyTypes": ["Egress"]},
        {"policyTypes": ["Ingress", "Egress"]},
        {"ingress": [{}]},
        {"egress": [{}]},
        {"egress": []},
        {"ingress": [{}], "egress": [{"ports": [FIRST]}], "policyTypes": ["Ingress", "Egress"]},
        {"ingress": [{"ports": [DATAGRAMS]}], "policyTypes": ["Ingress", "Egress"]},
    )
    for spec in plain:
        yield RED, {"podSelector": {}, **spec}
    peers = peers_of(pod_address)
    for number, peer in enumerate(peers):
        for direction in ("ingress", "egress"):
            rule = _rule(direction, [peer], PORTS[number % len(PORTS)] if draw.random() < 0.6 else [])
            yield draw.choice([RED, BLUE]), _spec(draw.choice(SUBJECTS), {direction: [rule]})
    for _ in range(32):
        drawn = {
            direction: [_mixed(direction, peers, draw) for _ in range(draw.randint(0, 2))]
            for direction in draw.choice((["ingress"], ["egress"], ["ingress", "egress"]))
        }
        yield draw.choice([*SPACES]), _spec(draw.choice(SUBJECTS), drawn)


def _mixed(direction: str, peers: tuple[Raw, ...], draw: random.Random) -> Raw:
    return _rule(direction, draw.sample(peers, draw.randint(0, 2)), draw.choice(PORTS))


def _rule(direction: str, peers: list[Raw], ports: list[Raw]) -> Raw:
    rule: Raw = {}
    if direction == "egress" and any("ipBlock" in peer for peer in peers):
        # Whether a port's name is looked up on pods that an ipBlock matches is the plugin's choice, too.
        ports = [port for port in ports if not isinstance(port.get("port"), str)]
    if peers:
        rule["from" if direction == "ingress" else "to"] = peers
    if ports:
        rule["ports"] = ports
    return rule


def _spec(subject: Raw, rules: Mapping[str, list[Raw]]) -> Raw:
    return {"podSelector": subject, "policyTypes": [each.capitalize() for each in rules], **rules}
