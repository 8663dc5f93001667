"""Raw objects as an API server, or somebody worse, may hand them out: for property tests and for clean worlds."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as any_of

from kubeshield_tui.cluster.kinds import KINDS
from kubeshield_tui.cluster.kubeconfig import ContextEntry
from kubeshield_tui.discovery.estate import Estate
from kubeshield_tui.model.endpoint import Endpoint, Scope

Raw = dict[str, Any]
CONTEXT = ContextEntry(name="c", cluster="c", server="https://203.0.113.10:6443")
SIMPLE = any_of.none() | any_of.booleans() | any_of.integers() | any_of.floats() | any_of.text(max_size=6)
JSON = any_of.recursive(
    SIMPLE,
    lambda inner: any_of.lists(inner, max_size=3) | any_of.dictionaries(any_of.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def likely(**fields: Any) -> Any:
    """An object with some of these fields, each of them likely or anything."""
    return any_of.fixed_dictionaries({}, optional={name: values | JSON for name, values in fields.items()}) | JSON


def some(values: Any) -> Any:
    return any_of.lists(values | JSON, max_size=3)


NAME = any_of.text(max_size=5) | any_of.sampled_from(["a", "b", "kubernetes", "default", "kube-system", "etcd"])
PORT = any_of.integers(-1, 70000) | any_of.sampled_from([80, 443, 9100])
ADDRESS = any_of.sampled_from(
    ["10.0.0.1", "10.0.0.2", "::1", "fe80::1%eth0", "None", "", "x\x1b[2J", "169.254.169.254", "a b", "h.example.org"]
)
LABELS = any_of.dictionaries(
    any_of.sampled_from(
        ["kubernetes.io/service-name", "component", "tier", "k8s-app", "node-role.kubernetes.io/master"]
    ),
    NAME | any_of.sampled_from(["control-plane", "kube-dns", "cilium"]) | JSON,
)
OWNER = likely(kind=any_of.sampled_from(["DaemonSet", "ReplicaSet", "Node"]), name=NAME, controller=any_of.booleans())
METADATA = likely(name=NAME, namespace=NAME, labels=LABELS, ownerReferences=some(OWNER), uid=NAME)
REFERENCE = likely(kind=any_of.just("Pod"), name=NAME, namespace=NAME)
BALANCER = likely(loadBalancer=likely(ingress=some(likely(ip=ADDRESS, hostname=ADDRESS))))
CONTAINERS = some(
    likely(
        image=any_of.sampled_from(["quay.io/calico/node:v3", "coredns", "@", ":", "/", "kindnetd:v99999999"]),
        restartPolicy=any_of.just("Always"),
        ports=some(
            likely(containerPort=PORT, name=NAME, protocol=any_of.sampled_from(["TCP", "SCTP"]), hostPort=PORT,
                   hostIP=ADDRESS)
        ),
    )
)  # fmt: skip
CALLED = likely(service=likely(namespace=NAME, name=NAME, port=PORT), url=ADDRESS | any_of.just("https://[::1"))
BODIES: dict[str, Any] = {
    "nodes": {
        "spec": likely(providerID=any_of.sampled_from(["aws:///a/i-1", "://", "cn-x.i-1", "kind://"]), podCIDR=ADDRESS),
        "status": likely(
            addresses=some(likely(type=any_of.sampled_from(["InternalIP", "ExternalIP", "Hostname"]), address=ADDRESS)),
            daemonEndpoints=likely(kubeletEndpoint=likely(Port=PORT)),
            nodeInfo=likely(osImage=NAME, kubeletVersion=NAME),
        ),
    },
    "namespaces": {},
    "pods": {
        "spec": likely(
            nodeName=NAME, hostNetwork=any_of.booleans(), containers=CONTAINERS, initContainers=CONTAINERS
        ),
        "status": likely(
            phase=any_of.sampled_from(["Running", "Failed"]), podIP=ADDRESS, podIPs=some(likely(ip=ADDRESS))
        ),
    },
    "services": {
        "spec": likely(
            type=NAME | any_of.just("ExternalName"),
            clusterIP=ADDRESS,
            clusterIPs=some(ADDRESS),
            externalIPs=some(ADDRESS),
            externalName=ADDRESS,
            externalTrafficPolicy=any_of.just("Local"),
            ports=some(
                likely(
                    port=PORT,
                    name=NAME,
                    protocol=any_of.sampled_from(["TCP", "UDP", "SCTP"]),
                    targetPort=PORT | NAME | any_of.just("²"),
                    nodePort=PORT,
                    appProtocol=NAME,
                )
            ),
        ),
        "status": BALANCER,
    },
    "endpointslices": {
        "endpoints": some(
            likely(addresses=some(ADDRESS), conditions=likely(ready=any_of.booleans()), targetRef=REFERENCE,
                   topology=JSON)
        ),
        "ports": some(likely(name=NAME, port=PORT)),
    },
    "endpoints": {
        "subsets": some(likely(addresses=some(likely(ip=ADDRESS, targetRef=REFERENCE)), ports=some(likely(port=PORT))))
    },
    "networkpolicies": {
        "spec": likely(
            podSelector=likely(
                matchLabels=LABELS, matchExpressions=some(likely(key=NAME, operator=NAME, values=some(NAME)))
            ),
            policyTypes=some(NAME),
            egress=some(JSON),
        )
    },
    "ingresses": {
        "spec": likely(
            ingressClassName=NAME,
            defaultBackend=likely(service=likely(name=NAME, port=likely(number=PORT, name=NAME))),
            backend=likely(serviceName=NAME, servicePort=PORT),
            rules=some(likely(host=ADDRESS, http=likely(paths=some(likely(backend=likely(serviceName=NAME)))))),
            tls=some(likely(hosts=some(ADDRESS))),
        ),
        "status": BALANCER,
    },
    "validatingwebhookconfigurations": {
        "webhooks": some(likely(name=NAME, clientConfig=CALLED, failurePolicy=NAME))
    },
    "mutatingwebhookconfigurations": {"webhooks": some(likely(name=NAME, clientConfig=CALLED))},
    "apiservices": {
        "spec": CALLED,
        "status": likely(conditions=some(likely(type=any_of.just("Available"), status=any_of.just("True")))),
    },
}  # fmt: skip
"""Fields of each kind, likely or anything."""


def raw(kind: str) -> Any:
    """An object of a kind, by its plural name."""
    fields = {"metadata": METADATA, **BODIES[kind]}
    return any_of.fixed_dictionaries({}, optional={name: values | JSON for name, values in fields.items()})


def estate_of(context: ContextEntry = CONTEXT, version: str = "v1.33.4", **raws: list[Raw]) -> Estate:
    """The estate that an API server with these objects gives, by plural name."""
    estate = Estate(context, version)
    for kind in KINDS:
        for version_of in kind.versions:
            if version_of.name in raws:
                listed = (version_of.make(each, context.name) for each in raws[version_of.name])
                estate.replace(kind.name, [record for record in listed if record is not None])
                break
    return estate


def named(name: str, namespace: str = "", **metadata: Any) -> Raw:
    """An object's metadata."""
    return {"metadata": {"name": name, **({"namespace": namespace} if namespace else {}), **metadata}}


def node(name: str, *addresses: str, labels: Raw | None = None, **spec: Any) -> Raw:
    """A node with internal addresses; `External=` before one makes it external."""
    listed = [
        {"type": f"{kind or 'Internal'}IP", "address": address}
        for kind, _, address in (each.rpartition("=") for each in addresses)
    ]
    return {**named(name, labels=labels or {}), "spec": spec, "status": {"addresses": listed}}


def service(spec: Raw, status: Raw | None = None, name: str = "web", namespace: str = "shop") -> Raw:
    return {**named(name, namespace), "spec": spec, "status": status or {}}


def pod(name: str, address: str, *ports: Raw, namespace: str = "shop", **more: Any) -> Raw:
    """A running pod; `more` are fields of its spec, or `metadata` and `image`."""
    metadata, image = more.pop("metadata", {}), more.pop("image", "registry.example.org/x:1")
    return {
        **named(name, namespace, **metadata),
        "spec": {"nodeName": "n1", "containers": [{"image": image, "ports": list(ports)}], **more},
        "status": {"phase": "Running", "podIP": address},
    }


def owned(kind: str, name: str, **labels: str) -> Raw:
    """Metadata of a pod that a controller made."""
    return {"ownerReferences": [{"kind": kind, "name": name, "controller": True}], "labels": labels}


def behind(service: str, *pods: tuple[str, str], port: int = 80, port_name: str = "", namespace: str = "shop") -> Raw:
    """An EndpointSlice with (pod, address) pairs, all ready."""
    endpoints = [
        {"addresses": [address], "targetRef": {"kind": "Pod", "name": name, "namespace": namespace}}
        for name, address in pods
    ]
    metadata = named(f"{service}-x", namespace, labels={"kubernetes.io/service-name": service})
    return {**metadata, "endpoints": endpoints, "ports": [{"name": port_name, "port": port}]}


# --- and what is found there


def found(**raws: list[Raw]) -> tuple[Endpoint, ...]:
    return estate_of(**raws).endpoints()


def rows(endpoints: tuple[Endpoint, ...], component: str) -> list[tuple[str, int, Scope]]:
    return [(each.host, each.port, each.scope) for each in endpoints if each.component == component]


def by_id(endpoints: tuple[Endpoint, ...]) -> dict[str, Endpoint]:
    return {each.id: each for each in endpoints}
