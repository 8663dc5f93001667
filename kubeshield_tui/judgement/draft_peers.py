"""How a policy can name what is here: namespaces and pods by the fewest labels that tell them apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kubeshield_tui.evidence.netpol.party import Party
from kubeshield_tui.evidence.netpol.world import NAME_LABEL, World
from kubeshield_tui.judgement.draft import MANAGED_LABEL, MANAGER, Raw

VOLATILE = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
        "job-name",
        "batch.kubernetes.io/job-name",
        "batch.kubernetes.io/job-completion-index",
    }
)
"""Labels that controllers give one pod or one revision: the next roll-out makes a policy with them outdated."""
TELLING = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app",
    "k8s-app",
    "component",
)
"""Labels that say what a pod is: kept wherever they are there."""
EVERY_POD: Raw = {}
EVERY_NAMESPACE: Raw = {"namespaceSelector": {}}


def namespace_selector(world: World, name: str) -> Raw | None:
    """A selector of one namespace alone; None where no label tells it apart from the others."""
    labels = dict(world.namespace_labels(name).known)
    if labels.get(NAME_LABEL) == name:
        return {"matchLabels": {NAME_LABEL: name}}
    others = [world.namespace_labels(other).known for other in world.namespaces if other != name]
    for key, value in sorted(labels.items()):
        if all(other.get(key) != value for other in others):
            return {"matchLabels": {key: value}}
    if labels and not any(labels.items() <= dict(other).items() for other in others):
        return {"matchLabels": dict(sorted(labels.items()))}
    return None


def pod_selector(pods: Iterable[Party], others: Iterable[Party]) -> Raw | None:
    """A selector of some pods of one namespace: the fewest lasting labels that all of them have and that select none of
    `others` but those that no label tells from them. None where they have no lasting label in common.
    """
    common: dict[str, str] | None = None
    for pod in pods:
        lasting = _lasting(pod.labels.known)
        common = lasting if common is None else dict(common.items() & lasting.items())
    if not common:
        return None
    kept = dict(sorted(common.items()))
    rest = [pod.labels.known for pod in others]
    selected = _count(kept, rest)
    for key in sorted(kept, key=lambda key: (key in TELLING, key)):
        fewer = {name: value for name, value in kept.items() if name != key}
        if key not in TELLING and fewer and _count(fewer, rest) == selected:
            kept = fewer
    return {"matchLabels": kept}


def is_own_probe(pod: Party) -> bool:
    """A pod that we made to ask from: it stands for any pod of its namespace."""
    return pod.labels.known.get(MANAGED_LABEL) == MANAGER


def _lasting(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key not in VOLATILE}


def _count(wanted: Mapping[str, str], pods: Iterable[Mapping[str, str]]) -> int:
    return sum(wanted.items() <= dict(labels).items() for labels in pods)
