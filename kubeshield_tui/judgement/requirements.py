"""What a hole needs besides a version, as far as it can be read: each is so, is not so, or is not known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kubeshield_tui.judgement.cluster_view import ClusterView, listed
from kubeshield_tui.judgement.components import API_SERVER
from kubeshield_tui.judgement.holes import Requirement
from kubeshield_tui.model.cluster import NodeRecord
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Posture

OS_LABELS = ("kubernetes.io/os", "beta.kubernetes.io/os")


class Met(NamedTuple):
    """Whether a requirement is met."""

    holds: bool | None
    """None where it is not known."""
    sentence: str
    verify: str = ""
    """kubectl's arguments that show it."""


def met(requirement: Requirement, view: ClusterView) -> Met:
    """Look a requirement up."""
    match requirement:
        case Requirement.ANONYMOUS:
            return _anonymous(view)
        case Requirement.AGGREGATED:
            names = [each.name for each in view.inventory.aggregated]
            none = "no other server answers for a part of the API"
            return _listed(view, "apiservices", names, "other servers answer for", none)
        case Requirement.WEBHOOKS:
            names = [each.name for each in view.inventory.webhooks]
            kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
            return _listed(view, kinds, names, "admission webhooks:", "no admission webhook is configured")
        case Requirement.POLICIES:
            names = [f"{each.namespace}/{each.name}" for each in view.inventory.policies]
            return _listed(view, "networkpolicies", names, "NetworkPolicies:", "there is no NetworkPolicy")
        case Requirement.WINDOWS:
            return _windows(view.inventory.nodes)
        case Requirement.PORTWORX:
            return _portworx(view)


def _listed(view: ClusterView, kinds: str, names: list[str], some: str, none: str) -> Met:
    verify = f"get {kinds} -A"
    if names:
        return Met(True, f"{some} {listed(names)}", verify)
    if all(view.was_read(kind) for kind in kinds.split(",")):
        return Met(False, none, verify)
    return Met(None, f"the list of {kinds.replace(',', ' or ')} could not be read", verify)


def _anonymous(view: ClusterView) -> Met:
    refused = ""
    for endpoint in view.endpoints:
        if endpoint.component != API_SERVER:
            continue
        for vantage in view.vantages:
            match view.look(CellKey(endpoint.id, vantage.id)).posture:
                case Posture.ANONYMOUS:
                    return Met(True, f"anonymous requests are served, as seen from {vantage.id}")
                case Posture.FORBIDDEN:
                    said = f"anonymous requests are let in and then refused (403), as seen from {vantage.id}"
                    return Met(True, said)
                case Posture.AUTH_REQUIRED:
                    refused = refused or vantage.id
    if refused:
        return Met(False, f"anonymous requests are turned away (401), as seen from {refused}")
    return Met(None, "whether anonymous requests are served was not measured")


def _windows(nodes: Iterable[NodeRecord]) -> Met:
    systems = {node.name: is_windows(node) for node in nodes}
    windows = [name for name, answer in systems.items() if answer]
    verify = "get nodes -L kubernetes.io/os"
    if windows:
        return Met(True, f"nodes with Windows: {listed(windows)}", verify)
    if systems and None not in systems.values():
        return Met(False, "no node runs Windows", verify)
    return Met(None, "whether a node runs Windows is not known", verify)


def is_windows(node: NodeRecord) -> bool | None:
    """Whether a node runs Windows, None where it does not say."""
    labels = dict(node.labels)
    told = next((labels[key] for key in OS_LABELS if key in labels), "") or node.os_image
    return "windows" in told.lower() if told else None


def _portworx(view: ClusterView) -> Met:
    pods = [pod for pod in view.inventory.pods if any("portworx" in image for image in pod.images)]
    verify = "get storageclasses"
    if pods:
        return Met(True, f"pods of Portworx: {listed([f'{pod.namespace}/{pod.name}' for pod in pods])}", verify)
    if any(pod.images for pod in view.inventory.pods):
        return Met(False, "no pod of Portworx runs", verify)
    return Met(None, "whether Portworx is in use is not known", verify)
