"""From what the user asked for to concrete vantages: node specs resolved, --per-namespace and --per-node listed.

Runs before consent, so it only reads. Afterwards each vantage is an ordinary one: `pod:shop`, `pod:default@node1`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from kubeshield_tui.errors import ClusterError, SettingsError
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import VantageKind, VantageSpec, parse_vantage
from kubeshield_tui.session.doors import connect_cluster
from kubeshield_tui.settings.schema import Settings

if TYPE_CHECKING:
    from kubeshield_tui.cluster.client import ClusterClient

MOST = 40
"""Vantages that one of the two flags makes at most, all clusters together: each is a pod and a column."""
_SYSTEM = ("kube-", "openshift-")
"""Namespaces that come last, where not all fit."""
_DONE = frozenset({"Succeeded", "Failed"})


class Failure(NamedTuple):
    """A list that could not be read, though a flag needs it."""

    context: str
    message: str
    hint: str


class Expansion(NamedTuple):
    """What the flags came to."""

    settings: Settings
    """The same run with every vantage named and the flags taken off."""
    notes: tuple[str, ...] = ()
    """Sentences on what was left out: a cordoned node, a namespace that is going, more than fit."""
    failures: tuple[Failure, ...] = ()


class _Listed(NamedTuple):
    specs: tuple[VantageSpec, ...] = ()
    notes: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()


def resolve_node(spec: VantageSpec, hosts: Iterable[str], namespace: str) -> VantageSpec:
    """Decide how a `node:NODE` is reached: over SSH where ssh_config has a Host of exactly that name, else by a pod.

    SSH comes first because nothing is created for it. All other specs stay as they are.
    """
    if spec.kind is not VantageKind.NODE or spec.host or spec.namespace:
        return spec
    return replace(spec, host=spec.node) if spec.node in set(hosts) else replace(spec, namespace=namespace)


def resolve_nodes(settings: Settings) -> Settings:
    """Resolve all node specs, by local files alone."""
    if not any(spec.kind is VantageKind.NODE for spec in settings.vantages):
        return settings
    from kubeshield_tui.settings.ssh_hosts import ssh_hosts

    hosts = ssh_hosts(settings.ssh_config)
    resolved = tuple(resolve_node(spec, hosts, settings.pod_namespace) for spec in settings.vantages)
    return replace(settings, vantages=resolved)


def require_zones(settings: Settings) -> None:
    """Let no zone be stated for a vantage that is none of this run. Raises SettingsError."""
    known = {vantage.text for vantage in settings.vantages}
    for text, _ in settings.zones:
        if text not in known:
            raise SettingsError(f"--zone {text}: no such vantage in this run", "Name it with --vantage too")


async def expand(settings: Settings, contexts: tuple[str, ...]) -> Expansion:
    """Make vantages of --per-namespace and --per-node by reading the clusters; what can't be read is said in it."""
    if not settings.is_open_ended:
        return Expansion(settings)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_of_cluster(settings, context, context != contexts[0])) for context in contexts]
    listed = [task.result() for task in tasks]
    notes = [note for each in listed for note in each.notes]
    specs: list[VantageSpec] = []
    for flag, wanted in (("--per-namespace", False), ("--per-node", True)):
        found = [spec for each in listed for spec in each.specs if bool(spec.node) is wanted]
        specs += found[:MOST]
        if len(found) > MOST:
            left = ", ".join(spec.id for spec in found[MOST : MOST + 5])
            notes.append(f"{flag}: {MOST} of {len(found)}; left out: {left}{', ...' if len(found) > MOST + 5 else ''}")
    return Expansion(
        replace(
            settings,
            vantages=tuple({spec.id: spec for spec in (*settings.vantages, *specs)}.values()),
            per_namespace=False,
            per_node=False,
        ),
        tuple(notes),
        tuple(failure for each in listed for failure in each.failures),
    )


async def _of_cluster(settings: Settings, context: str, named: bool) -> _Listed:
    """List one cluster; `named`: it is not the first one, so that its vantages carry its name."""
    cluster = context if named else ""
    try:
        client = await connect_cluster(context, settings.kubeconfig)
    except ClusterError:
        return _Listed()  # the run connects to it too, and says why it can't
    parts: list[_Listed] = []
    try:
        if settings.per_namespace:
            parts.append(await _guarded("--per-namespace", context, _namespaces(client, cluster)))
        if settings.per_node:
            parts.append(await _guarded("--per-node", context, _nodes(client, cluster, settings.pod_namespace)))
    finally:
        await client.close()
    return _Listed(*(tuple(item for part in parts for item in part[index]) for index in range(3)))  # type: ignore[arg-type]


async def _guarded(flag: str, context: str, listing: Any) -> _Listed:
    try:
        found: _Listed = await listing
    except ClusterError as error:
        hint = error.hint or f"Name the vantages instead of {flag}: --vantage pod:NAMESPACE or pod:NAMESPACE@NODE"
        return _Listed(failures=(Failure(context, f"{flag}: {error.message}", hint),))
    return found


async def _namespaces(client: ClusterClient, cluster: str) -> _Listed:
    """Namespaces with pods of others that are not done. System ones last."""
    used = set(await client.collect("/api/v1/pods", _pod_place))
    why = dict.fromkeys((name for name, _ in used), "its pods all stand in their nodes' own network (hostNetwork)")
    for name, on_host in used:
        if not on_host:
            why[name] = ""
    for name in await client.collect("/api/v1/namespaces", _if_terminating):
        if name in why:
            why[name] = "it is terminating"
    order = sorted(why, key=lambda name: (name.startswith(_SYSTEM), name))
    return _Listed(
        _specs((f"pod:{name}" for name in order if not why[name]), cluster),
        tuple(f"--per-namespace: {name} is left out: {why[name]}" for name in order if why[name]),
    )


async def _nodes(client: ClusterClient, cluster: str, namespace: str) -> _Listed:
    found = sorted(await client.collect("/api/v1/nodes", _node))
    return _Listed(
        _specs((f"pod:{namespace}@{name}" for name, why in found if not why), cluster),
        tuple(f"--per-node: {name} is left out: {why}" for name, why in found if why),
    )


def _specs(texts: Iterable[str], cluster: str) -> tuple[VantageSpec, ...]:
    made = []
    for text in texts:
        with contextlib.suppress(SettingsError):  # a name that no Kubernetes would take: its server is none
            made.append(parse_vantage(text, cluster))
    return tuple(made)


def _pod_place(raw: dict[str, Any]) -> tuple[str, bool] | None:
    """A pod's namespace and whether it is on its host's network; None for our own and for those that are done."""
    from kubeshield_tui.cluster.raw import as_dict
    from kubeshield_tui.vantages.pod_objects import MANAGED_BY

    metadata = as_dict(raw.get("metadata"))
    key, value = MANAGED_BY
    if as_dict(metadata.get("labels")).get(key) == value or as_dict(raw.get("status")).get("phase") in _DONE:
        return None
    return printable(metadata.get("namespace") or "", 253), as_dict(raw.get("spec")).get("hostNetwork") is True


def _if_terminating(raw: dict[str, Any]) -> str | None:
    from kubeshield_tui.cluster.raw import as_dict

    phase = as_dict(raw.get("status")).get("phase")
    return printable(as_dict(raw.get("metadata")).get("name") or "", 253) if phase == "Terminating" else None


def _node(raw: dict[str, Any]) -> tuple[str, str] | None:
    """A node's name and why it gets no pod, empty if it gets one."""
    from kubeshield_tui.cluster.raw import as_dict
    from kubeshield_tui.vantages.node import unfit

    name = printable(as_dict(raw.get("metadata")).get("name") or "", 253)
    why = unfit(raw) or ("it is cordoned" if as_dict(raw.get("spec")).get("unschedulable") is True else "")
    return (name, why) if name else None
