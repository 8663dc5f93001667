"""What an estate can expose: components, where they listen, how each is asked and how its answers read.

The data is catalogue.toml beside this file, and the user's own in the same form; catalogue_file.py reads and checks it.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path

from kubeshield_tui.model.endpoint import Conversation, Fact, Protocol, Request, TlsMode
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.record import Record

API_SERVER = "kube-apiserver"
KUBELET = "kubelet"
KUBELET_READ_ONLY = "kubelet-read-only"
ETCD = "etcd"
METADATA = "cloud-metadata"
SERVICE = "service"
TARGET = "target"

CONTROL_PLANE_GROUP = "control plane"
NODES_GROUP = "nodes"
METADATA_GROUP = "cloud metadata"
TARGETS_GROUP = "targets"

METADATA_ADDRESS = "169.254.169.254"
READ_ONLY_PORT = 10255
ETCD_PORT = 2379


class Where(StrEnum):
    """Where a component is found."""

    API = "api"
    """Addresses of the API server."""
    CONTROL_PLANE = "control-plane"
    """Nodes and pods of the control plane."""
    NODE = "node"
    """Every node."""
    METADATA = "metadata"
    """An address of the cloud, seen from pods and nodes."""
    WORKLOAD = "workload"
    """Services and pods."""
    OVERLAY = "overlay"
    """Every node: tunnels between them."""


class Row(Record, frozen=True):
    """One component of the catalogue."""

    component: str
    title: str
    where: Where
    ports: tuple[int, ...]
    """Where it usually listens, the most usual first."""
    protocol: Protocol = Protocol.TCP
    conversation: Conversation = Conversation()
    group: str = ""
    """Heading in the grid; empty for workloads, which stand under their namespace."""
    severity_outside: Severity = Severity.MEDIUM
    """Of being reachable from outside."""
    severity_inside: Severity = Severity.MEDIUM
    """Of being reachable from ordinary pods."""
    provider: str = ""
    """Cloud or network plugin that brings it (`aws`, `gcp`, `calico`, ...); empty for what any estate may have."""
    address: str = ""
    """IP address of metadata, the same on every node."""
    unauthenticated: bool = False
    """It knows no authentication and must be closed everywhere."""
    asked: bool = True
    """False: no packet tells anything, the host's firewall is where to look."""
    reference: str = ""


class Catalogue:
    """Rows by component, address and port. The user's own rows come first where several fit."""

    def __init__(self, rows: tuple[Row, ...], own: tuple[Row, ...] = ()) -> None:
        mine = {row.component: row for row in own}
        self.rows = tuple(mine.pop(row.component, row) for row in rows) + tuple(mine.values())
        self._own = frozenset(row.component for row in own)
        self._by_component = {row.component: row for row in self.rows}
        self._by_place: dict[tuple[str, Protocol, int], list[Row]] = {}
        for row in self.rows:
            for port in row.ports:
                self._by_place.setdefault((row.address, row.protocol, port), []).append(row)

    def row(self, component: str) -> Row | None:
        """Return a component's row."""
        return self._by_component.get(component)

    def at(self, where: Where) -> tuple[Row, ...]:
        """Return the rows of all that is found at a kind of place."""
        return tuple(row for row in self.rows if row.where is where)

    def of_port(self, port: int, protocol: Protocol = Protocol.TCP) -> Row | None:
        """Return the row that a port alone tells, None where several components use it or none does."""
        fitting = self._at_place("", protocol, port)
        return fitting[0] if len(fitting) == 1 else None

    def _at_place(self, address: str, protocol: Protocol, port: int) -> list[Row]:
        """Rows with an address and port; the user's alone where there are any."""
        fitting = self._by_place.get((address, protocol, port), [])
        return [row for row in fitting if row.component in self._own] or fitting

    def conversation_of(self, component: str, port: int) -> Conversation:
        """How a component is asked; unknown ones by their port."""
        row = self._by_component.get(component)
        return conversation_of_service(port) if row is None else row.conversation

    def component_of_target(self, host: str, port: int) -> str:
        """What a named target is thought to be, by its well-known address or port."""
        for row in self._at_place(host, Protocol.TCP, port):
            return row.component
        told = self.of_port(port)
        if told is None:
            return TARGET
        # The ports of workloads and of network plugins are shared with too much else.
        telling = told.where in {Where.API, Where.CONTROL_PLANE, Where.NODE} and not told.provider
        return told.component if telling or told.component in self._own else TARGET


@cache
def builtin() -> Catalogue:
    """Return the catalogue that comes with the product."""
    return load(None)


def load(extra: Path | None) -> Catalogue:
    """Return the built-in catalogue with the rows of a file laid over it. Raises SettingsError naming row and key."""
    from kubeshield_tui.discovery.catalogue_file import builtin_rows, read_file

    return Catalogue(builtin_rows(), read_file(extra) if extra is not None else ())


SERVER_FACTS = (Fact(name="server", header="Server"), Fact(name="title", after="<title>", before="</title>"))
HTTP = Conversation(requests=(Request(path="/", facts=SERVER_FACTS),))
HTTPS = Conversation(tls=TlsMode.ON, requests=(Request(path="/", facts=SERVER_FACTS),))
CONNECT = Conversation()
"""Connect and listen for a greeting: nothing is sent to a protocol that we don't know."""

HTTP_PORTS = frozenset({80, 3000, 5000, 8000, 8001, 8008, 8080, 8081, 8888, 9000, 9090, 9093, 9100})
HTTPS_PORTS = frozenset({443, 4443, 6443, 8443, 9443})


def conversation_of_service(port: int, name: str = "", app_protocol: str = "", target: str = "") -> Conversation:
    """How a Service's port is asked: by appProtocol, then by the port's name, then by its number."""
    for word in (app_protocol, name, target):
        lowered = word.lower().rpartition("/")[2]
        if lowered.startswith(("https", "tls", "wss", "webhook")):
            return HTTPS
        if lowered.startswith(("http", "web", "metrics", "ws")) and port not in HTTPS_PORTS:
            return HTTP
    if port in HTTPS_PORTS:
        return HTTPS
    return HTTP if port in HTTP_PORTS else CONNECT


def component_of_target(host: str, port: int) -> str:
    """What a named target is thought to be, in the built-in catalogue."""
    return builtin().component_of_target(host, port)


def conversation_of(component: str, port: int) -> Conversation:
    """How a component is asked, in the built-in catalogue."""
    return builtin().conversation_of(component, port)
