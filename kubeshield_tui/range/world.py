"""A scenario's world as Kubernetes objects, and the store that the range's API serves."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from kubeshield_tui.range.scenario import Json, Node, Pod, Scenario, Service

KINDS = {
    "namespaces": ("v1", "Namespace"),
    "nodes": ("v1", "Node"),
    "pods": ("v1", "Pod"),
    "services": ("v1", "Service"),
    "endpoints": ("v1", "Endpoints"),
    "endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"),
    "networkpolicies": ("networking.k8s.io/v1", "NetworkPolicy"),
    "ingresses": ("networking.k8s.io/v1", "Ingress"),
    "validatingwebhookconfigurations": ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    "mutatingwebhookconfigurations": ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    "apiservices": ("apiregistration.k8s.io/v1", "APIService"),
    "leases": ("coordination.k8s.io/v1", "Lease"),
}
CLUSTER_SCOPED = frozenset(
    {"namespaces", "nodes", "validatingwebhookconfigurations", "mutatingwebhookconfigurations", "apiservices"}
)
SHORT_NAMES = {"namespaces": "ns", "nodes": "no", "pods": "po", "services": "svc", "networkpolicies": "netpol"}
EVENTS_KEPT = 1_000
"""Of a kind: whoever watches from before them is told to list again."""
AGE = timedelta(days=30)
"""How old a scenario's objects are when it begins: policies are long in force."""
_UIDS = uuid.UUID("5a1cb16e-7a3c-4f43-9d0e-6b75626e6574")


class Expired(Exception):  # noqa: N818 - a fact
    """A watch from a version that is forgotten."""


class World:
    """Objects by plural name, with watchers. Keys are (namespace, name)."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.objects: dict[str, dict[tuple[str, str], Json]] = {plural: {} for plural in KINDS}
        self._versions = itertools.count(1000)
        self._watchers: dict[str, set[asyncio.Queue[Json]]] = {plural: set() for plural in KINDS}
        self._past: dict[str, deque[tuple[int, Json]]] = {plural: deque(maxlen=EVENTS_KEPT) for plural in KINDS}
        self._forgotten = dict.fromkeys(KINDS, 0)
        self._hosts = itertools.count(200)
        self._age = AGE
        self._fill()
        self._age = timedelta()

    def put(self, plural: str, body: Json) -> Json:
        """Add or replace an object."""
        api_version, kind = KINDS[plural]
        metadata = body.setdefault("metadata", {})
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        metadata.setdefault("uid", str(uuid.uuid5(_UIDS, f"{plural}/{namespace}/{name}")))
        metadata.setdefault("creationTimestamp", (datetime.now(UTC) - self._age).strftime("%Y-%m-%dT%H:%M:%SZ"))
        metadata["resourceVersion"] = str(next(self._versions))
        body = {"apiVersion": api_version, "kind": kind, **body}
        event = "MODIFIED" if (namespace, name) in self.objects[plural] else "ADDED"
        self.objects[plural][namespace, name] = body
        self._tell(plural, event, body)
        return body

    def remove(self, plural: str, key: tuple[str, str]) -> Json | None:
        """Remove an object and what it owns."""
        body = self.objects[plural].pop(key, None)
        if body is not None:
            metadata = {**body["metadata"], "resourceVersion": str(next(self._versions))}
            self._tell(plural, "DELETED", {**body, "metadata": metadata})
            uid = body["metadata"]["uid"]
            for pod, owned in list(self.objects["pods"].items()):
                if any(owner.get("uid") == uid for owner in owned["metadata"].get("ownerReferences", ())):
                    self.remove("pods", pod)
        return body

    def watch(self, plural: str, since: int | None) -> asyncio.Queue[Json]:
        """A queue of the events after version `since` (None: from now on). Raises Expired where some are forgotten."""
        queue: asyncio.Queue[Json] = asyncio.Queue()
        if since is not None:
            if since < self._forgotten[plural]:
                raise Expired(f"too old resource version: {since} ({self._forgotten[plural]})")
            for version, event in self._past[plural]:
                if version > since:
                    queue.put_nowait(event)
        self._watchers[plural].add(queue)
        return queue

    def forget(self, plural: str) -> None:
        """Forget what happened, as a server does after some minutes: who watches from back then must list again."""
        self._past[plural].clear()
        self._forgotten[plural] = next(self._versions)

    def unwatch(self, plural: str, queue: asyncio.Queue[Json]) -> None:
        """Drop a queue."""
        self._watchers[plural].discard(queue)

    def run_pod(self, body: Json) -> Json:
        """Make a created pod run at once, on the node that its view names."""
        metadata, spec = body["metadata"], body["spec"]
        node = spec.get("nodeName") or self.own_pod_node(metadata["namespace"])
        spec["nodeName"] = node
        subnet = [name for _, name in self.objects["nodes"]].index(node) + 1
        body["status"] = _running(f"10.244.{subnet}.{next(self._hosts)}", spec["containers"])
        return self.put("pods", body)

    def own_pod_node(self, namespace: str) -> str:
        """Node of our own pods in a namespace."""
        views = {view.vantage: view.node for view in self.scenario.view}
        return views.get(f"pod:{namespace}") or self.scenario.node[0].name

    def version(self) -> str:
        """The current resourceVersion."""
        return str(next(self._versions))

    async def go_on(self) -> None:
        """Let happen what the scenario has for later; ends with the last of it."""
        now = 0.0
        for step in sorted(self.scenario.later, key=lambda each: each.after):
            await asyncio.sleep(step.after - now)
            now = step.after
            if step.service is not None:
                self._service(step.service)
            if step.gone:
                namespace, _, name = step.gone.partition("/")
                self.remove("services", (namespace, name))
                self.remove("endpointslices", (namespace, f"{name}-1"))

    def _tell(self, plural: str, event: str, body: Json) -> None:
        told: Json = {"type": event, "object": body}
        past = self._past[plural]
        if len(past) == past.maxlen:
            self._forgotten[plural] = past[0][0]
        past.append((int(body["metadata"]["resourceVersion"]), told))
        for queue in self._watchers[plural]:
            queue.put_nowait(told)

    def _fill(self) -> None:
        scenario = self.scenario
        for name, labels in scenario.namespaces.items():
            every = {"kubernetes.io/metadata.name": name, **labels}
            self.put("namespaces", {"metadata": {"name": name, "labels": every}, "status": {"phase": "Active"}})
        for node in scenario.node:
            self.put("nodes", _node(node, scenario.version))
        for pod in scenario.pod:
            self.put("pods", _pod(pod))
        for service in scenario.service:
            self._service(service)
        for policy in scenario.policy:
            metadata = {"name": policy.name, "namespace": policy.namespace}
            self.put("networkpolicies", {"metadata": metadata, "spec": yaml.safe_load(policy.spec)})

    def _service(self, service: Service) -> None:
        metadata = {"name": service.name, "namespace": service.namespace}
        node_port = any(port.node_port for port in service.ports)
        ports = [
            {
                "name": port.name or "main",
                "port": port.port,
                "protocol": "TCP",
                "targetPort": port.target or port.port,
                **({"nodePort": port.node_port} if port.node_port else {}),
            }
            for port in service.ports
        ]
        self.put(
            "services",
            {
                "metadata": dict(metadata),
                "spec": {
                    "type": "NodePort" if node_port else "ClusterIP",
                    "clusterIP": service.address,
                    "clusterIPs": [service.address],
                    "ports": ports,
                    **({"selector": {"app": service.name}} if service.pods else {}),
                },
                "status": {"loadBalancer": {}},
            },
        )
        self._slice(service)

    def _slice(self, service: Service) -> None:
        pods = {pod.name: pod for pod in self.scenario.pod if pod.namespace == service.namespace}
        endpoints: list[Json] = [
            {
                "addresses": [pods[name].address],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "namespace": service.namespace, "name": name},
            }
            for name in service.pods
            if name in pods
        ]
        if (service.namespace, service.name) == ("default", "kubernetes"):
            endpoints = [{"addresses": [self.scenario.node[0].address], "conditions": {"ready": True}}]
        metadata = {
            "name": f"{service.name}-1",
            "namespace": service.namespace,
            "labels": {"kubernetes.io/service-name": service.name},
        }
        ports = [
            {"name": port.name or "main", "port": port.target or port.port, "protocol": "TCP"} for port in service.ports
        ]
        body = {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}
        self.put("endpointslices", body)


def _node(node: Node, version: str) -> Json:
    roles = {f"node-role.kubernetes.io/{role}": "" for role in node.roles}
    return {
        "metadata": {"name": node.name, "labels": {"kubernetes.io/hostname": node.name, **roles}},
        "spec": {"providerID": f"aws:///range-1a/{node.name}"},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": node.address},
                {"type": "Hostname", "address": node.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {"kubeletVersion": version, "containerRuntimeVersion": "containerd://2.0.5"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def _pod(pod: Pod) -> Json:
    containers = [{"name": "main", "image": pod.image, "ports": [{"containerPort": port} for port in pod.ports]}]
    metadata: Json = {"name": pod.name, "namespace": pod.namespace, "labels": dict(pod.labels)}
    if pod.daemon_set:
        uid = str(uuid.uuid5(_UIDS, f"daemonsets/{pod.namespace}/{pod.daemon_set}"))
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": pod.daemon_set, "uid": uid, "controller": True}
        metadata["ownerReferences"] = [owner]
    return {
        "metadata": metadata,
        "spec": {"nodeName": pod.node, "hostNetwork": pod.host_network, "containers": containers},
        "status": _running(pod.address, containers),
    }


def _running(address: str, containers: list[Any]) -> Json:
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {"name": each["name"], "ready": True, "restartCount": 0, "state": {"running": {}}} for each in containers
        ],
    }
