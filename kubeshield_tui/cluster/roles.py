"""The smallest roles for chosen features: the table of needs, merged, with the reasons for each rule. Pure.

Cluster-wide rules are one ClusterRole; what is used in a namespace only is a Role in each namespace that was named, or
stands in the ClusterRole where none was. What the ClusterRole grants no Role repeats.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from kubeshield_tui.cluster.rights import NEEDS, Feature, Need, Right
from kubeshield_tui.model.record import Record

API_VERSION = "rbac.authorization.k8s.io/v1"
API_GROUP = "rbac.authorization.k8s.io"
VERBS = ("get", "list", "watch", "create", "update", "delete")
"""In the order in which rules name them."""
ON_NODES = frozenset({Feature.NODE_PODS, Feature.PER_NODE})
"""Their pods are made in one namespace, whichever nodes they stand on."""


class SubjectKind(StrEnum):
    """Whom a role can be bound to."""

    USER = "User"
    GROUP = "Group"
    SERVICE_ACCOUNT = "ServiceAccount"


class Subject(Record, frozen=True):
    """Who gets the rights."""

    kind: SubjectKind
    name: str
    namespace: str = ""
    """Of a service account."""

    @property
    def body(self) -> dict[str, Any]:
        """As a binding names it."""
        if self.kind is SubjectKind.SERVICE_ACCOUNT:
            return {"kind": self.kind.value, "name": self.name, "namespace": self.namespace}
        return {"apiGroup": API_GROUP, "kind": self.kind.value, "name": self.name}


class Reason(Record, frozen=True):
    """Why a rule has some of its verbs."""

    feature: Feature
    verbs: tuple[str, ...]
    why: str
    without: str
    optional: bool


class Rule(Record, frozen=True):
    """One rule: verbs on one resource."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    reasons: tuple[Reason, ...]

    @property
    def body(self) -> dict[str, Any]:
        """As a role holds it."""
        return {"apiGroups": [self.group], "resources": [self.resource], "verbs": list(self.verbs)}


class Role(Record, frozen=True):
    """A ClusterRole, or a Role where it has a namespace."""

    name: str
    rules: tuple[Rule, ...]
    namespace: str = ""

    @property
    def kind(self) -> str:
        """`Role` or `ClusterRole`."""
        return "Role" if self.namespace else "ClusterRole"

    @property
    def head(self) -> dict[str, Any]:
        """The object without its rules."""
        return {"apiVersion": API_VERSION, "kind": self.kind, "metadata": self._metadata}

    def binding(self, subject: Subject) -> dict[str, Any]:
        """The object that gives it to somebody."""
        return {
            "apiVersion": API_VERSION,
            "kind": f"{self.kind}Binding",
            "metadata": self._metadata,
            "roleRef": {"apiGroup": API_GROUP, "kind": self.kind, "name": self.name},
            "subjects": [subject.body],
        }

    @property
    def _metadata(self) -> dict[str, str]:
        return {"name": self.name, **({"namespace": self.namespace} if self.namespace else {})}


def roles(features: Iterable[Feature], namespaces: Iterable[str], name: str, pod_namespace: str) -> tuple[Role, ...]:
    """The roles for some features, the ClusterRole first; none that would be empty.

    `namespaces`: where pods are asked from; none means anywhere. `pod_namespace`: where pods on nodes are made unless
    namespaces are named.
    """
    wide: list[tuple[Feature, Need]] = []
    within: dict[str, list[tuple[Feature, Need]]] = {}
    named = tuple(dict.fromkeys(namespaces))
    chosen = dict.fromkeys(features)
    if Feature.WATCH in chosen:
        chosen = {Feature.DISCOVERY: None, **chosen}  # what is watched is listed first
    for feature in chosen:
        places = named or ((pod_namespace,) if feature in ON_NODES else ())
        for need in NEEDS[feature]:
            if need.in_namespace and places:
                for place in places:
                    within.setdefault(place, []).append((feature, need))
            else:
                wide.append((feature, need))
    cluster_role = Role(name=name, rules=_merged(wide))
    granted = {
        Right(verb=verb, resource=rule.resource, group=rule.group) for rule in cluster_role.rules for verb in rule.verbs
    }
    local = (Role(name=name, namespace=place, rules=_merged(needs, granted)) for place, needs in within.items())
    return tuple(role for role in (cluster_role, *local) if role.rules)


def _merged(needs: Iterable[tuple[Feature, Need]], granted: Iterable[Right] = ()) -> tuple[Rule, ...]:
    """One rule a resource, with the verbs of all that need it and are not `granted` elsewhere."""
    without = frozenset(granted)
    reasons: dict[tuple[str, str], list[Reason]] = {}
    for feature, need in needs:
        verbs = tuple(right.verb for right in need.rights if right not in without)
        if verbs:
            reasons.setdefault((need.group, need.resource), []).append(
                Reason(feature=feature, verbs=verbs, why=need.why, without=need.without, optional=need.optional)
            )
    return tuple(
        Rule(
            group=group,
            resource=resource,
            verbs=tuple(verb for verb in VERBS if any(verb in reason.verbs for reason in why)),
            reasons=tuple(dict.fromkeys(why)),
        )
        for (group, resource), why in reasons.items()
    )
