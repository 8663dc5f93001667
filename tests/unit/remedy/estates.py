"""Small clusters, written as manifests."""

from __future__ import annotations

import yaml

from kubeshield_tui.evidence.netpol.manifests import Reading
from kubeshield_tui.evidence.netpol.party import End, parse_end
from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.judgement.trial import KnownFlow
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.observation import State

METADATA = "169.254.169.254"
API = "172.30.0.1"
BASE = """
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: dev}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 172.30.0.1}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, status: {addresses: [{type: InternalIP, address: 172.30.0.2}]}}
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443, targetPort: 6443}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: kubernetes, namespace: default}
subsets: [{addresses: [{ip: 172.30.0.1}], ports: [{name: https, port: 6443}]}]
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: 10.96.0.10
  selector: {k8s-app: kube-dns}
  ports: [{name: dns, port: 53, protocol: UDP, targetPort: 5353}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: NodePort
  clusterIP: 10.96.0.20
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
"""


def pod(namespace: str, name: str, address: str, node: str = "n1", ports: tuple[int, ...] = (), **labels: str) -> str:
    """A pod's manifest."""
    spec = {"nodeName": node, "containers": [{"name": "c", "ports": [{"containerPort": port} for port in ports]}]}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    status = {"podIP": address, "phase": "Running"}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})


PODS = (
    pod("shop", "web", "10.244.0.5", ports=(8080,), app="web"),
    pod("shop", "cart", "10.244.1.5", "n2", ports=(9090, 9091), app="cart"),
    pod("dev", "box", "10.244.0.9"),
    pod("dev", "tool", "10.244.1.9", "n2", app="tool"),
    pod("kube-system", "dns", "10.244.0.2", **{"k8s-app": "kube-dns"}),
)


def policy(namespace: str, name: str, **spec: object) -> str:
    """A NetworkPolicy's manifest."""
    metadata = {"name": name, "namespace": namespace}
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return yaml.safe_dump({**kind, "metadata": metadata, "spec": {"podSelector": {}, **spec}})


def world_of(*texts: str, profile: Profile = Profile()) -> World:  # noqa: B008 - frozen
    """The base, the pods and what else is given."""
    reading = Reading()
    reading.take("\n---\n".join((BASE, *PODS, *texts)), "estate.yaml")
    assert reading.problems == []
    world = reading.world()
    world.profile = profile
    return world


def end(text: str) -> End:
    """An end of a connection."""
    found = parse_end(text)
    assert found is not None, text
    return found


def flow(
    source: str, destination: str, port: int, *, closing: bool = False, protocol: str = "TCP", must: Must = Must.ANY
) -> KnownFlow:
    """A connection that was seen open."""
    return KnownFlow(
        key=CellKey(EndpointId(f"{destination}:{port}/{protocol}"), VantageId(source)),
        source=end(source),
        destination=end(destination),
        port=port,
        protocol=protocol,
        must=must,
        state=State.OPEN,
        closing=closing,
    )
