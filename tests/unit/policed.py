"""A small cluster with policies, as discovery reads it: for tests of who talks to whom and what policies say."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from kubeshield_tui.cluster.resources import policy_record
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import (
    Backend,
    BackendPort,
    BackendRecord,
    ClusterFacts,
    ContainerPort,
    Inventory,
    NamespaceRecord,
    NodeRecord,
    PodRecord,
    PolicyRecord,
    Recognition,
    ServicePort,
    ServiceRecord,
)
from kubeshield_tui.model.endpoint import Endpoint, PodRef
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.session.store import Store
from tests.unit.estate import endpoint, vantage

AT = 1_700_000_000.0
N1, N2 = "10.0.0.11", "10.0.0.12"
API_POD, WEB_POD, OPS_POD = "10.244.1.7", "10.244.2.8", "10.244.2.9"
CALICO = Recognition(what="policy-engine", name="calico", evidence="DaemonSet kube-system/calico-node")


def policy(name: str, namespace: str, spec: dict[str, Any], created: str = "2020-01-01T00:00:00Z") -> PolicyRecord:
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    record = policy_record({"metadata": metadata, "spec": spec}, "prod")
    assert record is not None
    return record


DENY_ALL = policy("default-deny", "payments", {"podSelector": {}, "policyTypes": ["Ingress"]})
_WEB = {"namespaceSelector": {"matchLabels": {"team": "shop"}}, "podSelector": {"matchLabels": {"app": "web"}}}
API_FROM_WEB = policy(
    "api-from-web",
    "payments",
    {
        "podSelector": {"matchLabels": {"app": "api"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [_WEB], "ports": [{"port": "http"}]}],
    },
)


def pod(namespace: str, name: str, address: str, node: str, **more: Any) -> PodRecord:
    return PodRecord(
        cluster="prod",
        namespace=namespace,
        name=name,
        labels=(("app", name.partition("-")[0]),),
        addresses=(address,),
        node=node,
        phase="Running",
        ports=(ContainerPort(port=8080, name="http"),),
        **more,
    )


def inventory(*policies: PolicyRecord, recognised: tuple[Recognition, ...] = (CALICO,)) -> Inventory:
    """Payments with an api behind a Service, shop with web, ops with a pod; two nodes."""
    port = ServicePort(port=80, target="http", node_port=30080)
    behind = Backend(address=API_POD, pod="api-0", namespace="payments", node="n1")
    return Inventory(
        cluster=ClusterFacts(id="prod", server=f"https://{N1}:6443", recognised=recognised),
        nodes=(
            NodeRecord(cluster="prod", name="n1", addresses=(N1,)),
            NodeRecord(cluster="prod", name="n2", addresses=(N2,)),
        ),
        namespaces=tuple(NamespaceRecord(cluster="prod", name=n, labels=(("team", n),)) for n in _SPACES),
        pods=(
            pod("payments", "api-0", API_POD, "n1"),
            pod("shop", "web-0", WEB_POD, "n2"),
            pod("ops", "ops-0", OPS_POD, "n2"),
        ),
        policies=policies,
        services=(
            ServiceRecord(
                namespace="payments",
                name="api",
                type="NodePort",
                addresses=("10.96.3.1",),
                selector=(("app", "api"),),
                ports=(port,),
            ),
        ),
        backends=(
            BackendRecord(
                namespace="payments",
                name="api-x",
                service="api",
                managed=True,
                backends=(behind,),
                ports=(BackendPort(port=8080),),
            ),
        ),
    )


_SPACES = ("payments", "shop", "ops")


def behind_api(name: str, host: str, port: int) -> Endpoint:
    made = replace(endpoint(name, host=host, port=port), namespace="payments", object="Service/api")
    return replace(made, backends=(PodRef(namespace="payments", name="api-0"),), backend_port="http")


API = behind_api("api", "10.96.3.1", 80)
NODE_PORT = behind_api("np", N1, 30080)
POD = replace(endpoint("pod", host=API_POD, port=8080), namespace="payments", object="Pod/api-0")
KUBELET = endpoint("kubelet", host=N1, port=10250)
METADATA = endpoint("metadata", host="169.254.169.254", port=80)
WEB = vantage("pod:shop/web-0", node="n2", addresses=(WEB_POD,))
OPS = vantage("pod:ops/ops-0", node="n2", addresses=(OPS_POD,))


def own_pod(namespace: str, address: str, **labels: str) -> Vantage:
    """A vantage that is a pod of our own."""
    made = vantage(f"pod:{namespace}", node="n2", addresses=(address,))
    assert made.facts is not None
    facts = replace(made.facts, created=f"Pod {namespace}/kubeshield-1", labels=tuple(labels.items()))
    return replace(made, facts=facts)


def estate(*policies: PolicyRecord, vantages: tuple[Vantage, ...] = (WEB, OPS), **more: Any) -> Store:
    store = Store()
    store.apply(happened.ClusterRead(at=AT, inventory=inventory(*policies, **more)))
    for each in (API, NODE_PORT, POD, KUBELET, METADATA):
        store.apply(happened.EndpointFound(at=AT, endpoint=each))
    for source in vantages:
        store.apply(happened.VantageAdded(at=AT, vantage=source))
    return store
