"""What we create for a pod of our own, as plain objects. Pure.

Least of all that works: Pod Security `restricted`, no token, never Ready (so it can't become an endpoint of a Service),
a deadline after which it ends whatever becomes of us, a Lease as owner so that no controller adopts it and the garbage
collector takes it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

MANAGED_BY = ("app.kubernetes.io/managed-by", "kubeshield")
LABELS = {MANAGED_BY[0]: MANAGED_BY[1], "app.kubernetes.io/name": "kubeshield-probe"}
SELECTOR = "=".join(MANAGED_BY)
DEADLINE_SECONDS = 3_600
LEASE_SECONDS = 60
READER_DEADLINE_SECONDS = 300
CONTAINER = "probe"
READER_CAPABILITIES = ("NET_ADMIN", "SYS_CHROOT")
NODE_ROOT = "/host"
"""Where a reader finds its node's programs."""
_IDLE = "trap 'exit 0' TERM;while :;do sleep 3600 & wait $!;done"
"""Waits in sh, not in Python: an image without Python is a vantage too, by the ladder's lower rungs. `wait` also
collects what ends in the pod, whose process 1 it is."""


def lease(namespace: str, name: str, holder: str, now: datetime) -> dict[str, Any]:
    """The owner of everything else: whose renewTime is old, that run is gone."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(LABELS)},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": _micro(now),
            "renewTime": _micro(now),
        },
    }


def trial_namespace(name: str) -> dict[str, Any]:
    """A namespace of our own for a self-test; what is in it goes with it."""
    labels = {**LABELS, "pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def deny_all(namespace: str) -> dict[str, Any]:
    """A policy that admits nobody to the pods of a namespace."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny-all", "namespace": namespace, "labels": dict(LABELS)},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }


def renewal(now: datetime) -> dict[str, Any]:
    """A merge patch that renews a Lease."""
    return {"spec": {"renewTime": _micro(now)}}


def is_expired(spec: dict[str, Any], now: datetime) -> bool:
    """Whether the run that holds a Lease is gone. A Lease that can't be read is taken as living."""
    try:
        renewed = datetime.fromisoformat(str(spec["renewTime"]))
        return (now - renewed).total_seconds() > float(spec["leaseDurationSeconds"])
    except (KeyError, ValueError, TypeError):
        return False


def probe_pod(
    namespace: str, name: str, owner_uid: str, image: str, node: str = "", *, host_network: bool = False
) -> dict[str, Any]:
    """A pod that does nothing until something is executed in it.

    A node is set as `nodeName`, past the scheduler, and taints are tolerated: the nodes that matter most, those of the
    control plane, are tainted, and a cordoned one is worth a look too. A nodeSelector would trust a label that anyone
    may have moved. What the scheduler would have checked, the kubelet does: it fails a pod that does not fit.

    `host_network`: it stands in the node's own network; all else stays as restricted as it is.
    """
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "readinessGates": [{"conditionType": "kubeshield.io/never"}],
        "containers": [_container(image)],
    }
    if not node:
        spec["nodeSelector"] = {"kubernetes.io/os": "linux"}
    else:
        spec["nodeName"] = node
        # NoSchedule was the scheduler's; NoExecute would evict it.
        spec["tolerations"] = [{"operator": "Exists", "effect": "NoExecute"}]
    if host_network:
        spec["hostNetwork"] = True
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(namespace, name, owner_uid), "spec": spec}


def reader_pod(namespace: str, name: str, owner_uid: str, image: str, node: str, architecture: str) -> dict[str, Any]:
    """A pod that can read its node's packet filter with the node's own tools, and as little else as can be.

    The kernel shows rules only to who has CAP_NET_ADMIN in the node's network; the tools must fit the node's kernel, so
    they are its own, in a root of its own made of its program folders alone, all read-only: no keys, no kubelet files,
    no sockets of the runtime. Not privileged, no host PID. `type: Directory` makes nothing where a folder is missing.
    """
    pod = probe_pod(namespace, name, owner_uid, image, node, host_network=True)
    spec = pod["spec"]
    spec["activeDeadlineSeconds"] = READER_DEADLINE_SECONDS
    spec["securityContext"] = {"seccompProfile": {"type": "RuntimeDefault"}}
    mounts = reader_mounts(architecture)
    spec["volumes"] = [
        {"name": path.strip("/").replace("/", "-"), "hostPath": {"path": path, "type": kind}}
        for path, kind in mounts.items()
    ]
    container = spec["containers"][0]
    container["volumeMounts"] = [
        {"name": path.strip("/").replace("/", "-"), "mountPath": f"{NODE_ROOT}{path}", "readOnly": True}
        for path in mounts
    ]
    container["securityContext"] = {
        "runAsUser": 0,
        "runAsGroup": 0,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": list(READER_CAPABILITIES)},
    }
    return pod


def reader_mounts(architecture: str) -> dict[str, str]:
    """What a reader mounts of its node, with hostPath's type: /lib64 is x86-64's, others may have none."""
    folders = ("/usr", "/bin", "/sbin", "/lib", *(("/lib64",) if architecture == "amd64" else ()), "/proc")
    return {**dict.fromkeys(folders, "Directory"), "/dev/null": "CharDevice"}


def _container(image: str) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _IDLE],
        "resources": {
            "requests": {"cpu": "5m", "memory": "16Mi"},
            "limits": {"cpu": "500m", "memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _metadata(namespace: str, name: str, owner_uid: str) -> dict[str, Any]:
    owner = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "name": name,
        "uid": owner_uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return {"name": name, "namespace": namespace, "labels": dict(LABELS), "ownerReferences": [owner]}


def _micro(moment: datetime) -> str:
    """MicroTime of the Kubernetes API."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
