"""How each component is asked: safe, read-only requests that identify it and show its posture.

Never a path that serves credentials, nothing that runs or writes. Sources: kubernetes.io, "Ports and Protocols" and
"Kubelet authentication/authorization"; the cloud providers' metadata documentation.
"""

from __future__ import annotations

from kubeshield_tui.model.endpoint import Conversation, Request, TlsMode

API_SERVER = "kube-apiserver"
KUBELET = "kubelet"
KUBELET_READ_ONLY = "kubelet-read-only"
ETCD = "etcd"
METADATA = "cloud-metadata"
SERVICE = "service"
TARGET = "target"

CONTROL_PLANE_GROUP = "control plane"
NODES_GROUP = "nodes"
METADATA_GROUP = "cloud metadata"
TARGETS_GROUP = "targets"

METADATA_ADDRESS = "169.254.169.254"
READ_ONLY_PORT = 10255
ETCD_PORT = 2379

CONVERSATIONS = {
    API_SERVER: Conversation(
        tls=TlsMode.ON, requests=(Request(path="/version"), Request(path="/api/v1/namespaces?limit=1"))
    ),
    # HEAD: the answer's status is all that is wanted, no list of pods travels.
    KUBELET: Conversation(tls=TlsMode.ON, requests=(Request(path="/healthz"), Request(method="HEAD", path="/pods"))),
    KUBELET_READ_ONLY: Conversation(requests=(Request(path="/healthz"),)),
    ETCD: Conversation(tls=TlsMode.ON, requests=(Request(path="/version"),)),
    METADATA: Conversation(
        requests=(
            Request(path="/latest/meta-data/"),
            Request(path="/computeMetadata/v1/instance/id", headers=(("Metadata-Flavor", "Google"),)),
        )
    ),
}
HTTP = Conversation(requests=(Request(path="/"),))
HTTPS = Conversation(tls=TlsMode.ON, requests=(Request(path="/"),))
CONNECT = Conversation()
"""Connect and listen for a greeting: nothing is sent to a protocol that we don't know."""

HTTP_PORTS = frozenset({80, 3000, 5000, 8000, 8001, 8008, 8080, 8081, 8888, 9000, 9090, 9093, 9100})
HTTPS_PORTS = frozenset({443, 4443, 6443, 8443, 9443})
COMPONENT_PORTS = {6443: API_SERVER, 10250: KUBELET, READ_ONLY_PORT: KUBELET_READ_ONLY, ETCD_PORT: ETCD}


def conversation_of_service(port: int, name: str = "", app_protocol: str = "", target: str = "") -> Conversation:
    """How a Service's port is asked: by appProtocol, then by the port's name, then by its number."""
    for word in (app_protocol, name, target):
        lowered = word.lower().rpartition("/")[2]
        if lowered.startswith(("https", "tls", "wss", "webhook")):
            return HTTPS
        if lowered.startswith(("http", "web", "metrics", "ws")) and port not in HTTPS_PORTS:
            return HTTP
    if port in HTTPS_PORTS:
        return HTTPS
    return HTTP if port in HTTP_PORTS else CONNECT


def component_of_target(host: str, port: int) -> str:
    """What a named target is thought to be, by its well-known address or port."""
    if host == METADATA_ADDRESS and port == 80:
        return METADATA
    return COMPONENT_PORTS.get(port, TARGET)


def conversation_of(component: str, port: int) -> Conversation:
    """How a component is asked; unknown ones by their port."""
    return CONVERSATIONS.get(component) or conversation_of_service(port)
