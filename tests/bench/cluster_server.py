"""A Kubernetes API on loopback that serves a big cluster in pages, fast enough not to be what is measured.

`python -m tests.bench.cluster_server PODS SERVICES` prints its port and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
NODES = 50
WHEN = "2026-01-01T00:00:00Z"
TOKEN_MOUNT = {"name": "token", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
LISTS = {
    "/api/v1/nodes": ("v1", "NodeList"),
    "/api/v1/namespaces": ("v1", "NamespaceList"),
    "/api/v1/pods": ("v1", "PodList"),
    "/api/v1/services": ("v1", "ServiceList"),
    "/apis/discovery.k8s.io/v1/endpointslices": ("discovery.k8s.io/v1", "EndpointSliceList"),
    "/apis/networking.k8s.io/v1/networkpolicies": ("networking.k8s.io/v1", "NetworkPolicyList"),
    "/apis/networking.k8s.io/v1/ingresses": ("networking.k8s.io/v1", "IngressList"),
}


def metadata(name: str, namespace: str = "", labels: Json | None = None, **more: Any) -> Json:
    """Metadata as a real server gives it: most of it is nobody's business here."""
    fields = {
        f"f:{each}": {} for each in ("generateName", "labels", "ownerReferences", "containers", "phase", "conditions")
    }
    managed = [
        {"manager": manager, "operation": "Update", "apiVersion": "v1", "time": WHEN, "fieldsType": "FieldsV1",
         "fieldsV1": {"f:metadata": fields, "f:spec": {"f:nested": fields}, "f:status": fields}}
        for manager in ("kube-controller-manager", "kubelet")
    ]  # fmt: skip
    place = {"namespace": namespace} if namespace else {}
    return {
        "name": name, **place, "uid": f"00000000-0000-0000-0000-{abs(hash(name)) % 10**12:012}", "resourceVersion": "1",
        "creationTimestamp": WHEN, "labels": labels or {}, "managedFields": managed,
        "annotations": {"kubectl.kubernetes.io/restartedAt": WHEN, "example.org/checksum": "0" * 64}, **more,
    }  # fmt: skip


def pod(number: int) -> Json:
    app = f"app-{number // 5}"
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{app}-5d4f8", "uid": "0", "controller": True}
    containers = [
        {"name": name, "image": f"registry.example.org/team/{name}:1.2.{number % 9}", "imagePullPolicy": "IfNotPresent",
         "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
         "env": [{"name": f"SETTING_{index}", "value": "x" * 24} for index in range(20)],
         "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
         "volumeMounts": [TOKEN_MOUNT],
         "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10},
         "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
        for name in (app, "proxy")
    ]  # fmt: skip
    conditions = [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": WHEN}
        for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    statuses = [
        {"name": each["name"], "image": each["image"], "imageID": f"{each['image']}@sha256:{'0' * 64}", "ready": True,
         "restartCount": 0, "started": True, "containerID": f"containerd://{'0' * 64}",
         "state": {"running": {"startedAt": WHEN}}, "lastState": {}}
        for each in containers
    ]  # fmt: skip
    address = f"10.{100 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
    return {
        "metadata": metadata(
            f"{app}-5d4f8-{number:05}", f"team-{number % 40}", {"app": app, "pod-template-hash": "5d4f8", "tier": "x"},
            generateName=f"{app}-5d4f8-", ownerReferences=[owner],
        ),
        "spec": {
            "containers": containers, "nodeName": f"node-{number % NODES:02}", "serviceAccountName": "default",
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
            "volumes": [{"name": "token", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}]}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": "10.0.0.1",
                   "startTime": WHEN, "qosClass": "Burstable", "conditions": conditions,
                   "containerStatuses": statuses},
    }  # fmt: skip


def service(number: int) -> Json:
    address = f"10.96.{number // 250}.{number % 250 + 1}"
    ports = [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http"}]
    if not number % 20:
        ports = [{**port, "nodePort": 30000 + number} for port in ports]
    return {
        "metadata": metadata(f"app-{number}", f"team-{number * 5 % 40}", {"app": f"app-{number}"}),
        "spec": {"type": "NodePort" if "nodePort" in ports[0] else "ClusterIP", "clusterIP": address,
                 "clusterIPs": [address], "ports": ports, "selector": {"app": f"app-{number}"},
                 "sessionAffinity": "None", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                 "internalTrafficPolicy": "Cluster"},
        "status": {"loadBalancer": {}},
    }  # fmt: skip


def slice_of(service: Json, pods: list[Json]) -> Json:
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    endpoints = [
        {"addresses": [each["status"]["podIP"]], "conditions": {"ready": True, "serving": True, "terminating": False},
         "nodeName": each["spec"]["nodeName"],
         "targetRef": {"kind": "Pod", "uid": "0", **{key: each["metadata"][key] for key in ("namespace", "name")}}}
        for each in pods
    ]  # fmt: skip
    labels = {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    return {
        "metadata": metadata(f"{name}-abcde", namespace, labels),
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    }


def node(number: int) -> Json:
    addresses = [{"type": "InternalIP", "address": f"10.0.0.{number + 1}"}]
    return {"metadata": metadata(f"node-{number:02}"), "spec": {}, "status": {"addresses": addresses}}


def world(pods: int, services: int) -> dict[str, list[bytes]]:
    """Objects by the path of their list, as JSON."""
    made = [pod(number) for number in range(pods)]
    served = [service(number) for number in range(services)]
    each = max(pods // max(services, 1), 1)
    listed: dict[str, list[Json]] = {
        "/api/v1/nodes": [node(number) for number in range(NODES)],
        "/api/v1/namespaces": [{"metadata": metadata(f"team-{number}")} for number in range(40)],
        "/api/v1/pods": made,
        "/api/v1/services": served,
        "/apis/discovery.k8s.io/v1/endpointslices": [
            slice_of(one, made[number * each : (number + 1) * each]) for number, one in enumerate(served)
        ],
    }
    return {path: [json.dumps(item).encode() for item in listed.get(path, [])] for path in LISTS}


def answer(objects: dict[str, list[bytes]], target: str) -> tuple[int, bytes]:
    """Status and body for a request."""
    parts = urlsplit(target)
    if parts.path == "/version":
        return 200, b'{"gitVersion": "v1.33.4"}'
    if parts.path not in LISTS:
        return 404, b'{"kind": "Status", "code": 404, "reason": "NotFound"}'
    query = parse_qs(parts.query)
    limit, begin = int(query.get("limit", ["0"])[0]), int(query.get("continue", ["0"])[0])
    items = objects[parts.path]
    page = items[begin : begin + limit] if limit else items
    more = f', "continue": "{begin + limit}"' if limit and begin + limit < len(items) else ""
    api_version, kind = LISTS[parts.path]
    head = (
        f'{{"kind": "{kind}", "apiVersion": "{api_version}", "metadata": {{"resourceVersion": "1"{more}}}, "items": ['
    )
    return 200, head.encode() + b",".join(page) + b"]}"


async def serve(pods: int, services: int) -> None:
    objects = world(pods, services)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                status, body = answer(objects, head.split(b" ", 2)[1].decode())
                fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
                writer.write(f"HTTP/1.1 {status} x\r\n{fields}\r\n\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
