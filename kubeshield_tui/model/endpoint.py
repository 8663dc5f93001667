"""WHAT is looked at: an address and port with the object behind it."""

from __future__ import annotations

from enum import StrEnum

from kubeshield_tui.model.ids import EndpointId
from kubeshield_tui.model.observation import Posture
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
    EITHER = "either"
    """TLS first; where the answer is none, once more without, on a connection of its own."""


class Fact(Record, frozen=True, omit_defaults=True):
    """Something that an answer tells of its server, and where it stands. With no place named it is the whole body."""

    name: str
    """`version`, `server`, `title`, `mode`, ..."""
    header: str = ""
    """Header whose value it is."""
    json: str = ""
    """Key whose string it is, wherever in the body."""
    after: str = ""
    before: str = ""
    """It stands between these in the body."""


class Reading(Record, frozen=True, omit_defaults=True):
    """How an answer reads. What is left empty fits everything; of several the first that fits counts."""

    status: str = ""
    """`401`, `2xx`, or `none`: it was asked, and no answer came before the deadline."""
    header: str = ""
    """`Name`, or `Name: fragment of its value`; case does not matter."""
    body: str = ""
    """Fragment of the body."""
    certificate: str = ""
    """Fragment of subject or issuer: for a conversation's own readings."""
    posture: Posture | None = None
    says: str = ""
    """What it means, in a few words for people."""


class Request(Record, frozen=True, omit_defaults=True):
    """One safe, read-only HTTP request. Never a path that serves credentials."""

    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    keep_body: bool = True
    """False: the answer's body never leaves the agent (a session token is such a body)."""
    readings: tuple[Reading, ...] = ()
    facts: tuple[Fact, ...] = ()


class Conversation(Record, frozen=True, omit_defaults=True, cache_hash=True):
    """What is said to an endpoint once TCP is open. A port that greets first gets no TLS and no HTTP."""

    tls: TlsMode = TlsMode.OFF
    server_name: str = ""
    """SNI; empty sends none, as for an IP literal."""
    requests: tuple[Request, ...] = ()
    """At most two, on one connection."""
    datagram: str = ""
    """UDP: the protocol that is asked in (`dns`, `ntp`, ...); empty sends an empty datagram."""
    readings: tuple[Reading, ...] = ()
    """How the connection itself reads: by its certificate."""


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
    named: bool = False
    """The user named this address: it is asked from everywhere, whatever its scope."""
