"""Manifests to a World: several documents a text, Lists, workloads and their pods. No files here: texts come in.

What can't be read or would be refused is named, never skipped in silence: policies among it stay in the World as opaque
ones, so that what may depend on them is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace

from kubeshield_tui.evidence.netpol.fields import Cursor, FieldError
from kubeshield_tui.evidence.netpol.objects import (
    WORKLOADS,
    namespace_of,
    node_of,
    owner_of,
    pod_of,
    pods_of_workload,
)
from kubeshield_tui.evidence.netpol.parse import is_policy, parse_policy, unread_policies
from kubeshield_tui.evidence.netpol.parse_parts import DEFAULT_NAMESPACE
from kubeshield_tui.evidence.netpol.party import BrokenPod, ImpliedNamespace, TemplatePod
from kubeshield_tui.evidence.netpol.policy import ObjectKey, OpaquePolicy, PodSet, Policy, Reach, Where
from kubeshield_tui.evidence.netpol.service_objects import endpoints_of, service_of, slice_of
from kubeshield_tui.evidence.netpol.world import NAME_LABEL, World, WorldRecord
from kubeshield_tui.evidence.netpol.yaml_lines import Unreadable, documents
from kubeshield_tui.model.text import printable

POLICY_WORD = "NetworkPolicy"
"""Every kind of policy has it in its name: a text without it holds none."""
UNKNOWN_THEN = "what depends on it is unknown"
CLUSTER_SCOPED = frozenset({"Namespace", "Node"})
_PLAIN: dict[str, Callable[[Cursor], WorldRecord]] = {
    "Pod": pod_of,
    "Namespace": namespace_of,
    "Node": node_of,
    "Service": service_of,
    "Endpoints": endpoints_of,
    "EndpointSlice": slice_of,
}
_VERSIONS = dict.fromkeys(_PLAIN, ("v1",)) | {"EndpointSlice": ("discovery.k8s.io/v1", "discovery.k8s.io/v1beta1")}


class Problem(NamedTuple):
    """Something in the manifests that can't be used."""

    where: Where
    what: str
    """The object: `NetworkPolicy shop/db`; empty where it is none."""
    message: str

    @property
    def text(self) -> str:
        """`db.yaml:12: NetworkPolicy shop/db: spec.ingress[0]...`."""
        return ": ".join(filter(None, (self.where.text, self.what, self.message)))


class _Kept(NamedTuple):
    """An object as it was read, and what was made of it."""

    value: dict[str, Any]
    where: Where
    record: WorldRecord | None
    """None where it was refused and leaves nothing behind."""


class Reading:
    """Takes the texts of manifests in, gives a World of their objects."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._kept: dict[ObjectKey, _Kept] = {}
        self._unreadable: list[OpaquePolicy] = []

    @property
    def objects(self) -> int:
        """How many objects were read that matter to policies."""
        return len(self._kept)

    def take(self, text: str, file: str) -> None:
        """Read the objects of a text. Never raises."""
        for document in documents(text):
            where = Where(file=file, line=document.line)
            if isinstance(document, Unreadable):
                self.refuse(where, document.why, POLICY_WORD in document.text)
            elif document.value is not None:
                self._object(document.value, where)

    def refuse(self, where: Where, why: str, may_hold_policies: bool) -> None:
        """Note a text that can't be read: where it may hold policies, nothing is known any more."""
        if may_hold_policies:
            self._unreadable.append(unread_policies(where.text, why))
            why = f"{why}; it may hold policies, so nothing is known until it can be read"
        self._problem(where, "", why)

    def _problem(self, where: Where, what: str, message: str) -> None:
        self.problems.append(Problem(where, what, message))

    def _object(self, value: Any, where: Where) -> None:
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(kind, str) or not kind:
            self._problem(where, "", "not an object of Kubernetes, it has no kind; left out")
        elif kind.endswith("List") and isinstance(value.get("items"), list):
            for item, place in _items(value, kind, where):
                self._object(item, place)
        elif is_policy(value):
            self._policy(value, where)
        elif kind in WORKLOADS or value.get("apiVersion") in _VERSIONS.get(kind, ()):
            self._plain(value, kind, where)
        elif kind in _VERSIONS:
            claimed = printable(value.get("apiVersion"), 80) or "missing"
            expected = " or ".join(_VERSIONS[kind])
            self._problem(where, kind, f"apiVersion is {claimed}, expected {expected}; left out")

    def _policy(self, value: dict[str, Any], where: Where) -> None:
        policy = parse_policy(value, where)
        if isinstance(policy, OpaquePolicy):
            self._problem(policy.where, policy.key.text, f"{policy.why}; {UNKNOWN_THEN}")
        self._keep(policy.key, _Kept(value, where, policy))

    def _plain(self, value: dict[str, Any], kind: str, where: Where) -> None:
        whole = Cursor(value, line=where.line)
        key = _claimed_key(value, kind)
        record: WorldRecord | None
        try:
            record = pods_of_workload(whole, kind) if kind in WORKLOADS else _PLAIN[kind](whole)
        except FieldError as error:
            message = f"{error.path}: {error.message}" if error.path else error.message
            self._problem(Where(file=where.file, line=error.line or where.line), key.text, f"{message}; {UNKNOWN_THEN}")
            record = _refused(key, message)
        self._keep(key, _Kept(value, where, record))

    def _keep(self, key: ObjectKey, kept: _Kept) -> None:
        before = self._kept.get(key)
        if before is not None and before.value == kept.value:
            return
        if before is not None:
            message = f"stands at {before.where.text} too, and says something else there"
            self._problem(kept.where, key.text, f"{message}; {UNKNOWN_THEN}")
            is_policy = isinstance(kept.record, Policy | OpaquePolicy)
            record = _disputed(key, message, kept.where, before) if is_policy else _refused(key, message)
            kept = kept._replace(record=record)
        self._kept[key] = kept

    def world(self) -> World:
        """The World of what was read."""
        world = World()
        plain = (kept.record for kept in self._kept.values())
        records: list[WorldRecord] = [it for it in plain if it is not None and not isinstance(it, TemplatePod)]
        records += self._expanded()
        records += self._unreadable
        named = {key.namespace for key in self._kept if key.namespace}
        for name in sorted(named):
            world.put(ImpliedNamespace(name=name, labels=((NAME_LABEL, name),)))
        for record in records:
            world.put(record)
        return world

    def _expanded(self) -> Iterator[TemplatePod]:
        """Pods of workloads, except where its pods or the maker of the workload are here themselves."""
        owners = {key: owner for key, kept in self._kept.items() if (owner := owner_of(kept.value, key)) is not None}
        represented = {_root(key, owners) for key in self._kept if key.kind == "Pod"}
        taken = {(key.namespace, key.name) for key in self._kept if key.kind == "Pod"}
        templates = [(key, kept) for key, kept in self._kept.items() if isinstance(kept.record, TemplatePod)]
        for key, kept in sorted(templates, key=lambda item: (item[0].namespace, item[0].name, item[0].kind)):
            template = kept.record
            if key in represented or owners.get(key) in self._kept or not isinstance(template, TemplatePod):
                continue
            name = key.name
            if (key.namespace, name) in taken:
                name = f"{key.name}.{key.kind.lower()}"
                self._problem(
                    kept.where, key.text, f"another has its name, so its pods are {key.namespace}/{name} here"
                )
            taken.add((key.namespace, name))
            yield replace(template, pod=replace(template.pod, name=name))


def _items(value: dict[str, Any], kind: str, where: Where) -> Iterator[tuple[Any, Where]]:
    """Items of a List; those of a typed one need not name their kind."""
    items = value["items"]
    lines = getattr(items, "lines", None) or [where.line] * len(items)
    for item, line in zip(items, lines, strict=True):
        if isinstance(item, dict) and kind != "List" and not item.get("kind"):
            item["kind"] = kind.removesuffix("List")
            item["apiVersion"] = item.get("apiVersion") or value.get("apiVersion")
        yield item, Where(file=where.file, line=line)


def _claimed_key(value: dict[str, Any], kind: str) -> ObjectKey:
    """The identity that an object claims, whatever stands there."""
    metadata = value.get("metadata")
    names = metadata if isinstance(metadata, dict) else {}
    namespace = "" if kind in CLUSTER_SCOPED else printable(names.get("namespace") or DEFAULT_NAMESPACE, 253)
    return ObjectKey(kind=kind, namespace=namespace, name=printable(names.get("name"), 253) or "(no name)")


def _refused(key: ObjectKey, why: str) -> WorldRecord | None:
    """What a refused object leaves behind."""
    if key.kind == "Pod" or key.kind in WORKLOADS:
        return BrokenPod(namespace=key.namespace, name=key.name, why=why)
    if key.kind == "Namespace":
        return ImpliedNamespace(name=key.name, labels=((NAME_LABEL, key.name),))
    return None


def _disputed(key: ObjectKey, why: str, where: Where, before: _Kept) -> OpaquePolicy:
    """A policy of which two versions stand there."""
    reach = Reach.NETWORK_POLICY if key.kind == "NetworkPolicy" else Reach.SUBJECT
    hosts = False
    if isinstance(before.record, OpaquePolicy) and before.record.reach is Reach.EITHER_END:
        reach, hosts = Reach.EITHER_END, True
    subject = PodSet(namespace=key.namespace or None)
    return OpaquePolicy(key=key, reach=reach, why=why, subject=subject, hosts=hosts, where=where)


def _root(key: ObjectKey, owners: dict[ObjectKey, ObjectKey]) -> ObjectKey:
    """The outermost known maker of an object."""
    seen = {key}
    while (owner := owners.get(key)) is not None and owner not in seen:
        key = owner
        seen.add(key)
    return key
