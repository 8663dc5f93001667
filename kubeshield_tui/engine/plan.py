"""Which cells are asked at all."""

from __future__ import annotations

from ipaddress import ip_address

from kubeshield_tui.model.endpoint import Endpoint, Scope
from kubeshield_tui.model.vantage import Vantage, VantageKind


def out_of_scope(endpoint: Endpoint, vantage: Vantage) -> str:
    """Say why a cell must not be asked; empty if it is in scope.

    Pod, ClusterIP, loopback and metadata addresses are other targets elsewhere. What the user named is asked from
    everywhere.
    """
    if endpoint.named or not endpoint.cluster or endpoint.scope is Scope.GLOBAL:
        return ""
    if endpoint.scope is Scope.NODE and _is_loopback(endpoint.host):
        local = vantage.spec.kind is VantageKind.LOCAL
        return (
            "" if local else f"{endpoint.host} is this machine's loopback; from {vantage.id} it would be another target"
        )
    if vantage.cluster == endpoint.cluster:
        return ""
    what = "inside the cluster" if endpoint.scope is Scope.CLUSTER else "on a node of the cluster"
    return f"{endpoint.host} is an address {what} {endpoint.cluster}; from {vantage.id} it would be another target"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
