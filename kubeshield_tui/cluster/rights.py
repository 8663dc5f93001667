"""What each feature asks of a cluster's API: the one table that roles, reviews and explanations are made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec.structs import replace

from kubeshield_tui.cluster.kinds import GROUPS_PATH, KINDS, OTHER_POLICIES, Kind
from kubeshield_tui.model.record import Record


class Feature(StrEnum):
    """Something that needs rights of its own."""

    DISCOVERY = "discovery"
    WATCH = "watch"
    OTHER_POLICIES = "other-policies"
    EXEC = "exec"
    OWN_PODS = "own-pods"
    NODE_PODS = "node-pods"
    PER_NAMESPACE = "per-namespace"
    PER_NODE = "per-node"
    REMEDIES = "remedies"
    SELFTEST = "selftest"
    SWEEP = "sweep"

    @property
    def duty(self) -> str:
        """What it is, in one line."""
        return _DUTIES[self]

    def role_hint(self, namespace: str = "") -> str:
        """How to get at the rights, as a hint; `namespace`: where they are needed, empty for anywhere."""
        where = f" --namespace {namespace}" if namespace else ""
        return f"`kubeshield rbac --feature {self}{where}` prints the role"


_DUTIES = {
    Feature.DISCOVERY: "find what a cluster exposes (`audit`, and the dashboard's start)",
    Feature.WATCH: "follow what was found while the dashboard runs",
    Feature.OTHER_POLICIES: "read policies of the admin API, Cilium and Calico, where a cluster has them",
    Feature.EXEC: "`pod:NAMESPACE/POD`, ask from a pod that exists",
    Feature.OWN_PODS: "`pod:NAMESPACE`, ask from a pod of our own",
    Feature.NODE_PODS: (
        "`pod:NAMESPACE@NODE` and `node:NODE`, a pod of our own on a node; `--firewall-pods`, one that reads it"
    ),
    Feature.PER_NAMESPACE: "`--per-namespace`, a pod of our own in every namespace that has pods",
    Feature.PER_NODE: "`--per-node`, a pod of our own on every schedulable node",
    Feature.REMEDIES: "apply a proposed NetworkPolicy from the dashboard after a yes, and take it back",
    Feature.SELFTEST: "`kubeshield selftest`, show with two pods of our own whether policies are enforced",
    Feature.SWEEP: "`kubeshield sweep`, remove what interrupted runs left in any namespace",
}


VERSION_READ = "get /version"
"""What everybody may read unless that was taken away; named as Denied names it."""


class Right(Record, frozen=True):
    """One verb on one resource: what a review asks and what a rule grants."""

    verb: str
    resource: str
    """Plural, with its subresource: `pods/exec`."""
    group: str = ""


def shown_rights(rights: Iterable[Right]) -> str:
    """For people, without API groups: `get, create pods; list nodes, services`."""
    verbs: dict[str, list[str]] = {}
    for right in rights:
        verbs.setdefault(right.resource, []).append(right.verb)
    resources: dict[str, list[str]] = {}
    for resource, each in verbs.items():
        resources.setdefault(", ".join(each), []).append(resource)
    return "; ".join(f"{each} {', '.join(found)}" for each, found in resources.items())


class Need(Record, frozen=True):
    """Verbs on a resource that a feature uses together, and what for."""

    resource: str
    verbs: tuple[str, ...]
    why: str
    without: str
    """What is lost where it is not granted."""
    group: str = ""
    in_namespace: bool = False
    """Used in the pod's namespace only; else in the whole cluster."""
    optional: bool = False
    """The feature works without it, less well."""
    instead: tuple[Right, ...] = ()
    """Rights of which one does as well."""

    @property
    def rights(self) -> tuple[Right, ...]:
        """The single rights."""
        return tuple(Right(verb=verb, resource=self.resource, group=self.group) for verb in self.verbs)


def _kind(kind: Kind, verb: str, why: str, without: str) -> Need:
    """What a kind needs; an older resource that tells the same does as well."""
    (resource, group), *older = dict.fromkeys((version.name, version.group) for version in kind.versions)
    return Need(
        group=group,
        resource=resource,
        verbs=(verb,),
        why=why,
        without=without,
        instead=tuple(Right(verb=verb, resource=name, group=of) for name, of in older),
    )


_EXEC = (
    Need(
        resource="pods/exec",
        verbs=("get",),
        why="Runs the probe agent there; an exec over websocket is a GET",
        without="nothing can be asked from the pod",
        in_namespace=True,
    ),
    Need(
        resource="pods/exec",
        verbs=("create",),
        why="Servers from 1.35 on ask for it as well",
        without="those servers refuse the exec",
        in_namespace=True,
        optional=True,
    ),
)
_OWN_PODS = (
    Need(
        resource="pods",
        verbs=("get", "create", "delete"),
        why="Makes the pod, sees it run, removes it at the end",
        without="nothing is made, and nothing is asked from there",
        in_namespace=True,
    ),
    *_EXEC,
    Need(
        group="coordination.k8s.io",
        resource="leases",
        verbs=("create", "delete"),
        why="The pod's owner: what a crash leaves is found by it, and goes with it",
        without="nothing is made, and nothing is asked from there",
        in_namespace=True,
    ),
    Need(
        group="coordination.k8s.io",
        resource="leases",
        verbs=("get", "update"),
        why="Renews it during the run",
        without="after a minute other runs take the pod for left over",
        in_namespace=True,
        optional=True,
    ),
    *(
        Need(
            group=group,
            resource=resource,
            verbs=("list",),
            why="Finds what an interrupted run left there",
            without="that stays until a `kubeshield sweep`",
            in_namespace=True,
            optional=True,
        )
        for group, resource in (("coordination.k8s.io", "leases"), ("", "pods"))
    ),
)
_NODE = Need(
    resource="nodes",
    verbs=("get",),
    why="Tells whether the node is there and can take a pod",
    without="a pod that does not start tells, later",
    optional=True,
)
_EXISTING_POD = Need(
    resource="pods",
    verbs=("get",),
    why="Tells whether the pod runs, where, and its containers",
    without="the pod can't be used",
    in_namespace=True,
)
_ANYWHERE = tuple(replace(need, in_namespace=False) for need in _OWN_PODS)
_TRIAL = (
    Need(
        resource="namespaces",
        verbs=("get", "create", "delete"),
        why="Makes a namespace of its own, removes it, sees it gone; the right is to any namespace",
        without="no self-test",
    ),
    Need(
        resource="namespaces",
        verbs=("list",),
        why="Lets `kubeshield sweep` find the namespace of an interrupted one",
        without="it stays until somebody deletes it",
        optional=True,
    ),
    Need(
        group="networking.k8s.io",
        resource="networkpolicies",
        verbs=("create", "delete"),
        why="Denies all between its two pods, and takes that back",
        without="no self-test",
    ),
)
NEEDS: dict[Feature, tuple[Need, ...]] = {
    Feature.DISCOVERY: tuple(_kind(kind, "list", kind.needed_for.rstrip("."), "not seen") for kind in KINDS),
    Feature.WATCH: tuple(
        _kind(kind, "watch", f"Changes of {kind.name}, live", "listed every half minute instead") for kind in KINDS
    ),
    Feature.OTHER_POLICIES: tuple(
        Need(
            group=kind.group,
            resource=kind.name,
            verbs=("list", "watch"),
            why=kind.needed_for.rstrip("."),
            without="what policies say is not known where the server has them",
        )
        for kind in OTHER_POLICIES
    ),
    Feature.EXEC: (_EXISTING_POD, *_EXEC),
    Feature.OWN_PODS: _OWN_PODS,
    Feature.NODE_PODS: (*_OWN_PODS, _NODE),
    Feature.PER_NAMESPACE: (
        *_ANYWHERE,
        *(
            Need(resource=resource, verbs=("list",), why=why, without="--per-namespace finds no namespace")
            for resource, why in (("namespaces", "Which are there and not ending"), ("pods", "Which have pods"))
        ),
    ),
    Feature.PER_NODE: (
        *_OWN_PODS,
        _NODE,
        Need(resource="nodes", verbs=("list",), why="Which are there", without="--per-node finds no node"),
    ),
    Feature.REMEDIES: (
        Need(
            group="networking.k8s.io",
            resource="networkpolicies",
            verbs=("get", "create", "delete"),
            why="Makes the policy that was shown and agreed to, removes it again",
            without="policies are shown and saved, and nothing is applied",
            in_namespace=True,
        ),
    ),
    Feature.SELFTEST: (*_ANYWHERE, *_TRIAL),
    Feature.SWEEP: (
        Need(
            resource="pods",
            verbs=("get", "list", "delete"),
            why="Finds ours by label, removes them, sees them gone",
            without="what is left stays there",
        ),
        Need(
            group="coordination.k8s.io",
            resource="leases",
            verbs=("list", "delete"),
            why="Tells which runs are alive, and removes their owners",
            without="what is left stays there",
        ),
    ),
}
"""What each feature uses, and nothing more: a test holds it against the requests that are made."""


def rights_of(features: Iterable[Feature], *, optional: bool = True) -> tuple[Right, ...]:
    """All rights of some features, each once; without those that they can do without unless `optional`."""
    needs = (need for feature in features for need in NEEDS[feature] if optional or not need.optional)
    return tuple(dict.fromkeys(right for need in needs for right in need.rights))


def lost_without(what: str) -> str:
    """What can't be seen where something may not be read (`list nodes`, as Denied has it); empty if it is no kind's."""
    if what == VERSION_READ:
        return "Which known holes the API server's version has."
    if what == f"list {GROUPS_PATH}":
        return "Whether there are other policies than NetworkPolicies: what policies say is not known then."
    for kind in (*KINDS, *OTHER_POLICIES):
        if what in {f"list {version.resource}" for version in kind.versions}:
            return kind.needed_for
    return ""
