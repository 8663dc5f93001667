"""Remove what outlived an interrupted run: our own objects whose Lease nobody renews any more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from kubeshield_tui.cluster.client import ClusterClient, NotReadable
from kubeshield_tui.cluster.raw import as_dict
from kubeshield_tui.errors import ClusterError
from kubeshield_tui.model.text import printable
from kubeshield_tui.vantages import pod_objects
from kubeshield_tui.vantages.own_pod import delete


class Swept(NamedTuple):
    """What a sweep did."""

    removed: tuple[str, ...]
    held: tuple[str, ...]
    """Objects of runs that are alive: left alone."""
    left: tuple[tuple[str, str], ...]
    """(object, why it could not be removed)"""


class _Found(NamedTuple):
    kind: str
    namespace: str
    name: str
    spec: dict[str, Any]


async def sweep(client: ClusterClient, *, namespace: str = "", force: bool = False, quick: bool = False) -> Swept:
    """Remove expired objects of ours, in one namespace or all; `force`: also those of living runs.

    `quick`: look at the leases alone while none of them is expired: a pod that has none is the garbage collector's.
    Raises ClusterError where they can't be listed.
    """
    within = f"/namespaces/{namespace}" if namespace else ""
    query = {"labelSelector": pod_objects.SELECTOR}
    leases = await client.collect(f"/apis/coordination.k8s.io/v1{within}/leases", _finder("Lease"), query)
    now = datetime.now(UTC)
    if quick and not any(pod_objects.is_expired(each.spec, now) for each in leases):
        return Swept((), (), ())
    pods = await client.collect(f"/api/v1{within}/pods", _finder("Pod"), query)
    alive = {(each.namespace, each.name) for each in leases if not pod_objects.is_expired(each.spec, now)}
    alive |= {("", space) for space, _ in alive}  # a namespace of ours lives as long as what is in it
    removed, held, left = [], [], []
    for found in (*pods, *leases, *([] if namespace else await _namespaces(client, query))):
        shown = f"{found.kind} {found.namespace}/{found.name}" if found.namespace else f"{found.kind} {found.name}"
        if (found.namespace, found.name) in alive and not force:
            held.append(shown)
            continue
        try:
            await delete(client, _path(found))
            removed.append(shown)
        except ClusterError as error:
            left.append((shown, error.message))
    return Swept(tuple(removed), tuple(held), tuple(left))


async def _namespaces(client: ClusterClient, query: dict[str, str]) -> list[_Found]:
    """Namespaces that self-tests made. Whoever may not list namespaces could not have made one."""
    try:
        return await client.collect("/api/v1/namespaces", _finder("Namespace"), query)
    except NotReadable:
        return []


def _finder(kind: str) -> Any:
    def find(raw: dict[str, Any]) -> _Found | None:
        metadata = as_dict(raw.get("metadata"))
        namespace, name = metadata.get("namespace", ""), metadata.get("name")
        if not isinstance(namespace, str) or not isinstance(name, str):
            return None
        return _Found(kind, printable(namespace, 253), printable(name, 253), as_dict(raw.get("spec")))

    return find


def _path(found: _Found) -> str:
    if found.kind == "Namespace":
        return f"/api/v1/namespaces/{found.name}"
    group = "/api/v1" if found.kind == "Pod" else "/apis/coordination.k8s.io/v1"
    return f"{group}/namespaces/{found.namespace}/{found.kind.lower()}s/{found.name}"
