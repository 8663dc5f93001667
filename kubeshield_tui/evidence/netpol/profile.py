"""Choices that the specification leaves to the network plugin, each yes, no or not known.

Whether a plugin enforces policies at all, or knows endPort, is none of them: that is a fact about enforcement, not
about what the policies say.
"""

from __future__ import annotations

from kubeshield_tui.evidence.netpol.tri import Assumption, Tri, unknown
from kubeshield_tui.model.record import Record


class Profile(Record, frozen=True):
    """What is known of a network plugin's choices. None: not known, and then what hangs on it is unknown too."""

    ipblock_matches_pods: bool | None = None
    """An ipBlock matches a pod by its address."""
    ipblock_matches_nodes: bool | None = None
    """An ipBlock matches a node, and hostNetwork pods, by the node's address."""
    hostnetwork_subject: bool | None = None
    """NetworkPolicies apply to hostNetwork pods that they select."""
    hostnetwork_peer: bool | None = None
    """Selectors match hostNetwork pods; if not they are no more than their node's address."""
    hairpin: bool | None = None
    """A pod always reaches itself through a Service, whatever NetworkPolicies say."""
    pod_to_own_node: bool | None = None
    """A pod always reaches the node that it runs on, whatever policies say."""
    ties_by_name: bool | None = None
    """Admin policies of one priority are asked in the order of their names; if not, in any order."""


def knob(value: bool | None, assumption: Assumption, about: str = "") -> Tri:
    """A choice as a three-valued answer."""
    return unknown(assumption, about) if value is None else value
