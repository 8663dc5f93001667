"""Which cells are asked at all."""

from __future__ import annotations

from kubeshield_tui.model.endpoint import Endpoint, Scope
from kubeshield_tui.model.vantage import Vantage


def out_of_scope(endpoint: Endpoint, vantage: Vantage) -> str:
    """Say why a cell must not be asked; empty if it is in scope.

    Pod, ClusterIP, loopback and metadata addresses are other targets elsewhere. Targets that the user named belong to
    no cluster and are asked from everywhere.
    """
    if not endpoint.cluster or endpoint.scope is Scope.GLOBAL:
        return ""
    if vantage.cluster == endpoint.cluster:
        return ""
    what = "inside the cluster" if endpoint.scope is Scope.CLUSTER else "on a node of the cluster"
    return f"{endpoint.host} is an address {what} {endpoint.cluster}; from {vantage.id} it would be another target"
