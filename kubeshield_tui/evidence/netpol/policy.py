"""Policies as they are evaluated: defaulted, checked, with the place that each part was read from."""

from __future__ import annotations

from enum import StrEnum

from kubeshield_tui.model.record import Record


class Direction(StrEnum):
    """From the point of view of the pod that a policy selects."""

    EGRESS = "egress"
    INGRESS = "ingress"


class Tier(StrEnum):
    """Order of evaluation: the first tier that decides is final."""

    ADMIN = "admin"
    NETWORK_POLICY = "network-policy"
    BASELINE = "baseline"


class Action(StrEnum):
    """What a matching rule does."""

    ALLOW = "allow"
    DENY = "deny"
    PASS = "pass"


class ObjectKey(Record, frozen=True):
    """The identity of an object in one cluster."""

    kind: str
    namespace: str
    """Empty for what is cluster-scoped."""
    name: str

    @property
    def text(self) -> str:
        """`NetworkPolicy shop/db`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Where(Record, frozen=True):
    """The place that something was read from."""

    file: str = ""
    """Empty for what an API server said."""
    line: int = 0
    """From 1; 0 where it is not known."""

    @property
    def text(self) -> str:
        """`db.yaml:12`."""
        return f"{self.file}:{self.line}" if self.file and self.line else self.file


class Operator(StrEnum):
    """Operators of a label selector."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(Record, frozen=True):
    """One condition on one label."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """As kubectl's `-l` has it."""
        match self.operator:
            case Operator.IN if len(self.values) == 1:
                return f"{self.key}={self.values[0]}"
            case Operator.IN:
                return f"{self.key} in ({','.join(self.values)})"
            case Operator.NOT_IN:
                return f"{self.key} notin ({','.join(self.values)})"
            case Operator.EXISTS:
                return self.key
            case Operator.DOES_NOT_EXIST:
                return f"!{self.key}"


class Selector(Record, frozen=True):
    """A label selector: all requirements must hold. Without any it selects everything."""

    requirements: tuple[Requirement, ...] = ()

    @property
    def text(self) -> str:
        """As kubectl's `-l` has it; `{}` for everything."""
        return ",".join(requirement.text for requirement in self.requirements) or "{}"


class PodSet(Record, frozen=True):
    """Pods by their namespace and labels. Hosts and addresses outside are never in it."""

    namespace: str | None = None
    """The one namespace; None where `namespaces` says which."""
    namespaces: Selector | None = None
    """None: every namespace that `namespace` allows."""
    pods: Selector | None = None
    """None: every pod of them."""


class Block(Record, frozen=True):
    """A range of addresses of one family, minus others."""

    text: str
    """`10.0.0.0/8 except 10.1.0.0/16`."""
    version: int
    """4 or 6."""
    first: int
    last: int
    excepted: tuple[tuple[int, int], ...] = ()
    """First and last address of each exception."""


class PodPeer(Record, frozen=True, tag="pods"):
    """Pods that a rule names."""

    path: str
    """`from[1]`."""
    pods: PodSet
    admin: bool = False
    """A peer of the admin API: hostNetwork pods are never among them."""


class BlockPeer(Record, frozen=True, tag="block"):
    """Addresses that a rule names."""

    path: str
    block: Block
    admin: bool = False
    """`networks` of the admin API: matches every destination by address, pods and nodes too."""


class NodePeer(Record, frozen=True, tag="nodes"):
    """Nodes that a rule of the admin API names."""

    path: str
    nodes: Selector


class DomainPeer(Record, frozen=True, tag="domains"):
    """Domain names that a rule of the admin API names."""

    path: str
    names: tuple[str, ...]


Peer = PodPeer | BlockPeer | NodePeer | DomainPeer


class PortMatch(Record, frozen=True):
    """Destination ports that a rule names."""

    path: str
    """`ports[0]`."""
    protocol: str | None
    """TCP, UDP or SCTP; None: whichever the named port has."""
    first: int = 0
    last: int = 65535
    name: str = ""
    """Name of a port that the destination pod declares; then `first` and `last` mean nothing."""

    @property
    def text(self) -> str:
        """`5432/TCP`, `8000-8010/TCP`, `http/TCP`, `any/UDP`."""
        if self.name:
            ports = f"'{self.name}'"
        elif (self.first, self.last) == (0, 65535):
            ports = "any port"
        else:
            ports = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{ports}/{self.protocol}" if self.protocol else ports


class Rule(Record, frozen=True):
    """One rule: matches where both a peer and a port match."""

    index: int
    """Its place in the object's list, from 0."""
    peers: tuple[Peer, ...] | None = None
    """None: everybody, addresses outside the cluster too. Empty: nobody."""
    ports: tuple[PortMatch, ...] | None = None
    """None: every port of every protocol."""
    action: Action = Action.ALLOW
    name: str = ""
    note: str = ""
    """Said of it wherever it is shown: a peer that was not understood."""
    where: Where = Where()


class Policy(Record, frozen=True):
    """A policy that can be evaluated."""

    key: ObjectKey
    tier: Tier
    subject: PodSet
    egress: tuple[Rule, ...] | None = None
    """None: it says nothing of this direction. A NetworkPolicy with an empty tuple isolates."""
    ingress: tuple[Rule, ...] | None = None
    priority: int = 0
    """Of an admin tier: lower is asked first."""
    where: Where = Where()

    def rules(self, direction: Direction) -> tuple[Rule, ...] | None:
        """The rules of a direction; None where it says nothing of it."""
        return self.egress if direction is Direction.EGRESS else self.ingress


class Reach(StrEnum):
    """How far a policy that can't be evaluated makes answers unknown."""

    NETWORK_POLICY = "network-policy"
    """It may isolate the pods it selects and may allow: what another NetworkPolicy allows stays allowed."""
    SUBJECT = "subject"
    """It may overrule: nothing about the pods it selects is known."""
    EITHER_END = "either-end"
    """Another system's policy: nothing is known where it selects either end."""


class OpaquePolicy(Record, frozen=True):
    """A policy that is there and can't be evaluated: what may depend on it is unknown, never allowed by it."""

    key: ObjectKey
    reach: Reach
    why: str
    subject: PodSet = PodSet()
    """Pods that it may select."""
    hosts: bool = False
    """It may select nodes too."""
    directions: tuple[Direction, ...] = tuple(Direction)
    """Directions that it may speak of."""
    where: Where = Where()
