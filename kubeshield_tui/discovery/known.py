"""What a workload is, by its images, labels and names: add-ons that the catalogue has rows for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kubeshield_tui.discovery.catalogue import Catalogue, Row, Where
from kubeshield_tui.model.cluster import Labels, PodRecord
from kubeshield_tui.model.endpoint import Protocol

NAME_LABELS = ("app.kubernetes.io/name", "k8s-app", "app", "name", "component", "app.kubernetes.io/component")
"""Labels by which workloads say what they are, the most telling first."""


class Known(NamedTuple):
    """A workload that is recognised."""

    component: str
    """Of its row in the catalogue; rows `<component>-...` are further ports of the same workload."""
    images: tuple[str, ...]
    """Ends of image repositories: one or two whole path elements."""
    names: tuple[str, ...] = ()
    """Values of NAME_LABELS and names of Services, where they differ from the component."""
    also: str = ""
    """Beginning of further components of the same workload."""


KNOWN = (
    Known(
        "kubernetes-dashboard", ("kubernetesui/dashboard", "kubernetesui/dashboard-web", "kubernetes-dashboard-amd64")
    ),
    Known("cluster-dns", ("coredns", "k8s-dns-kube-dns"), ("kube-dns", "coredns"), also="coredns-"),
    Known("metrics-server", ("metrics-server", "metrics-server-amd64")),
    Known("kube-state-metrics", ("kube-state-metrics",)),
    Known("node-exporter", ("node-exporter",), ("prometheus-node-exporter",)),
    Known("prometheus", ("prom/prometheus", "prometheus/prometheus")),
    Known("ingress-nginx", ("ingress-nginx/controller", "nginx-ingress-controller"), ("nginx-ingress",)),
    Known("tiller", ("tiller",), ("helm", "tiller-deploy")),
    Known("calico-typha", ("calico/typha",)),
    Known("hubble-relay", ("hubble-relay",)),
    Known("kubectl-proxy", ("kubectl",)),
)
_BY_IMAGE = {image: known.component for known in KNOWN for image in known.images}


def repository(image: str) -> str:
    """The repository of an image, without registry's port, tag and digest: `quay.io/calico/node`."""
    path = image.partition("@")[0]
    head, slash, last = path.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def is_of(image: str, ends: Iterable[str]) -> bool:
    """Whether an image's repository is, or ends in, one of these paths."""
    path = f"/{repository(image)}"
    return any(path.endswith(f"/{end}") for end in ends)


def component_of_pod(pod: PodRecord) -> str:
    """What a pod is, by its images, which say more than names do; empty if it is nothing known."""
    if not pod.images:
        return component_of_labels(pod.labels)
    return next(filter(None, map(component_of_image, pod.images)), "")


def component_of_image(image: str) -> str:
    """What runs in an image; empty if it is nothing known."""
    path = repository(image).split("/")
    return _BY_IMAGE.get(path[-1]) or _BY_IMAGE.get("/".join(path[-2:]), "")


def component_of_labels(labels: Labels, name: str = "") -> str:
    """What an object with these labels, or this name, is; empty if it is nothing known."""
    have = dict(labels)
    said = [have[label] for label in NAME_LABELS if label in have]
    for word in (*said, name) if name else said:
        for known in KNOWN:
            if word == known.component or word in known.names:
                return known.component
    return ""


def row_of(catalogue: Catalogue, component: str, port: int, protocol: Protocol) -> Row | None:
    """The catalogue's row for one port of a workload; None where the catalogue has none for that port."""
    return next((row for row in rows_of(catalogue, component) if row.protocol == protocol and port in row.ports), None)


def rows_of(catalogue: Catalogue, component: str) -> tuple[Row, ...]:
    """The catalogue's rows of a workload: its own and those of its further ports."""
    if not component:
        return ()
    also = next((known.also for known in KNOWN if known.component == component), "")
    further = (f"{component}-", also) if also else (f"{component}-",)
    return tuple(
        row for row in catalogue.at(Where.WORKLOAD) if row.component == component or row.component.startswith(further)
    )
