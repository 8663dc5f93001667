"""The ends of a connection: what is asked about, and what policies see of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from msgspec.structs import replace

from kubeshield_tui.evidence.netpol.tri import Assumption, Tri, unknown
from kubeshield_tui.model.cluster import ContainerPort, PodRecord
from kubeshield_tui.model.record import Record

TRANSPORTS = ("TCP", "UDP", "SCTP")
"""Protocols that network policies are defined for."""


class EndKind(StrEnum):
    """What an end is."""

    POD = "pod"
    NODE = "node"
    SERVICE = "service"
    ADDRESS = "address"


class End(Record, frozen=True):
    """One end of a question, by name."""

    kind: EndKind
    name: str
    """Of an address: its text."""
    namespace: str = ""

    @property
    def text(self) -> str:
        """As it is written: `shop/web`, `node:n1`, `service:shop/db`, `203.0.113.9`."""
        match self.kind:
            case EndKind.POD:
                return f"{self.namespace}/{self.name}"
            case EndKind.NODE:
                return f"node:{self.name}"
            case EndKind.SERVICE:
                return f"service:{self.namespace}/{self.name}"
            case EndKind.ADDRESS:
                return self.name


def parse_end(text: str) -> End | None:
    """Read an end as End.text writes it; None where it is none."""
    kind, colon, rest = text.partition(":")
    if colon and kind == EndKind.NODE and rest:
        return End(kind=EndKind.NODE, name=rest)
    is_service = bool(colon) and kind == EndKind.SERVICE
    namespace, slash, name = (rest if is_service else text).partition("/")
    if slash and namespace and name and "/" not in name:
        return End(kind=EndKind.SERVICE if is_service else EndKind.POD, namespace=namespace, name=name)
    address = address_of(text)
    return None if address is None else End(kind=EndKind.ADDRESS, name=str(address))


class Question(Record, frozen=True):
    """May this connection be made?"""

    source: End
    destination: End
    port: int = 0
    """Of the destination; of a Service: the Service's port. 0 for a protocol without ports."""
    protocol: str = "TCP"
    """TCP, UDP or SCTP; others, such as ICMP, are not defined for policies."""


class Traffic(NamedTuple):
    """What arrives at the destination, after translation of Services."""

    protocol: str
    port: int


Address = tuple[int, int]
"""Family (4 or 6) and value."""


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is, None where it is none. An IPv4 address in IPv6's clothes is one of IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    # A scope names an interface of one machine only.
    return None if address.scope_id else address.ipv4_mapped or address


def addresses_of(texts: tuple[str, ...]) -> tuple[Address, ...]:
    """Addresses of texts; what is no IP address is left out."""
    found = (address_of(text) for text in texts)
    return tuple((address.version, int(address)) for address in found if address is not None)


class LabelView(NamedTuple):
    """Labels of something, and which of them are not known."""

    owner: str
    """`pod shop/web`, `namespace shop`."""
    known: Mapping[str, str]
    open_keys: frozenset[str] = frozenset()
    """Keys of labels that are set at run time only."""
    is_partial: bool = False
    """There may be labels of any key beside the known ones."""


class PartyKind(StrEnum):
    """What policies make of an end."""

    POD = "pod"
    NODE = "node"
    OUTSIDE = "outside"


class Party(Record, frozen=True, dict=True, weakref=True, eq=False):
    """An end of a connection as policies see it. Two are the same only if they are one object."""

    kind: PartyKind
    text: str
    """As explanations name it: `shop/web`, `node n1`, `203.0.113.9`."""
    addresses: tuple[Address, ...] = ()
    """Empty: not known."""
    family: int = 0
    """4 or 6 where the addresses are only those of one of its families."""
    namespace: str = ""
    name: str = ""
    labels: LabelView = LabelView("", {})
    namespace_labels: LabelView = LabelView("", {})
    node: str = ""
    """The node that it is or runs on; empty: not known."""
    node_labels: LabelView = LabelView("", {})
    host_network: bool = False
    ports: tuple[ContainerPort, ...] = ()
    is_several: bool = False
    """Stands for several pods that are alike: the replicas of a workload."""
    is_finished: bool = False
    broken: str = ""
    """Why nothing can be said of it: how its object was refused."""

    @cached_property
    def is_node_like(self) -> bool:
        """Whether its address is a node's."""
        return self.kind is PartyKind.NODE or self.host_network

    @cached_property
    def versions(self) -> frozenset[int]:
        """Address families that it has; empty where no address is known."""
        return frozenset(version for version, _ in self.addresses)

    def narrowed(self, family: int) -> Party:
        """The same end with the addresses of one family alone."""
        kept = tuple(address for address in self.addresses if address[0] == family)
        return replace(self, addresses=kept, family=family)


class TemplatePod(Record, frozen=True):
    """The pods of a workload as its template has them: named by the workload, not yet running."""

    pod: PodRecord
    open_labels: tuple[str, ...] = ()
    """Keys of labels that controllers add."""
    is_several: bool = True


class BrokenPod(Record, frozen=True):
    """A pod whose object was refused: nothing that it takes part in is known."""

    namespace: str
    name: str
    why: str


class ImpliedNamespace(Record, frozen=True):
    """A namespace of which only some labels are known."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()


def same_pod(left: Party, right: Party) -> Tri:
    """Whether both are one pod."""
    if left.kind is not PartyKind.POD or right.kind is not PartyKind.POD:
        return False
    if (left.namespace, left.name) != (right.namespace, right.name):
        return False
    return unknown(Assumption.REPLICAS, left.text) if left.is_several else True


def same_node(left: Party, right: Party) -> Tri:
    """Whether both are, or run on, one node."""
    if left.node and right.node:
        return left.node == right.node
    whose = right if left.node else left
    return unknown(Assumption.NODE_NOT_KNOWN, whose.text)
