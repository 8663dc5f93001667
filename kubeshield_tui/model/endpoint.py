"""WHAT is looked at: an address and port with the object behind it."""

from __future__ import annotations

from enum import StrEnum

from kubeshield_tui.model.ids import EndpointId
from kubeshield_tui.model.record import Record


class Scope(StrEnum):
    """Where an address means the same thing. 169.254.169.254 is another target on every node."""

    GLOBAL = "global"
    CLUSTER = "cluster"
    NODE = "node"


class Protocol(StrEnum):
    """Transport protocols that can be asked."""

    TCP = "tcp"
    UDP = "udp"


class TlsMode(StrEnum):
    """Whether a TLS handshake is tried after the TCP one."""

    OFF = "off"
    ON = "on"


class Request(Record, frozen=True):
    """One safe, read-only HTTP request. Never a path that serves credentials."""

    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()


class Conversation(Record, frozen=True):
    """What is said to an endpoint once TCP is open. A port that greets first gets no TLS and no HTTP."""

    tls: TlsMode = TlsMode.OFF
    server_name: str = ""
    """SNI; empty sends none, as for an IP literal."""
    requests: tuple[Request, ...] = ()
    """At most two, on one connection."""
    datagram: str = ""
    """UDP: the protocol that is asked in (`dns`, `ntp`, ...); empty sends an empty datagram."""


class PodRef(Record, frozen=True):
    """A pod by namespace and name."""

    namespace: str
    name: str


class Endpoint(Record, frozen=True):
    """Something that can be reached, or must not be."""

    id: EndpointId
    component: str
    """What it is, as the catalogue names it: kube-apiserver, kubelet, etcd, cloud-metadata, service, target, ..."""
    name: str
    """Short name for people: `kube-apiserver`, `kubelet n1`, `db`."""
    host: str
    """IP literal or RFC 1123 name, as asked at the vantage."""
    port: int
    protocol: Protocol = Protocol.TCP
    cluster: str = ""
    namespace: str = ""
    object: str = ""
    """`Kind/name` in the API, empty where there is none."""
    group: str = ""
    """Heading in the grid: `control plane`, `nodes`, `cloud metadata`, a namespace, `targets`."""
    scope: Scope = Scope.GLOBAL
    conversation: Conversation = Conversation()
    backends: tuple[PodRef, ...] = ()
    """Pods behind a Service."""
    backend_port: str = ""
    """Target port of a Service: number or name."""
    node: str = ""
    """Node whose address this is."""
    source: str = ""
    """How it was found: `kubeconfig`, `Service default/kubernetes`, `targets.txt:3`."""
    declared: str = ""
    """`blocked` or `reachable` where the user's targets file says so."""
