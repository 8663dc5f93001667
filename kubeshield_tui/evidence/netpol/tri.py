"""Three-valued logic: yes, no, or unknown with the reasons why."""

from __future__ import annotations

from enum import StrEnum

from kubeshield_tui.model.record import Record


class Assumption(StrEnum):
    """What an answer hangs on where the specification, or what was read, leaves it open."""

    IPBLOCK_PODS = "ipblock-matches-pods"
    IPBLOCK_NODES = "ipblock-matches-nodes"
    HOSTNETWORK_SUBJECT = "hostnetwork-subject"
    HOSTNETWORK_PEER = "hostnetwork-peer"
    HAIRPIN = "hairpin"
    POD_TO_OWN_NODE = "pod-to-own-node"
    EQUAL_PRIORITY = "equal-priority"
    PROTOCOL = "protocol-not-defined"
    SIDECAR_PORT = "sidecar-port-name"
    PORT_NAME_TWICE = "port-name-twice"
    DOMAIN_NAME = "domain-name"
    FOREIGN_POLICY = "foreign-policy"
    UNDECIDABLE = "undecidable"
    LABEL_NOT_KNOWN = "label-not-known"
    ADDRESS_NOT_KNOWN = "address-not-known"
    NODE_NOT_KNOWN = "node-not-known"
    REPLICAS = "replicas"
    SOURCE_REWRITTEN = "source-rewritten"
    BACKENDS = "backends"
    NOT_THERE = "not-there"
    OWN_NODE = "own-node"

    @property
    def sentence(self) -> str:
        """What it means."""
        return _SENTENCES[self]


_SENTENCES = {
    Assumption.IPBLOCK_PODS: "whether an ipBlock matches pod addresses is the network plugin's choice",
    Assumption.IPBLOCK_NODES: "whether an ipBlock matches node addresses is the network plugin's choice",
    Assumption.HOSTNETWORK_SUBJECT: "whether policies apply to hostNetwork pods is the network plugin's choice",
    Assumption.HOSTNETWORK_PEER: "whether selectors match hostNetwork pods, or they count as their node, is the network"
    " plugin's choice",
    Assumption.HAIRPIN: "what applies to a pod that reaches itself through a Service is not specified",
    Assumption.POD_TO_OWN_NODE: "whether a pod always reaches its own node is not specified",
    Assumption.EQUAL_PRIORITY: "policies of one priority disagree, and the implementation may follow either",
    Assumption.PROTOCOL: "network policies are defined for TCP, UDP and SCTP only",
    Assumption.SIDECAR_PORT: "whether sidecar containers' port names count is the network plugin's choice",
    Assumption.PORT_NAME_TWICE: "the name stands for two ports; which one counts is the network plugin's choice",
    Assumption.DOMAIN_NAME: "which addresses a domain name stands for is known at run time only",
    Assumption.FOREIGN_POLICY: "its kind is recognised, not evaluated",
    Assumption.UNDECIDABLE: "it could not be read as it is meant",
    Assumption.LABEL_NOT_KNOWN: "a label that a selector asks for is not known",
    Assumption.ADDRESS_NOT_KNOWN: "an address that an ipBlock is compared with is not known",
    Assumption.NODE_NOT_KNOWN: "it is not known on which node this is, and a node always reaches its own pods",
    Assumption.REPLICAS: "the name stands for several pods; one of them always reaches itself",
    Assumption.SOURCE_REWRITTEN: "on the way through a node the source address may be replaced by the node's",
    Assumption.BACKENDS: "the answer depends on which backend the Service picks",
    Assumption.NOT_THERE: "there is nothing to evaluate",
    Assumption.OWN_NODE: "connections from a pod's own node are always allowed into the pod",
}


class Reason(Record, frozen=True):
    """One thing that an answer hangs on."""

    assumption: Assumption
    about: str = ""
    """What it is about: an object, a field, an address."""

    @property
    def text(self) -> str:
        """One line."""
        about = f"{self.about}: " if self.about else ""
        return f"{self.assumption}: {about}{self.assumption.sentence}"


class Unknown(Record, frozen=True):
    """Neither yes nor no."""

    reasons: frozenset[Reason]


Tri = bool | Unknown


def unknown(assumption: Assumption, about: str = "") -> Unknown:
    """Unknown for one reason."""
    return Unknown(reasons=frozenset((Reason(assumption=assumption, about=about),)))


def both(left: Tri, right: Tri) -> Tri:
    """Left and right: no if either is no, yes if both are yes."""
    if left is False or right is False:
        return False
    if left is True:
        return right
    if right is True:
        return left
    return Unknown(reasons=left.reasons | right.reasons)


def either(left: Tri, right: Tri) -> Tri:
    """Left or right: yes if either is yes, no if both are no."""
    if left is True or right is True:
        return True
    if left is False:
        return right
    if right is False:
        return left
    return Unknown(reasons=left.reasons | right.reasons)


def reasons_of(value: Tri) -> frozenset[Reason]:
    """Why it is unknown; empty where it is not."""
    return value.reasons if isinstance(value, Unknown) else frozenset()
