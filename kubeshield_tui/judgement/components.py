"""Which version of what runs in a cluster, each with the place that says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kubeshield_tui.model.cluster import Inventory, NodeRecord, PodRecord

API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
KUBELET = "kubelet"
INGRESS_NGINX = "ingress-nginx"

CONTROL_PLANE_NAMESPACE = "kube-system"
"""Elsewhere an image of an API server is that of a virtual cluster: another one than this."""
_CONTROL_PLANE = re.compile(rf"(?:^|/)(?P<name>{API_SERVER}|{CONTROLLER_MANAGER})(?:-[a-z0-9]+)?$")
# The project's own name, and those under which distributions mirror it. nginx/nginx-ingress is another product.
_INGRESS = re.compile(r"(?:^|/)(?:ingress-nginx/controller(?:-chroot)?|(?:nginx-ingress|ingress-nginx)-controller)$")


class ComponentVersion(NamedTuple):
    """A version that was told. Text as it came, empty where nothing was told."""

    component: str
    version: str
    subject: str
    """Whose it is: `the API server`, `node n1`, `Pod kube-system/kube-apiserver-n1`."""
    source: str
    """What says so: `gitVersion of /version`, `image registry.k8s.io/...`."""
    node: str = ""
    namespace: str = ""
    pod: str = ""


def component_versions(inventory: Inventory) -> tuple[ComponentVersion, ...]:
    """All versions that discovery read; what pods' images say of the control plane goes before what is concluded."""
    found = [*_of_images(inventory), *(_of_node(node) for node in inventory.nodes)]
    told = ComponentVersion(API_SERVER, inventory.cluster.version, "the API server", "gitVersion of /version")
    servers = {each.version for each in found if each.component == API_SERVER}
    if not servers or (told.version and told.version not in servers):
        found.append(told)
    if not any(each.component == CONTROLLER_MANAGER for each in found):
        source = "it does not tell its own version: the API server's is taken"
        found.append(told._replace(component=CONTROLLER_MANAGER, subject="the controller manager", source=source))
    return tuple(found)


def _of_node(node: NodeRecord) -> ComponentVersion:
    return ComponentVersion(KUBELET, node.kubelet_version, f"node {node.name}", "kubeletVersion", node=node.name)


def _of_images(inventory: Inventory) -> Iterator[ComponentVersion]:
    for pod in inventory.pods:
        if pod.phase in {"Succeeded", "Failed"}:
            continue
        for image in pod.images:
            path, tag = take_apart(image)
            if component := _component(pod, path):
                yield ComponentVersion(
                    component,
                    tag,
                    f"Pod {pod.namespace}/{pod.name}",
                    f"image {image}",
                    node=pod.node,
                    namespace=pod.namespace,
                    pod=pod.name,
                )


def _component(pod: PodRecord, path: str) -> str:
    if _INGRESS.search(path):
        return INGRESS_NGINX
    found = _CONTROL_PLANE.search(path) if pod.namespace == CONTROL_PLANE_NAMESPACE else None
    return found["name"] if found else ""


def take_apart(image: str) -> tuple[str, str]:
    """Path and tag of an image: `host:5000/a/b:v1@sha256:...` has the tag `v1`; a digest alone tells no version."""
    path = image.partition("@")[0]
    head, slash, last = path.rpartition("/")
    name, _, tag = last.partition(":")
    return head + slash + name, tag
