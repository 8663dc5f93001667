"""An estate in which each way to be open or closed is there once, set up for real, and audits of it.

Pods and policies are of a namespace of its own; the node's firewall is a table of its own, which `fenced` takes away.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Observation
from kubeshield_tui.model.vantage import parse_vantage
from kubeshield_tui.model.verdict import Judgement
from kubeshield_tui.session.expand import resolve_nodes
from kubeshield_tui.session.session import Session
from kubeshield_tui.settings.schema import Settings
from tests.cluster import kit

Raw = dict[str, Any]
SPACE = "kst-worlds-one"
TABLE = "kst_worlds"
PORTS = (8080, 9090, 7070)
HOST_PORT = 18080
NODE1, NODE2 = "172.30.0.1", "172.30.0.2"
FRIEND, STRANGER, HOST = (f"pod:{SPACE}/{name}" for name in ("friend", "stranger", "host"))
VANTAGES = (FRIEND, STRANGER, HOST, "node:node1", "node:node2", "ssh:outside")
KNOBS = {
    "enforces": "yes", "deny-style": "drop", "host-to-pod": "yes", "ipblock-matches-pods": "yes",
    "ipblock-matches-nodes": "yes", "hostnetwork-subject": "no", "hostnetwork-peer": "no", "pod-to-own-node": "no",
}  # fmt: skip
"""What the cluster's enforcer does where the specification leaves the choice."""
LISTENER = """import socket,threading,sys
def serve(port):
 server=socket.create_server(('',port))
 while 1: server.accept()[0].close()
for port in sys.argv[1:]: threading.Thread(target=serve,args=(int(port),)).start()
threading.Event().wait()"""
STRANGERS_MUST = """
[[rule]]
name = "only friends"
must = "blocked"
to.address = "{walled}"
from.labels = {{ role = "stranger" }}

[[rule]]
name = "the ledger is for node1"
must = "blocked"
to.port = {node_port}
from.labels = {{ role = "stranger" }}

[[rule]]
name = "the shop needs it"
must = "reachable"
to.address = "{empty}"
from.labels = {{ role = "stranger" }}
"""


def _pod(name: str, node: str, *ports: int, labels: Raw | None = None, on_host: bool = False) -> Raw:
    container = {
        "name": "listener",
        "image": "python:3-slim",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", LISTENER, *map(str, ports)],
    }
    spec = {
        "nodeName": node,
        "hostNetwork": on_host,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    metadata = {"namespace": SPACE, "name": name, "labels": {"app": name, **(labels or {})}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _policy(name: str, *rules: Raw) -> Raw:
    spec = {"podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress"], "ingress": list(rules)}
    metadata = {"namespace": SPACE, "name": name}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def _service(name: str, **more: str) -> Raw:
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}], **more}
    metadata = {"namespace": SPACE, "name": name}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _objects() -> Iterator[Raw]:
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}
    yield _pod("friend", "node1", labels={"role": "friend"})
    yield _pod("stranger", "node1", labels={"role": "stranger"})
    for name in ("walled", "fenced", "mute"):
        yield _pod(name, "node2", *PORTS)
    yield _pod("idle", "node2")
    yield _pod("ledger", "node2", *PORTS)
    yield _pod("host", "node2", HOST_PORT, on_host=True)
    friends = {"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}]}
    yield _policy("walled", friends)
    yield _policy("fenced", {"from": [{"podSelector": {"matchExpressions": [{"key": "role", "operator": "Exists"}]}}]})
    yield _policy("ledger", {"from": [{"ipBlock": {"cidr": f"{NODE1}/32"}}]})
    yield _policy("host")
    yield _service("idle")
    yield _service("ledger", type="NodePort", externalTrafficPolicy="Local")
    yield _service("empty")


class Estate(NamedTuple):
    """Addresses: of pods by their names, of Services by `svc/NAME`, and the node port of the ledger."""

    addresses: dict[str, str]
    node_port: int

    def place(self, name: str, port: int) -> str:
        """HOST:PORT."""
        return f"{self.addresses[name]}:{port}"

    @property
    def targets(self) -> list[str]:
        """All that is asked."""
        of_pods = [self.place(name, port) for name in ("walled", "fenced", "mute") for port in PORTS]
        return [
            *of_pods, self.place("idle", 8080), self.place("ledger", 8080), f"{NODE2}:{self.node_port}",
            f"{NODE2}:{HOST_PORT}", self.place("svc/empty", 80), self.place("svc/idle", 80),
        ]  # fmt: skip


@contextmanager
def estate(folder: Path) -> Iterator[Estate]:
    """Make it all, but for the firewall, and remove it."""
    manifest = folder / "estate.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(_objects())}))
    try:
        kit.kubectl("apply", "-f", str(manifest))
        kit.kubectl("wait", "-n", SPACE, "pod", "--all", "--for=condition=Ready", "--timeout=120s")
        told = json.loads(kit.kubectl("get", "pods,services", "-n", SPACE, "-o", "json"))["items"]
        addresses: dict[str, str] = {}
        for each in told:
            name = each["metadata"]["name"]
            if each["kind"] == "Pod":
                addresses[name] = each["status"]["podIP"]
            else:
                addresses[f"svc/{name}"] = each["spec"]["clusterIP"]
        (port,) = (
            each["spec"]["ports"][0]["nodePort"] for each in told if each.get("spec", {}).get("type") == "NodePort"
        )
        yield Estate(addresses, port)
    finally:
        kit.kubectl("delete", "namespace", SPACE, "--ignore-not-found", "--wait=true")


@contextmanager
def fenced(made: Estate) -> Iterator[None]:
    """A firewall on node2, in a table of its own."""
    stranger, fenced_, mute, walled = (made.addresses[name] for name in ("stranger", "fenced", "mute", "walled"))
    way = f"ip saddr {stranger} ip daddr {fenced_} tcp dport"
    rules = (
        f"{way} 8080 drop",
        f"{way} 9090 reject with icmp type admin-prohibited",
        f"{way} 7070 reject with tcp reset",
        f"ip saddr {stranger} ip daddr {walled} tcp dport 9090 drop",
        f"ip saddr {mute} ip daddr {stranger} tcp sport 8080 drop",
    )
    kit.kit("exec-net", "node2", "nft", f'add table inet {TABLE} {{ comment "kst-worlds"; }}')
    try:
        hook = "{ type filter hook forward priority 10; policy accept; }"
        kit.kit("exec-net", "node2", "nft", f"add chain inet {TABLE} forward {hook}")
        for rule in rules:
            kit.kit("exec-net", "node2", "nft", f'add rule inet {TABLE} forward {rule} comment "kst-worlds"')
        yield
    finally:
        kit.kit("exec-net", "node2", "nft", f"delete table inet {TABLE}")


@contextmanager
def masqueraded(made: Estate) -> Iterator[None]:
    """On node1: who leaves for a node comes as node1, as many network plugins have it."""
    kit.kit("exec-net", "node1", "nft", f'add table ip {TABLE} {{ comment "kst-worlds"; }}')
    try:
        hook = "{ type nat hook postrouting priority 100; policy accept; }"
        kit.kit("exec-net", "node1", "nft", f"add chain ip {TABLE} postrouting {hook}")
        rule = f"ip saddr {made.addresses['stranger']} ip daddr {NODE2} tcp dport {made.node_port} snat to {NODE1}"
        kit.kit("exec-net", "node1", "nft", f'add rule ip {TABLE} postrouting {rule} comment "kst-worlds"')
        yield
    finally:
        kit.kit("exec-net", "node1", "nft", f"delete table ip {TABLE}")


class World:
    """One audit, closed: what it knows."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.store = session.store

    def key(self, place: str, vantage: str) -> CellKey:
        """The cell of the HOST:PORT that was asked for."""
        host, _, port = place.rpartition(":")
        found = [each.id for each in self.store.endpoints.values() if (each.host, str(each.port)) == (host, port)]
        assert found, (place, sorted(self.store.endpoints))
        named = [each for each in found if self.store.endpoints[each].named] or found
        return next(key for key in self.store.cells if key.endpoint == named[0] and key.vantage.startswith(vantage))

    def seen(self, place: str, vantage: str) -> tuple[Observation, Judgement]:
        """What was observed, and what it amounts to."""
        cell = self.store.cell(self.key(place, vantage))
        assert cell.observation is not None
        assert cell.judgement is not None
        return cell.observation, cell.judgement

    def findings(self, place: str, vantage: str) -> dict[str, Finding]:
        """Of one cell, by code."""
        key = self.key(place, vantage)
        return {
            each.code: each
            for each in self.store.findings.values()
            if (each.endpoint, each.vantage) == (key.endpoint, key.vantage)
        }


def audited(folder: Path, made: Estate) -> World:
    """Audit the cluster and the estate with rules read."""
    targets, expect = folder / "targets", folder / "expect.toml"
    targets.write_text("".join(f"{line}\n" for line in made.targets))
    own = {name.removeprefix("svc/"): address for name, address in made.addresses.items() if name != "svc/ledger"}
    expect.write_text(
        STRANGERS_MUST.format(**{**own, "empty": made.addresses["svc/empty"], "node_port": made.node_port})
    )
    settings = Settings(
        kubeconfig=kit.KUBECONFIG, ssh_config=kit.STATE / "ssh" / "config", targets=targets, expect=expect,
        read_firewalls=True, vantages=tuple(parse_vantage(each) for each in VANTAGES),
        cni=tuple(("", knob, value) for knob, value in KNOBS.items()),
    )  # fmt: skip
    session = Session(resolve_nodes(settings))
    asyncio.run(session.audit())
    return World(session)
