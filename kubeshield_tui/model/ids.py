"""Ids, built in one place.

They derive from cluster, namespace, object, port and the vantage's spec, never from ephemeral ports, uids, counters or
time: the same estate gives the same ids tomorrow, so that two runs can be compared.
"""

from __future__ import annotations

from typing import NamedTuple, NewType

EndpointId = NewType("EndpointId", str)
VantageId = NewType("VantageId", str)
FindingId = NewType("FindingId", str)
ClusterId = NewType("ClusterId", str)
"""Name of the kubeconfig's context; empty for targets that belong to no cluster."""


class CellKey(NamedTuple):
    """One cell of the grid."""

    endpoint: EndpointId
    vantage: VantageId


def endpoint_id(cluster: str, namespace: str, object_: str, port: int, protocol: str, host: str = "") -> EndpointId:
    """Name an endpoint: `prod/payments/Service/db:5432/tcp`.

    `object_` is `Kind/name` for what the API knows. `host` is given where one object has several addresses, or where
    there is no object at all (a line of a targets file).
    """
    owner = "/".join(part for part in (cluster, namespace, object_) if part)
    shown = f"[{host}]" if ":" in host else host
    return EndpointId(f"{owner}{'@' if owner and shown else ''}{shown}:{port}/{protocol}")


def vantage_id(spec: str, cluster: str = "") -> VantageId:
    """Name a vantage by its spec; pods of another than the first cluster carry its name (`pod:shop@@staging`)."""
    return VantageId(f"{spec}@@{cluster}" if cluster else spec)


def finding_id(code: str, *about: str) -> FindingId:
    """Name a finding by what it is about: endpoint and vantage, or cluster and component or object."""
    return FindingId(":".join((code, *about)))
