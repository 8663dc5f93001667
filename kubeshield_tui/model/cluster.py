"""Slim records of what a cluster says of itself. All text printable. Secrets have no record: they are never read."""

from __future__ import annotations

from kubeshield_tui.model.record import Record

Labels = tuple[tuple[str, str], ...]


class Recognition(Record, frozen=True):
    """Something that the cluster was recognised as, and by what."""

    what: str
    """`provider`, `distribution`, `cni`, `service-proxy`, ..."""
    name: str
    """`aws`, `k3s`, `calico`, ..."""
    evidence: str
    """What says so: `Node n1 spec.providerID aws:///...`, `DaemonSet kube-system/calico-node`."""


class ClusterFacts(Record, frozen=True):
    """A cluster that was reached."""

    id: str
    """Context name of the kubeconfig."""
    server: str
    """URL of the API server as the kubeconfig has it."""
    version: str = ""
    """gitVersion of /version."""
    user: str = ""
    source: str = ""
    """Path of the kubeconfig."""
    simulated: bool = False
    """The embedded training range, not a real cluster."""
    recognised: tuple[Recognition, ...] = ()
    """What kind of cluster it is (provider, distribution, CNI), each with its evidence; unknown kinds are left out."""


class Denied(Record, frozen=True):
    """Something that could not be read: counted and said, never fatal."""

    cluster: str
    what: str
    """`list networkpolicies.networking.k8s.io`, `get /version`, ..."""
    why: str
    """`forbidden`, `not found`, or what the server said."""


class NodeRecord(Record, frozen=True):
    """A node."""

    cluster: str
    name: str
    addresses: tuple[str, ...] = ()
    kubelet_port: int = 10250
    labels: Labels = ()
    roles: tuple[str, ...] = ()
    pod_ranges: tuple[str, ...] = ()
    """spec.podCIDRs."""
    provider_id: str = ""
    kubelet_version: str = ""
    proxy_version: str = ""
    runtime: str = ""
    """containerRuntimeVersion, `containerd://1.7.2`."""
    os_image: str = ""
    kernel: str = ""


class ContainerPort(Record, frozen=True):
    """A port that a container declares."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0
    """Port of the node that is forwarded to it, 0 for none."""
    host_ip: str = ""
    sidecar: bool = False
    """Declared by a restartable init container: whether a named port finds it is the implementation's choice."""


class Owner(Record, frozen=True):
    """The controller of an object."""

    kind: str
    name: str


class PodRecord(Record, frozen=True):
    """A pod: what policies and services need to know of it."""

    cluster: str
    namespace: str
    name: str
    labels: Labels = ()
    addresses: tuple[str, ...] = ()
    node: str = ""
    node_addresses: tuple[str, ...] = ()
    """Addresses of its node (status.hostIPs): all that is known of nodes where these may not be listed."""
    phase: str = ""
    host_network: bool = False
    ports: tuple[ContainerPort, ...] = ()
    images: tuple[str, ...] = ()
    """Images of its containers, as spec names them."""
    service_account: str = ""
    owner: Owner | None = None


class NamespaceRecord(Record, frozen=True):
    """A namespace and its labels."""

    cluster: str
    name: str
    labels: Labels = ()
    uid: str = ""
    """The one of kube-system tells one cluster from another, whatever contexts call them."""


class PolicyRecord(Record, frozen=True):
    """A policy: enough to say which pods a NetworkPolicy selects, and the text that any is evaluated by."""

    cluster: str
    namespace: str
    """Empty for what is cluster-scoped."""
    name: str
    api_version: str = "networking.k8s.io/v1"
    kind: str = "NetworkPolicy"
    directions: tuple[str, ...] = ()
    """`Ingress`, `Egress`, as the API server defaulted them."""
    match_labels: Labels = ()
    match_expressions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """(key, operator, values) of podSelector."""
    spec: str = ""
    """The spec as YAML, printable, lines kept."""
    document: str = ""
    """The object as it is evaluated, in JSON's ASCII; empty where it is too large to be kept."""
    changed_at: float = 0.0
    """When it was made or last changed by the server's clock, seconds since the epoch; 0 where that is not told."""


class ServicePort(Record, frozen=True):
    """One port of a Service."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target: str = ""
    node_port: int = 0
    app_protocol: str = ""


class ServiceRecord(Record, frozen=True):
    """A Service."""

    namespace: str
    name: str
    type: str = "ClusterIP"
    addresses: tuple[str, ...] = ()
    """Cluster IPs; empty for a headless one."""
    headless: bool = False
    external_ips: tuple[str, ...] = ()
    """spec.externalIPs: anybody who may write a Service can claim any address here."""
    balancers: tuple[str, ...] = ()
    """Addresses and names in status.loadBalancer.ingress."""
    external_name: str = ""
    selector: Labels = ()
    external_traffic_policy: str = ""
    internal_traffic_policy: str = ""
    session_affinity: str = ""
    source_ranges: tuple[str, ...] = ()
    """spec.loadBalancerSourceRanges."""
    publish_not_ready: bool = False
    labels: Labels = ()
    ports: tuple[ServicePort, ...] = ()


class Backend(Record, frozen=True):
    """One address behind a Service."""

    address: str
    ready: bool = True
    node: str = ""
    pod: str = ""
    """Name of the pod that targetRef names, empty where it names none."""
    namespace: str = ""
    """Namespace of that pod."""


class BackendRecord(Record, frozen=True):
    """An EndpointSlice, or the Endpoints object that it replaced."""

    namespace: str
    name: str
    service: str = ""
    """Service that it belongs to, empty where none is named."""
    managed: bool = False
    """Kept by the endpoint controllers; false where somebody wrote it by hand."""
    backends: tuple[Backend, ...] = ()
    ports: tuple[BackendPort, ...] = ()


class BackendPort(Record, frozen=True):
    """One port of an EndpointSlice."""

    port: int
    name: str = ""
    protocol: str = "TCP"


class IngressRecord(Record, frozen=True):
    """An Ingress: names and paths that lead from outside to Services."""

    namespace: str
    name: str
    class_name: str = ""
    addresses: tuple[str, ...] = ()
    """Addresses and names in status.loadBalancer.ingress."""
    hosts: tuple[str, ...] = ()
    tls_hosts: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    """Services behind it, `name:port`."""


class WebhookRecord(Record, frozen=True):
    """One webhook of an admission configuration."""

    name: str
    """`Kind/configuration/webhook`."""
    namespace: str = ""
    """Namespace of its Service."""
    service: str = ""
    port: int = 443
    url: str = ""
    """Where it names a URL instead of a Service."""
    failure_policy: str = ""


class AggregatedApiRecord(Record, frozen=True):
    """An APIService: part of the API, which another server may answer for."""

    name: str
    """`v1beta1.metrics.k8s.io`."""
    namespace: str = ""
    """Namespace of its Service."""
    service: str = ""
    """Its Service; empty where the API server answers for itself."""
    port: int = 443
    available: bool | None = None


class Skipped(Record, frozen=True):
    """Something that was found and is not asked: said, so that nobody takes it for covered."""

    name: str
    """What it is: `Service shop/db`, `node ports of 12 Service ports`."""
    why: str


class Inventory(Record, frozen=True):
    """What discovery read of one cluster."""

    cluster: ClusterFacts
    nodes: tuple[NodeRecord, ...] = ()
    namespaces: tuple[NamespaceRecord, ...] = ()
    pods: tuple[PodRecord, ...] = ()
    policies: tuple[PolicyRecord, ...] = ()
    """NetworkPolicies."""
    other_policies: tuple[PolicyRecord, ...] = ()
    """Policies of the admin API and of network plugins."""
    services: tuple[ServiceRecord, ...] = ()
    backends: tuple[BackendRecord, ...] = ()
    ingresses: tuple[IngressRecord, ...] = ()
    webhooks: tuple[WebhookRecord, ...] = ()
    aggregated: tuple[AggregatedApiRecord, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    """What was found there and is not asked."""
